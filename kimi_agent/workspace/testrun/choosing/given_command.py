"""Test command given by the person or the model: run as written, parsed closely where its runner is known.

`pytest -x tests/a.py`, for example, gets the options that write a JUnit report; `./check.sh` is
judged by its exit code.
"""

import itertools
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from kimi_agent.workspace.testrun.projects.node_project import read_package_script
from kimi_agent.workspace.testrun.projects.package_script import identify_runner, split_plain_command
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.registry import read_pytest_run, read_unittest_run
from kimi_agent.workspace.testrun.runner import ReportParser, RunResult, read_exit_code
from kimi_agent.workspace.testrun.runners import cargo as rust_row
from kimi_agent.workspace.testrun.runners import ctest as ctest_row
from kimi_agent.workspace.testrun.runners import go as go_row
from kimi_agent.workspace.testrun.runners import jvm as jvm_row
from kimi_agent.workspace.testrun.runners import mix as elixir_row
from kimi_agent.workspace.testrun.runners import node as node_row
from kimi_agent.workspace.testrun.runners import phpunit as php_row
from kimi_agent.workspace.testrun.runners import pytest as pytest_row
from kimi_agent.workspace.testrun.runners import ruby as ruby_row
from kimi_agent.workspace.testrun.runners import tox as tox_row
from kimi_agent.workspace.testrun.runners import zig as zig_row
from kimi_agent.workspace.testrun.values import ParsedReport, TestCommand

_ASSIGNMENT = re.compile(r"\w+=\S*")
_WRAPPER_PROGRAMS = {"uv", "poetry", "pdm", "pipenv", "hatch", "rye"}
_NODE_PARSERS: Mapping[str, ReportParser] = {
    "vitest": node_row.VITEST.read,
    "jest": node_row.JEST.read,
    "mocha": node_row.MOCHA.read,
    "node": node_row.NODE.read,
    "bun": node_row.BUN.read,
}
_SCRIPT = re.compile(
    r"(?:(?P<npm>npm) (?:(?:run|run-script) )?|(?:pnpm|yarn|bun)(?: run)? )(?P<name>t(?:est)?\b[\w:-]*)"
)
_SELECTING_OPTION = re.compile(
    r"-[ktgE].*|-run=.*|--(?:grep|filter|test-name-pattern|testNamePattern|name|only|tests|test|lib|lf|last-failed|sw|"
    r"stepwise|deselect|ignore|exact|doc)(?:=.*)?|-D(?:test|test-filters?)=.*"
)
# The words of a command that runs all of a project's tests.
_WHOLE_RUN_WORDS = {"run", "exec", "test", "tests", "check", "verify", "build", "all", "./...", "discover", "t", "-m"}
_WHOLE_RUN_WORDS |= {"pytest", "unittest", "jest", "vitest", "mocha", "rspec", "phpunit", "python", "python3"}


@dataclass(frozen=True)
class _AdoptedCommand:
    """A command of a known runner: `text` is the command with the options that make it write a report."""

    runner: str
    text: str
    read: ReportParser
    env: Mapping[str, str] = field(default_factory=dict)
    extra_files: Mapping[str, str] = field(default_factory=dict)
    show_line: Callable[[str], str] = str


def prepare_given_command(
    command: str, folder: ProjectFolder, why: str, report: Path
) -> tuple[TestCommand, ReportParser]:
    """`command` ready to run in `folder`, with the options added that make a known runner write a report."""
    way = _adopt(command, folder, report) or _AdoptedCommand("command", command, read_exit_code)
    env = {"PYTHONDONTWRITEBYTECODE": "1", **way.env}
    argv = ("/bin/sh", "-c", way.text)
    launch = TestCommand(way.runner, why, argv, command, folder.path, env, way.extra_files, way.show_line)
    return launch, way.read if way.read is read_exit_code else _with_exit_code_fallback(way.read)


def may_run_subset(command: str) -> bool:
    """Whether a command may run some of the tests only, so that it cannot stand for all of them."""
    words = [word for word in split_plain_command(command) if not _ASSIGNMENT.fullmatch(word)]
    named = [word for word in words[1:] if not word.startswith("-") and word not in _WHOLE_RUN_WORDS]
    return not words or bool(named) or any(_SELECTING_OPTION.fullmatch(word) for word in words[1:])


def first_program(command: str) -> str:
    """The program that a plain command starts; "" where only a shell can tell."""
    return next((word for word in split_plain_command(command) if not _ASSIGNMENT.fullmatch(word)), "")


def is_bare_pytest(command: str) -> bool:
    """Whether the command is pytest alone: the registry's runner does the same, and finds the right interpreter."""
    return command in ("pytest", "py.test", "python -m pytest", "python3 -m pytest")


def _with_exit_code_fallback(read: ReportParser) -> ReportParser:
    def reading(ran: RunResult) -> ParsedReport:
        found = read(ran)
        # Something called pytest that wrote no report (a wrapper, say) is still a command with an exit code.
        unread = not found.is_complete and not found.cases and not found.fatal_error
        return read_exit_code(ran) if unread and ran.exit_code in (0, 1) else found

    return reading


def _adopt(command: str, folder: ProjectFolder, report: Path) -> _AdoptedCommand | None:
    # Where the shell does more than split words, the end of the text is not surely the end of the runner's own.
    words = split_plain_command(command)
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    if not words or "--" in words:
        return None
    return (
        _adopt_python(command, words, folder, report)
        or _adopt_node(command, folder, report)
        or _adopt_other(command, words, report)
    )


def _adopt_python(command: str, words: tuple[str, ...], folder: ProjectFolder, report: Path) -> _AdoptedCommand | None:
    match _python_runner(words):
        case "pytest":
            more = shlex.join(pytest_row.pytest_report_options(str(report), folder))
            return _AdoptedCommand("pytest", f"{command} {more}", read_pytest_run)
        case "unittest":
            return _AdoptedCommand("unittest", f"{command} -v", read_unittest_run)
        case _:
            return None


def _python_runner(words: tuple[str, ...]) -> str:
    if PurePath(words[0]).name in ("pytest", "py.test"):
        return "pytest"
    if words[0] in _WRAPPER_PROGRAMS and words[1:2] == ("run",) and "pytest" in words[2:4]:
        return "pytest"
    for flag, module in itertools.pairwise(words[:7]):
        if flag == "-m" and module in ("pytest", "unittest"):
            return module
    return ""


def _adopt_node(command: str, folder: ProjectFolder, report: Path) -> _AdoptedCommand | None:
    runner, _ = identify_runner(split_plain_command(command))
    if runner:
        text = node_row.add_node_reporting(runner, command, report)
        return _AdoptedCommand(
            runner, text, _NODE_PARSERS[runner], extra_files=node_row.node_reporter_files(runner, report)
        )
    named = _SCRIPT.fullmatch(command)
    if named is None:
        return None
    script = read_package_script(folder, "test" if named["name"] == "t" else named["name"])
    # Of what a script's end gets, node takes nothing for itself after the first file.
    if not script.runner or (script.runner == "node" and not script.text.endswith("--test")):
        return None
    options = shlex.join(node_row.node_report_options(script.runner, report))
    text = f"{command} {'-- ' if named['npm'] else ''}{options}"
    return _AdoptedCommand(
        script.runner,
        text,
        _NODE_PARSERS[script.runner],
        extra_files=node_row.node_reporter_files(script.runner, report),
    )


def _adopt_other(command: str, words: tuple[str, ...], report: Path) -> _AdoptedCommand | None:
    name, verb = PurePath(words[0]).name, words[1] if len(words) > 1 else ""
    if name == "bundle" and verb == "exec" and len(words) > 2:
        name = PurePath(words[2]).name
    match name, verb:
        case "go", "test" if "-json" not in words and "-args" not in words:
            text = re.sub(r"\bgo test\b", "go test -json -count=1", command, count=1)
            return _AdoptedCommand("go test", text, go_row.GO.read, show_line=go_row.printed_text)
        case "cargo", "test":
            return _AdoptedCommand("cargo test", command, rust_row.CARGO.read, rust_row.CARGO_ENV)
        case "zig", "build" if "test" in words:
            return _AdoptedCommand("zig build test", f"{command} --summary all", zig_row.ZIG.read)
        case (("tox" | "nox"), _):
            return _AdoptedCommand(name, command, tox_row.read_tox_output)
        case "ctest", _:
            more = shlex.join(("--output-junit", str(report), "--output-on-failure"))
            return _AdoptedCommand("ctest", f"{command} {more}", ctest_row.CTEST.read)
        case "rspec", _:
            more = shlex.join(("--no-color", "--format", "progress", "--format", "json", "--out", str(report)))
            return _AdoptedCommand("rspec", f"{command} {more}", ruby_row.RSPEC.read)
        case (("phpunit" | "pest"), _):
            return _AdoptedCommand(
                "phpunit", f"{command} {shlex.join(('--log-junit', str(report)))}", php_row.PHPUNIT.read
            )
        case "mix", "test":
            return _AdoptedCommand("mix", f"{command} --trace --no-color", elixir_row.MIX.read, {"LC_ALL": "C.UTF-8"})
        case (("gradle" | "gradlew"), _) if {"test", "check"} & set(words):
            return _AdoptedCommand("gradle", command, jvm_row.GRADLE.read, extra_files={"began": ""})
        case (("mvn" | "mvnw"), _) if {"test", "verify", "install"} & set(words):
            return _AdoptedCommand("maven", command, jvm_row.MAVEN.read, extra_files={"began": ""})
        case _:
            return None
