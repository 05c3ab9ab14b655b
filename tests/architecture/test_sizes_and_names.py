"""Sizes, first lines and names: no folder too full, no file too long, no module a riddle, no name twice."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain

import pytest

from tests.architecture.program_modules import Module, inside, program_modules

MAX_FILES = 14  # of one folder, its __init__.py included
PLUG_IN_FOLDERS = {"kimi_agent.workspace.testrun.runners", "tools"}
MAX_LINES = 330
COMMIT = "kimi_agent.workspace.transaction.commit"
LONGER_FILES = {
    COMMIT: (351, "the order of its steps is its promise"),
}
MAX_LOOP_LINES = 195  # a new feature is a model wrapper, a tool wrapper, a listener or a note, not a line of the loop
MAX_FIRST_LINE = 117
RIDDLES = ("What", "Which", "Where", "How", "When", "Why", "The one place")


def overfull_folders(modules: Sequence[Module]) -> list[str]:
    files = Counter(module.name if module.is_package else module.name.rpartition(".")[0] for module in modules)
    return [
        f"{folder} has {count} files"
        for folder, count in files.items()
        if count > MAX_FILES and folder not in PLUG_IN_FOLDERS
    ]


def overlong_files(modules: Sequence[Module]) -> list[str]:
    found = []
    for module in modules:
        lines, (most, _) = len(module.text.splitlines()), LONGER_FILES.get(module.name, (MAX_LINES, ""))
        if lines > most:
            found.append(f"{module.name} has {lines} lines")
    return found


def bad_first_lines(modules: Sequence[Module]) -> list[str]:
    """Modules whose docstring does not begin with a line that stands alone and names a thing."""
    found = []
    for module in modules:
        first, *rest = (ast.get_docstring(module.tree) or "").split("\n")
        if not first:
            found.append(f"{module.name} has no docstring")
        elif rest and rest[0]:
            found.append(f"{module.name}: the first line goes on in the second")
        elif len(first) > MAX_FIRST_LINE:
            found.append(f"{module.name}: the first line has {len(first)} characters")
        elif f"{first} ".startswith(tuple(f"{word} " for word in RIDDLES)):
            found.append(f"{module.name}: begin with the name of the thing, not with {first.split()[0]!r}")
    return found


def names_defined_twice(modules: Sequence[Module]) -> dict[str, list[str]]:
    """Public top-level names of `kimi_agent`, each with the modules that define it, where these are several."""
    found = defaultdict(set)
    for module in modules:
        if inside(module.name, "kimi_agent"):
            for name in _top_level_names(module.tree):
                found[name].add(module.name)
    return {name: sorted(places) for name, places in found.items() if len(places) > 1 and not name.startswith("_")}


def _top_level_names(tree: ast.Module) -> Iterator[str]:
    """Names of the functions, classes and values at the top, under `if` and `try` as well; no imports."""
    blocks = [tree.body]
    while blocks:
        for node in blocks.pop():
            match node:
                case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                    yield name
                case ast.Assign() | ast.AnnAssign():
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    for part in chain.from_iterable(ast.walk(target) for target in targets):
                        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                            yield part.id
                case ast.If() | ast.Try():
                    blocks += [node.body, node.orelse]
                    if isinstance(node, ast.Try):
                        blocks += [node.finalbody, *(handler.body for handler in node.handlers)]
                case _:
                    pass


def test_the_loop_stays_short() -> None:
    (loop,) = [module for module in program_modules() if module.name == "kimi_agent.agent"]
    assert len(loop.text.splitlines()) <= MAX_LOOP_LINES


def test_no_folder_is_overfull() -> None:
    assert overfull_folders(program_modules()) == []


def test_no_file_is_overlong() -> None:
    assert overlong_files(program_modules()) == []


def test_the_first_line_of_each_module_names_what_it_is() -> None:
    assert bad_first_lines(program_modules()) == []


def test_no_public_name_is_defined_in_two_files() -> None:
    assert names_defined_twice(program_modules()) == {}


def test_a_planted_fifteenth_file_is_found() -> None:
    room = [Module("kimi_agent.room", "", is_package=True), *(Module(f"kimi_agent.room.m{n}", "") for n in range(13))]
    assert overfull_folders([*room, Module("kimi_agent.room.sub.m", "")]) == []
    assert overfull_folders([*room, Module("kimi_agent.room.m13", "")]) == ["kimi_agent.room has 15 files"]
    assert overfull_folders([Module(f"tools.m{n}", "") for n in range(20)]) == []


def test_a_planted_long_file_is_found() -> None:
    lines = "x = 1\n"
    assert overlong_files([Module("kimi_agent.agent", lines * 330), Module(COMMIT, lines * 340)]) == []
    assert overlong_files([Module("kimi_agent.agent", lines * 331)]) == ["kimi_agent.agent has 331 lines"]
    assert overlong_files([Module(COMMIT, lines * 400)]) == [f"{COMMIT} has 400 lines"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('"""Retry policy: decides whether to ask again."""', None),
        ('"""Retry policy: decides whether to ask again.\n\nMore of it.\n"""', None),
        ('"""Whatever: a noun."""', None),
        ("import os", "has no docstring"),
        ('"""Retry policy: decides\nwhether to ask again."""', "goes on"),
        (f'"""{"x" * 118}"""', "118 characters"),
        ('"""What is asked again."""', "'What'"),
        ('"""The one place that asks again."""', "'The'"),
    ],
)
def test_a_planted_riddle_is_found(text: str, wrong: str | None) -> None:
    found = bad_first_lines([Module("tools.m", text)])
    assert found == [] if wrong is None else len(found) == 1 and wrong in found[0]


def test_a_planted_second_definition_is_found() -> None:
    one = Module("kimi_agent.one", "from os import path\nclass Entry: ...\n_own = 1\nA, b = 1, 2")
    other = Module("kimi_agent.other", "from os import path\nif True:\n    Entry = int\n_own = 2\nb: int = 1\nAA = 1")
    tool = Module("tools.entry", "A = 1")
    both = ["kimi_agent.one", "kimi_agent.other"]
    assert names_defined_twice([one, other, tool]) == {"Entry": both, "b": both}
