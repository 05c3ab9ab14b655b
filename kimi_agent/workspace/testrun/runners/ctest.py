"""CTest runner (C and C++): build what changed in the build folder, run ctest, parse its JUnit report."""

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.errors import ToolError
from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestOutcome, TestSelection
from kimi_agent.workspace.testrun.formats.compiled.ctest_output import CTestLine, parse_ctest_lines
from kimi_agent.workspace.testrun.projects.build_folders import list_build_folders
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import (
    MAX_CASES,
    clean_test_name,
    excerpt_first_error,
    merge_cases,
)
from kimi_agent.workspace.testrun.reports.failure_excerpt import (
    MAX_EXCERPT_LINE_CHARS,
    MAX_EXCERPT_LINES,
    first_nonblank_line,
    make_path_mapper,
    strip_escapes,
)
from kimi_agent.workspace.testrun.reports.report_file import stream_xml
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner

CTEST_SUFFIXES = (".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".cmake", "CMakeLists.txt")
_MOST_TEXT = 200_000
_TESTS = re.compile(r"^\s*(?:enable_testing\s*\(|include\s*\(\s*CTest\s*\))", re.MULTILINE | re.IGNORECASE)
_HOME = re.compile(r"^CMAKE_HOME_DIRECTORY:INTERNAL=(.+)$", re.MULTILINE)
_CONFIGURATIONS = re.compile(
    r"^(?:CMAKE_DEFAULT_BUILD_TYPE|CMAKE_CONFIGURATION_TYPES):\w+=([\w.+-]+)(?=[;\r\n]|$)", re.MULTILINE
)
_NUMBERED = re.compile(r" \(\d+\)$")
_ERROR = re.compile(r"\berror\b[ :]|\bError \d|\*\*\*|FAILED:|undefined reference|CMake Error", re.IGNORECASE)
# As compilers, gtest and Catch2 write it; assert() puts the name of the program before it.
_FAULT = re.compile(
    r"^\s*(?:[^\s:/]+: )?(?P<path>[^:()]+)[:(](?P<line>\d+)(?:[:)]\d*)*:? .*(?:fail|error|assert)", re.IGNORECASE
)


@dataclass(frozen=True)
class _BuildFolder:
    """A configured build folder: its name below the source folder, and the configuration to build ("" for the one)."""

    name: str
    configuration: str


def ctest_evidence(folder: ProjectFolder) -> str:
    """The build folder with tests in it, or the CMakeLists.txt that declares some."""
    if tree := _find_build_folder(folder):
        return f"{tree.name}/CTestTestfile.cmake"
    return "CMakeLists.txt declares tests" if _TESTS.search(folder.text("CMakeLists.txt")) else ""


async def _launch(request: LaunchRequest) -> TestCommand | None:
    cmake, ctest = request.which("cmake"), request.which("ctest")
    if cmake is None or ctest is None:
        return None
    tree = _find_build_folder(request.folder)
    if tree is None:
        why = "CMakeLists.txt declares tests, but there is no build folder, so nothing can be run yet"
        mend = "run `cmake -S . -B build` in the shell, then run_tests: it builds and runs ctest"
        raise ToolError("not_found", why, mend)
    words = ctest_arguments(request.folder, request.selection, tree.name)
    if words is None:
        return None
    configured = ("--config", tree.configuration) if tree.configuration else ()
    build = ("--build", tree.name, *configured)
    options = (*_report_options(request.report_path), "--no-tests=ignore")
    chosen = (*words, *(("-C", tree.configuration) if tree.configuration else ()))
    # ctest alone would test what was built some time ago: evidence about other sources than these.
    script = f"{shlex.join((cmake, *build))} && exec {shlex.join((ctest, *chosen, *options))}"
    shown = f"{shlex.join(('cmake', *build))} && {shlex.join(('ctest', *chosen))}"
    env = {"CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1), "CLICOLOR_FORCE": "0"}
    return TestCommand("ctest", request.why, ("/bin/sh", "-c", script), shown, request.folder.path, env)


def _report_options(report: Path) -> tuple[str, ...]:
    return ("--output-junit", str(report), "--output-on-failure")


def ctest_arguments(folder: ProjectFolder, selection: TestSelection, tree: str) -> tuple[str, ...] | None:
    """The words that select the tests; None for what ctest cannot select."""
    names: list[str] = []
    below = ""
    for target in selection.targets:
        if target.node:
            if target.path != folder.path / _id_file(folder):
                return None
            # Of several tests of one name the second is "name (2)": ctest can't tell them apart, so all of them run.
            names += dict.fromkeys(_escape_regex(name) for name in (target.node, _NUMBERED.sub("", target.node)))
        elif (found := _build_subfolder(folder, target.path, tree)) is None or len(selection.targets) > 1:
            return None
        else:
            below = found
    if names and selection.name:
        return None
    pattern = f"^({'|'.join(names)})$" if names else _escape_regex(selection.name)
    return ("--test-dir", f"{tree}/{below}" if below else tree, *(("-R", pattern) if pattern else ()))


def _read(ran: RunResult) -> ParsedReport:
    live = parse_ctest_lines(ran.lines)
    report = _JUnitHandler()
    trouble = stream_xml(ran.report_path, start=report.start, end=report.end, text=report.text)
    spelled = make_path_mapper(ran.root, ran.folder.path)
    anchor = spelled(str(ran.folder.path / _id_file(ran.folder)))
    names = live.unique_names()
    if trouble is None or (trouble and not report.tests):
        cases = merge_cases(TestCase(f"{anchor}::{names[number]}", test.outcome) for number, test in live.ended.items())
        # Nothing was started: the build, or ctest itself, ended before.
        stopped = not live.running and not cases and ran.exit_code is not None
        why = excerpt_first_error(ran.lines, _ERROR) if stopped else ""
        running = ", ".join(f"{anchor}::{names[number]}" for number in live.running)
        return ParsedReport(cases, why, running, trouble=trouble or "", is_complete=False)
    numbers = live.numbers()
    found: list[TestCase] = []
    for test in report.tests:
        # The report has no numbers; it holds the tests in the order in which they ended, as the lines do.
        number = next(iter(numbers.get(test.name, ())), None)
        numbers[test.name] = numbers.get(test.name, [])[1:]
        how = live.ended.get(number, CTestLine(test.name)) if number is not None else CTestLine(test.name)
        found.append(_case(test, f"{anchor}::{names.get(number, test.name)}", how, spelled))
    cases = merge_cases(found)
    return ParsedReport(
        cases, trouble=trouble, is_complete=not trouble, announced=live.announced, ended=max(report.total, len(cases))
    )


@dataclass
class _Test:
    """One `testcase` of the report; `status` is ctest's own word."""

    name: str
    status: str
    message: str = ""
    output: str = ""

    @property
    def outcome(self) -> TestOutcome:
        match self.status:
            case "run":
                return "passed"
            case "disabled":
                return "skipped"
            case "notrun":
                # The same mark for a test that chose to be skipped and one whose program was not built.
                return "skipped" if self.message.startswith("SKIP_") else "error"
            case _:
                return "failed"


class _JUnitHandler:
    """Takes the report's elements; `tests` is what was kept of them."""

    def __init__(self) -> None:
        self.tests: list[_Test] = []
        self.total = 0
        self._test: _Test | None = None
        self._taking = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "testcase":
            self._test = _Test(clean_test_name(attributes.get("name", "")), attributes.get("status", ""))
        elif tag in ("skipped", "failure") and self._test is not None:
            self._test.message = attributes.get("message", "")[:MAX_EXCERPT_LINE_CHARS]
        self._taking = tag == "system-out"

    def text(self, text: str) -> None:
        if self._taking and self._test is not None:
            self._test.output = (self._test.output + text)[-_MOST_TEXT:]

    def end(self, tag: str) -> None:
        self._taking = False
        if tag == "testcase" and self._test is not None:
            test, self._test = self._test, None
            self.total += 1
            if test.outcome not in FAILED_OUTCOMES:
                test.output = ""
            if test.outcome in FAILED_OUTCOMES or len(self.tests) < MAX_CASES:
                self.tests.append(test)


def _case(test: _Test, node_id: str, live: CTestLine, spelled: Callable[[str], str]) -> TestCase:
    if test.outcome not in FAILED_OUTCOMES:
        message = first_nonblank_line(test.message)
        return TestCase(node_id, test.outcome, message=message, runs=max(live.runs, 1), failures=live.failures)
    how = live.how
    lines = [line.rstrip()[:MAX_EXCERPT_LINE_CHARS] for line in strip_escapes(test.output).split("\n") if line.strip()]
    at = next((number for number, line in enumerate(lines) if _FAULT.search(line)), None)
    place = ""
    for line in lines if at is not None else []:
        fault = _FAULT.search(line)
        if fault and (path := spelled(fault["path"])):
            place = f"{path}:{fault['line']}"
            break
    detail = lines[at : at + MAX_EXCERPT_LINES] if at is not None else lines[-MAX_EXCERPT_LINES:]
    says = test.message or ("" if how == "Failed" else how)
    message = ": ".join(filter(None, (says, lines[at if at is not None else -1] if lines else "")))
    return TestCase(node_id, test.outcome, place, first_nonblank_line(message) or how, "\n".join(detail))


def _find_build_folder(folder: ProjectFolder) -> _BuildFolder | None:
    """The build folder of these sources; of several the one that was configured last."""
    found: list[tuple[float, str]] = []
    for name in list_build_folders(folder.path):
        cache = folder.path / name / "CMakeCache.txt"
        if not (folder.path / name / "CTestTestfile.cmake").is_file():
            continue
        home = _HOME.search(folder.text(f"{name}/CMakeCache.txt"))
        # A copied folder still builds where it was copied from: its tests would say nothing about these sources.
        if home and Path(os.path.realpath(home[1].strip())).is_relative_to(folder.path):
            found.append((-cache.stat().st_mtime, name))
    if not found:
        return None
    name = min(found)[1]
    types = _CONFIGURATIONS.search(folder.text(f"{name}/CMakeCache.txt"))
    return _BuildFolder(name, types[1] if types else "")


def _build_subfolder(folder: ProjectFolder, path: Path, tree: str) -> str | None:
    """The part of the build that belongs to a folder of sources: "" for all of it, None where it has none."""
    if not path.is_dir() or not path.is_relative_to(folder.path):
        return None
    below = path.relative_to(folder.path).as_posix()
    if below == ".":
        return ""
    return below if (folder.path / tree / below / "CTestTestfile.cmake").is_file() else None


def _id_file(folder: ProjectFolder) -> str:
    """The file that ids begin with: a test of ctest's has a name and no file, but a target is a path."""
    return "CMakeLists.txt" if "CMakeLists.txt" in folder.names() else "CTestTestfile.cmake"


def _escape_regex(name: str) -> str:
    """`name` for CMake's own regular expressions, which know these characters and no others."""
    return re.sub(r"([\\^$.\[\]*+?|()-])", r"\\\1", name)


def _covers(folder: ProjectFolder, below: str) -> bool:
    """Whether the build holds the tests of a folder with a CMakeLists.txt of its own (add_subdirectory)."""
    tree = _find_build_folder(folder)
    return tree is not None and (folder.path / tree.name / below / "CTestTestfile.cmake").is_file()


def _adopt(given: GivenCommand) -> TestCommand | None:
    return given.run_as("ctest", *_report_options(given.report_path)) if given.program == "ctest" else None


CTEST = TestRunner(
    *("ctest", "C/C++", ctest_evidence, _launch, _read, CTEST_SUFFIXES),
    adopt=_adopt,
    manifests=(r"CMakeLists\.txt",),
    order=35,
    # Without a build folder, a task that builds and tests by itself is the better way.
    yields_to_tasks=lambda folder: _find_build_folder(folder) is None,
    covers=_covers,
)
