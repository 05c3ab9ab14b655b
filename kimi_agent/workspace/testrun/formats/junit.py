"""JUnit XML parser: the test cases of a report, streamed and bounded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kimi_agent.log.views import FAILED_OUTCOMES
from kimi_agent.workspace.testrun.commands_and_reports import TestOutcome
from kimi_agent.workspace.testrun.reports.report_file import stream_xml

MAX_JUNIT_CASES, MAX_JUNIT_DETAILED, MAX_JUNIT_TEXT = 20_000, 1_000, 20_000
_OUTCOMES: Mapping[str, TestOutcome] = {"failure": "failed", "error": "error", "skipped": "skipped"}
# Surefire's elements for runs of a test before the last one (rerunFailingTestsCount), and nextest's (retries).
_FAILED_RUNS = ("flakyFailure", "flakyError", "rerunFailure", "rerunError")


@dataclass
class JUnitCase:
    """One `testcase` of the report, as written; `failed_runs` counts runs of it beside the one that is reported."""

    classname: str
    name: str
    file: str
    line: str
    outcome: TestOutcome = "passed"
    message: str = ""
    text: str = ""
    failed_runs: int = 0


@dataclass
class JUnitReport:
    """All cases that were kept, how many there were, and what was wrong with the file."""

    elements: list[JUnitCase] = field(default_factory=list)
    total: int = 0
    trouble: str = ""


def read_junit_report(path: Path) -> JUnitReport | None:
    """The report at `path`, None where there is none. What was read before a fault is kept, the fault in `trouble`."""
    reader = _Reader()
    trouble = stream_xml(path, start=reader.start, end=reader.end, text=reader.characters)
    if trouble is None:
        return None
    reader.report.trouble = trouble
    return reader.report


class _Reader:
    def __init__(self) -> None:
        self.report = JUnitReport()
        self._case: JUnitCase | None = None
        self._taking = False
        self._detailed = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "testcase":
            get = attributes.get
            self._case = JUnitCase(get("classname", ""), get("name", ""), get("file", ""), get("line", ""))
        elif self._case is not None and tag in _FAILED_RUNS:
            self._case.failed_runs += 1
        elif self._case is not None and tag in _OUTCOMES:
            # A test can fail and its teardown too: the first of them is the one to mend first.
            self._taking = self._case.outcome in ("passed", "skipped")
            if self._taking:
                self._case.outcome = _OUTCOMES[tag]
                self._case.message = attributes.get("message", "")[:MAX_JUNIT_TEXT]

    def characters(self, text: str) -> None:
        if self._taking and self._case is not None and len(self._case.text) < MAX_JUNIT_TEXT:
            self._case.text += text[: MAX_JUNIT_TEXT - len(self._case.text)]

    def end(self, tag: str) -> None:
        if tag in _OUTCOMES:
            self._taking = False
        elif tag == "testcase" and self._case is not None:
            case, self._case = self._case, None
            self.report.total += 1
            bad = case.outcome in FAILED_OUTCOMES
            self._detailed += bad
            if bad and self._detailed > MAX_JUNIT_DETAILED:
                case.text = ""
            # Failures are never left out: the verdict hangs on them.
            if bad or len(self.report.elements) < MAX_JUNIT_CASES:
                self.report.elements.append(case)
