"""The one place where the parts are joined: from a Config to an Agent that can take turns.

The order of the wrappers is visible here: a call goes through the output cap, the loop guard, the approval and the
snapshots to the tool; a request goes down the road of `asking` to the wire; a turn goes through the witness to the
agent, whose room keeps the conversation within the window.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from kimi_agent import __version__
from kimi_agent.agent import Agent, Brief
from kimi_agent.app.bootstrap import Setup
from kimi_agent.app.crash_recovery import close_cut_off, cut_off, never_ended, settled_calls, swept
from kimi_agent.app.model_pipeline import Road, caps_of, limiter_of, model_settings, patience_of, wire_of
from kimi_agent.app.parts import (
    capabilities,
    checkpoints_of,
    collect,
    endings_of,
    keeping_of,
    policy_of,
    room_of,
    system_of,
)
from kimi_agent.context.context_window import Preview, Room
from kimi_agent.context.token_estimator import CHARS_A_TOKEN
from kimi_agent.errors import UserError
from kimi_agent.faces.headless.jsonl import JsonLines
from kimi_agent.guard.policy.policy import Policy
from kimi_agent.guard.tool_wrappers.approval import approval
from kimi_agent.guard.tool_wrappers.loop_guard import Loops
from kimi_agent.guard.tool_wrappers.output_cap import MAX_CHARS, cap
from kimi_agent.log.events import (
    Ask,
    Compacted,
    Listener,
    Opened,
    Queued,
    Restored,
    Returned,
    Said,
    Stamped,
)
from kimi_agent.log.readers.recall import History
from kimi_agent.log.readers.spending import Spending, midnight
from kimi_agent.log.sessions import Sessions
from kimi_agent.log.store.session import Session
from kimi_agent.log.store.tracebacks import keep_traceback
from kimi_agent.log.views import FileDiff, Result, TestReport
from kimi_agent.model.base import Model
from kimi_agent.model.cost.budget import Budget, State
from kimi_agent.model.cost.cost_recorder import last_of
from kimi_agent.model.retrying.rate_limiter import Limiter
from kimi_agent.rewind.rewind_note import taken_back
from kimi_agent.tool import Context, Tool
from kimi_agent.toolbox import MakeContext, Toolbox, load
from kimi_agent.verify.turn_verifier import Witness
from kimi_agent.workspace.checkpoint import Checkpoints, Unkept
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.process.runner import Runner
from kimi_agent.workspace.search.ripgrep import Ripgrep
from kimi_agent.workspace.testrun import TestRun

if TYPE_CHECKING:
    from kimi_agent.rewind.rewinder import Rewinder

PLAN_NOTE = (
    "Plan mode is on: only reading tools run. Find out what is needed, then answer with a concrete plan; "
    "the user will leave plan mode to have it carried out."
)


@dataclass(frozen=True)
class Home:
    """An open agent and what its faces need beside it."""

    agent: Agent
    witness: Witness
    checkpoints: Checkpoints
    policy: Policy
    setup: Setup
    runner: Runner
    files: Files
    model: Model
    road: Road
    room: Room
    notices: tuple[str, ...]

    @cached_property
    def rewinder(self) -> "Rewinder":
        """The way back for this session and its files."""
        from kimi_agent.rewind.rewinder import Rewinder  # only who goes back waits for it

        return Rewinder(self.agent.session, self.checkpoints, self.files)

    async def difference(self, scope: str) -> tuple[FileDiff, ...]:
        """What was changed in the files, over `scope` (see `differences`). Raises UserError."""
        from kimi_agent.rewind.diff import difference, read_scope  # only who asks waits for it

        wanted = read_scope(scope)
        return await asyncio.to_thread(difference, self.agent.session.events(), self.checkpoints, wanted)

    def cost(self, *, look: bool = False) -> State:
        """What was spent, and the caps; with `look` other sessions of today are looked at anew."""
        return self.road.budget.state(look=look)

    async def compact(self, focus: str) -> Compacted:
        """Make room now. Raises UserError where there is nothing to gain, and ModelError."""
        return await self.room.compact(self.model, self.agent.request(), focus=focus)

    def preview(self) -> Preview:
        """What `compact` would do. Raises UserError."""
        return self.room.preview(self.model, self.agent.request())

    def take_back(self) -> Restored:
        """Take the last compaction back. Raises UserError."""
        return self.room.undo(self.model, self.agent.request())

    async def aclose(self) -> None:
        """End every process, close the connection, then the log; one in which nothing was said is not kept."""
        await self.runner.aclose()
        await self.model.aclose()
        await asyncio.to_thread(collect, self.checkpoints, self.setup.config)
        self.checkpoints.close()
        session = self.agent.session
        kept = () if session.conversation.messages() else tuple(session.events())
        session.close()
        if not session.conversation.messages() and not any(isinstance(each.event, Said | Queued) for each in kept):
            with contextlib.suppress(UserError, OSError):
                self.setup.sessions.remove(session.id)


OpenSession = Callable[[Sessions, Opened], Session]


async def open_agent(
    setup: Setup,
    session_of: OpenSession,
    ask: Ask,
    listeners: Sequence[Listener],
    *,
    unattended: bool = False,
    timeout_s: float = 0,
    limiter: Limiter | None = None,
    debug: bool = False,
) -> Home:
    """Load the tools, open the model and the session, join them. Raises UserError; then nothing is left open.

    `session_of` creates, resumes or forks: it is given the sessions and what a new one opens with. A run that is
    `unattended` is more patient with the endpoint. After `timeout_s` seconds a turn ends, whatever runs in it (0: a
    person is asked at `timeout` instead). `limiter` is the one of this process, if there is one already. With `debug`
    every event, the fleeting ones too, is kept beside the log.
    """
    config = setup.config
    tools, problems = load(setup.layers)
    policy = policy_of(setup)
    settings = model_settings(config)
    opened = Opened("", str(setup.workspace), settings.model, __version__, system_of(setup))
    wire = wire_of(settings, setup.environ, lambda sha256: _blob(session, sha256))  # without a key there is no session
    session = session_of(setup.sessions, opened)
    try:
        files, runner = capabilities(setup, session)
        log = list(session.events())  # what a resumed session knew
        files.ledger.rebuild(log)
        loops = Loops(ask, session.emit)
        budget, room = _budget(setup, session, ask), room_of(setup, session, files)
        for stamped in log:
            budget.hear(stamped)
            room.hear(stamped)
        budget.begin_run()
        patience = patience_of(config, unattended=unattended)
        road = Road(config, limiter or limiter_of(), budget, patience, loops.check, session.emit)
        model = road.to(wire, settings, last_of(log))
        checkpoints = checkpoints_of(setup)
        endings = endings_of(setup, session, checkpoints, policy=policy, ask=ask, runner=runner)
        notices = [*setup.notices, *files.recover(), *swept(setup.places.state / "running")]
        toolbox = Toolbox(
            tools.values(),
            wrappers=[
                # From the tool outwards: keep the files, may it run, was this call made before, is the result too long.
                keeping_of(setup, policy, ask, session, checkpoints).around,
                lambda tool: approval(tool, policy=policy, ask=ask, emit=session.emit),
                loops.guard,
                lambda tool: cap(tool, max_chars=_most_chars(tool, settings.window)),
            ],
            context=_contexts(session, files, runner, testrun=_testrun(setup, files, runner, checkpoints, log)),
            emit=session.emit,
            report_bug=lambda error: keep_traceback(setup.places.state, error),
        )
        agent = Agent(
            model,
            toolbox,
            session,
            Brief(session.opened.system or opened.system, timeout_s),
            room,
            notes=[lambda _: PLAN_NOTE if policy.mode == "plan" else None, taken_back],
            settled=lambda calls: settled_calls(files, toolbox, calls),
        )
        heard = (road.hear, room.hear, budget.hear, loops.hear, files.ledger.hear)
        session.listen(*listeners, *heard, *([_debug_log(session)] if debug else []))
        for listener in listeners:  # who joins now missed the first record
            listener(Stamped(session.agent, 0, time.time(), session.opened))
        notices += [*never_ended(log), *cut_off(session, toolbox)]
        await asyncio.to_thread(close_cut_off, session, checkpoints, log)
        await agent.resume()
        witness = Witness(agent, checkpoints, endings)
    except BaseException:
        await wire.aclose()
        session.close()
        raise
    notices += [f"Left out {each.path}: {each.error}" for each in problems]
    return Home(agent, witness, checkpoints, policy, setup, runner, files, model, road, room, tuple(notices))


async def change_model(home: Home, name: str) -> Home:
    """The same session on another model. Raises UserError; then the old one stays."""
    session = home.agent.session
    settings = replace(model_settings(home.setup.config), model=name)
    wire = wire_of(settings, home.setup.environ, lambda sha256: _blob(session, sha256))
    model = home.road.to(wire, settings, last_of(session.events()))
    await home.model.aclose()
    home.agent.model = model
    return replace(home, model=model)


def _blob(session: Session, sha256: str) -> bytes:
    data = session.blobs.get(sha256)
    if data is None:
        raise FileNotFoundError(sha256)
    return data


def _debug_log(session: Session) -> Listener:
    fd = os.open(session.folder / "debug.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    return JsonLines(os.fdopen(fd, "w"))


def _testrun(setup: Setup, files: Files, runner: Runner, checkpoints: Checkpoints, log: Sequence[Stamped]) -> TestRun:
    async def tree() -> str:
        try:
            return (await asyncio.to_thread(checkpoints.take)).tree
        except Unkept:
            return ""

    virtual_env = setup.environ.get("VIRTUAL_ENV", "")
    testrun = TestRun(files, runner, command=setup.config.text("test_command"), virtual_env=virtual_env, tree=tree)
    for stamped in log:
        match stamped.event:
            case Returned(result=Result(view=TestReport() as report)):
                testrun.feed(report)
            case _:
                pass
    return testrun


def _contexts(session: Session, files: Files, runner: Runner, *, testrun: TestRun) -> MakeContext:
    ripgrep, history = Ripgrep(files, runner), History(session.events)

    def make(place: tuple[int, int], progress: Callable[[str], None]) -> Context:
        name = f"{session.id}/{session.agent}/{place[0]}.{place[1]}"
        return Context(files, runner, ripgrep, testrun, session.agent, name, progress, place, history)

    return make


def _most_chars(tool: Tool, window: int) -> int:
    """How long a result may be: an eighth of the window at most. `read_file` pages by itself, 60 kB and some words."""
    most = 3 * MAX_CHARS if tool.name == "read_file" else MAX_CHARS
    return min(most, window // 8 * CHARS_A_TOKEN)


def _budget(setup: Setup, session: Session, ask: Ask) -> Budget:
    spending = Spending(setup.places.state)

    def others() -> tuple[float, int]:
        return spending.others(midnight(time.time()), session.id)

    return Budget(caps_of(setup.config), ask=ask, emit=session.emit, clock=time.time, day=others)
