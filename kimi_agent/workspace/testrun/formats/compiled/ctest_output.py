"""Parser of the lines that ctest prints: how each test ended, by its number; its JUnit report has none."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from kimi_agent.log.views import FAILED_OUTCOMES
from kimi_agent.workspace.testrun.commands_and_reports import TestOutcome
from kimi_agent.workspace.testrun.reports.cases import MAX_CASES, clean_test_name
from kimi_agent.workspace.testrun.reports.failure_excerpt import strip_escapes

_STARTED = re.compile(r"^\s*Start\s+(?P<number>\d+): (?P<name>.+)$")
_ENDED = re.compile(
    r"^\s*(?:\d+/(?P<total>\d+))?\s+Test\s+#(?P<number>\d+): (?P<name>.+?) \.+"
    r"(?:\s*(?P<ok>Passed)|\*\*\*(?P<how>.*?))\s+[\d.]+ sec"
)


@dataclass
class CTestLine:
    """A test by the lines: how it ended last (`how` in ctest's words), how often it ran and failed (`--repeat`)."""

    name: str
    outcome: TestOutcome = "passed"
    how: str = ""
    runs: int = 0
    failures: int = 0


@dataclass
class CTestLines:
    """The tests by their number, as the lines tell of them: those that ended, and those that are running.

    `announced` is how many there are by the lines (7/10), 0 where none says so.
    """

    ended: dict[str, CTestLine] = field(default_factory=dict)
    running: dict[str, str] = field(default_factory=dict)
    announced: int = 0

    def numbers(self) -> dict[str, list[str]]:
        """The numbers of the tests of each name, in the order in which they ended."""
        found: dict[str, list[str]] = {}
        for number, test in self.ended.items():
            found.setdefault(test.name, []).append(number)
        return found

    def unique_names(self) -> dict[str | None, str]:
        """The names by number: of several tests of one name (in several folders) all but the first get a number."""
        known = {**{number: test.name for number, test in self.ended.items()}, **self.running}
        seen: dict[str, int] = {}
        names: dict[str | None, str] = {}
        for number in sorted(known, key=int):
            name = known[number]
            seen[name] = seen.get(name, 0) + 1
            names[number] = name if seen[name] == 1 else f"{name} ({seen[name]})"
        return names


def parse_ctest_lines(lines: Iterable[str]) -> CTestLines:
    """What the lines of a run tell; a test that runs again (`--repeat`) has the outcome of its last run."""
    live = CTestLines()
    for raw in lines:
        line = strip_escapes(raw).rstrip()
        if ended := _ENDED.match(line):
            number = ended["number"]
            live.running.pop(number, None)
            live.announced = int(ended["total"] or live.announced)
            if len(live.ended) < MAX_CASES:
                test = live.ended.setdefault(number, CTestLine(clean_test_name(ended["name"])))
                test.how = (ended["how"] or "").strip()
                test.outcome = _outcome(test.how)
                test.runs += 1
                test.failures += test.outcome in FAILED_OUTCOMES
        elif started := _STARTED.match(line):
            live.running[started["number"]] = clean_test_name(started["name"])
    return live


def _outcome(how: str) -> TestOutcome:
    if not how:
        return "passed"
    if how == "Skipped" or "Disabled" in how:
        return "skipped"
    return "error" if how.startswith("Not Run") else "failed"
