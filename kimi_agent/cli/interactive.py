"""Talk on a terminal: settle trust and the session, open the agent, and hand both to the REPL."""

import asyncio
import os
import sys
import time
from dataclasses import replace

from kimi_agent.app import Home, Setup, change_model, open_agent, prepare
from kimi_agent.cli.options import Options
from kimi_agent.cli.sessions_of import session_of
from kimi_agent.errors import UserError
from kimi_agent.faces import repl
from kimi_agent.faces.ask import Asker
from kimi_agent.faces.home import ReplHome, SavedSession
from kimi_agent.faces.sanitize import clean, clean_line
from kimi_agent.guard.policy import parse_mode
from kimi_agent.log.sessions import Sessions
from kimi_agent.prompts import commands, read_text
from kimi_agent.workspace.git import branch

_PICKED = 20


def talk(options: Options) -> int:
    """The REPL, from flags to its exit code. Raises UserError before anything is on the screen."""
    setup = _prepare(options, trust=options.trust)
    if setup.untrusted is not None and _trusts(setup):
        setup = _prepare(options, trust=True)
    if options.resume == "":
        options = replace(options, resume=_pick(setup.sessions))
    return asyncio.run(_talk(setup, options))


def _prepare(options: Options, *, trust: bool) -> Setup:
    return prepare(options.settings(), sets=options.sets, directory=options.directory, environ=os.environ, trust=trust)


def _trusts(setup: Setup) -> bool:
    """Ask whether the project's own tools, prompts and settings may be used."""
    sys.stdout.write(
        f"{clean_line(str(setup.untrusted))} holds this project's own tools, prompts and settings.\n"
        "Its tools are code that runs as you. Have you read it, and do you trust it? [y/N] "
    )
    sys.stdout.flush()
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        return False


def _pick(sessions: Sessions) -> str:
    """Let the person choose one of the newest sessions."""
    found = sessions.list()[:_PICKED]
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


async def _talk(setup: Setup, options: Options) -> int:
    asker = Asker()
    home = await open_agent(setup, session_of(options), asker, (), debug=options.debug)
    return await repl.talk(_Desk(setup, asker, home, debug=options.debug).home(options.prompt))


class _Desk:
    """What the REPL may ask of the house: another session, another model, another mode."""

    def __init__(self, setup: Setup, asker: Asker, home: Home, *, debug: bool) -> None:
        self._setup = setup
        self._asker = asker
        self._home = home
        self._debug = debug

    def home(self, first_message: str = "") -> ReplHome:
        setup, home = self._setup, self._home
        return ReplHome(
            agent=home.agent,
            asker=self._asker,
            model_name=home.model.name,
            workspace=setup.workspace,
            branch=branch(setup.workspace),
            mode=lambda: home.policy.mode,
            set_mode=lambda mode: setattr(home.policy, "mode", parse_mode(mode)),
            sessions=self._sessions,
            fresh=lambda: self._other(Options()),
            resume=lambda word: self._other(Options(resume=word)),
            with_model=self._with_model,
            aclose=home.aclose,
            history_file=setup.sessions.folder / "history",
            environ=setup.environ,
            notices=home.notices,
            commands={name: clean(read_text(path)) for name, path in commands(setup.layers).items()},
            warm=_warm,
            first_message=first_message,
        )

    def _sessions(self) -> list[SavedSession]:
        return [SavedSession(each.id, each.title, each.last_used) for each in self._setup.sessions.list()]

    async def _other(self, options: Options) -> ReplHome:
        if options.resume is not None and self._setup.sessions.find(options.resume).id == self._home.agent.session.id:
            return self.home()
        opened = await open_agent(self._setup, session_of(options), self._asker, (), debug=self._debug)
        opened.policy.mode = self._home.policy.mode
        await self._home.aclose()
        self._home = replace(opened, notices=())
        return self.home()

    async def _with_model(self, name: str) -> ReplHome:
        self._home = replace(await change_model(self._home, name), notices=())
        return self.home()


def _warm() -> None:
    """Import what the first request and its answer need, while the person types."""
    from kimi_agent.faces import blocks  # noqa: F401 - rich and its markdown
    from kimi_agent.model.chat_completions import warm

    warm()
