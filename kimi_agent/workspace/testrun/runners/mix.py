"""mix runner (Elixir): `mix test`, parsed from the events of a formatter of ours."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand, TestSelection
from kimi_agent.workspace.testrun.formats.exunit_report import parse_exunit_report
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import (
    excerpt_first_error,
    path_argument,
    targets_of_one_kind,
    with_last_words,
)
from kimi_agent.workspace.testrun.reports.failure_excerpt import make_path_mapper
from kimi_agent.workspace.testrun.reports.injected_exunit_formatter import (
    EXUNIT_FORMATTER,
    EXUNIT_FORMATTER_FILE,
    EXUNIT_FORMATTER_MODULE,
    exunit_environment,
)
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner, first_file

_SUMMARY = re.compile(r"(?:\d+ \w+, )*\d+ tests?, \d+ failures?(?:, .*)?|Randomized with seed \d+")
_BUILD_ERROR = re.compile(r"^== Compilation error|\*\* \(|^\s*error:|Could not|could not")
_UMBRELLA = re.compile(r"""^\s*apps_path:\s*"([\w/.-]+)\"""", re.MULTILINE)
_NONE = "There are no tests to run"
_FORMATTERS = ("--formatter", EXUNIT_FORMATTER_MODULE, "--formatter", "ExUnit.CLIFormatter", "--no-color")
_FILES = {EXUNIT_FORMATTER_FILE: EXUNIT_FORMATTER}


async def _launch(request: LaunchRequest) -> TestCommand | None:
    mix, elixir = request.which("mix"), request.which("elixir")
    words = mix_arguments(request.folder, request.selection)
    if mix is None or elixir is None or words is None:
        return None
    argv = (elixir, "-r", _formatter_path(request.report_path), "-S", "mix", "test", *_FORMATTERS, *words)
    command = request.command("mix", argv, ("mix", "test", *words), _environment(request.report_path))
    return replace(command, extra_files=_FILES)


def mix_arguments(folder: ProjectFolder, selection: TestSelection) -> tuple[str, ...] | None:
    """The files and names; None for what mix cannot select: a part of a name, or names of some of the files only."""
    targets = targets_of_one_kind(selection)
    if targets is None or selection.name or any(not target.path.is_relative_to(folder.path) for target in targets):
        return None
    if any(not (target.path.is_dir() or target.path.suffix == ".exs") for target in targets):
        return None
    files = dict.fromkeys(path_argument(each.path, folder.path) for each in targets if each.path != folder.path)
    only = [word for each in targets if each.node for word in ("--only", f"test:{each.node}")]
    return (*files, *only)


def _read(ran: RunResult) -> ParsedReport:
    reading = parse_exunit_report(ran.report_path, make_path_mapper(ran.root, ran.folder.path))
    if reading is not None:
        return with_last_words(reading, exit_code=ran.exit_code, lines=ran.lines, summary=_SUMMARY)
    if ran.exit_code == 0 and any(line.strip() == _NONE for line in ran.lines):
        return ParsedReport(stated_result="none")
    return ParsedReport(
        fatal_error=excerpt_first_error(ran.lines, _BUILD_ERROR) if ran.exit_code else "", is_complete=False
    )


def _adopt(given: GivenCommand) -> TestCommand | None:
    if given.words[:2] != ("mix", "test"):
        return None
    start = shlex.join(("elixir", "-r", _formatter_path(given.report_path), "-S", "mix"))
    text = re.sub(r"\bmix(?=\s+test\b)", lambda _: start, given.text, count=1)
    env = _environment(given.report_path)
    return given.run_as("mix", *_FORMATTERS, text=text, env=env, extra_files=_FILES)


def _formatter_path(report: Path) -> str:
    return str(report.with_name(EXUNIT_FORMATTER_FILE))


def _environment(report: Path) -> dict[str, str]:
    return {"LC_ALL": "C.UTF-8", **exunit_environment(report)}


def _covers(folder: ProjectFolder, below: str) -> bool:
    """An umbrella runs the tests of the projects in its `apps_path`."""
    umbrella = _UMBRELLA.search(folder.text("mix.exs"))
    return umbrella is not None and below.startswith(f"{umbrella[1]}/")


MIX = TestRunner(
    *("mix", "Elixir", first_file("mix.exs"), _launch, _read, (".ex", ".exs")),
    adopt=_adopt,
    manifests=(r"mix\.exs",),
    order=40,
    covers=_covers,
)
