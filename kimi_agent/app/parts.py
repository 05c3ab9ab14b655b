"""The parts of an agent, each made from what is known before a session is opened; `app` joins them."""

import contextlib
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from kimi_agent.app.bootstrap import Setup
from kimi_agent.config import Config
from kimi_agent.context.context_window import Room
from kimi_agent.context.window_layout import RoomSettings
from kimi_agent.errors import ToolError, UserError
from kimi_agent.guard.destructive.losses import Loss
from kimi_agent.guard.policy.policy import Policy, Rules, parse_mode
from kimi_agent.guard.tool_wrappers.snapshots import Keeping
from kimi_agent.layers import workspace_key
from kimi_agent.log.events import Ask, Decision, Question
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import Evidence
from kimi_agent.prompts import agents_text, system_prompt, template_of
from kimi_agent.tool import Context, Tool
from kimi_agent.verify.turn_verifier import Ending
from kimi_agent.workspace.checkpoint import Checkpoints, Limits
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.files.outputs import Outputs
from kimi_agent.workspace.files.seen_files import Ledger
from kimi_agent.workspace.git.command import Git, GitFailed, in_git
from kimi_agent.workspace.process.runner import Runner


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
    added = [Path(os.path.expanduser(each)) for each in config.texts("workspace.add_dirs")]  # noqa: PTH111 - it never raises
    if missing := [each for each in added if not each.is_dir()]:
        raise UserError(f"There is no folder {missing[0]} (workspace.add_dirs).", 78)
    return added


def system_of(setup: Setup) -> str:
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


def capabilities(setup: Setup, session: Session) -> tuple[Files, Runner]:
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
        in_git=in_git(setup.workspace, setup.environ),
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


def checkpoints_of(setup: Setup) -> Checkpoints:
    """The snapshots of the workspace; nothing is touched before the first one is taken."""
    limits = Limits(max_file_bytes=setup.config.number("checkpoints.max_file_mb") * 1_000_000)
    store = setup.places.state / "checkpoints" / workspace_key(setup.workspace)
    return Checkpoints(setup.workspace, store, environ=setup.environ, limits=limits, private=(setup.places.state,))


def keeping_of(setup: Setup, policy: Policy, ask: Ask, session: Session, checkpoints: Checkpoints) -> Keeping:
    """The snapshots around this session's calls."""

    async def ask_in_turn(question: Question) -> Decision:
        async with policy.asking:
            return await ask(question)

    def commit_of(ref: str) -> str:
        try:
            return (
                Git(setup.workspace, environ=setup.environ)
                .run("rev-parse", "--verify", "--quiet", ref)
                .decode()
                .strip()
            )
        except (GitFailed, UserError):
            return ""

    def losses(tool: Tool, ctx: Context, raw: str) -> Sequence[Loss]:
        return policy.losses(tool, raw, cwd=ctx.runner.cwd, start=ctx.files.cwd)

    return Keeping(checkpoints, session.emit, ask_in_turn, losses, commit_of, session.id)


def room_of(setup: Setup, session: Session, files: Files) -> Room:
    """What keeps this session within the model's window. Raises UserError where prompts/compact.md is missing."""
    template, at = template_of(setup.layers, "compact"), setup.config.number("compact.at")
    if at > 100:
        raise UserError(f"The setting compact.at is a percentage, from 1 to 100; not {at}.", 78)
    return Room(session, template, keep=files.outputs.keep, settings=RoomSettings(at=at / 100))


def collect(checkpoints: Checkpoints, config: Config) -> None:
    """Let go of old snapshots; what cannot be tidied now is tidied another time."""
    with contextlib.suppress(UserError):
        checkpoints.collect(
            keep_days=config.number("checkpoints.keep_days"), max_bytes=config.number("checkpoints.max_mb") * 1_000_000
        )


def endings_of(
    setup: Setup, session: Session, checkpoints: Checkpoints, *, policy: Policy, ask: Ask, runner: Runner
) -> Sequence[Ending]:
    """What follows a turn that changed files: nothing, unless a commit was asked for. Raises UserError."""
    config = setup.config
    branch = config.text("commit.branch")
    if branch not in ("new", "current"):
        raise UserError(f"The setting commit.branch is new or current; not {branch[:60]!r}.", 78)
    if not config.on("commit.auto"):
        return ()
    from kimi_agent.app.publishing import Committing, PullRequesting  # only who commits waits for it

    where: Literal["own", "current"] = "own" if branch == "new" else "current"
    committing = Committing(setup.workspace, session, checkpoints, where, setup.environ)
    if not config.on("commit.pull_request"):

        async def commit(evidence: Evidence) -> None:
            await committing.after(evidence)

        return (commit,)
    return (PullRequesting(committing, policy, ask, runner, config.text("model")).after,)
