"""ProjectTests: choose the test command, run it, parse its report, and remember how each test went."""

import asyncio
import contextlib
import shlex
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from kimi_agent.call_plan import CommandSource, PlannedCommand
from kimi_agent.errors import ToolError
from kimi_agent.log.views import FAILED_OUTCOMES, TestCase, TestReport
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.process.environ import shell_environ
from kimi_agent.workspace.process.process_runner import ProcessResult, ProcessRunner
from kimi_agent.workspace.testrun.choosing.run_plan import (
    GIVEN_COMMAND_EVIDENCE,
    ConfiguredCommand,
    RememberedCommand,
    RunPlan,
)
from kimi_agent.workspace.testrun.choosing.target_parser import check_test_name, parse_targets
from kimi_agent.workspace.testrun.commands_and_reports import TestCommand, TestSelection
from kimi_agent.workspace.testrun.projects.interpreter import InterpreterFinder
from kimi_agent.workspace.testrun.repeats import MAX_REPEATS, combine_runs, stops_repeating
from kimi_agent.workspace.testrun.reports.failure_excerpt import strip_escapes
from kimi_agent.workspace.testrun.runner import NOT_STARTED_EXIT_CODES, RunnerEnvironment, RunResult, TestRunner
from kimi_agent.workspace.testrun.verdict import judge_run

MAX_DETAILED_CASES, MAX_CASES_WITH_MESSAGE, MAX_READ_LINE_BYTES = 20, 1_000, 10_000
_TEMP = "kimi-agent-tests-"
# As a shell's environment, so that nothing waits for a person; CI keeps runners out of their watch mode, which would.
_TEST_ENVIRONMENT = {**{name: value for name, value in shell_environ({}).items() if name != "LC_ALL"}, "CI": "1"}


class ProjectTests:
    """A repository's tests: runs them, and remembers how each went when it last ran in this session.

    `command` is the configured test command, and `command_source` who configured it; `python` is our interpreter, the
    last resort; `virtual_env` the environment that was active at the start; `tree` names the files as they are now, and
    is asked just before a run; `runners` are test runners of the person's and the project's own.
    """

    def __init__(
        self,
        files: Files,
        runner: ProcessRunner,
        *,
        command: str = "",
        command_source: CommandSource = "settings",
        python: str = sys.executable,
        virtual_env: str = "",
        tree: Callable[[], Awaitable[str]] | None = None,
        runners: Mapping[str, TestRunner] | None = None,
    ) -> None:
        self._files = files
        self._runner = runner
        self._configured = ConfiguredCommand(command.strip(), command_source)
        self._interpreters = InterpreterFinder(files.root, runner, own=python, virtual_env=virtual_env)
        self._tree = tree
        self._own_runners = runners or {}
        self._last: dict[str, str] = {}
        self._worked: RememberedCommand | None = None

    def add_report(self, report: TestReport) -> None:
        """Remember an earlier run of this session (a resume reads them from the log)."""
        if report.verdict in ("passed", "failed", "timed_out"):
            self._last.update((case.id, case.outcome) for case in report.cases)
        if report.evidence == GIVEN_COMMAND_EVIDENCE and (report.cases or report.verdict == "passed"):
            from kimi_agent.workspace.testrun.choosing.given_command import may_run_subset

            if not may_run_subset(report.command):
                self._worked = RememberedCommand(report.command, self._runner.cwd, bool(report.cases))
        elif self._worked and report.command == self._worked.command and report.exit_code in NOT_STARTED_EXIT_CODES:
            self._worked = None

    async def preview_command(
        self, targets: Sequence[str] = (), *, name: str = "", command: str = "", failed_only: bool = False
    ) -> str:
        """The whole command that `run` would start, for the person who is asked. Raises ToolError as `run` does.

        Nothing of the repository runs for it.
        """
        argv = (await self._plan(targets, name, command, failed_only, _shown_report())).command.argv
        return argv[2] if argv[:2] == ("/bin/sh", "-c") else shlex.join(argv)

    async def plan(
        self, targets: Sequence[str] = (), *, name: str = "", command: str = "", failed_only: bool = False
    ) -> tuple[Sequence[str], PlannedCommand]:
        """What `run` would do, for the policy: the paths that it is about, and the command. Raises as `run` does."""
        planned = await self._plan(targets, name, command, failed_only, _shown_report())
        chosen = [str(target.path) for target in planned.selection.targets]
        return chosen or [str(planned.folder.path)], planned.judged

    async def run(
        self,
        targets: Sequence[str] = (),
        *,
        name: str = "",
        command: str = "",
        failed_only: bool = False,
        repeat: int = 1,
        timeout_s: float = 600.0,
        progress: Callable[[str], None] | None = None,
        allowed: Collection[PlannedCommand] | None = None,
    ) -> TestReport:
        """Run the tests (`repeat` times, in `timeout_s` for all of them together) and say how they went.

        Raises ToolError for targets that cannot be run, where nothing says how to run tests here, and for a command
        that is none of those `allowed` (None: any). A run that goes wrong (broken, timed out) is a report, no error.
        """
        if not 1 <= repeat <= MAX_REPEATS:
            raise ToolError("bad_arguments", f"'repeat' must be 1 to {MAX_REPEATS}", "give a number in that range")
        try:
            temp = tempfile.TemporaryDirectory(prefix=_TEMP, ignore_cleanup_errors=True)
        except OSError as error:
            why = f"no temporary folder for the report: {error.strerror}"
            raise ToolError("io", why, "free space in TMPDIR") from error
        with temp as made:
            report = Path(made) / "run" / "report.xml"
            plan = await self._plan(targets, name, command, failed_only, report)
            if allowed is not None and plan.judged not in allowed:
                why = f"the test command is another one by now than was allowed: {plan.judged.text}"
                raise ToolError("stale", why, "call again")
            tree = await self._tree() if self._tree else ""
            found = await self._repeated(plan, report, repeat, timeout_s, progress)
        found = replace(found, cases=self._compared(found.cases), tree=tree, whole=plan.whole and not failed_only)
        self.add_report(found)
        return found

    async def _repeated(
        self, plan: RunPlan, report: Path, repeat: int, timeout_s: float, progress: Callable[[str], None] | None
    ) -> TestReport:
        runs: list[TestReport] = []
        spent = 0.0
        while len(runs) < repeat and not (runs and stops_repeating(runs[-1])):
            left = timeout_s - spent
            if left <= 0:
                return combine_runs(runs, repeat, late=f"stopped after {timeout_s:g} s")
            await asyncio.to_thread(_prepare_report_folder, report.parent, plan.command)
            count = f"run {len(runs) + 1} of {repeat}: " if repeat > 1 else ""
            finished = await self._runner.run(
                plan.command.argv,
                timeout_s=left,
                cwd=plan.command.folder,
                env={**_TEST_ENVIRONMENT, **plan.command.env},
                on_output=_progress_callback(progress, plan.command.show_line, count) if progress else None,
            )
            spent += finished.duration_s
            runs.append(await asyncio.to_thread(self._read, plan, finished, report, timeout_s))
        return combine_runs(runs, repeat)

    async def _plan(self, targets: Sequence[str], name: str, command: str, failed_only: bool, report: Path) -> RunPlan:
        # Loading the runners takes 50 ms, which the start of the program shall not pay.
        from kimi_agent.workspace.testrun.choosing.choose_plan import PlanChooser
        from kimi_agent.workspace.testrun.registry import list_runners

        name, command = check_test_name(name), command.strip()
        if command and (targets or name or failed_only):
            why = "'command' is run as written and takes no targets, name or failed_only"
            mend = "put them into the command, or leave 'command' out"
            raise ToolError("bad_arguments", why, mend)
        if failed_only:
            targets = self._failing(targets)
        selection = TestSelection(parse_targets(self._files, targets), name)
        environment = RunnerEnvironment(self._runner, self._interpreters, report)
        chooser = PlanChooser(self._files, environment, await asyncio.to_thread(list_runners, self._own_runners))
        if command:
            return chooser.plan_command(command, self._runner.cwd, GIVEN_COMMAND_EVIDENCE)
        return await chooser.choose(selection, configured=self._configured, worked=self._worked)

    def _failing(self, targets: Sequence[str]) -> list[str]:
        failing = [each for each, outcome in self._last.items() if outcome in FAILED_OUTCOMES]
        if targets:
            raise ToolError("bad_arguments", "'failed_only' chooses the targets itself", "give one of the two")
        if not failing:
            why = "no test failed when it last ran" if self._last else "no tests ran yet"
            raise ToolError("noop", f"{why} in this session", "call run_tests without failed_only")
        return failing

    def _read(self, plan: RunPlan, finished: ProcessResult, report: Path, timeout_s: float) -> TestReport:
        lines = _PrintedLines(self._files, finished)
        reading = plan.read(RunResult(finished.exit_code, lines, report, self._files.root, plan.folder, plan.selection))
        killed = ""
        if finished.timed_out:
            killed = f"killed after {timeout_s:g} s"
        elif finished.cut_off:
            killed = f"killed: it had printed {finished.total_bytes:,} bytes"
        verdict, trouble = judge_run(reading, finished.exit_code, killed=killed, lines=lines)
        log = "" if reading.log else finished.output
        text = reading.log or finished.text
        return TestReport(
            verdict=verdict,
            runner=plan.command.runner,
            evidence=plan.command.evidence,
            command=plan.command.shown,
            exit_code=finished.exit_code,
            duration_s=finished.duration_s,
            cases=reading.cases,
            running=reading.running if killed else "",
            log=log or (self._files.outputs.keep(text) if text.strip() else ""),
            trouble=trouble,
        )

    def _mended(self, cases: tuple[TestCase, ...]) -> Iterator[TestCase]:
        """Files, packages and suites that failed as a whole when last run, and whose tests ran now.

        No runner reports them when all is well, so without this they would stay red for ever.
        """
        ids = {case.id for case in cases}
        for red in [each for each, outcome in self._last.items() if outcome in FAILED_OUTCOMES and each not in ids]:
            if any(each.startswith((f"{red}::", f"{red} > ", f"{red}/")) for each in ids):
                yield TestCase(red, "passed", message="its tests run again")

    def _compared(self, cases: tuple[TestCase, ...]) -> tuple[TestCase, ...]:
        """The cases held against their last run, and only as much text as is worth keeping for ever."""
        bad = 0
        compared = []
        for case in (*cases, *self._mended(cases)):
            was_bad = self._last.get(case.id) in FAILED_OUTCOMES
            if case.outcome in FAILED_OUTCOMES:
                bad += 1
                case = replace(
                    case,
                    new=bool(self._last) and not was_bad,
                    detail=case.detail if bad <= MAX_DETAILED_CASES else "",
                    message=case.message if bad <= MAX_CASES_WITH_MESSAGE else "",
                )
            elif case.outcome == "passed" and was_bad:
                case = replace(case, fixed=True)
            compared.append(case)
        return tuple(compared)


def _shown_report() -> Path:
    """The report's place in a command that is only shown or judged: as mktemp writes a name that each run makes."""
    return Path(tempfile.gettempdir()) / f"{_TEMP}XXXX" / "run" / "report.xml"


def _prepare_report_folder(place: Path, command: TestCommand) -> None:
    """Make an empty folder for the report and its extra files: nothing of an earlier run is read again."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(place)
    place.mkdir()
    for name, text in command.extra_files.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text, "utf-8")


class _PrintedLines:
    """The lines that a process printed, as often as they are asked for; long ones are cut."""

    def __init__(self, files: Files, finished: ProcessResult) -> None:
        self._files = files
        self._finished = finished

    def __iter__(self) -> Iterator[str]:
        if not self._finished.output:
            yield from self._finished.text.split("\n")
            return
        with self._files.open(self._finished.output) as log:
            while line := log.readline(MAX_READ_LINE_BYTES):
                yield line.decode("utf-8", "replace").rstrip("\r\n")


def _progress_callback(
    progress: Callable[[str], None], show_line: Callable[[str], str], count: str
) -> Callable[[str], None]:
    def report(text: str) -> None:
        last = next((line.strip() for line in reversed(strip_escapes(text).split("\n")) if line.strip()), "")
        if last := strip_escapes(show_line(last)).strip():
            progress(f"{count}{last[:160]}")

    return report
