"""Verdict on a test run: the parsed report held against how the process ended. Pure."""

import re
from collections.abc import Iterable
from typing import Literal

from kimi_agent.log.views import FAILED_OUTCOMES
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, strip_escapes

RunVerdict = Literal["passed", "failed", "none_ran", "broken", "timed_out"]
_ERROR = re.compile(r"ERROR(?!: usage:)\b|INTERNALERROR|.*: No module named |.*\b\w+(?:Error|Exception)\b|.*\berror: ")
NO_TESTS_EXIT_CODE = 5  # the exit code of pytest, and of unittest since Python 3.12


def judge_run(
    reading: ParsedReport, exit_code: int | None, *, killed: str, lines: Iterable[str]
) -> tuple[RunVerdict, str]:
    """The verdict, and what is troubling about it. Parsed results win over exit codes; a disagreement is reported.

    `killed` says why the process was ended by us ("" if it was not); `lines` are its output.
    """
    if killed:
        return "timed_out", "; ".join(filter(None, (killed, reading.trouble)))
    if reading.fatal_error:
        return "broken", reading.fatal_error
    if reading.by_exit_code:
        verdict: RunVerdict = "passed" if reading.stated_result == "passed" else "failed"
        return verdict, "judged by its exit code; no test was read one by one"
    bad = sum(case.outcome in FAILED_OUTCOMES for case in reading.cases)
    if not reading.is_complete:
        why = f"the run ended (exit {exit_code}) without a whole report"
        during = f" while {reading.running} was running" if reading.running else ""
        return "broken", "\n".join(filter(None, (why + during, reading.trouble, find_error_line(lines))))
    if bad:
        odd = "the exit code is 0 although tests failed" if exit_code == 0 else ""
        return "failed", "; ".join(filter(None, (odd, reading.trouble)))
    if reading.stated_result == "failed" and exit_code != NO_TESTS_EXIT_CODE:
        odd = "the runner says FAILED, but no failing test was read"
        return "failed", "; ".join(filter(None, (odd, reading.trouble)))
    if not reading.cases:
        if exit_code in (0, NO_TESTS_EXIT_CODE) or reading.stated_result == "none":
            return "none_ran", reading.trouble
        return "broken", find_error_line(lines) or f"exit {exit_code}"
    if all(case.outcome == "skipped" for case in reading.cases):
        return "none_ran", f"all {len(reading.cases)} were skipped"
    if exit_code == 0:
        return "passed", reading.trouble
    if exit_code == 1:
        odd = "the exit code is 1 although no test failed (a coverage limit or a plugin?)"
        return "passed", "; ".join(filter(None, (odd, reading.trouble)))
    # 2 interrupted, 3 internal error, 128 + N a signal: tests may be missing from the report.
    return "broken", "\n".join(filter(None, (f"the run stopped early (exit {exit_code})", find_error_line(lines))))


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
