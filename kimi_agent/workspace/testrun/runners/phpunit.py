"""PHPUnit runner (PHP), parsed from its JUnit report."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestSelection
from kimi_agent.workspace.testrun.formats.junit import MAX_JUNIT_CASES, JUnitCase, read_junit_report
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import (
    clean_test_name,
    excerpt_first_error,
    excerpt_innermost_first,
    match_frames,
    merge_cases,
    path_argument,
    targets_of_one_kind,
    with_last_words,
)
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner, first_file

_CONFIGURATIONS = ("phpunit.xml", "phpunit.xml.dist", "phpunit.dist.xml")
_REQUIRED = re.compile(r'"(?:phpunit/phpunit|pestphp/pest)"\s*:')
_FRAME = re.compile(r"\s*(?P<path>[^\s:][^:]*\.\w+):(?P<line>\d+)\s*")
_FATAL_ERROR = re.compile(
    r"(?:PHP )?(?:Fatal|Parse) error|\b\w*(?:Error|Exception)\b|not found|Could not|Unknown option|does not exist"
)
_PROGRAMS = ("phpunit", "pest")
_NONE = "No tests executed!"
# Stands in the report for a class without a test, and has passed (9.6.7).
_NO_TEST = ("Warning", "", "")
_TIME = re.compile(r"Time: .*, Memory: .*|OK \(.*")
# What PHPUnit only frowns at stands in its report as an error; its exit code says whether it counts.
_RISKY = re.compile(
    r"This test (?:did|does|printed|was|is)\b|Test code or tested code\b|Trying to @?cover", re.IGNORECASE
)


def phpunit_evidence(folder: ProjectFolder) -> str:
    """Why PHPUnit runs this folder's tests; "" where nothing says so."""
    if configuration := first_file(*_CONFIGURATIONS)(folder):
        return configuration
    return "composer.json requires it" if _REQUIRED.search(folder.text("composer.json")) else ""


async def _launch(request: LaunchRequest) -> TestCommand | None:
    words = phpunit_arguments(request.folder.path, request.selection)
    program = _find_program(request)
    if words is None or program is None:
        return None
    # Its cache of results would be written into the workspace.
    options = ("--log-junit", str(request.report_path), "--do-not-cache-result", "--colors=never")
    return request.command("phpunit", (program[0], *options, *words), (program[1], *words))


def phpunit_arguments(folder: Path, selection: TestSelection) -> tuple[str, ...] | None:
    """The filter and the path; None for what PHPUnit cannot select together."""
    targets = targets_of_one_kind(selection)
    if targets is None or any(not (each.path.is_dir() or each.path.suffix == ".php") for each in targets):
        return None
    if any(target.node for target in targets) and (selection.name or any(target.path.is_dir() for target in targets)):
        return None
    paths = dict.fromkeys(target.path for target in targets if target.path != folder)
    filters = [_escape_regex(selection.name)] if selection.name else []
    # Before PHPUnit 11 it takes one path: several files are selected by the classes that they are called like.
    classes = [_escape_regex(path.stem) for path in paths] if len(paths) > 1 else []
    if classes and (selection.name or any(path.is_dir() for path in paths)):
        return None
    nodes = [f"\\b{_escape_regex(each.path.stem)}::{_escape_regex(each.node)}$" for each in targets if each.node]
    filters += nodes or [f"\\b{each}::" for each in classes]
    chosen = ("--filter", f"/{'|'.join(filters)}/") if filters else ()
    return (*chosen, *(path_argument(path, folder) for path in paths if len(paths) == 1))


def read_phpunit(ran: RunResult) -> ParsedReport:
    """The report of PHPUnit or Pest."""
    report = read_junit_report(ran.report_path)
    if (report is None or not report.total) and any(line.strip() == _NONE for line in ran.lines):
        return ParsedReport(stated_result="none")
    why = excerpt_first_error(ran.lines, _FATAL_ERROR) if ran.exit_code else ""
    if report is None or (report.trouble and not report.elements):
        # PHPUnit writes its report at the very end: without one it was stopped, by a fatal error as a rule.
        return ParsedReport(fatal_error=why, trouble=report.trouble if report else "", is_complete=False)
    spelled = make_path_mapper(ran.root, ran.folder.path)
    tests = [each for each in report.elements if (each.name, each.classname, each.file) != _NO_TEST]
    cases = merge_cases(_case(element, spelled, strict=bool(ran.exit_code)) for element in tests)
    trouble = report.trouble
    if report.total > len(report.elements):
        trouble = f"{report.total:,} tests were reported; the first {MAX_JUNIT_CASES:,} and every failure are kept"
    elif not tests and report.elements:
        trouble = "a test class has no tests"
    found = ParsedReport(
        cases,
        stated_result="" if tests else "none",
        trouble=trouble,
        is_complete=not report.trouble,
        announced=len(tests),
        ended=len(tests),
    )
    # A warning, a risky test or a coverage limit that its configuration makes a failure.
    return with_last_words(found, exit_code=ran.exit_code, lines=ran.lines, summary=_TIME)


def _case(element: JUnitCase, spelled: Callable[[str], str], *, strict: bool) -> TestCase:
    # Pest (by its documentation, 2.x) writes "tests/ATest.php::it adds".
    file = spelled(element.file.partition("::")[0]) or "."
    node_id = f"{file}::{clean_test_name(element.name)}"
    lines = element.text.strip().split("\n")
    # The first line names the test once more.
    text = "\n".join(lines[1:] if "::" in lines[0] and len(lines) > 1 else lines)
    if element.outcome == "error" and not strict and _RISKY.match(text):
        return TestCase(node_id, "passed", message=f"risky: {first_nonblank_line(text)}")
    if element.outcome not in FAILED_OUTCOMES:
        return TestCase(node_id, element.outcome, message=first_nonblank_line(element.message or text))
    shortened = excerpt_innermost_first(text, match_frames(_FRAME, spelled), file)
    place = shortened.place or (f"{file}:{element.line}" if element.line.isdigit() else "")
    return TestCase(node_id, element.outcome, place, first_nonblank_line(text or element.message), shortened.detail)


def _find_program(request: LaunchRequest) -> tuple[str, str] | None:
    """The project's own Pest or PHPUnit, else PHPUnit on the PATH; as it is started and as it is shown.

    PHPUnit finds no test in the files that are written for Pest.
    """
    for name in ("pest", "phpunit"):
        own = request.folder.path / "vendor" / "bin" / name
        if own.is_file() and os.access(own, os.X_OK) and own.resolve().is_relative_to(request.environment.runner.root):
            return str(own), f"vendor/bin/{name}"
    found = request.which("phpunit")
    return (found, "phpunit") if found else None


def _escape_regex(text: str) -> str:
    """`text` for a regular expression of PHP's between slashes."""
    return re.sub(r"([^\w\s])", r"\\\1", text)


def _adopt(given: GivenCommand) -> TestCommand | None:
    return given.run_as("phpunit", "--log-junit", str(given.report_path)) if given.program in _PROGRAMS else None


PHPUNIT = TestRunner(
    *("phpunit", "PHP", phpunit_evidence, _launch, read_phpunit, (".php", ".phpt")),
    adopt=_adopt,
    manifests=(r"phpunit\.(?:dist\.)?xml(?:\.dist)?", r"composer\.json"),
    order=38,
)
