"""Slash command dispatcher: carries out a command that was typed at the REPL."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Protocol

from kimi_agent.errors import UserError
from kimi_agent.faces.render.transcript import Transcript
from kimi_agent.faces.render.view_rows import diff_rows
from kimi_agent.faces.repl import command_output
from kimi_agent.faces.repl.compact_command import run_compact_command
from kimi_agent.faces.repl.render_queue import RenderQueue
from kimi_agent.faces.repl.repl_session import ReplSession
from kimi_agent.faces.repl.rewind_commands import rewindable_turn_rows, run_rewind_command
from kimi_agent.faces.theme import Theme
from kimi_agent.log.questions import Decision, Question
from kimi_agent.printable import format_count

_NEEDS_IDLE = ("clear", "undo", "redo", "diff", "compact")
_NEEDS_IDLE_WITH_ARGUMENT = ("resume", "model", "rewind")


class CommandHost(Protocol):
    """The REPL as a slash command uses it."""

    @property
    def home(self) -> ReplSession: ...

    @property
    def theme(self) -> Theme: ...

    @property
    def render_queue(self) -> RenderQueue: ...

    @property
    def transcript(self) -> Transcript: ...

    @property
    def busy(self) -> bool: ...

    def columns(self) -> int: ...

    def run_exclusively(self, work: Coroutine[object, object, None], /, *, doing: str = "") -> None: ...

    def switch_session(self, opening: Awaitable[ReplSession], /) -> None: ...

    def prefill(self, text: str, /) -> None: ...

    async def decide(self, question: Question, /) -> Decision: ...

    def leave(self, exit_code: int, /) -> None: ...


def run_slash_command(host: CommandHost, name: str, rest: str, now: float) -> None:
    """Do what `/name rest` asks for; `now` is the Unix time. What cannot be done is reported as a note."""
    home, note = host.home, host.render_queue.note
    if host.busy and (name in _NEEDS_IDLE or (rest and name in _NEEDS_IDLE_WITH_ARGUMENT)):
        note(f"A turn is running: press Esc first, then /{name}.", "yellow")
        return
    if (opening := command_output.start_session_switch(home, name, rest)) is not None:
        host.switch_session(opening)
        return
    match name:
        case "help":
            note("Keys and commands", "bold")
            host.render_queue.say(command_output.help_sheet_rows(home, host.theme, host.columns()))
        case "status":
            note("Status", "bold")
            host.render_queue.say(command_output.status_rows(home, host.theme, host.columns()))
        case "resume":
            saved = command_output.saved_session_rows(home, host.theme, host.columns(), now)
            note("/resume with a number or an id opens:" if saved else "No session is saved here yet.")
            host.render_queue.say(saved)
        case "rewind" if not rest:
            _list_turns(host, now)
        case "undo" | "redo" | "rewind":
            host.run_exclusively(_go_back(host, name, rest))
        case "diff":
            host.run_exclusively(_diff(host, rest))
        case "compact":
            host.run_exclusively(
                run_compact_command(rest, home.compacting, host.render_queue, host.columns()), doing="making room"
            )
        case "cost":
            _costs(host)
        case "model":
            note(f"The model is {home.model_name}; /model NAME changes it.")
        case "mode":
            _note_result(host, lambda: command_output.show_or_set_mode(home, rest))
        case _:
            host.leave(0)


def _costs(host: CommandHost) -> None:
    if host.home.costs is None:
        host.render_queue.note("Nothing was spent yet.")
        return
    from kimi_agent.faces.render import costs

    host.render_queue.note("Cost", "bold")
    host.render_queue.say(costs.cost_rows(host.home.costs(), host.theme, host.columns()))


def _note_result(host: CommandHost, order: Callable[[], str]) -> None:
    try:
        host.render_queue.note(order())
    except UserError as error:
        host.render_queue.note(str(error), "yellow")


def _list_turns(host: CommandHost, now: float) -> None:
    rewinding = host.home.rewinding
    turns = rewinding.turns() if rewinding is not None else []
    host.render_queue.note(
        "/rewind N goes back to before turn N; add chat or code for one of them, or a file's name:"
        if turns
        else "There is no turn to go back to yet."
    )
    host.render_queue.say(
        rewindable_turn_rows(turns, host.theme, host.columns(), lambda at: command_output.format_age(now - at))
    )


async def _go_back(host: CommandHost, name: str, rest: str) -> None:
    if host.home.rewinding is None:
        raise UserError("There is nothing to take back yet.")
    gone = await run_rewind_command(name, rest, host.home.rewinding, host.decide)
    host.render_queue.note(gone.text)
    if gone.prompt:
        host.prefill(gone.prompt)


async def _diff(host: CommandHost, rest: str) -> None:
    files = await host.home.differing(rest) if host.home.differing is not None else ()
    host.render_queue.note(f"{format_count(len(files), 'file')} changed:" if files else "Nothing was changed.")
    host.render_queue.say(list(diff_rows(files, host.theme, host.columns() - 1, whole=False)))
