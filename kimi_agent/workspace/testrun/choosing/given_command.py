"""Test command given by the person or the model: run as written, parsed closely where its runner is known.

`pytest -x tests/a.py`, for example, gets the options that write a JUnit report; `./check.sh` is
judged by its exit code.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, TestCommand
from kimi_agent.workspace.testrun.projects.package_script import split_plain_command
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import GivenCommand, ReportParser, RunResult, TestRunner, read_exit_code

_ASSIGNMENT = re.compile(r"(?s:\w+=.*)")
# Options that leave a run whole, in the notations of all runners: how it prints, how many at once, when it gives up.
# Any other may choose tests (`-k`, `--lib`, `--grep`, `-short`, `--exclude-dir`): of no runner are those few.
_WHOLE_RUN_OPTION = re.compile(
    r"-(?:v+|q+|s|x|i|r|B|E|T|ws|U|r[\w]*|[jnT]=?\d*|n=?auto|race|json|cover|count=\d+|timeout=\S+|coverprofile=\S+)|"
    r"--(?:verbos\w*|quiet|silent|colou?rs?|no-colou?r|tb|cov(?:-[\w-]+)?|no-cov|coverage|exitfirst|maxfail|bail|fail-?fast|"
    r"no-fail-fast|ci|run|run-?in-?band|runInBand|max-?workers|maxWorkers|parallel|jobs|numprocesses|watch|watchAll|"
    r"reporters?|test-reporter(?:-destination)?|format|formatter|durations|showlocals|capture|strict(?:-\w+)?|"
    r"disable-warnings|release|all|all-features|locked|frozen|offline|trace|stacktrace|info|no-daemon|rerun-tasks|"
    r"no-build-cache|output-on-failure|timeout|recursive|nologo|batch-mode|no-transfer-progress|passWithNoTests|"
    r"if-present|print-output-on-failure|json|no-restore|no-cache|cache-clear)(?:=\S*)?|--workspaces?"
)
# The words of a command that runs all of a project's tests: programs, their tasks, and counts for options.
_WHOLE_RUN_WORD = re.compile(
    r"(?:run|exec|tests?|t|check|verify|build|all|spec|eunit|runtest|discover|foreach|workspaces?|auto|\d+|\./\.\.\.|//\.\.\.|"
    r"-m|pytest|unittest|nose2|trial|tox|nox|behave|ward|jest|vitest|mocha|ava|tap|uvu|playwright|cypress|rspec|rake|"
    r"phpunit|pest|nextest|busted|bats|prove|python[\d.]*|node|manage\.py|task|:test|\+test)"
)
# Variables that choose no tests; PYTEST_ADDOPTS, TESTS and their like may.
_WHOLE_RUN_VARIABLE = re.compile(
    r"(?:CI|NO_COLOR|FORCE_COLOR|TERM|\w+_ENV|RUST_BACKTRACE|PYTHON(?:PATH|DONTWRITEBYTECODE|UNBUFFERED|WARNINGS)|"
    r"PYTEST_DISABLE_PLUGIN_AUTOLOAD|GO111MODULE|GOFLAGS=-mod=\w+|CGO_ENABLED)=.*"
)


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
    """Whether a command may run some of the tests only, so that it cannot stand for all of them.

    It may unless each of its words is known to leave a run whole.
    """
    words = split_plain_command(command)
    variables = list(itertools.takewhile(_ASSIGNMENT.fullmatch, words))
    program, *rest = words[len(variables) :] or ("",)
    if program.rpartition("/")[2] in ("node", "nodejs"):
        rest = [word for word in rest if word != "--test"]
    known = all(_WHOLE_RUN_OPTION.fullmatch(word) or _WHOLE_RUN_WORD.fullmatch(word) for word in rest)
    return not program or not known or not all(map(_WHOLE_RUN_VARIABLE.fullmatch, variables))


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
