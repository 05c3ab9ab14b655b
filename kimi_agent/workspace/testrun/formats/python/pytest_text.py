"""pytest text reader: the counts, live lines and last words of one session (pytest 9.2, xdist 3.8)."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kimi_agent.workspace.testrun.commands_and_reports import TestOutcome
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, strip_escapes

_WORDS: Mapping[str, TestOutcome] = {
    "PASSED": "passed",
    "FAILED": "failed",
    "ERROR": "error",
    "SKIPPED": "skipped",
    "XFAIL": "skipped",
    "XPASS": "passed",
}
# What pytest-rerunfailures and pytest-retry print of a try that failed.
_RETRY_WORDS = ("RERUN", "RETRY")
_WORD = "|".join((*_WORDS, *_RETRY_WORDS))
_PROGRESS = r"\[ *(?:\d+%|\d+/\d+)\]"
_LIVE = re.compile(
    rf"(?:\[gw\d+\] {_PROGRESS} (?P<first>{_WORD}) )?"
    r"(?P<id>(?:[^\s:]\S*?|[^\s:\[][^:]*?\.py)::[^\s\[]+(?:\[.*?\](?=\s|$))?)"
    rf"(?:\s+(?P<word>{_WORD})\b)?"
)
_LATE_OUTCOME = re.compile(rf"(?P<word>{'|'.join(_WORDS)})\s+{_PROGRESS}$")
_COUNT = re.compile(r"\[ *\d+/(\d+)\]")
_COLLECTED = re.compile(r"(?:^|\.\.\. )collected (\d+) items?((?: / .*)?)$")
_DESELECTED = re.compile(r"/ (\d+) deselected")
_SHARED = re.compile(r"(?:\d+ workers? |gw\d+ )\[(\d+)(?: items?)?\]")
_ROOT = re.compile(r"rootdir: (.+?)(?:, (?:configfile|inifile|testpaths):.*)?$")
_END_OF_LIVE = re.compile(
    r"=+ (?:ERRORS|FAILURES|PASSES|warnings summary.*|short test summary info|.* in [\d.]+s.*) =+$|!{3,} .+ !{3,}$"
)
_SUMMARY = re.compile(r"=+ (?P<counts>.*) in [\d.]+s(?: \(.*\))? =+$")
_RETRIES = re.compile(r"\b[1-9]\d* (?:rerun|retried)\b")
_LAST_WORDS = re.compile(
    r"!{3,} (?P<stop>.+?) !{3,}$"
    r"|(?P<said>FAIL Required test coverage of .*|ERROR: Coverage failure: .*"
    r"|Tests pass, but maximum allowed warnings exceeded: .*)$"
)


@dataclass
class PytestText:
    """What the lines of one session say.

    `outcomes` and `started` (begun and not ended) are by node id; `retried` counts tries that failed and were repeated.
    `collected` is how many tests it says that it found, `counted` how many it counts while they run; `last_words` why
    it stopped early, or failed after green tests; `has_summary` says that it came to its end.
    """

    outcomes: dict[str, TestOutcome] = field(default_factory=dict)
    started: dict[str, None] = field(default_factory=dict)
    retried: Counter[str] = field(default_factory=Counter)
    rootdir: str = ""
    collected: int | None = None
    counted: int | None = None
    has_summary: bool = False
    last_words: str = ""

    @property
    def announced(self) -> int | None:
        """How many tests were to run, None where it does not say."""
        return self.collected if self.counted is None else self.counted

    def read_live(self, line: str) -> None:
        """A line of the part in which the tests run."""
        if found := _LIVE.match(line):
            self._read_test(found, line)
        elif self.started and (alone := _LATE_OUTCOME.search(line)):
            # A test that prints past the capture: its word comes lines later.
            self.outcomes[self.started.popitem()[0]] = _WORDS[alone["word"]]
        elif not (self.outcomes or self.started):
            self._read_header(line)

    def read_closing(self, line: str) -> None:
        """A line of the part behind it."""
        if summary := _SUMMARY.match(line):
            self.has_summary = True
            if not _RETRIES.search(summary["counts"]):
                self.retried.clear()  # printed by a test
            if re.search(r"\d+(?:/\d+)? tests? collected", summary["counts"]):
                self.collected = None  # --collect-only: none was to run
        elif words := _LAST_WORDS.match(line):
            said = words["said"] or (words["stop"] or "").removeprefix("_pytest.outcomes.")
            self.last_words = self.last_words or first_nonblank_line(said)

    def _read_header(self, line: str) -> None:
        if found := _COLLECTED.search(line):
            out = _DESELECTED.search(found[2])
            self.collected = int(found[1]) - int(out[1] if out else 0)
        elif found := _SHARED.match(line):
            self.collected = int(found[1])
        elif found := _ROOT.match(line):
            self.rootdir = self.rootdir or found[1]

    def _read_test(self, found: re.Match[str], line: str) -> None:
        node_id, word = found["id"], found["first"] or found["word"]
        if word in _RETRY_WORDS:
            self.retried[node_id] += 1
        if word is None or word in _RETRY_WORDS:
            self.started[node_id] = None
            return
        self.started.pop(node_id, None)
        if self.outcomes.get(node_id) != "failed":
            self.outcomes[node_id] = _WORDS[word]
        if count := _COUNT.search(line[:20] if found["first"] else line[-20:]):
            self._read_count(int(count[1]))

    def _read_count(self, tests: int) -> None:
        """The number of all tests, as it stands on the line of each.

        Tests that a conftest.py takes out without a word were collected, but are not in it. Of others than it, a test
        may have printed them.
        """
        if self.collected is None or tests <= self.collected:
            self.counted = max(self.counted or 0, tests)


def read_pytest_text(lines: Iterable[str]) -> PytestText:
    """The text of one session."""
    text = PytestText()
    is_live = True
    for raw in lines:
        line = strip_escapes(raw).rstrip()
        is_live = is_live and not _END_OF_LIVE.match(line)
        if is_live:
            text.read_live(line)
        elif line.startswith(("=", "!", "FAIL ", "ERROR: ", "Tests pass")):
            text.read_closing(line)
    return text
