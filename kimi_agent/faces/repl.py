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
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from kimi_agent.errors import ModelError, ToolError, UserError
from kimi_agent.faces.ask import Asker
from kimi_agent.faces.commands import MODES, Invocation, Prompt, Unknown, help_rows, read
from kimi_agent.faces.desk import KEYS, Face
from kimi_agent.faces.ink import Ink, Style, ink_for
from kimi_agent.faces.render import Transcript
from kimi_agent.faces.sanitize import clean_line
from kimi_agent.faces.summaries import amount
from kimi_agent.faces.tty import quiet_keys
from kimi_agent.log.events import Decision, Listener, Question, Stamped, TextDelta, TurnEnded
from kimi_agent.log.messages import Assistant, Message, User, said

_WARM_AFTER_S = 0.05
_LEAVE_WITHIN_S = 3.0
_PIECE = 2_000
"""Characters of streamed text that are drawn together at most."""


class Messages(Protocol):
    """The conversation as the REPL reads it."""

    def messages(self) -> Sequence[Message]: ...


class Told(Protocol):
    """A session: it tells its listeners what happens."""

    @property
    def id(self) -> str: ...

    @property
    def conversation(self) -> Messages: ...

    def listen(self, listener: Listener, /) -> object: ...


class Conversing(Protocol):
    """An agent. A turn is cancelled by cancelling its task; it may end in a ModelError."""

    @property
    def session(self) -> Told: ...

    async def run_turn(self, prompt: User, /) -> TurnEnded: ...

    def queue(self, message: User, /) -> object: ...


@dataclass(frozen=True)
class SavedSession:
    """A line of /resume: `at` is the Unix time of its last record."""

    id: str
    title: str
    at: float


@dataclass(frozen=True)
class ReplHome:
    """What the REPL needs of the house.

    `fresh`, `resume` and `with_model` open another home and close this one; when they raise UserError (or ModelError),
    this one is as it was. `aclose` ends the home that the REPL ends in. `commands` are prompt files by name. `warm` runs
    in a thread soon after the first prompt is drawn.
    """

    agent: Conversing
    asker: Asker
    model_name: str
    workspace: Path
    branch: str
    mode: Callable[[], str]
    set_mode: Callable[[str], None]
    sessions: Callable[[], Sequence[SavedSession]]
    fresh: Callable[[], Awaitable["ReplHome"]]
    resume: Callable[[str], Awaitable["ReplHome"]]
    with_model: Callable[[str], Awaitable["ReplHome"]]
    aclose: Callable[[], Awaitable[None]]
    history_file: Path
    environ: Mapping[str, str]
    notices: Sequence[str] = ()
    commands: Mapping[str, str] = field(default_factory=dict)
    warm: Callable[[], None] = lambda: None
    first_message: str = ""


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
        self.transcript = Transcript(self.ink, self._columns)
        self._face: Face | None = None
        self._events: deque[Stamped | list[str]] = deque()
        self._turn: asyncio.Task[None] | None = None
        self._turn_began = 0.0
        self._bug: BaseException | None = None
        self._exit_code = 0
        self._said_something = False

    # Life

    async def run_screen(self, term: str) -> int:
        """On a terminal with a cursor. The greeting is on the screen before prompt-toolkit is loaded."""
        self._enter(self._home)
        self._write(self.pull(float("inf"))[0])
        from kimi_agent.faces.history import TypedHistory
        from kimi_agent.faces.screen import Screen

        return await self._live(Screen(self, TypedHistory(self._home.history_file), term))

    async def run_plain(self) -> int:
        """On a terminal that prints lines."""
        from kimi_agent.faces.plain import PlainFace

        self._enter(self._home)
        return await self._live(PlainFace(self))

    async def _live(self, face: Face) -> int:
        loop = asyncio.get_running_loop()
        self._face = face
        for number, code in ((signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            loop.add_signal_handler(number, self.leave, code)
        warming = loop.call_later(_WARM_AFTER_S, threading.Thread(target=self._home.warm, daemon=True).start)
        if self._home.first_message:
            loop.call_soon(self.submit, self._home.first_message)
        try:
            await face.run()
            await self._stop_turn()
            self._write([*face.last_words(), *self.pull(float("inf"))[0]])
            if self._bug is not None:
                raise self._bug
            if self._said_something and self._exit_code != 129:
                self._write(["", f"Resume with: kimi-agent -r {self._home.agent.session.id}"])
        finally:
            warming.cancel()
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(number)
            await self._home.aclose()
        return self._exit_code

    async def _stop_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            await asyncio.wait([self._turn], timeout=_LEAVE_WITHIN_S)

    def _enter(self, home: ReplHome) -> None:
        """Talk to this home's agent from here on."""
        known = self._home.agent.session is home.agent.session and self._face is not None
        self._home = home
        home.asker.bind(self._decide)
        if not known:
            home.agent.session.listen(self._hear)
            self.transcript = Transcript(self.ink, self._columns)
            self._said_something = False
        self.say(self._greeting())
        for notice in home.notices:
            self.say(self.transcript.note(notice, "yellow"))
        self._recall(home.agent.session.conversation.messages())

    def _greeting(self) -> list[str]:
        ink, home = self.ink, self._home
        place = clean_line(_tilde(home.workspace, home.environ), 200)
        branch = f" {ink('dim', f'({clean_line(home.branch, 60)})')}" if home.branch else ""
        between = ink.glyphs.between
        return [
            f"{ink('heading', 'kimi-agent')} {ink('dim', between)} {clean_line(home.model_name, 60)}",
            f"{place}{branch}",
            ink("dim", f"mode {home.mode()} {between} ? for keys {between} /help for commands"),
        ]

    def _recall(self, messages: Sequence[Message]) -> None:
        """The last exchange of a session that is taken up again."""
        if not messages:
            return
        self._said_something = True
        last = max((at for at, each in enumerate(messages) if isinstance(each, User)), default=0)
        answers = [each for each in messages[last:] if isinstance(each, Assistant) and each.text]
        self.say(self.transcript.note(f"Resumed: {len(messages)} messages so far. The last exchange:", "dim"))
        for each in (messages[last], *answers[-1:]):
            if not isinstance(each, User | Assistant):
                continue
            self.say(self.transcript.shown(each))

    def leave(self, exit_code: int) -> None:
        """End the REPL."""
        self._exit_code = exit_code
        if self._face is not None:
            self._face.stop()

    # Events and rows

    def _hear(self, stamped: Stamped) -> None:
        self._events.append(stamped)
        if self._face is not None:
            self._face.wake()

    def say(self, rows: Sequence[str]) -> None:
        """Rows of our own, in their place among the events."""
        self._events.append(list(rows))
        if self._face is not None:
            self._face.wake()

    def note(self, text: str, style: Style = "dim") -> None:
        """A sentence to the person, behind everything that happened so far."""
        self.say(self.pull(float("inf"))[0] + self.transcript.note(text, style))

    def pull(self, budget_s: float) -> tuple[list[str], bool]:
        """Draw what happened, for at most about `budget_s` seconds; deltas that came together are drawn together."""
        rows: list[str] = []
        until = time.perf_counter() + budget_s
        while self._events:
            event = self._events.popleft()
            rows += event if isinstance(event, list) else self.transcript.take(self._joined(event))
            if time.perf_counter() > until:
                break
        return rows, bool(self._events)

    def _joined(self, first: Stamped) -> Stamped:
        if not isinstance(first.event, TextDelta):
            return first
        pieces, size = [first.event.text], len(first.event.text)
        while self._events and size < _PIECE:
            following = self._events[0]
            if isinstance(following, list) or not isinstance(following.event, TextDelta):
                break
            if following.agent != first.agent:
                break
            pieces.append(following.event.text)
            size += len(following.event.text)
            self._events.popleft()
        return Stamped(first.agent, first.seq, first.at, TextDelta("".join(pieces)))

    def _columns(self) -> int:
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
        """How long the running turn has run."""
        return None if self._turn is None else time.monotonic() - self._turn_began

    def status(self) -> Sequence[str]:
        """Mode, model, branch."""
        home = self._home
        return [each for each in (home.mode(), clean_line(home.model_name, 40), clean_line(home.branch, 40)) if each]

    def interrupt(self) -> None:
        """Stop the running turn."""
        if self._turn is not None:
            self._turn.cancel()

    def next_mode(self) -> None:
        """ask, accept-edits, plan, and round again."""
        mode = self._home.mode()
        self._home.set_mode(MODES[(MODES.index(mode) + 1) % len(MODES)] if mode in MODES else MODES[0])
        if self._face is not None:
            self._face.wake()

    def submit(self, text: str) -> None:
        """Send what was typed, or do what it commands."""
        match read(text, self._home.commands):
            case Unknown(words):
                self.note(words, "yellow")
            case Invocation(name, rest):
                self._command(name, rest)
            case Prompt(sent, shown):
                self.transcript.echo_as(sent, shown)
                self._said_something = True
                if self._turn is not None:
                    self._home.agent.queue(said(sent))
                else:
                    self._start(self._take_turn(said(sent)))

    # Turns

    def _start(self, work: Coroutine[object, object, None]) -> None:
        self._turn_began = time.monotonic()
        self._turn = asyncio.create_task(work)
        self._turn.add_done_callback(self._finished)
        if self._face is not None:
            self._face.wake()

    async def _take_turn(self, prompt: User) -> None:
        try:
            await self._home.agent.run_turn(prompt)
        except (ModelError, UserError, ToolError) as error:
            self.note(str(error), "red")

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._turn = None
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._bug = bug
            self.leave(70)
        if self._face is not None:
            self._face.wake()

    async def _decide(self, question: Question) -> Decision:
        assert self._face is not None
        return await self._face.decide(question)

    # Commands

    def _command(self, name: str, rest: str) -> None:
        home = self._home
        if name in ("clear", "resume", "model") and self._turn is not None and (rest or name == "clear"):
            self.note(f"A turn is running: press Esc first, then /{name}.", "yellow")
            return
        match name:
            case "help":
                self._help()
            case "exit":
                self.leave(0)
            case "mode":
                self._mode(rest)
            case "status":
                self._status()
            case "clear":
                self._start(self._switch(home.fresh()))
            case "resume" if rest:
                self._start(self._switch(home.resume(self._session_id(rest))))
            case "resume":
                self._list_sessions()
            case "model" if rest:
                self._start(self._switch(home.with_model(rest)))
            case "model":
                self.note(f"The model is {home.model_name}; /model NAME changes it.")

    async def _switch(self, opening: Awaitable[ReplHome]) -> None:
        try:
            home = await opening
        except (UserError, ModelError) as error:
            self.note(str(error), "red")
            return
        self._enter(replace(home, first_message=""))

    def _help(self) -> None:
        rows = help_rows(self._home.commands, KEYS)
        wide = max(len(left) for left, _ in rows if len(left) < 34)
        self.note("Keys and commands", "bold")
        room = max(20, self._columns() - wide - 4)
        self.say([f"{self.ink('cyan', left.ljust(wide))}  {clean_line(right, room)}".rstrip() for left, right in rows])

    def _mode(self, rest: str) -> None:
        if not rest:
            self.note(f"The mode is {self._home.mode()}; /mode {'|'.join(MODES)} changes it, and so does Shift-Tab.")
            return
        try:
            self._home.set_mode(rest)
        except UserError as error:
            self.note(str(error), "yellow")
            return
        self.note(f"The mode is {self._home.mode()}.")

    def _status(self) -> None:
        home, usage = self._home, self.transcript.usage
        place = _tilde(home.workspace, home.environ)
        facts = [
            ("session", home.agent.session.id),
            ("model", home.model_name),
            ("folder", f"{place} ({home.branch})" if home.branch else place),
            ("mode", home.mode()),
            ("tokens", f"{amount(usage.input)} in ({amount(usage.cached)} cached), {amount(usage.output)} out"),
        ]
        self.note("Status", "bold")
        self.say([f"{self.ink('cyan', f'{name:<8}')} {clean_line(value)}" for name, value in facts])

    def _list_sessions(self) -> None:
        saved = self._home.sessions()
        if not saved:
            self.note("No other session is saved for this folder.")
            return
        self.note("Saved sessions; /resume with a number or an id opens one", "bold")
        room = max(10, self._columns() - 30)
        self.say(
            [
                f"{number:>3}  {_ago(self._now() - each.at):>8}  {clean_line(each.title, room) or '(empty)'}"
                f"  {self.ink('dim', clean_line(each.id))}"
                for number, each in enumerate(saved[:20], 1)
            ]
        )

    def _session_id(self, rest: str) -> str:
        saved = self._home.sessions()
        return saved[int(rest) - 1].id if rest.isdecimal() and 0 < int(rest) <= min(20, len(saved)) else rest


def _tilde(folder: Path, environ: Mapping[str, str]) -> str:
    home = environ.get("HOME", "")
    text = str(folder)
    return f"~{text[len(home) :]}" if home and home != "/" and (text == home or text.startswith(f"{home}/")) else text


def _ago(seconds_ago: float) -> str:
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds_ago >= size:
            return f"{int(seconds_ago // size)} {word} ago"
    return "now"
