"""go runner: `go test -json`, parsed from the events in its output as they are."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from kimi_agent.errors import ToolError
from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestOutcome, TestSelection
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import merge_cases, path_argument
from kimi_agent.workspace.testrun.reports.failure_excerpt import (
    MAX_EXCERPT_LINE_CHARS,
    MAX_EXCERPT_LINES,
    first_nonblank_line,
    make_path_mapper,
    strip_escapes,
)
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner, first_file

_MODULE = re.compile(r"^module\s+(\S+)", re.MULTILINE)
_USED = re.compile(r"^\s*(?:use\s+)?(\.[\w./-]*)\s*(?://.*)?$", re.MULTILINE)
_DECLARED = re.compile(r"^func ((?:Test|Example|Fuzz|Benchmark)\w*)\s*\(", re.MULTILINE)
_TEST_FILE = re.compile(r".*_test\.go")
_LOGGED = re.compile(r"^\s*(?P<file>[\w.-]+\.go):(?P<line>\d+): (?P<message>.*)$")
_FRAME = re.compile(r"^\s+(?P<path>/\S.*\.go):(?P<line>\d+)(?: \+0x[0-9a-f]+)?$")
_COMPILER = re.compile(r"^(?P<path>\S+\.go):(?P<line>\d+)(?::\d+)?: (?P<message>.*)$")
_NOISE = re.compile(r"^\s*(?:=== (?:RUN|PAUSE|CONT|NAME)\b|--- (?:PASS|FAIL|SKIP):|FAIL\b|exit status \d+$)")
_CALL = re.compile(r"^(?:testing|runtime|reflect)\.|^panic\(|^created by testing\.|^goroutine \d+ ")
_PANIC = re.compile(r"^(?:panic:|fatal error:) ")
_OUTCOMES: Mapping[str, TestOutcome] = {"pass": "passed", "fail": "failed", "skip": "skipped"}
_MOST_OUTPUT, _MOST_LOG = 400, 5_000_000


def go_arguments(selection: TestSelection, folder: ProjectFolder) -> tuple[str, ...]:
    """The packages and the `-run` that select the tests. Raises ToolError for a name beside node ids."""
    if selection.name and any(target.node for target in selection.targets):
        raise ToolError("bad_arguments", "go test takes a name or node ids, not both", "give one of the two")
    if not selection.targets:
        return (*((f"-run={_escape_levels(selection.name)}",) if selection.name else ()), *_all_packages(folder))
    packages = dict.fromkeys(_package(target.path, folder, whole=not target.node) for target in selection.targets)
    run = _escape_levels(selection.name) if selection.name else _selected(selection, folder)
    return (*((f"-run={run}",) if run else ()), *packages)


def printed_text(line: str) -> str:
    """The text that an event prints, for the person who watches."""
    event = _event(line)
    return str(event.get("Output", "")) if event else line


def read_go_output(ran: RunResult) -> ParsedReport:
    """The events of a run; text between them comes from the compiler of older versions."""
    events = _EventReader()
    for line in ran.lines:
        events.take(line)
    names = _IdMaker(ran, events.compiler)
    cases = merge_cases(case for name, package in events.packages.items() for case in names.cases(name, package))
    unbuilt = [name for name, package in events.packages.items() if package.unbuilt]
    broken = ""
    if unbuilt or (not events.packages and ran.exit_code not in (0, None)):
        first = f"{unbuilt[0]} was not built" if unbuilt else f"go ended with exit {ran.exit_code}"
        broken = "\n".join(events.compiler[:8]) or first
    running = [names.id(name, test) for name, package in events.packages.items() for test in package.running()]
    return ParsedReport(cases, fatal_error=broken, running=", ".join(running[:5]), log=events.log())


async def _launch(request: LaunchRequest) -> TestCommand | None:
    go = request.which("go")
    if go is None:
        return None
    words = go_arguments(request.selection, request.folder)
    # A result out of the cache would be no result of this run; how long it may take is our limit.
    argv = (go, "test", "-json", "-count=1", "-timeout=0", *words)
    return replace(request.command("go test", argv, ("go", "test", *words)), show_line=printed_text)


def _all_packages(folder: ProjectFolder) -> tuple[str, ...]:
    if "go.mod" in folder.names() or "go.work" not in folder.names():
        return ("./...",)
    used = dict.fromkeys(_USED.findall(folder.text("go.work")))
    return tuple(f"{module.rstrip('/')}/..." for module in used) or ("./...",)


def _package(path: Path, folder: ProjectFolder, *, whole: bool) -> str:
    # A folder means all that is below it, a file the package that it belongs to.
    place = path if path.is_dir() else path.parent
    spelled = path_argument(place, folder.path)
    spelled = "." if spelled == "." else f"./{spelled.removeprefix('./')}"
    return f"{spelled}/..." if whole and path.is_dir() else spelled


def _selected(selection: TestSelection, folder: ProjectFolder) -> str:
    """`-run` for node ids and test files; "" where one of the targets means all tests of its package."""
    wanted: list[list[str]] = []
    for target in selection.targets:
        if target.node:
            wanted.append(target.node.split("/"))
        elif _TEST_FILE.fullmatch(target.path.name) and (declared := _declared(folder, target.path)):
            wanted += [[name] for name in declared]
        else:
            return ""
    # One pattern holds for all packages, level by level: where the depths differ, only the first levels count.
    depth = min(len(levels) for levels in wanted)
    return "/".join(f"^({'|'.join(dict.fromkeys(_escaped(each[n]) for each in wanted))})$" for n in range(depth))


def _declared(folder: ProjectFolder, path: Path) -> list[str]:
    return _DECLARED.findall(folder.text(path_argument(path, folder.path)))


def _escape_levels(name: str) -> str:
    return "/".join(_escaped(part.replace(" ", "_")) for part in name.split("/"))


def _escaped(text: str) -> str:
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)


@dataclass
class _Test:
    outcome: TestOutcome | None = None
    output: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)  # those lines of it that made it fail, where Go says so (1.25)


@dataclass
class _Package:
    """The events of one package. `failed` also where none of its tests did: a panic, an exit, a failed build."""

    tests: dict[str, _Test] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)
    failed: bool = False
    unbuilt: bool = False
    ended: bool = False

    def running(self) -> list[str]:
        return [] if self.ended else [name for name, test in self.tests.items() if test.outcome is None]


class _EventReader:
    def __init__(self) -> None:
        self.packages: dict[str, _Package] = {}
        self.compiler: list[str] = []
        self._log: list[str] = []
        self._size = 0

    def take(self, line: str) -> None:
        event = _event(line)
        if event is None:
            self._print(line + "\n")
            if line.strip() and len(self.compiler) < _MOST_OUTPUT and not line.startswith("FAIL"):
                self.compiler.append(strip_escapes(line)[:MAX_EXCERPT_LINE_CHARS])
            return
        action, text = event.get("Action"), event.get("Output")
        output = text if isinstance(text, str) else ""
        self._print(output)
        if action == "build-output" and len(self.compiler) < _MOST_OUTPUT:
            self.compiler.append(strip_escapes(output).rstrip()[:MAX_EXCERPT_LINE_CHARS])
        name = event.get("Package")
        if not isinstance(name, str):
            return
        package = self.packages.setdefault(name, _Package())
        test = event.get("Test")
        if isinstance(test, str):
            found = package.tests.setdefault(test, _Test())
            self._test(found, str(action), output)
            if event.get("OutputType") == "error" and len(found.errors) < MAX_EXCERPT_LINES:
                found.errors.append(output)
        elif action == "output":
            package.output += [output] if len(package.output) < _MOST_OUTPUT else []
            package.unbuilt = package.unbuilt or "[build failed]" in output or "[setup failed]" in output
        elif action in _OUTCOMES:
            package.ended = True
            package.failed = action == "fail"
            package.unbuilt = package.unbuilt or "FailedBuild" in event

    def log(self) -> str:
        """The output as `go test -v` prints it; "" where it is too long to be made."""
        return "".join(self._log) if self._size < _MOST_LOG else ""

    def _test(self, test: _Test, action: str, output: str) -> None:
        if action in _OUTCOMES:
            test.outcome = _OUTCOMES[action]
        elif output and len(test.output) < _MOST_OUTPUT:
            test.output.append(output)

    def _print(self, text: str) -> None:
        self._size += len(text)
        if self._size < _MOST_LOG:
            self._log.append(text)


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

    def cases(self, name: str, package: _Package) -> Iterable[TestCase]:
        """The cases of a package; a test that failed only by its sub-tests is not reported beside them."""
        place = self._place(name)
        failed = [test for test, found in package.tests.items() if found.outcome == "failed"]
        for test, found in package.tests.items():
            outcome = found.outcome or ("error" if package.ended else None)
            if found.outcome is None:
                found.errors = ["the program ended while this test ran"]
            if outcome is None or any(other.startswith(test + "/") for other in failed):
                continue
            lines = found.output + (package.output if _panicked(package.output) else [])
            yield self._case(self.id(name, test), outcome, lines, place, found.errors)
        if package.failed and not failed and (package.unbuilt or _panicked(package.output) or not package.tests):
            yield self._whole(name, package, place)

    def _whole(self, name: str, package: _Package, place: str) -> TestCase:
        """A package that failed without a failing test: not built, or ended before its tests."""
        node_id = self._spelled(place) or place or name
        if not package.unbuilt:
            case = self._case(node_id, "error", package.output, place, [])
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
                if _TEST_FILE.fullmatch(path)
                for function in _DECLARED.findall(self._folder.text(f"{place}/{path}"))
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

    def _case(self, node_id: str, outcome: TestOutcome, output: list[str], place: str, errors: list[str]) -> TestCase:
        if outcome == "passed":
            return TestCase(node_id, outcome)
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


def _event(line: str) -> Mapping[str, object] | None:
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "Action" in found else None


def _adopt(given: GivenCommand) -> TestCommand | None:
    if not given.starts("go", "test") or {"-json", "-args"} & set(given.words):
        return None
    text = re.sub(r"\bgo test\b", "go test -json -count=1", given.text, count=1)
    return given.run_as("go test", text=text, show_line=printed_text)


GO = TestRunner(
    *("go test", "Go", first_file("go.mod", "go.work"), _launch, read_go_output, (".go",)),
    adopt=_adopt,
    manifests=(r"go\.(?:mod|work)",),
    order=30,
)
