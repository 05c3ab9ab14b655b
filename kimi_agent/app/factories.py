"""Factories for the parts of an agent (policy, files, snapshots, context window, hooks), made from the settings."""

import asyncio
import contextlib
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from kimi_agent.app.bootstrap import Setup
from kimi_agent.config import Config
from kimi_agent.context.context_window import ContextWindow
from kimi_agent.context.window_layout import CompactionSettings
from kimi_agent.errors import ToolError, UserError
from kimi_agent.guard.policy.policy import Policy, Rules, parse_permission_mode
from kimi_agent.guard.policy.rules import Rule, check_rule, parse_rule
from kimi_agent.guard.tool_wrappers.snapshots import SnapshotWrapper
from kimi_agent.layers import PROJECT_FOLDER, find_private_paths, workspace_key
from kimi_agent.log.events import Queued, Returned, Said, Stamped
from kimi_agent.log.questions import Ask, Decision, Question
from kimi_agent.log.sessions import Sessions
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import Result, TestReport
from kimi_agent.prompts import build_system_prompt, collect_agents_files, read_template
from kimi_agent.tool import Tool
from kimi_agent.verify.changed_so_far import ChangedSoFar
from kimi_agent.verify.turn_verifier import AfterTurnHook
from kimi_agent.workspace.checkpoint import Checkpoints, SnapshotError, SnapshotLimits
from kimi_agent.workspace.files.access_rules import AccessRules
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.files.outputs import Outputs
from kimi_agent.workspace.files.seen_files import SeenFiles
from kimi_agent.workspace.git.command import Git, GitFailed, make_index_check
from kimi_agent.workspace.process.process_runner import ProcessRunner
from kimi_agent.workspace.repository.hooks_folders import make_hooks_lookup
from kimi_agent.workspace.testrun import ProjectTests
from kimi_agent.workspace.testrun.commands_and_reports import Owner
from kimi_agent.workspace.testrun.owners import make_owner_lookup
from kimi_agent.workspace.testrun.registry import load_runners
from kimi_agent.workspace.testrun.runner import TestRunner


def make_policy(setup: Setup, tools: Mapping[str, Tool]) -> Policy:
    """The policy that the settings ask for. Raises UserError naming the file (or flag) that is wrong."""
    config, folders = setup.config, setup.user_folders
    parsed: dict[str, tuple[Rule, ...]] = {}
    for key in ("permissions.allow", "permissions.deny"):
        with _naming_source(config, key):
            parsed[key] = tuple(parse_rule(text, home=str(folders.home)) for text in config.texts(key))
            for rule in parsed[key]:
                check_rule(rule, tools)
    with _naming_source(config, "mode"):
        mode = parse_permission_mode(config.text("mode"))
    return Policy(
        mode,
        Rules(parsed["permissions.allow"], parsed["permissions.deny"]),
        workspace=setup.workspace,
        home=folders.home,
        added=_added_folders(config),
        start=setup.cwd,
        access=_own_files(setup),
        hooks_folders=make_hooks_lookup(setup.workspace, setup.environ),
    )


@contextlib.contextmanager
def _naming_source(config: Config, key: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        source = config.sources[key]
        typed = source in ("command line", "--set")
        raise UserError(f"{error} ({key}, {source})", error.exit_code if typed else 78) from error


def _added_folders(config: Config) -> list[Path]:
    """The folders that count as the workspace too. Raises UserError for one that is not there."""
    added = [Path(os.path.expanduser(each)) for each in config.texts("workspace.add_dirs")]  # noqa: PTH111 - it never raises
    if missing := [each for each in added if not each.is_dir()]:
        raise UserError(f"There is no folder {missing[0]} (workspace.add_dirs).", 78)
    return added


def make_system_prompt(setup: Setup, access: AccessRules) -> str:
    """The system prompt, made once per session: a new day or an edited AGENTS.md must not break the server's cache."""
    values = {"workspace": str(setup.workspace), "platform": platform.system(), "date": time.strftime("%Y-%m-%d")}
    inner = setup.cwd.relative_to(setup.workspace).parts if setup.cwd.is_relative_to(setup.workspace) else ()
    folders = ["/".join(inner[:depth]) for depth in range(len(inner) + 1)]
    return build_system_prompt(
        setup.layers, values, collect_agents_files(_confined_reader(setup.workspace, access), folders)
    )


def _files_to_read(workspace: Path, access: AccessRules) -> Files:
    """The files of the workspace outside of a session, through the same confinement that tools have."""
    return Files(
        workspace,
        outputs=Outputs(workspace),
        seen_files=SeenFiles(_ignore_event),
        home=workspace,
        journal=workspace,
        access=access,
    )


def make_owner_lookup_outside(setup: Setup) -> Callable[[str], Owner | None]:
    """Which project's tests each file of the workspace belongs to, as it is now and without a session."""
    runners, _ = load_runners(setup.layers[1:])
    return make_owner_lookup(_files_to_read(setup.workspace, _own_files(setup)), runners)


def _confined_reader(workspace: Path, access: AccessRules) -> Callable[[str], str | None]:
    """Texts of the repository for the prompt, through the same confinement that tools have."""
    files = _files_to_read(workspace, access)

    def read(path: str) -> str | None:
        try:
            return files.read(path, max_bytes=4_000_000).data.decode("utf-8-sig", "replace")
        except ToolError:
            return None

    return read


def _ignore_event(_: object) -> None:
    return None


def make_access_rules(setup: Setup, policy: Policy) -> AccessRules:
    """What is closed to every tool: our own files wherever they lie, and what the person's rules deny by its path."""
    return replace(_own_files(setup), denied_reading=policy.denies_reading, denied_writing=policy.denies_writing)


def _own_files(setup: Setup) -> AccessRules:
    """What is ours, for those who judge a call and those who open its files alike."""
    folders = setup.user_folders
    return AccessRules(
        private=find_private_paths(folders, setup.workspace),
        worktrees=os.path.realpath(folders.state / "worktrees"),
    )


def make_files_and_runner(setup: Setup, session: Session, access: AccessRules) -> tuple[Files, ProcessRunner]:
    """The files that tools may touch, and the runner of their processes. Raises UserError."""
    state = setup.user_folders.state
    outputs = Outputs(session.outputs_folder)
    files = Files(
        setup.workspace,
        outputs=outputs,
        seen_files=SeenFiles(session.emit),
        home=setup.user_folders.home,
        cwd=setup.cwd,
        added=_added_folders(setup.config),
        access=access,
        journal=state / "journal",
        in_git=make_index_check(setup.workspace, setup.environ),
    )
    runner = ProcessRunner(
        root=setup.workspace,
        cwd=setup.cwd,
        outputs=outputs,
        environ=setup.environ,
        env_pass=setup.config.texts("env.pass"),
        register=state / "running",
    )
    return files, runner


def make_checkpoints(setup: Setup) -> Checkpoints:
    """The snapshots of the workspace; nothing is touched before the first one is taken."""
    workspace, state = setup.workspace, setup.user_folders.state
    limits = SnapshotLimits(max_file_bytes=setup.config.number("checkpoints.max_file_mb") * 1_000_000)
    store = state / "checkpoints" / workspace_key(workspace)
    return Checkpoints(workspace, store, environ=setup.environ, limits=limits, private=(state,))


def make_snapshot_wrapper(
    setup: Setup, policy: Policy, ask: Ask, session: Session, checkpoints: Checkpoints
) -> SnapshotWrapper:
    """The tool wrapper that takes snapshots around this session's calls."""

    async def ask_in_turn(question: Question) -> Decision:
        async with policy.question_lock:
            return await ask(question)

    def commit_of(ref: str) -> str:
        try:
            return Git(setup.workspace, environ=setup.environ).resolve(ref)
        except (GitFailed, UserError):
            return ""

    return SnapshotWrapper(checkpoints, session.emit, ask_in_turn, policy.losses, commit_of, session.id)


def make_context_window(setup: Setup, session: Session, files: Files) -> ContextWindow:
    """The compaction of this session. Raises UserError where prompts/compact.md is missing."""
    template, at = read_template(setup.layers, "compact"), setup.config.number("compact.at")
    if at > 100:
        raise UserError(f"The setting compact.at is a percentage, from 1 to 100; not {at}.", 78)
    return ContextWindow(session, template, keep=files.outputs.keep, settings=CompactionSettings(at=at / 100))


def close_session(session: Session, sessions: Sessions) -> bool:
    """Close it, and remove one in which nothing was ever said: then False."""
    kept = () if session.conversation.messages() else tuple(session.events())
    session.close()
    if session.conversation.messages() or any(isinstance(each.event, Said | Queued) for each in kept):
        return True
    with contextlib.suppress(UserError, OSError):
        sessions.remove(session.id)
    return False


def collect_old_snapshots(checkpoints: Checkpoints, config: Config) -> None:
    """Delete old snapshots; what cannot be deleted now is deleted another time."""
    with contextlib.suppress(UserError):
        checkpoints.collect(
            keep_days=config.number("checkpoints.keep_days"), max_bytes=config.number("checkpoints.max_mb") * 1_000_000
        )


def make_after_turn_hooks(
    setup: Setup, session: Session, checkpoints: Checkpoints, *, policy: Policy, ask: Ask, runner: ProcessRunner
) -> Sequence[AfterTurnHook]:
    """The hooks after a turn that changed files: none, unless a commit was asked for. Raises UserError."""
    config = setup.config
    branch = config.text("commit.branch")
    if branch not in ("new", "current"):
        raise UserError(f"The setting commit.branch is new or current; not {branch[:60]!r}.", 78)
    if not config.on("commit.auto"):
        return ()
    from kimi_agent.app.publishing import AutoCommit, AutoPullRequest  # only who commits waits for it

    where: Literal["own", "current"] = "own" if branch == "new" else "current"
    committing = AutoCommit(setup.workspace, session, checkpoints, where, setup.environ)
    if not config.on("commit.pull_request"):
        return (committing.run,)
    return (AutoPullRequest(committing, policy, ask, runner, config.text("model")).run,)


def make_project_tests(
    setup: Setup,
    files: Files,
    runner: ProcessRunner,
    checkpoints: Checkpoints,
    changed: ChangedSoFar,
    log: Sequence[Stamped],
    runners: Mapping[str, TestRunner],
) -> ProjectTests:
    """The workspace's tests, with what earlier runs of the session in `log` said."""

    async def tree() -> str:
        try:
            return (await asyncio.to_thread(checkpoints.take)).tree
        except SnapshotError:
            return ""

    virtual_env = setup.environ.get("VIRTUAL_ENV", "")
    command = setup.config.text("test_command")
    projects = str(setup.workspace / PROJECT_FOLDER / "config.toml")
    testrun = ProjectTests(
        files,
        runner,
        command=command,
        command_source="repository" if setup.config.sources["test_command"] == projects else "settings",
        virtual_env=virtual_env,
        tree=tree,
        changed=changed.paths,
        runners=runners,
    )
    for stamped in log:
        match stamped.event:
            case Returned(result=Result(view=TestReport() as report)):
                testrun.add_report(report)
            case _:
                pass
    return testrun
