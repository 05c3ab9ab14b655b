"""JavaScript and TypeScript runners: those whose reports are read, and the package's test script with any of them."""

import asyncio
from collections.abc import Callable
from functools import partial

from kimi_agent.workspace.testrun.commands_and_reports import TestCommand
from kimi_agent.workspace.testrun.formats.javascript.script_report import REPORT_PARSERS, read_script_report
from kimi_agent.workspace.testrun.projects import node_project
from kimi_agent.workspace.testrun.projects.node_project import inspect_node_project, is_installed
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.projects.workspace_coverage import covers_package
from kimi_agent.workspace.testrun.runner import LaunchRequest, TestRunner
from kimi_agent.workspace.testrun.runners.node_launch import (
    PACKAGE_MANAGER_ENVIRONMENT,
    adopt_script,
    default_script,
    path_prefix,
    start_script,
)

NODE_SUFFIXES = (".js", ".cjs", ".mjs", ".jsx", ".ts", ".cts", ".mts", ".tsx", ".vue", ".svelte")
_RUNTIMES = ("node", "bun")


def _launch_known(request: LaunchRequest) -> TestCommand | None:
    """The command of a package that has one test runner whose report is read."""
    folder, found = request.folder, inspect_node_project(request.folder)
    runner = found.runner
    program = default_script(runner).commands[0].program[0]
    missing = ""
    if not is_installed(program, folder):
        if runner in _RUNTIMES and request.which(program) is None:
            return None
        if runner not in _RUNTIMES:
            missing = f"; {program} is not in node_modules/.bin: install the dependencies first"
    script = found.script if found.script.commands else default_script(runner)
    return start_script(request, script, missing)


def _launch_script(request: LaunchRequest) -> TestCommand | None:
    """The test script: with a report of each runner in it where it is a plain chain, else as it is written."""
    folder, found = request.folder, inspect_node_project(request.folder)
    if not request.selection.is_whole:
        reporting = [command for command in found.script.runners if command.runner in REPORT_PARSERS]
        known = node_project.dependency_runner(folder)
        script = found.script if reporting else default_script(known) if known else None
        return start_script(request, script) if script else None
    if any(command.runner for command in found.script.commands):
        return start_script(request, found.script)
    manager = found.package_manager
    if program := request.which(manager):
        return request.command(f"{manager} test", (program, "test"), (manager, "test"), PACKAGE_MANAGER_ENVIRONMENT)
    text = node_project.test_script_text(folder)
    argv = ("/bin/sh", "-c", path_prefix(folder) + text)
    why = f"{request.why}; there is no {manager} here"
    return TestCommand("test script", why, argv, text, folder.path, PACKAGE_MANAGER_ENVIRONMENT)


def _evidence(runner: str) -> Callable[[ProjectFolder], str]:
    def evidence(folder: ProjectFolder) -> str:
        found = inspect_node_project(folder)
        return found.why if found.runner == runner else ""

    return evidence


async def _launch(request: LaunchRequest) -> TestCommand | None:
    return await asyncio.to_thread(_launch_known, request)


async def _launch_as_script(request: LaunchRequest) -> TestCommand | None:
    return await asyncio.to_thread(_launch_script, request)


def _make_runner(name: str, runner: str, order: int) -> TestRunner:
    return TestRunner(
        *(name, "JavaScript", _evidence(runner), _launch, partial(read_script_report, runner=runner), NODE_SUFFIXES),
        adopt=partial(adopt_script, runner),
        manifests=(r"package\.json",),
        order=order,
        covers=covers_package,
    )


VITEST = _make_runner("vitest", "vitest", 20)
JEST = _make_runner("jest", "jest", 21)
MOCHA = _make_runner("mocha", "mocha", 22)
NODE = _make_runner("node --test", "node", 23)
BUN = _make_runner("bun test", "bun", 24)
PLAYWRIGHT = _make_runner("playwright test", "playwright", 25)
NPM_SCRIPT = TestRunner(
    *("npm test", "JavaScript", _evidence("script"), _launch_as_script, read_script_report, NODE_SUFFIXES),
    adopt=partial(adopt_script, ""),
    manifests=(r"package\.json",),
    order=26,
    is_own_word=True,
    covers=covers_package,
)
