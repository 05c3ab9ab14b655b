"""Minitest text parser: what test-unit prints, and minitest where our plugin is not loaded, when they are verbose."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestOutcome
from kimi_agent.workspace.testrun.reports.cases import (
    MAX_CASES,
    FrameMatcher,
    clean_test_name,
    excerpt_innermost_first,
    merge_cases,
)
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, strip_escapes

_LETTERS: dict[str, TestOutcome] = {
    ".": "passed",
    "N": "passed",
    "F": "failed",
    "E": "error",
    "S": "skipped",
    "O": "skipped",
    "P": "skipped",
}
_MOST_BLOCK = 200
# minitest: "CalcTest#test_add = 0.00 s = F", where what the test prints may stand in between
_TEST = re.compile(r"^(?P<test>\S[^=]*?#\S.*?) = (?:.*?\b[\d.]+ s = (?P<letter>[.FES])$)?")
_LETTER = re.compile(r"(?:^|.*?)\b[\d.]+ s = (?P<letter>[.FES])$")
_BLOCK = re.compile(r"^\s*(?:\d+\) )?(?:Failure|Error|Skipped):$")
_BLOCK_OF = re.compile(r"^(?P<test>\S.*?#.*?)(?: \[(?P<place>.+)\])?:$")
# test-unit: indented groups, "  test_add:\t\tF", and blocks between thick rules
_GROUP = re.compile(r"^(?P<indent> *)(?P<name>[^\s=\[][^\t]*):$")
_UNIT_TEST = re.compile(r"^(?P<indent> +)(?P<name>\S[^\t]*):\t+(?P<rest>.*)$")
_UNIT_LETTER = re.compile(r"(?:^|.*?)(?P<letter>[.FEOPN]): \([\d.]+\)$")
_UNIT_BLOCK = re.compile(
    r"^(?:Failure|Error|Omission|Pending|Notification): "
    r"(?:(?P<why>.*) \[.+\(.+\)\]|[^(]+\([^)]*\)(?:: (?P<says>.*))?|.*)$"
)
_THICK = "=" * 60
_SUMMARY = re.compile(
    r"^(?P<ran>\d+) (?:runs|tests), \d+ assertions, (?P<failures>\d+) failures, (?P<errors>\d+) errors"
)
_SOURCE_LINE = re.compile(r"^\s*(?:=>)?\s*\d+: ")


@dataclass
class _MinitestResult:
    test: str
    outcome: TestOutcome | None = None
    place: str = ""
    block: list[str] = field(default_factory=list)


class MinitestOutput:
    """The verbose output, taken line by line. `pending` is the test that was announced and not yet judged."""

    def __init__(self) -> None:
        self.found: dict[str, _MinitestResult] = {}
        self.ran: int | None = None
        self.bad = 0
        self.pending = ""
        self._block: list[str] | None = None
        self._opening = False
        self._groups: list[tuple[int, str]] = []
        self._unit = False

    def take(self, line: str) -> None:
        if (summary := _SUMMARY.match(line)) and not self._is_open():
            self.ran = int(summary["ran"]) + (self.ran or 0)  # rake can run several suites
            self.bad += int(summary["failures"]) + int(summary["errors"])
            self._block, self.pending = None, ""
        elif self._opening:
            self._opening = False
            self._open(line)
        elif _BLOCK.match(line):
            self._opening = True
        elif line.startswith(_THICK):
            self._unit = not self._unit
            self._block = self.found[self.pending].block if self._unit and self.pending in self.found else None
        elif self._unit:
            self._keep(line)
        elif (test := _TEST.match(line)) and not line.startswith((" ", "\t")):
            self._announce(clean_test_name(test["test"]), test["letter"] or "")
        elif unit := _UNIT_TEST.match(line):
            self._in_group(unit)
        elif group := _GROUP.match(line):
            self._enter(len(group["indent"]), group["name"])
            self._keep(line)
        elif self.pending and (letter := _LETTER.match(line) or _UNIT_LETTER.match(line)):
            self._judge(letter["letter"])
        elif self.pending and line.startswith(": (") and self.found[self.pending].outcome:
            self.pending = ""
        else:
            self._keep(line)

    def _is_open(self) -> bool:
        """Whether a test was announced and not judged: what follows is what it prints."""
        return bool(self.pending) and self.found[self.pending].outcome is None

    def _announce(self, test: str, letter: str) -> None:
        self._block = None
        if len(self.found) < MAX_CASES or letter in ("F", "E"):
            self.found.setdefault(test, _MinitestResult(test))
            self.pending = test
            if letter:
                self._judge(letter)

    def _judge(self, letter: str) -> None:
        self.found[self.pending].outcome = _LETTERS[letter]
        self.pending = ""

    def _open(self, line: str) -> None:
        self._block = None
        if (head := _BLOCK_OF.match(line)) and (found := self.found.get(clean_test_name(head["test"]))):
            self._block = found.block
            found.place = head["place"] or ""

    def _keep(self, line: str) -> None:
        if self._block is not None and len(self._block) < _MOST_BLOCK:
            self._block.append(line)

    def _enter(self, indent: int, name: str) -> None:
        self._groups = [*((at, each) for at, each in self._groups if at < indent), (indent, name)]

    def _in_group(self, test: re.Match[str]) -> None:
        indent = len(test["indent"])
        groups = "::".join(name for at, name in self._groups if at < indent)
        rest = test["rest"]
        self._announce(clean_test_name(f"{groups}#{test['name']}"), "")
        if rest and rest[0] in _LETTERS and (len(rest) == 1 or rest[1:].startswith(": (")) and self.pending:
            found = self.pending
            self._judge(rest[0])
            # The block of a failure follows its letter.
            self.pending = found if len(rest) == 1 else ""


def parse_minitest_output(lines: Iterable[str], *, frame: FrameMatcher, file_of: Callable[[str], str]) -> ParsedReport:
    """The report of a run; `file_of` gives the file (or folder) that a test's name begins with in its id."""
    text = MinitestOutput()
    for line in lines:
        text.take(strip_escapes(line).rstrip())
    judged = [found for found in text.found.values() if found.outcome is not None]
    cases = merge_cases(_case(found, frame, file_of) for found in judged)
    running = f"{file_of(text.pending)}::{text.pending}" if text.pending and text.ran is None else ""
    if text.ran is None:
        return ParsedReport(cases, running=running, is_complete=False)
    if not text.ran:
        return ParsedReport(stated_result="none")
    bad = sum(case.outcome in FAILED_OUTCOMES for case in cases)
    if not cases or (text.ran > len(judged) and not text.bad):
        # It is not verbose, or its tests ran beside each other and wrote into each other's lines.
        return ParsedReport(stated_result="failed" if text.bad else "passed", by_exit_code=True)
    return ParsedReport(cases, stated_result="failed" if text.bad > bad else "", announced=text.ran, ended=len(judged))


def _case(found: _MinitestResult, frame: FrameMatcher, file_of: Callable[[str], str]) -> TestCase:
    outcome = found.outcome or "passed"
    file = file_of(found.test)
    node_id = f"{file}::{found.test}"
    body = [line for line in found.block if line.strip() and not line.startswith("bin/rails test ")]
    if head := _UNIT_BLOCK.match(body[0]) if body else None:
        why = head["why"] or head["says"] or ""
        body = [*([why] if why else []), *(line for line in body[1:] if not _SOURCE_LINE.match(line))]
    says = next((line for line in body if frame(line) is None), "")
    if outcome not in FAILED_OUTCOMES:
        return TestCase(node_id, outcome, message=first_nonblank_line(says) if outcome == "skipped" else "")
    shortened = excerpt_innermost_first("\n".join(body), frame, file)
    place = frame(f"{found.place}:in `x'") or "" if found.place else ""
    return TestCase(node_id, outcome, place or shortened.place, first_nonblank_line(says), shortened.detail)
