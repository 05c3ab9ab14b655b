"""ExUnit report parser: the JSON lines of our formatter (`reports/injected_exunit_formatter.py`)."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestOutcome
from kimi_agent.workspace.testrun.reports.cases import clean_test_name, excerpt_innermost_first, merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line
from kimi_agent.workspace.testrun.reports.report_file import ReportRejected, read_report_bytes

_FRAME = re.compile(r"\s*(?:\([\w.]+ \S+\) )?(?P<path>[^\s:()]+\.exs?):(?P<line>\d+): .*")


class _Event(msgspec.Struct):
    """`kind` is start, begin, end or done.

    A start says whether the command chose some of the tests (`narrowed`), and in which `folder` traces begin.
    """

    kind: str
    narrowed: str = ""
    folder: str = ""
    outcome: str = ""
    text: str = ""
    file: str = ""
    line: str = ""
    name: str = ""
    module: str = ""


def parse_exunit_report(path: Path, spelled: Callable[[str], str]) -> ParsedReport | None:
    """The report at `path`, None where ExUnit never started; each project of an umbrella starts it once.

    A test that a tag of the project's own excludes is a skipped one.
    """
    try:
        data = read_report_bytes(path)
        events = [msgspec.json.decode(line, type=_Event) for line in (data or b"").split(b"\n")[:-1]]
    except (ReportRejected, ValueError, RecursionError) as error:
        return ParsedReport(trouble=f"the report could not be read: {error}", is_complete=False)
    if not data:
        return None
    narrowed = any(event.narrowed for event in events)
    told = [(folder, event) for folder, event in _ended(events) if not (narrowed and event.outcome == "excluded")]
    over = {_key(event) for event in events if event.kind == "end"}
    running = [event for event in events if event.kind == "begin" and _key(event) not in over]
    starts = sum(event.kind == "start" for event in events)
    return ParsedReport(
        merge_cases(_cases(told, spelled)),
        running=", ".join(_id(event, spelled) for event in running[:5]),
        stated_result="" if told else "none",
        is_complete=0 < starts == sum(event.kind == "done" for event in events),
        announced=len(told) + len(running),
        ended=len(told),
    )


def _key(event: _Event) -> tuple[str, str]:
    return event.module, event.name


def _id(event: _Event, spelled: Callable[[str], str]) -> str:
    return f"{spelled(event.file) or '.'}::{clean_test_name(event.name)}"


def _ended(events: Sequence[_Event]) -> Iterator[tuple[str, _Event]]:
    """The tests that ended, each with the folder of its project."""
    folder = ""
    for event in events:
        if event.kind == "start":
            folder = event.folder
        elif event.kind == "end":
            yield folder, event


def _cases(events: Sequence[tuple[str, _Event]], spelled: Callable[[str], str]) -> Iterator[TestCase]:
    outcomes: dict[str, TestOutcome] = {"passed": "passed", "skipped": "skipped", "excluded": "skipped"}
    for folder, event in events:
        if outcome := outcomes.get(event.outcome):
            yield TestCase(_id(event, spelled), outcome, message=first_nonblank_line(event.text))
        else:
            yield _failed(event, folder, spelled)


def _failed(event: _Event, folder: str, spelled: Callable[[str], str]) -> TestCase:
    def frame(line: str) -> str | None:
        at = _FRAME.fullmatch(line)
        if at is None:
            return "" if line.strip() == "stacktrace:" else None
        place = spelled(f"{folder}/{at['path']}")
        return f"{place}:{at['line']}" if place and not place.startswith("deps/") else ""

    file = spelled(event.file)
    # The first line names the test once more, the second says where it stands.
    body = [line[5:] if line.startswith("     ") else line for line in event.text.split("\n")[1:]]
    body = body[1:] if body and re.fullmatch(r"\S+:\d+", body[0]) else body
    shortened = excerpt_innermost_first("\n".join(body), frame, file)
    message = next((line for line in body if line.strip()), event.text)
    # An exception is shown with its name in brackets; an assertion is not.
    outcome: TestOutcome = "error" if message.startswith("** (") or event.outcome == "error" else "failed"
    place = shortened.place or (f"{file}:{event.line}" if file else "")
    return TestCase(_id(event, spelled), outcome, place, first_nonblank_line(message), shortened.detail)
