"""The table of test runners: how each is recognised, started and read. A new ecosystem is a new row."""

import shlex

from kimi_agent.workspace.testrun.projects import manifests as evidence
from kimi_agent.workspace.testrun.projects.interpreter import Interpreter
from kimi_agent.workspace.testrun.projects.project_folder import Folder
from kimi_agent.workspace.testrun.reports.junit import read_report
from kimi_agent.workspace.testrun.runner import Bench, Ran, Row, read_exit
from kimi_agent.workspace.testrun.runners import pytest as pytest_row
from kimi_agent.workspace.testrun.runners import unittest as unittest_row
from kimi_agent.workspace.testrun.runners.cargo import RUST
from kimi_agent.workspace.testrun.runners.ctest import CTEST
from kimi_agent.workspace.testrun.runners.dotnet import DOTNET
from kimi_agent.workspace.testrun.runners.go import GO
from kimi_agent.workspace.testrun.runners.jvm import GRADLE, MAVEN
from kimi_agent.workspace.testrun.runners.mix import MIX
from kimi_agent.workspace.testrun.runners.node import BUN, JEST, MOCHA, NODE, SCRIPT, VITEST
from kimi_agent.workspace.testrun.runners.phpunit import PHPUNIT
from kimi_agent.workspace.testrun.runners.ruby import MINITEST, RSPEC
from kimi_agent.workspace.testrun.runners.tasks import JUST, TASK
from kimi_agent.workspace.testrun.runners.tox import NOX, TOX
from kimi_agent.workspace.testrun.runners.zig import ZIG
from kimi_agent.workspace.testrun.values import Launch, Reading, Wish


async def _launch_pytest(folder: Folder, wish: Wish, why: str, bench: Bench) -> Launch:
    python = await bench.interpreters.choose(folder.path, pytest=True)
    words = pytest_row.arguments(wish, folder.path)
    options = pytest_row.reporting(str(bench.report), folder)
    return _python("pytest", why, python, ("-m", "pytest", *options, *words), ("-m", "pytest", *words), folder)


async def _launch_unittest(folder: Folder, wish: Wish, why: str, bench: Bench) -> Launch:
    python = await bench.interpreters.choose(folder.path, pytest=False)
    words = ("-m", "unittest", *unittest_row.arguments(wish, folder))
    return _python("unittest", why, python, words, words, folder)


async def _launch_make(folder: Folder, wish: Wish, why: str, bench: Bench) -> Launch | None:
    make = bench.runner.which("make")
    if make is None or wish.targets or wish.name:
        return None
    return Launch("make test", why, (make, "test"), "make test", folder.path)


def read_pytest(ran: Ran) -> Reading:
    """From the report, or from the lines of a run that was killed before it wrote one."""
    return pytest_row.read(read_report(ran.report), ran.lines, root=ran.root, folder=ran.folder.path)


def read_unittest(ran: Ran) -> Reading:
    """From the verbose text."""
    return unittest_row.read(ran.lines, root=ran.root, folder=ran.folder)


def _python(
    runner: str, why: str, python: Interpreter, real: tuple[str, ...], typed: tuple[str, ...], folder: Folder
) -> Launch:
    evidence = f"{why}; {python.note}" if python.note else why
    # No bytecode is written: a file edited twice within a second, to the same size, would run from a stale one.
    env = {"PYTHONDONTWRITEBYTECODE": "1"}
    shown = f"{python.shown} {shlex.join(typed)}"
    return Launch(runner, evidence, (*python.argv, *real), shown, folder.path, env)


PYTEST = Row("pytest", "Python", evidence.pytest_evidence, _launch_pytest, read_pytest, (".py",))
UNITTEST = Row("unittest", "Python", evidence.unittest_evidence, _launch_unittest, read_unittest, (".py",))
MAKE = Row("make test", "make", evidence.make_evidence, _launch_make, read_exit)

# In a folder with several, the first is taken: a task that somebody wrote comes after every runner that reports.
TABLE: tuple[Row, ...] = (
    *(PYTEST, UNITTEST),
    *(VITEST, JEST, MOCHA, NODE, BUN, SCRIPT),
    *(GO, RUST, ZIG, GRADLE, MAVEN, CTEST, RSPEC, MINITEST, PHPUNIT, DOTNET, MIX),
    *(TOX, NOX),
    *(MAKE, JUST, TASK),
)
