"""Formerly ignored files: missing from a snapshot only for that reason, so not to be taken for new ones."""

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from kimi_agent.workspace.checkpoint.snapshot_values import PathChange, TreeEntry

_NAME = ".gitignore"


def make_formerly_ignored_test(
    changes: Iterable[PathChange], content: Callable[[TreeEntry], bytes]
) -> Callable[[str], bool]:
    """Make a test whether a path that is not in the target of `changes` may have been there, but ignored.

    It may where a `.gitignore` above it had, in the target, a line that may match it and that is gone now, or where one
    got an exception since. Example: the target ignores `*.log` and today's files do not, so `a.log` may be older than
    the target. The test is true rather too often: a file that is left can be deleted, one that is deleted is missed.
    """
    rules = [
        (change.path.removesuffix(_NAME), pattern)
        for change in changes
        if change.path.rpartition("/")[2] == _NAME
        for pattern in _no_longer_ignored(_lines(change.after, content), _lines(change.before, content))
    ]
    return lambda path: any(path.startswith(folder) and _may_name(rule, path[len(folder) :]) for folder, rule in rules)


def _lines(kept: TreeEntry | None, content: Callable[[TreeEntry], bytes]) -> set[str]:
    if kept is None or kept.kind != "file":
        return set()
    lines = content(kept).decode("utf-8", "surrogateescape").splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def _no_longer_ignored(then: set[str], now: set[str]) -> set[str]:
    """The patterns that ignore files by the lines of `then` and no longer by those of `now`."""
    lost = {line for line in then - now if not line.startswith("!")}
    return {line.lstrip("!") for line in lost | {line for line in now - then if line.startswith("!")}}


def _may_name(pattern: str, path: str) -> bool:
    """Whether a part of `path` is like the last part of the pattern."""
    last = pattern.replace("\\", "").rstrip("/").rpartition("/")[2].replace("**", "*")
    return any(fnmatchcase(part, last) for part in path.split("/"))
