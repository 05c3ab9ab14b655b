"""Test command given by the person or the model: run as written, parsed closely where its runner is known.

`pytest -x tests/a.py`, for example, gets the options that write a JUnit report; `./check.sh` is
judged by its exit code.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand
from kimi_agent.workspace.testrun.projects.package_script import split_plain_command
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import GivenCommand, ReportParser, RunResult, TestRunner, read_exit_code

_ASSIGNMENT = re.compile(r"\w+=\S*")
_SELECTING_OPTION = re.compile(
    r"-[ktgE].*|-run=.*|--(?:grep|filter|test-name-pattern|testNamePattern|name|only|tests|test|lib|lf|last-failed|sw|"
    r"stepwise|deselect|ignore|exact|doc)(?:=.*)?|-D(?:test|test-filters?)=.*"
)
# The words of a command that runs all of a project's tests.
_WHOLE_RUN_WORDS = {"run", "exec", "test", "tests", "check", "verify", "build", "all", "./...", "discover", "t", "-m"}
_WHOLE_RUN_WORDS |= {"pytest", "unittest", "jest", "vitest", "mocha", "rspec", "phpunit", "python", "python3"}


@dataclass(frozen=True)
class GivenPlan:
    """A given command, its parser, and the ecosystem of the runner that it starts ("" where that is not known)."""

    command: TestCommand
    read: ReportParser
    ecosystem: str = ""


def prepare_given_command(
    command: str, folder: ProjectFolder, why: str, report: Path, runners: Sequence[TestRunner]
) -> GivenPlan:
    """`command` ready to run in `folder`, with the options added that make a known runner write a report."""
    words = split_plain_command(command)
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    given = GivenCommand(command, words, why, folder, report)
    # Where the shell does more than split words, the end of the text is not surely the end of the runner's own.
    for runner in runners if words and "--" not in words else ():
        if adopted := runner.adopt(given):
            ecosystem = "" if runner.is_task else runner.ecosystem
            return GivenPlan(adopted, _with_exit_code_fallback(runner.read), ecosystem)
    return GivenPlan(given.run_as("command"), read_exit_code)


def may_run_subset(command: str) -> bool:
    """Whether a command may run some of the tests only, so that it cannot stand for all of them."""
    words = [word for word in split_plain_command(command) if not _ASSIGNMENT.fullmatch(word)]
    named = [word for word in words[1:] if not word.startswith("-") and word not in _WHOLE_RUN_WORDS]
    return not words or bool(named) or any(_SELECTING_OPTION.fullmatch(word) for word in words[1:])


def first_program(command: str) -> str:
    """The program that a plain command starts; "" where only a shell can know it."""
    return next((word for word in split_plain_command(command) if not _ASSIGNMENT.fullmatch(word)), "")


def is_bare_pytest(command: str) -> bool:
    """Whether the command is pytest alone: the registry's runner does the same, and finds the right interpreter."""
    return command in ("pytest", "py.test", "python -m pytest", "python3 -m pytest")


def _with_exit_code_fallback(read: ReportParser) -> ReportParser:
    def reading(ran: RunResult) -> ParsedReport:
        found = read(ran)
        # Something called pytest that wrote no report (a wrapper, say) is still a command with an exit code.
        unread = not (found.is_complete or found.cases or found.fatal_error or found.running or found.trouble)
        return read_exit_code(ran) if unread and ran.exit_code in (0, 1) else found

    return reading
