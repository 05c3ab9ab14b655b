"""The one place where the parts are joined: from a Config to an Agent that can take turns.

The order of the wrappers is visible here: a call goes through the output cap, the repeat guard and the approval to the
tool; a request goes through the retries to the wire.
"""

import asyncio
import contextlib
import os
import platform
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kimi_agent import __version__
from kimi_agent.agent import Agent, Brief
from kimi_agent.config import Config
from kimi_agent.errors import ToolError, UserError
from kimi_agent.faces.jsonl import JsonLines
from kimi_agent.guard.approval import approval
from kimi_agent.guard.limits import Repeats, cap
from kimi_agent.guard.policy import Policy, Rules, parse_mode
from kimi_agent.log.bugs import keep_traceback
from kimi_agent.log.events import Ask, Listener, OpenCall, Opened, Queued, Returned, Said, Seen, Stamped
from kimi_agent.log.interrupted import Unanswered, settled
from kimi_agent.log.session import Session
from kimi_agent.log.sessions import Sessions
from kimi_agent.log.views import Result, TestReport
from kimi_agent.model.base import Model
from kimi_agent.model.dialect import Blob
from kimi_agent.model.profiles import ModelSettings
from kimi_agent.model.providers import open_model
from kimi_agent.model.wrappers import RetryPolicy, retry
from kimi_agent.prompts import agents_text, system_prompt
from kimi_agent.start import Setup
from kimi_agent.tool import Context
from kimi_agent.toolbox import MakeContext, Toolbox, Wrapper, load
from kimi_agent.workspace.files import Files
from kimi_agent.workspace.ledger import Ledger
from kimi_agent.workspace.outputs import Outputs
from kimi_agent.workspace.process import Runner, sweep
from kimi_agent.workspace.ripgrep import Ripgrep
from kimi_agent.workspace.testrun import TestRun

PLAN_NOTE = (
    "Plan mode is on: only reading tools run. Find out what is needed, then answer with a concrete plan; "
    "the user will leave plan mode to have it carried out."
)


@dataclass(frozen=True)
class Home:
    """An open agent and what its faces need beside it."""

    agent: Agent
    policy: Policy
    setup: Setup
    runner: Runner
    files: Files
    model: Model
    notices: tuple[str, ...]

    async def aclose(self) -> None:
        """End every process, close the connection, then the log; one in which nothing was said is not kept."""
        await self.runner.aclose()
        await self.model.aclose()
        session = self.agent.session
        kept = () if session.conversation.messages() else tuple(session.events())
        session.close()
        if not session.conversation.messages() and not any(isinstance(each.event, Said | Queued) for each in kept):
            with contextlib.suppress(UserError, OSError):
                self.setup.sessions.remove(session.id)


OpenSession = Callable[[Sessions, Opened], Session]


async def open_agent(
    setup: Setup, session_of: OpenSession, ask: Ask, listeners: Sequence[Listener], *, debug: bool
) -> Home:
    """Load the tools, open the model and the session, join them. Raises UserError; then nothing is left open.

    `session_of` creates, resumes or forks: it is given the sessions and what a new one opens with. With `debug` every
    event, the fleeting ones too, is kept beside the log.
    """
    config = setup.config
    tools, problems = load(setup.layers)
    policy = policy_of(setup)
    settings = _model_settings(config)
    opened = Opened("", str(setup.workspace), settings.model, __version__, _system(setup))
    model = _model(settings, setup, lambda sha256: _blob(session, sha256))  # first: without a key there is no session
    session = session_of(setup.sessions, opened)
    try:
        files, runner = _capabilities(setup, session)
        notices = [*setup.notices, *files.recover(), *_swept(setup.places.state / "running")]
        toolbox = Toolbox(
            tools.values(),
            wrappers=_wrappers(policy, ask, session),
            context=_contexts(setup, session, files, runner),
            emit=session.emit,
            report_bug=lambda error: keep_traceback(setup.places.state, error),
        )
        agent = Agent(
            model,
            toolbox,
            session,
            Brief(session.opened.system or opened.system, config.number("max_steps")),
            notes=[lambda _: PLAN_NOTE if policy.mode == "plan" else None],
            settled=lambda calls: _settled(files, toolbox, calls),
        )
        session.listen(*listeners, *([_debug_log(session)] if debug else []))
        for listener in listeners:  # who joins now missed the first record
            listener(Stamped(session.agent, 0, time.time(), session.opened))
        notices += _cut_off(session, toolbox)
        await agent.resume()
    except BaseException:
        await model.aclose()
        session.close()
        raise
    notices += [f"Left out {each.path}: {each.error}" for each in problems]
    return Home(agent, policy, setup, runner, files, model, tuple(notices))


async def change_model(home: Home, name: str) -> Home:
    """The same session on another model. Raises UserError; then the old one stays."""
    session = home.agent.session
    settings = replace(_model_settings(home.setup.config), model=name)
    model = _model(settings, home.setup, lambda sha256: _blob(session, sha256))
    await home.model.aclose()
    home.agent.model = model
    return replace(home, model=model)


def _model(settings: ModelSettings, setup: Setup, blob: Blob) -> Model:
    """What a request goes through: the retries, then the wire."""
    wire = open_model(settings, setup.environ, blob=blob, version=__version__)
    return retry(wire, RetryPolicy(), sleep=asyncio.sleep, random=random.random, clock=time.time)


def _blob(session: Session, sha256: str) -> bytes:
    data = session.blobs.get(sha256)
    if data is None:
        raise FileNotFoundError(sha256)
    return data


def _debug_log(session: Session) -> Listener:
    fd = os.open(session.folder / "debug.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    return JsonLines(os.fdopen(fd, "w"))


def _cut_off(session: Session, toolbox: Toolbox) -> list[str]:
    """What the person should know of calls that a crash cut off, as the model will be told of them."""
    started = [call for call in session.conversation.open_calls if call.started is not None]
    names = [call.call.name for call in started if toolbox.effect(call.call.name) != "read"]
    return [f"Cut off last time, and perhaps done: {', '.join(names)}. The model is told."] if names else []


def _swept(register: Path) -> list[str]:
    killed = sweep(register)
    return [f"Ended {killed} processes that a killed run had left behind."] if killed else []


def policy_of(setup: Setup) -> Policy:
    """The policy that the settings ask for. Raises UserError naming the file (or flag) that is wrong."""
    config = setup.config
    with _blaming(config, "permissions.allow"):
        Rules.parse(config.texts("permissions.allow"))
    with _blaming(config, "permissions.deny"):
        rules = Rules.parse(config.texts("permissions.allow"), config.texts("permissions.deny"))
    with _blaming(config, "mode"):
        mode = parse_mode(config.text("mode"))
    return Policy(mode, rules, workspace=setup.workspace, home=setup.places.home, added=_added(config))


@contextlib.contextmanager
def _blaming(config: Config, key: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        source = config.sources[key]
        typed = source in ("command line", "--set")
        raise UserError(f"{error} ({key}, {source})", error.exit_code if typed else 78) from error


def _added(config: Config) -> list[Path]:
    """The folders that count as the workspace too. Raises UserError for one that is not there."""
    added = [Path(each).expanduser() for each in config.texts("workspace.add_dirs")]
    if missing := [each for each in added if not each.is_dir()]:
        raise UserError(f"There is no folder {missing[0]} (workspace.add_dirs).", 78)
    return added


def _model_settings(config: Config) -> ModelSettings:
    return ModelSettings(
        model=config.text("model"),
        base_url=config.text("base_url"),
        key_env=config.text("key_env"),
        key_command=config.text("key_command"),
        thinking=config.on("thinking"),
        max_output=config.number("max_output") or None,
        window=config.number("window"),
    )


def _system(setup: Setup) -> str:
    """The system prompt, made once per session: a new day or an edited AGENTS.md must not break the server's cache."""
    values = {
        "workspace": str(setup.workspace),
        "platform": platform.system(),
        "date": time.strftime("%Y-%m-%d"),
    }
    inner = setup.cwd.relative_to(setup.workspace).parts if setup.cwd.is_relative_to(setup.workspace) else ()
    folders = ["/".join(inner[:depth]) for depth in range(len(inner) + 1)]
    return system_prompt(setup.layers, values, agents_text(_reader(setup.workspace), folders))


def _reader(workspace: Path) -> Callable[[str], str | None]:
    """Texts of the repository for the prompt, through the same confinement that tools have."""
    files = Files(workspace, outputs=Outputs(workspace), ledger=Ledger(_nobody), home=workspace, journal=workspace)

    def read(path: str) -> str | None:
        try:
            return files.read(path, max_bytes=4_000_000).data.decode("utf-8-sig", "replace")
        except ToolError:
            return None

    return read


def _nobody(_: object) -> None:
    return None


def _capabilities(setup: Setup, session: Session) -> tuple[Files, Runner]:
    state = setup.places.state
    outputs = Outputs(session.outputs_folder)
    ledger = Ledger(session.emit)
    files = Files(
        setup.workspace,
        outputs=outputs,
        ledger=ledger,
        home=setup.places.home,
        cwd=setup.cwd,
        added=_added(setup.config),
        private=(setup.places.config / "config.toml", state),  # also where the workspace is the home folder itself
        journal=state / "journal",
    )
    runner = Runner(
        root=setup.workspace,
        cwd=setup.cwd,
        outputs=outputs,
        environ=setup.environ,
        env_pass=setup.config.texts("env.pass"),
        register=state / "running",
    )
    return files, runner


def _contexts(setup: Setup, session: Session, files: Files, runner: Runner) -> MakeContext:
    ripgrep = Ripgrep(files, runner)
    virtual_env = setup.environ.get("VIRTUAL_ENV", "")
    testrun = TestRun(files, runner, command=setup.config.text("test_command"), virtual_env=virtual_env)
    for stamped in session.events():  # what a resumed session knew: files the model saw, tests that failed
        match stamped.event:
            case Seen():
                files.ledger.feed(stamped.event)
            case Returned(result=Result(view=TestReport() as report)):
                testrun.feed(report)
            case _:
                pass

    def make(call_id: str, progress: Callable[[str], None]) -> Context:
        name = f"{session.id}/{session.agent}/{call_id}"
        return Context(files, runner, ripgrep, testrun, session.agent, name, progress)

    return make


def _wrappers(policy: Policy, ask: Ask, session: Session) -> list[Wrapper]:
    """From the tool outwards: may it run, did this very call fail before, is the result too long."""
    return [
        lambda tool: approval(tool, policy=policy, ask=ask, emit=session.emit),
        Repeats().guard,
        lambda tool: tool if tool.name == "read_file" else cap(tool),  # it pages by itself, up to 60 kB
    ]


def _settled(files: Files, toolbox: Toolbox, calls: Sequence[Unanswered]) -> tuple[OpenCall, ...]:
    """What changed since each interrupted call began; for a command, which names no files, whatever the model knew."""
    found = settled(calls, files.fingerprints)
    effects = {(each.answer, each.index): toolbox.effect(each.call.name) for each in calls}
    return tuple(
        OpenCall(each.answer, each.index, tuple(files.changed()))
        if effects[each.answer, each.index] == "execute"
        else each
        for each in found
    )
