"""Parser of the text that `bun test` prints.

Bun's JUnit report names nested suites in reverse and leaves out files that could not be loaded;
its text does neither.
"""

import re
from collections.abc import Mapping

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestOutcome
from kimi_agent.workspace.testrun.formats.js_reports import make_failed_case
from kimi_agent.workspace.testrun.reports.cases import clean_test_name, merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import make_path_mapper, strip_escapes
from kimi_agent.workspace.testrun.runner import RunResult

_TEST = re.compile(r"^(?:\((?P<word>pass|fail|skip|todo)\)|(?P<mark>[✓✗»✎])) (?P<node>\S.*?)(?: \[[\d.]+m?s\])?$")
_WORDS: Mapping[str, TestOutcome] = {"pass": "passed", "✓": "passed", "fail": "failed", "✗": "failed"}
_FILE = re.compile(r"^(?P<path>\S.*\.[cm]?[jt]sx?):$")
_UNHANDLED_ERROR, _RAN = "# Unhandled error between tests", re.compile(r"^Ran \d+ tests? across \d+ files?\b")
_NONE = ("No tests found", "The following filters did not match")
_MOST_BLOCK = 60


def read_bun_output(ran: RunResult) -> ParsedReport:
    """A heading for each file, a line for each test, before it what went wrong in it."""
    text = _BunOutput(ran)
    for line in ran.lines:
        text.take(strip_escapes(line).rstrip())
    cases = merge_cases(text.cases)
    if text.none and not cases:
        return ParsedReport(stated_result="none")
    unloaded = [case for case in cases if case.outcome == "error"]
    broken = unloaded[0].detail if unloaded and len(unloaded) == len(cases) else ""
    return ParsedReport(cases, fatal_error=broken, is_complete=text.done)


class _BunOutput:
    def __init__(self, ran: RunResult) -> None:
        self.cases: list[TestCase] = []
        self.done = False
        self.none = False
        self._ran = ran
        self._spelled = make_path_mapper(ran.root, ran.folder.path)
        self._path = ""
        self._loose = False  # inside an error that belongs to no test
        self._block: list[str] = []

    def take(self, line: str) -> None:
        if heading := _FILE.match(line):
            self._path, self._block = self._spelled(heading["path"]) or heading["path"], []
        elif test := _TEST.match(line):
            outcome = _WORDS.get(test["word"] or test["mark"], "skipped")
            node_id = f"{self._path}::{clean_test_name(test['node'])}"
            failed = outcome in FAILED_OUTCOMES
            self.cases.append(self._failed(node_id, outcome) if failed else TestCase(node_id, outcome))
            self._block = []
        elif line == _UNHANDLED_ERROR:
            self._loose, self._block = True, []
        elif self._loose and line and set(line) == {"-"}:
            if self._block:
                self.cases.append(self._failed(self._path, "error"))
                self._loose, self._block = False, []
        else:
            self.done = self.done or _RAN.match(line) is not None
            self.none = self.none or line.startswith(_NONE)
            self._block = [*self._block[1 - _MOST_BLOCK :], line]

    def _failed(self, node_id: str, outcome: TestOutcome) -> TestCase:
        return make_failed_case(node_id, outcome, "\n".join(self._block), self._path, self._ran)
