"""JavaScript workspaces: turbo, nx or lerna at a top without a test script, and commands that run every package's.

The tools run the packages' scripts in their order, with what has to be built before. Verified with turbo 2.11, nx 22.7,
lerna 9.0, npm 11, pnpm 12 and yarn 1.22 and 4.18.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand
from kimi_agent.workspace.testrun.projects.js_workspace import (
    has_tested_packages,
    is_workspace_package,
    read_all_scripts,
    read_package_names,
)
from kimi_agent.workspace.testrun.projects.node_project import bin_folders
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.projects.workspace_coverage import find_fan_out
from kimi_agent.workspace.testrun.reports.failure_excerpt import strip_escapes
from kimi_agent.workspace.testrun.runner import GivenCommand, LaunchRequest, RunResult, TestRunner, read_exit_code
from kimi_agent.workspace.testrun.runners.node import NODE_SUFFIXES
from kimi_agent.workspace.testrun.runners.node_launch import PACKAGE_MANAGER_ENVIRONMENT

_TEST_KEY = re.compile(r'"(?:[^"\s]*#)?test"\s*:')
_PROJECT_JSON = re.compile(r"project\.json")
# Plugins of nx that make a target "test" of a runner's configuration file.
_NX_PLUGIN = re.compile(r'"@nx/(?:jest|vite|vitest)(?:/plugin)?"')
_RUNNER_CONFIGURATION = re.compile(r"(?:jest|vitest|vite)\.config\.[cm]?[jt]s")
# What a package manager says before it runs anything.
_PREFACE = re.compile(r"\s*|Scope: .*|yarn \S.* v[\d.]+|Done in .*|lerna notice .*|\[?WARN\]?.*|npm warn .*")


@dataclass(frozen=True)
class _Tool:
    program: str
    words: tuple[str, ...]
    evidence: Callable[[ProjectFolder], str]
    covers: Callable[[ProjectFolder, str], bool]


def _turbo_evidence(folder: ProjectFolder) -> str:
    name = next((each for each in ("turbo.json", "turbo.jsonc") if each in folder.names()), "")
    return f"{name} has a task test" if name and _TEST_KEY.search(folder.text(name)) else ""


def _nx_evidence(folder: ProjectFolder) -> str:
    if "nx.json" not in folder.names():
        return ""
    if has_tested_packages(folder):
        return "nx.json, packages with a script test"
    targets = (
        path for path in folder.with_inner_projects().find_files(_PROJECT_JSON) if _TEST_KEY.search(folder.text(path))
    )
    if path := next(targets, ""):
        return f"nx.json, {path} has a target test"
    everywhere = folder.with_inner_projects()
    found = everywhere.find_files(_RUNNER_CONFIGURATION) if _NX_PLUGIN.search(folder.text("nx.json")) else ()
    return f"nx.json, {found[0]}" if found else ""


def _lerna_evidence(folder: ProjectFolder) -> str:
    return "lerna.json, packages with a script test" if "lerna.json" in folder.names() else ""


def _has_script(folder: ProjectFolder, below: str) -> bool:
    return is_workspace_package(folder, below) and bool(read_all_scripts(folder.subfolder(below)).get("test"))


def _has_nx_target(folder: ProjectFolder, below: str) -> bool:
    package = folder.subfolder(below)
    plugged = _NX_PLUGIN.search(folder.text("nx.json"))
    configured = bool(plugged and any(_RUNNER_CONFIGURATION.fullmatch(name) for name in package.names()))
    return configured or bool(_TEST_KEY.search(package.text("project.json"))) or _has_script(folder, below)


_TOOLS = (
    _Tool("turbo", ("run", "test"), _turbo_evidence, _has_script),
    _Tool("nx", ("run-many", "-t", "test"), _nx_evidence, _has_nx_target),
    _Tool("lerna", ("run", "test"), _lerna_evidence, _has_script),
)


def _find_tool(folder: ProjectFolder) -> tuple[_Tool | None, str]:
    """The tool that runs the packages' tests, and the evidence for it; None where the top has a test script."""
    script = read_all_scripts(folder).get("test", "")
    if script and "no test specified" not in script:
        return None, ""
    for tool in _TOOLS:
        if (why := tool.evidence(folder)) and (tool.program == "nx" or has_tested_packages(folder)):
            return tool, why
    return None, ""


async def _launch(request: LaunchRequest) -> TestCommand | None:
    tool = _find_tool(request.folder)[0]
    if tool is None or not request.selection.is_whole:
        return None
    paths = (place / tool.program for place in bin_folders(request.folder))
    path = next((each for each in paths if os.access(each, os.X_OK)), None)
    if path is None:
        return None
    return request.command(tool.program, (str(path), *tool.words), (tool.program, *tool.words))


def _covers(folder: ProjectFolder, below: str) -> bool:
    tool = _find_tool(folder)[0]
    return tool is not None and tool.covers(folder, below)


def _adopt(given: GivenCommand) -> TestCommand | None:
    # pnpm 12 says nothing, and exits 0, where the package has no script test.
    is_pnpm_test = given.program == "pnpm" and given.words[1:] in (("test",), ("t",))
    if find_fan_out(given.words) or (is_pnpm_test and not read_all_scripts(given.folder).get("test")):
        return given.run_as("workspace packages", env=PACKAGE_MANAGER_ENVIRONMENT)
    return None


def _read(ran: RunResult) -> ParsedReport:
    """By exit code; a run that exits 0 and starts nothing, as where no package has the script, ran no test."""
    if ran.exit_code == 0 and all(_PREFACE.fullmatch(strip_escapes(line)) for line in ran.lines):
        return ParsedReport(stated_result="none", by_exit_code=True, trouble="no package has that script")
    return read_exit_code(ran)


PACKAGES = TestRunner(
    # Before the runners that the top may depend on for the sake of its packages.
    *("workspace packages", "JavaScript", lambda folder: _find_tool(folder)[1], _launch, _read, NODE_SUFFIXES),
    adopt=_adopt,
    order=15,
    covers=_covers,
    packages=read_package_names,
)
