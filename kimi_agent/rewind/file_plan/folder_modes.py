"""Folder modes in a rewind: the permission bits that our calls gave to folders go back. Pure."""

from collections.abc import Callable, Iterator, Sequence

from kimi_agent.printable import escape_path
from kimi_agent.rewind.file_plan.authorship import SnapshotAccess
from kimi_agent.rewind.tree_changes import TreeChange
from kimi_agent.workspace.checkpoint.snapshot_values import FolderModeChange


def plan_folder_modes(
    spans: Sequence[TreeChange], now: str, trees: SnapshotAccess, wanted: Callable[[str], bool]
) -> tuple[FolderModeChange, ...]:
    """The folders that get the bits back which they had before the first of `spans`. Raises SnapshotError.

    One whose bits somebody else has changed since our last change of them is left as it is.
    """
    if not spans:
        return ()
    ours: dict[str, int] = {}
    for span in spans:
        for change in trees.folder_mode_changes(span.before, span.after or now):
            ours[change.path] = change.after
    changes = trees.folder_mode_changes(now, spans[0].before)
    return tuple(each for each in changes if wanted(each.path) and ours.get(each.path) == each.before)


def describe_folder_modes(changes: Sequence[FolderModeChange]) -> Iterator[str]:
    """A sentence for each folder."""
    for change in changes:
        yield f"{escape_path(change.path)}/: mode {change.before:03o} becomes {change.after:03o}"
