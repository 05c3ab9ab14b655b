"""TRX report parser (`dotnet test`): streamed and bounded; document types are rejected."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kimi_agent.log.views import FAILED_OUTCOMES
from kimi_agent.workspace.testrun.commands_and_reports import TestOutcome
from kimi_agent.workspace.testrun.reports.cases import MAX_CASES
from kimi_agent.workspace.testrun.reports.report_file import stream_xml

_MOST_DETAILED, _MOST_TEXT = 1_000, 20_000
# The words of the schema; what ends in none of them did not come to an end.
_OUTCOMES: Mapping[str, TestOutcome] = {
    "Passed": "passed",
    "PassedButRunAborted": "passed",
    "Completed": "passed",
    "Warning": "passed",
    "Failed": "failed",
    "NotExecuted": "skipped",
    "Inconclusive": "skipped",
    "NotRunnable": "skipped",
    "Pending": "skipped",
}


@dataclass
class TrxResult:
    """One `UnitTestResult`; `classname` is "" where the definitions do not name one."""

    test: str
    name: str
    outcome: TestOutcome
    classname: str = ""
    message: str = ""
    stack: str = ""


@dataclass
class TrxReport:
    """What was kept of a report; `errors` is what went wrong outside of tests, `counted` its own count of tests."""

    results: list[TrxResult] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    trouble: str = ""
    counted: int = 0


def read_trx_report(path: Path) -> TrxReport | None:
    """The report at `path`, None where there is none. What was read before a fault is kept, the fault in `trouble`."""
    reader = _Reader()
    trouble = stream_xml(path, start=reader.start, end=reader.end, text=reader.text)
    if trouble is None:
        return None
    reader.trx.trouble = trouble
    for result in reader.trx.results:
        result.classname, method = reader.methods.get(result.test, ("", ""))
        result.name = result.name or method
    return reader.trx


class _Reader:
    def __init__(self) -> None:
        self.trx = TrxReport()
        self.methods: dict[str, tuple[str, str]] = {}
        self._test = ""
        self._result: TrxResult | None = None
        self._detailed = 0
        self._path: list[str] = []
        self._run_error = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        self._path = [*self._path[-8:], tag]
        get = attributes.get
        match tag:
            case "UnitTestResult":
                # A test with many rows of data is a result with results in it: only the inner ones count.
                outcome = _OUTCOMES.get(get("outcome", "Passed"), "error")
                self._result = TrxResult(get("testId", ""), get("testName", ""), outcome)
            case "UnitTest":
                self._test = get("id", "")
            case "TestMethod" if len(self.methods) < MAX_CASES:
                # Older adapters write the assembly after a comma.
                self.methods[self._test] = (get("className", "").partition(",")[0].strip(), get("name", ""))
            case "Counters":
                total = get("total", "")
                self.trx.counted += int(total) if total.isdecimal() else 0
            case "RunInfo":
                self._run_error = get("outcome", "") in ("Error", "Failed") and len(self.trx.errors) < 20
                if self._run_error:
                    self.trx.errors.append("")

    def text(self, text: str) -> None:
        inner = self._path[-2:]
        if self._result is not None and inner == ["ErrorInfo", "Message"]:
            self._result.message = (self._result.message + text)[:_MOST_TEXT]
        elif self._result is not None and inner == ["ErrorInfo", "StackTrace"]:
            self._result.stack = (self._result.stack + text)[:_MOST_TEXT]
        elif self._run_error and inner == ["RunInfo", "Text"]:
            self.trx.errors[-1] = (self.trx.errors[-1] + text)[:_MOST_TEXT]

    def end(self, tag: str) -> None:
        tag = tag.rpartition(":")[2]
        if self._path:
            self._path.pop()
        if tag == "UnitTestResult":
            self._close()
        elif tag == "RunInfo":
            self._run_error = False

    def _close(self) -> None:
        result, self._result = self._result, None
        if result is None:
            return
        bad = result.outcome in FAILED_OUTCOMES
        self._detailed += bad
        if self._detailed > _MOST_DETAILED:
            result.stack = ""
        if bad or len(self.trx.results) < MAX_CASES:
            self.trx.results.append(result)
