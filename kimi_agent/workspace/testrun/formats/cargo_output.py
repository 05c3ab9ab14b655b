"""Parser of the text that `cargo test` prints: each binary's tests, and the output of failed ones."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kimi_agent.workspace.testrun.commands_and_reports import TestOutcome
from kimi_agent.workspace.testrun.reports.failure_excerpt import strip_escapes

_RUNNING = re.compile(r"^\s+Running (?P<unit>unittests )?(?P<source>\S.*?) \((?P<binary>.*)\)$")
_DOC = re.compile(r"^\s+Doc-tests (?P<crate>\S+)$")
_TEST = re.compile(
    r"^test (?P<name>.+?)(?: - should panic| - compile(?: fail)?)? \.\.\. "
    r"(?P<word>ok|FAILED|ignored)?(?P<why>,.*)?(?: <.*>)?$"
)
_BLOCK = re.compile(r"^---- (?P<name>.+?)(?: - should panic| - compile(?: fail)?)? std(?:out|err) ----$")
_RESULT = re.compile(r"^test result: ")
_STARTS = re.compile(r"^running \d+ tests?$")
_LATE = re.compile(r"(?P<word>ok|FAILED)(?: <.*>)?$")
_ERROR = re.compile(r"^error(?:\[E\d+\])?: ")
_NOT_A_BUILD = re.compile(r"^error: (?:\d+ targets? failed|test failed, to rerun|doctest failed, to rerun)")
_WORDS: Mapping[str, TestOutcome] = {"ok": "passed", "FAILED": "failed", "ignored": "skipped"}
_MOST_BLOCK = 200


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
    """One test of a binary; `outcome` is None while it runs."""

    binary: CargoBinary
    name: str
    outcome: TestOutcome | None = None
    why: str = ""
    block: list[str] = field(default_factory=list)


@dataclass
class CargoOutput:
    """All that was read. `died` names what a binary is made from that never came to its result."""

    tests: list[CargoTest]
    errors: list[str]
    died: str


def parse_cargo_output(lines: Iterable[str]) -> CargoOutput:
    """The tests in their order, the compiler's errors, and whether a binary broke off."""
    reader = _Reader()
    for line in lines:
        reader.take(strip_escapes(line).rstrip())
    reader.end()
    return CargoOutput(list(reader.tests.values()), reader.errors, reader.died)


class _Reader:
    def __init__(self) -> None:
        self.tests: dict[tuple[CargoBinary, str], CargoTest] = {}
        self.errors: list[str] = []
        self._open = False
        self.died = ""
        self._binary = CargoBinary("")
        self._block: list[str] | None = None
        self._pending: CargoTest | None = None
        self._erring = False

    def take(self, line: str) -> None:
        running, doc = _RUNNING.match(line), _DOC.match(line)
        if running or doc:
            self.end()
            self._block, self._erring = None, False
            self._binary = _binary(running, self._binary.after) if running else CargoBinary(doc["crate"] if doc else "")
        elif _STARTS.match(line):
            self._open = True
        elif _RESULT.match(line):
            self._open, self._block, self._pending = False, None, None
        elif head := _BLOCK.match(line):
            found = self.tests.get((self._binary, head["name"]))
            self._block = found.block if found else []
        elif test := _TEST.match(line) if self._block is None else None:
            self._test(test)
        elif self._block is not None:
            self._in_block(line)
        elif self._pending is not None and (late := _LATE.search(line)):
            # A test that prints past the capture: its word comes after its output.
            self._pending.outcome, self._pending = _WORDS[late["word"]], None
        else:
            self._error(line)

    def _test(self, test: re.Match[str]) -> None:
        found = CargoTest(self._binary, test["name"], why=(test["why"] or "").strip(", "))
        if test["word"]:
            found.outcome = _WORDS[test["word"]]
        else:
            self._pending = found
        self.tests[self._binary, found.name] = found

    def _in_block(self, line: str) -> None:
        if line == "failures:" or _ERROR.match(line):
            self._block = None
            self._error(line)
        elif self._block is not None and len(self._block) < _MOST_BLOCK:
            self._block.append(line)

    def _error(self, line: str) -> None:
        if _NOT_A_BUILD.match(line):
            self.end()
            self._erring = False
        elif _ERROR.match(line):
            self._erring = True
        if self._erring and line and len(self.errors) < 12:
            self.errors.append(line)

    def end(self) -> None:
        """The binary has ended, with its result or without."""
        if self._open:
            self.died = self.died or self._binary.source or self._binary.crate
            self._open = False


def _binary(running: re.Match[str], after: str) -> CargoBinary:
    name = running["binary"].replace("\\", "/").rpartition("/")[2]
    crate = name.rpartition("-")[0] or name
    return CargoBinary(crate, running["source"], crate if running["unit"] else after, name)
