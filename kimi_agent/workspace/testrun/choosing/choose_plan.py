"""Choice of the test commands: the call's own, the configured, a documented or remembered one, or the runners'.

AGENTS.md comes before the command that worked in this session. Without any of them each project that a changed file
belongs to is run by its own runner.
"""

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from kimi_agent.call_plan import CommandSource
from kimi_agent.errors import ToolError
from kimi_agent.printable import join_some
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.testrun.choosing.documented_commands import (
    find_agents_md_command,
    find_ci_commands,
    find_untaken_command,
)
from kimi_agent.workspace.testrun.choosing.given_command import first_program, is_bare_pytest, prepare_given_command
from kimi_agent.workspace.testrun.choosing.project_map import Project, ProjectMap, select_projects
from kimi_agent.workspace.testrun.choosing.run_plan import ConfiguredCommand, RememberedCommand, RunPlan, RunSchedule
from kimi_agent.workspace.testrun.commands_and_reports import Owner, Target, TestSelection
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder, walk_up
from kimi_agent.workspace.testrun.runner import LaunchRequest, RunnerEnvironment, TestRunner

MAX_LISTED_RUNNERS = 20
MAX_PROJECTS = 30
"""Run by one call; the others are named."""
_AGENTS_FILE = "AGENTS.md"


class PlanChooser:
    """Chooses the commands that a call of run_tests starts; `runners` are in the order in which they are tried."""

    def __init__(self, files: Files, environment: RunnerEnvironment, runners: Sequence[TestRunner]) -> None:
        self._files = files
        self._environment = environment
        self._runners = runners
        self._map = ProjectMap(files, runners)

    @property
    def has_several_projects(self) -> bool:
        """Whether it matters which files changed."""
        return len(self._map.projects) > 1

    def plan_command(
        self, command: str, folder: Path, why: str, source: CommandSource = "model", *, whole: bool = False
    ) -> RunPlan:
        """A command as it is written, started in `folder`; `why` and `source` say who gave it."""
        place = self._folder(folder)
        given = prepare_given_command(command, place, why, self._environment.report_path, self._runners)
        return RunPlan(
            given.command, given.read, place, whole=whole, source=source, given=command, ecosystem=given.ecosystem
        )

    async def choose(
        self,
        selection: TestSelection,
        *,
        configured: ConfiguredCommand,
        worked: RememberedCommand | None,
        changed: Sequence[str] = (),
        unsettled: Sequence[Owner] = (),
    ) -> RunSchedule:
        """The plans that run `selection`: the person's command, AGENTS.md's, the one that worked, or the runners'.

        A whole command cannot be narrowed, so the first three serve only where no target and no name is chosen. Of a
        whole run `changed` (relative paths) say which projects belong to it; () is all of them. Raises ToolError where
        nothing is found.
        """
        if not selection.is_whole:
            return await self._schedule_selection(selection)
        stated, why = await asyncio.to_thread(self._stated_plan, configured, worked)
        if stated is not None and stated.ecosystem == "":
            return RunSchedule((stated,))
        schedule = await self._schedule_projects(stated, (changed, unsettled), why)
        if schedule.plans:
            return schedule
        if worked is not None:
            # Only its exit code is known, so it comes after what is known to run tests.
            return RunSchedule((self.plan_command(worked.command, worked.folder, "it worked in this session"),))
        raise await asyncio.to_thread(self._nothing_found_error, self._files.cwd, schedule.unrun, chosen=False)

    def _stated_plan(
        self, configured: ConfiguredCommand, worked: RememberedCommand | None
    ) -> tuple[RunPlan | None, str]:
        """The plan of a command that somebody stated, if there is one; and what is reported about it."""
        if configured.command:
            why = "configured test command"
            return self.plan_command(configured.command, self._files.root, why, configured.source, whole=True), ""
        documented, why = self._plan_from_agents_file(self._files.cwd)
        if documented is None and worked is not None and worked.has_cases:
            return self.plan_command(worked.command, worked.folder, "it worked in this session", whole=True), ""
        return documented, why

    def _plan_from_agents_file(self, start: Path) -> tuple[RunPlan | None, str]:
        """The plan of the nearest AGENTS.md's command, if it can be started; else what is reported about it."""
        for path in walk_up(start, self._files.root):
            text = self._folder(path).text(_AGENTS_FILE)
            command = find_agents_md_command(text)
            name = str((path / _AGENTS_FILE).relative_to(self._files.root))
            if not command and (untaken := find_untaken_command(text)):
                return None, f"{name} says {untaken!r}: pass it as 'command' if it is right (not a plain command); "
            if not command:
                continue
            if is_bare_pytest(command):
                return None, f"{name}; "
            program = first_program(command)
            which = self._environment.runner.which
            there = (path / program).exists() if "/" in program else which(program) is not None
            if there or not program:
                return self.plan_command(command, path, name, "repository", whole=True), ""
            return None, f"{name} says {command!r}, but there is no {program}; "
        return None, ""

    async def _schedule_projects(
        self, stated: RunPlan | None, wanted: tuple[Sequence[str], Sequence[Owner]], before: str
    ) -> RunSchedule:
        """The plans of the projects that belong to a whole run, after the `stated` one."""
        projects, unrun = await asyncio.to_thread(self._belonging_projects, stated, *wanted)
        plans = [stated] if stated is not None else []
        missing: list[str] = []
        for project in projects:
            if plan := await self._plan_project(project, before):
                plans.append(plan)
            else:
                names = ", ".join(f"{runner.name} ({why})" for runner, why in project.runners)
                missing.append(names if project.place == "." else f"{project.place}: {names}")
        return RunSchedule(tuple(plans), (*(f"{each} is not installed" for each in missing), *unrun))

    def _belonging_projects(
        self, stated: RunPlan | None, changed: Sequence[str], unsettled: Sequence[Owner]
    ) -> tuple[Sequence[Project], Sequence[str]]:
        """The projects that changed files belong to, or all of them; and what can't be run, as sentences."""
        owners = dict.fromkeys(owner for path in changed if (owner := self._map.owner(path)) is not None)
        owners.update(dict.fromkeys(unsettled) if owners else {})
        if stated is not None:
            owners = {owner: None for owner in owners if not _proves(stated, owner)}
            if not owners:
                return (), ()
        if not owners:
            return select_projects(self._projects_from_here(), MAX_PROJECTS)
        found: dict[tuple[str, str], Project] = {}
        unrun = []
        for owner in owners:
            if not (projects := self._map.run_for(owner)):
                unrun.append(f"{owner.folder}: no tests of {owner.ecosystem} were found")
            found.update({(project.place, project.ecosystem): project for project in projects})
        users = self._map.users_of(owners)
        found = {**found, **{(each.place, each.ecosystem): each for each in users}}
        left = [f"{project.place}: beyond the first {MAX_PROJECTS} projects" for project in found.values()]
        return list(found.values())[:MAX_PROJECTS], [*unrun, *left[MAX_PROJECTS:]]

    def _projects_from_here(self) -> Iterable[Project]:
        """The projects of the nearest folder, from the current one upwards, that has any in it or below it."""
        for path in walk_up(self._files.cwd, self._files.root):
            below = self._folder(path).below_root
            if found := [
                each for each in self._map.projects if not below or each.place.startswith((f"{below}/", below))
            ]:
                return found
        return ()

    async def _plan_project(self, project: Project, before: str) -> RunPlan | None:
        """The plan of the project's first runner that can be started, the others as its alternatives."""
        plans = []
        for runner, why in project.runners:
            request = LaunchRequest(project.folder, TestSelection(), before + why, self._environment)
            if command := await runner.launch(request):
                ecosystem = "" if runner.is_task else runner.ecosystem
                plans.append(RunPlan(command, runner.read, project.folder, whole=True, ecosystem=ecosystem))
                if runner.is_own_word:
                    break
        return replace(plans[0], alternatives=tuple(plans[1:])) if plans else None

    async def _schedule_selection(self, selection: TestSelection) -> RunSchedule:
        """A plan for the targets of each ecosystem."""
        plans: list[RunPlan] = []
        for targets in self._grouped(selection.targets):
            start = _start_folder(self._files, targets)
            refused: list[str] = []
            plan = await self._plan_from_runners(replace(selection, targets=targets), start, refused)
            if plan is None:
                raise await asyncio.to_thread(self._nothing_found_error, start, refused, chosen=True)
            plans.append(plan)
        return RunSchedule(tuple(plans))

    def _grouped(self, targets: tuple[Target, ...]) -> list[tuple[Target, ...]]:
        """The targets by whose tests they are; folders and unknown files go with the first."""
        if len(targets) < 2:
            return [targets]
        groups: dict[Owner | None, list[Target]] = {}
        for target in targets:
            path = target.path.relative_to(self._files.root).as_posix()
            groups.setdefault(None if target.path.is_dir() else self._map.owner(path), []).append(target)
        unknown = groups.pop(None, [])
        known = list(groups.values()) or [[]]
        return [(*known[0], *unknown), *map(tuple, known[1:])]

    async def _plan_from_runners(self, selection: TestSelection, start: Path, refused: list[str]) -> RunPlan | None:
        """The plan of the first runner that can select that, from `start` upwards; the others go into `refused`."""
        for path in walk_up(start, self._files.root):
            folder = self._folder(path)
            projects = await asyncio.to_thread(self._map.projects_at, folder.below_root)
            hits = [hit for project in projects for hit in project.runners]
            for runner, why in sorted(hits, key=lambda hit: hit[0].order):
                if not _accepts_targets(runner, selection, [other for other, _ in hits]):
                    continue
                if command := await runner.launch(LaunchRequest(folder, selection, why, self._environment)):
                    ecosystem = "" if runner.is_task else runner.ecosystem
                    return RunPlan(command, runner.read, folder, selection, ecosystem=ecosystem)
                refused.append(f"{runner.name} ({why})")
        return None

    def _nothing_found_error(self, start: Path, refused: Sequence[str], *, chosen: bool) -> ToolError:
        how = " that can be given targets or a name" if chosen else ""
        looked = f"looked for: {join_some([runner.name for runner in self._runners], MAX_LISTED_RUNNERS)}"
        if refused:
            looked = f"{', '.join(refused)} is not installed, or cannot select that" if chosen else "; ".join(refused)
        folders = (self._folder(path) for path in walk_up(start, self._files.root))
        offered = list(dict.fromkeys(each for folder in folders for each in find_ci_commands(folder)))
        run = f"; CI runs: {'; '.join(offered[:5])}" if offered else ""
        example = f"'{offered[0]}'" if offered and "'" not in offered[0] else "'...'"
        why = f"found nothing that says how tests are run here{how} ({looked}){run}"
        mend = f"pass command={example} with the project's own test command"
        return ToolError("not_found", why, mend)

    def _folder(self, path: Path) -> ProjectFolder:
        return ProjectFolder(self._files, path, self._map.index)


def _proves(plan: RunPlan, owner: Owner) -> bool:
    """Whether a run of `plan` can prove the files of `owner`."""
    return plan.place == owner.folder and owner.ecosystem in ("", plan.ecosystem)


def _accepts_targets(runner: TestRunner, selection: TestSelection, hits: list[TestRunner]) -> bool:
    """Whether none of the targets is a file that plainly belongs to another ecosystem's runner here."""
    theirs = {suffix for other in hits if other.ecosystem != runner.ecosystem for suffix in other.suffixes}
    foreign = theirs - set(runner.suffixes)
    return not any(target.path.suffix in foreign and not target.path.is_dir() for target in selection.targets)


def _start_folder(files: Files, targets: tuple[Target, ...]) -> Path:
    folders = [target.path if target.path.is_dir() else target.path.parent for target in targets]
    return Path(os.path.commonpath(folders)) if folders else files.cwd
