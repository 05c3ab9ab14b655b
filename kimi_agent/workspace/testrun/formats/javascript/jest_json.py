"""Parser of the JSON reports of jest and vitest, and of their text where they write none (a kill, jest's bail)."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestOutcome
from kimi_agent.workspace.testrun.formats.javascript.javascript_cases import (
    TITLE_SEPARATOR,
    as_count,
    as_objects,
    as_text,
    as_texts,
    error_of_unloaded,
    is_narrowed_by_name,
    join_titles,
    make_failed_case,
    retried_case,
)
from kimi_agent.workspace.testrun.reports.cases import merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper, strip_escapes
from kimi_agent.workspace.testrun.reports.report_file import ReportRejected, read_report_bytes
from kimi_agent.workspace.testrun.runner import RunResult

_NONE = re.compile(r"^(?:Error: )?No test(?:s| files) found\b")
_LIVE = re.compile(r"^ *(?P<mark>[✓×✗↓□❯]) (?:\|[^|]+\| )?(?P<id>\S.*? > .+?)(?: \d+ms)?(?: \[.*\])?$")
_MARKS: Mapping[str, TestOutcome] = {"✓": "passed", "×": "failed", "✗": "failed", "↓": "skipped", "□": "skipped"}
_FILE = re.compile(r"^(?P<word>PASS|FAIL) +(?:[\w@-]+ +)?(?P<path>\S.*?)(?: \([\d.]+ m?s\))?$")
_STATUS: Mapping[str, TestOutcome] = {"passed": "passed", "failed": "failed"}
_SUITE_HEADING = re.compile(r"^\s*● (?P<title>.*)$", re.MULTILINE)  # jest's, above each failure of a file
_JEST_FAILED = re.compile(r"^Tests: +(?P<failed>\d+) failed\b.*", re.MULTILINE)
_JEST_SEPARATOR = " › "
# vitest 3 and 4: what follows the heading of an error outside of tests, up to the next rule.
_ERROR_HEADING = re.compile(
    r"^⎯+ (?:Unhandled (?:Rejection|Error)|Uncaught Exception|Startup Error|Unhandled Source Error) ⎯+$"
)
_FAILED_SUITE = re.compile(r"^ *FAIL +(?P<path>\S+)(?: > .+| \[ .+ \])?$")
_RULE = re.compile(r"^⎯+(?:\[\d+/\d+\]⎯)?$")
_LAST_WORDS = re.compile(r"^(?:Jest: .*|ERROR: Coverage for .*|Vitest caught .*|.*coverage threshold.*not met.*)$")
_MOST_BLOCK = 60


def read_jest_json(ran: RunResult) -> ParsedReport:
    """The report of `jest --json` or of vitest's json reporter; without one, what the text says of failures."""
    try:
        data = read_report_bytes(ran.report_path)
        report = json.loads(data) if data is not None else None
    except ReportRejected as error:
        return ParsedReport(trouble=str(error), is_complete=False)
    except (ValueError, RecursionError) as error:
        return ParsedReport(trouble=f"the report is not whole JSON: {error}", is_complete=False)
    if not isinstance(report, dict):
        return _read_without_report(ran)
    files = as_objects(report, "testResults")
    cases = merge_cases(case for each in _numbered(files) for case in _cases_of_file(*each, ran))
    bad = any(case.outcome in FAILED_OUTCOMES for case in cases)
    if not cases and (report.get("success") is not False or _says_none(ran.lines)):
        return ParsedReport(stated_result="none")
    return ParsedReport(
        cases,
        fatal_error=error_of_unloaded([case for case in cases if TITLE_SEPARATOR not in case.id], len(cases)),
        stated_result="failed" if report.get("success") is False and not cases else "",
        trouble="" if bad or ran.exit_code == 0 else _last_words(ran.lines),
        is_complete=report.get("wasInterrupted") is not True,
        announced=as_count(report.get("numTotalTests")),
        ended=sum(len(as_objects(each, "assertionResults")) for each in files),
    )


def _numbered(files: list[Mapping[str, object]]) -> Iterator[tuple[Mapping[str, object], str]]:
    """The files, with what tells one from its earlier runs: each of several projects runs it, and none is named."""
    seen: Counter[str] = Counter()
    for each in files:
        name = as_text(each.get("name"))
        seen[name] += 1
        yield each, f" (project {seen[name]})" if seen[name] > 1 else ""


def _cases_of_file(found: Mapping[str, object], project: str, ran: RunResult) -> Iterable[TestCase]:
    name = as_text(found.get("name"))
    path = make_path_mapper(ran.root, ran.folder.path)(name) or name
    tests = as_objects(found, "assertionResults")
    cases = [_case(test, path, project, ran) for test in tests]
    if found.get("status") == "failed" and not any(case.outcome in FAILED_OUTCOMES for case in cases):
        # It could not be loaded, or one of its hooks failed.
        text = _SUITE_HEADING.sub("", strip_escapes(as_text(found.get("message"))))
        text = text if text.strip() else _suite_block(ran.lines, name, ran)
        yield make_failed_case(path + project, "error", text, path, ran)
    for case in cases:
        if case.outcome != "skipped" or not is_narrowed_by_name(ran):
            yield case


def _case(test: Mapping[str, object], path: str, project: str, ran: RunResult) -> TestCase:
    outcome = _STATUS.get(as_text(test.get("status")), "skipped")
    node_id = join_titles(path, [*as_texts(test.get("ancestorTitles")), as_text(test.get("title"))]) + project
    messages = as_texts(test.get("failureMessages"))
    if outcome in FAILED_OUTCOMES:
        return make_failed_case(node_id, outcome, "\n".join(messages), path, ran)
    # vitest keeps the messages of the attempts that failed, jest 30 counts the attempts.
    failures = max(len(messages), (as_count(test.get("invocations")) or 1) - 1) if outcome == "passed" else 0
    return retried_case(node_id, failures, "".join(messages[:1])) if failures else TestCase(node_id, outcome)


def _read_without_report(ran: RunResult) -> ParsedReport:
    if ran.exit_code is not None and _says_none(ran.lines):
        return ParsedReport(stated_result="none")
    text = "\n".join(strip_escapes(line).rstrip() for line in ran.lines)
    summary = _JEST_FAILED.findall(text)
    if summary and ran.exit_code == 1 and (cases := tuple(_failures_in_text(text, ran))):
        # With `bail` jest 30 ends by itself, before it writes its JSON: what it says of failures is all there is.
        return ParsedReport(cases, stated_result="failed", trouble="jest stopped early (bail), and wrote no report")
    spelled = make_path_mapper(ran.root, ran.folder.path)
    return ParsedReport(_read_live_lines(text.split("\n"), spelled), is_complete=False)


def _failures_in_text(text: str, ran: RunResult) -> Iterator[TestCase]:
    """The failing tests that jest's text names, below the line of their file."""
    spelled = make_path_mapper(ran.root, ran.folder.path)
    path, title, block = "", "", list[str]()
    seen: set[str] = set()
    for line in [*text.split("\n"), "PASS end"]:
        file, heading = _FILE.match(line), _SUITE_HEADING.match(line)
        if title and (file or heading or len(block) == _MOST_BLOCK or line.startswith("Test Suites: ")):
            whole = title == "Test suite failed to run"
            node_id = path if whole else join_titles(path, title.split(_JEST_SEPARATOR))
            if node_id not in seen:
                seen.add(node_id)
                yield make_failed_case(node_id, "error" if whole else "failed", "\n".join(block), path, ran)
            title, block = "", []
        if file:
            path = spelled(file["path"]) if file["word"] == "FAIL" else ""
        elif heading and path:
            title = heading["title"].strip()
        elif title:
            block.append(line)


def _suite_block(lines: Iterable[str], name: str, ran: RunResult) -> str:
    """What vitest's text says of a hook that failed in the file `name`; its JSON says nothing."""
    spelled = make_path_mapper(ran.root, ran.folder.path)
    texts = (strip_escapes(line).rstrip() for line in lines)
    for line in texts:
        if (found := _FAILED_SUITE.match(line)) and spelled(found["path"]) == spelled(name):
            block = itertools.takewhile(lambda each: not _RULE.match(each), texts)
            return "\n".join(itertools.islice(block, _MOST_BLOCK)).replace("❯", "    at")
    return ""


def _last_words(lines: Iterable[str]) -> str:
    """Why a run without a failing test failed, in the runner's own words: a limit, an error outside of tests."""
    found: list[str] = []
    heading = False
    for raw in lines:
        line = strip_escapes(raw).strip()
        if _ERROR_HEADING.match(line):
            heading = True
        elif line and (heading or _LAST_WORDS.match(line)):
            found.append(first_nonblank_line(line))
            heading = False
    return "; ".join(dict.fromkeys(found[-3:]))


def _read_live_lines(lines: Iterable[str], spelled: Callable[[str], str]) -> tuple[TestCase, ...]:
    """vitest's verbose lines name tests, jest's name files only."""
    found: list[TestCase] = []
    for line in lines:
        if (live := _LIVE.match(line)) and live["mark"] in _MARKS:
            path, _, node = live["id"].partition(TITLE_SEPARATOR)
            found.append(TestCase(f"{spelled(path) or path}::{node}", _MARKS[live["mark"]]))
        elif file := _FILE.match(line):
            outcome: TestOutcome = "passed" if file["word"] == "PASS" else "failed"
            if spelled(file["path"]):
                found.append(TestCase(spelled(file["path"]), outcome))
    return merge_cases(found)


def _says_none(lines: Iterable[str]) -> bool:
    return any(_NONE.match(strip_escapes(line).strip()) for line in lines)
