"""Rewind commands (/undo, /redo, /rewind) at the REPL: show what would come back, ask, do it, report it.

Also the type of what /diff asks for.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, get_args

from kimi_agent.errors import UserError
from kimi_agent.faces.sanitize import sanitize_line
from kimi_agent.faces.summary_lines import format_age
from kimi_agent.faces.theme import Theme
from kimi_agent.log.questions import Ask, Question
from kimi_agent.log.views import DiffView, FileDiff
from kimi_agent.printable import format_count, join_some
from kimi_agent.rewind.rewind_plan import ConflictChoice, RewindOutcome, RewindPlan, RewindScope, RewindTurn

_MOST_NAMES = 5
_MOST_TURNS = 20
_MOST_FILES = 50
"""So many are drawn in a question; thousands would push all else out of the scrollback."""


class RewindPlanner(Protocol):
    """Plans a rewind, undo or redo, and carries it out."""

    def turns(self) -> list[RewindTurn]: ...

    async def plan(self, to: int, what: RewindScope = "both", *, paths: Sequence[str] = ()) -> RewindPlan: ...

    async def plan_undo(self) -> RewindPlan: ...

    async def plan_redo(self) -> RewindPlan: ...

    async def carry_out(
        self, plan: RewindPlan, *, yours: ConflictChoice = "refuse", unsure: bool = False
    ) -> RewindOutcome: ...


@dataclass(frozen=True)
class RewindRequest:
    """The arguments of /rewind: which turn, what of it, which files (then only those)."""

    turn: int
    what: RewindScope = "both"
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class RewindResult:
    """The outcome of a rewind: a sentence, and the prompt that was taken back ("" where none was)."""

    text: str
    prompt: str = ""


def parse_rewind_request(rest: str) -> RewindRequest:
    """`N [chat|code|both] [FILE...]`. Raises UserError."""
    words = rest.split()
    if not words or re.fullmatch(r"\d{1,9}", words[0]) is None:
        raise UserError("Say which turn: /rewind N [chat|code|both] [FILE...]; /rewind alone lists them.")
    scopes: tuple[RewindScope, ...] = get_args(RewindScope)
    what = next((each for each in scopes if words[1:2] == [each]), None)
    paths = tuple(words[2:] if what else words[1:])
    if paths and what == "chat":
        raise UserError("The chat goes back as a whole; leave the files out.")
    return RewindRequest(int(words[0]), what or ("code" if paths else "both"), paths)


def rewindable_turn_rows(turns: Sequence[RewindTurn], theme: Theme, columns: int, now: float) -> list[str]:
    """The turns that one can go back to, the last one first."""
    rows = []
    for turn in list(reversed(turns))[:_MOST_TURNS]:
        files = format_count(len(turn.files), "file") if turn.files else "no files"
        said = sanitize_line(turn.prompt, max(10, columns - 34)) or "(empty)"
        rows.append(f"{turn.number:>3}  {theme('dim', f'{format_age(now - turn.at):>10}  {files:>8}')}  {said}")
    return rows


async def run_rewind_command(name: str, rest: str, rewinder: RewindPlanner, ask: Ask) -> RewindResult:
    """Carry out /undo, /redo or /rewind N. Raises UserError; then nothing has changed."""
    if name == "undo":
        plan = await rewinder.plan_undo()
    elif name == "redo":
        plan = await rewinder.plan_redo()
    else:
        request = parse_rewind_request(rest)
        plan = await rewinder.plan(_seq(rewinder.turns(), request.turn), request.what, paths=request.paths)
    if name == "rewind" and plan.what == "code" and not plan.diff:
        return RewindResult("Nothing was changed: no file is different from then.")
    done = await confirm_and_rewind(name, plan, rewinder, ask)
    return RewindResult("Nothing was changed.") if done is None else _describe_rewind(name, plan, done)


async def confirm_and_rewind(
    name: str,
    plan: RewindPlan,
    rewinder: RewindPlanner,
    ask: Ask,
    *,
    yours: ConflictChoice | None = None,
    most_files: int = _MOST_FILES,
) -> RewindOutcome | None:
    """Ask whether to do what is planned, and do it; None after a no. Raises UserError; then nothing has changed.

    `yours` says what becomes of files that somebody else changed too, where that need not be asked; it then holds for
    those of which nobody can tell who wrote them as well. The question shows the diffs of at most `most_files` files.
    """
    if yours == "keep":  # they are not in question
        plan = replace(plan, diff=tuple(each for each in plan.diff if each.path not in plan.yours))
    shown = DiffView(plan.diff[:most_files]) if plan.diff else None
    unseen = len(plan.diff) - most_files
    more = f"And {format_count(unseen, 'more file')}, not shown.\n" if unseen > 0 else ""
    decision = await ask(Question("", rewind_question(name, plan), shown, more + rewind_question_details(plan, yours)))
    if not decision.allowed:
        return None
    unsure = yours == "overwrite" or (yours is None and await _ask_about_unsure_changes(plan, ask))
    if yours is None:
        yours = await _ask_about_your_changes(plan, ask)
    return await rewinder.carry_out(plan, yours=yours, unsure=unsure)


def _seq(turns: Sequence[RewindTurn], number: int) -> int:
    found = next((turn.seq for turn in turns if turn.number == number), None)
    if found is None:
        raise UserError(f"There is no turn {number} to go back to; /rewind lists them.")
    return found


def rewind_question(name: str, plan: RewindPlan) -> str:
    """The question in one line."""
    parts = []
    if plan.what != "code":
        parts.append("the chat" if name == "redo" else format_count(plan.lost_messages, "message"))
    if plan.what != "chat":
        parts.append(format_count(len(plan.diff), "file"))
    verb = "Bring back" if name == "redo" else "Take back"
    return f"{verb} {' and '.join(parts)}?"


_FATES = {
    "keep": "; they stay as they are (--yours keep).",
    "overwrite": "; they go back too (--yours overwrite).",
    None: "; you are asked about that next.",
}


def rewind_question_details(plan: RewindPlan, yours: ConflictChoice | None = None) -> str:
    """What else a person should know before they answer; `yours` as for `confirm_and_rewind`."""
    lines = list(plan.notes)
    if plan.diff:
        lines.append("The diff shows what would happen to the files now.")
    if plan.yours:
        lines.append(f"Also changed by you or another program since: {join_paths(plan.yours)}{_FATES.get(yours, '')}")
    if plan.unsure:
        lines.append(
            f"Written while a command ran, perhaps by you: {join_paths(plan.unsure)}; left unless you say yes."
        )
    return "\n".join(lines)


def join_paths(paths: Sequence[str]) -> str:
    """A few of the paths, and how many more."""
    return join_some(paths, _MOST_NAMES, lambda path: sanitize_line(path, 100))


async def _ask_about_your_changes(plan: RewindPlan, ask: Ask) -> ConflictChoice:
    """Ask whether files that somebody else changed too are overwritten or kept."""
    if not plan.yours:
        return "refuse"
    text = f"Overwrite {join_paths(plan.yours)} too?"
    what = "No leaves what you changed as it is, and the rest goes back. After a yes, /redo brings your changes back."
    decision = await ask(Question("", text, None, what))
    return "overwrite" if decision.allowed else "keep"


async def _ask_about_unsure_changes(plan: RewindPlan, ask: Ask) -> bool:
    """Ask whether files that the command or the person wrote go back too."""
    if not plan.unsure:
        return False
    text = f"Also take back {join_paths(plan.unsure)}?"
    what = (
        "Written while a command ran, by it or by you. No leaves them as they are; after a yes, /redo brings them back."
    )
    return (await ask(Question("", text, None, what))).allowed


def _describe_rewind(name: str, plan: RewindPlan, done: RewindOutcome) -> RewindResult:
    parts = []
    if plan.what != "code":
        parts.append("the chat is back" if name == "redo" else "the chat is back at that point")
    if plan.what != "chat":
        parts.append(f"{format_count(done.restored, 'file')} restored")
    if done.kept:
        parts.append(f"left as they are: {join_paths(done.kept)}")
    other = "/undo" if name == "redo" else "/redo"
    text = "; ".join(parts)
    return RewindResult(f"{text[:1].upper()}{text[1:]}. {other} takes this back.", done.prompt)


DiffSource = Callable[[str], Awaitable[Sequence[FileDiff]]]
"""The diff of a scope: "turn 3", "session", "since-green". Raises UserError."""
