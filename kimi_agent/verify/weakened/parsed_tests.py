"""Parsed test file values: its tests, their assertions, and what keeps them from running. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath


@dataclass(frozen=True)
class ParsedTest:
    """One test as its file writes it.

    `assertions` stand as written, those that can't fail left out; `skips` counts what may keep it from running or
    failing. `body` is all that it does, without its name; `source` is the body and its decorators. `rows` is over how
    many literal rows it runs, None where that is not known. With `is_group` it is a `describe`: no test, but it can be
    skipped.
    """

    name: str
    assertions: tuple[str, ...] = ()
    skips: int = 0
    body: str = ""
    rows: int | None = 1
    is_group: bool = False
    source: str = ""


@dataclass(frozen=True)
class ParsedTestFile:
    """The tests of a file by name; `other_assertions` stand outside of them; `skips` counts what skips all of it.

    `other_code` is what stands outside of its tests, comments and blanks left out.
    """

    tests: Mapping[str, ParsedTest] = field(default_factory=dict)
    other_assertions: tuple[str, ...] = ()
    skips: int = 0
    other_code: str = ""


_FOLDERS = frozenset({"test", "tests", "spec", "specs", "__tests__", "testing", "e2e"})
_CODE = re.compile(
    r"pyi?|[jt]sx?|[cm][jt]s|go|rs|rb|java|kts?|scala|groovy|cs|fs|php|exs?|cc?|cpp|cxx|mm?|swift|dart|zig|lua|bats|r|"
    r"erl|nim|cr",
    re.IGNORECASE,
)
_WORD = re.compile(r"(?:^|[._-])(?:tests?|specs?|cy|e2e)(?:$|[._-])", re.IGNORECASE)
_CAMEL = re.compile(r"^Test[A-Z]|(?:[A-Za-z0-9](?:Tests?|Spec)|[a-z0-9]IT|TestCase)$")


def is_test_file(path: str) -> bool:
    """Whether a path (relative, with slashes) looks like code that tests other code."""
    where = PurePosixPath(path)
    if not _CODE.fullmatch(where.suffix[1:]):
        return False
    stem = where.name.removesuffix(where.suffix)
    if where.suffix == ".bats" or _WORD.search(stem) or _CAMEL.search(stem):
        return True
    return any(part.lower() in _FOLDERS or part.endswith((".Test", ".Tests")) for part in where.parts[:-1])
