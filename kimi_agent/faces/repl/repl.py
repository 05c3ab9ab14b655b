"""REPL: sends what the person types to the agent or to a command, and what the agent reports to the screen.

It knows the agent by three methods and everything else by the callables of a `ReplSession`; the first prompt is on
the screen before anything but prompt-toolkit is loaded.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

from kimi_agent.errors import ModelError, ToolError, UserError
from kimi_agent.faces.render.transcript import Transcript
from kimi_agent.faces.repl import command_output
from kimi_agent.faces.repl.render_queue import RenderQueue
from kimi_agent.faces.repl.repl_session import ReplSession, SessionHandle
from kimi_agent.faces.repl.run_slash_command import run_slash_command
from kimi_agent.faces.repl.usage_status import UsageStatus
from kimi_agent.faces.sanitize import sanitize_line
from kimi_agent.faces.screen.terminal import cbreak_mode, terminal_columns, write_to_terminal
from kimi_agent.faces.screen_protocol import ReplScreen
from kimi_agent.faces.slash_commands import TypedCommand, TypedPrompt, UnknownCommand, parse_typed_line
from kimi_agent.faces.theme import Theme, choose_theme
from kimi_agent.log.events import Stamped
from kimi_agent.log.messages import User, user_message
from kimi_agent.log.questions import Decision, Question

_LEAVE_WITHIN_S = 1.0
HearSignals = Callable[[Callable[[int], object]], None]
"""Have a callable called, from any thread, with the number of a signal that ends the program."""


def run_repl(current: ReplSession, hear_signals: HearSignals) -> int:
    """Talk until the person leaves; gives the exit code."""
    return asyncio.run(run_repl_in_loop(current, hear_signals))


async def run_repl_in_loop(
    current: ReplSession, hear_signals: HearSignals, *, now: Callable[[], float] = time.time
) -> int:
    """`run_repl` for a caller with a loop of its own. What the agent raises as a bug rises from here."""
    term = current.environ.get("TERM", "")
    if term in ("", "dumb", "unknown"):
        return await Repl(current, hear_signals, now).run_plain()
    with cbreak_mode(sys.stdin.fileno()):
        return await Repl(current, hear_signals, now).run_screen(term)


class Repl:
    """The REPL of one person with the agents they talk to, one after another; it is the host of the screen."""

    def __init__(self, current: ReplSession, hear_signals: HearSignals, now: Callable[[], float]) -> None:
        self.current = current
        self._hear_signals = hear_signals
        self._now = now
        self.theme: Theme = choose_theme(current.environ, sys.stdout.encoding or "utf-8")
        self.render_queue = RenderQueue(self.theme, self.columns, self._wake)
        self._screen: ReplScreen | None = None
        self._turn: asyncio.Task[None] | None = None
        self._turn_began = 0.0
        self._bug: BaseException | None = None
        self._exit_code = 0
        self._talked = False
        self._switching = False
        self._stoppable = False
        self._waiting: list[str] = []
        self._usage_status = UsageStatus()
        self._listening: SessionHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    # Life

    async def run_screen(self, term: str) -> int:
        """On a terminal with a cursor. The greeting is on the screen before prompt-toolkit is loaded."""
        self._enter(self.current)
        self._write(self.render_queue.drain())
        from kimi_agent.faces.screen.input_history import InputHistory
        from kimi_agent.faces.screen.screen import Screen

        return await self._run(Screen(self, InputHistory(self.current.history_file), term))

    async def run_plain(self) -> int:
        """On a terminal that prints lines."""
        from kimi_agent.faces.screen.plain_screen import PlainScreen

        self._enter(self.current)
        return await self._run(PlainScreen(self))

    async def _run(self, screen: ReplScreen) -> int:
        loop = asyncio.get_running_loop()
        self._screen = screen
        self._hear_signals(lambda number: loop.call_soon_threadsafe(self.leave, 128 + number))
        if self.current.open_real is not None:
            self._switching = True
            self._start(self._switch(self.current.open_real(), greet=False))
        if self.current.first_message:
            loop.call_soon(self.submit, self.current.first_message)
        try:
            await screen.run()
            await self._stop_turn()
            self._write([*screen.unwritten_rows(), *self.render_queue.drain()])
            if self._bug is not None:
                raise self._bug
            if self._talked and self._exit_code != 129:
                self._write(["", f"Resume with: {self.current.resume_with} {self.current.agent.session.id}"])
        finally:
            await self.current.aclose()
        return self._exit_code

    async def _stop_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            await asyncio.wait([self._turn], timeout=_LEAVE_WITHIN_S)

    def _enter(self, current: ReplSession, *, greet: bool = True) -> None:
        """Talk to this session's agent from here on."""
        current.asker.bind(self.decide)
        if self._listening is not current.agent.session:
            self._listening = current.agent.session
            self.render_queue.switch_session()
            current.agent.session.listen(self._hear)
        self.current = current
        self._usage_status = UsageStatus(current.window, current.count_used_tokens, current.cost_label)
        if greet:
            self.render_queue.say([*command_output.greeting_rows(current, self.theme), ""])
        for notice in current.notices:
            self.render_queue.note(notice, "yellow")
        messages = current.agent.session.conversation.messages()
        self._talked = bool(messages)
        if messages:
            self.render_queue.recall(messages)

    def leave(self, exit_code: int) -> None:
        """End the REPL."""
        self._exit_code = exit_code
        if self._screen is not None:
            self._screen.stop()

    # Events and rows

    def _hear(self, stamped: Stamped) -> None:
        """A listener; an event of a worker thread is handed over to the thread of the loop."""
        if threading.get_ident() == self._thread:
            self._take_over(stamped)
        else:
            self._loop.call_soon_threadsafe(self._take_over, stamped)

    def _take_over(self, stamped: Stamped) -> None:
        self._usage_status.hear(stamped)
        self.render_queue.hear(stamped)

    def _wake(self) -> None:
        if self._screen is not None:
            self._screen.wake()

    def pull(self, budget_s: float) -> tuple[list[str], bool]:
        """Draw what happened, for at most about `budget_s` seconds."""
        return self.render_queue.pull(budget_s)

    @property
    def transcript(self) -> Transcript:
        """The session as it is drawn."""
        return self.render_queue.transcript

    def columns(self) -> int:
        """The width of the terminal, in cells."""
        return terminal_columns() if self._screen is None else self._screen.columns()

    def _write(self, rows: Sequence[str]) -> None:
        """Rows while no screen has the terminal."""
        data = "".join(f"{row}\n" for row in rows).encode(sys.stdout.encoding or "utf-8", "replace")
        try:
            write_to_terminal(sys.stdout.fileno(), data)
        except OSError:
            self._exit_code = 129

    # What the screen asks

    @property
    def prompts(self) -> Mapping[str, str]:
        """The commands from prompt files."""
        return self.current.commands

    @property
    def busy_s(self) -> float | None:
        """How long the running turn, or other work that may be stopped, has run."""
        if self._turn is None or (self._switching and not self._stoppable):
            return None
        return time.monotonic() - self._turn_began

    @property
    def queued(self) -> Sequence[str]:
        """What was typed and waits for its turn."""
        return [*self.transcript.queued.values(), *self._waiting]

    def status(self) -> Sequence[str]:
        """Mode, model, branch, how full the window is, the cost."""
        names = (sanitize_line(name, 40) for name in (self.current.model_name, self.current.branch))
        return [part for part in (self.current.mode(), *names, *self._usage_status.parts) if part]

    def interrupt(self) -> None:
        """Stop the running turn."""
        if self._turn is not None and (self._stoppable or not self._switching):
            self._turn.cancel()

    def next_mode(self) -> None:
        """ask, accept-edits, plan, and round again."""
        command_output.cycle_mode(self.current, lambda text: self.render_queue.note(text, "yellow"))
        self._wake()

    def submit(self, text: str) -> None:
        """Send what was typed, or do what it commands."""
        if self._switching:  # it belongs to the session that is being opened
            self._waiting.append(text)
            self._wake()
            return
        match parse_typed_line(text, self.current.commands):
            case UnknownCommand(words):
                self.render_queue.echo(text)
                self.render_queue.note(words, "yellow")
            case TypedCommand(name, rest):
                self.render_queue.echo(text)
                run_slash_command(self, name, rest, self._now())
            case TypedPrompt(sent, shown):
                self.transcript.echo_as(sent, shown)
                self._talked = True
                if self._turn is not None:
                    self.current.agent.queue(user_message(sent))
                else:
                    self._start(self._take_turn(user_message(sent)))

    # Turns

    def _start(self, work: Coroutine[object, object, None]) -> None:
        self._turn_began = time.monotonic()
        self._turn = asyncio.create_task(work)
        self._turn.add_done_callback(self._finished)
        self._wake()

    async def _take_turn(self, prompt: User) -> None:
        try:
            await self.current.agent.run_turn(prompt)
        except (ModelError, UserError, ToolError) as error:
            self.render_queue.note(str(error), "red")

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._turn = None
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._bug = bug
            self.leave(getattr(bug, "exit_code", 70))
            return
        self._switching = self._stoppable = False
        self.transcript.work = ""
        waiting, self._waiting = self._waiting, []
        for text in waiting:
            self.submit(text)
        self._wake()

    # What the commands ask

    @property
    def busy(self) -> bool:
        """Whether a turn, or other work, is running."""
        return self._turn is not None

    def run_exclusively(self, work: Coroutine[object, object, None], *, doing: str = "") -> None:
        """Run `work` in the place of a turn; what is typed meanwhile waits for its end, and its errors are reported.

        `doing` names what takes long: the person sees it, and may stop it.
        """
        self._switching, self._stoppable = True, bool(doing)
        self.transcript.work = doing
        self._start(self._report_errors(work))

    def switch_session(self, opening: Awaitable[ReplSession]) -> None:
        """Switch to another session."""
        self.run_exclusively(self._switch(opening))

    def prefill(self, text: str) -> None:
        """Offer `text` for the next prompt."""
        if self._screen is not None:
            self._screen.prefill(text)

    async def decide(self, question: Question) -> Decision:
        """Ask the person."""
        assert self._screen is not None
        return await self._screen.decide(question)

    async def _report_errors(self, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            if self._stoppable:
                self.render_queue.note("Interrupted.", "yellow")
            raise
        except UserError as error:
            self.render_queue.note(str(error), "yellow")
        except ModelError as error:
            self.render_queue.note(str(error), "red")

    async def _switch(self, opening: Awaitable[ReplSession], *, greet: bool = True) -> None:
        self._enter(await opening, greet=greet)
