"""dotnet runner (.NET): `dotnet test`, parsed from the TRX reports of its projects."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, Target, TestCommand, TestSelection
from kimi_agent.workspace.testrun.formats.trx import TrxResult, read_trx_report
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import (
    MAX_CASES,
    clean_test_name,
    excerpt_first_error,
    excerpt_innermost_first,
    make_build_report,
    match_frames,
    merge_cases,
    path_argument,
    targets_of_one_kind,
)
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper
from kimi_agent.workspace.testrun.reports.source_index import SourceIndex, find_declared_types
from kimi_agent.workspace.testrun.runner import LaunchRequest, RunResult, TestRunner

DOTNET_SOURCE_SUFFIXES = (".cs", ".fs", ".vb")
_PROJECT = re.compile(r".+\.(?:csproj|fsproj|vbproj)")
_SOLUTION = re.compile(r".+\.(?:sln|slnx|slnf)")
_TEST_SDK = re.compile(r"Microsoft\.NET\.Test\.Sdk|<IsTestProject>\s*true|MSTest\.Sdk", re.IGNORECASE)
_FRAME = re.compile(r"\s*\S+ .+\(.*\) \S+ (?P<path>\S.*):\S+ (?P<line>\d+)")
_BUILD_ERROR = re.compile(r"\b(?:error|fatal) ?(?:[A-Z]+\d+|:)|MSB\d{4}|Unhandled exception")
_MOST_REPORTS = 500
_ENV = {
    "DOTNET_CLI_TELEMETRY_OPTOUT": "1",
    "DOTNET_NOLOGO": "1",
    "DOTNET_CLI_UI_LANGUAGE": "en",
    "MSBUILDDISABLENODEREUSE": "1",  # the build's helper processes would outlive the run
}


def dotnet_evidence(folder: ProjectFolder) -> str:
    """The solution, or the project with tests in it, that `dotnet test` would take here."""
    names = folder.names()
    solution = next((name for name in names if _SOLUTION.fullmatch(name)), "")
    tested = [name for name in names if _PROJECT.fullmatch(name) and _TEST_SDK.search(folder.text(name))]
    return solution or (tested or [""])[0]


async def _launch(request: LaunchRequest) -> TestCommand | None:
    dotnet = request.which("dotnet")
    words = dotnet_arguments(request.folder, request.selection)
    if dotnet is None or words is None:
        return None
    # `dotnet test` refuses to choose where several stand beside each other.
    words = words if words[:1] and not words[0].startswith("-") else (dotnet_evidence(request.folder), *words)
    options = ("--nologo", "--logger", "trx", "--results-directory", str(_trx_folder(request.report_path)))
    return request.command("dotnet", (dotnet, "test", *words, *options), ("dotnet", "test", *words), _ENV)


def dotnet_arguments(folder: ProjectFolder, selection: TestSelection) -> tuple[str, ...] | None:
    """The project and the filter; None for what cannot be selected together."""
    targets = targets_of_one_kind(selection)
    if targets is None or any(not target.path.is_relative_to(folder.path) for target in targets):
        return None
    projects: list[str] = []
    filters: list[str] = []
    for target in targets:
        if _PROJECT.fullmatch(target.path.name) or _SOLUTION.fullmatch(target.path.name):
            projects.append(path_argument(target.path, folder.path))
        elif target.path == folder.path and not target.node:
            continue
        elif (found := _filters(target, folder)) is None:
            return None
        else:
            filters += found
    if len(projects) > 1 or (projects and filters):
        return None
    chosen = "|".join(dict.fromkeys(filters))
    if selection.name:
        named = f"FullyQualifiedName~{_escape_filter_value(selection.name)}"
        chosen = f"({chosen})&{named}" if chosen else named
    return (*projects, *(("--filter", chosen) if chosen else ()))


def _filters(target: Target, folder: ProjectFolder) -> list[str] | None:
    if target.node:
        # Rows of a theory have one name for the filter: what stands before the arguments.
        name = target.node.partition("(")[0]
        return [f"FullyQualifiedName~{_escape_filter_value(name)}"] if name else None
    if target.path.suffix not in DOTNET_SOURCE_SUFFIXES:
        return None
    classes = find_declared_types(folder.text(target.path.relative_to(folder.path).as_posix()))
    return [f"FullyQualifiedName~{_escape_filter_value(name)}." for name in classes] or None


def _read(ran: RunResult) -> ParsedReport:
    results: list[TrxResult] = []
    trouble: list[str] = []
    errors: list[str] = []
    counted = 0
    for path in _trx_files(_trx_folder(ran.report_path)):
        trx = read_trx_report(path)
        if trx is not None:
            results += trx.results
            trouble += [f"{path.name}: {trx.trouble}"] if trx.trouble else []
            errors += trx.errors
            counted += trx.counted
    spelled = make_path_mapper(ran.root, ran.folder.path)
    sources = SourceIndex(ran.folder.path, DOTNET_SOURCE_SUFFIXES)
    cases = merge_cases(_case(result, sources, spelled) for result in results)
    errors = [first_nonblank_line(error) for error in errors]
    why = excerpt_first_error(ran.lines, _BUILD_ERROR) or "\n".join(errors)
    told = "; ".join([*trouble, *errors[:3]])
    has_all_tests = not why and 0 < counted <= len(results)
    reading = make_build_report(cases, exit_code=ran.exit_code, why=why, trouble=told, has_all_tests=has_all_tests)
    ended = len(results) if len(results) < MAX_CASES else max(len(results), counted)
    return replace(reading, announced=counted, ended=ended)


def _case(result: TrxResult, sources: SourceIndex, spelled: Callable[[str], str]) -> TestCase:
    name = clean_test_name(result.name)
    # Some adapters give the method alone, some all of its name, some a sentence.
    bare = name.partition("(")[0]
    full = name if not result.classname or bare.startswith(result.classname) else f"{result.classname}.{name}"
    owner = result.classname or bare.rpartition(".")[0]
    path = sources.find_declaring(owner.rpartition(".")[2].rpartition("+")[2]) if owner else None
    file = (spelled(str(path)) if path else "") or "."
    node_id = f"{file}::{clean_test_name(full)}"
    if result.outcome not in FAILED_OUTCOMES:
        return TestCase(node_id, result.outcome, message=first_nonblank_line(result.message))
    frame = match_frames(_FRAME, spelled, elsewhere=r"\s+at \S+\(|\s*--- End of")
    shortened = excerpt_innermost_first(f"{result.message}\n{result.stack}", frame, file)
    return TestCase(node_id, result.outcome, shortened.place, first_nonblank_line(result.message), shortened.detail)


def _trx_folder(report: Path) -> Path:
    return report.parent / "trx"


def _trx_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".trx")[:_MOST_REPORTS]
    except OSError:
        return []


def _escape_filter_value(text: str) -> str:
    """`text` as a value of a filter."""
    return re.sub(r"([\\()&|=!~])", r"\\\1", text)


DOTNET = TestRunner(
    "dotnet",
    ".NET",
    dotnet_evidence,
    _launch,
    _read,
    (*DOTNET_SOURCE_SUFFIXES, ".csproj", ".fsproj", ".vbproj", ".sln", ".slnx"),
    manifests=(r".*\.(?:slnx?|(?:cs|fs|vb)proj)",),
    order=39,
)
