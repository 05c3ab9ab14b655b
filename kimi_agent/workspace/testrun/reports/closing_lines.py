"""Closing lines reader: what a test runner's last lines say where nothing but its exit code is known. Pure."""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, strip_escapes

MAX_CLOSING_LINES = 40
"""A summary stands at the end; what tests print stands before it."""

# The summaries of runs in which no test ran, whole lines; each seen with the version named.
_NOTHING_RAN = re.compile(
    r"Result: NOTESTS"  # prove 3.44
    r"|1\.\.0(?: # .*)?"  # TAP: bats 1.8.2, uvu
    r"|Ran 0 tests in .*"  # unittest, nose2
    r"|\s*Total:\s+0"  # uvu 0.5.6
    r"|=* ?(?:no tests ran|collected 0 items).*"  # pytest 9.2
    r"|0 scenarios passed, 0 failed.*|0 features passed, 0 failed, 0 skipped"  # behave 1.3.3
    r"|0 tests, 0 passed, 0 failed(?:, 0 skipped)?"  # robot 7.5
    r"|[Nn]o tests? (?:found|ran|were (?:run|found)|to run)\b.*"
    r"|There are no tests to run",
)
# The summaries of runs in which something failed, for where a pipe hid the exit code.
_FAILED = re.compile(
    r"=+ (?:.*, )?[1-9]\d* (?:failed|errors?)\b.* in [\d.]+s.* =+|(?:[1-9]\d* passed, )?[1-9]\d* failed\b.* in [\d.]+s"
    r"|FAILED \((?:failures|errors|unexpected successes)=\d+.*\)"  # unittest
    r"|Result: FAIL"  # prove
    r"|test result: FAILED\..*"  # cargo
    r"|FAIL(?:\t\S+\t[\d.]+s)?"  # go
    r"|Tests?:? +(?:.*\b)?[1-9]\d* failed\b.*"  # jest, vitest
    r"|# fail [1-9]\d*|ℹ fail [1-9]\d*"  # node, TAP
    r"|\s*[1-9]\d* failing"  # mocha
    r"|\d+ (?:examples?|tests?|runs?), (?:\d+ assertions?, )?(?:[1-9]\d* failures?|0 failures, [1-9]\d* errors?)\b.*"
    r"|\d+ scenarios? passed, [1-9]\d* failed.*"
    r"|\d+ tests?, \d+ passed, [1-9]\d* failed.*"
    r"|FAILURES!|Tests: \d+, Assertions: \d+, .*(?:Failures|Errors): [1-9]\d*.*",  # phpunit
)


@dataclass(frozen=True)
class ClosingLines:
    """The line that says that something failed, and the one that says that nothing ran; "" for none."""

    failed: str = ""
    nothing_ran: str = ""


def read_closing_lines(lines: Iterable[str]) -> ClosingLines:
    """What the last `MAX_CLOSING_LINES` lines that are not blank say."""
    last: deque[str] = deque(maxlen=MAX_CLOSING_LINES)
    last.extend(text for line in lines if (text := strip_escapes(line).rstrip()))
    failed = next((line for line in reversed(last) if _FAILED.fullmatch(line)), "")
    nothing = next((line for line in reversed(last) if _NOTHING_RAN.fullmatch(line)), "")
    return ClosingLines(first_nonblank_line(failed), first_nonblank_line(nothing))
