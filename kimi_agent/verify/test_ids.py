"""Test ids: the file and the name in what a runner calls a test, and which name in a test file is meant. Pure."""

import itertools
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

_SEPARATOR = re.compile(r"::| > ")
_PLACEHOLDER = re.compile(r"%[sdifjop#]|\$\{[^}]*\}|#\{[^}]*\}|\$[A-Za-z_][\w.]*")
_GROUP = re.compile(r"(?:describe|context|suite|feature|class|interface|object|record|group)\s+")
_ARGUMENTS = re.compile(r"\s*[(\[{].*$", re.DOTALL)
_LINE_NUMBER = re.compile(r"\s*\(line \d+\)")
_HOOK = re.compile(
    r"\bhooks?\b|\b(?:before|after)[ _]?(?:all|each|run)?\b|\b(?:set_?up|tear_?down)|TestMain|\bunhandled\b",
    re.IGNORECASE,
)
_MOST_NAME, _MOST_TAIL, _MOST_NAMES = 500, 1_000, 2_000
_MOST_BEFORE = 10


def file_of_test(test: str) -> str:
    """The path that a test's id begins with, if it is one."""
    return _SEPARATOR.split(test, maxsplit=1)[0]


def leaf_name(test: str) -> str:
    """The name of the test itself, without parameters and subtests; "" where the id names a file alone."""
    file, *inner = _SEPARATOR.split(test.partition("[")[0] if "::" in test else test)
    leaf = inner[-1] if inner else ""
    return leaf.partition("/")[0] if file.endswith(".go") else leaf


def is_hook(test: str) -> bool:
    """Whether an id is that of a hook, which runners report only where it failed."""
    return bool(_HOOK.search(leaf_name(test)))


def is_group_name(name: str) -> bool:
    """Whether a name in a test file is that of a group of tests (`describe math`, `class SumTest`)."""
    return bool(_GROUP.match(name))


def without_line_number(test: str) -> str:
    """An id without the line that some runners put into it (Rust's doc tests): it moves with any edit above it."""
    return _LINE_NUMBER.sub("", test)


def id_has_name(test: str, name: str) -> bool:
    """Whether the test that a file calls `name` may be the one of this id.

    Ids hold more than the name: the titles around it (`A adds`, `ATest#test_a`, `math > adds`, `test adds`), parameters
    or subtests behind it. A `name` of a group (`describe math`) is that of all tests in it.
    """
    if name == test:
        return True
    if not name or len(name) > _MOST_NAME:
        return False
    file, found, rest = test.partition("::")
    tail = (rest if found else file)[:_MOST_TAIL]
    if group := _GROUP.match(name):
        inner = name[group.end() :].strip("'\"`")
        return bool(inner) and bool(re.search(rf"(?<!\w){re.escape(inner)}(?!\w)(?=.)", tail, re.DOTALL))
    if _PLACEHOLDER.search(name):
        pattern = _name_pattern(name)
        return any(pattern.search(each) for each in _tails(tail, file))
    return any(_ends_with(each, spelled) for each in _tails(tail, file) for spelled in _spellings(name))


class TestNames:
    """Names of tests in files, as (path, name), to be found by the ids that runners give them.

    A name of "" stands for a file as a whole.
    """

    __test__ = False  # pytest collects classes by this name

    def __init__(self, names: Iterable[tuple[str, str]]) -> None:
        self._by_path: dict[str, dict[str, None]] = {}
        for path, name in names:
            self._by_path.setdefault(path, {})[name] = None

    def __bool__(self) -> bool:
        return bool(self._by_path)

    def has_file(self, path: str) -> bool:
        """Whether one of the names is of the file at `path`."""
        return path in self._by_path

    def find(self, test: str) -> tuple[str, str] | None:
        """The (path, name) that an id means: one of the id's own file, and the longest that fits; None for none.

        An id that names no source file, as those of CTest and some others, may be in any of the files.
        """
        file, _, tail = test.partition("::")
        file = file if tail else file_of_test(test)
        for path in self._paths(file, names_file=bool(tail)):
            names = self._by_path[path]
            for exact in (test, tail, tail.partition("[")[0]):
                if exact and exact in names:
                    return path, exact
        hits = [
            (path, name)
            for path in self._paths(file, names_file=bool(tail))
            for name in itertools.islice(self._by_path[path], _MOST_NAMES)
            if id_has_name(test, name)
        ]
        plain = [each for each in hits if not _GROUP.match(each[1])]
        whole = [(path, "") for path in self._paths(file, names_file=True) if "" in self._by_path[path]]
        return max(plain or hits or whole, key=lambda each: len(each[1]), default=None)

    def _paths(self, file: str, *, names_file: bool) -> list[str]:
        if file in self._by_path:
            return [file]
        own = [path for path in self._by_path if is_file_of_id(path, file)]
        is_source = names_file and "CMake" not in file and re.search(r"\.\w{1,6}$", file)
        return own if own or is_source else list(self._by_path)


def is_file_of_id(path: str, named: str) -> bool:
    """Whether an id's file is `path`: some ids begin at the project's folder and not at the workspace."""
    return bool(named) and (path == named or path.endswith(f"/{named}"))


def _tails(tail: str, file: str) -> Iterator[str]:
    yield tail
    yield tail.partition("[")[0]
    yield _ARGUMENTS.sub("", tail)
    if file.endswith(".go"):
        yield tail.partition("/")[0]


def _spellings(name: str) -> Iterator[str]:
    """A name as its file writes it, and as runners do."""
    yield name
    if ", " in name:
        yield re.sub(r"\s*,\s*", ".", name)  # TEST(Sum, Adds) is Sum.Adds
    if " " in name:
        yield f"test_{re.sub(' +', '_', name)}"  # Rails: test "adds up" is test_adds_up


def _ends_with(tail: str, name: str) -> bool:
    """Whether an id ends with a name that stands for itself there."""
    if not tail.endswith(name):
        return False
    before = tail[: -len(name)]
    return not before or bool(re.search(r"(?:\W|test_\d{4}_)$", before[-_MOST_BEFORE:]))


@lru_cache(maxsize=4_096)
def _name_pattern(name: str) -> re.Pattern[str]:
    """The end of an id that may be of a test whose name has values put into it."""
    first, *others = map(re.escape, _PLACEHOLDER.split(name))
    # Each piece where it first fits, without coming back: a title of many placeholders would take for ever.
    between = "".join(f"(?>.*?{piece})" for piece in others[:-1] if piece)
    return re.compile(rf"(?:^|\W){first}{between}.*{others[-1]}$", re.DOTALL)
