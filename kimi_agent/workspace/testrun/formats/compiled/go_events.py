"""Go test event parser: the JSON lines of `go test -json` (and gotestsum), as packages with their tests."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kimi_agent.workspace.testrun.commands_and_reports import TestOutcome
from kimi_agent.workspace.testrun.reports.failure_excerpt import (
    MAX_EXCERPT_LINE_CHARS,
    MAX_EXCERPT_LINES,
    strip_escapes,
)

_OUTCOMES: Mapping[str, TestOutcome] = {"pass": "passed", "fail": "failed", "skip": "skipped"}
_WORDS: Mapping[str, TestOutcome] = {"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}
_CLOSING = re.compile(r"--- (?P<word>PASS|FAIL|SKIP): (?P<name>\S+) \([\d.]+s\)$")
_UNBUILT = re.compile(r"FAIL\s+\S+ \[(?:build|setup) failed\]$")
_MOST_OUTPUT, _MOST_LOG = 400, 5_000_000


@dataclass
class GoTest:
    """One test of a package. `runs` and `failures` count all runs of it (`-count`, gotestsum's reruns).

    `errors` are the lines of `output` that made it fail, where Go says which they are (1.25). `closing` is the outcome
    by its own closing line: without one it did not end, and yet Go 1.27 reports a test as passed in which the program
    ended with exit code 0.
    """

    outcome: TestOutcome | None = None
    output: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    runs: int = 0
    failures: int = 0
    closing: TestOutcome | None = None
    _invocation: int = 0

    def begin(self, invocation: int) -> None:
        """It starts; within one invocation of its program the worst of its runs counts."""
        if self.outcome != "failed" or invocation != self._invocation:
            self.outcome, self.output, self.errors = None, [], []
        self._invocation = invocation
        self.runs += 1
        self.closing = None

    def end(self, outcome: TestOutcome) -> None:
        """It has ended."""
        self.failures += outcome == "failed"
        if self.outcome != "failed":
            self.outcome = outcome

    def ran_through(self) -> bool:
        """Whether it came to its own end."""
        return self.outcome == "failed" or (self.outcome is not None and self.closing is not None)


@dataclass
class GoPackage:
    """The events of one package. `failed` also where none of its tests did: a panic, an exit, a failed build."""

    tests: dict[str, GoTest] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)
    last_words: str = ""  # what was printed first after its tests
    failed: bool = False
    unbuilt: bool = False
    cached: bool = False  # its results are those of an earlier run on the same inputs
    ended: bool = False
    invocation: int = 0
    _tests_over: bool = False

    def running(self) -> list[str]:
        """The tests that began and did not end, where the package itself was not reported to have ended."""
        return [] if self.ended else [name for name, test in self.tests.items() if not test.ran_through()]

    def begin_again(self) -> None:
        """Its program is started once more (gotestsum's --rerun-fails)."""
        self.ended = self.failed = self._tests_over = False
        self.last_words = ""
        self.invocation += 1

    def end(self, *, failed: bool) -> None:
        """It has ended. Before Go 1.20 a test is not reported whose output hides the start of its closing line."""
        self.ended, self.failed = True, failed
        for test in self.tests.values():
            if test.outcome is None and test.closing is not None:
                test.end(test.closing)

    def take_output(self, text: str) -> None:
        """A line that belongs to none of its tests."""
        self.output += [text] if len(self.output) < _MOST_OUTPUT else []
        line = text.strip()
        self.cached = self.cached or (line.startswith("ok") and line.endswith("\t(cached)"))
        self.unbuilt = self.unbuilt or _UNBUILT.match(line) is not None
        if line in ("PASS", "FAIL"):
            self._tests_over = True
        elif self._tests_over and line and not self.last_words and not line.startswith(("coverage: ", "FAIL\t", "ok")):
            self.last_words = strip_escapes(line)[:MAX_EXCERPT_LINE_CHARS]


@dataclass
class GoEvents:
    """All that was read: the packages by name, and what the compiler printed."""

    packages: dict[str, GoPackage] = field(default_factory=dict)
    compiler: list[str] = field(default_factory=list)
    log: str = ""


def parse_go_event(line: str) -> Mapping[str, object] | None:
    """The event of a line; None for a line that is none."""
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "Action" in found else None


def parse_go_events(lines: Iterable[str]) -> GoEvents:
    """The events of a run; text between them comes from the compiler of older versions."""
    reader = _Reader()
    for line in lines:
        reader.take(line)
    reader.found.log = reader.log()
    return reader.found


class _Reader:
    def __init__(self) -> None:
        self.found = GoEvents()
        self._log: list[str] = []
        self._size = 0

    def take(self, line: str) -> None:
        event = parse_go_event(line)
        if event is None:
            self._print(line + "\n")
            if line.strip() and not line.startswith("FAIL"):
                self._compiler(line)
            return
        action, text = str(event.get("Action")), event.get("Output")
        output = text if isinstance(text, str) else ""
        self._print(output)
        if action == "build-output":
            self._compiler(output)
        name = event.get("Package")
        if not isinstance(name, str):
            return
        package = self.found.packages.setdefault(name, GoPackage())
        if package.ended:
            package.begin_again()
        test = event.get("Test")
        if isinstance(test, str):
            _take_test(package, test, action, output, is_error=event.get("OutputType") == "error")
        elif action == "output":
            package.take_output(output)
        elif action in _OUTCOMES:
            package.end(failed=action == "fail")
            package.unbuilt = package.unbuilt or "FailedBuild" in event

    def log(self) -> str:
        """The output as `go test -v` prints it; "" where it is too long to be made."""
        return "".join(self._log) if self._size < _MOST_LOG else ""

    def _compiler(self, line: str) -> None:
        if len(self.found.compiler) < _MOST_OUTPUT:
            self.found.compiler.append(strip_escapes(line).rstrip()[:MAX_EXCERPT_LINE_CHARS])

    def _print(self, text: str) -> None:
        self._size += len(text)
        if self._size < _MOST_LOG:
            self._log.append(text)


def _take_test(package: GoPackage, name: str, action: str, output: str, *, is_error: bool) -> None:
    test = package.tests.setdefault(name, GoTest())
    if action == "run":
        test.begin(package.invocation)
    elif action in _OUTCOMES:
        test.end(_OUTCOMES[action])
    elif output:
        closing = _CLOSING.search(output.rstrip())
        if closing and closing["name"] == name:
            test.closing = _WORDS[closing["word"]]
        if len(test.output) < _MOST_OUTPUT:
            test.output.append(output)
        if is_error and len(test.errors) < MAX_EXCERPT_LINES:
            test.errors.append(output)
