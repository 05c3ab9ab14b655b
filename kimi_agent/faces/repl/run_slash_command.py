"""Carry out a slash command that was typed at the REPL."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Protocol

from kimi_agent.errors import UserError
from kimi_agent.faces.render.transcript import Transcript
from kimi_agent.faces.render.view_rows import diff_rows
from kimi_agent.faces.repl import command_output as orders
from kimi_agent.faces.repl.compact_command import make_room
from kimi_agent.faces.repl.render_queue import Backlog
from kimi_agent.faces.repl.repl_session import ReplHome
from kimi_agent.faces.repl.rewind_commands import go_back, turn_rows
from kimi_agent.faces.theme import Ink
from kimi_agent.log.events import Decision, Question

_MOVING = ("clear", "undo", "redo", "diff", "compact")
_MOVING_WITH_WORDS = ("resume", "model", "rewind")


class Talk(Protocol):
    """What a command asks of the REPL."""

    @property
    def home(self) -> ReplHome: ...

    @property
    def ink(self) -> Ink: ...

    @property
    def backlog(self) -> Backlog: ...

    @property
    def transcript(self) -> Transcript: ...

    @property
    def busy(self) -> bool: ...

    def columns(self) -> int: ...

    def aside(self, work: Coroutine[object, object, None], /, *, doing: str = "") -> None: ...

    def go_to(self, opening: Awaitable[ReplHome], /) -> None: ...

    def prefill(self, text: str, /) -> None: ...

    async def decide(self, question: Question, /) -> Decision: ...

    def leave(self, exit_code: int, /) -> None: ...


def carry_out(talk: Talk, name: str, rest: str, now: float) -> None:
    """Do what `/name rest` asks for; `now` is the Unix time. What cannot be done is said."""
    home, note = talk.home, talk.backlog.note
    if talk.busy and (name in _MOVING or (rest and name in _MOVING_WITH_WORDS)):
        note(f"A turn is running: press Esc first, then /{name}.", "yellow")
        return
    if (opening := orders.opening(home, name, rest)) is not None:
        talk.go_to(opening)
        return
    match name:
        case "help":
            note("Keys and commands", "bold")
            talk.backlog.say(orders.help_sheet(home, talk.ink, talk.columns()))
        case "status":
            note("Status", "bold")
            talk.backlog.say(orders.status(home, talk.ink, talk.columns()))
        case "resume":
            saved = orders.saved_sessions(home, talk.ink, talk.columns(), now)
            note("/resume with a number or an id opens:" if saved else "No session is saved here yet.")
            talk.backlog.say(saved)
        case "rewind" if not rest:
            _list_turns(talk, now)
        case "undo" | "redo" | "rewind":
            talk.aside(_go_back(talk, name, rest))
        case "diff":
            talk.aside(_diff(talk, rest))
        case "compact":
            talk.aside(make_room(rest, home.compacting, talk.backlog, talk.columns()), doing="making room")
        case "cost":
            _costs(talk)
        case "model":
            note(f"The model is {home.model_name}; /model NAME changes it.")
        case "mode":
            _said(talk, lambda: orders.mode(home, rest))
        case _:
            talk.leave(0)


def _costs(talk: Talk) -> None:
    if talk.home.costs is None:
        talk.backlog.note("Nothing was spent yet.")
        return
    from kimi_agent.faces.render import costs

    talk.backlog.note("Cost", "bold")
    talk.backlog.say(costs.rows(talk.home.costs(), talk.ink, talk.columns()))


def _said(talk: Talk, order: Callable[[], str]) -> None:
    try:
        talk.backlog.note(order())
    except UserError as error:
        talk.backlog.note(str(error), "yellow")


def _list_turns(talk: Talk, now: float) -> None:
    rewinding = talk.home.rewinding
    turns = rewinding.turns() if rewinding is not None else []
    talk.backlog.note(
        "/rewind N goes back to before turn N; add chat or code for one of them, or a file's name:"
        if turns
        else "There is no turn to go back to yet."
    )
    talk.backlog.say(turn_rows(turns, talk.ink, talk.columns(), lambda at: orders.ago(now - at)))


async def _go_back(talk: Talk, name: str, rest: str) -> None:
    if talk.home.rewinding is None:
        raise UserError("There is nothing to take back yet.")
    gone = await go_back(name, rest, talk.home.rewinding, talk.decide)
    talk.backlog.note(gone.text)
    if gone.prompt:
        talk.prefill(gone.prompt)


async def _diff(talk: Talk, rest: str) -> None:
    files = await talk.home.differing(rest) if talk.home.differing is not None else ()
    talk.backlog.note(
        f"{len(files)} file{'' if len(files) == 1 else 's'} changed:" if files else "Nothing was changed."
    )
    talk.backlog.say(list(diff_rows(files, talk.ink, talk.columns() - 1, whole=False)))
