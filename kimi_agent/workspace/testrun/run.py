"""One run of a repository's tests: decide the command, start it, read what it reports, remember how it went."""

import asyncio
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from kimi_agent.errors import ToolError
from kimi_agent.log.views import TestCase, TestReport
from kimi_agent.workspace.environ import for_shell
from kimi_agent.workspace.files import Files
from kimi_agent.workspace.process import Finished, Runner
from kimi_agent.workspace.testrun.command import as_written
from kimi_agent.workspace.testrun.evidence import has_manifest
from kimi_agent.workspace.testrun.failure import clean
from kimi_agent.workspace.testrun.folder import Folder
from kimi_agent.workspace.testrun.interpreter import Interpreters
from kimi_agent.workspace.testrun.judge import judge
from kimi_agent.workspace.testrun.row import Bench, Ran, Read
from kimi_agent.workspace.testrun.rows import TABLE
from kimi_agent.workspace.testrun.targets import check_name, read_targets
from kimi_agent.workspace.testrun.values import Launch, Target, Wish

MOST_DETAILED, MOST_MESSAGES, MOST_LINE = 20, 1_000, 10_000
_TEMP = "kimi-agent-tests-"
# As a shell's environment, so that nothing waits for a person; CI keeps runners out of their watch mode, which would.
_QUIET = {**{name: value for name, value in for_shell({}).items() if name != "LC_ALL"}, "CI": "1"}


@dataclass(frozen=True)
class _Plan:
    launch: Launch
    read: Read
    folder: Folder


class TestRun:
    """Runs a repository's tests and knows how each went when it last ran in this session.

    `command` is the person's own test command (of the user's configuration); `python` is our interpreter, the last
    resort; `virtual_env` the environment that was active at the start.
    """

    __test__ = False  # pytest collects classes by this name

    def __init__(
        self, files: Files, runner: Runner, *, command: str = "", python: str = sys.executable, virtual_env: str = ""
    ) -> None:
        self._files = files
        self._runner = runner
        self._command = command.strip()
        self._interpreters = Interpreters(files.root, runner, own=python, virtual_env=virtual_env)
        self._last: dict[str, str] = {}

    def feed(self, report: TestReport) -> None:
        """Remember an earlier run of this session (a resume reads them from the log)."""
        if report.verdict in ("passed", "failed", "timed_out"):
            self._last.update((case.id, case.outcome) for case in report.cases)

    async def planned(
        self, targets: Sequence[str] = (), *, name: str = "", command: str = "", failed_only: bool = False
    ) -> str:
        """The whole command that `run` would start, for the person who is asked. Raises ToolError as `run` does.

        Nothing of the repository runs for it.
        """
        report = Path(tempfile.gettempdir()) / f"{_TEMP}XXXX" / "report.xml"
        launch = (await self._plan(targets, name, command, failed_only, report)).launch
        return launch.argv[2] if launch.argv[:2] == ("/bin/sh", "-c") else shlex.join(launch.argv)

    async def run(
        self,
        targets: Sequence[str] = (),
        *,
        name: str = "",
        command: str = "",
        failed_only: bool = False,
        timeout_s: float = 600.0,
        progress: Callable[[str], None] | None = None,
    ) -> TestReport:
        """Run the tests and say how they went.

        Raises ToolError for targets that cannot be run, and where nothing says how to run tests here. A run that goes
        wrong (broken, timed out) is a report, not an error.
        """
        try:
            temp = tempfile.TemporaryDirectory(prefix=_TEMP, ignore_cleanup_errors=True)
        except OSError as error:
            raise ToolError(
                "io", f"no temporary folder for the report: {error.strerror}", "free space in TMPDIR"
            ) from error
        with temp as made:
            report = Path(made) / "report.xml"
            plan = await self._plan(targets, name, command, failed_only, report)
            finished = await self._runner.run(
                plan.launch.argv,
                timeout_s=timeout_s,
                cwd=plan.launch.folder,
                env={**_QUIET, **plan.launch.env},
                on_output=_telling(progress) if progress else None,
            )
            found = await asyncio.to_thread(self._read, plan, finished, report, timeout_s)
        self.feed(found)
        return found

    async def _plan(self, targets: Sequence[str], name: str, command: str, failed_only: bool, report: Path) -> _Plan:
        name, command = check_name(name), command.strip()
        if command and (targets or name or failed_only):
            raise ToolError(
                "bad_arguments",
                "'command' is run as written and takes no targets, name or failed_only",
                "put them into the command, or leave 'command' out",
            )
        if failed_only:
            targets = self._failing(targets)
        wish = Wish(read_targets(self._files, targets), name)
        if command:
            return self._as_written(command, self._runner.cwd, "command of this call", report)
        if self._command and not (targets or name):
            return self._as_written(self._command, self._files.root, "configured test command", report)
        return await self._detect(wish, Bench(self._runner, self._interpreters, report))

    def _failing(self, targets: Sequence[str]) -> list[str]:
        failing = [each for each, outcome in self._last.items() if outcome in ("failed", "error")]
        if targets:
            raise ToolError("bad_arguments", "'failed_only' chooses the targets itself", "give one of the two")
        if not failing:
            why = "no test failed when it last ran" if self._last else "no tests ran yet"
            raise ToolError("noop", f"{why} in this session", "call run_tests without failed_only")
        return failing

    def _as_written(self, command: str, folder: Path, why: str, report: Path) -> _Plan:
        place = Folder(self._files, folder)
        launch, read = as_written(command, place, why, str(report))
        return _Plan(launch, read, place)

    async def _detect(self, wish: Wish, bench: Bench) -> _Plan:
        """The first folder, from the targets upwards, in which something says how its tests are run."""
        for path in _upwards(self._start(wish.targets), self._files.root):
            folder = Folder(self._files, path)
            if path != self._files.root and not has_manifest(folder):
                continue
            hits = [(row, why) for row in TABLE if (why := await asyncio.to_thread(row.evidence, folder))]
            for row, why in hits:
                others = dict.fromkeys(other.runner for other, _ in hits if other.ecosystem != row.ecosystem)
                also = f"; also found: {', '.join(others)}" if others else ""
                launch = await row.launch(folder, wish, why + also, bench)
                if launch is not None:
                    return _Plan(launch, row.read, folder)
        looked = ", ".join(row.runner for row in TABLE)
        chosen = " that can be given targets or a name" if wish.targets or wish.name else ""
        raise ToolError(
            "not_found",
            f"found nothing that says how tests are run here{chosen} (looked for: {looked})",
            "pass command='...' with the project's own test command",
        )

    def _start(self, targets: tuple[Target, ...]) -> Path:
        folders = [target.path if target.path.is_dir() else target.path.parent for target in targets]
        return Path(os.path.commonpath(folders)) if folders else self._files.cwd

    def _read(self, plan: _Plan, finished: Finished, report: Path, timeout_s: float) -> TestReport:
        lines = _Lines(self._files, finished)
        reading = plan.read(Ran(finished.exit_code, lines, report, self._files.root, plan.folder))
        killed = ""
        if finished.timed_out:
            killed = f"killed after {timeout_s:g} s"
        elif finished.cut_off:
            killed = f"killed: it had printed {finished.total_bytes:,} bytes"
        verdict, trouble = judge(reading, finished.exit_code, killed=killed, lines=lines)
        return TestReport(
            verdict=verdict,
            runner=plan.launch.runner,
            evidence=plan.launch.evidence,
            command=plan.launch.shown,
            exit_code=finished.exit_code,
            duration_s=finished.duration_s,
            cases=self._compared(reading.cases),
            running=reading.running if killed else "",
            log=finished.output or (self._files.outputs.keep(finished.text) if finished.text.strip() else ""),
            trouble=trouble,
        )

    def _compared(self, cases: tuple[TestCase, ...]) -> tuple[TestCase, ...]:
        """The cases with `new` set, and only as much text as is worth keeping for ever."""
        bad = 0
        compared = []
        for case in cases:
            if case.outcome in ("failed", "error"):
                bad += 1
                case = replace(
                    case,
                    new=bool(self._last) and self._last.get(case.id) not in ("failed", "error"),
                    detail=case.detail if bad <= MOST_DETAILED else "",
                    message=case.message if bad <= MOST_MESSAGES else "",
                )
            compared.append(case)
        return tuple(compared)


class _Lines:
    """The lines that a process printed, as often as they are asked for; long ones are cut."""

    def __init__(self, files: Files, finished: Finished) -> None:
        self._files = files
        self._finished = finished

    def __iter__(self) -> Iterator[str]:
        if not self._finished.output:
            yield from self._finished.text.split("\n")
            return
        with self._files.open(self._finished.output) as log:
            while line := log.readline(MOST_LINE):
                yield line.decode("utf-8", "replace").rstrip("\r\n")


def _telling(progress: Callable[[str], None]) -> Callable[[str], None]:
    def tell(text: str) -> None:
        last = next((line.strip() for line in reversed(clean(text).split("\n")) if line.strip()), "")
        if last:
            progress(last[:160])

    return tell


def _upwards(folder: Path, root: Path) -> Iterator[Path]:
    yield folder
    while folder != root and root in folder.parents:
        folder = folder.parent
        yield folder
