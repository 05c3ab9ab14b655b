"""Floors and doors: a module imports only from its own floor and those below, and a library only at its door."""

import sys

import pytest

from tests.architecture.program_modules import Module, inside, program_modules

FLOORS: list[list[str]] = [
    ["kimi_agent.errors", "kimi_agent.printable", "kimi_agent.log.messages", "kimi_agent.log.views"],
    [
        "kimi_agent.log.questions",
        "kimi_agent.log.event_parts",
        "kimi_agent.log.events",
        "kimi_agent.call_plan",
        "kimi_agent.layers",
        "kimi_agent.plugins",
        "kimi_agent.schema",
    ],
    ["kimi_agent.workspace", "kimi_agent.log"],
    ["kimi_agent.edit"],
    ["kimi_agent.tool"],
    ["kimi_agent.guard", "kimi_agent.prompts", "kimi_agent.config"],
    ["kimi_agent.model", "kimi_agent.extend"],
    ["kimi_agent.context"],
    ["kimi_agent.toolbox", "kimi_agent.agent", "kimi_agent.record_answer"],
    ["kimi_agent.verify"],
    ["kimi_agent.rewind"],
    ["kimi_agent.swarm"],
    ["kimi_agent.faces"],
    ["kimi_agent.app", "kimi_agent.demo"],
    ["kimi_agent.cli", "kimi_agent.__main__"],
]
DOORS: dict[str, tuple[str, ...]] = {
    "openai": ("kimi_agent.model.wire.chat_completions",),
    "httpx2": ("kimi_agent.model.wire.chat_completions",),
    "rich": ("kimi_agent.faces",),
    "prompt_toolkit": ("kimi_agent.faces",),
    "markdown_it": ("kimi_agent.faces",),
    "pygments": ("kimi_agent.faces",),
    "typer": ("kimi_agent.cli",),
    "git": ("kimi_agent.workspace",),
    "tree_sitter": ("kimi_agent.guard.shell.syntax",),
    "tree_sitter_bash": ("kimi_agent.guard.shell.syntax",),
}
TOOLS_MAY = ("kimi_agent.tool", "kimi_agent.log.views", "kimi_agent.edit")


def floor(module: str) -> int | None:
    """The floor of a module: of its longest listed name."""
    found = [(len(name), level) for level, names in enumerate(FLOORS) for name in names if inside(module, name)]
    return max(found)[1] if found else None


def trespasses(module: Module) -> list[str]:
    """What the module imports that its place does not allow."""
    here = floor(module.name)
    found = []
    for line, name in module.imports():
        there = floor(name)
        if module.name.startswith("tools."):
            known = inside(name, "tools") or any(inside(name, allowed) for allowed in TOOLS_MAY)
            if not known and name.split(".")[0] not in sys.stdlib_module_names:
                found.append(f"{module.name}:{line} a tool may not import {name}")
        elif here is not None and there is not None and there > here:
            found.append(f"{module.name}:{line} imports upwards: {name}")
        for library, doors in DOORS.items():
            if inside(name, library) and not any(inside(module.name, door) for door in doors):
                found.append(f"{module.name}:{line} {library} belongs to {', '.join(doors)}")
    return found


def test_every_module_stands_on_a_floor() -> None:
    names = [module.name for module in program_modules() if not inside(module.name, "tools")]
    assert [name for name in names if name != "kimi_agent" and floor(name) is None] == []


def test_nothing_imports_upwards_or_past_a_door() -> None:
    assert [trespass for module in program_modules() for trespass in trespasses(module)] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("kimi_agent.log.store.codec", "from kimi_agent.agent import Agent"),
        ("kimi_agent.agent", "def late():\n    import rich.console"),
        ("kimi_agent.agent", "import importlib\nimportlib.import_module('openai.types')"),
        ("kimi_agent.agent", "__import__('typer')"),
        ("kimi_agent.workspace.files.files", "from ...tool import Context"),
        ("kimi_agent.edit.planning.plan_patch", "if True:\n    from kimi_agent import tool"),
        ("kimi_agent.model.tape.tape_format", "from openai import AsyncOpenAI"),
        ("tools.read_file", "from kimi_agent.workspace.files.files import Files"),
        ("tools.read_file", "import requests"),
    ],
)
def test_a_planted_trespass_is_found(module: str, source: str) -> None:
    assert len(trespasses(Module(module, source))) == 1
