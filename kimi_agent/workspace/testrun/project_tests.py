"""ProjectTests: choose the test command, run it, parse its report, and remember how each test went."""

import asyncio
import shlex
import sys
import tempfile
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    RunSchedule,
)
from kimi_agent.workspace.testrun.choosing.target_parser import check_test_name, parse_targets
from kimi_agent.workspace.testrun.commands_and_reports import Owner, TestSelection
from kimi_agent.workspace.testrun.joint_report import join_reports
from kimi_agent.workspace.testrun.projects.interpreter import InterpreterFinder
from kimi_agent.workspace.testrun.repeats import MAX_REPEATS, combine_runs, stops_repeating
from kimi_agent.workspace.testrun.run_folder import PrintedLines, make_progress_callback, prepare_report_folder
from kimi_agent.workspace.testrun.runner import NOT_STARTED_EXIT_CODES, RunnerEnvironment, RunResult, TestRunner
from kimi_agent.workspace.testrun.verdict import find_replayed, judge_run

MAX_DETAILED_CASES, MAX_CASES_WITH_MESSAGE = 20, 1_000
_TEMP = "kimi-agent-tests-"
# As a shell's environment, so that nothing waits for a person. Without CI, which would change results: snapshots that a
# person's own run writes are refused there (jest 30, vitest 4), `.only` is an error, a missing interpreter too (nox).
# A result that turbo or nx replays proves nothing of a file that its declared inputs leave out: both really run.
_TEST_ENVIRONMENT = {
    **{name: value for name, value in shell_environ({}).items() if name != "LC_ALL"},
    **dict.fromkeys(("TURBO_FORCE", "NX_SKIP_NX_CACHE", "NX_DISABLE_NX_CACHE"), "true"),
}


@dataclass
class _Run:
    """What all plans of one call share; `timeout_s` is for all of them together, `spent_s` what is used up."""

    report_path: Path
    repeat: int
    timeout_s: float
    progress: Callable[[str], None] | None
    spent_s: float = 0.0


class ProjectTests:
    """A repository's tests: runs them, and remembers how each went when it last ran in this session.

    `command` is the configured test command, and `command_source` who configured it; `python` is our interpreter, the
    last resort; `virtual_env` the environment that was active at the start; `tree` names the files as they are now, and
    is asked just before a run; `changed` the files that this turn changed (relative paths), asked where there are
    several projects; `runners` are test runners of the person's and the project's own.
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
        changed: Callable[[], Awaitable[Sequence[str]]] | None = None,
        runners: Mapping[str, TestRunner] | None = None,
    ) -> None:
        self._files = files
        self._runner = runner
        self._configured = ConfiguredCommand(command.strip(), command_source)
        self._interpreters = InterpreterFinder(files.root, runner, own=python, virtual_env=virtual_env)
        self._tree = tree
        self._changed = changed
        self._own_runners = runners or {}
        self._last: dict[str, str] = {}
        self._unsettled: dict[Owner, None] = {}
        self._worked: RememberedCommand | None = None

    def add_report(self, report: TestReport) -> None:
        """Remember an earlier run of this session (a resume reads them from the log)."""
        for part in report.parts:
            self.add_report(part)
        if report.parts:
            return
        if report.folder and report.verdict != "none_ran":
            owner = Owner(report.ecosystem, report.folder)
            self._unsettled.pop(owner, None)
            self._unsettled.update({} if report.verdict == "passed" else {owner: None})
        if report.verdict in ("passed", "failed", "run_failed", "timed_out"):
            self._last.update((case.id, case.outcome) for case in report.cases)
        if report.evidence == GIVEN_COMMAND_EVIDENCE and (report.cases or report.verdict == "passed"):
            from kimi_agent.workspace.testrun.choosing.given_command import may_run_subset

            if not may_run_subset(report.command):
                folder = self._files.root / report.folder if report.folder else self._runner.cwd
                self._worked = RememberedCommand(report.command, folder, bool(report.cases))
        elif self._worked and report.command == self._worked.command and report.exit_code in NOT_STARTED_EXIT_CODES:
            self._worked = None

    async def preview_command(
        self, targets: Sequence[str] = (), *, name: str = "", command: str = "", failed_only: bool = False
    ) -> str:
        """The commands that `run` would start, a line each, for the person who is asked.

        Nothing of the repository runs for it. Raises ToolError as `run` does.
        """
        schedule, _ = await self._schedule(targets, name, command, failed_only, _shown_report())
        lines = []
        for plan in schedule.plans:
            argv = plan.command.argv
            text = argv[2] if argv[:2] == ("/bin/sh", "-c") else shlex.join(argv)
            lines.append(f"(cd {shlex.quote(plan.place)} && {text})" if len(schedule.plans) > 1 else text)
            lines += [f"if that finds no tests: {each.command.shown}" for each in plan.alternatives]
        return "\n".join(lines)

    async def plan(
        self, targets: Sequence[str] = (), *, name: str = "", command: str = "", failed_only: bool = False
    ) -> tuple[Sequence[str], Sequence[PlannedCommand]]:
        """What `run` would do, for the policy: the paths that it is about, and the commands. Raises as `run` does."""
        schedule, selection = await self._schedule(targets, name, command, failed_only, _shown_report())
        chosen = [str(target.path) for target in selection.targets]
        return chosen or list(dict.fromkeys(str(plan.folder.path) for plan in schedule.plans)), schedule.commands

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
            schedule, _ = await self._schedule(targets, name, command, failed_only, report)
            for planned in schedule.commands if allowed is not None else ():
                if planned not in (allowed or ()):
                    why = f"the test command is another one by now than was allowed: {planned.text}"
                    raise ToolError("stale", why, "call again")
            tree = await self._tree() if self._tree else ""
            run = _Run(report, repeat, timeout_s, progress)
            found = [await self._run_plan(plan, run) for plan in schedule.plans]
        parts = tuple(
            replace(
                part,
                cases=self._compared(part.cases),
                tree=tree,
                whole=part.whole and not failed_only and not part.unrun,
            )
            for part in found
        )
        for part in parts:
            self.add_report(part)
        return join_reports(parts, schedule.unrun)

    async def _run_plan(self, plan: RunPlan, run: "_Run") -> TestReport:
        """The report of a plan; where it finds no tests, of the first of its alternatives that does."""
        first = await self._repeated(plan, run)
        if first.verdict != "none_ran":
            return first
        for other in plan.alternatives:
            found = await self._repeated(other, run)
            if found.verdict not in ("none_ran", "timed_out") and found.exit_code not in NOT_STARTED_EXIT_CODES:
                return replace(found, evidence=f"{found.evidence}; {first.runner} found no tests")
        return first

    async def _repeated(self, plan: RunPlan, run: "_Run") -> TestReport:
        runs: list[TestReport] = []
        while len(runs) < run.repeat and not (runs and stops_repeating(runs[-1])):
            left = run.timeout_s - run.spent_s
            if left <= 0:
                late = f"stopped after {run.timeout_s:g} s"
                return combine_runs(runs, run.repeat, late=late) if runs else self._not_begun(plan, late)
            await asyncio.to_thread(prepare_report_folder, run.report_path.parent, plan.command)
            count = f"run {len(runs) + 1} of {run.repeat}: " if run.repeat > 1 else ""
            finished = await self._runner.run(
                plan.command.argv,
                timeout_s=left,
                cwd=plan.command.folder,
                env={**_TEST_ENVIRONMENT, **plan.command.env},
                on_output=make_progress_callback(run.progress, plan.command.show_line, count) if run.progress else None,
            )
            run.spent_s += finished.duration_s
            runs.append(await asyncio.to_thread(self._read, plan, finished, run.report_path, run.timeout_s))
        return combine_runs(runs, run.repeat)

    async def _schedule(
        self, targets: Sequence[str], name: str, command: str, failed_only: bool, report: Path
    ) -> tuple[RunSchedule, TestSelection]:
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
            plan = chooser.plan_command(command, self._runner.cwd, GIVEN_COMMAND_EVIDENCE)
            return RunSchedule((plan,)), selection
        changed: Sequence[str] = ()
        if self._changed and selection.is_whole and await asyncio.to_thread(lambda: chooser.has_several_projects):
            changed = await self._changed()
        schedule = await chooser.choose(
            selection,
            configured=self._configured,
            worked=self._worked,
            changed=changed,
            unsettled=tuple(self._unsettled),
        )
        return schedule, selection

    def _failing(self, targets: Sequence[str]) -> list[str]:
        failing = [each for each, outcome in self._last.items() if outcome in FAILED_OUTCOMES]
        if targets:
            raise ToolError("bad_arguments", "'failed_only' chooses the targets itself", "give one of the two")
        if not failing:
            why = "no test failed when it last ran" if self._last else "no tests ran yet"
            raise ToolError("noop", f"{why} in this session", "call run_tests without failed_only")
        return failing

    def _read(self, plan: RunPlan, finished: ProcessResult, report: Path, timeout_s: float) -> TestReport:
        lines = PrintedLines(self._files, finished)
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
            whole=plan.whole,
            folder=plan.place,
            ecosystem=plan.ecosystem,
            unrun=(*reading.unrun, *(find_replayed(lines) if reading.by_exit_code else ())),
        )

    def _not_begun(self, plan: RunPlan, late: str) -> TestReport:
        """The report of a plan for which no time was left."""
        return TestReport(
            "timed_out",
            plan.command.runner,
            plan.command.evidence,
            plan.command.shown,
            None,
            0.0,
            trouble=f"{late}, before it began",
            folder=plan.place,
            ecosystem=plan.ecosystem,
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
