"""Blame: finds the call that wrote a line, from the file as it is back through what each call made of it."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from kimi_agent.errors import UserError
from kimi_agent.log.events import Opened, Rewound, Said, Stamped
from kimi_agent.log.messages import Assistant, Call, User
from kimi_agent.rewind.tree_changes import TreeChange, read_tree_changes

ReadTreeText = Callable[[str, str], str | None]
"""The text of a path in a tree, None where there is no such file there."""


@dataclass(frozen=True)
class LineAuthor:
    """The call that wrote a line: its session, turn and prompt, and when it ran (Unix seconds)."""

    session: str
    turn: int
    prompt: str
    at: float
    call: Call | None


@dataclass(frozen=True)
class BlamedLine:
    """A line of the file as it is now; `why` says who wrote it where no call did."""

    number: int
    line: str
    author: LineAuthor | None
    why: str = ""


def parse_line_reference(text: str) -> tuple[str, int]:
    """`PATH:LINE` as its two parts. Raises UserError."""
    match = re.fullmatch(r"(.+):(\d{1,9})", text, re.DOTALL)
    if match is None or int(match[2]) < 1:
        raise UserError(f"Say which line: PATH:LINE, such as src/app.py:12; not {text[:100]!r}.")
    return match[1], int(match[2])


def blame_line(
    path: str, number: int, current: str, logs: Iterable[Sequence[Stamped]], text: ReadTreeText
) -> BlamedLine:
    """Find who wrote line `number` (1-based) of `path`, whose text is `current`.

    `logs` are the sessions of this workspace, the last used first; they are read only as far back as is needed.
    Raises UserError where there is no such line.
    """
    lines = current.split("\n")
    if not lines[-1]:
        lines.pop()
    if not 0 < number <= len(lines):
        raise UserError(f"{path} has {len(lines):,} lines; there is no line {number:,}.")
    line, at, now = lines[number - 1], number - 1, current
    for log in logs:
        rewound_to = {each.seq: each.event.to for each in log if isinstance(each.event, Rewound)}
        skipped_from = log[-1].seq + 1 if log else 0
        for change in reversed(read_tree_changes(log)):
            if change.seq >= skipped_from or change.failed or not change.after:
                continue
            if (after := text(change.after, path)) is None:
                continue
            before = text(change.before, path) if change.before else None
            if after == before:
                continue
            if (origin := _origin(after, now, at)) is None:
                why = "changed by hand, or by another program, after the last recorded call"
                return BlamedLine(number, line, None, why)
            at, now = origin, after
            if (origin := _origin(before or "", now, at)) is None:
                if not change.rewind:
                    return BlamedLine(number, line, _author(log, change))
                # A rewind writes nothing: all is as it was before the record that it went back to.
                skipped_from = rewound_to[change.seq]
                continue
            at, now = origin, before or ""
    return BlamedLine(number, line, None, "older than the snapshots that are kept, or never changed by a call")


def _origin(old: str, new: str, at: int) -> int | None:
    """Find the line of `old` that line `at` of `new` comes from, None where it is new. Both numbers count from 0."""
    if old == new:
        return at
    before, after = old.split("\n"), new.split("\n")
    most = min(len(before), len(after))
    head = next((count for count in range(most) if before[count] != after[count]), most)
    if at < head:
        return at
    most -= head
    tail = next((count for count in range(most) if before[-1 - count] != after[-1 - count]), most)
    if at >= len(after) - tail:
        return at - len(after) + len(before)
    matcher = SequenceMatcher(None, before[head : len(before) - tail], after[head : len(after) - tail], autojunk=False)
    for start, begin, size in matcher.get_matching_blocks():
        if begin <= at - head < begin + size:
            return head + start + at - head - begin
    return None


def _author(log: Sequence[Stamped], change: TreeChange) -> LineAuthor:
    session, prompt, turn, call, at = "", "", 0, None, 0.0
    for each in log:
        if each.seq > change.seq:
            break
        at = each.at
        match each.event:
            case Opened(name):
                session = name
            case Said(User() as message, queued=queued):
                turn += not queued
                prompt = message.text
            case Said(Assistant() as message) if each.seq == change.answer and change.index < len(message.calls):
                call = message.calls[change.index]
            case _:
                pass
    return LineAuthor(session, turn, prompt, at, call)
