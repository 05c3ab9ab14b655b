"""A preview of a rewind as diffs for a person, and how a change is named whose lines are not shown."""

import contextlib
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

from kimi_agent.edit.rendering.diff_view import make_file_diff
from kimi_agent.log.views import FileDiff
from kimi_agent.printable import escape_path, format_count
from kimi_agent.workspace.checkpoint.snapshot_values import PathChange, TreeEntry

MAX_DIFF_FILES = 200
"""Diffs are drawn for so many files; the others are only named."""
MAX_DIFF_FILE_BYTES = 2_000_000
"""Bytes of one file that are drawn; in all ten times as many."""
_MOST_CHARS = 200_000


def preview_diffs(changes: Iterable[PathChange], content: Callable[[TreeEntry], bytes]) -> tuple[FileDiff, ...]:
    """A FileDiff for each change; without text for what is binary, very long, or has another mode alone."""
    room, drawn, found = 10 * MAX_DIFF_FILE_BYTES, 0, list[FileDiff]()
    for change in changes:
        size = sum(kept.size for kept in (change.before, change.after) if kept is not None)
        if drawn < MAX_DIFF_FILES and size <= min(MAX_DIFF_FILE_BYTES, room) and not _is_mode(change):
            room, drawn = room - size, drawn + 1
            before, after = (None if kept is None else content(kept) for kept in (change.before, change.after))
            found.append(make_file_diff(change.path, before, after, _MOST_CHARS // 10))
        else:
            found.append(undrawn_diff(change))
    return tuple(found)


def undrawn_diff(change: PathChange, why: str = "") -> FileDiff:
    """A FileDiff without lines: the name of the changed file, and `why` its lines are not shown."""
    letter: Literal["M", "A", "D"] = "A" if change.before is None else "D" if change.after is None else "M"
    return FileDiff(change.path.encode("utf-8", "backslashreplace").decode(), letter, 0, 0, why)


def describe_mode_changes(changes: Iterable[PathChange]) -> Iterator[str]:
    """A sentence for each file whose content stays, and for each that becomes a link or was one."""
    for change in changes:
        if words := describe_mode_change(change):
            yield f"{escape_path(change.path)}: {words}"


def describe_mode_change(change: PathChange) -> str:
    """Describe what became of a file's kind, or of its mode where its content stays; "" where neither changed."""
    before, after = change.before, change.after
    if before is None or after is None:
        return ""
    if before.kind != after.kind:
        return f"a {before.kind} becomes a {after.kind}"
    return f"mode {before.mode:03o} becomes {after.mode:03o}" if before.id == after.id else ""


def describe_split_links(changes: Iterable[PathChange], root: Path) -> Iterator[str]:
    """A sentence for each file that has other names: they keep what it holds now."""
    for change in changes:
        place = root / change.path
        with contextlib.suppress(OSError):
            found = place.lstat()
            if change.before is not None and stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
                others = format_count(found.st_nlink - 1, "other name")
                yield f"{escape_path(change.path)}: a hard link; its {others} will keep what is in it now"


def _is_mode(change: PathChange) -> bool:
    before, after = change.before, change.after
    return before is not None and after is not None and (before.kind, before.id) == (after.kind, after.id)
