"""JUnit XML parser: the test cases of a report, streamed and bounded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kimi_agent.log.views import FAILED_OUTCOMES
from kimi_agent.workspace.testrun.commands_and_reports import TestOutcome
from kimi_agent.workspace.testrun.reports.report_file import stream_xml

MAX_JUNIT_CASES, MAX_JUNIT_DETAILED, MAX_JUNIT_TEXT = 20_000, 1_000, 20_000
_OUTCOMES: Mapping[str, TestOutcome] = {"failure": "failed", "error": "error", "skipped": "skipped"}
# Attempts that failed before the outcome (Maven's surefire and Gradle write these elements).
_FAILED_ATTEMPTS = {"rerunFailure", "rerunError", "flakyFailure", "flakyError"}
_SUITES = {"testsuite", "testsuites"}
_DEEPEST_SUITE = 200


@dataclass
class JUnitCase:
    """One `testcase` of the report, as written. `suite` and `suite_file` are its suite's `name` and `file`.

    `failed_attempts` counts the attempts at it that failed and were made again (`flakyFailure`, `rerunFailure`).
    """

    classname: str
    name: str
    file: str
    line: str
    outcome: TestOutcome = "passed"
    message: str = ""
    text: str = ""
    suite: str = ""
    suite_file: str = ""
    failed_attempts: int = 0


@dataclass
class JUnitReport:
    """All cases that were kept, how many there were, and what was wrong with the file.

    `missing` is how many tests its suites count (`tests`) beyond those that it holds, `counted_bad` how many failures
    and errors they count; `suite_failures` are failures that stand in a suite and in none of its cases. `counted` is
    what the `tests` of all suites add up to (where none stands in another), None where none says it.
    """

    elements: list[JUnitCase] = field(default_factory=list)
    total: int = 0
    trouble: str = ""
    missing: int = 0
    counted_bad: int = 0
    counted: int | None = None
    suite_failures: list[JUnitCase] = field(default_factory=list)


def read_junit_report(path: Path) -> JUnitReport | None:
    """The report at `path`, None where there is none. What was read before a fault is kept, the fault in `trouble`."""
    reader = _Reader()
    trouble = stream_xml(path, start=reader.start, end=reader.end, text=reader.characters)
    if trouble is None:
        return None
    reader.report.trouble = trouble
    return reader.report


@dataclass
class _Suite:
    """A suite that is being read: what it says of itself, and what was read in it and in the suites below."""

    name: str = ""
    file: str = ""
    tests: int = 0
    bad: int = 0
    told: int = 0
    missing: int = 0
    bad_below: int = 0


class _Reader:
    def __init__(self) -> None:
        self.report = JUnitReport()
        self._case: JUnitCase | None = None
        self._taking = False
        self._detailed = 0
        self._suites = [_Suite()]

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        get = attributes.get
        if tag in _SUITES and self._case is None and len(self._suites) < _DEEPEST_SUITE:
            bad = _number(get("failures", "")) + _number(get("errors", ""))
            if tag == "testsuite" and "tests" in attributes:
                self.report.counted = (self.report.counted or 0) + _number(attributes["tests"])
            self._suites.append(_Suite(get("name", ""), get("file", ""), _number(get("tests", "")), bad))
        elif tag == "testcase":
            self._case = JUnitCase(get("classname", ""), get("name", ""), get("file", ""), get("line", ""))
            self._case.suite, self._case.suite_file = self._suites[-1].name, self._suites[-1].file
        elif tag in _FAILED_ATTEMPTS and self._case is not None:
            self._case.failed_attempts += 1
        elif tag in ("failure", "error") and self._case is None and len(self._suites) > 1:
            # It gets its text as a case does; it ends with its own tag.
            self._case = JUnitCase("", "", "", "", suite=self._suites[-1].name, suite_file=self._suites[-1].file)
            self._take(tag, attributes)
            self.report.suite_failures.append(self._case)
            self._case = None if len(self.report.suite_failures) > MAX_JUNIT_DETAILED else self._case
        elif self._case is not None and tag in _OUTCOMES:
            # A test can fail and its teardown too: the first of them is the one to mend first.
            self._taking = self._case.outcome in ("passed", "skipped")
            if self._taking:
                self._take(tag, attributes)

    def _take(self, tag: str, attributes: dict[str, str]) -> None:
        if self._case is not None:
            self._taking = True
            self._case.outcome = _OUTCOMES[tag]
            self._case.message = attributes.get("message", "")[:MAX_JUNIT_TEXT]

    def characters(self, text: str) -> None:
        if self._taking and self._case is not None and len(self._case.text) < MAX_JUNIT_TEXT:
            self._case.text += text[: MAX_JUNIT_TEXT - len(self._case.text)]

    def end(self, tag: str) -> None:
        if tag in _OUTCOMES:
            self._taking = False
            if self.report.suite_failures and self._case is self.report.suite_failures[-1]:
                self._case = None
        elif tag == "testcase" and self._case is not None:
            case, self._case = self._case, None
            self._suites[-1].told += 1
            self.report.total += 1
            bad = case.outcome in FAILED_OUTCOMES
            self._detailed += bad
            if bad and self._detailed > MAX_JUNIT_DETAILED:
                case.text = ""
            # Failures are never left out: the verdict hangs on them.
            if bad or len(self.report.elements) < MAX_JUNIT_CASES:
                self.report.elements.append(case)
        elif tag in _SUITES and self._case is None and len(self._suites) > 1:
            self._close_suite()

    def _close_suite(self) -> None:
        suite = self._suites.pop()
        above = self._suites[-1]
        # A suite counts its own cases, and by some runners those of the suites in it too.
        above.missing += max(suite.missing, suite.tests - suite.told)
        above.told += suite.told
        above.bad_below += max(suite.bad, suite.bad_below)
        self.report.missing, self.report.counted_bad = above.missing, above.bad_below


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
