"""What `bun test` prints.

Its JUnit report names nested suites in reverse and leaves out files that could not be loaded; its text does neither.
"""

import re
from collections.abc import Mapping

from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.reports.cases import BAD, merged, name_of
from kimi_agent.workspace.testrun.reports.failure_excerpt import clean, within
from kimi_agent.workspace.testrun.reports.node_reports import told
from kimi_agent.workspace.testrun.runner import Ran
from kimi_agent.workspace.testrun.values import Outcome, Reading

_TEST = re.compile(r"^(?:\((?P<word>pass|fail|skip|todo)\)|(?P<mark>[✓✗»✎])) (?P<node>\S.*?)(?: \[[\d.]+m?s\])?$")
_WORDS: Mapping[str, Outcome] = {"pass": "passed", "✓": "passed", "fail": "failed", "✗": "failed"}
_FILE = re.compile(r"^(?P<path>\S.*\.[cm]?[jt]sx?):$")
_LOOSE, _RAN = "# Unhandled error between tests", re.compile(r"^Ran \d+ tests? across \d+ files?\b")
_NONE = ("No tests found", "The following filters did not match")
_MOST_BLOCK = 60


def read_bun(ran: Ran) -> Reading:
    """A heading for each file, a line for each test, before it what went wrong in it."""
    text = _Text(ran)
    for line in ran.lines:
        text.take(clean(line).rstrip())
    cases = merged(text.cases)
    if text.none and not cases:
        return Reading(claim="none")
    unloaded = [case for case in cases if case.outcome == "error"]
    broken = unloaded[0].detail if unloaded and len(unloaded) == len(cases) else ""
    return Reading(cases, broken=broken, whole=text.done)


class _Text:
    def __init__(self, ran: Ran) -> None:
        self.cases: list[TestCase] = []
        self.done = False
        self.none = False
        self._ran = ran
        self._spelled = within(ran.root, ran.folder.path)
        self._path = ""
        self._loose = False  # inside an error that belongs to no test
        self._block: list[str] = []

    def take(self, line: str) -> None:
        if heading := _FILE.match(line):
            self._path, self._block = self._spelled(heading["path"]) or heading["path"], []
        elif test := _TEST.match(line):
            outcome = _WORDS.get(test["word"] or test["mark"], "skipped")
            node_id = f"{self._path}::{name_of(test['node'])}"
            self.cases.append(self._told(node_id, outcome) if outcome in BAD else TestCase(node_id, outcome))
            self._block = []
        elif line == _LOOSE:
            self._loose, self._block = True, []
        elif self._loose and line and set(line) == {"-"}:
            if self._block:
                self.cases.append(self._told(self._path, "error"))
                self._loose, self._block = False, []
        else:
            self.done = self.done or _RAN.match(line) is not None
            self.none = self.none or line.startswith(_NONE)
            self._block = [*self._block[1 - _MOST_BLOCK :], line]

    def _told(self, node_id: str, outcome: Outcome) -> TestCase:
        return told(node_id, outcome, "\n".join(self._block), self._path, self._ran)
