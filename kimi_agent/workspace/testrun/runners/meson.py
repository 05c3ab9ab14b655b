"""Meson runner (C, C++): `meson test`, which builds what changed; parsed from the log of results that it writes."""

import re
from collections.abc import Iterator
from dataclasses import replace

import msgspec

from kimi_agent.errors import ToolError
from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestOutcome, TestSelection
from kimi_agent.workspace.testrun.projects.build_folders import list_build_folders
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.report_readers import RUN_BEGAN_FILE, find_fresh_files
from kimi_agent.workspace.testrun.reports.cases import (
    FrameMatcher,
    clean_test_name,
    excerpt_first_error,
    excerpt_innermost_first,
    make_build_report,
    match_frames,
    merge_cases,
)
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper
from kimi_agent.workspace.testrun.reports.report_file import ReportRejected, read_report_bytes
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner

MESON_BUILD = "meson.build"
_PROJECT = re.compile(r"^\s*project\s*\(\s*'(?P<name>[^']*)'", re.MULTILINE)
_SUITES = re.compile(r"^[^:\s]+ - (?=\S*:)")  # "slow+net - calc:adds"
# Meson's own words (1.12). Its JUnit report calls an unexpected pass a pass; the run fails for it.
_OUTCOMES: dict[str, TestOutcome] = {
    "OK": "passed",
    "EXPECTEDFAIL": "skipped",  # as pytest's xfail: it says nothing good
    "SKIP": "skipped",
    "IGNORED": "skipped",
    "FAIL": "failed",
    "UNEXPECTEDPASS": "failed",
}
_COUNT = re.compile(r"^(?:Ok|Expected Fail|Fail|Unexpected Pass|Skipped|Ignored|Timeout|Error):\s+(\d+)\s*$")
_NONE = re.compile(r"^No (?:suitable )?tests (?:defined|found)\b")
_BROKEN = re.compile(r"^FAILED: |^ninja: error|: error: |^ERROR: |^meson\.build:\d+:\d+: ERROR")
_FRAME = re.compile(r"(?P<path>[^\s:()]+\.\w+):(?P<line>\d+)\b.*")


class _Result(msgspec.Struct):
    """A line of the log: one run of a test."""

    name: str
    result: str
    stdout: str = ""
    stderr: str = ""
    returncode: int | None = None


async def _launch(request: LaunchRequest) -> TestCommand | None:
    meson = request.which("meson")
    words = _chosen(request.folder, request.selection)
    if meson is None or words is None:
        return None
    tree = _find_build_folder(request.folder)
    if not tree:
        mend = "run `meson setup build` in the shell, then run_tests: it builds and runs the tests"
        raise ToolError("not_found", "meson.build is there, but no folder is configured to build in", mend)
    rest = ("test", "-C", tree, *words)
    return replace(request.command("meson", (meson, *rest), ("meson", *rest)), extra_files={RUN_BEGAN_FILE: ""})


def _chosen(folder: ProjectFolder, selection: TestSelection) -> tuple[str, ...] | None:
    """The names of the tests; None for what Meson cannot choose."""
    own = (folder.path, folder.path / MESON_BUILD)
    if selection.name or any(target.path not in own for target in selection.targets):
        return None
    return tuple(dict.fromkeys(target.node for target in selection.targets if target.node))


def _read(ran: RunResult) -> ParsedReport:
    trees = list_build_folders(ran.folder.path)
    paths = find_fresh_files(ran, tuple(f"{name}/meson-logs/testlog*.json" for name in trees))
    spelled = make_path_mapper(ran.root, ran.folder.path)
    anchor = spelled(MESON_BUILD) or MESON_BUILD
    try:
        data = b"\n".join(read_report_bytes(path) or b"" for path in paths)
    except ReportRejected as error:
        return ParsedReport(is_complete=False, trouble=str(error))
    results = list(_results(data))
    frame = match_frames(_FRAME, spelled)
    project = _PROJECT.search(ran.folder.text(MESON_BUILD))
    own = f"{project['name']}:" if project else ""
    cases = _with_repeats([_case(result, f"{anchor}::{_name(result.name, own)}", frame) for result in results])
    counted = sum(int(found[1]) for line in ran.lines if (found := _COUNT.match(line)))
    if not results and any(_NONE.match(line) for line in ran.lines):
        return ParsedReport(stated_result="none", trouble="Meson says that there are no tests")
    why = excerpt_first_error(ran.lines, _BROKEN)
    reading = make_build_report(cases, exit_code=ran.exit_code, why=why, has_all_tests=bool(counted))
    return replace(reading, announced=counted, ended=len(results))


def _results(data: bytes) -> Iterator[_Result]:
    for line in data.splitlines():
        try:
            yield msgspec.json.decode(line, type=_Result)
        except msgspec.DecodeError:
            continue  # the last line of a run that was killed


def _name(name: str, own: str) -> str:
    """A test's name as meson.build has it; one of a subproject keeps "sub:" before it."""
    return _SUITES.sub("", clean_test_name(name)).removeprefix(own)


def _case(result: _Result, node_id: str, frame: FrameMatcher) -> TestCase:
    outcome = _OUTCOMES.get(result.result, "error")
    if outcome not in FAILED_OUTCOMES:
        return TestCase(node_id, outcome, message="failed, as expected" if result.result == "EXPECTEDFAIL" else "")
    text = "\n".join(filter(None, (result.stderr.strip(), result.stdout.strip())))
    cut = excerpt_innermost_first(text, frame)
    how = {"UNEXPECTEDPASS": "passed, though it should fail", "TIMEOUT": "it took too long"}.get(result.result, "")
    said = first_nonblank_line(text) or f"exit status {result.returncode}"
    return TestCase(node_id, outcome, cut.place, how or said, cut.detail)


def _with_repeats(cases: list[TestCase]) -> tuple[TestCase, ...]:
    """One case for each test, with how often it ran (`--repeat`)."""
    runs: dict[str, int] = {}
    failures: dict[str, int] = {}
    for case in cases:
        runs[case.id] = runs.get(case.id, 0) + 1
        failures[case.id] = failures.get(case.id, 0) + (case.outcome in FAILED_OUTCOMES)
    return tuple(
        case if runs[case.id] == 1 else msgspec.structs.replace(case, runs=runs[case.id], failures=failures[case.id])
        for case in merge_cases(cases)
    )


def _find_build_folder(folder: ProjectFolder) -> str:
    """The folder that was configured for these sources, "" for none; of several the one that was configured last."""
    found: list[tuple[float, str]] = []
    for name in list_build_folders(folder.path):
        info = folder.path / name / "meson-info" / "meson-info.json"
        source = re.search(r'"source": "([^"]*)"', folder.text(f"{name}/meson-info/meson-info.json"))
        if source and source[1] == str(folder.path) and info.is_file():
            found.append((-info.stat().st_mtime, name))
    return min(found)[1] if found else ""


def _adopt(given: GivenCommand) -> TestCommand | None:
    return given.run_as("meson", extra_files={RUN_BEGAN_FILE: ""}) if given.starts("meson", "test") else None


MESON = TestRunner(
    "meson",
    "C/C++",
    lambda folder: MESON_BUILD if _PROJECT.search(folder.text(MESON_BUILD)) else "",
    _launch,
    _read,
    (".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", "meson.build"),
    adopt=_adopt,
    manifests=(r"meson\.build",),
    order=36,
    yields_to_tasks=lambda folder: not _find_build_folder(folder),
    # A folder's meson.build belongs to the project above it, unless it begins one of its own.
    covers=lambda folder, below: not _PROJECT.search(folder.text(f"{below}/{MESON_BUILD}")),
)
