"""Readers of the report formats that a runner file can choose from, each held against the runner's own summary."""

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport
from kimi_agent.workspace.testrun.formats.compiled.go_report import read_go_events
from kimi_agent.workspace.testrun.formats.json_lines import parse_json_lines
from kimi_agent.workspace.testrun.formats.junit_cases import parse_junit_reports
from kimi_agent.workspace.testrun.formats.tap import parse_tap
from kimi_agent.workspace.testrun.formats.trx import TrxResult, read_trx_report
from kimi_agent.workspace.testrun.reports.cases import clean_test_name, merge_cases
from kimi_agent.workspace.testrun.reports.closing_lines import MAX_CLOSING_LINES
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper, strip_escapes
from kimi_agent.workspace.testrun.reports.report_file import ReportRejected, read_report_bytes
from kimi_agent.workspace.testrun.runner import RunResult, read_exit_code

ReportFormat = Literal["exit-code", "junit", "tap", "json-lines", "go-test-json", "trx"]
RUN_BEGAN_FILE = "began"
"""An empty file beside the report, written when the run begins: reports in the project that are older are not its."""
SUMMARY_GROUPS = ("total", "passed", "failed", "skipped")
_MOST_FILES = 5_000


@dataclass(frozen=True)
class DeclaredReport:
    """A runner's report as its runner file declares it.

    `printed` says that it is in the output; else it stands where `{report}` or `{report_folder}` led, or in the
    `files` (globs below the project's folder) that this run wrote. `summary` and `nothing_ran` are regular
    expressions for whole lines of the output, "" for none.
    """

    format: ReportFormat = "exit-code"
    printed: bool = True
    files: tuple[str, ...] = ()
    summary: str = ""
    nothing_ran: str = ""

    def read(self, ran: RunResult) -> ParsedReport:
        """What a finished run reported."""
        reading = _READERS[self.format](self, ran)
        if not reading.cases and (line := self._find_nothing_ran(ran.lines)):
            return ParsedReport(stated_result="none", trouble=f"it says: {line}")
        return self._held_against_summary(reading, ran) if self.summary else reading

    def paths(self, ran: RunResult, suffix: str) -> list[Path]:
        """The report files of the run, whether or not they are there."""
        if self.files:
            return find_fresh_files(ran, self.files)
        if ran.report_path.is_file():
            return [ran.report_path]
        return sorted(islice(ran.report_path.parent.rglob(f"*{suffix}"), _MOST_FILES))

    def lines(self, ran: RunResult) -> Iterable[str] | None:
        """The lines of a report in text, None where it was not written. Raises ReportRejected."""
        if self.printed:
            return ran.lines
        texts = [data for path in self.paths(ran, "") if (data := read_report_bytes(path)) is not None]
        return b"\n".join(texts).decode("utf-8", "replace").splitlines() if texts else None

    def _find_nothing_ran(self, lines: Iterable[str]) -> str:
        if not self.nothing_ran:
            return ""
        last = deque((text for line in lines if (text := strip_escapes(line).strip())), maxlen=MAX_CLOSING_LINES)
        return next((line for line in last if re.fullmatch(self.nothing_ran, line)), "")

    def _held_against_summary(self, reading: ParsedReport, ran: RunResult) -> ParsedReport:
        pattern = re.compile(self.summary)
        found = [hit for line in ran.lines if (hit := pattern.fullmatch(strip_escapes(line).strip()))]
        if not found:
            silent = ran.exit_code == 0 and reading.stated_result != "none"
            trouble = reading.trouble or "its summary was not printed"
            return replace(reading, is_complete=False, by_exit_code=False, trouble=trouble) if silent else reading
        bad = [hit for hit in found if _counts(hit).get("failed")]
        said = bad if bad and reading.by_exit_code else found
        return _hold(reading, [_counts(hit) for hit in found], first_nonblank_line(said[-1][0]))


def _counts(found: re.Match[str]) -> dict[str, int]:
    counts = {name: int((text or "0").replace(",", "")) for name, text in found.groupdict().items()}
    return {"total": sum(counts.values()), **counts}


def _hold(reading: ParsedReport, summaries: Sequence[Mapping[str, int]], line: str) -> ParsedReport:
    """`reading` held against the counts of the runner's own summaries, `line` is one of them.

    Of several the last one counts, or all together where it is they that agree with the report: sbt, for example,
    prints one for each project.
    """
    told = len(reading.cases) if reading.ended is None else reading.ended
    together = {name: sum(counts[name] for counts in summaries) for name in summaries[0]}
    counts = together if reading.by_exit_code or told == together["total"] else summaries[-1]
    total, failed = counts["total"], counts.get("failed", 0)
    if reading.by_exit_code:
        if failed and reading.stated_result == "passed":
            return ParsedReport(stated_result="failed", trouble=line)
        if (not total or counts.get("passed") == 0) and not failed:
            return ParsedReport(stated_result="none", trouble=f"it says: {line}")
        return replace(reading, trouble=f"it says: {line}")
    if told > total:
        why = f"{told:,} tests were reported, but it says: {line}"
        return replace(reading, is_complete=False, trouble=reading.trouble or why)
    unread = failed and not any(case.outcome in FAILED_OUTCOMES for case in reading.cases)
    stated = "failed" if unread else reading.stated_result
    return replace(reading, announced=max(total, reading.announced or 0), ended=told, stated_result=stated)


def _read_exit_code(_: DeclaredReport, ran: RunResult) -> ParsedReport:
    return read_exit_code(ran)


def _read_junit(report: DeclaredReport, ran: RunResult) -> ParsedReport:
    found = parse_junit_reports(report.paths(ran, ".xml"), root=ran.root, folder=ran.folder.path)
    return ParsedReport(is_complete=False) if found is None else found


def _read_tap(report: DeclaredReport, ran: RunResult) -> ParsedReport:
    return _read_lines(report, ran, lambda lines: parse_tap(lines, make_path_mapper(ran.root, ran.folder.path)))


def _read_json_lines(report: DeclaredReport, ran: RunResult) -> ParsedReport:
    return _read_lines(report, ran, parse_json_lines)


def _read_go_events(report: DeclaredReport, ran: RunResult) -> ParsedReport:
    return _read_lines(report, ran, lambda lines: read_go_events(ran, lines))


def _read_lines(report: DeclaredReport, ran: RunResult, parse: Callable[[Iterable[str]], ParsedReport]) -> ParsedReport:
    try:
        lines = report.lines(ran)
    except ReportRejected as error:
        return ParsedReport(is_complete=False, trouble=str(error))
    return ParsedReport(is_complete=False) if lines is None else parse(lines)


def _read_trx(report: DeclaredReport, ran: RunResult) -> ParsedReport:
    found = [trx for path in report.paths(ran, ".trx") if (trx := read_trx_report(path)) is not None]
    trouble = "; ".join([each.trouble for each in found if each.trouble] + [e for each in found for e in each.errors])
    cases = merge_cases(_trx_case(result) for each in found for result in each.results)
    broken = not found or any(each.trouble for each in found)
    return ParsedReport(cases, trouble=first_nonblank_line(trouble), is_complete=not broken)


def _trx_case(result: TrxResult) -> TestCase:
    name = clean_test_name(result.name)
    whole = name if not result.classname or name.startswith(result.classname) else f"{result.classname}::{name}"
    detail = f"{result.message}\n{result.stack}".strip() if result.outcome in FAILED_OUTCOMES else ""
    return TestCase(whole, result.outcome, "", first_nonblank_line(result.message), detail)


def find_fresh_files(ran: RunResult, globs: Iterable[str]) -> list[Path]:
    """The files of the project's folder that this run wrote, links to elsewhere left out."""
    try:
        since_ns = ran.report_path.with_name(RUN_BEGAN_FILE).stat().st_mtime_ns
    except OSError:
        return []
    found = (path for pattern in globs for path in sorted(ran.folder.path.glob(pattern)))
    return [path for path in islice(found, _MOST_FILES) if _is_fresh(path, ran.folder.path, since_ns)]


def _is_fresh(path: Path, folder: Path, since_ns: int) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return status.st_mtime_ns >= since_ns and Path(os.path.realpath(path)).is_relative_to(folder)


_READERS: Mapping[ReportFormat, Callable[[DeclaredReport, RunResult], ParsedReport]] = {
    "exit-code": _read_exit_code,
    "junit": _read_junit,
    "tap": _read_tap,
    "json-lines": _read_json_lines,
    "go-test-json": _read_go_events,
    "trx": _read_trx,
}
