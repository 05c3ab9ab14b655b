"""Choice of the test command: the call's own, the configured, a documented or remembered one, or a runner's.

AGENTS.md comes before the command that worked in this session; the runners come in the order of their registry, the
nearest folder first.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from kimi_agent.errors import ToolError
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.testrun.choosing.documented_commands import find_agents_md_command, find_ci_commands
from kimi_agent.workspace.testrun.choosing.given_command import first_program, is_bare_pytest, prepare_given_command
from kimi_agent.workspace.testrun.choosing.run_plan import GIVEN_COMMAND_EVIDENCE, RememberedCommand, RunPlan
from kimi_agent.workspace.testrun.projects.manifests import has_manifest
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.registry import TEST_RUNNERS
from kimi_agent.workspace.testrun.runner import RunnerEnvironment, TestRunner
from kimi_agent.workspace.testrun.values import Target, TestSelection

_AGENTS_FILE = "AGENTS.md"


def plan_given_command(files: Files, command: str, folder: Path, report: Path) -> RunPlan:
    """The command of a call, as it is written."""
    return _plan_command(files, command, folder, GIVEN_COMMAND_EVIDENCE, report)


async def choose_run_plan(
    files: Files,
    selection: TestSelection,
    environment: RunnerEnvironment,
    *,
    configured: str,
    worked: RememberedCommand | None,
) -> RunPlan:
    """The plan that runs `wish`: the person's command, AGENTS.md's, the one that worked, or the nearest runner's.

    The first of these that can do it is taken. A whole command cannot be narrowed, so the first three serve only where
    no target and no name is chosen. Raises ToolError where nothing is found.
    """
    chosen = bool(selection.targets or selection.name)
    start = _start_folder(files, selection.targets)
    why = ""
    if not chosen:
        if configured:
            return _plan_command(
                files, configured, files.root, "configured test command", environment.report_path, whole=True
            )
        told, why = await asyncio.to_thread(_plan_from_agents_file, files, start, environment)
        if told is not None:
            return told
        if worked is not None and worked.has_cases:
            return _plan_command(
                files, worked.command, worked.folder, "it worked in this session", environment.report_path
            )
    refused: list[str] = []
    found = await _plan_from_registry(files, selection, environment, why, refused)
    if found is not None:
        return found
    if worked is not None and not chosen:
        # Only its exit code spoke for it, so it comes after what is known to run tests.
        return _plan_command(files, worked.command, worked.folder, "it worked in this session", environment.report_path)
    raise await asyncio.to_thread(_nothing_found_error, files, start, chosen, refused)


def _plan_command(files: Files, command: str, folder: Path, why: str, report: Path, *, whole: bool = False) -> RunPlan:
    place = ProjectFolder(files, folder)
    launch, read = prepare_given_command(command, place, why, report)
    return RunPlan(launch, read, place, whole=whole)


def _plan_from_agents_file(files: Files, start: Path, environment: RunnerEnvironment) -> tuple[RunPlan | None, str]:
    """The plan of the nearest AGENTS.md's command, if it can be started; else what is reported about it."""
    for path in walk_up(start, files.root):
        command = find_agents_md_command(ProjectFolder(files, path).text(_AGENTS_FILE))
        if not command:
            continue
        name = str((path / _AGENTS_FILE).relative_to(files.root))
        if is_bare_pytest(command):
            return None, f"{name}; "
        program = first_program(command)
        there = (path / program).exists() if "/" in program else environment.runner.which(program) is not None
        if there or not program:
            return _plan_command(files, command, path, name, environment.report_path, whole=True), ""
        return None, f"{name} says {command!r}, but there is no {program}; "
    return None, ""


async def _plan_from_registry(
    files: Files, selection: TestSelection, environment: RunnerEnvironment, before: str, refused: list[str]
) -> RunPlan | None:
    """The plan of the first fitting runner, from the targets' folder upwards; those that cannot go into `refused`."""
    for path in walk_up(_start_folder(files, selection.targets), files.root):
        folder = ProjectFolder(files, path)
        hits = await asyncio.to_thread(_matching_runners, folder)
        for row, why in hits:
            others = dict.fromkeys(other.name for other, _ in hits if other.ecosystem != row.ecosystem)
            if not _accepts_targets(row, selection, [other for other, _ in hits]):
                continue
            also = f"; also found: {', '.join(others)}" if others else ""
            launch = await row.launch(folder, selection, before + why + also, environment)
            if launch is not None:
                return RunPlan(launch, row.read, folder, selection, whole=not (selection.targets or selection.name))
            refused.append(f"{row.name} ({why})")
    return None


def _matching_runners(folder: ProjectFolder) -> list[tuple[TestRunner, str]]:
    if folder.path != folder.root and not has_manifest(folder):
        return []
    return [(row, why) for row in TEST_RUNNERS if (why := row.evidence(folder))]


def _accepts_targets(row: TestRunner, selection: TestSelection, hits: list[TestRunner]) -> bool:
    """Whether none of the targets is a file that plainly belongs to another ecosystem's runner here."""
    theirs = {suffix for other in hits if other.ecosystem != row.ecosystem for suffix in other.suffixes}
    foreign = theirs - set(row.suffixes)
    return not any(target.path.suffix in foreign and not target.path.is_dir() for target in selection.targets)


def _nothing_found_error(files: Files, start: Path, chosen: bool, refused: list[str]) -> ToolError:
    how = " that can be given targets or a name" if chosen else ""
    looked = f"looked for: {', '.join(row.name for row in TEST_RUNNERS)}"
    if refused:
        cannot = "is not installed, or cannot select that" if chosen else "is not installed"
        looked = f"{', '.join(refused)} {cannot}"
    offered = list(
        dict.fromkeys(
            each for path in walk_up(start, files.root) for each in find_ci_commands(ProjectFolder(files, path))
        )
    )
    run = f"; CI runs: {'; '.join(offered[:5])}" if offered else ""
    example = f"'{offered[0]}'" if offered and "'" not in offered[0] else "'...'"
    return ToolError(
        "not_found",
        f"found nothing that says how tests are run here{how} ({looked}){run}",
        f"pass command={example} with the project's own test command",
    )


def _start_folder(files: Files, targets: tuple[Target, ...]) -> Path:
    folders = [target.path if target.path.is_dir() else target.path.parent for target in targets]
    return Path(os.path.commonpath(folders)) if folders else files.cwd


def walk_up(folder: Path, root: Path) -> Iterator[Path]:
    """`folder` and the folders above it, to `root`."""
    yield folder
    while folder != root and root in folder.parents:
        folder = folder.parent
        yield folder
