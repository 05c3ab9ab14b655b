"""Choice of the test command: the call's own, the configured, a documented or remembered one, or a runner's.

AGENTS.md comes before the command that worked in this session; the runners come in the order of their registry, the
nearest folder first.
"""

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path

from kimi_agent.call_plan import CommandSource
from kimi_agent.errors import ToolError
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.testrun.choosing.documented_commands import find_agents_md_command, find_ci_commands
from kimi_agent.workspace.testrun.choosing.given_command import first_program, is_bare_pytest, prepare_given_command
from kimi_agent.workspace.testrun.choosing.run_plan import ConfiguredCommand, RememberedCommand, RunPlan
from kimi_agent.workspace.testrun.commands_and_reports import Target, TestSelection
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder, walk_up
from kimi_agent.workspace.testrun.runner import FIRST_TASK, LaunchRequest, RunnerEnvironment, TestRunner

_AGENTS_FILE = "AGENTS.md"


class PlanChooser:
    """Chooses the command that a call of run_tests starts; `runners` are in the order in which they are tried."""

    def __init__(self, files: Files, environment: RunnerEnvironment, runners: Sequence[TestRunner]) -> None:
        self._files = files
        self._environment = environment
        self._runners = runners

    def plan_command(
        self, command: str, folder: Path, why: str, source: CommandSource = "model", *, whole: bool = False
    ) -> RunPlan:
        """A command as it is written, started in `folder`; `why` and `source` say who gave it."""
        place = ProjectFolder(self._files, folder)
        launch, read = prepare_given_command(command, place, why, self._environment.report_path, self._runners)
        return RunPlan(launch, read, place, whole=whole, source=source, given=command)

    async def choose(
        self, selection: TestSelection, *, configured: ConfiguredCommand, worked: RememberedCommand | None
    ) -> RunPlan:
        """The plan that runs `selection`: the person's command, AGENTS.md's, the one that worked, or a runner's.

        The first of these that can do it is taken. A whole command cannot be narrowed, so the first three serve only
        where no target and no name is chosen. Raises ToolError where nothing is found.
        """
        start = _start_folder(self._files, selection.targets)
        why = ""
        if selection.is_whole:
            if configured.command:
                why = "configured test command"
                return self.plan_command(configured.command, self._files.root, why, configured.source, whole=True)
            documented, why = await asyncio.to_thread(self._plan_from_agents_file, start)
            if documented is not None:
                return documented
            if worked is not None and worked.has_cases:
                return self.plan_command(worked.command, worked.folder, "it worked in this session")
        refused: list[str] = []
        if found := await self._plan_from_runners(selection, start, why, refused):
            return found
        if worked is not None and selection.is_whole:
            # Only its exit code is known, so it comes after what is known to run tests.
            return self.plan_command(worked.command, worked.folder, "it worked in this session")
        raise await asyncio.to_thread(self._nothing_found_error, start, refused, chosen=not selection.is_whole)

    def _plan_from_agents_file(self, start: Path) -> tuple[RunPlan | None, str]:
        """The plan of the nearest AGENTS.md's command, if it can be started; else what is reported about it."""
        for path in walk_up(start, self._files.root):
            command = find_agents_md_command(ProjectFolder(self._files, path).text(_AGENTS_FILE))
            if not command:
                continue
            name = str((path / _AGENTS_FILE).relative_to(self._files.root))
            if is_bare_pytest(command):
                return None, f"{name}; "
            program = first_program(command)
            which = self._environment.runner.which
            there = (path / program).exists() if "/" in program else which(program) is not None
            if there or not program:
                return self.plan_command(command, path, name, "repository", whole=True), ""
            return None, f"{name} says {command!r}, but there is no {program}; "
        return None, ""

    async def _plan_from_runners(
        self, selection: TestSelection, start: Path, before: str, refused: list[str]
    ) -> RunPlan | None:
        """The plan of the first fitting runner, from `start` upwards; those that cannot go into `refused`."""
        for path in walk_up(start, self._files.root):
            folder = ProjectFolder(self._files, path)
            hits = await asyncio.to_thread(self._matching_runners, folder)
            for runner, why in hits:
                others = dict.fromkeys(other.name for other, _ in hits if other.ecosystem != runner.ecosystem)
                if not _accepts_targets(runner, selection, [other for other, _ in hits]):
                    continue
                also = f"; also found: {', '.join(others)}" if others else ""
                request = LaunchRequest(folder, selection, before + why + also, self._environment)
                if command := await runner.launch(request):
                    return RunPlan(command, runner.read, folder, selection, whole=selection.is_whole)
                refused.append(f"{runner.name} ({why})")
        return None

    def _matching_runners(self, folder: ProjectFolder) -> list[tuple[TestRunner, str]]:
        patterns = [pattern for runner in self._runners for pattern in runner.manifests]
        marked = any(re.fullmatch(pattern, name) for name in folder.names() for pattern in patterns)
        if folder.path != folder.root and not marked:
            return []
        hits = [(runner, why) for runner in self._runners if (why := runner.evidence(folder))]
        has_task = any(runner.order >= FIRST_TASK for runner, _ in hits)
        return [(runner, why) for runner, why in hits if not (has_task and runner.yields_to_tasks(folder))]

    def _nothing_found_error(self, start: Path, refused: list[str], *, chosen: bool) -> ToolError:
        how = " that can be given targets or a name" if chosen else ""
        looked = f"looked for: {', '.join(runner.name for runner in self._runners)}"
        if refused:
            cannot = "is not installed, or cannot select that" if chosen else "is not installed"
            looked = f"{', '.join(refused)} {cannot}"
        folders = (ProjectFolder(self._files, path) for path in walk_up(start, self._files.root))
        offered = list(dict.fromkeys(each for folder in folders for each in find_ci_commands(folder)))
        run = f"; CI runs: {'; '.join(offered[:5])}" if offered else ""
        example = f"'{offered[0]}'" if offered and "'" not in offered[0] else "'...'"
        why = f"found nothing that says how tests are run here{how} ({looked}){run}"
        mend = f"pass command={example} with the project's own test command"
        return ToolError("not_found", why, mend)


def _accepts_targets(runner: TestRunner, selection: TestSelection, hits: list[TestRunner]) -> bool:
    """Whether none of the targets is a file that plainly belongs to another ecosystem's runner here."""
    theirs = {suffix for other in hits if other.ecosystem != runner.ecosystem for suffix in other.suffixes}
    foreign = theirs - set(runner.suffixes)
    return not any(target.path.suffix in foreign and not target.path.is_dir() for target in selection.targets)


def _start_folder(files: Files, targets: tuple[Target, ...]) -> Path:
    folders = [target.path if target.path.is_dir() else target.path.parent for target in targets]
    return Path(os.path.commonpath(folders)) if folders else files.cwd
