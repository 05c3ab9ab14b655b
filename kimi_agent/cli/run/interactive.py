"""Interactive run: ask for trust, choose the session, show the prompt, and open the agent behind it.

The prompt waits for prompt-toolkit alone: the agent, its tools and the wire are imported in a thread once it is
there, and what is typed meanwhile is kept.
"""

import asyncio
import contextlib
import os
import shutil
import sys
import termios
import textwrap
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kimi_agent.app.bootstrap import Setup
from kimi_agent.cli.run.options import RunOptions
from kimi_agent.cli.run.setup import open_workspace, session_opener
from kimi_agent.cli.signals import SignalWatchdog
from kimi_agent.errors import UserError
from kimi_agent.faces.repl import repl
from kimi_agent.faces.repl.compact_command import CompactionActions
from kimi_agent.faces.repl.repl_session import AgentHandle, ReplSession, SavedSession
from kimi_agent.faces.sanitize import sanitize, sanitize_line
from kimi_agent.faces.screen.approvals import AskProxy
from kimi_agent.faces.screen.terminal import RESTORE_TERMINAL
from kimi_agent.guard.policy.trust import list_folder_files
from kimi_agent.log.events import Listener, TurnEnded
from kimi_agent.log.messages import Message, User
from kimi_agent.printable import format_time, list_paths
from kimi_agent.prompts import find_prompt_commands, read_prompt_file
from kimi_agent.workspace.git.git_folder import current_branch

if TYPE_CHECKING:
    from kimi_agent.app.open_agent import OpenAgent

_MAX_LISTED = 20
_AFTER_PAINT_S = 0.05


def run_interactive(options: RunOptions, signals: SignalWatchdog) -> int:
    """The REPL, from flags to its exit code. Raises UserError."""
    signals.raise_from_here()
    signals.leave_interrupt()
    setup = open_workspace(options, trust=options.trust)
    if options.worktree is not None:
        options = replace(options, worktree=None, directory=str(setup.workspace))
    setup = _settle_trust(setup, options)
    if options.resume == "":
        options = replace(options, resume=_pick_session(setup))
    switcher = _SessionSwitcher(setup, options, signals)
    with contextlib.suppress(termios.error, ValueError):
        switcher.terminal_modes = termios.tcgetattr(sys.stdin.fileno())
    return repl.run_repl(switcher.placeholder(), lambda leave: signals.hear(leave, switcher.say_last_words))


def _settle_trust(setup: Setup, options: RunOptions) -> Setup:
    """Ask about a project's folder that nobody trusted yet. What changes before the yes is asked about once more."""
    for asked_before in (False, True):
        if setup.untrusted is None or not setup.project_content:
            return setup
        if not _ask_trust(setup.untrusted, again=asked_before):
            return setup
        setup = open_workspace(options, trust=True, shown=setup.project_content)
    if setup.untrusted is not None:
        sys.stdout.write("It changed once more and is left out; start again when nothing writes to it.\n")
    return setup


def _ask_trust(folder: Path, *, again: bool) -> bool:
    """Ask whether the project's own tools, test runners, prompts and settings may be used; names what is there."""
    files = list_paths(list_folder_files(folder), _MAX_LISTED)
    if again:
        lines = ["It changed while you were asked.", f"There are now: {files}."]
        question = "You have read it again and trust it as it is now?"
    else:
        what = "holds this project's own tools, test runners, prompts and settings:"
        lines = [f"{sanitize_line(str(folder))} {what} {files}."]
        question = "Tools and runners run as you. You have read them and trust the folder?"
    width = shutil.get_terminal_size().columns
    wrap = partial(textwrap.fill, width=width, break_long_words=False, break_on_hyphens=False)
    sys.stdout.write("\n".join(map(wrap, [*lines, f"{question} [y/N]"])) + " ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _pick_session(setup: Setup) -> str:
    """Let the person choose one of the newest sessions."""
    found = setup.sessions.list()[:_MAX_LISTED]
    if not found:
        raise UserError("There is no session to resume here; just start talking: kimi-agent.")
    for number, each in enumerate(found, 1):
        title = sanitize_line(each.label, 80)
        sys.stdout.write(f"{number:3}  {format_time(each.last_used)}  {title}\n")
    sys.stdout.write("Which one? [1] ")
    sys.stdout.flush()
    word = sys.stdin.readline().strip() or "1"
    if word.isdecimal() and 1 <= int(word) <= len(found):
        return found[int(word) - 1].id
    return word


class _NoSession:
    """Stand-in for the session and the agent until they are open: it has no messages and takes no turn."""

    id = ""

    def messages(self) -> Sequence[Message]:
        return ()

    @property
    def conversation(self) -> "_NoSession":
        return self

    @property
    def session(self) -> "_NoSession":
        return self

    def listen(self, listener: Listener, /) -> None:
        return None

    async def run_turn(self, prompt: User, /) -> TurnEnded:
        raise UserError("The session is still being opened.")

    def queue(self, message: User, /) -> None:
        raise UserError("The session is still being opened.")


class _SessionSwitcher:
    """Opens and switches what the REPL talks to: a session, another one, another model, another mode."""

    def __init__(self, setup: Setup, options: RunOptions, signals: SignalWatchdog) -> None:
        self.terminal_modes: list[Any] | None = None
        self._setup = setup
        self._options = options
        self._signals = signals
        self._asker = AskProxy()
        self._mode = setup.config.text("mode")
        self._opened: OpenAgent | None = None
        prompts = find_prompt_commands(setup.layers)
        self._commands = {name: sanitize(read_prompt_file(path)) for name, path in prompts.items()}

    def placeholder(self) -> ReplSession:
        """The placeholder session that greets the person; the real one is opened from it."""
        greeter = self._base_session(_NoSession(), self._setup.config.text("model"), ())
        return replace(greeter, open_real=self._open, first_message=self._options.prompt)

    def _full_session(self, opened: "OpenAgent", model_name: str, notices: Sequence[str]) -> ReplSession:
        """The REPL session of an open agent, with everything that can be asked of it."""
        from kimi_agent.faces.render import costs

        return replace(
            self._base_session(opened, model_name, notices),
            rewinder=opened.rewinder,
            diff=opened.diff,
            compaction=CompactionActions(opened.compact, opened.preview, opened.undo_compaction),
            costs=lambda: opened.cost(look=True),
            window=opened.model.window,
            count_used_tokens=lambda: opened.agent.request().tokens,
            cost_label=lambda: costs.cost_label(opened.cost()),
        )

    def _base_session(self, agent: AgentHandle, model_name: str, notices: Sequence[str]) -> ReplSession:
        setup = self._setup
        return ReplSession(
            agent=agent,
            asker=self._asker,
            model_name=model_name,
            workspace=setup.workspace,
            branch=current_branch(setup.workspace),
            mode=lambda: self._mode,
            set_mode=self._set_mode,
            sessions=lambda: [SavedSession(each.id, each.label, each.last_used) for each in setup.sessions.list()],
            new_session=lambda: self._other(replace(self._options, resume=None, fork=False)),
            resume=lambda word: self._other(replace(self._options, resume=word, fork=False)),
            with_model=self._with_model,
            aclose=self._aclose,
            history_file=setup.history_file,
            environ=setup.environ,
            notices=notices,
            commands=self._commands,
            resume_with=setup.resume_with,
        )

    def _set_mode(self, text: str) -> None:
        from kimi_agent.guard.policy.policy import parse_permission_mode

        self._mode = mode = parse_permission_mode(text)
        if self._opened is not None:
            self._opened.policy.mode = mode

    async def _open(self) -> ReplSession:
        await asyncio.sleep(_AFTER_PAINT_S)
        loop, loaded = asyncio.get_running_loop(), asyncio.Event()

        def load() -> None:
            try:
                import kimi_agent.app.open_agent  # noqa: F401 - the import is the work
            finally:
                with contextlib.suppress(RuntimeError):  # the person has left meanwhile
                    loop.call_soon_threadsafe(loaded.set)
            from kimi_agent.model.wire.chat_completions import preload_http_client

            preload_http_client()

        # Not a thread of the pool: that would be joined when the person leaves at once.
        threading.Thread(target=load, daemon=True).start()
        await loaded.wait()
        return await self._enter(self._options)

    async def _enter(self, options: RunOptions) -> ReplSession:
        from kimi_agent.app.open_agent import open_agent

        limiter = self._opened.pipeline.limiter if self._opened is not None else None
        opened = await open_agent(
            self._setup, session_opener(options), self._asker, (), limiter=limiter, debug=options.debug
        )
        if self._opened is not None:
            await self._opened.aclose()
        self._opened = opened
        self._set_mode(self._mode)
        return self._full_session(opened, opened.model.name, opened.notices)

    async def _other(self, options: RunOptions) -> ReplSession:
        opened = self._opened
        wanted = options.resume and self._setup.sessions.find(options.resume).id
        if opened is not None and wanted == opened.session.id:
            return self._full_session(opened, opened.model.name, ())
        # A project's folder may have changed since it was trusted.
        self._setup = open_workspace(self._options, trust=False)
        return await self._enter(options)

    async def _with_model(self, name: str) -> ReplSession:
        from kimi_agent.app.open_agent import change_model

        if self._opened is None:
            raise UserError("The session is still being opened.")
        self._opened = await change_model(self._opened, name)
        self._options = replace(self._options, settings={**self._options.settings, "model": name})
        return self._full_session(self._opened, name, ())

    async def _aclose(self) -> None:
        if self._opened is not None:
            await self._opened.aclose(in_haste=self._signals.number != 0)

    def say_last_words(self, number: int) -> int:
        """End what runs, and give the terminal back, where the REPL does not come to it; gives the exit code."""
        if self._opened is not None:
            self._opened.runner.kill_all()
        with contextlib.suppress(OSError, termios.error):
            # Opened anew: a terminal that is held (Ctrl-S) must not hold us, and the shell's stays as it is.
            fd = os.open(os.ttyname(sys.stdin.fileno()), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            if self.terminal_modes is not None:
                termios.tcsetattr(fd, termios.TCSANOW, self.terminal_modes)
            os.write(fd, RESTORE_TERMINAL)
        return 128 + number
