"""bats runner (Bash): the stream that its formatters read, which names files and the tests that begin."""

import re
from collections.abc import Callable, Sequence

from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestOutcome, TestSelection
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import MAX_CASES, clean_test_name, merge_cases, path_argument
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper, strip_escapes
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner

_FOLDERS = ("test", "tests", "spec", "bats", "test/bats", "tests/bats", "")
_PLAN = re.compile(r"1\.\.(\d{1,9})")
_SUITE = re.compile(r"suite (/.+)")
_BEGIN = re.compile(r"begin (?P<number>\d+) (?P<name>.+)")
_POINT = re.compile(r"(?P<bad>not )?ok (?P<number>\d+) (?P<rest>.+)")
_HOOK = re.compile(r"(?:setup|teardown)_(?:file|suite) failed")
_SKIP = re.compile(r" # skip\b ?(?P<why>.*)$", re.IGNORECASE)
_TIME = re.compile(r" (?:# )?in \d+ ?ms$")
_PLACE = re.compile(r"in (?:test )?file (?P<path>.+?), line (?P<line>\d+)\)?")
_MOST_DETAIL = 15
_OPTIONS = ("--formatter", "cat")  # since 1.5 a formatter may be named by hand; "cat" is what the formatters get
_OWN_FORMATTER = re.compile(r"-[FtTp]|--(?:formatter|tap|timing|pretty)(?:=.*)?")


def _tests(folder: ProjectFolder) -> str:
    """The folder of the tests, "." for the project itself."""
    named = (each for each in _FOLDERS if any(name.endswith(".bats") for name in folder.names(each)))
    return next(named, "") or "."


def _evidence(folder: ProjectFolder) -> str:
    below = _tests(folder).removeprefix(".")
    first = next((name for name in folder.names(below) if name.endswith(".bats")), "")
    return f"{below}/{first}" if below and first else first


async def _launch(request: LaunchRequest) -> TestCommand | None:
    bats = request.which("bats")
    words = bats_arguments(request.folder, request.selection)
    if bats is None or words is None:
        return None
    return request.command("bats", (bats, *_OPTIONS, *words), ("bats", *words))


def bats_arguments(folder: ProjectFolder, selection: TestSelection) -> tuple[str, ...] | None:
    """The filter and the paths; None for names in some of the files only."""
    nodes = [target.node for target in selection.targets if target.node]
    if nodes and (selection.name or len(nodes) < len(selection.targets)):
        return None
    paths = dict.fromkeys(path_argument(target.path, folder.path) for target in selection.targets)
    if len(paths) > 1 and nodes:
        return None
    escaped = [re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", each) for each in (nodes or [selection.name])]
    pattern = f"^({'|'.join(escaped)})$" if nodes else escaped[0]
    recursive = () if paths and not any(target.path.is_dir() for target in selection.targets) else ("-r",)
    return (*(("--filter", pattern) if pattern else ()), *recursive, *(paths or (_tests(folder),)))


def _read(ran: RunResult) -> ParsedReport:
    stream = _Stream()
    for line in ran.lines:
        stream.take(strip_escapes(line).rstrip())
    return stream.report(ran)


class _Stream:
    """The stream, line by line: what does not carry the number of the test that began is printed by a test."""

    def __init__(self) -> None:
        self.planned: int | None = None
        self.ended: set[int] = set()
        self._suite = ""
        self._begun: dict[int, str] = {}
        self._told: list[tuple[str, str, TestOutcome, list[str]]] = []

    def take(self, line: str) -> None:
        if (plan := _PLAN.fullmatch(line)) and self.planned is None:
            self.planned = int(plan[1])
        elif suite := _SUITE.fullmatch(line):
            self._suite = suite[1]
        elif begin := _BEGIN.fullmatch(line):
            self._begun[int(begin["number"])] = begin["name"]
        elif point := _POINT.fullmatch(line):
            self._end(point)
        elif line.startswith("#") and self._told:
            detail = self._told[-1][3]
            if len(detail) < _MOST_DETAIL and not line.startswith("# bats warning:"):
                detail.append(line.removeprefix("#").removeprefix(" "))

    def _end(self, point: re.Match[str]) -> None:
        number, rest = int(point["number"]), _TIME.sub("", point["rest"])
        skip = _SKIP.search(rest)
        name = _TIME.sub("", rest[: skip.start()]) if skip else rest
        outcome: TestOutcome = "failed" if point["bad"] else "skipped" if skip else "passed"
        if self._begun.get(number) == name:
            self.ended.add(number)
        elif not (point["bad"] and _HOOK.fullmatch(name)):
            return
        if len(self._told) < MAX_CASES or outcome == "failed":
            self._told.append((self._suite, name, outcome, [skip["why"]] if skip and skip["why"] else []))

    def report(self, ran: RunResult) -> ParsedReport:
        """What was told, held against the plan."""
        spelled = make_path_mapper(ran.root, ran.folder.path)
        cases = merge_cases(
            _case(f"{spelled(path) or '.'}::{clean_test_name(name)}", outcome, detail, spelled)
            for path, name, outcome, detail in self._told
        )
        running = [clean_test_name(name) for number, name in self._begun.items() if number not in self.ended]
        return ParsedReport(
            cases,
            running=", ".join(running[:5]),
            stated_result="none" if self.planned == 0 else "",
            is_complete=self.planned is not None,
            announced=self.planned,
            ended=len(self.ended),
        )


def _case(node_id: str, outcome: TestOutcome, lines: Sequence[str], spelled: Callable[[str], str]) -> TestCase:
    places = (
        f"{path}:{hit['line']}" for line in lines if (hit := _PLACE.search(line)) and (path := spelled(hit["path"]))
    )
    says = next((line for line in lines if not line.startswith("(")), "")
    if outcome != "failed":
        return TestCase(node_id, outcome, message=first_nonblank_line(says))
    return TestCase(node_id, outcome, next(places, ""), first_nonblank_line(says), "\n".join(lines))


def _adopt(given: GivenCommand) -> TestCommand | None:
    own = any(_OWN_FORMATTER.fullmatch(word) for word in given.words)
    return given.run_as("bats", *_OPTIONS) if given.program == "bats" and not own and len(given.words) > 1 else None


BATS = TestRunner(
    *("bats", "Shell", _evidence, _launch, _read, (".bats", ".sh", ".bash")),
    adopt=_adopt,
    order=45,
)
