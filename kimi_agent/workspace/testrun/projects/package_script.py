"""package.json script parser: the test runner that a test script ends in, and its words. Pure.

`tsc && vitest run --watch`, for example, is the runner vitest, with "tsc && " before it and watch mode taken out.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

_ASSIGNMENT = re.compile(r"\w+=\S*")
_ALIAS = re.compile(r"^(?:(?:npm|pnpm|yarn|bun) run|pnpm|yarn)(?: -s| --silent)? ([\w:.-]+)$")
_WATCH = re.compile(r"\s(?:--watch(?:All)?(?:=\S+)?|-w)(?=\s|$)")
# They start another program: what follows is that program's. c8 and nyc take options of their own before it.
_WRAPPER_PROGRAMS = frozenset(
    ["cross-env", "c8", "nyc", "npx", "bunx", "env", "dotenv", "dotenvx", "env-cmd", "yarn", "exec", "run", "pnpm"]
)
_PROGRAMS = {"vitest": "vitest", "jest": "jest", "mocha": "mocha", "_mocha": "mocha"}
_NODES = {"node", "tsx", "nodejs"}
# Options whose value is the next word, so that this word is no path to run.
_OPTION_WITH_VALUE = re.compile(
    r"-[crt]|--(?:config|require|import|loader|experimental-loader|env|environment|project|root|rootDir|dir|timeout|"
    r"reporter|reporters|reporter-option|reporter-options|ui|extension|file|ignore|grep|fgrep|testNamePattern|"
    r"maxWorkers|pool|workspace|coverageDirectory|outputFile|setupFiles|conditions|env-file|"
    r"test-reporter|test-reporter-destination|test-name-pattern|test-concurrency|test-timeout|preload)"
)
_NOT_PLAIN = set(";|<>()&")
_DEEPEST = 4


@dataclass(frozen=True)
class PackageScript:
    """A script that ends in a runner known by name ("" where it does not).

    `before` is the part of its text that comes before the runner's own command (a build, say, with its "&&"); `text` is
    that command as written, watch mode taken out, `program` its words up to the runner, `options` the rest that names
    nothing to run.
    """

    runner: str
    before: str = ""
    text: str = ""
    program: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse_package_script(scripts: Mapping[str, str], name: str = "test", depth: int = 0) -> PackageScript:
    """The script `name` of a package, an alias such as `npm run unit` followed; its pre-script comes before it."""
    text = scripts.get(name, "").strip()
    pre = scripts.get(f"pre{name}", "").strip()
    before, last = _split_chain(text)
    if pre:
        before = f"({pre}) && {before}"
    alias = _ALIAS.match(last)
    if alias and alias[1] in scripts and depth < _DEEPEST and alias[1] != name:
        inner = parse_package_script(scripts, alias[1], depth + 1)
        return PackageScript(inner.runner, before + inner.before, inner.text, inner.program, inner.options)
    last = _WATCH.sub("", last).strip()
    words = split_plain_command(last)
    runner, length = identify_runner(words)
    if not runner:
        return PackageScript("")
    return PackageScript(runner, before, last, words[:length], _option_words(words[length:]))


def split_plain_command(text: str) -> tuple[str, ...]:
    """The words of a single command; () where a shell would do more than split it."""
    if re.search(r"[$`\n\\#]", text):
        return ()
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|<>()")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = tuple(lexer)
    except ValueError:
        return ()
    return () if any(word and set(word) <= _NOT_PLAIN for word in words) else words


def identify_runner(words: tuple[str, ...]) -> tuple[str, int]:
    """The runner that a command starts, and how many words name it; ("", 0) for an unknown one.

    `npx vitest run src` gives ("vitest", 3).
    """
    at = 0
    while at < len(words) and (
        _ASSIGNMENT.fullmatch(words[at]) or words[at] in _WRAPPER_PROGRAMS or _is_wrapper_option(words, at)
    ):
        at += 1
    rest = words[at:]
    if not rest or "--" in rest:
        return "", 0
    name = PurePosixPath(rest[0]).name
    if name in _PROGRAMS:
        verb = 1 if name == "vitest" and rest[1:2] in (("run",), ("watch",), ("dev",)) else 0
        return _PROGRAMS[name], at + 1 + verb
    if name in ("react-scripts", "craco", "react-app-rewired") and rest[1:2] == ("test",):
        return "jest", at + 2
    if name == "bun" and rest[1:2] == ("test",):
        return "bun", at + 2
    if name in _NODES:
        return _of_node(rest, at)
    return "", 0


def _of_node(rest: tuple[str, ...], at: int) -> tuple[str, int]:
    """`node [options] --test`, or `node [options] node_modules/.bin/jest`."""
    if "--test" in rest:
        return "node", at + rest.index("--test") + 1
    for number, word in enumerate(rest[1:], start=1):
        name = PurePosixPath(word).name.removesuffix(".js").removesuffix(".mjs")
        if "node_modules/" in word and name in _PROGRAMS:
            return _PROGRAMS[name], at + number + 1
    return "", 0


def _is_wrapper_option(words: tuple[str, ...], at: int) -> bool:
    """Whether the word at `at` is an option of a wrapper, before the program that it starts."""
    return at > 0 and words[at].startswith("-") and any(word in _WRAPPER_PROGRAMS for word in words[:at])


def _split_chain(text: str) -> tuple[str, str]:
    """The text before the last command of a chain, with its "&&", and that command."""
    head, separator, last = text.rpartition("&&")
    return (f"{head.strip()} && ", last.strip()) if separator else ("", text)


def _option_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words that are options or their values: what is left names files, which a call's own targets replace."""
    pairs = pairwise(("", *words))
    return tuple(word for before, word in pairs if word.startswith("-") or _OPTION_WITH_VALUE.fullmatch(before))
