"""Modules of the program, read for the architecture tests: the text of each, and the names that it imports."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Module:
    """One module: its dotted name and its text. A package is its `__init__.py`."""

    name: str
    text: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and name of each import: at the top, in functions, for types only, relative, by importlib."""
        package = self.name if self.is_package else self.name.rpartition(".")[0]
        for node in ast.walk(self.tree):
            match node:
                case ast.Import(names):
                    yield from ((node.lineno, alias.name) for alias in names)
                case ast.ImportFrom(name, names, level):
                    base = ".".join(package.split(".")[: len(package.split(".")) - level + 1]) if level else ""
                    full = ".".join(part for part in (base, name) if part)
                    yield from ((node.lineno, f"{full}.{alias.name}") for alias in names)
                case ast.Call(
                    ast.Name("__import__") | ast.Attribute(attr="import_module"), [ast.Constant(str(name)), *_]
                ):
                    yield node.lineno, name
                case _:
                    pass


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@cache
def program_modules() -> tuple[Module, ...]:
    """Every module of `kimi_agent` and `tools`."""
    return tuple(_read_modules(("kimi_agent", "tools")))


def _read_modules(folders: Iterable[str]) -> Iterator[Module]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            yield Module(".".join(parts[:-1] if is_package else parts), path.read_text("utf-8"), is_package)
