"""Diffs of what calls changed in the files over a turn, a session, or since the tests were green."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from kimi_agent.edit.rendering.diff_view import make_file_diff
from kimi_agent.edit.rendering.git_patch import FileVersion, format_git_patch
from kimi_agent.errors import UserError
from kimi_agent.log.events import Checkpoint, Returned, Said, Stamped
from kimi_agent.log.messages import User
from kimi_agent.log.views import FileDiff, TestReport
from kimi_agent.rewind.preview_diffs import MAX_DIFF_FILE_BYTES, MAX_DIFF_FILES, describe_mode_change, undrawn_diff
from kimi_agent.rewind.tree_changes import TreeChange, read_tree_changes
from kimi_agent.workspace.checkpoint import Checkpoints, PathChange, TreeEntry


@dataclass(frozen=True)
class DiffScope:
    """The part of a session to diff; `turn` counts from 1, 0 is the last one that changed files."""

    kind: Literal["turn", "session", "since-green"]
    turn: int = 0


def parse_diff_scope(text: str) -> DiffScope:
    """`turn`, `turn N` (or N alone), `session` (also ""), `since-green`. Raises UserError."""
    if match := re.fullmatch(r"(?:turn\s*)?(\d{1,6})", text.strip()):
        return DiffScope("turn", int(match[1]))
    match text.strip():
        case "":
            return DiffScope("session")
        case "session" | "turn" | "since-green" as kind:
            return DiffScope(kind)
    raise UserError(f"A diff is of: turn N, session, or since-green; not {text[:60]!r}.")


def draw_changes(log: Iterable[Stamped], checkpoints: Checkpoints, scope: DiffScope) -> tuple[FileDiff, ...]:
    """The diffs of what `find_changes` finds, to be drawn: long ones are cut."""
    changes = find_changes(log, checkpoints, scope)
    drawn = [_file(change, checkpoints) for change in changes[:MAX_DIFF_FILES]]
    if len(changes) > MAX_DIFF_FILES:
        drawn.append(FileDiff(f"… and {len(changes) - MAX_DIFF_FILES:,} more files", "M", 0, 0, ""))
    return tuple(drawn)


def git_patches(found: Iterable[PathChange], checkpoints: Checkpoints) -> Iterator[bytes]:
    """The same changes whole, a patch for each file."""
    for change in found:
        before, after = (
            None if side is None else FileVersion(_git_mode(side), checkpoints.content(side))
            for side in (change.before, change.after)
        )
        if before != after:  # git knows no other permission than to be executed
            yield format_git_patch(os.fsencode(change.path), before, after)


def _git_mode(kept: TreeEntry) -> str:
    return "120000" if kept.kind == "link" else "100755" if kept.mode & 0o100 else "100644"


def find_changes(log: Iterable[Stamped], checkpoints: Checkpoints, scope: DiffScope) -> Sequence[PathChange]:
    """Find what our calls changed. Blocking; takes a snapshot of the files as they are now.

    A turn's changes end with what its last call left; the others with the files as they are. What somebody else changed
    in the same files meanwhile shows in them too, in other files only `since-green`. Raises UserError.
    """
    events = list(log)
    if scope.kind == "since-green":
        green = _green_tree(events)
        if not green:
            raise UserError("No test run has passed in this session, so there is no green to compare with.")
        return checkpoints.changes(green, checkpoints.take().tree)
    spans = read_tree_changes(events)
    if scope.kind == "session":
        return _touched(spans, checkpoints, now=checkpoints.take().tree)
    return _touched(_of_turn(events, spans, scope.turn), checkpoints)


def _of_turn(events: Sequence[Stamped], spans: Sequence[TreeChange], turn: int) -> list[TreeChange]:
    said = ((each.seq, each.event) for each in events if isinstance(each.event, Said))
    starts = [seq for seq, event in said if isinstance(event.message, User) and not event.queued]
    if turn == 0:
        last = max((span.seq for span in spans), default=0)
        turn = sum(start < last for start in starts)
    if not 0 < turn <= len(starts):
        why = f"There is no turn {turn}: this session has {len(starts)}." if turn else "No files were changed yet."
        raise UserError(why)
    end = starts[turn] if turn < len(starts) else events[-1].seq + 1
    return [span for span in spans if starts[turn - 1] < span.seq < end]


def _green_tree(events: Sequence[Stamped]) -> str:
    """The tree that the last test run that passed has left."""
    trees: dict[tuple[int, int], str] = {}
    green = ""
    for each in events:
        match each.event:
            case Checkpoint(tree, _, answer, index):
                trees[answer, index] = tree
            case Returned(answer, index, result):
                if isinstance(result.view, TestReport) and result.view.verdict == "passed":
                    green = trees.get((answer, index), "") or result.view.tree
            case _:
                pass
    return green


def _touched(spans: Sequence[TreeChange], checkpoints: Checkpoints, *, now: str = "") -> list[PathChange]:
    """The paths that the tree changes touched, from their state before the first to the one after the last of them.

    With `now`, to their state in that tree. Trees are compared whole: to look each path up would take long in a folder
    of thousands of files.
    """
    first: dict[str, TreeEntry | None] = {}
    last: dict[str, TreeEntry | None] = {}
    runs = _joined_changes(spans)
    for (before, after), (following, _) in zip(runs, [*runs[1:], (now, now)], strict=False):
        for change in checkpoints.changes(before, after):
            first.setdefault(change.path, change.before)
            last[change.path] = change.after
        if now and after != following:  # what somebody else did before the next one
            last |= {each.path: each.after for each in checkpoints.changes(after, following) if each.path in first}
    return [PathChange(path, first[path], last[path]) for path in sorted(first) if first[path] != last[path]]


def _joined_changes(spans: Sequence[TreeChange]) -> list[tuple[str, str]]:
    """Tree changes between which nobody else changed anything, joined: so trees are compared once for all of them."""
    runs: list[tuple[str, str]] = []
    for span in spans:
        if span.failed or not span.before or not span.after:
            continue
        if runs and runs[-1][1] == span.before:
            runs[-1] = (runs[-1][0], span.after)
        else:
            runs.append((span.before, span.after))
    return runs


def _file(change: PathChange, checkpoints: Checkpoints) -> FileDiff:
    sides = (change.before, change.after)
    if any(side is not None and side.size > MAX_DIFF_FILE_BYTES for side in sides):
        return undrawn_diff(change, f"over {MAX_DIFF_FILE_BYTES // 1_000_000} MB, so its lines are not shown")
    before, after = (None if side is None else checkpoints.content(side) for side in sides)
    drawn = make_file_diff(change.path, before, after)
    return drawn if drawn.diff else replace(drawn, diff=_in_words(change))


def _in_words(change: PathChange) -> str:
    """What happened to a file of which no line differs."""
    before, after = change.before, change.after
    if before is None or after is None:
        kept = after or before
        return "binary" if kept is not None and kept.size else "empty"
    return describe_mode_change(change) or f"binary, {before.size:,} bytes become {after.size:,}"
