"""/undo, /redo, /rewind and /diff: show what would come back, ask, do it, say what was done."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from kimi_agent.errors import UserError
from kimi_agent.faces.sanitize import clean_line
from kimi_agent.faces.theme import Ink
from kimi_agent.log.events import Ask, Question
from kimi_agent.log.views import DiffView, FileDiff

if TYPE_CHECKING:  # it knows the log and the snapshots, and the first prompt does not wait for those
    from kimi_agent.rewind.values import Done, Plan, Turn

What = Literal["chat", "code", "both"]
_WHATS: tuple[What, ...] = ("chat", "code", "both")
_MOST_NAMES = 5
_MOST_TURNS = 20
_MOST_FILES = 50
"""So many are drawn in a question; thousands would push all else out of the scrollback."""


class Rewinding(Protocol):
    """Plans a way back, and goes it."""

    def turns(self) -> list[Turn]: ...

    async def plan(self, to: int, what: What = "both", *, paths: Sequence[str] = ()) -> Plan: ...

    async def plan_undo(self) -> Plan: ...

    async def plan_redo(self) -> Plan: ...

    async def carry_out(self, plan: Plan, *, yours: Literal["refuse", "keep", "overwrite"] = "refuse") -> Done: ...


@dataclass(frozen=True)
class Wish:
    """A line behind /rewind: which turn, what of it, which files (then only those)."""

    turn: int
    what: What = "both"
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gone:
    """What came of it: a sentence, and the prompt that was taken back ("" where none was)."""

    text: str
    prompt: str = ""


def read_wish(rest: str) -> Wish:
    """`N [chat|code|both] [FILE...]`. Raises UserError."""
    words = rest.split()
    if not words or re.fullmatch(r"\d{1,9}", words[0]) is None:
        raise UserError("Say which turn: /rewind N [chat|code|both] [FILE...]; /rewind alone lists them.")
    what = next((each for each in _WHATS if words[1:2] == [each]), None)
    paths = tuple(words[2:] if what else words[1:])
    if paths and what == "chat":
        raise UserError("The chat goes back as a whole; leave the files out.")
    return Wish(int(words[0]), what or ("code" if paths else "both"), paths)


def turn_rows(turns: Sequence[Turn], ink: Ink, columns: int, ago: Callable[[float], str]) -> list[str]:
    """The turns that one can go back to, the last one first."""
    rows = []
    for turn in list(reversed(turns))[:_MOST_TURNS]:
        files = f"{len(turn.files)} file{'' if len(turn.files) == 1 else 's'}" if turn.files else "no files"
        said = clean_line(turn.prompt, max(10, columns - 34)) or "(empty)"
        rows.append(f"{turn.number:>3}  {ink('dim', f'{ago(turn.at):>10}  {files:>8}')}  {said}")
    return rows


async def go_back(name: str, rest: str, rewinding: Rewinding, ask: Ask) -> Gone:
    """Carry out /undo, /redo or /rewind N. Raises UserError; then nothing has changed."""
    if name == "undo":
        plan = await rewinding.plan_undo()
    elif name == "redo":
        plan = await rewinding.plan_redo()
    else:
        wish = read_wish(rest)
        plan = await rewinding.plan(_seq(rewinding.turns(), wish.turn), wish.what, paths=wish.paths)
    if name == "rewind" and plan.what == "code" and not plan.diff:
        return Gone("Nothing was changed: no file is different from then.")
    shown = DiffView(plan.diff[:_MOST_FILES]) if plan.diff else None
    unseen = len(plan.diff) - _MOST_FILES
    more = f"And {unseen:,} more file{'' if unseen == 1 else 's'}, not shown.\n" if unseen > 0 else ""
    decision = await ask(Question("", title(name, plan), shown, more + why(plan)))
    if not decision.allowed:
        return Gone("Nothing was changed.")
    yours = await _about_yours(plan, ask)
    if yours is None:
        return Gone("Nothing was changed.")
    return _gone(name, plan, await rewinding.carry_out(plan, yours=yours))


def _seq(turns: Sequence[Turn], number: int) -> int:
    found = next((turn.seq for turn in turns if turn.number == number), None)
    if found is None:
        raise UserError(f"There is no turn {number} to go back to; /rewind lists them.")
    return found


def title(name: str, plan: Plan) -> str:
    """The question in one line."""
    parts = []
    if plan.what != "code":
        taken = f"{plan.lost_messages} message{'' if plan.lost_messages == 1 else 's'}"
        parts.append("the chat" if name == "redo" else taken)
    if plan.what != "chat":
        parts.append(f"{len(plan.diff):,} file{'' if len(plan.diff) == 1 else 's'}")
    verb = "Bring back" if name == "redo" else "Take back"
    return f"{verb} {' and '.join(parts)}?"


def why(plan: Plan) -> str:
    """What else a person should know before they answer."""
    lines = list(plan.notes)
    if plan.diff:
        lines.append("The diff shows what would happen to the files now.")
    if plan.yours:
        lines.append(
            f"Also changed by you or another program since: {named(plan.yours)}; you are asked about that next."
        )
    return "\n".join(lines)


def named(paths: Sequence[str]) -> str:
    """A few of the paths, and how many more."""
    more = f" and {len(paths) - _MOST_NAMES} more" if len(paths) > _MOST_NAMES else ""
    return ", ".join(clean_line(each, 100) for each in paths[:_MOST_NAMES]) + more


async def _about_yours(plan: Plan, ask: Ask) -> Literal["refuse", "keep", "overwrite"] | None:
    """What is to become of files that somebody else changed too."""
    if not plan.yours:
        return "refuse"
    text = f"Overwrite {named(plan.yours)} too?"
    what = "No leaves what you changed as it is, and the rest goes back. After a yes, /redo brings your changes back."
    decision = await ask(Question("", text, None, what))
    return "overwrite" if decision.allowed else "keep"


def _gone(name: str, plan: Plan, done: Done) -> Gone:
    parts = []
    if plan.what != "code":
        parts.append("the chat is back" if name == "redo" else "the chat is back at that point")
    if plan.what != "chat":
        parts.append(f"{done.restored:,} file{'' if done.restored == 1 else 's'} restored")
    if done.kept:
        parts.append(f"left as they are: {named(done.kept)}")
    other = "/undo" if name == "redo" else "/redo"
    text = "; ".join(parts)
    return Gone(f"{text[:1].upper()}{text[1:]}. {other} takes this back.", done.prompt)


Differing = Callable[[str], Awaitable[Sequence[FileDiff]]]
"""The diff of a scope: "turn 3", "session", "since-green". Raises UserError."""
