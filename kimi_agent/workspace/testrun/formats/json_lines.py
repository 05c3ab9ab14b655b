"""JSON lines parser: the records of a test runner that prints one JSON object a line become test cases. Pure.

For runners that have no other format, and for small scripts. A record is one of

    {"plan": 3}                                        how many tests there are; may come at any place
    {"begun": "t/a.sh::adds"}                          this test begins; one that never ends makes the run broken
    {"test": "t/a.sh::adds", "outcome": "passed"}      it ended: passed, failed, error or skipped

and `test` may have `message` (one line), `detail` (what to show of a failure), `place` ("path:line"), and, where the
runner itself ran it again, `runs` and `failures`. Ids are best "path::name", for they are given to the runner again.
Lines that are no such object are what the tests printed. `plan` is held against what ended.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport
from kimi_agent.workspace.testrun.reports.cases import clean_test_name, merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import (
    MAX_EXCERPT_LINE_CHARS,
    MAX_EXCERPT_LINES,
    first_nonblank_line,
    strip_escapes,
)

_MOST_SHOWN = 5


class _Record(msgspec.Struct):
    plan: int | None = None
    begun: str | None = None
    test: str | None = None
    outcome: Literal["passed", "failed", "error", "skipped"] | None = None
    message: str = ""
    detail: str = ""
    place: str = ""
    runs: int = 1
    failures: int = 0


def parse_json_lines(lines: Iterable[str]) -> ParsedReport:
    """The report of all records in `lines`; a record that is not understood makes it incomplete."""
    decoder = msgspec.json.Decoder(_Record)
    told: list[TestCase] = []
    running: dict[str, None] = {}
    plan: int | None = None
    fault = ""
    for line in lines:
        text = line.strip()
        if not text.startswith("{"):
            continue
        try:
            record = decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            fault = fault or (f"{error} in {first_nonblank_line(text)}" if '"outcome"' in text else "")
            continue
        plan = record.plan if record.plan is not None else plan
        if record.begun is not None:
            running[record.begun] = None
        elif record.test is not None and record.outcome is None:
            fault = fault or f"{first_nonblank_line(record.test)} has no outcome"
        elif record.test is not None:
            running.pop(record.test, None)
            told.append(_case(record.test, record))
    if plan is not None and len(told) > plan:
        fault = fault or f"{plan:,} tests were planned and {len(told):,} reported"
    return ParsedReport(
        merge_cases(told),
        running=", ".join(clean_test_name(each) for each in list(running)[:_MOST_SHOWN]),
        trouble=fault,
        is_complete=not fault,
        announced=plan,
        ended=len(told),
    )


def _case(node_id: str, record: _Record) -> TestCase:
    outcome = record.outcome or "error"
    detail = [line.rstrip()[:MAX_EXCERPT_LINE_CHARS] for line in strip_escapes(record.detail).split("\n")]
    bad = outcome in FAILED_OUTCOMES
    return TestCase(
        clean_test_name(node_id),
        outcome,
        first_nonblank_line(record.place) if bad else "",
        first_nonblank_line(record.message),
        "\n".join(detail[:MAX_EXCERPT_LINES]).strip("\n") if bad else "",
        runs=max(1, record.runs),
        failures=max(0, record.failures),
    )
