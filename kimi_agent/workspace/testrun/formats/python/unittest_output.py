"""unittest output parser: the verbose text of one or several runs (Python 3.6 to 3.13), held against its own counts.

Django's and nose2's verbose text is the same.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestOutcome
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import (
    excerpt_python_failure,
    first_nonblank_line,
    make_path_mapper,
    strip_escapes,
)

# A test that ends without a word (before Python 3.11 one whose subtests fail) leaves the next one on its line.
_HEAD = re.compile(r"(?P<name>[\w<>]+) \((?P<where>[\w.<>]+)\)(?:$|(?= \.\.\.(?: |$)))")
_SUBTEST = re.compile(r"\s+[\w<>]+ \([\w.<>]+\) [\[(].*[\])] \.\.\. ")
_WORD = r"(?P<word>ok|FAIL|ERROR|skipped|expected failure|unexpected success)(?P<why> ['\"].*)?$"
# nose2 0.16 writes a skip's reason without quotes.
_OUTCOME = r"(?:(?P<word>ok|FAIL|ERROR|skipped(?= |$)|expected failure|unexpected success)(?P<why>(?<=skipped) .*)?$)"
_EXACT, _AT_END = re.compile(rf"(?: \.\.\. )?{_OUTCOME}"), re.compile(_WORD)
_TOLD = re.compile(rf"(?P<of>.+) \.\.\. {_OUTCOME}")
_OUTCOMES: Mapping[str, TestOutcome] = {
    "ok": "passed",
    "FAIL": "failed",
    "ERROR": "error",
    "skipped": "skipped",
    "expected failure": "skipped",
    "unexpected success": "failed",
    "UNEXPECTED SUCCESS": "failed",
}
_BLOCK = re.compile(r"(?P<word>FAIL|ERROR|UNEXPECTED SUCCESS): (?P<name>[\w<>]+) \((?P<where>[\w.<>]+)\)")
_THICK, _THIN = "=" * 70, "-" * 70
_RAN = re.compile(r"Ran (\d+) tests? in ")
_CLAIM = re.compile(r"(?P<word>OK|FAILED|NO TESTS RAN)(?: \((?P<counts>.*)\))?$")
_BAD_COUNT = re.compile(r"\b(?:failures|errors|unexpected successes)=(\d+)")
_LOADER = "unittest.loader._FailedTest"
_FIXTURES = {"setUpClass", "tearDownClass", "setUpModule", "tearDownModule"}
_CLAIMS: Mapping[str, Literal["passed", "failed", "none"]] = {
    "OK": "passed",
    "FAILED": "failed",
    "NO TESTS RAN": "none",
}


def parse_unittest_output(
    lines: Iterable[str],
    *,
    root: Path,
    folder: ProjectFolder,
    starts: Sequence[str] = (".",),
    exit_code: int | None = None,
) -> ParsedReport:
    """The report in the text of runs with `-v`, one for each of `starts` (the folders they began in).

    Without `starts` there may be any number of runs.
    """
    sections = _split_runs(lines)
    ended = _own_runs([each for each in sections if each.claim], len(starts), exit_code)
    spelled = make_path_mapper(root, folder.path)
    cases: list[TestCase] = []
    running: list[str] = []
    begun = 0
    for number, section in enumerate(sections):
        base = starts[number] if len(starts) == len(sections) else "."
        ids = _IdMaker(folder, spelled, base)
        is_over = section in ended
        found, open_tests = section.results(is_over=is_over)
        cases += [_case(each, ids, spelled) for each in found]
        running += [ids.id(each.dotted) for each in open_tests]
        begun += min(section.begun, section.ran) if is_over else 0
    ran = sum(section.ran for section in ended)
    is_complete = bool(ended) and len(ended) >= len(starts) and (bool(starts) or ended[-1] is sections[-1])
    return ParsedReport(
        merge_cases(cases),
        fatal_error=_import_error(sections, cases),
        running=", ".join(running),
        stated_result=_joint_claim(ended),
        is_complete=is_complete,
        announced=ran if is_complete else None,
        ended=begun if is_complete else None,
    )


@dataclass
class _UnittestResult:
    """What the text says of one test; `outcome` is None while nothing does."""

    name: str
    where: str
    outcome: TestOutcome | None = None
    why: str = ""
    is_unexpected: bool = False
    block: list[str] = field(default_factory=list)

    @property
    def is_loader(self) -> bool:
        """Not a test, but a module that could not be imported."""
        return self.where.startswith(_LOADER)

    @property
    def dotted(self) -> str:
        if self.is_loader:
            return self.name if self.where == _LOADER else self.where.removeprefix(_LOADER + ".")
        # Before Python 3.11 the brackets hold the class alone.
        return self.where if self.where.endswith("." + self.name) else f"{self.where}.{self.name}".lstrip(".")

    def judge(self, found: re.Match[str]) -> None:
        """Take the outcome that was read; the last one counts, because what a test prints comes before it."""
        self.outcome = _OUTCOMES[found["word"]]
        self.is_unexpected = found["word"] == "unexpected success"
        self.why = (found["why"] or "").strip(" '\"")


@dataclass
class _UnittestRun:
    """One run: the tests that began, in order, the blocks of the failures, and what the runner says in the end.

    `told` are lines with an outcome and without a test of the usual form, such as those of doctest files.
    """

    tests: list[_UnittestResult] = field(default_factory=list)
    blocks: list[_UnittestResult] = field(default_factory=list)
    told: list[_UnittestResult] = field(default_factory=list)
    ran: int = 0
    claim: str = ""

    @property
    def begun(self) -> int:
        """How many tests began."""
        return sum(test.name not in _FIXTURES for test in self.tests) + len(self.told)

    def results(self, *, is_over: bool) -> tuple[list[_UnittestResult], list[_UnittestResult]]:
        """The tests that ended, and those that did not.

        The blocks settle it where the run is over: without one, `ERROR` at the end of a line was printed by the test.
        """
        found = {id(test): test for test in self.tests}
        if is_over:
            known = sum(test.name not in _FIXTURES for test in self.tests)
            found |= {id(test): test for test in self.told[: max(0, self.ran - known)]}
            failed = {block.dotted: block for block in reversed(self.blocks)}
            for test in found.values():
                if block := failed.pop(test.dotted, None):
                    test.outcome, test.block = block.outcome, block.block
                elif test.is_unexpected and self.claim == "FAILED":
                    continue  # no block before Python 3.11
                elif test.outcome in FAILED_OUTCOMES or (test.outcome is None and self.begun <= self.ran):
                    test.outcome = "passed"
            found |= {id(block): block for block in reversed(failed.values())}
        tests = [test for test in found.values() if test.name not in _FIXTURES or test.outcome in FAILED_OUTCOMES]
        return [test for test in tests if test.outcome], [test for test in tests if not test.outcome]


def _split_runs(lines: Iterable[str]) -> list[_UnittestRun]:
    """The runs in a text; of the last one the end may be missing."""
    reader = _RunReader()
    for line in lines:
        reader.take(strip_escapes(line).rstrip())
    if reader.run.tests or reader.run.blocks:
        reader.runs.append(reader.run)
    return reader.runs


class _RunReader:
    """The verbose output, taken line by line."""

    def __init__(self) -> None:
        self.runs: list[_UnittestRun] = []
        self.run = _UnittestRun()
        self._pending: _UnittestResult | None = None
        self._is_exact = self._awaits_docstring = False
        self._block: _UnittestResult | None = None
        self._before = ""
        self._lines_to_claim = 0

    def take(self, line: str) -> None:
        before, self._before = self._before, line
        if before == _THICK and (head := _BLOCK.match(line)):
            self._open_block(head)
        elif before == _THIN and (ran := _RAN.match(line)):
            self.run.ran = int(ran[1])
            self._lines_to_claim = 3
        elif self._lines_to_claim:
            self._lines_to_claim -= 1
            if claim := _CLAIM.match(line):
                self._close_run(claim)
        elif self._block is not None:
            self._block.block.append(line)
        else:
            self._read_live(line)

    def _open_block(self, head: re.Match[str]) -> None:
        self._block = _UnittestResult(head["name"], head["where"], _OUTCOMES[head["word"]])
        self.run.blocks.append(self._block)

    def _close_run(self, claim: re.Match[str]) -> None:
        bad = sum(int(count) for count in _BAD_COUNT.findall(claim["counts"] or ""))
        printed = max(0, len(self.run.blocks) - bad)
        for block in self.run.blocks[:printed]:  # a test printed what looks like one
            for line in block.block:
                self._read_live(line)
        del self.run.blocks[:printed]
        for block in self.run.blocks:
            while block.block and block.block[-1] in ("", _THIN, _THICK):
                block.block.pop()
        self.run.claim = claim["word"]
        self.runs.append(self.run)
        self.run = _UnittestRun()
        self._pending = self._block = None
        self._lines_to_claim = 0

    def _read_live(self, line: str) -> None:
        is_other = _SUBTEST.match(line) or _BLOCK.match(line)
        rest, heads = line, [] if is_other else [head for head in _HEAD.finditer(line) if _begins_test(head)]
        awaited, self._awaits_docstring = self._awaits_docstring, False
        for head in heads:
            self._pending = _UnittestResult(_clean_name(head), head["where"])
            self._is_exact = False
            self.run.tests.append(self._pending)
            rest = line[head.end() :]
            self._awaits_docstring = not rest
        exact = _EXACT.match(rest) or (_TOLD.match(rest) if awaited else None)
        if self._pending is None:
            if not heads and (told := _TOLD.match(line)):
                self.run.told.append(_UnittestResult(told["of"], ""))
                self.run.told[-1].judge(told)
        elif exact and (heads or awaited):
            self._pending.judge(exact)
            self._pending = None
        elif found := exact or (None if self._is_exact else _AT_END.search(rest)):
            self._is_exact = bool(exact)
            self._pending.judge(found)


def _begins_test(head: re.Match[str]) -> bool:
    """Whether a test begins there; else a test printed something of that form."""
    return not head.start() or head.end() < len(head.string) or head["where"].endswith(f".{head['name']}")


def _clean_name(head: re.Match[str]) -> str:
    """The test's name, without what was printed right before it."""
    name, last = str(head["name"]), str(head["where"]).rpartition(".")[2]
    return last if name.endswith(last) and head["where"].count(".") > 1 else name


def _own_runs(runs: list[_UnittestRun], expected: int, exit_code: int | None) -> list[_UnittestRun]:
    """The runs that were started; a test may start others, whose text stands between theirs."""
    if not expected or len(runs) <= expected:
        return runs
    fitting = runs
    if expected == 1 and exit_code in (0, 1):
        fitting = [run for run in runs if (run.claim == "FAILED") == (exit_code == 1)] or runs
    best = sorted(fitting, key=lambda run: run.ran)[-expected:]
    return [run for run in runs if run in best]


def _joint_claim(runs: list[_UnittestRun]) -> Literal["", "passed", "failed", "none"]:
    claims = {_CLAIMS[run.claim] for run in runs}
    return next((claim for claim in ("failed", "passed", "none") if claim in claims), "")


def _import_error(runs: list[_UnittestRun], cases: list[TestCase]) -> str:
    """The first error of a run in which no module could be imported; "" for another."""
    blocks = [block for run in runs for block in run.blocks if block.is_loader]
    if not blocks or len(blocks) < len(cases):
        return ""
    return "\n".join([line for line in blocks[0].block if line.strip()][-15:])


class _IdMaker:
    """Turns unittest's dotted names into ids that name files, as pytest's do; `start` is the run's first folder."""

    def __init__(self, folder: ProjectFolder, spelled: Callable[[str], str], start: str) -> None:
        self._folder = folder
        self._spelled = spelled
        self._start = start
        self._modules: dict[str, tuple[str, int]] = {}

    def id(self, dotted: str) -> str:
        """The id of a test, of a module; a name whose file is not found stays as it is."""
        parts = dotted.split(".")
        owner = ".".join(parts[:-1]) or dotted
        if owner not in self._modules:
            self._modules[owner] = self._find_module(parts)
        path, length = self._modules[owner]
        if not path:
            return dotted
        return "::".join([self._spelled(path) or path, *parts[length:]])

    def _find_module(self, parts: list[str]) -> tuple[str, int]:
        """The file of a module, and how many of the parts name it."""
        for base in self._bases():
            for length in range(len(parts), 0, -1):
                path = base.joinpath(*parts[:length]).with_suffix(".py")
                if path.is_file():
                    return str(path), length
        for length in range(len(parts), 0, -1):
            wanted = "/".join(parts[:length]) + ".py"
            named = self._folder.find_files(re.compile(re.escape(parts[length - 1]) + r"\.py"))
            found = [path for path in named if f"/{path}".endswith(f"/{wanted}")]
            if len(found) == 1:
                return str(self._folder.path / found[0]), length
        return "", 0

    def _bases(self) -> Iterator[Path]:
        yield self._folder.path / self._start
        yield self._folder.path
        for parent in dict.fromkeys(PurePosixPath(path).parent for path in self._folder.python_test_files()):
            yield self._folder.path / parent


def _case(found: _UnittestResult, ids: _IdMaker, spelled: Callable[[str], str]) -> TestCase:
    node_id, outcome = ids.id(found.dotted), found.outcome or "error"
    if outcome not in FAILED_OUTCOMES:
        return TestCase(node_id, outcome, message=first_nonblank_line(found.why))
    # The block begins with the test's docstring (if any) and a thin rule.
    start = found.block.index(_THIN) + 1 if _THIN in found.block else 0
    shortened = excerpt_python_failure("\n".join(found.block[start:]), spelled, node_id.partition("::")[0])
    message = next((line for line in shortened.detail.split("\n") if line and not line.startswith(" ")), "")
    return TestCase(node_id, outcome, shortened.place, first_nonblank_line(message), shortened.detail)
