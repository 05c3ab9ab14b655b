"""The REPL: what the person types goes to the agent or to a command, what the agent tells goes to the screen.

It knows the agent by three methods and everything else by the callables of a `ReplHome`; the first prompt is on the
screen before anything but prompt-toolkit is loaded.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

from kimi_agent.errors import ModelError, ToolError, UserError
from kimi_agent.faces.render.transcript import Transcript
from kimi_agent.faces.repl import command_output as orders
from kimi_agent.faces.repl.render_queue import Backlog
from kimi_agent.faces.repl.repl_session import ReplHome, Told
from kimi_agent.faces.repl.run_slash_command import carry_out
from kimi_agent.faces.repl.usage_status import Gauge
from kimi_agent.faces.sanitize import clean_line
from kimi_agent.faces.screen.terminal_modes import quiet_keys
from kimi_agent.faces.screen_protocol import Face
from kimi_agent.faces.slash_commands import Invocation, Prompt, Unknown, read
from kimi_agent.faces.theme import Ink, ink_for
from kimi_agent.log.events import Decision, Question, Stamped
from kimi_agent.log.messages import User, said

_LEAVE_WITHIN_S = 3.0


def run_repl(home: ReplHome) -> int:
    """Talk until the person leaves; gives the exit code."""
    return asyncio.run(talk(home))


async def talk(home: ReplHome, *, now: Callable[[], float] = time.time) -> int:
    """`run_repl` for a caller with a loop of its own. What the agent raises as a bug rises from here."""
    term = home.environ.get("TERM", "")
    dumb = term in ("", "dumb", "unknown")
    if dumb:
        return await Repl(home, now).run_plain()
    with quiet_keys(sys.stdin.fileno()):
        return await Repl(home, now).run_screen(term)


class Repl:
    """The desk between one person and the agents they talk to, one after another."""

    def __init__(self, home: ReplHome, now: Callable[[], float]) -> None:
        self._home = home
        self._now = now
        self.ink: Ink = ink_for(home.environ, sys.stdout.encoding or "utf-8")
        self._backlog = Backlog(self.ink, self.columns, self._wake)
        self._face: Face | None = None
        self._turn: asyncio.Task[None] | None = None
        self._turn_began = 0.0
        self._bug: BaseException | None = None
        self._exit_code = 0
        self._talked = False
        self._switching = False
        self._stoppable = False
        self._waiting: list[str] = []
        self._gauge = Gauge()
        self._listening: Told | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    # Life

    async def run_screen(self, term: str) -> int:
        """On a terminal with a cursor. The greeting is on the screen before prompt-toolkit is loaded."""
        self._enter(self._home)
        self._write(self._backlog.drain())
        from kimi_agent.faces.screen.input_history import TypedHistory
        from kimi_agent.faces.screen.screen import Screen

        return await self._live(Screen(self, TypedHistory(self._home.history_file), term))

    async def run_plain(self) -> int:
        """On a terminal that prints lines."""
        from kimi_agent.faces.screen.plain_screen import PlainFace

        self._enter(self._home)
        return await self._live(PlainFace(self))

    async def _live(self, face: Face) -> int:
        loop = asyncio.get_running_loop()
        self._face = face
        for number, code in ((signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            loop.add_signal_handler(number, self.leave, code)
        if self._home.opening is not None:
            self._switching = True
            self._start(self._move_in(self._home.opening()))
        if self._home.first_message:
            loop.call_soon(self.submit, self._home.first_message)
        try:
            await face.run()
            await self._stop_turn()
            self._write([*face.last_words(), *self._backlog.drain()])
            if self._bug is not None:
                raise self._bug
            if self._talked and self._exit_code != 129:
                self._write(["", f"Resume with: {self._home.resume_with} {self._home.agent.session.id}"])
        finally:
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(number)
            await self._home.aclose()
        return self._exit_code

    async def _stop_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            await asyncio.wait([self._turn], timeout=_LEAVE_WITHIN_S)

    async def _move_in(self, opening: Awaitable[ReplHome]) -> None:
        """From the hall, where the person was greeted, into the house."""
        self._enter(await opening, greet=False)

    def _enter(self, home: ReplHome, *, greet: bool = True) -> None:
        """Talk to this home's agent from here on."""
        home.asker.bind(self.decide)
        if self._listening is not home.agent.session:
            self._listening = home.agent.session
            self._backlog.start_over()
            home.agent.session.listen(self._hear)
        self._home = home
        self._gauge = Gauge(home.window, home.used, home.cost)
        if greet:
            self._backlog.say([*orders.greeting(home, self.ink), ""])
        for notice in home.notices:
            self._backlog.note(notice, "yellow")
        messages = home.agent.session.conversation.messages()
        self._talked = bool(messages)
        if messages:
            self._backlog.recall(messages)

    def leave(self, exit_code: int) -> None:
        """End the REPL."""
        self._exit_code = exit_code
        if self._face is not None:
            self._face.stop()

    # Events and rows

    def _hear(self, stamped: Stamped) -> None:
        """A listener; what a worker thread tells is taken over by ours."""
        if threading.get_ident() == self._thread:
            self._take_over(stamped)
        else:
            self._loop.call_soon_threadsafe(self._take_over, stamped)

    def _take_over(self, stamped: Stamped) -> None:
        self._gauge.hear(stamped)
        self._backlog.hear(stamped)

    def _wake(self) -> None:
        if self._face is not None:
            self._face.wake()

    def pull(self, budget_s: float) -> tuple[list[str], bool]:
        """Draw what happened, for at most about `budget_s` seconds."""
        return self._backlog.pull(budget_s)

    @property
    def transcript(self) -> Transcript:
        """The session as it is drawn."""
        return self._backlog.transcript

    def columns(self) -> int:
        """The width of the terminal, in cells."""
        if self._face is not None:
            return self._face.columns()
        try:
            return os.get_terminal_size(sys.stdout.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def _write(self, rows: Sequence[str]) -> None:
        """Rows while no screen has the terminal."""
        data = "".join(f"{row}\n" for row in rows).encode(sys.stdout.encoding or "utf-8", "replace")
        try:
            while data:
                data = data[os.write(sys.stdout.fileno(), data) :]
        except OSError:
            self._exit_code = 129

    # What the screen asks

    @property
    def prompts(self) -> Mapping[str, str]:
        """The commands from prompt files."""
        return self._home.commands

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
        home = self._home
        parts = (home.mode(), clean_line(home.model_name, 40), clean_line(home.branch, 40), *self._gauge.parts)
        return [each for each in parts if each]

    def interrupt(self) -> None:
        """Stop the running turn."""
        if self._turn is not None and (self._stoppable or not self._switching):
            self._turn.cancel()

    def next_mode(self) -> None:
        """ask, accept-edits, plan, and round again."""
        orders.next_mode(self._home, lambda text: self._backlog.note(text, "yellow"))
        self._wake()

    def submit(self, text: str) -> None:
        """Send what was typed, or do what it commands."""
        if self._switching:  # it belongs to the session that is being opened
            self._waiting.append(text)
            self._wake()
            return
        match read(text, self._home.commands):
            case Unknown(words):
                self._backlog.echo(text)
                self._backlog.note(words, "yellow")
            case Invocation(name, rest):
                self._backlog.echo(text)
                carry_out(self, name, rest, self._now())
            case Prompt(sent, shown):
                self.transcript.echo_as(sent, shown)
                self._talked = True
                if self._turn is not None:
                    self._home.agent.queue(said(sent))
                else:
                    self._start(self._take_turn(said(sent)))

    # Turns

    def _start(self, work: Coroutine[object, object, None]) -> None:
        self._turn_began = time.monotonic()
        self._turn = asyncio.create_task(work)
        self._turn.add_done_callback(self._finished)
        self._wake()

    async def _take_turn(self, prompt: User) -> None:
        try:
            await self._home.agent.run_turn(prompt)
        except (ModelError, UserError, ToolError) as error:
            self._backlog.note(str(error), "red")

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
    def home(self) -> ReplHome:
        """The home that is talked to."""
        return self._home

    @property
    def backlog(self) -> Backlog:
        """Where rows and notes go."""
        return self._backlog

    @property
    def busy(self) -> bool:
        """Whether a turn, or other work, is running."""
        return self._turn is not None

    def aside(self, work: Coroutine[object, object, None], *, doing: str = "") -> None:
        """Do work of the house; what is typed meanwhile waits for its end, and what it raises is told.

        `doing` names what takes long: the person sees it, and may stop it.
        """
        self._switching, self._stoppable = True, bool(doing)
        self.transcript.work = doing
        self._start(self._told(work))

    def go_to(self, opening: Awaitable[ReplHome]) -> None:
        """On to another home."""
        self.aside(self._switch(opening))

    def prefill(self, text: str) -> None:
        """Offer `text` for the next prompt."""
        if self._face is not None:
            self._face.prefill(text)

    async def decide(self, question: Question) -> Decision:
        """Ask the person."""
        assert self._face is not None
        return await self._face.decide(question)

    async def _told(self, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            if self._stoppable:
                self._backlog.note("Interrupted.", "yellow")
            raise
        except UserError as error:
            self._backlog.note(str(error), "yellow")
        except ModelError as error:
            self._backlog.note(str(error), "red")

    async def _switch(self, opening: Awaitable[ReplHome]) -> None:
        self._enter(await opening)
