"""Documented test commands, found in AGENTS.md and CI files.

They are proposals: asked for like every call, and never run unasked. One that AGENTS.md states as the test command is
the project's own truth: a chain or a pipe of plain commands is taken as it is written, not cut to the part that we
know.
"""

import re
import shlex
from collections.abc import Iterator

from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder

MAX_CI_COMMANDS, MAX_DOCUMENTED_COMMAND_CHARS = 5, 200
_MOST_TEXT, _MOST_WORKFLOWS = 200_000, 20
# Anything with one of these is no single simple command.
_NOT_SIMPLE = re.compile(r"[;&|<>`()$\\\n\r#!*?\[\]{}~]|[^\x20-\x7e]")
_CHAINED = re.compile(r"\s*(?:&&|\|\|?|;)\s*")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=\S*")
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"^\s*(```+|~~~+)\s*(\w*)\s*$")
_KEY = re.compile(r"^ *(?:- )?(?P<key>run|script|command|before_script|bash) *: *(?P<value>.*)$")
_BLOCK = re.compile(r"[|>][+-]?\d?(?: +#.*)?")
_SHELLS = {"", "sh", "bash", "shell", "console", "zsh", "text"}
_ABOUT_TESTS = re.compile(r"\b(?:tests?|testing)\b", re.IGNORECASE)
_NOT_THE_WHOLE_SUITE = re.compile(
    r"\b(?:single|one|specific|individual|particular|e2e|end.to.end|integration|coverage|watch|manual|style|writing|"
    r"guidelines?|never|not|don't|avoid|instead|only|optional|slow)\b",
    re.IGNORECASE,
)
# Such as "Test command: ...", "- **Run tests**: ..." and "Run the tests with ...", each with a command in backticks.
_LINE = re.compile(
    r"^\s*(?:[-*+]\s+|\d+\.\s+)?[*_]{0,2}"
    r"(?:(?:the\s+)?tests?\s+commands?|tests?|testing|run(?:ning)?\s+(?:all\s+)?(?:the\s+|our\s+)?(?:unit\s+)?tests?(?:\s+suite)?|"
    r"(?:to\s+)?run\s+(?:all\s+)?(?:the\s+|our\s+)?(?:unit\s+)?tests?(?:\s+suite)?)"
    r"[*_]{0,2}\s*(?::|=|->|→|—|–|-|with|using|by\s+running|run|is|via|,\s*run)\s*[*_]{0,2}\s*:?\s*(?:run\s+)?"
    r"`(?P<command>[^`\n]+)`\s*\.?\s*$",
    re.IGNORECASE,
)
# The first words of commands that run tests; "N" stands for a program and its task.
_TEST_COMMAND = re.compile(
    r"(?:python[\d.]*\s+(?:-\S+\s+)*-m\s+)?(?:pytest|unittest|py\.test|tox|nox|nose2|stestr|ward|trial|behave|robot|"
    r"twisted\.trial)(?![\w-])|"
    r"(?:uv|poetry|pdm|hatch|pipenv|rye|pixi)\s+(?:run\s+)?(?:\S+\s+){0,3}?(?:pytest|tests?|tox|nox|unittest|behave|robot)\b|"
    r"coverage\s+run\b|python[\d.]*\s+(?:\S*/)?(?:manage\.py\s+test|(?:run_?)?tests?\.py)\b|"
    r"(?:\./)?manage\.py\s+test\b|(?:poe|inv|invoke|mise\s+run|mise|moon\s+run|earthly)\s+[+:]?test[\w:-]*|"
    r"(?:npm|pnpm|yarn|bun)\s+(?:(?:-\S+|workspaces?|foreach|run|run-script)\s+)*(?:test|t)(?:[:\w-]*)\b|"
    r"(?:npx\s+|pnpm\s+(?:exec\s+)?|yarn\s+|bunx\s+)?(?:(?:vitest|jest|mocha|ava|tap|uvu)\b|(?:playwright|ng)\s+test\b|"
    r"cypress\s+run\b|karma\s+start\b|turbo\s+(?:run\s+)?test\b|lerna\s+run\s+test\b|nx\s+(?:run-many|affected|test)\b)|"
    r"node\s+(?:\S+\s+){0,8}--test\b|deno\s+(?:test|task\s+test)\b|"
    r"go\s+test\b|gotestsum\b|cargo\s+(?:\+\S+\s+)?(?:test|nextest)\b|zig\s+build\s+test\b|swift\s+test\b|"
    r"(?:\./)?(?:gradlew|mvnw)\b(?=.*\b(?:test|check|verify)\b)|(?:gradle|mvn)\b(?=.*\b(?:test|check|verify)\b)|"
    r"ctest\b|meson\s+test\b|(?:bazel|bazelisk)\s+test\b|make\s+(?:-\S+\s+)*(?:\S+\s+)*?(?:tests?|check)(?![^\s:_-])|"
    r"ninja\s+(?:\S+\s+)*test\b|"
    r"(?:bundle\s+exec\s+)?(?:rspec|rake\s+(?:test|spec))\b|(?:bin/)?rails\s+test\b|"
    r"(?:\./)?(?:vendor/bin/)?(?:phpunit|pest|codecept\s+run)\b|composer\s+(?:run(?:-script)?\s+)?test\b|dotnet\s+test\b|"
    r"mix\s+test\b|just\s+test[\w-]*|(?:go-)?task\s+test[\w:-]*|(?:\./)?sbt\s+(?:\S+\s+)*test\b|"
    r"lein\s+(?:test|midje)\b|clj\s+-[MX]:test\b|stack\s+test\b|cabal\s+(?:\S+-)?test\b|"
    r"(?:prove|bats|busted|shellspec)(?![\w-])|rebar3\s+(?:eunit|ct|proper)\b|gleam\s+test\b|dune\s+(?:runtest|test)\b|"
    r"crystal\s+spec\b|nimble\s+test\b|(?:dart|flutter)\s+test\b|"
    r"(?:\./)?(?:scripts?|bin|ci|tools)/(?:run[-_])?tests?(?:\.sh)?\b"
)


def find_agents_md_command(text: str) -> str:
    """The test command that an AGENTS.md states plainly; "" where it states none, or more than one."""
    text = text[:_MOST_TEXT].replace("\r\n", "\n")
    stated = list(dict.fromkeys(filter(None, (_stated_command(line) for line in _prose(text)))))
    if not stated:
        stated = list(dict.fromkeys(_fenced(text)))
    return stated[0].strip() if len(stated) == 1 else ""


def find_untaken_command(text: str) -> str:
    """The command that an AGENTS.md states and that is not taken (it has a redirect or an expansion), "" for none."""
    stated = (_LINE.match(line) for line in _prose(text[:_MOST_TEXT].replace("\r\n", "\n")))
    commands = (found["command"].strip() for found in stated if found)
    return next((each for each in commands if not _is_chain(each)), "")[:MAX_DOCUMENTED_COMMAND_CHARS]


def find_ci_commands(folder: ProjectFolder) -> list[str]:
    """Commands in the files of CI that look like runs of tests, at most five."""
    workflows = [f".github/workflows/{name}" for name in folder.names(".github/workflows")]
    files = [name for name in workflows if name.endswith((".yml", ".yaml"))][:_MOST_WORKFLOWS]
    files += [".gitlab-ci.yml", ".circleci/config.yml", ".travis.yml", "azure-pipelines.yml", "bitbucket-pipelines.yml"]
    found: dict[str, None] = {}
    for name in files:
        for command in _ci_steps(folder.text(name)[:_MOST_TEXT]):
            if _is_simple(command) and _TEST_COMMAND.match(_without_assignments(command)):
                found.setdefault(command)
                if len(found) == MAX_CI_COMMANDS:
                    return list(found)
    return list(found)


def _is_simple(command: str) -> bool:
    """Whether `command` is one plain command: no operator, expansion, redirect, or second line."""
    if not command or len(command) > MAX_DOCUMENTED_COMMAND_CHARS or _NOT_SIMPLE.search(command):
        return False
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    # A first word that is only an assignment, an option or a path upwards is no program of tests.
    return bool(words) and not words[-1].endswith(":") and not command.startswith(("-", "/", "..", "="))


def _is_chain(command: str) -> bool:
    """Whether `command` is one plain command or several, joined by `&&`, `||`, `|` and `;`."""
    return len(command) <= MAX_DOCUMENTED_COMMAND_CHARS and all(_is_simple(each) for each in _CHAINED.split(command))


def _without_assignments(command: str) -> str:
    words = command.split(" ")
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    return " ".join(words)


def _prose(text: str) -> Iterator[str]:
    """The lines outside of fenced blocks."""
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif fence and line.strip() == fence:
            fence = ""
        elif not fence:
            yield line


def _stated_command(line: str) -> str:
    stated = _LINE.match(line) if len(line) <= 2 * MAX_DOCUMENTED_COMMAND_CHARS else None
    if stated is None or _NOT_THE_WHOLE_SUITE.search(line[: stated.start("command")]):
        return ""
    command = stated["command"].strip().removeprefix("$ ")
    return command if _is_chain(command) and not _has_placeholder(command) else ""


def _fenced(text: str) -> Iterator[str]:
    """The commands of fenced blocks that hold a single one, under headings about tests."""
    about = False
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if heading := _HEADING.match(line):
            about = bool(_ABOUT_TESTS.search(heading[1])) and not _NOT_THE_WHOLE_SUITE.search(heading[1])
        elif fence := _FENCE.match(line):
            body: list[str] = []
            while number < len(lines) and lines[number].strip() != fence[1]:
                body.append(lines[number])
                number += 1
            closed = number < len(lines)
            number += 1
            commands = [each.strip() for each in body if each.strip() and not each.lstrip().startswith("#")]
            if about and closed and fence[2].lower() in _SHELLS and commands:
                # Of several commands none is plainly the one.
                command = commands[0].removeprefix("$ ")
                yield command if len(commands) == 1 and _is_chain(command) and not _has_placeholder(command) else " "


def _has_placeholder(command: str) -> bool:
    return re.search(r"\bpath/to\b|\.\.\.|\bTEST_?NAME\b|\byour[-_]", command, re.IGNORECASE) is not None


def _ci_steps(text: str) -> Iterator[str]:
    """The command lines of a YAML text: of `run:` and `script:` keys, of blocks below them, of list items."""
    block, kind, continued = 0, "", False
    for raw in text.split("\n"):
        line = raw.rstrip()
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        indent = len(line) - len(line.lstrip(" "))
        if kind == "text" and indent > block:
            if not continued:
                yield content
            continued = content.endswith("\\")
            continue
        if kind == "list" and indent >= block and content.startswith("- "):
            yield _unquote(content.removeprefix("- "))
            continue
        kind, continued = "", False
        key = _KEY.match(line)
        if key is None:
            continue
        block = key.start("key")
        if not key["value"]:
            kind = "list"
        elif _BLOCK.fullmatch(key["value"]):
            kind = "text"
        else:
            yield _unquote(key["value"])


def _unquote(value: str) -> str:
    """A scalar without its quotes."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return value.strip()
