"""Go report: the events of a `go test -json` run, as test cases whose ids name files."""

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestOutcome
from kimi_agent.workspace.testrun.formats.compiled.go_events import GoPackage, GoTest, parse_go_events
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import (
    MAX_EXCERPT_LINE_CHARS,
    MAX_EXCERPT_LINES,
    first_nonblank_line,
    make_path_mapper,
    strip_escapes,
)
from kimi_agent.workspace.testrun.runner import RunResult

GO_TEST_FUNCTION = re.compile(r"^func ((?:Test|Example|Fuzz|Benchmark)\w*)\s*\(", re.MULTILINE)
GO_TEST_FILE = re.compile(r".*_test\.go")
_MODULE = re.compile(r"^module\s+(\S+)", re.MULTILINE)
_USED = re.compile(r"^\s*(?:use\s+)?(\.[\w./-]*)\s*(?://.*)?$", re.MULTILINE)
_LOGGED = re.compile(r"^\s*(?P<file>[\w.-]+\.go):(?P<line>\d+): (?P<message>.*)$")
_FRAME = re.compile(r"^\s+(?P<path>/\S.*\.go):(?P<line>\d+)(?: \+0x[0-9a-f]+)?$")
_COMPILER = re.compile(r"^(?P<path>\S+\.go):(?P<line>\d+)(?::\d+)?: (?P<message>.*)$")
_NOISE = re.compile(r"^\s*(?:=== (?:RUN|PAUSE|CONT|NAME)\b|--- (?:PASS|FAIL|SKIP):|FAIL\b|exit status \d+$)")
_CALL = re.compile(r"^(?:testing|runtime|reflect)\.|^panic\(|^created by testing\.|^goroutine \d+ ")
_PANIC = re.compile(r"^(?:panic:|fatal error:) ")


def read_go_events(ran: RunResult, lines: Iterable[str]) -> ParsedReport:
    """The report in the events of a run. No case is counted as passed without a line that closes it."""
    events = parse_go_events(lines)
    names = _IdMaker(ran, events.compiler)
    cases = merge_cases(case for name, package in events.packages.items() for case in names.cases(name, package))
    unbuilt = [name for name, package in events.packages.items() if package.unbuilt]
    broken = ""
    if unbuilt or (not events.packages and ran.exit_code not in (0, None)):
        first = f"{unbuilt[0]} was not built" if unbuilt else f"go ended with exit {ran.exit_code}"
        broken = "\n".join(events.compiler[:8]) or first
    running = [place for name, package in events.packages.items() for place in names.running(name, package)]
    return ParsedReport(
        cases,
        fatal_error=broken,
        running=", ".join(running[:5]),
        trouble="; ".join(_troubles(events.packages)),
        log=events.log,
        announced=len(cases),
    )


def used_go_modules(folder: ProjectFolder) -> tuple[str, ...]:
    """The modules of a folder's go.work, as it spells them ("./a"); () where it has none."""
    return tuple(dict.fromkeys(_USED.findall(folder.text("go.work")))) if "go.work" in folder.names() else ()


def _troubles(packages: dict[str, GoPackage]) -> Iterable[str]:
    """The packages that failed after their tests, each with its own last words; and those that were not run now."""
    if cached := [name for name, package in packages.items() if package.cached]:
        yield f"not run again, as nothing that they read has changed (cached): {', '.join(cached[:5])}"
    for name, package in packages.items():
        by_a_test = any(test.outcome in (None, "failed") for test in package.tests.values())
        if package.failed and package.tests and not package.unbuilt and not by_a_test:
            yield f"{name} failed after its tests: {package.last_words or 'its program ended with an exit code'}"


class _IdMaker:
    """Spells packages and tests of a run as ids: "pkg/a_test.go::TestA/case"."""

    def __init__(self, ran: RunResult, compiler: list[str]) -> None:
        self._compiler = compiler
        self._folder = ran.folder
        self._spelled = make_path_mapper(ran.root, ran.folder.path)
        modules = {found[1]: "." for found in _MODULE.finditer(ran.folder.text("go.mod"))}
        for used in _USED.findall(ran.folder.text("go.work")):
            modules |= {found[1]: used for found in _MODULE.finditer(ran.folder.text(f"{used}/go.mod"))}
        self._modules = modules
        self._files: dict[str, dict[str, str]] = {}

    def cases(self, name: str, package: GoPackage) -> Iterable[TestCase]:
        """The cases of a package; a test that failed only by its sub-tests is not reported beside them."""
        place = self._place(name)
        cut_short = package.running()
        failed = [test for test, found in package.tests.items() if found.outcome == "failed"]
        for test, found in package.tests.items():
            outcome = None if test in cut_short else found.outcome or ("error" if package.ended else None)
            if found.outcome is None:
                found.errors = ["the program ended while this test ran"]
            if outcome is None or any(other.startswith(test + "/") for other in failed):
                continue
            yield self._case(self.id(name, test), outcome, place, found, package)
        if package.failed and not failed and (package.unbuilt or _panicked(package.output) or not package.tests):
            yield self._whole(name, package, place)

    def running(self, name: str, package: GoPackage) -> list[str]:
        """What began and was not reported to have ended: tests, or the package itself."""
        if package.ended:
            return []
        return [self.id(name, test) for test in package.running()] or [name]

    def _whole(self, name: str, package: GoPackage, place: str) -> TestCase:
        """A package that failed without a failing test: not built, or ended before its tests."""
        node_id = self._spelled(place) or place or name
        if not package.unbuilt:
            case = self._case(node_id, "error", place, GoTest(), package)
            ended = next((line.strip() for line in package.output if line.startswith("exit status")), "it failed")
            return case if case.message else msgspec.structs.replace(case, message=f"{ended}, but no test of it did")
        for line in self._compiler:
            hit = _COMPILER.match(line)
            if hit and Path(hit["path"]).parent == Path(place):
                return TestCase(node_id, "error", self._at(hit["path"], hit["line"]), hit["message"])
        return TestCase(node_id, "error", message="it was not built")

    def id(self, name: str, test: str) -> str:
        place = self._place(name)
        if place not in self._files:
            self._files[place] = {
                function: path
                for path in self._folder.names(place)
                if GO_TEST_FILE.fullmatch(path)
                for function in GO_TEST_FUNCTION.findall(self._folder.text(f"{place}/{path}"))
            }
        file = self._files[place].get(test.split("/")[0], "")
        where = f"{place}/{file}" if file else place
        return f"{self._spelled(where) or where}::{test}"

    def _place(self, name: str) -> str:
        """The folder of a package, relative to where the run was started."""
        for module, place in sorted(self._modules.items(), key=lambda each: -len(each[0])):
            if name == module or name.startswith(module + "/"):
                return "/".join(part for part in (place, name[len(module) + 1 :]) if part)
        return name if name.startswith(".") else "."

    def _case(self, node_id: str, outcome: TestOutcome, place: str, test: GoTest, package: GoPackage) -> TestCase:
        if outcome == "passed":
            return TestCase(node_id, outcome, runs=max(test.runs, 1), failures=test.failures)
        errors = test.errors
        output = test.output + (package.output if not test.runs or _panicked(package.output) else [])
        kept = (line for line in output if line.strip() and not _NOISE.match(line))
        lines = [strip_escapes(line).rstrip()[:MAX_EXCERPT_LINE_CHARS] for line in kept]
        logged = [hit for line in errors or lines if (hit := _LOGGED.match(strip_escapes(line).rstrip()))]
        message = at = ""
        if logged:
            # What a test logged may come before what failed it; older versions print both alike.
            fault = logged[0 if errors else -1]
            message, at = fault["message"], self._at(f"{place}/{fault['file']}", fault["line"])
        if panic := next((line for line in lines if _PANIC.match(line)), ""):
            frames = (hit for line in lines if (hit := _FRAME.match(line)))
            message = panic
            at = next((spelled for hit in frames if (spelled := self._at(hit["path"], hit["line"]))), at)
        if outcome == "skipped":
            return TestCase(node_id, outcome, message=first_nonblank_line(message))
        detail = [line for line in lines if not self._elsewhere(line)][:MAX_EXCERPT_LINES]
        message = message or "\n".join(lines) or "\n".join(errors)
        return TestCase(node_id, outcome, at, first_nonblank_line(message), "\n".join(detail))

    def _elsewhere(self, line: str) -> bool:
        """A frame outside the workspace, or the call that stands above one."""
        frame = _FRAME.match(line)
        return not self._spelled(frame["path"]) if frame else _CALL.match(line) is not None

    def _at(self, path: str, line: str) -> str:
        spelled = self._spelled(path)
        return f"{spelled}:{line}" if spelled else ""


def _panicked(output: list[str]) -> bool:
    return any(_PANIC.match(line) for line in output)
