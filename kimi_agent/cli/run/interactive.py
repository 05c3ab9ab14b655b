"""Talk on a terminal: settle trust and the session, put the prompt on the screen, and open the house behind it.

The prompt waits for prompt-toolkit alone: the agent, its tools and the wire are imported in a thread once it stands
there, and what is typed meanwhile is kept.
"""

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kimi_agent.app.bootstrap import Setup
from kimi_agent.cli.run.open_workspace import prepared
from kimi_agent.cli.run.options import Options
from kimi_agent.errors import UserError
from kimi_agent.faces.repl import repl
from kimi_agent.faces.repl.compact_command import Compacting
from kimi_agent.faces.repl.repl_session import Conversing, ReplHome, SavedSession
from kimi_agent.faces.sanitize import clean, clean_line
from kimi_agent.faces.screen.approvals import Asker
from kimi_agent.log.events import Listener, TurnEnded
from kimi_agent.log.messages import Message, User
from kimi_agent.prompts import commands, read_text
from kimi_agent.workspace.git.current_branch import branch

if TYPE_CHECKING:
    from kimi_agent.app.open_agent import Home

_PICKED = 20
_AFTER_PAINT_S = 0.05


def talk(options: Options) -> int:
    """The REPL, from flags to its exit code. Raises UserError."""
    setup = prepared(options, trust=options.trust)
    options = replace(
        options, worktree=None, directory=str(setup.workspace) if options.worktree is not None else options.directory
    )
    if setup.untrusted is not None and _trusts(setup):
        setup = prepared(options, trust=True)
    if options.resume == "":
        options = replace(options, resume=_pick(setup))
    return repl.run_repl(_Desk(setup, options).hall())


def _trusts(setup: Setup) -> bool:
    """Ask whether the project's own tools, prompts and settings may be used."""
    sys.stdout.write(
        f"{clean_line(str(setup.untrusted))} holds this project's own tools, prompts and settings.\n"
        "Its tools are code that runs as you. You have read it and trust it? [y/N] "
    )
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _pick(setup: Setup) -> str:
    """Let the person choose one of the newest sessions."""
    found = setup.sessions.list()[:_PICKED]
    if not found:
        raise UserError("There is no session to resume here; just start talking: kimi-agent.")
    for number, each in enumerate(found, 1):
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.last_used))
        sys.stdout.write(f"{number:3}  {used}  {clean_line(each.title or '(nothing said)', 80)}\n")
    sys.stdout.write("Which one? [1] ")
    sys.stdout.flush()
    word = sys.stdin.readline().strip() or "1"
    if word.isdecimal() and 1 <= int(word) <= len(found):
        return found[int(word) - 1].id
    return word


class _Nothing:
    """The session and the agent of the hall: nothing was said yet, and nothing is taken before the house is open."""

    id = ""

    def messages(self) -> Sequence[Message]:
        return ()

    @property
    def conversation(self) -> "_Nothing":
        return self

    @property
    def session(self) -> "_Nothing":
        return self

    def listen(self, listener: Listener, /) -> None:
        return None

    async def run_turn(self, prompt: User, /) -> TurnEnded:
        raise UserError("The session is still being opened.")

    def queue(self, message: User, /) -> None:
        raise UserError("The session is still being opened.")


class _Desk:
    """What the REPL may ask of the house: a session, another one, another model, another mode."""

    def __init__(self, setup: Setup, options: Options) -> None:
        self._setup = setup
        self._options = options
        self._asker = Asker()
        self._mode = setup.config.text("mode")
        self._house: Home | None = None
        self._commands = {name: clean(read_text(path)) for name, path in commands(setup.layers).items()}

    def hall(self) -> ReplHome:
        """Where the person is greeted; the house is opened from here."""
        home = self._home(_Nothing(), self._setup.config.text("model"), ())
        return replace(home, opening=self._open, first_message=self._options.prompt)

    def _furnished(self, house: "Home", model_name: str, notices: Sequence[str]) -> ReplHome:
        """The home with all that can be asked of an open session."""
        from kimi_agent.faces.render import costs

        return replace(
            self._home(house.witness, model_name, notices),
            rewinding=house.rewinder,
            differing=house.difference,
            compacting=Compacting(house.compact, house.preview, house.take_back),
            costs=lambda: house.cost(look=True),
            window=house.model.window,
            used=lambda: house.agent.request().tokens,
            cost=lambda: costs.short(house.cost()),
        )

    def _home(self, agent: Conversing, model_name: str, notices: Sequence[str]) -> ReplHome:
        setup = self._setup
        return ReplHome(
            agent=agent,
            asker=self._asker,
            model_name=model_name,
            workspace=setup.workspace,
            branch=branch(setup.workspace),
            mode=lambda: self._mode,
            set_mode=self._set_mode,
            sessions=lambda: [SavedSession(each.id, each.title, each.last_used) for each in setup.sessions.list()],
            fresh=lambda: self._other(replace(self._options, resume=None, fork=False)),
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
        from kimi_agent.guard.policy.policy import parse_mode

        self._mode = mode = parse_mode(text)
        if self._house is not None:
            self._house.policy.mode = mode

    async def _open(self) -> ReplHome:
        await asyncio.sleep(_AFTER_PAINT_S)
        loop, loaded = asyncio.get_running_loop(), asyncio.Event()

        def load() -> None:
            try:
                import kimi_agent.app.open_agent
                import kimi_agent.cli.run.open_session  # noqa: F401 - the import is the work
            finally:
                with contextlib.suppress(RuntimeError):  # the person has left meanwhile
                    loop.call_soon_threadsafe(loaded.set)
            from kimi_agent.model.wire.chat_completions import warm

            warm()

        # Not a thread of the pool: that would be joined when the person leaves at once.
        threading.Thread(target=load, daemon=True).start()
        await loaded.wait()
        return await self._enter(self._options)

    async def _enter(self, options: Options) -> ReplHome:
        from kimi_agent.app.open_agent import open_agent
        from kimi_agent.cli.run.open_session import session_of

        limiter = self._house.road.limiter if self._house is not None else None
        house = await open_agent(
            self._setup, session_of(options), self._asker, (), limiter=limiter, debug=options.debug
        )
        if self._house is not None:
            await self._house.aclose()
        self._house = house
        self._set_mode(self._mode)
        return self._furnished(house, house.model.name, house.notices)

    async def _other(self, options: Options) -> ReplHome:
        house = self._house
        wanted = options.resume and self._setup.sessions.find(options.resume).id
        if house is not None and wanted == house.agent.session.id:
            return self._furnished(house, house.model.name, ())
        self._setup = prepared(self._options, trust=False)  # a project's folder may have changed since it was trusted
        return await self._enter(options)

    async def _with_model(self, name: str) -> ReplHome:
        from kimi_agent.app.open_agent import change_model

        if self._house is None:
            raise UserError("The session is still being opened.")
        self._house = await change_model(self._house, name)
        self._options = replace(self._options, model=name)
        return self._furnished(self._house, name, ())

    async def _aclose(self) -> None:
        if self._house is not None:
            await self._house.aclose()
