"""A preview of a rewind: what would become of the files, as diffs for a person to look through."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from kimi_agent.edit.rendering.diff_view import make_file_diff
from kimi_agent.log.views import FileDiff
from kimi_agent.printable import escape_path
from kimi_agent.workspace.checkpoint.values import PathChange, TreeEntry

MAX_PREVIEW_FILES = 200
"""Diffs of so many files are drawn; the others are named."""
MAX_PREVIEW_BYTES = 1_000_000
"""The same for bytes, of one file; in all twenty times as many."""
_MOST_CHARS = 200_000


def preview_diffs(changes: Iterable[PathChange], content: Callable[[TreeEntry], bytes]) -> tuple[FileDiff, ...]:
    """A FileDiff for each change; without text for what is binary, very long, or has another mode alone."""
    room, drawn, found = 20 * MAX_PREVIEW_BYTES, 0, list[FileDiff]()
    for change in changes:
        size = sum(kept.size for kept in (change.before, change.after) if kept is not None)
        if drawn < MAX_PREVIEW_FILES and size <= min(2 * MAX_PREVIEW_BYTES, room) and not _is_mode(change):
            room, drawn = room - size, drawn + 1
            before, after = (None if kept is None else content(kept) for kept in (change.before, change.after))
            found.append(make_file_diff(change.path, before, after, _MOST_CHARS // 10))
        else:
            found.append(FileDiff(change.path.encode("utf-8", "backslashreplace").decode(), _letter(change), 0, 0, ""))
    return tuple(found)


def describe_mode_changes(changes: Iterable[PathChange]) -> Iterator[str]:
    """A sentence for each file whose content stays, and for each that becomes a link or was one."""
    for change in changes:
        if change.before is None or change.after is None:
            continue
        if change.before.kind != change.after.kind:
            yield f"{escape_path(change.path)}: a {change.before.kind} becomes a {change.after.kind}"
        elif _is_mode(change):
            yield f"{escape_path(change.path)}: mode {change.before.mode:03o} becomes {change.after.mode:03o}"


def _is_mode(change: PathChange) -> bool:
    before, after = change.before, change.after
    return before is not None and after is not None and (before.kind, before.id) == (after.kind, after.id)


def _letter(change: PathChange) -> Literal["M", "A", "D"]:
    return "A" if change.before is None else "D" if change.after is None else "M"
