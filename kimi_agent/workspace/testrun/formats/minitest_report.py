"""Minitest report parser: the JSON lines of our plugin (`reports/injected_ruby_reporters.py`), one for each event."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestOutcome
from kimi_agent.workspace.testrun.reports.cases import (
    FrameMatcher,
    clean_test_name,
    excerpt_innermost_first,
    merge_cases,
)
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line
from kimi_agent.workspace.testrun.reports.report_file import ReportRejected, read_report_bytes

_OUTCOMES: dict[str, TestOutcome] = {".": "passed", "F": "failed", "E": "error", "S": "skipped"}


class _Failure(msgspec.Struct):
    message: str = ""
    at: str = ""
    backtrace: list[str] = msgspec.field(default_factory=list)


class _Event(msgspec.Struct):
    """`kind` is start, begin, end or done; `code` minitest's own letter for the outcome."""

    kind: str
    test: str = ""
    code: str = ""
    file: str | None = None
    failures: list[_Failure] = msgspec.field(default_factory=list)


def parse_minitest_report(path: Path, frame: FrameMatcher, spelled: Callable[[str], str]) -> ParsedReport | None:
    """The report at `path`, None where no minitest started. Rake may have started several, one after the other."""
    try:
        data = read_report_bytes(path)
    except ReportRejected as error:
        return ParsedReport(trouble=str(error), is_complete=False)
    if not data:
        return None
    try:
        events = [msgspec.json.decode(line, type=_Event) for line in data.split(b"\n")[:-1]]
    except (ValueError, RecursionError) as error:  # a DecodeError is a ValueError
        return ParsedReport(trouble=f"the report could not be read: {error}", is_complete=False)
    running = dict[str, None]()
    ended = 0
    for event in events:
        if event.kind == "begin":
            running.setdefault(event.test)
        elif event.kind == "end":
            running.pop(event.test, None)
            ended += 1
    cases = merge_cases(_cases(events, frame, spelled))
    starts = sum(event.kind == "start" for event in events)
    names = ", ".join(clean_test_name(test) for test in [*running][:5])
    return ParsedReport(
        cases,
        running=names,
        stated_result="" if ended else "none",
        is_complete=0 < starts == sum(event.kind == "done" for event in events),
        announced=ended + len(running),
        ended=ended,
    )


def _cases(events: list[_Event], frame: FrameMatcher, spelled: Callable[[str], str]) -> Iterator[TestCase]:
    for event in events:
        if event.kind != "end":
            continue
        file = spelled(event.file or "") or "."
        node_id = f"{file}::{clean_test_name(event.test)}"
        outcome = _OUTCOMES.get(event.code, "error")
        fault = event.failures[0] if event.failures else _Failure()
        if outcome in ("passed", "skipped"):
            yield TestCase(node_id, outcome, message=first_nonblank_line(fault.message))
            continue
        # minitest's own word for an assertion is the line that called it; of an exception it is where it was raised.
        place = frame(f"{fault.at}:in `x'") if outcome == "failed" else ""
        backtrace = [f"    {each}" for each in fault.backtrace] if outcome == "error" or not place else []
        shortened = excerpt_innermost_first("\n".join([fault.message.strip("\n"), *backtrace]), frame, file)
        yield TestCase(node_id, outcome, place or shortened.place, first_nonblank_line(fault.message), shortened.detail)
