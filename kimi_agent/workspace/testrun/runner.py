"""TestRunner, the plug-in value for one test runner: how it is recognised, started and parsed."""

import shlex
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from kimi_agent.workspace.process.process_runner import ProcessRunner
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestSelection
from kimi_agent.workspace.testrun.projects.interpreter import InterpreterFinder
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder

# What a shell answers for a command that could not be started.
NOT_STARTED_EXIT_CODES = (126, 127)
# The orders from here on are those of a project's own tasks, such as `make test`: only their exit code is known.
FIRST_TASK = 80


@dataclass(frozen=True)
class RunnerEnvironment:
    """The environment in which a test runner starts: the programs that exist, and where its report may be written.

    `report_path` is a free name in a temporary folder of this run alone; further files may be put beside it.
    """

    runner: ProcessRunner
    interpreters: InterpreterFinder
    report_path: Path


@dataclass(frozen=True)
class LaunchRequest:
    """The tests to run: `selection` in `folder`; `why` is the evidence for the runner, which its command passes on."""

    folder: ProjectFolder
    selection: TestSelection
    why: str
    environment: RunnerEnvironment

    @property
    def report_path(self) -> Path:
        """Where the runner's report may be written."""
        return self.environment.report_path

    def which(self, program: str) -> str | None:
        """The path of an installed program, None where it is missing."""
        return self.environment.runner.which(program)

    def command(
        self, runner: str, argv: tuple[str, ...], shown: tuple[str, ...], env: Mapping[str, str] | None = None
    ) -> TestCommand:
        """The command of `runner` that starts `argv` in the folder; `shown` are the words that a person would type."""
        return TestCommand(runner, self.why, argv, shlex.join(shown), self.folder.path, env or {})


@dataclass(frozen=True)
class GivenCommand:
    """A plain command (no shell syntax) of the person, AGENTS.md or the model: `words` without leading assignments.

    `why` says where it comes from; a report may be written to `report_path`.
    """

    text: str
    words: tuple[str, ...]
    why: str
    folder: ProjectFolder
    report_path: Path

    @property
    def program(self) -> str:
        """The program's name, without its folder; "" where only a shell can know it."""
        return PurePath(self.words[0]).name if self.words else ""

    def starts(self, program: str, *words: str) -> bool:
        """Whether it starts `program`, with these words right behind it."""
        return self.program == program and self.words[1 : len(words) + 1] == words

    def run_as(
        self,
        runner: str,
        *options: str,
        text: str = "",
        env: Mapping[str, str] | None = None,
        extra_files: Mapping[str, str] | None = None,
        show_line: Callable[[str], str] = str,
    ) -> TestCommand:
        """It as a command of `runner`: `text` (as written by default) with `options` at its end."""
        argv = ("/bin/sh", "-c", " ".join(filter(None, (text or self.text, shlex.join(options)))))
        # No bytecode is written: a file edited twice within a second, to the same size, would run from a stale one.
        env = {"PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
        return TestCommand(runner, self.why, argv, self.text, self.folder.path, env, extra_files or {}, show_line)


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


Launcher = Callable[[LaunchRequest], Awaitable[TestCommand | None]]
ReportParser = Callable[[RunResult], ParsedReport]


@dataclass(frozen=True)
class TestRunner:
    """One test runner, such as pytest or cargo test.

    `evidence` gives the reason to use it in a folder, "" where there is none; `launch` gives the command, None where
    the runner is not installed or cannot run the selection; `read` parses what the run left. `adopt` gives a command
    that somebody wrote with the options that make it report, None where it is not this runner's.

    Of several that fit a folder the one with the lowest `order` is taken; where `yields_to_tasks` says so for the
    folder, one of the project's own tasks (from FIRST_TASK on) comes before it. `suffixes` end the names of the files
    that are its ecosystem's own: a runner of another ecosystem is not given them. `manifests` are regular expressions
    for the names of files that mark the top of a project. `covers` says whether its run in a folder also runs the tests
    of the folder below it; `packages` gives the name of a folder's package and those of the packages that it uses, so
    that the tests of what uses a changed package are run too. `is_own_word` says that the project itself states what is
    run: where that finds no tests, no other runner is tried.
    """

    __test__ = False  # pytest collects classes by this name

    name: str
    ecosystem: str
    evidence: Callable[[ProjectFolder], str]
    launch: Launcher
    read: ReportParser
    suffixes: tuple[str, ...] = ()
    adopt: Callable[[GivenCommand], TestCommand | None] = lambda _: None
    manifests: tuple[str, ...] = ()
    order: int = 50
    yields_to_tasks: Callable[[ProjectFolder], bool] = lambda _: False
    is_own_word: bool = False
    covers: Callable[[ProjectFolder, str], bool] = lambda folder, below: False
    packages: Callable[[ProjectFolder], tuple[str, frozenset[str]]] = lambda _: ("", frozenset())

    @property
    def is_task(self) -> bool:
        """Whether it is a task of the project's own, which may test anything, and not a runner of one ecosystem."""
        return self.order >= FIRST_TASK


def first_file(*names: str) -> Callable[[ProjectFolder], str]:
    """Evidence: the first of the files `names` that the folder has."""
    return lambda folder: next((name for name in names if name in folder.names()), "")


def read_exit_code(ran: RunResult) -> ParsedReport:
    """The report of a run of which nothing but the exit code is known: no cases."""
    if ran.exit_code in NOT_STARTED_EXIT_CODES:
        return ParsedReport(fatal_error=f"the command could not be started (exit {ran.exit_code})")
    return ParsedReport(stated_result="passed" if ran.exit_code == 0 else "failed", by_exit_code=True)
