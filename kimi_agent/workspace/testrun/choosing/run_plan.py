"""Run plan values: the command that a call of run_tests starts, and one that is remembered from an earlier call."""

from dataclasses import dataclass, field
from pathlib import Path

from kimi_agent.call_plan import CommandSource, PlannedCommand
from kimi_agent.workspace.testrun.commands_and_reports import TestCommand, TestSelection
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import ReportParser

GIVEN_COMMAND_EVIDENCE = "command of this call"


@dataclass(frozen=True)
class RunPlan:
    """The command to start, its folder, and its parser. `whole` says that nothing narrows it to some of the tests.

    `source` says who wrote the command, `given` is it as written ("" for a row of ours). `ecosystem` is whose files it
    can prove, "" for a task or script of the project's own. `alternatives` are tried in turn where it finds no tests.
    """

    command: TestCommand
    read: ReportParser
    folder: ProjectFolder
    selection: TestSelection = field(default_factory=TestSelection)
    whole: bool = False
    source: CommandSource = "runner"
    given: str = ""
    ecosystem: str = ""
    alternatives: tuple["RunPlan", ...] = ()

    @property
    def place(self) -> str:
        """Its folder relative to the workspace, "." for the top."""
        return self.folder.below_root or "."

    @property
    def judged(self) -> PlannedCommand:
        """The command as it is judged: without the options that make it write a report for us."""
        return PlannedCommand(self.given or self.command.shown, str(self.command.folder), self.source)


@dataclass(frozen=True)
class RunSchedule:
    """The plans that one call of run_tests carries out, one for each project (at least one).

    `unrun` names the projects that belong to the call and can't be run, each with the reason.
    """

    plans: tuple[RunPlan, ...]
    unrun: tuple[str, ...] = ()

    @property
    def commands(self) -> tuple[PlannedCommand, ...]:
        """Every command that may start, as it is judged."""
        plans = (each for plan in self.plans for each in (plan, *plan.alternatives))
        return tuple(dict.fromkeys(plan.judged for plan in plans))


@dataclass(frozen=True)
class ConfiguredCommand:
    """The test command of the settings ("" for none): the person's own, or that of a project they trust."""

    command: str
    source: CommandSource


@dataclass(frozen=True)
class RememberedCommand:
    """A command of an earlier call; `has_cases` says that single tests were read from its run."""

    command: str
    folder: Path
    has_cases: bool
