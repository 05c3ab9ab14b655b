"""busted runner (Lua), parsed from its JUnit report, which it writes when all tests are through."""

import re
from collections.abc import Iterator
from pathlib import Path

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestSelection
from kimi_agent.workspace.testrun.formats.junit import JUnitCase, read_junit_report
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import (
    clean_test_name,
    excerpt_first_error,
    excerpt_innermost_first,
    match_frames,
    merge_cases,
    path_argument,
    targets_of_one_kind,
)
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner

_FRAME = re.compile(r"\s*(?P<path>[^\s:][^:]*\.(?:lua|moon)):(?P<line>\d+): in .*")
_WHERE = re.compile(r"(?P<path>[^\s:][^:]*\.\w+):(?P<line>\d+)")
_ERROR = re.compile(r"busted: error|\berror\b|not found|cannot", re.IGNORECASE)


def _evidence(folder: ProjectFolder) -> str:
    if ".busted" in folder.names():
        return ".busted"
    specs = (name for name in folder.names("spec") if re.fullmatch(r".*_spec\.(?:lua|moon)", name))
    return next((f"spec/{name}" for name in specs), "")


async def _launch(request: LaunchRequest) -> TestCommand | None:
    busted = request.which("busted")
    words = busted_arguments(request.folder.path, request.selection)
    if busted is None or words is None:
        return None
    return request.command("busted", (busted, *_options(request.report_path), *words), ("busted", *words))


def _options(report: Path) -> tuple[str, ...]:
    return ("-o", "junit", "-Xoutput", str(report))


def busted_arguments(folder: Path, selection: TestSelection) -> tuple[str, ...] | None:
    """The filter (a pattern of Lua's) and the files; None for names in some of the files only, and for several."""
    targets = targets_of_one_kind(selection)
    names = [target.node for target in selection.targets if target.node]
    if targets is None or len(names) > 1 or (names and selection.name):
        return None
    wanted = _escape_pattern(selection.name) if selection.name else f"^{_escape_pattern(names[0])}$" if names else ""
    paths = dict.fromkeys(path_argument(target.path, folder) for target in targets)
    return (*((f"--filter={wanted}",) if wanted else ()), *paths)


def _escape_pattern(text: str) -> str:
    return re.sub(r"([^\w\s])", r"%\1", text)


def _read(ran: RunResult) -> ParsedReport:
    report = read_junit_report(ran.report_path)
    if report is None:
        # It is written at the end: `os.exit(0)` in a test leaves none, and exit code 0 (2.1.1).
        return ParsedReport(
            fatal_error=excerpt_first_error(ran.lines, _ERROR) if ran.exit_code else "", is_complete=False
        )
    cases = merge_cases(_cases([*report.elements, *report.suite_failures], ran))
    return ParsedReport(
        cases,
        stated_result="" if cases else "none",
        trouble=report.trouble,
        is_complete=not report.trouble,
        announced=report.total + report.missing,
        ended=report.total,
    )


def _cases(elements: list[JUnitCase], ran: RunResult) -> Iterator[TestCase]:
    spelled = make_path_mapper(ran.root, ran.folder.path)
    frame = match_frames(_FRAME, spelled, elsewhere=r"stack traceback:")
    for element in elements:
        text = element.text.strip()
        # A test's `classname` is its place; the error of a file or of a setup stands in no test.
        at = _WHERE.match(element.classname or text)
        file = (spelled(at["path"]) if at else "") or "."
        name = clean_test_name(element.name)
        node_id = f"{file}::{name}" if name else file
        if element.outcome not in FAILED_OUTCOMES:
            yield TestCase(node_id, element.outcome, message=first_nonblank_line(element.message or text))
            continue
        shortened = excerpt_innermost_first(text, frame, file)
        place = shortened.place or (f"{file}:{at['line']}" if at else "")
        message = first_nonblank_line(re.sub(rf"^{_WHERE.pattern}: ", "", text)) or "it failed"
        yield TestCase(node_id, element.outcome, place, message, shortened.detail)


def _adopt(given: GivenCommand) -> TestCommand | None:
    own = any(word.startswith(("-o", "--output", "-Xoutput", "-l", "--list")) for word in given.words[1:])
    return given.run_as("busted", *_options(given.report_path)) if given.program == "busted" and not own else None


BUSTED = TestRunner(
    *("busted", "Lua", _evidence, _launch, _read, (".lua", ".moon")),
    adopt=_adopt,
    manifests=(r"\.busted", r".*\.rockspec"),
    order=45,
)
