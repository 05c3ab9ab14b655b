"""Slash command dispatcher: carries out a command that was typed at the REPL."""

from collections.abc import Awaitable, Coroutine
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
    def current(self) -> ReplSession: ...

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
    current, columns, note, say = host.current, host.columns(), host.render_queue.note, host.render_queue.say
    if host.busy and (name in _NEEDS_IDLE or (rest and name in _NEEDS_IDLE_WITH_ARGUMENT)):
        note(f"A turn is running: press Esc first, then /{name}.", "yellow")
        return
    if (opening := command_output.start_session_switch(current, name, rest)) is not None:
        host.switch_session(opening)
        return
    match name:
        case "help":
            note("Keys and commands", "bold")
            say(command_output.help_sheet_rows(current, host.theme, columns))
        case "status":
            note("Status", "bold")
            say(command_output.status_rows(current, host.theme, columns))
        case "resume":
            saved = command_output.saved_session_rows(current, host.theme, columns, now)
            note("/resume with a number or an id opens:" if saved else "No session is saved here yet.")
            say(saved)
        case "rewind" if not rest:
            _list_turns(host, now)
        case "undo" | "redo" | "rewind":
            host.run_exclusively(_rewind(host, name, rest))
        case "diff":
            host.run_exclusively(_show_diff(host, rest))
        case "compact":
            compacting = run_compact_command(rest, current.compaction, host.render_queue, columns)
            host.run_exclusively(compacting, doing="making room")
        case "cost":
            _show_costs(host)
        case "model":
            note(f"The model is {current.model_name}; /model NAME changes it.")
        case "mode":
            try:
                note(command_output.show_or_set_mode(current, rest))
            except UserError as error:
                note(str(error), "yellow")
        case _:
            host.leave(0)


def _show_costs(host: CommandHost) -> None:
    if host.current.costs is None:
        host.render_queue.note("Nothing was spent yet.")
        return
    from kimi_agent.faces.render import costs

    host.render_queue.note("Cost", "bold")
    host.render_queue.say(costs.cost_rows(host.current.costs(), host.theme, host.columns()))


def _list_turns(host: CommandHost, now: float) -> None:
    turns = host.current.rewinder.turns() if host.current.rewinder is not None else []
    host.render_queue.note(
        "/rewind N goes back to before turn N; add chat or code for one of them, or a file's name:"
        if turns
        else "There is no turn to go back to yet."
    )
    host.render_queue.say(rewindable_turn_rows(turns, host.theme, host.columns(), now))


async def _rewind(host: CommandHost, name: str, rest: str) -> None:
    if host.current.rewinder is None:
        raise UserError("There is nothing to take back yet.")
    done = await run_rewind_command(name, rest, host.current.rewinder, host.decide)
    host.render_queue.note(done.text)
    if done.prompt:
        host.prefill(done.prompt)


async def _show_diff(host: CommandHost, rest: str) -> None:
    files = await host.current.diff(rest) if host.current.diff is not None else ()
    host.render_queue.note(f"{format_count(len(files), 'file')} changed:" if files else "Nothing was changed.")
    host.render_queue.say(list(diff_rows(files, host.theme, host.columns() - 1, whole=False)))
