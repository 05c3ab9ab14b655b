"""Parser of a package script's run: the reports of all test runners that its commands start, joined."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kimi_agent.log.views import FAILED_OUTCOMES
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport
from kimi_agent.workspace.testrun.formats.javascript.bun_report import read_bun_report
from kimi_agent.workspace.testrun.formats.javascript.deno_junit import read_deno_junit
from kimi_agent.workspace.testrun.formats.javascript.jest_json import read_jest_json
from kimi_agent.workspace.testrun.formats.javascript.reporter_lines import read_reporter_lines
from kimi_agent.workspace.testrun.reports.cases import merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, strip_escapes
from kimi_agent.workspace.testrun.reports.report_file import ReportRejected, read_report_bytes
from kimi_agent.workspace.testrun.runner import ReportParser, RunResult, read_exit_code

PARTS_FILE = "parts.json"
"""Beside the report: {"parts": [[runner, name of its report, its command], ...], "rest": the commands behind them}."""
# jest 30 and vitest 3, on their last line.
_ABOUT_REPORT = re.compile(r"Test results written to: |JSON +report written to ")

REPORT_PARSERS: Mapping[str, ReportParser] = {
    "vitest": read_jest_json,
    "jest": read_jest_json,
    "mocha": read_reporter_lines,
    "node": read_reporter_lines,
    "playwright": read_reporter_lines,
    "bun": read_bun_report,
    "deno": read_deno_junit,
}
"""The parser of each runner's report."""


def read_script_report(ran: RunResult, runner: str = "") -> ParsedReport:
    """The joint report of a script's runners; by its exit code where none of them writes one.

    `runner` is the one that wrote the report where no list of them is there.
    """
    parts, rest = _parts(ran.report_path.with_name(PARTS_FILE))
    if not (parts or (parts is None and runner)):
        return read_exit_code(ran)
    readings: list[ParsedReport] = []
    unrun: list[str] = []
    for name, report, text in parts or [(runner, ran.report_path.name, "")]:
        place = ran.report_path.with_name(report)
        if readings and _is_red(readings[-1]) and not place.exists():
            unrun.append(f"{text} (what comes before it failed)")
        elif not unrun:
            readings.append(REPORT_PARSERS[name](replace(ran, report_path=place)))
    found = _joined(readings, unrun) if len(readings) > 1 or unrun else readings[0]
    green = found.is_complete and found.cases and not (_is_red(found) or found.stated_result or found.trouble)
    if green and rest and ran.exit_code and not found.running:
        last = _last_line_behind_report(ran.lines)
        return replace(found, trouble=f"{rest} failed" + (f": {last}" if last else ""))
    return found


def _last_line_behind_report(lines: Iterable[str]) -> str:
    """The last line that was printed after jest's or vitest's word about its report; "" for none."""
    last, behind = "", False
    for line in lines:
        text = strip_escapes(line).strip()
        behind = behind or _ABOUT_REPORT.match(text) is not None
        last = text if text and behind and not _ABOUT_REPORT.match(text) else last
    return first_nonblank_line(last)


def _joined(readings: Sequence[ParsedReport], unrun: Sequence[str]) -> ParsedReport:
    told = [each for each in readings if each.stated_result != "none"]
    if not told:
        return ParsedReport(stated_result="none", unrun=tuple(unrun))
    counted = [each.announced is not None for each in told]
    return ParsedReport(
        merge_cases(case for each in told for case in each.cases),
        fatal_error=next((each.fatal_error for each in told if each.fatal_error), ""),
        running=", ".join(each.running for each in told if each.running),
        stated_result="failed" if any(each.stated_result == "failed" for each in told) else "",
        trouble="; ".join(dict.fromkeys(each.trouble for each in told if each.trouble)),
        is_complete=all(each.is_complete for each in told),
        announced=sum(each.announced or len(each.cases) for each in told) if any(counted) else None,
        ended=sum(len(each.cases) if each.ended is None else each.ended for each in told),
        unrun=tuple(unrun),
    )


def _is_red(reading: ParsedReport) -> bool:
    return bool(reading.fatal_error) or any(case.outcome in FAILED_OUTCOMES for case in reading.cases)


def _parts(place: Path) -> tuple[list[tuple[str, str, str]] | None, str]:
    """The rows of PARTS_FILE (None where there is none), and the commands behind the last of them."""
    try:
        data = read_report_bytes(place)
        found = json.loads(data) if data is not None else None
    except (ReportRejected, ValueError, RecursionError):
        return [], ""  # a test wrote over it: then the exit code is all that is known
    if found is None:
        return None, ""
    listed, rest = (found.get("parts"), found.get("rest")) if isinstance(found, dict) else (None, None)
    rows = [each for each in listed if isinstance(each, list)] if isinstance(listed, list) else []
    parts = [
        (runner, report, text)
        for runner, report, text in (map(str, each) for each in rows if len(each) == 3)
        if runner in REPORT_PARSERS and Path(report).name == report
    ]
    return parts, rest if isinstance(rest, str) else ""
