"""Registry of the test runners, in the order in which they are tried. A new ecosystem is a new entry."""

import shlex

from kimi_agent.workspace.testrun.projects import manifests
from kimi_agent.workspace.testrun.projects.interpreter import PythonInterpreter
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.junit import read_junit_report
from kimi_agent.workspace.testrun.runner import RunnerEnvironment, RunResult, TestRunner, read_exit_code
from kimi_agent.workspace.testrun.runners import pytest as pytest_row
from kimi_agent.workspace.testrun.runners import unittest as unittest_row
from kimi_agent.workspace.testrun.runners.cargo import CARGO
from kimi_agent.workspace.testrun.runners.ctest import CTEST
from kimi_agent.workspace.testrun.runners.dotnet import DOTNET
from kimi_agent.workspace.testrun.runners.go import GO
from kimi_agent.workspace.testrun.runners.jvm import GRADLE, MAVEN
from kimi_agent.workspace.testrun.runners.mix import MIX
from kimi_agent.workspace.testrun.runners.node import BUN, JEST, MOCHA, NODE, NPM_SCRIPT, VITEST
from kimi_agent.workspace.testrun.runners.phpunit import PHPUNIT
from kimi_agent.workspace.testrun.runners.ruby import MINITEST, RSPEC
from kimi_agent.workspace.testrun.runners.tasks import JUST, TASK
from kimi_agent.workspace.testrun.runners.tox import NOX, TOX
from kimi_agent.workspace.testrun.runners.zig import ZIG
from kimi_agent.workspace.testrun.values import ParsedReport, TestCommand, TestSelection


async def _launch_pytest(
    folder: ProjectFolder, selection: TestSelection, why: str, environment: RunnerEnvironment
) -> TestCommand:
    python = await environment.interpreters.choose(folder.path, pytest=True)
    words = pytest_row.pytest_arguments(selection, folder.path)
    options = pytest_row.pytest_report_options(str(environment.report_path), folder)
    return _python_command("pytest", why, python, ("-m", "pytest", *options, *words), ("-m", "pytest", *words), folder)


async def _launch_unittest(
    folder: ProjectFolder, selection: TestSelection, why: str, environment: RunnerEnvironment
) -> TestCommand:
    python = await environment.interpreters.choose(folder.path, pytest=False)
    words = ("-m", "unittest", *unittest_row.unittest_arguments(selection, folder))
    return _python_command("unittest", why, python, words, words, folder)


async def _launch_make(
    folder: ProjectFolder, selection: TestSelection, why: str, environment: RunnerEnvironment
) -> TestCommand | None:
    make = environment.runner.which("make")
    if make is None or selection.targets or selection.name:
        return None
    return TestCommand("make test", why, (make, "test"), "make test", folder.path)


def read_pytest_run(ran: RunResult) -> ParsedReport:
    """From the report, or from the lines of a run that was killed before it wrote one."""
    return pytest_row.parse_pytest_report(
        read_junit_report(ran.report_path), ran.lines, root=ran.root, folder=ran.folder.path
    )


def read_unittest_run(ran: RunResult) -> ParsedReport:
    """From the verbose text."""
    return unittest_row.parse_unittest_output(ran.lines, root=ran.root, folder=ran.folder)


def _python_command(
    runner: str,
    why: str,
    python: PythonInterpreter,
    real: tuple[str, ...],
    typed: tuple[str, ...],
    folder: ProjectFolder,
) -> TestCommand:
    evidence = f"{why}; {python.note}" if python.note else why
    # No bytecode is written: a file edited twice within a second, to the same size, would run from a stale one.
    env = {"PYTHONDONTWRITEBYTECODE": "1"}
    shown = f"{python.shown} {shlex.join(typed)}"
    return TestCommand(runner, evidence, (*python.argv, *real), shown, folder.path, env)


PYTEST = TestRunner("pytest", "Python", manifests.pytest_evidence, _launch_pytest, read_pytest_run, (".py",))
UNITTEST = TestRunner("unittest", "Python", manifests.unittest_evidence, _launch_unittest, read_unittest_run, (".py",))
MAKE = TestRunner("make test", "make", manifests.make_evidence, _launch_make, read_exit_code)

# Where several fit a folder, the first is taken: a task such as `make test`, judged by its exit code alone, comes
# after every runner that reports single tests.
TEST_RUNNERS: tuple[TestRunner, ...] = (
    *(PYTEST, UNITTEST),
    *(VITEST, JEST, MOCHA, NODE, BUN, NPM_SCRIPT),
    *(GO, CARGO, ZIG, GRADLE, MAVEN, CTEST, RSPEC, MINITEST, PHPUNIT, DOTNET, MIX),
    *(TOX, NOX),
    *(MAKE, JUST, TASK),
)
