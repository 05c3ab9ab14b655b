"""Parser of the text that `cargo test` prints: each binary's tests, held against the counts that it prints too.

What tests print stands between the results (a child process, trybuild's own "test ... ok" lines), so a line that looks
like a result is believed only as far as the binary's "running 3 tests" and "test result:" bear it out.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from kimi_agent.workspace.testrun.commands_and_reports import TestOutcome
from kimi_agent.workspace.testrun.reports.failure_excerpt import strip_escapes

_RUNNING = re.compile(r"^\s+Running (?P<unit>unittests )?(?P<source>\S.*?) \((?P<binary>.*)\)$")
_DOC = re.compile(r"^\s+Doc-tests (?P<crate>\S+)$")
# Cargo's own line behind one that a test did not end: "test tests::quits ...    Doc-tests calc".
_GLUED = re.compile(
    r"^(?P<before>.*?\S ?)(?P<own>   Doc-tests \S+|     Running \S.* \(\S+[/\\]deps[/\\]\S+\)"
    r"|error: (?:doc)?test failed, to rerun pass `.*)$"
)
_TEST = re.compile(r"^test (?P<name>.+?)(?: - should panic| - compile(?: fail)?)? \.\.\. (?P<rest>.*)$")
# The same behind something that another test printed without an end of line.
_TEST_BEHIND = re.compile(
    r"test (?P<name>[\w:#]+)(?: - should panic)? \.\.\. (?P<rest>(?:ok|FAILED|ignored)(?:, .*)?)$"
)
_WORD = re.compile(r"^(?P<word>ok|FAILED|ignored)(?P<why>,.*)?(?: <.*>)?$")
_LATE = re.compile(r"(?P<word>ok|FAILED)(?: <.*>)?$")
_BLOCK = re.compile(r"^---- (?P<name>.+?)(?: - should panic| - compile(?: fail)?)? std(?:out|err) ----$")
_LISTED = re.compile(r"^    (?P<name>\S.*?)(?: - should panic| - compile(?: fail)?)?$")
_STARTS = re.compile(r"^running (\d+) tests?$")
_RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored; (\d+) measured; \d+ filtered out")
_ERROR = re.compile(r"^error(?:\[E\d+\])?: ")
_ENDED_BADLY = re.compile(r"^error: (?:doc)?test failed, to rerun pass ")
_EXIT = re.compile(r"^\s+process didn't exit successfully: .*\((?P<how>[^()]+)\)$")
_RUST_PATH = re.compile(r"[\w:#]+|\S+ - .*\(line \d+\)")
_WORDS: Mapping[str, TestOutcome] = {"ok": "passed", "FAILED": "failed", "ignored": "skipped"}
_MOST_BLOCK, _MOST_ERRORS, _MOST_COUNTED = 200, 12, 20_000


@dataclass(frozen=True)
class CargoBinary:
    """What tests are compiled into: `source` is the file it begins with; a crate's documentation has none.

    `after` is the crate of the unit tests that ran before, which an integration test's package has too; `name` tells
    binaries of different packages apart.
    """

    crate: str
    source: str = ""
    after: str = ""
    name: str = ""


@dataclass
class CargoTest:
    """One test of a binary; `outcome` is None while it runs. Without a name it is a binary with a harness of its own.

    `number` is that of one that was counted and not named, 0 for the others.
    """

    binary: CargoBinary
    name: str
    outcome: TestOutcome | None = None
    why: str = ""
    block: list[str] = field(default_factory=list)
    number: int = 0


@dataclass
class CargoOutput:
    """All that was read. `died` names what a binary is made from that never came to its result.

    `announced` is how many tests the binaries said they have, `ended` how many they counted at their end.
    `failed_late` names the binaries that failed after all of their tests passed, and how.
    """

    tests: list[CargoTest] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    died: str = ""
    announced: int = 0
    ended: int = 0
    failed_late: list[str] = field(default_factory=list)


def parse_cargo_output(lines: Iterable[str]) -> CargoOutput:
    """The tests in their order, the compiler's errors, and whether a binary broke off."""
    reader = _Reader()
    for line in lines:
        reader.take(strip_escapes(line).rstrip())
    reader.end_binary()
    return reader.found


class _Group:
    """The tests between "running N tests" and "test result:"."""

    def __init__(self, binary: CargoBinary, announced: int) -> None:
        self.announced = announced
        self.result: tuple[int, ...] = ()  # (passed, failed, ignored, measured); of several the last is its own
        self._binary = binary
        self._tests: dict[str, CargoTest] = {}
        self._failed: set[str] = set()
        self._pending: CargoTest | None = None
        self._mode: Literal["tests", "block", "list"] = "tests"
        self._block: list[str] = []

    def take(self, line: str) -> None:
        if line == "failures:":
            self._mode = "list"
        elif (head := _BLOCK.match(line)) and (head["name"] in self._tests or not self._tests):
            self._mode, self._block = "block", self._test(head["name"]).block
        elif self._mode == "block":
            self._block += [line] if len(self._block) < _MOST_BLOCK else []
        elif self._mode == "list" and (listed := _LISTED.match(line)):
            self._failed.add(listed["name"])
            self._test(listed["name"])
        elif test := _TEST.match(line) or _TEST_BEHIND.search(line):
            self._begin(test)
        elif self._pending is not None and (late := _LATE.search(line)):
            # A test that prints past the capture: its word comes after its output.
            self._pending.outcome, self._pending = _WORDS[late["word"]], None

    def _test(self, name: str) -> CargoTest:
        return self._tests.setdefault(name, CargoTest(self._binary, name))

    def _begin(self, test: re.Match[str]) -> None:
        found = self._tests[test["name"]] = CargoTest(self._binary, test["name"])
        word = _WORD.match(test["rest"]) or _LATE.search(test["rest"])
        if word is None:
            self._pending = found
        else:
            found.outcome = _WORDS[word["word"]]
            found.why = (word.groupdict().get("why") or "").strip(", ")

    def unfinished(self) -> list[CargoTest]:
        """The tests as far as they were printed, of a binary that did not come to its result."""
        return list(self._tests.values())

    def end(self, result: tuple[int, ...]) -> None:
        """A result: its own, or what a test prints, and then the tests go on."""
        self.result, self._mode = result, "tests"

    def counted(self) -> list[CargoTest]:
        """The tests as the binary's own result counts them."""
        for name in self._failed:
            self._test(name).outcome = "failed"
        kept: list[CargoTest] = []
        outcomes: tuple[TestOutcome, ...] = ("passed", "failed", "skipped")
        for outcome, count in zip(outcomes, self.result, strict=False):  # the fourth count is that of benchmarks
            named = [test for test in self._tests.values() if test.outcome == outcome]
            if outcome == "failed" or len(named) > count:
                # Lines that tests print: a failed one is always listed, and trybuild's names are paths of files.
                named = [test for test in named if test.name in self._failed or _RUST_PATH.fullmatch(test.name)]
                named = [test for test in named if outcome != "failed" or test.name in self._failed]
            missing = range(len(named) + 1, min(count, _MOST_COUNTED) + 1)
            kept += [*named, *(CargoTest(self._binary, f"{outcome} {n}", outcome, number=n) for n in missing)]
        return kept


class _Reader:
    def __init__(self) -> None:
        self.found = CargoOutput()
        self._binary = CargoBinary("")
        self._group: _Group | None = None
        self._inner = 0  # how many runs of other test programs are open, whose output a test passes on
        self._has_own_harness = False
        self._output: list[str] = []
        self._ended_badly = False
        self._how = ""
        self._began = False

    def take(self, line: str) -> None:
        if glued := _GLUED.match(line):
            self._take(glued["before"])
            line = glued["own"]
        self._take(line)

    def _take(self, line: str) -> None:
        running, doc = _RUNNING.match(line), _DOC.match(line)
        if running or doc:
            self._begin_binary(running, doc)
        elif starts := _STARTS.match(line):
            self._start(int(starts[1]))
        elif self._ended_badly or _ENDED_BADLY.match(line):
            self._ended_badly = True
            if how := _EXIT.match(line):
                self._how = self._how or how["how"]
        elif self._group is not None:
            self._in_group(self._group, line)
        elif self._began:
            self._output = [*self._output[-_MOST_BLOCK:], line] if line else self._output
        elif (_ERROR.match(line) or self.found.errors) and line and len(self.found.errors) < _MOST_ERRORS:
            self.found.errors.append(line)

    def _begin_binary(self, running: re.Match[str] | None, doc: re.Match[str] | None) -> None:
        self.end_binary()
        after = self._binary.after
        self._binary = _binary(running, after) if running else CargoBinary(doc["crate"] if doc else "")
        self._began = self._has_own_harness = True

    def _start(self, count: int) -> None:
        if self._group is not None and not self._group.result:
            self._inner += 1
            return
        self._end_group()
        if self._ended_badly:
            self.end_binary()  # `cargo test --quiet` prints no headings
        self._group = _Group(self._binary, count)
        self._began, self._has_own_harness = True, False
        self.found.announced += count

    def _in_group(self, group: _Group, line: str) -> None:
        result = _RESULT.match(line)
        counts = tuple(int(count) for count in result.groups()) if result else ()
        if self._inner:
            self._inner -= bool(result)
        elif result and sum(counts) == group.announced:
            group.end(counts)
            self._output = []
        else:
            group.take(line)
            self._output += [line] if group.result and line and len(self._output) < _MOST_BLOCK else []

    def _end_group(self) -> None:
        if self._group is not None and self._group.result:
            self.found.tests += self._group.counted()
            self.found.ended += sum(self._group.result)
            self._group = None

    def end_binary(self) -> None:
        """The binary has ended, with its result or without."""
        self._end_group()
        place = self._binary.source or self._binary.crate
        if self._group is not None:
            self.found.died = self.found.died or " ".join(filter(None, (place, self._how and f"({self._how})")))
            self.found.tests += self._group.unfinished()
        elif self._has_own_harness and self._binary.source:
            outcome: TestOutcome = "failed" if self._ended_badly else "passed"
            self.found.tests.append(CargoTest(self._binary, "", outcome, self._how, self._output))
        elif self._ended_badly and not any(
            test.binary == self._binary and test.outcome == "failed" for test in self.found.tests
        ):
            how = f"{place or 'a test program'} failed after its tests ({self._how or 'exit code 101'})"
            self.found.failed_late.append(": ".join([how, *self._output[-1:]]))
        self._group, self._inner, self._ended_badly, self._how, self._output = None, 0, False, "", []
        self._has_own_harness = False


def _binary(running: re.Match[str], after: str) -> CargoBinary:
    name = running["binary"].replace("\\", "/").rpartition("/")[2]
    crate = name.rpartition("-")[0] or name
    return CargoBinary(crate, running["source"], crate if running["unit"] else after, name)
