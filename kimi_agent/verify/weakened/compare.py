"""Weakened tests: a comparison that finds tests deleted, newly skipped, or left with fewer assertions.

Pure, and never raises.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from kimi_agent.log.views import Weakened
from kimi_agent.verify.weakened.language_patterns import INLINE_TEST_SUFFIXES, LanguagePatterns, find_language
from kimi_agent.verify.weakened.line_parser import parse_test_lines
from kimi_agent.verify.weakened.parsed_tests import ParsedTest, ParsedTestFile, is_test_file
from kimi_agent.verify.weakened.python_parser import parse_python_tests

__all__ = [
    "TestComparison",
    "compare_test_files",
    "is_changed_outside_tests",
    "is_test_file",
    "may_hold_tests",
    "read_test_file",
]

MAX_TEST_FILE_CHARS = 1_000_000
"""Of a file; a bigger one is no test file that a person wrote."""
MAX_COMPARISON_CHARS = 2_000_000
"""Of all files of a comparison; what comes behind them is not looked at. Python takes 4 s for 1 MB."""
_TOKEN = re.compile(r"""[\w.]+|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|\S""")
_VALUE = re.compile(
    r"""\.?\d[\w.]*|["'`].*|[-+=!<>~]|not|is|True|False|None|true|false|null|nil|undefined|Some|Ok|Err""", re.DOTALL
)


@dataclass(frozen=True)
class TestComparison:
    """The weakened tests of several files; `moved` gives the new `path::name` of a test that only changed either.

    `expectation_changed` are (path, name) of tests in which what they expect is different, and perhaps nothing else.
    """

    weakened: tuple[Weakened, ...] = ()
    moved: Mapping[str, str] = field(default_factory=dict)
    expectation_changed: tuple[tuple[str, str], ...] = ()


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
    fresh: dict[str, list[tuple[str, str, ParsedTest]]] = {}
    for pair in pairs:
        for name, test in pair.new.tests.items():
            if name not in pair.old.tests and test.body:
                fresh.setdefault(test.body, []).append((pair.path, name, test))
    found: list[Weakened] = []
    moved: dict[str, str] = {}
    changed: list[tuple[str, str]] = []
    for pair in pairs:
        for name, old in pair.old.tests.items():
            here = _id(pair.path, name)
            new = pair.new.tests.get(name)
            if new is None and not old.is_group and (twins := fresh.get(old.body)):
                path, new_name, new = twins.pop(0)
                moved[f"{pair.path}::{name}"] = f"{path}::{new_name}"
                pool -= Counter(new.assertions)
                found += _newly_skipped(path, _id(path, new_name), old, new)
            elif new is None:
                found += _deleted(pair.path, here, old, pool)
            else:
                found += _newly_skipped(pair.path, here, old, new) or _fewer_assertions(pair.path, here, old, new, pool)
                if _expects_something_else(old, new) or _constants_differ(pair):
                    changed.append((pair.path, name))
        if not pair.old.tests:
            found += _compare_whole_file(pair)
    return TestComparison(tuple(found), moved, tuple(changed))


def read_test_file(path: str, text: str) -> ParsedTestFile | None:
    """The tests of one file; None where its language is not known or it is too big."""
    language = find_language(path)
    if language is None or len(text) > MAX_TEST_FILE_CHARS:
        return None
    found = parse_python_tests(text) if _suffix(path) == "py" else None
    return found if found is not None else parse_test_lines(text, language)


def is_changed_outside_tests(path: str, before: str, after: str) -> bool:
    """Whether a file that holds tests among its code differs in the code."""
    old, new = read_test_file(path, before), read_test_file(path, after)
    return old is None or new is None or old.other_code != new.other_code


def _expects_something_else(old: ParsedTest, new: ParsedTest) -> bool:
    """Whether the assertions of a test differ, or nothing in it but values and comparisons does.

    Where an expectation stands in an `if` or in a table, no assertion shows it.
    """
    if old.is_group or old.source == new.source:
        return False
    return Counter(old.assertions) != Counter(new.assertions) or _shape(old.source) == _shape(new.source)


def _constants_differ(pair: _Pair) -> bool:
    """Whether nothing but values differs outside of the tests of a file, such as what all of them expect."""
    old, new = pair.old.other_code, pair.new.other_code
    return is_test_file(pair.path) and old != new and _shape(old) == _shape(new)


def _shape(code: str) -> list[str]:
    """Code without its values, comparisons and signs."""
    return [token for token in _TOKEN.findall(code) if not _VALUE.fullmatch(token)]


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
