"""Ignored files in a rewind: each restored only from snapshots that were asked to hold it. Pure.

A snapshot holds only those ignored files that it was asked for: before a call that names `.env`, for example. Other
snapshots prove nothing about such a file, so its tree before the first change and its state after our last are noted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kimi_agent.workspace.checkpoint.snapshot_values import FolderModeChange, PathChange, Snapshot, TreeEntry
from kimi_agent.workspace.checkpoint.tree_changes import TreeChange


class SnapshotAccess(Protocol):
    """The part of `Checkpoints` that a rewind needs; blocking, and each method may raise SnapshotError."""

    def take(self, also: Sequence[str] = ()) -> Snapshot: ...
    def changes(self, old: str, new: str) -> tuple[PathChange, ...]: ...
    def folder_mode(self, tree: str, path: str) -> int | None: ...
    def folder_mode_changes(self, old: str, new: str) -> tuple[FolderModeChange, ...]: ...
    def content(self, entry: TreeEntry) -> bytes: ...
    def has(self, tree: str) -> bool: ...
    def requested_ignored(self, tree: str) -> tuple[str, ...]: ...
    def held_ignored(self, tree: str) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class IgnoredFile:
    """An ignored file that a call changed: the tree `first` holds it as it was before, `last` is how we left it.

    `mixed` says that somebody else may have changed it between calls of ours.
    """

    first: str
    last: TreeEntry | None
    mixed: bool


def find_ignored_files(spans: Sequence[TreeChange], trees: SnapshotAccess) -> dict[str, IgnoredFile]:
    """The ignored files that these tree changes changed, or may have. Raises SnapshotError."""
    found: dict[str, IgnoredFile] = {}
    for span in spans:
        if span.failed or not span.before or not (asked := trees.requested_ignored(span.before)):
            continue
        held = set(trees.held_ignored(span.before))
        if not span.after or trees.requested_ignored(span.after) != asked:
            for path in held:  # a call that was cut off: nobody looked at these again
                found[path] = IgnoredFile(found[path].first if path in found else span.before, None, mixed=True)
            continue
        held.update(trees.held_ignored(span.after))
        for change in trees.changes(span.before, span.after):
            if change.path in held:
                known = found.get(change.path)
                mixed = known is not None and (known.mixed or known.last != change.before)
                found[change.path] = IgnoredFile(known.first if known else span.before, change.after, mixed)
    return found


def plan_ignored_files(
    ignored: Mapping[str, IgnoredFile], now: str, trees: SnapshotAccess, wanted: Callable[[str], bool], missed: set[str]
) -> tuple[list[PathChange], list[PathChange]]:
    """The changes that restore ignored files: those that only we changed, and those that somebody else did too.

    The tree `now` must have been asked to hold all of them. Raises SnapshotError.
    """
    ours: list[PathChange] = []
    yours: list[PathChange] = []
    for tree in sorted({each.first for each in ignored.values()}):
        for change in trees.changes(now, tree):
            file = ignored.get(change.path)
            if file is not None and file.first == tree and wanted(change.path) and change.path not in missed:
                (yours if file.mixed or file.last != change.before else ours).append(change)
    return ours, yours
