"""tox and nox runners: the last resort for Python, because they build environments first.

They are parsed from the text of the pytest or unittest that runs inside.
"""

import itertools
import re
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand
from kimi_agent.workspace.testrun.formats.python.pytest_report import parse_pytest_report
from kimi_agent.workspace.testrun.formats.python.unittest_output import parse_unittest_output
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.cases import merge_cases
from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, make_path_mapper, strip_escapes
from kimi_agent.workspace.testrun.runner import (
    Launcher,
    LaunchRequest,
    RunResult,
    TestRunner,
    first_file,
    read_exit_code,
)

_STARTS = re.compile(r"^=+ test session starts =+$")
_SUMMARY_LINE = re.compile(r"^(?:FAILED|ERROR) (?P<id>\S+?::.+?)(?: - (?P<message>.*))?$")
_UNITTEST_RAN = re.compile(r"^Ran \d+ tests? in ")
# "  lint: FAIL code 1 (0.99 seconds)" (tox 4.67), "nox > * lint: failed" (nox 2026.10): their own last words.
_FAILED_ENVIRONMENT = re.compile(r"(?:  |nox > \* )(\S+: (?:FAIL code \d+|FAIL\b|failed\b))")
_TESTED_BY_TOX = re.compile(r"^\[(?:tox|testenv|tool\.tox)\b", re.MULTILINE)
# One line for each test; nox passes it on, tox by an option.
_ENV = {"PYTEST_ADDOPTS": "--verbosity=1 --tb=short"}


def tox_evidence(folder: ProjectFolder) -> str:
    """The file that configures tox."""
    for name in ("tox.ini", "setup.cfg", "pyproject.toml"):
        if _TESTED_BY_TOX.search(folder.text(name)):
            return f"{name} configures tox"
    return "tox.toml" if "tox.toml" in folder.names() else ""


def _launcher(program: str, *options: str, shown: tuple[str, ...]) -> Launcher:
    async def launch(request: LaunchRequest) -> TestCommand | None:
        found = request.which(program) if request.selection.is_whole else None
        return request.command(program, (found, *options), shown, _ENV) if found else None

    return launch


def read_tox_output(ran: RunResult) -> ParsedReport:
    """The tests of all environments, each with its worst outcome; the exit code where no text was understood."""
    lines = [strip_escapes(line).rstrip() for line in ran.lines]
    reports = list(_of_sessions(lines, ran))
    if any(_UNITTEST_RAN.match(line) for line in lines):
        reports.append(parse_unittest_output(lines, root=ran.root, folder=ran.folder, starts=()))
    cases = merge_cases(_with_messages((case for each in reports for case in each.cases), lines, ran))
    if not cases:
        return read_exit_code(ran)
    failed = [found[1] for line in lines if (found := _FAILED_ENVIRONMENT.match(line))]
    return ParsedReport(
        cases,
        running=", ".join(each.running for each in reports if each.running),
        trouble="; ".join(dict.fromkeys(failed)) or next((each.trouble for each in reports if each.trouble), ""),
        announced=sum(each.announced or 0 for each in reports),
        # Held against each run's own count: one environment's tests do not make up for another's.
        ended=sum(min(_ended(each), each.announced or 0) for each in reports),
    )


def _ended(report: ParsedReport) -> int:
    return len(report.cases) if report.ended is None else report.ended


def _of_sessions(lines: list[str], ran: RunResult) -> Iterator[ParsedReport]:
    starts = [number for number, line in enumerate(lines) if _STARTS.match(line)]
    for start, end in itertools.pairwise([*starts, len(lines)]):
        yield parse_pytest_report(None, lines[start:end], root=ran.root, folder=ran.folder.path)


def _with_messages(cases: Iterable[TestCase], lines: list[str], ran: RunResult) -> Iterator[TestCase]:
    spelled = make_path_mapper(ran.root, ran.folder.path)
    messages = {}
    for line in lines:
        if short := _SUMMARY_LINE.match(line):
            path, _, node = short["id"].partition("::")
            messages[f"{spelled(path) or path}::{node}"] = first_nonblank_line(short["message"] or "")
    for case in cases:
        yield replace(case, message=messages.get(case.id, "")) if case.outcome in FAILED_OUTCOMES else case


_LAUNCH_TOX = _launcher("tox", "run", "-q", "-x", "testenv.pass_env+=PYTEST_ADDOPTS", shown=("tox", "-q"))
TOX = TestRunner(
    *("tox", "Python", tox_evidence, _LAUNCH_TOX, read_tox_output, (".py",)),
    adopt=lambda given: given.run_as("tox") if given.program == "tox" else None,
    manifests=(r"tox\.(?:ini|toml)",),
    order=60,
)
NOX = TestRunner(
    *("nox", "Python", first_file("noxfile.py"), _launcher("nox", shown=("nox",)), read_tox_output, (".py",)),
    adopt=lambda given: given.run_as("nox") if given.program == "nox" else None,
    manifests=(r"noxfile\.py",),
    order=61,
)
