"""Import circles: none between the parts of any folder, which are its files and its subfolders, each as a whole.

A folder's files are parts of their own, so that one may hold the values that its subfolders import (its ground) while
another imports the subfolders (its door). A circle of files in several folders is one of parts where they meet.
"""

from collections import defaultdict
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

import pytest

from tests.architecture.program_modules import Module, program_modules


def find_circles(modules: Sequence[Module]) -> dict[str, str]:
    """By folder, a circle of its parts, with an import for each arrow; what is imported late or as a type counts."""
    places = {module.name: _place(module) for module in modules}
    arrows: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for module in modules:
        for line, name in module.imports():
            target = name
            while target and target not in places:
                target = target.rpartition(".")[0]
            if target and target != module.name:
                here, there = places[module.name], places[target]
                shared = next(at for at, (own, other) in enumerate(zip(here, there, strict=False)) if own != other)
                of_folder = arrows[".".join(here[:shared])][here[shared]]
                of_folder.setdefault(there[shared], f"{module.name}:{line} imports {target}")
    return {folder: circle for folder, parts in arrows.items() if (circle := _circle(parts))}


def _place(module: Module) -> list[str]:
    """The folders above a module, and its own part: a package's `__init__.py` is a file beside the others."""
    return [*module.name.split("."), *(["__init__"] if module.is_package else [])]


def _circle(parts: dict[str, dict[str, str]]) -> str:
    try:
        TopologicalSorter(parts).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1][::-1]
        return "; ".join(parts[one][next_one] for one, next_one in pairwise(circle))
    return ""


def test_no_folder_has_a_circle() -> None:
    circles = find_circles(program_modules())
    assert circles == {}


@pytest.mark.parametrize(
    ("sources", "folder"),
    [
        ({"a": "import b", "b": "import a"}, ""),
        ({"a": "import b", "b": "import c", "c": "def late():\n    from a import x"}, ""),
        ({"a": "from b import T", "b": "if TYPE_CHECKING:\n    from a import U"}, ""),
        ({"r.a": "from . import b", "r.b": "from .a import x"}, "r"),
        ({"r.__init__": "from r.a import x", "r.a": "from r import y"}, "r"),
        # No circle of files, but one of folders.
        ({"r.s.one": "import r.t.one", "r.t.two": "import r.s.two", "r.s.two": "", "r.t.one": ""}, "r"),
        # A subfolder and a file above it.
        ({"r.s.one": "import r.top", "r.top": "from r.s import two", "r.s.two": ""}, "r"),
    ],
)
def test_a_planted_circle_is_found(sources: dict[str, str], folder: str) -> None:
    assert list(find_circles(_modules(sources))) == [folder]


def test_the_ground_and_the_door_of_a_folder_make_no_circle() -> None:
    sources = {
        "r.__init__": "from r.door import x",
        "r.door": "from r.s.one import x\nfrom r.t.one import y",
        "r.s.one": "from r.ground import V",
        "r.t.one": "import r.s.one\nfrom r.ground import V",
        "r.ground": "import os",
        "outside": "from r import x",
    }
    assert find_circles(_modules(sources)) == {}


def test_a_circle_is_reported_with_its_imports() -> None:
    circles = find_circles(_modules({"a": "\nimport b.c", "b.c": "import a"}))
    assert circles == {"": "a:2 imports b.c; b.c:1 imports a"}


def _modules(sources: dict[str, str]) -> list[Module]:
    return [
        Module(name.removesuffix(".__init__"), text, is_package=name.endswith("__init__"))
        for name, text in sources.items()
    ]
