"""mix runner (Elixir): `mix test`, parsed from the text of its trace."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestOutcome, TestSelection
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import (
    MAX_CASES,
    clean_test_name,
    excerpt_first_error,
    excerpt_innermost_first,
    list_subfolders,
    merge_cases,
    path_argument,
    targets_of_one_kind,
)
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper, strip_escapes
from kimi_agent.workspace.testrun.runner import LaunchRequest, RunResult, TestRunner, first_file

_MODULE = re.compile(r"^(?P<module>\S+) \[(?P<path>.+)\]$")
_PROJECT = re.compile(r"^==> (\w+)$")
_TEST = re.compile(r"^  \* (?P<name>.+?)(?: \((?P<how>[\d.]+m?s|skipped|excluded)\))? \[L#(?P<line>\d+)\]")
_BLOCK = re.compile(r"^ {1,4}\d+\) (?P<name>.+) \((?P<module>[\w.]+)\)$")
_SETUP_ALL_FAILURE = re.compile(r"^ {1,4}\d+\) (?P<module>[\w.]+): failure on setup_all callback")
_SUMMARY = re.compile(r"^(?:\d+ \w+, )*(?P<ran>\d+) tests?, (?P<bad>\d+) failures?(?:, .*)?$")
_FRAME = re.compile(r"\s*(?:\([\w.]+ \S+\) )?(?P<path>[^\s:()]+\.exs?):(?P<line>\d+): .*")
_BUILD_ERROR = re.compile(r"^== Compilation error|\*\* \(|^\s*error:|Could not|could not")
_NONE = "There are no tests to run"
_MOST_BLOCK = 200
_TRACE_OPTIONS = ("--trace", "--no-color")  # without the trace only failing tests have names
_ENV = {"LC_ALL": "C.UTF-8"}


async def _launch(request: LaunchRequest) -> TestCommand | None:
    mix = request.which("mix")
    words = mix_arguments(request.folder, request.selection)
    if mix is None or words is None:
        return None
    return request.command("mix", (mix, "test", *_TRACE_OPTIONS, *words), ("mix", "test", *words), _ENV)


def mix_arguments(folder: ProjectFolder, selection: TestSelection) -> tuple[str, ...] | None:
    """The files and names; None for what mix cannot select: a part of a name, or names of some of the files only."""
    targets = targets_of_one_kind(selection)
    if targets is None or selection.name or any(not target.path.is_relative_to(folder.path) for target in targets):
        return None
    if any(not (target.path.is_dir() or target.path.suffix == ".exs") for target in targets):
        return None
    files = dict.fromkeys(path_argument(each.path, folder.path) for each in targets if each.path != folder.path)
    only = [word for each in targets if each.node for word in ("--only", f"test:{each.node}")]
    return (*files, *only)


def _read(ran: RunResult) -> ParsedReport:
    text = _TraceParser(frozenset(list_subfolders(ran.folder.path / "apps")))
    for line in ran.lines:
        text.take(strip_escapes(line.rpartition("\r")[2] or line).rstrip())
    spelled = make_path_mapper(ran.root, ran.folder.path)
    cases = merge_cases(_case(found, spelled) for found in text.found.values() if found.outcome is not None)
    if text.ran is None and any(line.strip() == _NONE for line in ran.lines):
        return ParsedReport(stated_result="none")
    if text.ran is None:
        why = excerpt_first_error(ran.lines, _BUILD_ERROR) if ran.exit_code and not text.found else ""
        running = [_id(found, spelled) for found in text.found.values() if found.outcome is None and not found.excluded]
        return ParsedReport(cases, why, ", ".join(running[:5]), is_complete=False)
    trouble = ""
    if text.ran > len(text.found):
        trouble = f"the runner counts {text.ran} tests, of which {len(text.found)} could be read from its output"
    bad = sum(case.outcome in FAILED_OUTCOMES for case in cases)
    if not text.bad and not cases:
        return ParsedReport(stated_result="none", trouble=trouble)
    return ParsedReport(cases, stated_result="failed" if text.bad and not bad else "", trouble=trouble)


@dataclass
class _TracedTest:
    module: str
    path: str
    name: str
    line: str
    outcome: TestOutcome | None = None
    excluded: bool = False
    block: list[str] = field(default_factory=list)


class _TraceParser:
    """The traced output, taken line by line. `apps` are the projects of an umbrella, whose paths start there."""

    def __init__(self, apps: frozenset[str]) -> None:
        self._apps = apps
        self._below = ""
        self.found: dict[tuple[str, str], _TracedTest] = {}
        self.ran: int | None = None
        self.bad = 0
        self._module = self._path = ""
        self._block: list[str] | None = None

    def take(self, line: str) -> None:
        if test := _TEST.match(line):
            self._block = None
            self._test(test)
        elif module := _MODULE.match(line):
            self._block = None
            self._module, self._path = module["module"], self._below + module["path"]
        elif project := _PROJECT.match(line):
            self._below = f"apps/{project[1]}/" if project[1] in self._apps else ""
        elif summary := _SUMMARY.match(line):
            self._block = None
            self.ran = int(summary["ran"]) + (self.ran or 0)  # an umbrella has several
            self.bad += int(summary["bad"])
        elif invalid := _SETUP_ALL_FAILURE.match(line):
            self._open([found for found in self.found.values() if found.module == invalid["module"]], "error")
        elif block := _BLOCK.match(line):
            found = self.found.get((block["module"], clean_test_name(block["name"])))
            self._open([found] if found else [], "failed")
        elif self._block is not None and len(self._block) < _MOST_BLOCK:
            self._block.append(line)

    def _test(self, test: re.Match[str]) -> None:
        key = (self._module, clean_test_name(test["name"]))
        if key not in self.found and len(self.found) >= MAX_CASES:
            return
        found = self.found.setdefault(key, _TracedTest(self._module, self._path, key[1], test["line"]))
        if test["how"] == "excluded":
            found.excluded = True
        elif test["how"] and found.outcome is None:
            found.outcome = "skipped" if test["how"] == "skipped" else "passed"

    def _open(self, found: list[_TracedTest], outcome: TestOutcome) -> None:
        self._block = []
        for each in found:
            each.outcome, each.block = outcome, self._block


def _id(found: _TracedTest, spelled: Callable[[str], str]) -> str:
    return f"{spelled(found.path) or found.path}::{found.name}"


def _case(found: _TracedTest, spelled: Callable[[str], str]) -> TestCase:
    node_id = _id(found, spelled)
    if found.outcome not in FAILED_OUTCOMES:
        return TestCase(node_id, found.outcome or "passed")

    def frame(line: str) -> str | None:
        at = _FRAME.fullmatch(line)
        if at is None:
            return "" if line.strip() == "stacktrace:" else None
        place = spelled(at["path"])
        return f"{place}:{at['line']}" if place and not place.startswith("deps/") else ""

    file = spelled(found.path)
    # The first line says again where the test stands.
    body = [line[5:] if line.startswith("     ") else line for line in found.block]
    body = body[1:] if body and re.fullmatch(r"\S+:\d+", body[0]) else body
    shortened = excerpt_innermost_first("\n".join(body), frame, file)
    message = next((line for line in body if line.strip()), "")
    # An exception is shown with its name in brackets; an assertion is not.
    outcome: TestOutcome = "error" if message.startswith("** (") or found.outcome == "error" else "failed"
    place = shortened.place or (f"{file}:{found.line}" if file else "")
    return TestCase(node_id, outcome, place, first_nonblank_line(message), shortened.detail)


MIX = TestRunner(
    *("mix", "Elixir", first_file("mix.exs"), _launch, _read, (".ex", ".exs")),
    adopt=lambda given: given.run_as("mix", *_TRACE_OPTIONS, env=_ENV) if given.starts("mix", "test") else None,
    manifests=(r"mix\.exs",),
    order=40,
)
