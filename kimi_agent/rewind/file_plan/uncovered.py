"""Uncovered changes: what undo leaves, moves of which snapshots hold one end, and what is no file they keep. Pure.

A folder is moved with all that is in it, and its ignored files, or its `.git`, cannot be moved back: to restore the
rest would leave one folder in two halves. So such a move stays as it is, and is named.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from kimi_agent.printable import escape_path, list_paths
from kimi_agent.workspace.checkpoint.ignore_rules import is_litter
from kimi_agent.workspace.checkpoint.snapshot_values import PathChange, UnkeptPaths
from kimi_agent.workspace.paths import is_beneath, parent_folders


@dataclass(frozen=True)
class HalfMove:
    """The folder `source` was moved to `target`, together with `held` (relative to it), which no snapshot holds."""

    source: str
    target: str
    held: str

    def covers(self, change: PathChange) -> bool:
        """Whether the change would bring a file of the move back to the one end, or take it from the other."""
        if change.before is None:
            return is_beneath(change.path, self.source)
        return change.after is None and is_beneath(change.path, self.target)

    def __str__(self) -> str:
        return f"{escape_path(self.source)} to {escape_path(self.target)} (with {escape_path(self.held)})"


def find_half_moves(
    found: Sequence[PathChange], then: UnkeptPaths | None, exists: Callable[[str], bool]
) -> tuple[HalfMove, ...]:
    """The moves of folders among the changes `found` (from the files of today to those of then) that cannot go back.

    `exists` says whether there is anything at a path now.
    """
    back = {(each.after.id, _name(each.path)): each.path for each in found if each.before is None and each.after}
    pairs = dict[tuple[str, str], None]()
    for each in found:
        if each.after is None and each.before and (old := back.get((each.before.id, _name(each.path)))):
            pairs |= dict.fromkeys(_moved_folders(old, each.path))
    moves = dict[tuple[str, str], HalfMove]()
    for source, target in pairs:
        if (held := _held(source, target, then, exists)) is not None:
            moves[source, target] = HalfMove(source, target, held)
    return tuple(moves.values())


def _moved_folders(old: str, new: str) -> Iterator[tuple[str, str]]:
    """The pairs of folders whose move would bring `old` to `new`: up to where their names differ."""
    before, after = old.split("/"), new.split("/")
    for depth in range(1, min(len(before), len(after))):
        if before[-depth:] != after[-depth:]:
            return
        source, target = "/".join(before[:-depth]), "/".join(after[:-depth])
        if source != target:
            yield source, target


def _held(source: str, target: str, then: UnkeptPaths | None, exists: Callable[[str], bool]) -> str | None:
    """Something of the folder that moved along and that no snapshot holds, None where there is nothing."""
    inner = [".git"]
    if then is not None:
        below = source + "/"
        inner += sorted(path[len(below) :] for path in then.files if path.startswith(below) and not is_litter(path))
    for path in inner:
        plain = path.rstrip("/")
        if plain and exists(f"{target}/{plain}") and not exists(f"{source}/{plain}"):
            return path
    return None


def describe_uncovered(
    deleted: Iterable[str],
    then: UnkeptPaths | None,
    now: UnkeptPaths | None,
    wanted: Callable[[str], bool],
    exists: Callable[[str], bool],
) -> Iterator[str]:
    """A line for each kind of thing that was made or removed since then and that undo leaves so.

    `deleted` are the files that undo would delete.
    """
    repositories = {f"{folder}/.git" for path in deleted for folder in parent_folders(path)}
    if found := sorted(path for path in repositories if exists(path)):
        yield f"left, for repositories are no part of undo: {list_paths(found)}"
    if then is None or now is None:
        return
    for what, old, new in (
        ("ignored or no part of a snapshot", then.files, now.files),
        ("empty folders", then.empty, now.empty),
    ):
        made = sorted(path for path in new - old if wanted(path) and not _inside(path, old))
        gone = sorted(path for path in old - new if wanted(path) and not exists(path.rstrip("/")))
        if made:
            yield f"left, for undo does not cover them ({what}): {list_paths(made)}"
        if gone:
            yield f"not brought back, for undo does not cover them ({what}): {list_paths(gone)}"


def _inside(path: str, folders: Collection[str]) -> bool:
    return any(folder + "/" in folders for folder in parent_folders(path.rstrip("/")))


def _name(path: str) -> str:
    return path.rpartition("/")[2]
