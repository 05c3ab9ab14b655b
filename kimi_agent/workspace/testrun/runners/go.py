"""go runner: `go test -json`, parsed from the events in its output."""

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

from kimi_agent.errors import ToolError
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestSelection
from kimi_agent.workspace.testrun.formats.compiled.go_events import parse_go_event
from kimi_agent.workspace.testrun.formats.compiled.go_report import (
    GO_TEST_FILE,
    GO_TEST_FUNCTION,
    read_go_events,
    used_go_modules,
)
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import path_argument
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner, first_file


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
    event = parse_go_event(line)
    return str(event.get("Output", "")) if event else line


async def _launch(request: LaunchRequest) -> TestCommand | None:
    go = request.which("go")
    if go is None:
        return None
    words = go_arguments(request.selection, request.folder)
    # A result out of the cache would be no result of this run; how long it may take is our limit.
    argv = (go, "test", "-json", "-count=1", "-timeout=0", *words)
    return replace(request.command("go test", argv, ("go", "test", *words)), show_line=printed_text)


def _all_packages(folder: ProjectFolder) -> tuple[str, ...]:
    # "./..." ends at the border of a module, also where go.work names the modules below (seen with Go 1.27).
    return tuple(f"{module.rstrip('/')}/..." for module in used_go_modules(folder)) or ("./...",)


def _covers(folder: ProjectFolder, below: str) -> bool:
    """Whether a run here runs the tests of a nested module too: go.work has to name it."""
    return any(PurePosixPath(module) == PurePosixPath(below) for module in used_go_modules(folder))


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
        elif GO_TEST_FILE.fullmatch(target.path.name) and (declared := _declared(folder, target.path)):
            wanted += [[name] for name in declared]
        else:
            return ""
    # One pattern holds for all packages, level by level: where the depths differ, only the first levels count.
    depth = min(len(levels) for levels in wanted)
    return "/".join(f"^({'|'.join(dict.fromkeys(_escaped(each[n]) for each in wanted))})$" for n in range(depth))


def _declared(folder: ProjectFolder, path: Path) -> list[str]:
    return GO_TEST_FUNCTION.findall(folder.text(path_argument(path, folder.path)))


def _escape_levels(name: str) -> str:
    return "/".join(_escaped(part.replace(" ", "_")) for part in name.split("/"))


def _escaped(text: str) -> str:
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)


def _read(ran: RunResult) -> ParsedReport:
    return read_go_events(ran, ran.lines)


def _adopt(given: GivenCommand) -> TestCommand | None:
    if not given.starts("go", "test") or {"-json", "-args"} & set(given.words):
        return None
    text = re.sub(r"\bgo test\b", "go test -json -count=1", given.text, count=1)
    return given.run_as("go test", text=text, show_line=printed_text)


GO = TestRunner(
    *("go test", "Go", first_file("go.mod", "go.work"), _launch, _read, (".go",)),
    adopt=_adopt,
    manifests=(r"go\.(?:mod|work)",),
    order=30,
    covers=_covers,
)
