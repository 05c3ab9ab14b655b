"""Ignored files in a rewind: each restored only from snapshots that were asked to hold it. Pure.

A snapshot holds only those ignored files that it was asked for: before a call that names `.env`, for example. Other
snapshots prove nothing about such a file, so its tree before the first change and its state after our last are noted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from kimi_agent.rewind.file_plan.authorship import SnapshotAccess, find_restored_ignored
from kimi_agent.rewind.tree_changes import TreeChange
from kimi_agent.workspace.checkpoint.snapshot_values import PathChange, TreeEntry
from kimi_agent.workspace.paths import is_beneath


@dataclass(frozen=True)
class IgnoredFile:
    """An ignored file that a call changed: the tree `first` holds it as it was before, `last` is how we left it.

    `mixed` says that somebody else may have changed it between calls of ours, `absent` that nothing was there before,
    although that tree was not asked to hold it.
    """

    first: str
    last: TreeEntry | None
    mixed: bool
    absent: bool = False


def find_ignored_files(spans: Sequence[TreeChange], trees: SnapshotAccess) -> dict[str, IgnoredFile]:
    """The ignored files that these tree changes changed, or may have. Raises SnapshotError."""
    found: dict[str, IgnoredFile] = {}
    for span in spans:
        if span.failed or not span.before:
            continue
        for change in find_restored_ignored(span, trees):
            if change.path in found:
                found[change.path] = replace(found[change.path], last=change.after)
            elif trees.entry_at(spans[0].before, change.path) is None:  # else the target tells its state
                found[change.path] = IgnoredFile(span.before, change.after, mixed=False, absent=True)
        if not (asked := trees.requested_ignored(span.before)):
            continue
        held = set(trees.held_ignored(span.before))
        if not span.after or not set(asked) <= set(trees.requested_ignored(span.after)):
            for path in held:  # a call that was cut off: nobody looked at these again
                before = found.get(path) or IgnoredFile(span.before, None, mixed=True)
                found[path] = replace(before, last=None, mixed=True)
            continue
        # Others that the later one holds, a rule came to ignore meanwhile: the earlier one knows them as any file.
        held.update(path for path in trees.held_ignored(span.after) if _is_asked_for(path, asked))
        for change in trees.changes(span.before, span.after):
            if change.path in held:
                known = found.get(change.path)
                mixed = known is not None and (known.mixed or known.last != change.before)
                first, absent = (known.first, known.absent) if known else (span.before, False)
                found[change.path] = IgnoredFile(first, change.after, mixed, absent)
    return found


def plan_ignored_files(
    ignored: Mapping[str, IgnoredFile], now: str, trees: SnapshotAccess, wanted: Callable[[str], bool]
) -> tuple[list[PathChange], list[PathChange]]:
    """The changes that restore ignored files: those that only we changed, and those that somebody else did too.

    The tree `now` must have been asked to hold all of them. Raises SnapshotError.
    """
    ours: list[PathChange] = []
    yours: list[PathChange] = []
    for tree in sorted({each.first for each in ignored.values()}):
        for change in trees.changes(now, tree):
            file = ignored.get(change.path)
            if file is not None and file.first == tree and wanted(change.path):
                (yours if file.mixed or file.last != change.before else ours).append(change)
    for path, file in ignored.items():
        if file.absent and wanted(path) and (entry := trees.entry_at(now, path)) is not None:
            (yours if file.mixed or file.last != entry else ours).append(PathChange(path, entry, None))
    return ours, yours


def _is_asked_for(path: str, asked: Sequence[str]) -> bool:
    return any(is_beneath(path, each) for each in asked)
