"""What calls changed in the files over a turn, a session, or since the tests were green."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from kimi_agent.edit.diff import file_diff
from kimi_agent.errors import UserError
from kimi_agent.log.events import Checkpoint, Returned, Said, Stamped
from kimi_agent.log.messages import User
from kimi_agent.log.views import FileDiff, TestReport
from kimi_agent.workspace.checkpoint import Checkpoints, Kept, PathChange
from kimi_agent.workspace.checkpoint.timeline import Span, spans

MAX_FILES = 200
MAX_BYTES = 2_000_000
"""A file bigger than this is named, and its diff left out."""


@dataclass(frozen=True)
class Scope:
    """What is asked for; `turn` counts from 1, 0 is the last one that changed files."""

    kind: Literal["turn", "session", "since-green"]
    turn: int = 0


def read_scope(text: str) -> Scope:
    """`turn`, `turn N` (or N alone), `session` (also ""), `since-green`. Raises UserError."""
    match = re.fullmatch(r"(?:turn\s*)?(\d{1,6})", text.strip())
    if match:
        return Scope("turn", int(match[1]))
    match text.strip():
        case "" | "session":
            return Scope("session")
        case "turn":
            return Scope("turn")
        case "since-green":
            return Scope("since-green")
    raise UserError(f"A diff is of: turn N, session, or since-green; not {text[:60]!r}.")


def difference(log: Iterable[Stamped], checkpoints: Checkpoints, scope: Scope) -> tuple[FileDiff, ...]:
    """The diffs of what our calls changed. Blocking; takes a snapshot of the files as they are now.

    A turn's diff ends with what its last call left; the others with the files as they are. What somebody else changed
    in the same files meanwhile shows in them too, in other files only `since-green`. Raises UserError.
    """
    events = list(log)
    if scope.kind == "since-green":
        green = _green_tree(events)
        if not green:
            raise UserError("No test run has passed in this session, so there is no green to compare with.")
        return _drawn(checkpoints.changes(green, checkpoints.take().tree), checkpoints)
    done = spans(events)
    if scope.kind == "session":
        now = checkpoints.take().tree
        touched = _touched(done, checkpoints)
        current = ((each.path, each.before, checkpoints.standing(now, each.path)) for each in touched)
        return _drawn([PathChange(*each) for each in current if each[1] != each[2]], checkpoints)
    return _drawn(_touched(_of_turn(events, done, scope.turn), checkpoints), checkpoints)


def _of_turn(events: Sequence[Stamped], done: Sequence[Span], turn: int) -> list[Span]:
    starts = [each.seq for each in events if isinstance(each.event, Said) and _is_prompt(each.event)]
    if turn == 0:
        last = max((span.seq for span in done), default=0)
        turn = sum(start < last for start in starts)
    if not 0 < turn <= len(starts):
        raise UserError(
            f"There is no turn {turn}: this session has {len(starts)}." if turn else "No files were changed yet."
        )
    end = starts[turn] if turn < len(starts) else events[-1].seq + 1
    return [span for span in done if starts[turn - 1] < span.seq < end]


def _is_prompt(said: Said) -> bool:
    return isinstance(said.message, User) and not said.queued


def _green_tree(events: Sequence[Stamped]) -> str:
    """The files as the last test run that passed left them."""
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


def _touched(done: Sequence[Span], checkpoints: Checkpoints) -> list[PathChange]:
    """Each path that the spans changed, from what it was before the first to what it was after the last of them."""
    first: dict[str, Kept | None] = {}
    last: dict[str, Kept | None] = {}
    for before, after in _runs(done):
        for change in checkpoints.changes(before, after):
            first.setdefault(change.path, change.before)
            last[change.path] = change.after
    return [PathChange(path, first[path], last[path]) for path in sorted(first) if first[path] != last[path]]


def _runs(done: Sequence[Span]) -> list[tuple[str, str]]:
    """Spans between which nobody else changed anything, joined: one look at the trees for all of them."""
    runs: list[tuple[str, str]] = []
    for span in done:
        if span.failed or not span.before or not span.after:
            continue
        if runs and runs[-1][1] == span.before:
            runs[-1] = (runs[-1][0], span.after)
        else:
            runs.append((span.before, span.after))
    return runs


def _drawn(changes: Sequence[PathChange], checkpoints: Checkpoints) -> tuple[FileDiff, ...]:
    drawn = [_file(change, checkpoints) for change in changes[:MAX_FILES]]
    if len(changes) > MAX_FILES:
        drawn.append(FileDiff(f"… and {len(changes) - MAX_FILES:,} more files", "M", 0, 0, ""))
    return tuple(drawn)


def _file(change: PathChange, checkpoints: Checkpoints) -> FileDiff:
    sides = (change.before, change.after)
    shown = change.path.encode("utf-8", "backslashreplace").decode()
    letter: Literal["M", "A", "D"] = "A" if change.before is None else "D" if change.after is None else "M"
    if any(side is not None and side.size > MAX_BYTES for side in sides):
        return FileDiff(shown, letter, 0, 0, "")
    before, after = (None if side is None else checkpoints.content(side) for side in sides)
    return file_diff(change.path, before, after)
