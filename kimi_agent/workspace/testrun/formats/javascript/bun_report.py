"""Parser of what `bun test` leaves: its JUnit report for the tests, its text for files that could not be loaded.

The text is never read for what passed, because tests print into it; the report has no word of a file that could not be
loaded, and none is written where the process ends early.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestOutcome
from kimi_agent.workspace.testrun.formats.javascript.javascript_cases import join_titles, make_failed_case
from kimi_agent.workspace.testrun.reports.cases import clean_test_name, merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper, strip_escapes
from kimi_agent.workspace.testrun.reports.report_file import stream_xml
from kimi_agent.workspace.testrun.runner import RunResult

_TEST = re.compile(r"^(?:\((?P<word>pass|fail|skip|todo)\)|(?P<mark>[✓✗»✎])) (?P<node>\S.*?)(?: \[[\d.]+m?s\])?$")
_WORDS: Mapping[str, TestOutcome] = {"pass": "passed", "✓": "passed", "fail": "failed", "✗": "failed"}
_FILE = re.compile(r"^(?P<path>\S.*\.[cm]?[jt]sx?):$")
_UNHANDLED_ERROR = "# Unhandled error between tests"
_RAN = re.compile(r"^Ran (?P<tests>\d+) tests? across \d+ files?\b")
_ERRORS = re.compile(r"^ *[1-9]\d* errors?$")
_COVERAGE = re.compile(r"^All files +\|[ \d.|]+$")
_NONE = ("No tests found", "The following filters did not match")
_OUTCOMES: Mapping[str, TestOutcome] = {"failure": "failed", "error": "error", "skipped": "skipped"}
_MOST_BLOCK, _MOST_TEXT = 60, 20_000


def read_bun_report(ran: RunResult) -> ParsedReport:
    """The report of `bun test`, held against the counts of its last lines."""
    text = _BunText(ran)
    for line in ran.lines:
        text.take(strip_escapes(line).rstrip())
    xml = _BunJUnit()
    trouble = stream_xml(ran.report_path, start=xml.start, end=xml.end, text=xml.characters)
    if trouble is None and text.says_none and not text.announced:
        return ParsedReport(stated_result="none")
    if trouble is None and text.announced is None:
        # It was killed, or a test ended the process: its lines say how far it came.
        return ParsedReport(merge_cases(text.cases), is_complete=False)
    outside = text.cases_outside_of_tests() if text.has_errors else []
    # Before 1.1.43 bun writes no report: what its lines say counts as far as their number is right.
    told = text.cases if trouble is None else [_case(found, text, ran) for found in xml.cases]
    cases = merge_cases([*told, *outside])
    unloaded = [case for case in cases if case.outcome == "error"]
    red = any(case.outcome in FAILED_OUTCOMES for case in cases)
    return ParsedReport(
        cases,
        fatal_error=unloaded[0].detail if unloaded and len(unloaded) == len(cases) else "",
        trouble=trouble or ("" if red or ran.exit_code == 0 else text.coverage),
        is_complete=text.announced is not None and not trouble,
        announced=text.announced,
        ended=len(told) + len(outside),
    )


@dataclass
class _BunCase:
    """One `testcase`: its file, the titles of its suites and its own, and how it went."""

    path: str
    titles: tuple[str, ...]
    outcome: TestOutcome = "passed"
    text: str = ""


@dataclass
class _BunJUnit:
    """Reader of bun's JUnit file: `classname` names the suites in reverse, the nested `testsuite`s in order."""

    cases: list[_BunCase] = field(default_factory=list)
    _suites: list[str] = field(default_factory=list)
    _open: _BunCase | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = attributes.get("name", "")
        if tag == "testsuite":
            self._suites.append(name)
        elif tag == "testcase":
            self._open = _BunCase(attributes.get("file", ""), (*self._suites[1:], name))
        elif self._open is not None and tag in _OUTCOMES:
            self._open.outcome = _OUTCOMES[tag]

    def characters(self, text: str) -> None:
        if self._open is not None and len(self._open.text) < _MOST_TEXT:
            self._open.text += text

    def end(self, tag: str) -> None:
        if tag == "testsuite" and self._suites:
            self._suites.pop()
        elif tag == "testcase" and self._open is not None:
            self.cases.append(self._open)
            self._open = None


class _BunText:
    """What is printed: a heading for each file, a line for each test, before it what went wrong in it."""

    def __init__(self, ran: RunResult) -> None:
        self.cases: list[TestCase] = []
        self.announced: int | None = None
        self.has_errors = self.says_none = False
        self.coverage = ""
        self._ran = ran
        self._spelled = make_path_mapper(ran.root, ran.folder.path)
        self._path = ""
        self._loose = False  # inside an error that belongs to no test
        self._block: list[str] = []
        self._failures: dict[str, str] = {}
        self._outside: list[TestCase] = []

    def take(self, line: str) -> None:
        """One printed line. The counts are those of the last summary: what looks like one before it is a test's own."""
        if heading := _FILE.match(line):
            self._path, self._block = self._spelled(heading["path"]) or heading["path"], []
        elif test := _TEST.match(line):
            self._end_test(_WORDS.get(test["word"] or test["mark"], "skipped"), clean_test_name(test["node"]))
        elif line == _UNHANDLED_ERROR:
            self._loose, self._block = True, []
        elif self._loose and line and set(line) == {"-"}:
            if self._block:
                self._outside.append(self._failed(self._path, "error"))
                self._loose, self._block = False, []
        else:
            self._take_closing_line(line)
            self._block = [*self._block[1 - _MOST_BLOCK :], line]

    def cases_outside_of_tests(self) -> list[TestCase]:
        """Files with an error that belongs to none of their tests, such as one that could not be loaded."""
        return self._outside or [TestCase("", "error", message="an error outside of the tests")]

    def failure_text(self, node_id: str) -> str:
        """What was printed before a failing test's line; "" where there is no such line."""
        return self._failures.get(node_id, "")

    def _take_closing_line(self, line: str) -> None:
        if found := _RAN.match(line):
            self.announced = int(found["tests"])
        elif _ERRORS.match(line):
            self.has_errors = True
        elif _COVERAGE.match(line):
            self.coverage = f"coverage: {first_nonblank_line(line)}"
        elif line.endswith(" pass") and line[:-5].strip().isdigit():
            self.has_errors = False  # a summary begins
        self.says_none = self.says_none or line.startswith(_NONE)

    def _end_test(self, outcome: TestOutcome, name: str) -> None:
        node_id = f"{self._path}::{name}"
        if outcome in FAILED_OUTCOMES:
            self._failures[node_id] = "\n".join(self._block)
            self.cases.append(self._failed(node_id, outcome))
        else:
            self.cases.append(TestCase(node_id, outcome))
        self._block = []

    def _failed(self, node_id: str, outcome: TestOutcome) -> TestCase:
        return make_failed_case(node_id, outcome, "\n".join(self._block), self._path, self._ran)


def _case(found: _BunCase, text: _BunText, ran: RunResult) -> TestCase:
    path = make_path_mapper(ran.root, ran.folder.path)(found.path) or found.path
    node_id = join_titles(path, found.titles)
    if found.outcome in FAILED_OUTCOMES:
        return make_failed_case(node_id, found.outcome, text.failure_text(node_id) or found.text, path, ran)
    return TestCase(node_id, found.outcome)
