"""Composition root: joins the parts of the program, from a Config to an open agent that can take turns.

Nowhere else are the parts joined. The order of the wrappers is visible here: a tool call goes through the output
cap, the loop guard, the approval and the snapshots to the tool; a request goes through the model pipeline to the
wire; a turn goes through the turn verifier to the agent, whose context window keeps the conversation within the
model's.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from kimi_agent import __version__
from kimi_agent.agent import Agent, AgentConfig
from kimi_agent.app import crash_recovery, factories, model_pipeline
from kimi_agent.app.bootstrap import Setup
from kimi_agent.app.interrupted_calls import InterruptedCalls
from kimi_agent.app.model_pipeline import ModelPipeline
from kimi_agent.context.context_window import CompactionPreview, ContextWindow
from kimi_agent.faces.headless.jsonl import JsonLinesWriter
from kimi_agent.guard.policy.policy import Policy
from kimi_agent.guard.tool_wrappers.approval import wrap_with_approval
from kimi_agent.guard.tool_wrappers.loop_guard import LoopGuard
from kimi_agent.guard.tool_wrappers.output_cap import MAX_RESULT_CHARS, wrap_with_output_cap
from kimi_agent.log.events import Compacted, Listener, Opened, Restored, Stamped, TurnEnded
from kimi_agent.log.messages import User
from kimi_agent.log.questions import Ask
from kimi_agent.log.readers import spending
from kimi_agent.log.readers.recall import SessionRecall
from kimi_agent.log.sessions import Sessions
from kimi_agent.log.store.durable_io import open_regular
from kimi_agent.log.store.session import Session
from kimi_agent.log.store.tracebacks import write_traceback
from kimi_agent.log.views import FileDiff
from kimi_agent.model.cost.budget import Budget
from kimi_agent.model.cost.caps import BudgetState
from kimi_agent.model.cost.cost_recorder import find_last_request
from kimi_agent.model.cost.shared_claims import SharedClaims
from kimi_agent.model.protocol import Model
from kimi_agent.model.retrying.rate_limiter import RateLimiter
from kimi_agent.model.text_tokens import CHARS_PER_TOKEN
from kimi_agent.rewind.rewind_note import rewind_note
from kimi_agent.tool import Context, Tool
from kimi_agent.toolbox import ContextFactory, Toolbox, load_tools
from kimi_agent.verify.changed_so_far import ChangedSoFar
from kimi_agent.verify.turn_verifier import TurnVerifier
from kimi_agent.workspace.checkpoint import Checkpoints
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.process.process_runner import ProcessRunner
from kimi_agent.workspace.search.ripgrep import Ripgrep
from kimi_agent.workspace.testrun import ProjectTests
from kimi_agent.workspace.testrun.owners import make_owner_lookup
from kimi_agent.workspace.testrun.registry import load_runners

if TYPE_CHECKING:
    from kimi_agent.rewind.rewinder import Rewinder

PLAN_NOTE = (
    "Plan mode is on: only reading tools run. Find out what is needed, then answer with a concrete plan; "
    "the user will leave plan mode to have it carried out."
)


@dataclass(frozen=True)
class OpenAgent:
    """An open agent, with the parts that the user interfaces need beside it."""

    agent: Agent
    _verifier: TurnVerifier
    checkpoints: Checkpoints
    policy: Policy
    setup: Setup
    runner: ProcessRunner
    files: Files
    model: Model
    pipeline: ModelPipeline
    context_window: ContextWindow
    notices: tuple[str, ...]

    @property
    def session(self) -> Session:
        """The session that its turns are recorded in."""
        return self.agent.session

    def queue(self, message: User) -> None:
        """Keep what the person says while a turn runs; it joins at the next step."""
        self.agent.queue(message)

    async def run_turn(self, prompt: User) -> TurnEnded:
        """A turn, the verdict on what it changed, and what follows that; the one way in for every face."""
        return await self._verifier.run_turn(prompt)

    @cached_property
    def rewinder(self) -> "Rewinder":
        """The rewinder of this session and its files."""
        from kimi_agent.rewind.rewinder import Rewinder  # only who goes back waits for it

        return Rewinder(self.session, self.checkpoints, self.files)

    async def diff(self, scope: str) -> tuple[FileDiff, ...]:
        """What was changed in the files, over `scope` (see `rewind.diff`). Raises UserError."""
        from kimi_agent.rewind.session_diff import draw_changes, parse_diff_scope  # only who asks waits for it

        wanted = parse_diff_scope(scope)
        return await asyncio.to_thread(draw_changes, self.session.events(), self.checkpoints, wanted)

    def cost(self, *, look: bool = False) -> BudgetState:
        """What was spent, and the caps; with `look` other sessions of today are looked at anew."""
        return self.pipeline.budget.state(look=look)

    async def compact(self, focus: str) -> Compacted:
        """Compact the conversation now. Raises UserError where there is nothing to gain, and ModelError."""
        return await self.context_window.compact(self.model, self.agent.request(), focus=focus)

    def preview(self) -> CompactionPreview:
        """What `compact` would do. Raises UserError."""
        return self.context_window.preview(self.model, self.agent.request())

    def undo_compaction(self) -> Restored:
        """Take the last compaction back. Raises UserError."""
        return self.context_window.undo(self.model, self.agent.request())

    async def aclose(self, *, in_haste: bool = False) -> bool:
        """End every process, close the connection, then the log; False where nothing was said in it, so it is not kept.

        `in_haste` leaves to another run what that can do as well.
        """
        await self.runner.aclose()
        await self.model.aclose()
        self.pipeline.budget.close()
        if not in_haste:
            await asyncio.to_thread(factories.collect_old_snapshots, self.checkpoints, self.setup.config)
        self.checkpoints.close()
        return factories.close_session(self.session, self.setup.sessions)


SessionOpener = Callable[[Sessions, Opened], Session]


async def open_agent(
    setup: Setup,
    session_of: SessionOpener,
    ask: Ask,
    listeners: Sequence[Listener],
    *,
    unattended: bool = False,
    timeout_s: float = 0,
    limiter: RateLimiter | None = None,
    pause: Callable[[], Awaitable[None]] | None = None,
    debug: bool = False,
) -> OpenAgent:
    """Load the tools, open the model and the session, join them. Raises UserError; then nothing is left open.

    `session_of` creates, resumes or forks: it is given the sessions and what a new one opens with. A run that is
    `unattended` is more patient with the endpoint. After `timeout_s` seconds a turn ends, whatever runs in it (0: a
    person is asked at `timeout` instead). `limiter` is the one of this process, if there is one already; no more of an
    answer is taken while `pause` lasts. With `debug` every event, the fleeting ones too, is kept beside the log.
    """
    config, state = setup.config, setup.user_folders.state
    setup.check_project()  # before its modules run
    tools, broken = load_tools(setup.layers)
    runners, broken_runners = load_runners(setup.layers[1:])  # the built-in ones wait for a run of tests
    policy = factories.make_policy(setup, tools)
    access = factories.make_access_rules(setup, policy)
    settings = model_pipeline.read_model_settings(config)
    opened = Opened("", str(setup.workspace), settings.model, __version__, factories.make_system_prompt(setup, access))
    checkpoints = factories.make_checkpoints(setup)
    recovered = crash_recovery.recover_files(state / "journal", setup.sessions, checkpoints)
    # Before the session: without a key there is none.
    wire = model_pipeline.open_wire(settings, setup.environ, lambda sha256: _read_blob(session, sha256))
    session = session_of(setup.sessions, opened)
    try:
        files, runner = factories.make_files_and_runner(setup, session, access)
        log = session.take_past()
        cut = [session.emit(spending.estimate_cut_request(each)) for each in spending.find_cut_requests(log)]
        log += cut
        files.seen_files.rebuild(log)
        loops = LoopGuard(ask, session.emit)
        budget, context_window = _make_budget(setup, session, ask), factories.make_context_window(setup, session, files)
        setup.check_project()  # all that was loaded of it is what was trusted
        interrupted = InterruptedCalls(checkpoints, files)
        for stamped in log:
            budget.hear(stamped)
            context_window.hear(stamped)
            interrupted.hear(stamped)
        budget.begin_run()
        limiter = limiter or model_pipeline.make_limiter()
        retrying = model_pipeline.make_retry_policy(config, unattended=unattended)
        pipeline = ModelPipeline(config, limiter, budget, retrying, loops.ask_if_stuck, session.emit, pause)
        model = pipeline.wrap(wire, settings, find_last_request(log))
        hooks = factories.make_after_turn_hooks(setup, session, checkpoints, policy=policy, ask=ask, runner=runner)
        notices = [*setup.notices, *recovered, *crash_recovery.end_leftover_processes(state / "running")]
        changed = ChangedSoFar(checkpoints)
        testrun = factories.make_project_tests(setup, files, runner, checkpoints, changed, log, runners)
        toolbox = Toolbox(
            tools.values(),
            # From the tool outwards: keep the files, may it run, was this call made before, is the result too long.
            guards=[
                factories.make_snapshot_wrapper(setup, policy, ask, session, checkpoints).wrap,
                lambda tool: wrap_with_approval(tool, policy=policy, ask=ask, emit=session.emit),
            ],
            wrappers=[
                loops.wrap,
                lambda tool: wrap_with_output_cap(tool, max_chars=_result_limit(tool, settings.window)),
            ],
            context=_context_factory(session, files, runner, testrun, policy),
            emit=session.emit,
            report_bug=lambda error: write_traceback(state, error),
        )
        agent = Agent(
            model,
            toolbox,
            session,
            AgentConfig(session.opened.system or opened.system, timeout_s),
            context_window,
            notes=[lambda _: PLAN_NOTE if policy.mode == "plan" else None, rewind_note],
            settle_calls=interrupted.settle,
        )
        heard = (
            pipeline.hear,
            context_window.hear,
            budget.hear,
            loops.hear,
            files.seen_files.hear,
            interrupted.hear,
            changed.hear,
        )
        session.listen(*listeners, *heard, *([_open_debug_log(session)] if debug else []))
        for listener in listeners:  # who joins now missed the first record
            listener(Stamped(session.agent, 0, time.time(), session.opened))
        notices += crash_recovery.describe_unfinished_turn(log)
        notices += crash_recovery.describe_cut_requests(cut)
        notices += crash_recovery.describe_interrupted_calls(session, toolbox)
        await asyncio.to_thread(crash_recovery.close_interrupted_call, session, checkpoints, log)
        await agent.resume()
        verifier = TurnVerifier(agent, checkpoints, hooks, owners=lambda: make_owner_lookup(files, runners))
    except BaseException:
        await wire.aclose()
        factories.close_session(session, setup.sessions)
        raise
    notices += [f"Left out {each.path}: {each.error}" for each in (*broken, *broken_runners)]
    return OpenAgent(
        agent, verifier, checkpoints, policy, setup, runner, files, model, pipeline, context_window, tuple(notices)
    )


async def change_model(current: OpenAgent, name: str) -> OpenAgent:
    """Go on with another model in the same session. Raises UserError; then the old one stays."""
    session = current.session
    settings = replace(model_pipeline.read_model_settings(current.setup.config), model=name)
    wire = model_pipeline.open_wire(settings, current.setup.environ, lambda sha256: _read_blob(session, sha256))
    model = current.pipeline.wrap(wire, settings, find_last_request(session.events()))
    await current.model.aclose()
    current.agent.model = model
    return replace(current, model=model)


def _read_blob(session: Session, sha256: str) -> bytes:
    data = session.blobs.get(sha256)
    if data is None:
        raise FileNotFoundError(sha256)
    return data


def _open_debug_log(session: Session) -> Listener:
    fd = open_regular(session.folder / "debug.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    return JsonLinesWriter(os.fdopen(fd, "w"))


def _context_factory(
    session: Session, files: Files, runner: ProcessRunner, testrun: ProjectTests, policy: Policy
) -> ContextFactory:
    ripgrep = Ripgrep(files, runner, denied=lambda path: policy.denies_reading(path, tool="search_code"))
    history = SessionRecall(session.events)

    def make(place: tuple[int, int], progress: Callable[[str], None]) -> Context:
        name = f"{session.id}/{session.agent}/{place[0]}.{place[1]}"
        return Context(files, runner, ripgrep, testrun, session.agent, name, progress, place, history)

    return make


def _result_limit(tool: Tool, window: int) -> int:
    """How long a result may be: an eighth of the window at most. `read_file` pages by itself, 60 kB and some words."""
    most = 3 * MAX_RESULT_CHARS if tool.name == "read_file" else MAX_RESULT_CHARS
    return min(most, window // 8 * CHARS_PER_TOKEN)


def _make_budget(setup: Setup, session: Session, ask: Ask) -> Budget:
    reader = spending.SpendingReader(setup.user_folders.state)
    claims = SharedClaims(setup.user_folders.state / "spending" / "claims", session.id)

    def others() -> tuple[float, int]:
        return reader.others(spending.find_local_midnight(time.time()), session.id, claimed=claims.sessions)

    caps = model_pipeline.make_caps(setup.config)
    return Budget(caps, ask=ask, emit=session.emit, clock=time.time, day=others, claims=claims)
