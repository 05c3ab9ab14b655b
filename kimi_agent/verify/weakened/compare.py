"""Which tests prove less than before: deleted, newly skipped, or with fewer assertions. Pure, and never raises."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from kimi_agent.log.views import Weakened
from kimi_agent.verify.weakened.language_patterns import INLINE, Language, language_of
from kimi_agent.verify.weakened.line_parser import read_lines
from kimi_agent.verify.weakened.python_parser import read_python
from kimi_agent.verify.weakened.values import TestCode, TestFile, is_test_file

__all__ = ["Compared", "compare", "is_test_file", "may_hold_tests", "weakened"]

MAX_CHARS = 1_000_000
"""Of a file; a bigger one is no test file that a person wrote."""
MAX_CHARS_IN_ALL = 2_000_000
"""Of all files of a comparison; what comes behind them is not looked at. Python takes 4 s for 1 MB."""


@dataclass(frozen=True)
class Compared:
    """What several files together have lost; `moved` gives the new id of a test that only changed its name or file."""

    weakened: tuple[Weakened, ...] = ()
    moved: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Pair:
    path: str
    old: TestFile
    new: TestFile


def may_hold_tests(path: str) -> bool:
    """Whether the file at `path` is worth a look: a test file, or one of a language that keeps tests in its code."""
    return language_of(path) is not None and (is_test_file(path) or _suffix(path) in INLINE)


def weakened(path: str, before: str | None, after: str | None) -> tuple[Weakened, ...]:
    """The tests of one file that prove less in `after` than in `before` (None: there was, or is, no such file).

    Empty for a file that holds no tests, that is over `MAX_CHARS`, or that is new.
    """
    return compare([(path, before, after)]).weakened


def compare(files: Iterable[tuple[str, str | None, str | None]]) -> Compared:
    """The same over files that were edited together: a test that moved from one to another is not lost."""
    pairs = list(_pairs(files))
    pool = _gained(pairs)
    fresh: dict[str, list[tuple[str, TestCode]]] = {}
    for pair in pairs:
        for name, test in pair.new.tests.items():
            if name not in pair.old.tests and test.body:
                fresh.setdefault(test.body, []).append((_id(pair.path, name), test))
    found: list[Weakened] = []
    moved: dict[str, str] = {}
    for pair in pairs:
        for name, old in pair.old.tests.items():
            here = _id(pair.path, name)
            new = pair.new.tests.get(name)
            if new is None and (twins := fresh.get(old.body)):
                moved[here], new = twins.pop(0)
                pool -= Counter(new.checks)
                found += _skipped(pair.path, moved[here], old, new)
            elif new is None:
                found += _gone(pair.path, here, old, pool)
            else:
                found += _skipped(pair.path, here, old, new) or _fewer(pair.path, here, old, new, pool)
        if not pair.old.tests:
            found += _as_a_whole(pair)
    return Compared(tuple(found), moved)


def _pairs(files: Iterable[tuple[str, str | None, str | None]]) -> Iterator[_Pair]:
    room = MAX_CHARS_IN_ALL
    for path, before, after in files:
        language = language_of(path)
        size = max(len(before or ""), len(after or ""))
        if language is None or not may_hold_tests(path) or before == after or size > min(room, MAX_CHARS):
            continue
        room -= size
        yield _read(path, before or "", after or "", language)


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix[1:].lower()


def _id(path: str, name: str) -> str:
    return f"{path}::{name}" if _suffix(path) == "py" else name


def _read(path: str, before: str, after: str, language: Language) -> _Pair:
    if _suffix(path) == "py":
        old, new = read_python(before), read_python(after)
        if old is not None and new is not None:  # both by the same eyes, or nothing could be compared
            return _Pair(path, old, new)
    return _Pair(path, read_lines(before, language), read_lines(after, language))


def _gained(pairs: Iterable[_Pair]) -> Counter[str]:
    """The assertions that stand where none stood: in new tests and in grown ones.

    Not those of other functions: a test that is renamed so that no runner finds it would live on in them.
    """
    pool: Counter[str] = Counter()
    for pair in pairs:
        for name, test in pair.new.tests.items():
            old = pair.old.tests.get(name)
            pool += Counter(test.checks) - Counter(old.checks if old else ())
    return pool


def _gone(path: str, here: str, old: TestCode, pool: Counter[str]) -> list[Weakened]:
    if old.group:
        return []
    needed = Counter(old.checks)
    if needed and needed <= pool:  # all that it asserted is asserted elsewhere now
        pool -= needed
        return []
    return [Weakened(path, here, "deleted")]


def _skipped(path: str, here: str, old: TestCode, new: TestCode) -> list[Weakened]:
    return [Weakened(path, here, "skipped")] if new.skips > old.skips else []


def _fewer(path: str, here: str, old: TestCode, new: TestCode, pool: Counter[str]) -> list[Weakened]:
    if old.rows is None or new.rows is None:
        short = len(old.checks) - len(new.checks)
    else:
        short = len(old.checks) * old.rows - len(new.checks) * new.rows
    if short <= 0:
        return []
    elsewhere = (Counter(old.checks) - Counter(new.checks)) & pool
    if elsewhere.total() >= short:
        pool -= elsewhere
        return []
    return [Weakened(path, here, "fewer assertions")]


def _as_a_whole(pair: _Pair) -> list[Weakened]:
    """A file in which no single test can be told."""
    if pair.new.skips > pair.old.skips:
        return [Weakened(pair.path, "", "skipped")]
    lost = len(pair.new.other) < len(pair.old.other) and not pair.new.tests
    return [Weakened(pair.path, "", "fewer assertions")] if lost else []
