"""unittest runner (Python): its command's words, and the parser of its verbose text."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from kimi_agent.errors import ToolError
from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestOutcome, TestSelection
from kimi_agent.workspace.testrun.projects.interpreter import find_python_test_module
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.failure_excerpt import (
    excerpt_python_failure,
    first_nonblank_line,
    make_path_mapper,
    strip_escapes,
)
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner

_HEAD = re.compile(r"^\s*(?P<name>[\w<>]+) \((?P<where>[\w.<>]+)\)(?P<rest>.*)$")
_OUTCOME = re.compile(r"(?P<word>ok|FAIL|ERROR|skipped (?P<why>['\"].*)|expected failure|unexpected success)$")
_OUTCOMES: Mapping[str, TestOutcome] = {
    "ok": "passed",
    "FAIL": "failed",
    "ERROR": "error",
    "skipped": "skipped",
    "expected failure": "skipped",
    "unexpected success": "failed",
}
_BLOCK = re.compile(r"^(?P<word>FAIL|ERROR|UNEXPECTED SUCCESS): (?P<name>[\w<>]+) \((?P<where>[\w.<>]+)\)")
_THICK, _THIN = "=" * 70, "-" * 70
_RAN = re.compile(r"^Ran (\d+) tests? in ")
_LOADER = "unittest.loader._FailedTest"


def unittest_evidence(folder: ProjectFolder) -> str:
    """Why unittest runs this folder's tests; "" where nothing says so."""
    importing = folder.test_files_importing("unittest")
    return f"{importing[0]} imports unittest" if importing else ""


async def _launch(request: LaunchRequest) -> TestCommand:
    python = await request.environment.interpreters.choose(request.folder.path, pytest=False)
    words = ("-m", "unittest", *unittest_arguments(request.selection, request.folder))
    return python.command("unittest", request.why, words, request.folder.path)


def _adopt(given: GivenCommand) -> TestCommand | None:
    return given.run_as("unittest", "-v") if find_python_test_module(given.words) == "unittest" else None


def unittest_arguments(selection: TestSelection, folder: ProjectFolder) -> tuple[str, ...]:
    """The words after `-m unittest`. Raises ToolError for targets that unittest cannot take together."""
    name = (f"-k={selection.name}",) if selection.name else ()
    below = [target.path for target in selection.targets if target.path.is_dir()]
    if below and len(selection.targets) > 1:
        why = "unittest takes one folder, or several files, classes and tests, but not both"
        mend = "give the folder alone, or the files in it"
        raise ToolError("bad_arguments", why, mend)
    if selection.targets and not below:
        return ("-v", *name, *(_dotted(target.path, target.node, folder.path) for target in selection.targets))
    return ("discover", "-v", *_start(folder, _relative(below[0], folder.path) if below else "."), *name)


def parse_unittest_output(lines: Iterable[str], *, root: Path, folder: ProjectFolder) -> ParsedReport:
    """The report in the text of a run with `-v`."""
    text = _VerboseParser()
    for line in lines:
        text.take(strip_escapes(line).rstrip())
    text.close()
    module = _IdMaker(folder, make_path_mapper(root, folder.path))
    cases = [_case(found, module, make_path_mapper(root, folder.path)) for found in text.cases.values()]
    unloaded = [found for found in text.cases.values() if found.loader]
    broken = ""
    if unloaded and len(unloaded) == len(cases):
        broken = "\n".join([line for line in unloaded[0].block if line.strip()][-15:])
    trouble = ""
    if text.ran is not None and text.ran > len(cases):
        trouble = f"the runner counts {text.ran} tests, of which {len(cases)} could be read from its output"
    running = module.id(text.pending) if text.pending and text.ran is None else ""
    return ParsedReport(tuple(cases), broken, running, text.claim, trouble, is_complete=text.ran is not None)


def _dotted(path: Path, node: str, folder: Path) -> str:
    spelled = _relative(path, folder)
    if not node:
        return f"./{spelled}" if spelled.startswith("-") else spelled
    return ".".join([*PurePosixPath(spelled).with_suffix("").parts, *node.split("::")])


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _start(folder: ProjectFolder, below: str) -> tuple[str, ...]:
    """Where discovery starts: it walks packages only, so a folder without `__init__.py` is a start of its own."""
    files = [path for path in folder.test_files_importing("unittest") if below == "." or path.startswith(below + "/")]
    pattern = ("-p=*_test.py",) if files and not PurePosixPath(files[0]).name.startswith("test") else ()
    if below != ".":
        packaged = _is_package(folder, PurePosixPath(below))
        return ("-s", f"./{below}" if below.startswith("-") else below, *(("-t", ".") if packaged else ()), *pattern)
    nearest = PurePosixPath(files[0]).parent if files else PurePosixPath()
    if _is_package(folder, nearest):
        return pattern
    return ("-s", f"./{nearest}" if str(nearest).startswith("-") else str(nearest), *pattern)


def _is_package(folder: ProjectFolder, below: PurePosixPath) -> bool:
    return all("__init__.py" in folder.names(str(each)) for each in (below, *below.parents) if each.parts)


@dataclass
class _UnittestResult:
    """What the text says of one test."""

    name: str
    where: str
    outcome: TestOutcome = "passed"
    why: str = ""
    block: list[str] = field(default_factory=list)

    @property
    def loader(self) -> bool:
        """Not a test, but a module that could not be imported."""
        return self.where.startswith(_LOADER)

    @property
    def dotted(self) -> str:
        if self.loader:
            return self.name if self.where == _LOADER else self.where.removeprefix(_LOADER + ".")
        # Before Python 3.11 the brackets hold the class alone.
        return self.where if self.where.endswith("." + self.name) else f"{self.where}.{self.name}"


class _VerboseParser:
    """The verbose output, taken line by line. `pending` is the test that was announced and not yet judged."""

    def __init__(self) -> None:
        self.cases: dict[str, _UnittestResult] = {}
        self.ran: int | None = None
        self.claim: Literal["", "passed", "failed"] = ""
        self.pending = ""
        self._block: _UnittestResult | None = None
        self._waiting_for_block = False

    def take(self, line: str) -> None:
        if line == _THICK:
            self.close()
            self._waiting_for_block = True
        elif self._waiting_for_block:
            self._waiting_for_block = False
            self._open(line)
        elif ran := _RAN.match(line):
            self.close()
            self.ran = int(ran[1])
            self.pending = ""
        elif self.ran is not None:
            if line.startswith(("OK", "FAILED (")):
                self.claim = "passed" if line.startswith("OK") else "failed"
        elif self._block is not None:
            self._block.block.append(line)
        else:
            self._live(line)

    def close(self) -> None:
        """The block that was being read is whole."""
        if self._block is not None:
            while self._block.block and self._block.block[-1] in ("", _THIN):
                self._block.block.pop()
        self._block = None

    def _open(self, line: str) -> None:
        head = _BLOCK.match(line)
        if head is None:
            return
        found = _UnittestResult(head["name"], head["where"])
        known = self.cases.setdefault(found.dotted, found)
        if not known.block:
            known.outcome = "error" if head["word"] == "ERROR" else "failed"
            self._block = known
        else:
            self._block = _UnittestResult(found.name, found.where)  # a further subtest of the same test

    def _live(self, line: str) -> None:
        head = _HEAD.match(line)
        if head:
            found = _UnittestResult(head["name"], head["where"])
            self.cases.setdefault(found.dotted, found)
            self.pending = found.dotted
        outcome = _OUTCOME.search(head["rest"] if head else line)
        if outcome and self.pending:
            found = self.cases[self.pending]
            if found.outcome == "passed":
                found.outcome = _OUTCOMES[outcome["word"].split(" '")[0].split(' "')[0]]
                found.why = (outcome["why"] or "").strip("'\"")
            self.pending = ""


class _IdMaker:
    """Turns unittest's dotted names into ids that name files, as pytest's do."""

    def __init__(self, folder: ProjectFolder, spelled: Callable[[str], str]) -> None:
        self._folder = folder
        self._spelled = spelled

    def id(self, dotted: str) -> str:
        parts = dotted.split(".")
        for base in self._bases():
            for length in range(len(parts), 0, -1):
                path = base.joinpath(*parts[:length]).with_suffix(".py")
                if path.is_file():
                    return "::".join([self._spelled(str(path)) or str(path), *parts[length:]])
        return dotted

    def _bases(self) -> Iterator[Path]:
        yield self._folder.path
        for parent in dict.fromkeys(PurePosixPath(path).parent for path in self._folder.python_test_files()):
            yield self._folder.path / parent


def _case(found: _UnittestResult, module: _IdMaker, spelled: Callable[[str], str]) -> TestCase:
    node_id = module.id(found.dotted)
    if found.outcome not in FAILED_OUTCOMES:
        return TestCase(node_id, found.outcome, message=first_nonblank_line(found.why))
    # The block begins with the test's docstring (if any) and a thin rule.
    start = found.block.index(_THIN) + 1 if _THIN in found.block else 0
    shortened = excerpt_python_failure("\n".join(found.block[start:]), spelled, node_id.partition("::")[0])
    message = next((line for line in shortened.detail.split("\n") if line and not line.startswith(" ")), "")
    return TestCase(node_id, found.outcome, shortened.place, first_nonblank_line(message), shortened.detail)


def _read(ran: RunResult) -> ParsedReport:
    return parse_unittest_output(ran.lines, root=ran.root, folder=ran.folder)


UNITTEST = TestRunner(*("unittest", "Python", unittest_evidence, _launch, _read, (".py",)), adopt=_adopt, order=11)
