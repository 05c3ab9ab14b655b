"""TestRunner, the plug-in value for one test runner: how it is recognised, started and parsed."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from kimi_agent.workspace.process.runner import ProcessRunner
from kimi_agent.workspace.testrun.projects.interpreter import InterpreterFinder
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.values import ParsedReport, TestCommand, TestSelection

# What a shell answers for a command that could not be started.
NOT_STARTED_EXIT_CODES = (126, 127)


@dataclass(frozen=True)
class RunnerEnvironment:
    """The environment in which a test runner starts: the programs that exist, and where its report may be written.

    `report_path` is a free name in a temporary folder of this run alone; further files may be put beside it.
    """

    runner: ProcessRunner
    interpreters: InterpreterFinder
    report_path: Path


@dataclass(frozen=True)
class RunResult:
    """A finished run: its exit code (None after a kill), the lines it printed, and its report.

    `selection` is what was to be run.
    """

    exit_code: int | None
    lines: Iterable[str]
    report_path: Path
    root: Path
    folder: ProjectFolder
    selection: TestSelection = field(default_factory=TestSelection)


ReportParser = Callable[[RunResult], ParsedReport]


@dataclass(frozen=True)
class TestRunner:
    """One test runner, such as pytest or cargo test.

    `evidence` gives the reason to use it in a folder, "" where there is none; `launch` gives the command, None where
    the runner is not installed or cannot run the selection; `read` parses what the run left. `suffixes` end the names
    of the files that are its ecosystem's own: a runner of another ecosystem is not given them.
    """

    __test__ = False  # pytest collects classes by this name

    name: str
    ecosystem: str
    evidence: Callable[[ProjectFolder], str]
    launch: Callable[[ProjectFolder, TestSelection, str, RunnerEnvironment], Awaitable[TestCommand | None]]
    read: ReportParser
    suffixes: tuple[str, ...] = ()


def read_exit_code(ran: RunResult) -> ParsedReport:
    """The report of a run of which nothing but the exit code is known: no cases."""
    if ran.exit_code in NOT_STARTED_EXIT_CODES:
        return ParsedReport(fatal_error=f"the command could not be started (exit {ran.exit_code})")
    return ParsedReport(stated_result="passed" if ran.exit_code == 0 else "failed", by_exit_code=True)
