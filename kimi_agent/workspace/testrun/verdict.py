"""Verdict on a test run: the parsed report held against how the process ended. Pure."""

import re
from collections.abc import Iterable

from kimi_agent.log.views import FAILED_OUTCOMES, RunVerdict
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport
from kimi_agent.workspace.testrun.proof_rules import ALL_ENDED, RUN_SUCCEEDED
from kimi_agent.workspace.testrun.reports.closing_lines import read_closing_lines
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, strip_escapes
from kimi_agent.workspace.testrun.reports.package_output import PackageRuns, read_package_runs

_ERROR = re.compile(r"ERROR(?!: usage:)\b|INTERNALERROR|.*: No module named |.*\b\w+(?:Error|Exception)\b|.*\berror: ")
_FIRST_SIGNAL = 128
NO_TESTS_EXIT_CODE = 5  # the exit code of pytest, and of unittest since Python 3.12


def judge_run(
    reading: ParsedReport, exit_code: int | None, *, killed: str, lines: Iterable[str]
) -> tuple[RunVerdict, str]:
    """The verdict by `proof_rules`, and what is troubling about it.

    `killed` says why the process was ended by us ("" if it was not); `lines` are its output.
    """
    if killed:
        return "timed_out", _joined(killed, reading.trouble)
    if reading.fatal_error:
        return "broken", reading.fatal_error
    if reading.by_exit_code:
        return _judge_exit_code(reading, lines)
    bad = sum(case.outcome in FAILED_OUTCOMES for case in reading.cases)
    if not reading.is_complete:
        why = f"the run ended (exit {exit_code}) without a whole report"
        during = f" while {reading.running} was running" if reading.running else ""
        return "broken", "\n".join(filter(None, (why + during, reading.trouble, find_error_line(lines))))
    if bad:
        odd = "the exit code is 0 although tests failed" if exit_code == 0 else ""
        return "failed", _joined(odd, reading.trouble)
    if reading.stated_result == "failed" and exit_code != NO_TESTS_EXIT_CODE:
        return "failed", _joined("the runner says FAILED, but no failing test was read", reading.trouble)
    return _judge_green(reading, exit_code, lines)


def _judge_green(reading: ParsedReport, exit_code: int | None, lines: Iterable[str]) -> tuple[RunVerdict, str]:
    """The verdict on a whole report without a failing test."""
    ended = len(reading.cases) if reading.ended is None else reading.ended
    announced = reading.announced or 0
    if reading.running:
        return "broken", f"the run stopped early (exit {exit_code}) while {reading.running} was running"
    if ended < announced:
        short = ALL_ENDED.said(ended=f"{ended:,}", announced=f"{announced:,}")
        return "broken", _joined(f"{short} (exit {exit_code})", reading.trouble or find_error_line(lines))
    if not reading.cases:
        if exit_code in (0, NO_TESTS_EXIT_CODE) or reading.stated_result == "none":
            return "none_ran", reading.trouble
        return "broken", reading.trouble or find_error_line(lines) or f"exit {exit_code}"
    if exit_code == 0 or (exit_code == NO_TESTS_EXIT_CODE and all(case.outcome == "skipped" for case in reading.cases)):
        if all(case.outcome == "skipped" for case in reading.cases):
            return "none_ran", f"all {len(reading.cases)} were skipped"
        return "passed", reading.trouble
    if exit_code == 1 or (reading.announced is not None and exit_code is not None and 0 < exit_code < _FIRST_SIGNAL):
        passed = sum(case.outcome == "passed" for case in reading.cases)
        why = reading.trouble or find_error_line(lines)
        return "run_failed", RUN_SUCCEEDED.said(
            passed=f"{passed:,}", exit_code=exit_code, why=f": {why}" if why else ""
        )
    # 2 interrupted, 3 internal error, 128 + N a signal: tests may be missing from the report.
    return "broken", "\n".join(filter(None, (f"the run stopped early (exit {exit_code})", find_error_line(lines))))


def _judge_exit_code(reading: ParsedReport, lines: Iterable[str]) -> tuple[RunVerdict, str]:
    """The verdict where nothing but the exit code is known: its closing lines may say that it is not what it seems."""
    if reading.stated_result == "none":
        return "none_ran", reading.trouble
    closing = read_closing_lines(lines)
    says = reading.trouble or (f"it says: {closing.passed}" if closing.passed else "no test was read one by one")
    judged = f"judged by its exit code; {says}"
    packages = read_package_runs(lines)
    failed = f"failed: {', '.join(packages.failed)}" if packages.failed else ""
    if reading.stated_result != "passed":
        return "failed", _joined(f"it says: {closing.failed}" if closing.failed else judged, failed)
    if packages.failed:
        return "failed", f"the exit code is 0 although tests failed in: {', '.join(packages.failed)}"
    if closing.failed:
        return "failed", f"the exit code is 0 although it says: {closing.failed}"
    if packages.runs or packages.no_task:
        return _judge_packages(packages, judged)
    if closing.nothing_ran:
        return "none_ran", f"it says: {closing.nothing_ran}"
    return "passed", judged


def _judge_packages(packages: PackageRuns, judged: str) -> tuple[RunVerdict, str]:
    """The verdict on a run over many packages in which nothing failed, each held against its own closing lines."""
    if not packages.runs:
        return "none_ran", f"it says: {packages.no_task}"
    empty = f"nothing ran in: {', '.join(packages.empty)}" if packages.empty else ""
    if packages.none_ran:
        return "none_ran", empty
    cached = f"cached, so not run again: {', '.join(packages.cached)}" if packages.cached else ""
    return "passed", _joined(judged, empty, cached)


def find_replayed(lines: Iterable[str]) -> tuple[str, ...]:
    """The packages whose result a task runner replayed from its cache, each as a sentence with its mend.

    What it was kept by may leave out the file that changed, so such a result proves none.
    """
    mend = "run turbo with --force, nx with --skip-nx-cache"
    replayed = read_package_runs(lines).cached
    return tuple(f"the tests of {name} (an earlier result was replayed; {mend})" for name in replayed)


def _joined(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))


def find_error_line(lines: Iterable[str]) -> str:
    """The line of the output that says best what went wrong: an exception, else the first error, else the last line."""
    error = last = ""
    for line in lines:
        text = strip_escapes(line).strip()
        if text.startswith("E  "):  # pytest's own mark on the message of an exception
            return first_nonblank_line(text)
        if text and not error and _ERROR.match(text):
            error = text
        last = text or last
    return first_nonblank_line(error or last)
