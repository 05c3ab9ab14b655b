"""The floors and doors of the house: who may import whom, wherever it stands, and what must not be loaded early."""

import ast
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS: list[list[str]] = [
    ["kimi_agent.errors", "kimi_agent.printable", "kimi_agent.log.messages", "kimi_agent.log.views"],
    ["kimi_agent.log.events", "kimi_agent.layers", "kimi_agent.schema"],
    ["kimi_agent.workspace", "kimi_agent.log"],
    ["kimi_agent.edit"],
    ["kimi_agent.tool"],
    ["kimi_agent.guard", "kimi_agent.prompts", "kimi_agent.config"],
    ["kimi_agent.model", "kimi_agent.extend"],
    ["kimi_agent.context"],
    ["kimi_agent.toolbox", "kimi_agent.agent"],
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
}
TOOLS_MAY = ("kimi_agent.tool", "kimi_agent.log.views", "kimi_agent.edit")


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def floor(module: str) -> int | None:
    """The floor of a module: of its longest listed name."""
    found = [(len(name), level) for level, names in enumerate(FLOORS) for name in names if inside(module, name)]
    return max(found)[1] if found else None


def imports(source: str, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """Every module that the source imports: at the top, in functions, relative, by importlib or __import__."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(name, names, level):
                base = ".".join(package.split(".")[: len(package.split(".")) - level + 1]) if level else ""
                full = ".".join(part for part in (base, name) if part)
                yield from ((node.lineno, f"{full}.{alias.name}") for alias in names)
            case ast.Call(ast.Name("__import__") | ast.Attribute(attr="import_module"), [ast.Constant(str(name)), *_]):
                yield node.lineno, name
            case _:
                pass


def trespasses(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What the source imports that its place does not allow."""
    here = floor(module)
    found = []
    for line, name in imports(source, module, is_package=is_package):
        there = floor(name)
        if module.startswith("tools."):
            known = inside(name, "tools") or any(inside(name, allowed) for allowed in TOOLS_MAY)
            if not known and name.split(".")[0] not in sys.stdlib_module_names:
                found.append(f"{module}:{line} a tool may not import {name}")
        elif here is not None and there is not None and there > here:
            found.append(f"{module}:{line} imports upwards: {name}")
        for library, doors in DOORS.items():
            if inside(name, library) and not any(inside(module, door) for door in doors):
                found.append(f"{module}:{line} {library} belongs to {', '.join(doors)}")
    return found


def modules() -> Iterator[tuple[Path, str]]:
    for top in ("kimi_agent", "tools"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_module_stands_on_a_floor() -> None:
    lost = [module for _, module in modules() if module not in ("kimi_agent", "tools") and floor(module) is None]
    assert [module for module in lost if not module.startswith("tools.")] == []


def test_nothing_imports_upwards_or_past_a_door() -> None:
    found = [
        trespass
        for path, module in modules()
        for trespass in trespasses(path.read_text("utf-8"), module, is_package=path.name == "__init__.py")
    ]
    assert found == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("kimi_agent.log.store.codec", "from kimi_agent.agent import Agent"),
        ("kimi_agent.agent", "def late():\n    import rich.console"),
        ("kimi_agent.agent", "import importlib\nimportlib.import_module('openai.types')"),
        ("kimi_agent.agent", "__import__('typer')"),
        ("kimi_agent.workspace.files.files", "from ...tool import Context"),
        ("kimi_agent.edit.planning.plan_patch", "if True:\n    from kimi_agent import tool"),
        ("kimi_agent.model.tape.format", "from openai import AsyncOpenAI"),
        ("tools.read_file", "from kimi_agent.workspace.files.files import Files"),
        ("tools.read_file", "import requests"),
    ],
)
def test_a_planted_trespass_is_found(module: str, source: str) -> None:
    assert len(trespasses(source, module)) == 1


def loaded_after(code: str) -> set[str]:
    """The names in sys.modules after `code` ran in a fresh interpreter."""
    script = textwrap.dedent(code) + "\nimport sys as _s\n_s.__stdout__.write('\\nMODULES ' + ' '.join(_s.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=50, cwd=ROOT)
    assert "MODULES " in done.stdout, done.stderr
    return {name.split(".")[0] for name in done.stdout.rpartition("MODULES ")[2].split()}


HEAVY = {
    "openai",
    "httpx2",
    "rich",
    "prompt_toolkit",
    "git",
    "typer",
    "pydantic",
    "pytest",
    "markdown_it",
    "mcp",
    "acp",
}


def test_version_loads_nothing_heavy() -> None:
    after = loaded_after("from kimi_agent.cli import main\nimport sys\nsys.argv = ['kimi-agent', '--version']\nmain()")
    assert after & (HEAVY | {"asyncio", "msgspec", "json"}) == set()


def test_the_first_prompt_waits_for_prompt_toolkit_alone(tmp_path: Path) -> None:
    code = f"""
    import os
    os.environ["KIMI_AGENT_HOME"] = {str(tmp_path)!r}
    from kimi_agent.cli.run.interactive import _SessionSwitcher
    from kimi_agent.cli.run.options import RunOptions
    from kimi_agent.cli.run.setup import open_workspace
    from kimi_agent.faces.repl import repl
    from kimi_agent.faces.screen import input_history, screen
    options = RunOptions(directory={str(tmp_path)!r})
    _SessionSwitcher(open_workspace(options, trust=False), options).placeholder()
    """
    after = loaded_after(code)
    assert after & HEAVY == {"prompt_toolkit"}


def test_a_one_shot_on_a_tape_loads_no_screen_and_no_wire(tmp_path: Path) -> None:
    (tmp_path / "tape.jsonl").write_text('{"say": "hi"}\n')
    code = f"""
    import os, sys
    os.environ["KIMI_AGENT_HOME"] = {str(tmp_path)!r}
    os.chdir({str(tmp_path)!r})
    sys.argv = ["kimi-agent", "-q", "-m", "tape:tape.jsonl", "-p", "go"]
    from kimi_agent.cli import main
    assert main() == 0
    """
    after = loaded_after(code)
    assert after & HEAVY == {"typer", "pydantic"}  # typer checks a flag's value with pydantic
