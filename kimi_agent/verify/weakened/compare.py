"""Weakened tests: a comparison that finds tests deleted, newly skipped, or left with fewer assertions.

Pure, and never raises.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from kimi_agent.log.views import Weakened
from kimi_agent.verify.weakened.language_patterns import INLINE_TEST_SUFFIXES, LanguagePatterns, find_language
from kimi_agent.verify.weakened.line_parser import parse_test_lines
from kimi_agent.verify.weakened.parsed_tests import ParsedTest, ParsedTestFile, is_test_file
from kimi_agent.verify.weakened.python_parser import parse_python_tests

__all__ = ["TestComparison", "compare_test_files", "is_test_file", "may_hold_tests"]

MAX_TEST_FILE_CHARS = 1_000_000
"""Of a file; a bigger one is no test file that a person wrote."""
MAX_COMPARISON_CHARS = 2_000_000
"""Of all files of a comparison; what comes behind them is not looked at. Python takes 4 s for 1 MB."""


@dataclass(frozen=True)
class TestComparison:
    """The weakened tests of several files; `moved` gives the new id of a test that only changed its name or file."""

    weakened: tuple[Weakened, ...] = ()
    moved: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Pair:
    path: str
    old: ParsedTestFile
    new: ParsedTestFile


def may_hold_tests(path: str) -> bool:
    """Whether the file at `path` is worth a look: a test file, or one of a language that keeps tests in its code."""
    return find_language(path) is not None and (is_test_file(path) or _suffix(path) in INLINE_TEST_SUFFIXES)


def compare_test_files(files: Iterable[tuple[str, str | None, str | None]]) -> TestComparison:
    """The tests that prove less in files that were edited together, as (path, before, after).

    None is a file that was not there, or no longer is. A test that moved from one file to another is not lost. Nothing
    is found in a file that holds no tests, that is over `MAX_TEST_FILE_CHARS`, or that is new.
    """
    pairs = list(_pairs(files))
    pool = _added_assertions(pairs)
    fresh: dict[str, list[tuple[str, ParsedTest]]] = {}
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
                pool -= Counter(new.assertions)
                found += _newly_skipped(pair.path, moved[here], old, new)
            elif new is None:
                found += _deleted(pair.path, here, old, pool)
            else:
                found += _newly_skipped(pair.path, here, old, new) or _fewer_assertions(pair.path, here, old, new, pool)
        if not pair.old.tests:
            found += _compare_whole_file(pair)
    return TestComparison(tuple(found), moved)


def _pairs(files: Iterable[tuple[str, str | None, str | None]]) -> Iterator[_Pair]:
    room = MAX_COMPARISON_CHARS
    for path, before, after in files:
        language = find_language(path)
        size = max(len(before or ""), len(after or ""))
        if language is None or not may_hold_tests(path) or before == after or size > min(room, MAX_TEST_FILE_CHARS):
            continue
        room -= size
        yield _read(path, before or "", after or "", language)


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix[1:].lower()


def _id(path: str, name: str) -> str:
    return f"{path}::{name}" if _suffix(path) == "py" else name


def _read(path: str, before: str, after: str, language: LanguagePatterns) -> _Pair:
    if _suffix(path) == "py":
        old, new = parse_python_tests(before), parse_python_tests(after)
        if old is not None and new is not None:  # both by the same parser, or nothing could be compared
            return _Pair(path, old, new)
    return _Pair(path, parse_test_lines(before, language), parse_test_lines(after, language))


def _added_assertions(pairs: Iterable[_Pair]) -> Counter[str]:
    """The assertions that are new where they are: in new tests and in grown ones.

    Not those of other functions: a test that is renamed so that no runner finds it would live on in them.
    """
    pool: Counter[str] = Counter()
    for pair in pairs:
        for name, test in pair.new.tests.items():
            old = pair.old.tests.get(name)
            pool += Counter(test.assertions) - Counter(old.assertions if old else ())
    return pool


def _deleted(path: str, here: str, old: ParsedTest, pool: Counter[str]) -> list[Weakened]:
    if old.is_group:
        return []
    needed = Counter(old.assertions)
    if needed and needed <= pool:  # all that it asserted is asserted elsewhere now
        pool -= needed
        return []
    return [Weakened(path, here, "deleted")]


def _newly_skipped(path: str, here: str, old: ParsedTest, new: ParsedTest) -> list[Weakened]:
    return [Weakened(path, here, "skipped")] if new.skips > old.skips else []


def _fewer_assertions(path: str, here: str, old: ParsedTest, new: ParsedTest, pool: Counter[str]) -> list[Weakened]:
    if old.rows is None or new.rows is None:
        short = len(old.assertions) - len(new.assertions)
    else:
        short = len(old.assertions) * old.rows - len(new.assertions) * new.rows
    if short <= 0:
        return []
    elsewhere = (Counter(old.assertions) - Counter(new.assertions)) & pool
    if elsewhere.total() >= short:
        pool -= elsewhere
        return []
    return [Weakened(path, here, "fewer assertions")]


def _compare_whole_file(pair: _Pair) -> list[Weakened]:
    """A file in which no single test was recognised."""
    if pair.new.skips > pair.old.skips:
        return [Weakened(pair.path, "", "skipped")]
    lost = len(pair.new.other_assertions) < len(pair.old.other_assertions) and not pair.new.tests
    return [Weakened(pair.path, "", "fewer assertions")] if lost else []
