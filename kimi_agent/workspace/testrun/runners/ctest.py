"""The row of C and C++: the build folder is brought up to date, then ctest runs, read from its JUnit report."""

import os
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from kimi_agent.errors import ToolError
from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.projects.manifests import make_evidence
from kimi_agent.workspace.testrun.projects.project_folder import Folder
from kimi_agent.workspace.testrun.reports.cases import BAD, MOST_CASES, first_errors, merged, name_of, subfolders
from kimi_agent.workspace.testrun.reports.failure_excerpt import MOST_CHARS, MOST_LINES, clean, first_line, within
from kimi_agent.workspace.testrun.reports.report_file import parse_xml
from kimi_agent.workspace.testrun.runner import Bench, Ran, Row
from kimi_agent.workspace.testrun.runners.tasks import just_evidence, task_evidence
from kimi_agent.workspace.testrun.values import Launch, Outcome, Reading, Target, Wish

SUFFIXES = (".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".cmake", "CMakeLists.txt")
_BUILD = re.compile(r"(?:build|Build|_build|out|cmake-build-.+|build[-_.].+)")
_MOST_TEXT = 200_000
_TESTS = re.compile(r"^\s*(?:enable_testing\s*\(|include\s*\(\s*CTest\s*\))", re.MULTILINE | re.IGNORECASE)
_HOME = re.compile(r"^CMAKE_HOME_DIRECTORY:INTERNAL=(.+)$", re.MULTILINE)
_CONFIGURATIONS = re.compile(
    r"^(?:CMAKE_DEFAULT_BUILD_TYPE|CMAKE_CONFIGURATION_TYPES):\w+=([\w.+-]+)(?=[;\r\n]|$)", re.MULTILINE
)
_STARTED = re.compile(r"^\s*Start\s+\d+: (.+)$")
_ENDED = re.compile(r"^\s*\d+/\d+ Test\s+#\d+: (?P<name>.+?) \.+(?:\s*(?P<ok>Passed)|\*\*\*(?P<how>.*?))\s+[\d.]+ sec")
_ERROR = re.compile(r"\berror\b[ :]|\bError \d|\*\*\*|FAILED:|undefined reference|CMake Error", re.IGNORECASE)
# As compilers, gtest and Catch2 write it; assert() puts the name of the program before it.
_FAULT = re.compile(
    r"^\s*(?:[^\s:/]+: )?(?P<path>[^:()]+)[:(](?P<line>\d+)(?:[:)]\d*)*:? .*(?:fail|error|assert)", re.IGNORECASE
)


@dataclass(frozen=True)
class _Tree:
    """A configured build folder: its name below the source folder, and the configuration to build ("" for the one)."""

    name: str
    configuration: str


def ctest_evidence(folder: Folder) -> str:
    """The build folder with tests in it, or the CMakeLists.txt that declares some.

    Without a build folder, a task that builds and tests by itself is the better way.
    """
    tree = _tree(folder)
    if tree is not None:
        return f"{tree.name}/CTestTestfile.cmake"
    if not _TESTS.search(folder.text("CMakeLists.txt")):
        return ""
    others = (make_evidence, just_evidence, task_evidence)
    return "" if any(evidence(folder) for evidence in others) else "CMakeLists.txt declares tests"


async def _launch(folder: Folder, wish: Wish, why: str, bench: Bench) -> Launch | None:
    cmake, ctest = bench.runner.which("cmake"), bench.runner.which("ctest")
    if cmake is None or ctest is None:
        return None
    tree = _tree(folder)
    if tree is None:
        raise ToolError(
            "not_found",
            "CMakeLists.txt declares tests, but there is no build folder, so nothing can be run yet",
            "run `cmake -S . -B build` in the shell, then run_tests: it builds and runs ctest",
        )
    words = ctest_words(folder, wish, tree.name)
    if words is None:
        return None
    configured = ("--config", tree.configuration) if tree.configuration else ()
    build = ("--build", tree.name, *configured)
    options = ("--output-junit", str(bench.report), "--output-on-failure", "--no-tests=ignore")
    chosen = (*words, *(("-C", tree.configuration) if tree.configuration else ()))
    # ctest alone would test what was built some time ago: evidence about other sources than these.
    script = f"{shlex.join((cmake, *build))} && exec {shlex.join((ctest, *chosen, *options))}"
    shown = f"{shlex.join(('cmake', *build))} && {shlex.join(('ctest', *chosen))}"
    env = {"CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1), "CLICOLOR_FORCE": "0"}
    return Launch("ctest", why, ("/bin/sh", "-c", script), shown, folder.path, env)


def ctest_words(folder: Folder, wish: Wish, tree: str) -> tuple[str, ...] | None:
    """The words that select what is wished; None for what ctest cannot select."""
    names: list[str] = []
    below = ""
    for target in wish.targets:
        if target.node:
            if target.path != folder.path / _anchor(folder):
                return None
            names.append(_quoted(target.node))
        elif (found := _below(folder, target, tree)) is None or len(wish.targets) > 1:
            return None
        else:
            below = found
    if names and wish.name:
        return None
    pattern = f"^({'|'.join(names)})$" if names else _quoted(wish.name)
    return ("--test-dir", f"{tree}/{below}" if below else tree, *(("-R", pattern) if pattern else ()))


def _read(ran: Ran) -> Reading:
    told = _told(ran.lines)
    report = _Report()
    trouble = parse_xml(ran.report, start=report.start, end=report.end, text=report.text)
    spelled = within(ran.root, ran.folder.path)
    anchor = spelled(str(ran.folder.path / _anchor(ran.folder)))
    if trouble is None or (trouble and not report.tests):
        cases = merged(TestCase(f"{anchor}::{name}", outcome) for name, (outcome, _) in told.ended.items())
        # Nothing was started: the build, or ctest itself, ended before.
        stopped = not told.started and not cases and ran.exit_code is not None
        why = first_errors(ran.lines, _ERROR) if stopped else ""
        running = ", ".join(f"{anchor}::{name}" for name in told.started)
        return Reading(cases, why, running, trouble=trouble or "", whole=False)
    cases = merged(_case(test, anchor, told.ended.get(test.name, ("passed", ""))[1], spelled) for test in report.tests)
    return Reading(cases, trouble=trouble, whole=not trouble)


@dataclass
class _Test:
    """One `testcase` of the report; `status` is ctest's own word."""

    name: str
    status: str
    message: str = ""
    output: str = ""

    @property
    def outcome(self) -> Outcome:
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


class _Report:
    """Takes the report's elements; `tests` is what was kept of them."""

    def __init__(self) -> None:
        self.tests: list[_Test] = []
        self._test: _Test | None = None
        self._taking = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "testcase":
            self._test = _Test(name_of(attributes.get("name", "")), attributes.get("status", ""))
        elif tag in ("skipped", "failure") and self._test is not None:
            self._test.message = attributes.get("message", "")[:MOST_CHARS]
        self._taking = tag == "system-out"

    def text(self, text: str) -> None:
        if self._taking and self._test is not None:
            self._test.output = (self._test.output + text)[-_MOST_TEXT:]

    def end(self, tag: str) -> None:
        self._taking = False
        if tag == "testcase" and self._test is not None:
            test, self._test = self._test, None
            if test.outcome not in BAD:
                test.output = ""
            if test.outcome in BAD or len(self.tests) < MOST_CASES:
                self.tests.append(test)


@dataclass
class _Told:
    """What the lines say: how each test ended (its outcome and ctest's words), and which began and did not end."""

    ended: dict[str, tuple[Outcome, str]] = field(default_factory=dict)
    started: dict[str, None] = field(default_factory=dict)


def _told(lines: Iterable[str]) -> _Told:
    told = _Told()
    for raw in lines:
        line = clean(raw).rstrip()
        if ended := _ENDED.match(line):
            told.started.pop(name_of(ended["name"]), None)
            if len(told.ended) < MOST_CASES:
                how = (ended["how"] or "").strip()
                told.ended[name_of(ended["name"])] = (_outcome(how), how)
        elif started := _STARTED.match(line):
            told.started[name_of(started[1])] = None
    return told


def _outcome(how: str) -> Outcome:
    if not how:
        return "passed"
    if how == "Skipped" or "Disabled" in how:
        return "skipped"
    return "error" if how.startswith("Not Run") else "failed"


def _case(test: _Test, anchor: str, how: str, spelled: Callable[[str], str]) -> TestCase:
    node_id = f"{anchor}::{test.name}"
    if test.outcome not in BAD:
        return TestCase(node_id, test.outcome, message=first_line(test.message))
    lines = [line.rstrip()[:MOST_CHARS] for line in clean(test.output).split("\n") if line.strip()]
    at = next((number for number, line in enumerate(lines) if _FAULT.search(line)), None)
    place = ""
    for line in lines if at is not None else []:
        fault = _FAULT.search(line)
        if fault and (path := spelled(fault["path"])):
            place = f"{path}:{fault['line']}"
            break
    detail = lines[at : at + MOST_LINES] if at is not None else lines[-MOST_LINES:]
    says = test.message or ("" if how == "Failed" else how)
    message = ": ".join(filter(None, (says, lines[at if at is not None else -1] if lines else "")))
    return TestCase(node_id, test.outcome, place, first_line(message) or how, "\n".join(detail))


def _tree(folder: Folder) -> _Tree | None:
    """The build folder of these sources; of several the one that was configured last."""
    found: list[tuple[float, str]] = []
    for name in _candidates(folder.path):
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
    return _Tree(name, types[1] if types else "")


def _candidates(path: Path) -> list[str]:
    names = [name for name in subfolders(path) if _BUILD.fullmatch(name)]
    below = [f"{name}/{inner}" for name in names[:50] for inner in subfolders(path / name)[:50]]
    deeper = [f"{name}/{inner}" for name in below if name == "out/build" for inner in subfolders(path / name)[:50]]
    return [".", *names, *below, *deeper]


def _below(folder: Folder, target: Target, tree: str) -> str | None:
    """The part of the build that belongs to a folder of sources: "" for all of it, None where it has none."""
    if not target.path.is_dir() or not target.path.is_relative_to(folder.path):
        return None
    below = target.path.relative_to(folder.path).as_posix()
    if below == ".":
        return ""
    return below if (folder.path / tree / below / "CTestTestfile.cmake").is_file() else None


def _anchor(folder: Folder) -> str:
    """The file that ids begin with: a test of ctest's has a name and no file, but a target is a path."""
    return "CMakeLists.txt" if "CMakeLists.txt" in folder.names() else "CTestTestfile.cmake"


def _quoted(name: str) -> str:
    """`name` for CMake's own regular expressions, which know these characters and no others."""
    return re.sub(r"([\\^$.\[\]*+?|()-])", r"\\\1", name)


CTEST = Row("ctest", "C/C++", ctest_evidence, _launch, _read, SUFFIXES)
