"""Parsers of JavaScript test reports: jest's JSON (vitest writes the same), and the lines of our own reporters."""

import json
import re
from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestOutcome
from kimi_agent.workspace.testrun.reports.cases import excerpt_innermost_first, merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper, strip_escapes
from kimi_agent.workspace.testrun.reports.report_file import ReportRejected, read_report_bytes
from kimi_agent.workspace.testrun.runner import RunResult

TITLE_SEPARATOR = " > "  # between the titles of a test's suites and its own, as vitest shows them
_FRAME = re.compile(r"^\s+at (?:.*? \()?(?:file://)?(?P<path>[^()]+?):(?P<line>\d+):\d+\)?$")
_NONE = re.compile(r"^(?:Error: )?No test(?:s| files) found\b")
_LIVE = re.compile(r"^ *(?P<mark>[✓×✗↓□❯]) (?:\|[^|]+\| )?(?P<id>\S.*? > .+?)(?: \d+ms)?(?: \[.*\])?$")
_MARKS: Mapping[str, TestOutcome] = {"✓": "passed", "×": "failed", "✗": "failed", "↓": "skipped", "□": "skipped"}
_FILE = re.compile(r"^(?P<word>PASS|FAIL) +(?P<path>\S.*?)(?: \([\d.]+ m?s\))?$")
_HEADING = re.compile(r"^\s*● .*$", re.MULTILINE)  # jest's, above a file that could not be loaded
_ERROR_LINE = re.compile(r"\w*Error\b|error: ")
_STATUS: Mapping[str, TestOutcome] = {"passed": "passed", "failed": "failed"}
_OUTCOMES: Mapping[str, TestOutcome] = {"passed": "passed", "failed": "failed", "error": "error", "skipped": "skipped"}


def read_jest_json(ran: RunResult) -> ParsedReport:
    """The report of `jest --json` or of vitest's json reporter; that of a killed run is read from its lines."""
    spelled = make_path_mapper(ran.root, ran.folder.path)
    try:
        data = read_report_bytes(ran.report_path)
        report = json.loads(data) if data is not None else None
    except ReportRejected as error:
        return ParsedReport(trouble=str(error), is_complete=False)
    except (ValueError, RecursionError) as error:
        return ParsedReport(trouble=f"the report is not whole JSON: {error}", is_complete=False)
    if not isinstance(report, dict):
        if ran.exit_code is not None and _says_none(ran.lines):
            return ParsedReport(stated_result="none")
        return ParsedReport(_read_live_lines(ran.lines, spelled), is_complete=False)
    files = _items(report, "testResults")
    cases = merge_cases(case for each in files for case in _of_file(each, spelled, ran))
    broken = _error_of_unloaded([case for case in cases if TITLE_SEPARATOR not in case.id], len(cases))
    bad = any(case.outcome in FAILED_OUTCOMES for case in cases)
    failed = report.get("success") is False and not bad
    if not cases and (not failed or _says_none(ran.lines)):
        return ParsedReport(stated_result="none")
    return ParsedReport(cases, fatal_error=broken, stated_result="failed" if failed else "")


def read_reporter_lines(ran: RunResult) -> ParsedReport:
    """What our reporters for node and mocha wrote, a line for each test that began or ended."""
    spelled = make_path_mapper(ran.root, ran.folder.path)
    try:
        data = read_report_bytes(ran.report_path)
    except ReportRejected as error:
        return ParsedReport(trouble=str(error), is_complete=False)
    cases: list[TestCase] = []
    open_tests: dict[tuple[str, str], str] = {}
    done = False
    for line in _objects((data or b"").split(b"\n")):
        titles = _texts(line.get("titles"))
        path = spelled(_text(line.get("file"))) if line.get("file") else ""
        key = (path, titles[-1] if titles else "")
        match line.get("kind"):
            case "begin":
                open_tests[key] = _id(path, titles)
            case "over":
                open_tests.pop(key, None)
            case "end":
                open_tests.pop(key, None)
                if not (line.get("outcome") == "skipped" and _selected(ran)):
                    cases.append(_of_line(line, path, titles, ran))
            case "done":
                done = True
    if not done and ran.exit_code is not None and not cases and _says_none(ran.lines):
        return ParsedReport(stated_result="none")
    found = merge_cases(cases)
    broken = _error_of_unloaded(found, len(found))
    running = [each for (path, title), each in open_tests.items() if not title.endswith(path) or len(open_tests) == 1]
    return ParsedReport(found, fatal_error=broken, running=", ".join(running[:5]), is_complete=done)


def _error_of_unloaded(cases: Iterable[TestCase], count: int) -> str:
    """The first error where all of the `count` cases are files that could not be loaded, else ""."""
    unloaded = [case for case in cases if case.outcome == "error" and "::" not in case.id]
    return unloaded[0].detail or unloaded[0].message if unloaded and len(unloaded) == count else ""


def _of_file(found: Mapping[str, object], spelled: Callable[[str], str], ran: RunResult) -> Iterable[TestCase]:
    name = _text(found.get("name"))
    path = spelled(name) or name
    tests = _items(found, "assertionResults")
    if not tests and found.get("status") == "failed":
        yield make_failed_case(path, "error", _HEADING.sub("", strip_escapes(_text(found.get("message")))), path, ran)
    for test in tests:
        outcome = _STATUS.get(_text(test.get("status")), "skipped")
        # A run of some tests by name reports all others as skipped.
        if outcome == "skipped" and _selected(ran):
            continue
        node_id = _id(path, [*_texts(test.get("ancestorTitles")), _text(test.get("title"))])
        text = "\n".join(_texts(test.get("failureMessages")))
        failed = outcome in FAILED_OUTCOMES
        yield make_failed_case(node_id, outcome, text, path, ran) if failed else TestCase(node_id, outcome)


def _of_line(line: Mapping[str, object], path: str, titles: list[str], ran: RunResult) -> TestCase:
    outcome = _OUTCOMES.get(_text(line.get("outcome")), "error")
    message, stack = _text(line.get("message")), _text(line.get("stack"))
    if outcome not in FAILED_OUTCOMES:
        return TestCase(_id(path, titles), outcome, message=first_nonblank_line(message))
    case = make_failed_case(_id(path, titles), outcome, stack or message, path, ran)
    at = line.get("line")
    return case if case.place or not isinstance(at, int) or not path else replace(case, place=f"{path}:{at}")


def make_failed_case(node_id: str, outcome: TestOutcome, text: str, path: str, ran: RunResult) -> TestCase:
    """The case of a test that failed with `text`, a message and JavaScript's frames below it."""
    cut = excerpt_innermost_first(text, _frames(make_path_mapper(ran.root, ran.folder.path)), path)
    detail = cut.detail.replace("file://", "").replace(f"{ran.root}/", "")
    lines = [line.strip() for line in detail.split("\n") if line.strip()]
    # Of a file that could not be loaded, and of bun, the source comes first, the error later.
    at = next((number for number, line in enumerate(lines) if _ERROR_LINE.match(line)), 0)
    head = " ".join(lines[at : at + 2]) if lines and lines[at].endswith(":") else "".join(lines[at : at + 1])
    return TestCase(node_id, outcome, cut.place, first_nonblank_line(head), detail)


def _frames(spelled: Callable[[str], str]) -> Callable[[str], str | None]:
    def frame(line: str) -> str | None:
        found = _FRAME.match(line)
        if not found:
            return "" if line.startswith("    at ") else None
        inside = "" if found["path"].startswith("node:") else spelled(found["path"])
        return f"{inside}:{found['line']}" if inside else ""

    return frame


def _read_live_lines(lines: Iterable[str], spelled: Callable[[str], str]) -> tuple[TestCase, ...]:
    """vitest's verbose lines name tests, jest's name files only."""
    found: list[TestCase] = []
    for raw in lines:
        line = strip_escapes(raw).rstrip()
        if (live := _LIVE.match(line)) and live["mark"] in _MARKS:
            path, _, node = live["id"].partition(TITLE_SEPARATOR)
            found.append(TestCase(f"{spelled(path) or path}::{node}", _MARKS[live["mark"]]))
        elif file := _FILE.match(line):
            outcome: TestOutcome = "passed" if file["word"] == "PASS" else "failed"
            if spelled(file["path"]):
                found.append(TestCase(spelled(file["path"]), outcome))
    return merge_cases(found)


def _selected(ran: RunResult) -> bool:
    return bool(ran.selection.name) or any(target.node for target in ran.selection.targets)


def _says_none(lines: Iterable[str]) -> bool:
    return any(_NONE.match(strip_escapes(line).strip()) for line in lines)


def _id(path: str, titles: list[str]) -> str:
    node = TITLE_SEPARATOR.join(" ".join(strip_escapes(title).split()) for title in titles)
    return "::".join(part for part in (path, node) if part)


def _objects(lines: Iterable[bytes]) -> Iterable[Mapping[str, object]]:
    for line in lines:
        try:
            found = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


def _items(found: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    listed = found.get(key)
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _texts(found: object) -> list[str]:
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _text(found: object) -> str:
    return found if isinstance(found, str) else ""
