"""The row of .NET: `dotnet test`, read from the TRX reports of its projects."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.projects.project_folder import Folder
from kimi_agent.workspace.testrun.reports.cases import (
    BAD,
    cut_innermost_first,
    first_errors,
    merged,
    name_of,
    of_build,
    one_kind,
    relative,
)
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_line, within
from kimi_agent.workspace.testrun.reports.source_index import Sources, declared
from kimi_agent.workspace.testrun.reports.trx import Result, read_trx
from kimi_agent.workspace.testrun.runner import Bench, Ran, Row
from kimi_agent.workspace.testrun.values import Launch, Reading, Target, Wish

SOURCES = (".cs", ".fs", ".vb")
_PROJECT = re.compile(r".+\.(?:csproj|fsproj|vbproj)")
_SOLUTION = re.compile(r".+\.(?:sln|slnx|slnf)")
_TEST_SDK = re.compile(r"Microsoft\.NET\.Test\.Sdk|<IsTestProject>\s*true|MSTest\.Sdk", re.IGNORECASE)
_FRAME = re.compile(r"\s*\S+ .+\(.*\) \S+ (?P<path>\S.*):\S+ (?P<line>\d+)")
_FAILS = re.compile(r"\b(?:error|fatal) ?(?:[A-Z]+\d+|:)|MSB\d{4}|Unhandled exception")
_MOST_REPORTS = 500


def has_project(folder: Folder) -> bool:
    """Whether a project or a solution stands in the folder."""
    return any(_PROJECT.fullmatch(name) or _SOLUTION.fullmatch(name) for name in folder.names())


def dotnet_evidence(folder: Folder) -> str:
    """The solution, or the project with tests in it, that `dotnet test` would take here."""
    names = folder.names()
    solution = next((name for name in names if _SOLUTION.fullmatch(name)), "")
    tested = [name for name in names if _PROJECT.fullmatch(name) and _TEST_SDK.search(folder.text(name))]
    return solution or (tested or [""])[0]


async def _launch(folder: Folder, wish: Wish, why: str, bench: Bench) -> Launch | None:
    dotnet = bench.runner.which("dotnet")
    words = dotnet_words(folder, wish)
    if dotnet is None or words is None:
        return None
    # `dotnet test` refuses to choose where several stand beside each other.
    words = words if words[:1] and not words[0].startswith("-") else (dotnet_evidence(folder), *words)
    options = ("--nologo", "--logger", "trx", "--results-directory", str(_results(bench.report)))
    env = {"DOTNET_CLI_TELEMETRY_OPTOUT": "1", "DOTNET_NOLOGO": "1", "DOTNET_CLI_UI_LANGUAGE": "en"}
    return Launch(
        "dotnet",
        why,
        (dotnet, "test", *words, *options),
        shlex.join(("dotnet", "test", *words)),
        folder.path,
        {**env, "MSBUILDDISABLENODEREUSE": "1"},  # the build's helper processes would outlive the run
    )


def dotnet_words(folder: Folder, wish: Wish) -> tuple[str, ...] | None:
    """The project and the filter; None for what cannot be selected together."""
    targets = one_kind(wish)
    if targets is None or any(not target.path.is_relative_to(folder.path) for target in targets):
        return None
    projects: list[str] = []
    filters: list[str] = []
    for target in targets:
        if _PROJECT.fullmatch(target.path.name) or _SOLUTION.fullmatch(target.path.name):
            projects.append(relative(target.path, folder.path))
        elif target.path == folder.path and not target.node:
            continue
        elif (found := _filters(target, folder)) is None:
            return None
        else:
            filters += found
    if len(projects) > 1 or (projects and filters):
        return None
    chosen = "|".join(dict.fromkeys(filters))
    if wish.name:
        named = f"FullyQualifiedName~{_escaped(wish.name)}"
        chosen = f"({chosen})&{named}" if chosen else named
    return (*projects, *(("--filter", chosen) if chosen else ()))


def _filters(target: Target, folder: Folder) -> list[str] | None:
    if target.node:
        # Rows of a theory have one name for the filter: what stands before the arguments.
        name = target.node.partition("(")[0]
        return [f"FullyQualifiedName~{_escaped(name)}"] if name else None
    if target.path.suffix not in SOURCES:
        return None
    classes = declared(folder.text(target.path.relative_to(folder.path).as_posix()))
    return [f"FullyQualifiedName~{_escaped(name)}." for name in classes] or None


def _read(ran: Ran) -> Reading:
    results: list[Result] = []
    trouble: list[str] = []
    errors: list[str] = []
    for path in _reports(_results(ran.report)):
        trx = read_trx(path)
        if trx is not None:
            results += trx.results
            trouble += [f"{path.name}: {trx.trouble}"] if trx.trouble else []
            errors += trx.errors
    spelled = within(ran.root, ran.folder.path)
    sources = Sources(ran.folder.path, SOURCES)
    cases = merged(_case(result, sources, spelled) for result in results)
    told = "; ".join([*trouble, *(first_line(error) for error in errors[:3])])
    why = first_errors(ran.lines, _FAILS) or "\n".join(first_line(error) for error in errors)
    return of_build(cases, exit_code=ran.exit_code, why=why, trouble=told)


def _case(result: Result, sources: Sources, spelled: Callable[[str], str]) -> TestCase:
    name = name_of(result.name)
    # Some adapters give the method alone, some all of its name, some a sentence.
    bare = name.partition("(")[0]
    full = name if not result.classname or bare.startswith(result.classname) else f"{result.classname}.{name}"
    owner = result.classname or bare.rpartition(".")[0]
    path = sources.declaring(owner.rpartition(".")[2].rpartition("+")[2]) if owner else None
    file = (spelled(str(path)) if path else "") or "."
    node_id = f"{file}::{name_of(full)}"
    if result.outcome not in BAD:
        return TestCase(node_id, result.outcome, message=first_line(result.message))

    def frame(line: str) -> str | None:
        found = _FRAME.fullmatch(line)
        if found is None:
            return "" if re.match(r"\s+at \S+\(|\s*--- End of", line) else None
        place = spelled(found["path"])
        return f"{place}:{found['line']}" if place else ""

    shortened = cut_innermost_first(f"{result.message}\n{result.stack}", frame, file)
    return TestCase(node_id, result.outcome, shortened.place, first_line(result.message), shortened.detail)


def _results(report: Path) -> Path:
    return report.parent / "trx"


def _reports(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".trx")[:_MOST_REPORTS]
    except OSError:
        return []


def _escaped(text: str) -> str:
    """`text` as a value of a filter."""
    return re.sub(r"([\\()&|=!~])", r"\\\1", text)


DOTNET = Row(
    "dotnet", ".NET", dotnet_evidence, _launch, _read, (*SOURCES, ".csproj", ".fsproj", ".vbproj", ".sln", ".slnx")
)
