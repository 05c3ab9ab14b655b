"""Autotools runner (C, C++): `make check` of a configured Automake project, parsed from its lines and its logs."""

import re
from collections.abc import Iterable
from pathlib import Path

from kimi_agent.errors import ToolError
from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestOutcome
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import (
    clean_test_name,
    excerpt_first_error,
    excerpt_innermost_first,
    make_build_report,
    match_frames,
    merge_cases,
)
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper, strip_escapes
from kimi_agent.workspace.testrun.reports.report_file import ReportRejected, read_report_bytes
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner

# Automake's words (1.16). What tests print goes to a log of each, so such a line is its own.
_ENDED = re.compile(r"^(?P<word>PASS|FAIL|SKIP|XFAIL|XPASS|ERROR): (?P<name>\S+)(?: (?P<part>\d+.*))?$")
_OUTCOMES: dict[str, TestOutcome] = {
    "PASS": "passed",
    "XFAIL": "skipped",  # as pytest's xfail: it says nothing good
    "SKIP": "skipped",
    "FAIL": "failed",
    "XPASS": "failed",
    "ERROR": "error",
}
_TOTAL = re.compile(r"^# TOTAL: +(\d+)$")
_MOVES = re.compile(r"^make(?:\[\d+\])?: (?P<how>Entering|Leaving) directory '(?P<path>.*)'$")
_BROKEN = re.compile(r"\berror: |^make.*No rule to make target|undefined reference|: command not found")
_DECLARES_TESTS = re.compile(r"^\s*(?:TESTS|check_PROGRAMS|dist_check_SCRIPTS|SUBDIRS)\s*\+?=", re.MULTILINE)
_MOST_LOG_BYTES = 200_000
_FRAME = re.compile(r"(?P<path>[^\s:()]+\.\w+):(?P<line>\d+)\b.*")


def _evidence(folder: ProjectFolder) -> str:
    return "Makefile.am" if _DECLARES_TESTS.search(folder.text("Makefile.am")) else ""


async def _launch(request: LaunchRequest) -> TestCommand | None:
    make = request.which("make")
    if make is None or not request.selection.is_whole:
        return None
    if "Makefile" not in request.folder.names():
        mend = "run `autoreconf -i && ./configure` in the shell, then run_tests: it builds and runs the tests"
        raise ToolError("not_found", "Makefile.am declares tests, but nothing is configured", mend)
    return request.command("make check", (make, "check"), ("make", "check"))


def _read(ran: RunResult) -> ParsedReport:
    reader = _Reader(ran)
    for line in ran.lines:
        reader.take(strip_escapes(line).rstrip())
    why = excerpt_first_error(ran.lines, _BROKEN)
    if not reader.cases and ran.exit_code == 0:
        return ParsedReport(stated_result="none", trouble="make check ended with exit code 0 and reported no test")
    told = bool(reader.announced) and reader.announced <= len(reader.cases)
    reading = make_build_report(merge_cases(reader.cases), exit_code=ran.exit_code, why=why, has_all_tests=told)
    announced, ended = reader.announced or len(reader.cases), len(reader.cases)
    return ParsedReport(
        reading.cases, fatal_error=reading.fatal_error, trouble=reading.trouble, announced=announced, ended=ended
    )


class _Reader:
    def __init__(self, ran: RunResult) -> None:
        self.cases: list[TestCase] = []
        self.announced = 0
        self._folders = [ran.folder.path]
        self._spelled = make_path_mapper(ran.root, ran.folder.path)

    def take(self, line: str) -> None:
        if total := _TOTAL.match(line):
            self.announced += int(total[1])
        elif ended := _ENDED.match(line):
            self.cases.append(self._case(ended))
        elif moves := _MOVES.match(line):
            if moves["how"] == "Entering":
                self._folders.append(Path(moves["path"]))
            elif len(self._folders) > 1:
                self._folders.pop()

    def _case(self, ended: re.Match[str]) -> TestCase:
        outcome, folder = _OUTCOMES[ended["word"]], self._folders[-1]
        # The list of tests is the Makefile.am, and a test is taken from it, not with its file.
        anchor = self._spelled(str(folder / "Makefile.am")) or "Makefile.am"
        node_id = f"{anchor}::{clean_test_name(' '.join(filter(None, (ended['name'], ended['part']))))}"
        if outcome not in FAILED_OUTCOMES:
            return TestCase(node_id, outcome, message="failed, as expected" if ended["word"] == "XFAIL" else "")
        log = "\n".join(_log_lines(folder, ended["name"]))
        cut = excerpt_innermost_first(log, match_frames(_FRAME, self._spelled))
        said = "passed, though it should fail" if ended["word"] == "XPASS" else first_nonblank_line(log)
        return TestCase(node_id, outcome, cut.place, said or "it failed", cut.detail)


def _log_lines(folder: Path, name: str) -> Iterable[str]:
    """What a test printed: `a.log` of `a.test` (or of `a`), beside the Makefile."""
    for path in dict.fromkeys((folder / name).with_suffix(suffix) for suffix in (".log", f"{Path(name).suffix}.log")):
        try:
            data = read_report_bytes(path, _MOST_LOG_BYTES)
        except ReportRejected:
            continue
        if data is not None:
            return data.decode("utf-8", "replace").splitlines()
    return ()


def _adopt(given: GivenCommand) -> TestCommand | None:
    own = given.starts("make", "check") and _evidence(given.folder)
    return given.run_as("make check") if own else None


AUTOTOOLS = TestRunner(
    "make check",
    "C/C++",
    _evidence,
    _launch,
    _read,
    (".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", "Makefile.am", "configure.ac"),
    adopt=_adopt,
    manifests=(r"Makefile\.am|configure\.ac",),
    order=37,
    yields_to_tasks=lambda folder: "Makefile" not in folder.names(),
    # Automake goes through SUBDIRS; a package of its own (AC_CONFIG_SUBDIRS) is configured and checked with it too.
    covers=lambda folder, below: True,
)
