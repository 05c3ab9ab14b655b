"""A test command of the person's or the model's own: run as written, read closely where it is a known runner."""

import itertools
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from kimi_agent.workspace.testrun.projects.node_project import script_of
from kimi_agent.workspace.testrun.projects.package_script import known, plain_words
from kimi_agent.workspace.testrun.projects.project_folder import Folder
from kimi_agent.workspace.testrun.registry import read_pytest, read_unittest
from kimi_agent.workspace.testrun.runner import Ran, Read, read_exit
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
from kimi_agent.workspace.testrun.values import Launch, Reading

_ASSIGNMENT = re.compile(r"\w+=\S*")
_CARRIERS = {"uv", "poetry", "pdm", "pipenv", "hatch", "rye"}
_NODE_READS: Mapping[str, Read] = {
    "vitest": node_row.VITEST.read,
    "jest": node_row.JEST.read,
    "mocha": node_row.MOCHA.read,
    "node": node_row.NODE.read,
    "bun": node_row.BUN.read,
}
_SCRIPT = re.compile(
    r"(?:(?P<npm>npm) (?:(?:run|run-script) )?|(?:pnpm|yarn|bun)(?: run)? )(?P<name>t(?:est)?\b[\w:-]*)"
)
_ONLY_SOME = re.compile(
    r"-[ktgE].*|-run=.*|--(?:grep|filter|test-name-pattern|testNamePattern|name|only|tests|test|lib|lf|last-failed|sw|"
    r"stepwise|deselect|ignore|exact|doc)(?:=.*)?|-D(?:test|test-filters?)=.*"
)
# The words of a command that runs all of a project's tests.
_VERBS = {"run", "exec", "test", "tests", "check", "verify", "build", "all", "./...", "discover", "t", "-m"}
_VERBS |= {"pytest", "unittest", "jest", "vitest", "mocha", "rspec", "phpunit", "python", "python3"}


@dataclass(frozen=True)
class _Way:
    """How a known runner's command is started and read: `text` is the command with what makes it tell."""

    runner: str
    text: str
    read: Read
    env: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    said: Callable[[str], str] = str


def as_written(command: str, folder: Folder, why: str, report: Path) -> tuple[Launch, Read]:
    """`command` ready to run in `folder`, with options added that make a known runner tell what it did."""
    way = _way(command, folder, report) or _Way("command", command, read_exit)
    env = {"PYTHONDONTWRITEBYTECODE": "1", **way.env}
    argv = ("/bin/sh", "-c", way.text)
    launch = Launch(way.runner, why, argv, command, folder.path, env, way.beside, way.said)
    return launch, way.read if way.read is read_exit else _or_by_exit(way.read)


def narrowed(command: str) -> bool:
    """Whether a command may run some of the tests only, so that it cannot stand for all of them."""
    words = [word for word in plain_words(command) if not _ASSIGNMENT.fullmatch(word)]
    named = [word for word in words[1:] if not word.startswith("-") and word not in _VERBS]
    return not words or bool(named) or any(_ONLY_SOME.fullmatch(word) for word in words[1:])


def first_program(command: str) -> str:
    """The program that a plain command starts; "" where that takes a shell to say."""
    return next((word for word in plain_words(command) if not _ASSIGNMENT.fullmatch(word)), "")


def is_bare_pytest(command: str) -> bool:
    """pytest without any word of its own: the table's row does the same, and finds the right interpreter."""
    return command in ("pytest", "py.test", "python -m pytest", "python3 -m pytest")


def _or_by_exit(read: Read) -> Read:
    def reading(ran: Ran) -> Reading:
        found = read(ran)
        # Something called pytest that wrote no report (a wrapper, say) is still a command with an exit code.
        unread = not found.whole and not found.cases and not found.broken
        return read_exit(ran) if unread and ran.exit_code in (0, 1) else found

    return reading


def _way(command: str, folder: Folder, report: Path) -> _Way | None:
    # Where the shell does more than split words, the end of the text is not surely the end of the runner's own.
    words = plain_words(command)
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    if not words or "--" in words:
        return None
    return _python(command, words, folder, report) or _node(command, folder, report) or _other(command, words, report)


def _python(command: str, words: tuple[str, ...], folder: Folder, report: Path) -> _Way | None:
    match _python_runner(words):
        case "pytest":
            more = shlex.join(pytest_row.reporting(str(report), folder))
            return _Way("pytest", f"{command} {more}", read_pytest)
        case "unittest":
            return _Way("unittest", f"{command} -v", read_unittest)
        case _:
            return None


def _python_runner(words: tuple[str, ...]) -> str:
    if PurePath(words[0]).name in ("pytest", "py.test"):
        return "pytest"
    if words[0] in _CARRIERS and words[1:2] == ("run",) and "pytest" in words[2:4]:
        return "pytest"
    for flag, module in itertools.pairwise(words[:7]):
        if flag == "-m" and module in ("pytest", "unittest"):
            return module
    return ""


def _node(command: str, folder: Folder, report: Path) -> _Way | None:
    runner, _ = known(plain_words(command))
    if runner:
        text = node_row.reported(runner, command, report)
        return _Way(runner, text, _NODE_READS[runner], beside=node_row.beside(runner, report))
    named = _SCRIPT.fullmatch(command)
    if named is None:
        return None
    script = script_of(folder, "test" if named["name"] == "t" else named["name"])
    # Of what a script's end gets, node takes nothing for itself after the first file.
    if not script.runner or (script.runner == "node" and not script.text.endswith("--test")):
        return None
    options = shlex.join(node_row.reporting(script.runner, report))
    text = f"{command} {'-- ' if named['npm'] else ''}{options}"
    return _Way(script.runner, text, _NODE_READS[script.runner], beside=node_row.beside(script.runner, report))


def _other(command: str, words: tuple[str, ...], report: Path) -> _Way | None:
    name, verb = PurePath(words[0]).name, words[1] if len(words) > 1 else ""
    if name == "bundle" and verb == "exec" and len(words) > 2:
        name = PurePath(words[2]).name
    match name, verb:
        case "go", "test" if "-json" not in words and "-args" not in words:
            text = re.sub(r"\bgo test\b", "go test -json -count=1", command, count=1)
            return _Way("go test", text, go_row.GO.read, said=go_row.said)
        case "cargo", "test":
            return _Way("cargo test", command, rust_row.RUST.read, rust_row.ENV)
        case "zig", "build" if "test" in words:
            return _Way("zig build test", f"{command} --summary all", zig_row.ZIG.read)
        case (("tox" | "nox"), _):
            return _Way(name, command, tox_row.read)
        case "ctest", _:
            more = shlex.join(("--output-junit", str(report), "--output-on-failure"))
            return _Way("ctest", f"{command} {more}", ctest_row.CTEST.read)
        case "rspec", _:
            more = shlex.join(("--no-color", "--format", "progress", "--format", "json", "--out", str(report)))
            return _Way("rspec", f"{command} {more}", ruby_row.RSPEC.read)
        case (("phpunit" | "pest"), _):
            return _Way("phpunit", f"{command} {shlex.join(('--log-junit', str(report)))}", php_row.PHPUNIT.read)
        case "mix", "test":
            return _Way("mix", f"{command} --trace --no-color", elixir_row.MIX.read, {"LC_ALL": "C.UTF-8"})
        case (("gradle" | "gradlew"), _) if {"test", "check"} & set(words):
            return _Way("gradle", command, jvm_row.GRADLE.read, beside={"began": ""})
        case (("mvn" | "mvnw"), _) if {"test", "verify", "install"} & set(words):
            return _Way("maven", command, jvm_row.MAVEN.read, beside={"began": ""})
        case _:
            return None
