"""Files that a snapshot did not hold only because they were ignored then: they must not be taken for new ones."""

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from kimi_agent.workspace.checkpoint.values import Kept, PathChange

_NAME = ".gitignore"


def perhaps_older(changes: Iterable[PathChange], content: Callable[[Kept], bytes]) -> Callable[[str], bool]:
    """A test for paths that are not in the target of `changes`: may the path have stood there, ignored?

    So it is where a `.gitignore` above it loses by these changes' reverse a line that may name it, or gained an
    exception. Names too much rather than too little: a file that is left can be deleted, one that is deleted is missed.
    """
    rules = [
        (change.path.removesuffix(_NAME), pattern)
        for change in changes
        if change.path.rpartition("/")[2] == _NAME
        for pattern in _freed(_lines(change.after, content), _lines(change.before, content))
    ]
    return lambda path: any(path.startswith(folder) and _may_name(rule, path[len(folder) :]) for folder, rule in rules)


def _lines(kept: Kept | None, content: Callable[[Kept], bytes]) -> set[str]:
    if kept is None or kept.kind != "file":
        return set()
    lines = content(kept).decode("utf-8", "surrogateescape").splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def _freed(then: set[str], now: set[str]) -> set[str]:
    """The patterns whose files are ignored by the lines of then and not by those of now."""
    lost = {line for line in then - now if not line.startswith("!")}
    return {line.lstrip("!") for line in lost | {line for line in now - then if line.startswith("!")}}


def _may_name(pattern: str, path: str) -> bool:
    """Whether a part of `path` is like the last part of the pattern."""
    last = pattern.replace("\\", "").rstrip("/").rpartition("/")[2].replace("**", "*")
    return any(fnmatchcase(part, last) for part in path.split("/"))
