"""package.json script parser: the commands of a test script, and the test runner that each of them starts. Pure.

`tsc && vitest run --watch`, for example, is tsc and then the runner vitest, with watch mode taken out. A script whose
shell syntax is more than a chain of `&&` is not taken apart: it has to be run as it is written.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

_ASSIGNMENT = re.compile(r"\w+=\S*")
_ALIAS = re.compile(
    r"^(?:(?:npm|pnpm|yarn|bun) (?:run|run-script)|pnpm|yarn|node --run|deno task|npm(?= (?:t|tst|test)\b))"
    r"(?: (?:-s|--silent|--if-present))* (?P<name>[\w.:-]+)"
    r"(?: (?:-s|--silent|--if-present))*(?P<more>(?: --)?(?: .*)?)$"
)
_SEQUENCE = re.compile(
    r"^(?:run-s|npm-run-all)(?: (?:-s|--serial|--sequential|-n|--print-name|--silent|-l|--print-label))*"
    r" (?P<names>[\w.:*/ -]+)$"
)
_WATCH = re.compile(r"\s(?:--watch(?:All)?(?:=\S+)?|--ui)(?=\s|$)")
_SHORT_WATCH = re.compile(r"\s-w(?=\s|$)")  # jest's -w is --maxWorkers
# They start another program: what follows is that program's. c8 and nyc take options of their own before it.
_WRAPPER_PROGRAMS = frozenset(
    ["cross-env", "c8", "nyc", "npx", "bunx", "env", "dotenv", "dotenvx", "env-cmd", "yarn", "exec", "run", "pnpm"]
)
# Programs by the words that start a run of tests, and what keeps them from watching files where that is their default.
_PROGRAMS: Mapping[tuple[str, ...], tuple[str, str]] = {
    ("vitest", "run"): ("vitest", ""),
    ("vitest", "watch"): ("vitest", ""),
    ("vitest", "dev"): ("vitest", ""),
    ("vitest",): ("vitest", "--run"),
    ("jest",): ("jest", ""),
    ("react-scripts", "test"): ("jest", "--watchAll=false"),
    ("craco", "test"): ("jest", "--watchAll=false"),
    ("react-app-rewired", "test"): ("jest", "--watchAll=false"),
    ("mocha",): ("mocha", ""),
    ("_mocha",): ("mocha", ""),
    ("bun", "test"): ("bun", ""),
    ("deno", "test"): ("deno", ""),
    ("playwright", "test"): ("playwright", ""),
    ("karma", "start"): ("karma", "--single-run"),
    ("ng", "test"): ("ng", "--watch=false"),
}
_OTHER_VERBS = {"vitest": frozenset(["list", "bench", "init", "related", "typecheck"])}
_NODES = {"node", "tsx", "nodejs"}
# Options whose value is the next word, so that this word is no path to run.
_OPTION_WITH_VALUE = re.compile(
    r"-[crtw]|--(?:config|require|import|loader|experimental-loader|env|environment|project|projects|root|rootDir|dir|"
    r"timeout|reporter|reporters|reporter-option|reporter-options|ui|extension|file|ignore|grep|fgrep|testNamePattern|"
    r"maxWorkers|pool|workspace|coverageDirectory|outputFile|setupFiles|conditions|env-file|selectProjects|workers|"
    r"retries|match|shard|test-reporter|test-reporter-destination|test-name-pattern|test-concurrency|test-timeout|preload)"
)
# A report of the script's own takes the place that ours would have: such a command is run as it is written.
_OWN_REPORT = re.compile(
    r"--outputFile(?:[.=].*)?|--reporter-outfile(?:=.*)?|--junit-path(?:=.*)?|--output-file(?:=.*)?"
)
_LEAKS = re.compile(r"(?:^|[\s(])(?:cd|pushd|export|set|source|exec|exit|\.)\s")
_NOT_PLAIN = set(";|<>()&")
_DEEPEST = 4


@dataclass(frozen=True)
class ScriptCommand:
    """One command of a script, as written, watch mode taken out.

    `runner` is the test runner that it starts, "" for anything else; `program` its words up to there; `options` those
    of the rest that name nothing to run, `paths` those that do.
    """

    text: str
    runner: str = ""
    program: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class PackageScript:
    """The commands of a script, each of which runs where those before it ended well; () where it cannot be split."""

    commands: tuple[ScriptCommand, ...] = ()

    @property
    def text(self) -> str:
        """It as one text for a shell."""
        return " && ".join(command.text for command in self.commands)

    @property
    def runners(self) -> tuple[ScriptCommand, ...]:
        """The commands that start a test runner."""
        return tuple(command for command in self.commands if command.runner)


def parse_package_script(scripts: Mapping[str, str], name: str = "test", *, hooks: bool = True) -> PackageScript:
    """The script `name` of a package; what it calls by `npm run` or `run-s` is put in its place.

    `hooks` says that the package manager runs `pre` and `post` scripts (Yarn does not since 2).
    """
    return PackageScript(tuple(_expand_script(scripts, name, hooks, 0) or ()))


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
    at = _skip_wrappers(words)
    rest = words[at:]
    if not rest or "--" in rest:
        return "", 0
    name = PurePosixPath(rest[0]).name
    if rest[1:2] and rest[1] in _OTHER_VERBS.get(name, ()):
        return "", 0
    for length in (2, 1):
        if known := _PROGRAMS.get((name, *rest[1:length])):
            return known[0], at + length
    return _of_node(rest, at) if name in _NODES else ("", 0)


def _expand_script(scripts: Mapping[str, str], name: str, hooks: bool, depth: int) -> list[ScriptCommand] | None:
    """The commands of a script with its hooks; None where the shell does more than run one after the other."""
    found: list[ScriptCommand] = []
    for each in (f"pre{name}", name, f"post{name}") if hooks else (name,):
        text = scripts.get(each, "").strip()
        parts = _split_chain(text)
        if parts is None or (_LEAKS.search(text) and (depth or each != name)):
            # What it does to its shell ends with it.
            if each == name:
                return None
            found.append(ScriptCommand(f"({text})"))
            continue
        for part in parts:
            found += _expand_part(scripts, part, each, hooks, depth)
    return found


def _expand_part(scripts: Mapping[str, str], part: str, name: str, hooks: bool, depth: int) -> Iterable[ScriptCommand]:
    called = [] if depth >= _DEEPEST else list(_called_scripts(scripts, part))
    if not called or any(each == name for each, _ in called):
        return [_read_command(part)]
    found: list[ScriptCommand] = []
    for each, more in called:
        inner = _expand_script(scripts, each, hooks, depth + 1)
        if not inner:
            return [ScriptCommand(part)]
        if more:
            # What stands behind the name goes to the script's own last command.
            inner[-1] = _read_command(f"{inner[-1].text} {more}")
        found += inner
    return found


def _called_scripts(scripts: Mapping[str, str], part: str) -> Iterator[tuple[str, str]]:
    """The scripts that a command runs one after the other, and what it gives them."""
    alias = _ALIAS.match(part)
    name = alias["name"] if alias else ""
    if name in ("t", "tst") and part.startswith(("npm ", "pnpm ")) and name not in scripts:
        name = "test"
    if alias and name in scripts:
        more = re.sub(r"^--(?= |$)", "", alias["more"].strip()).strip()
        # npm takes the options before a "--" for itself.
        if not more or not part.startswith("npm") or " -- " in part:
            yield name, more
    elif sequence := _SEQUENCE.match(part):
        for wanted in sequence["names"].split():
            pattern = re.compile(re.escape(wanted).replace(r"\*\*", ".*").replace(r"\*", "[^:]*"))
            yield from ((name, "") for name in scripts if pattern.fullmatch(name))


def _read_command(text: str) -> ScriptCommand:
    runner, length = identify_runner(split_plain_command(text))
    if not runner:
        return ScriptCommand(text)
    text = _WATCH.sub("", text) if runner == "jest" else _SHORT_WATCH.sub("", _WATCH.sub("", text))
    words = split_plain_command(text)
    if any(_OWN_REPORT.fullmatch(word) for word in words):
        return ScriptCommand(text)
    start = _skip_wrappers(words)
    verb = words[start:length][1:] in (("watch",), ("dev",))
    if verb:
        text = re.sub(r"\s(?:watch|dev)(?=\s|$)", " run", text, count=1)
        words = split_plain_command(text)
    program = words[:length]
    off = next((value[1] for key, value in _PROGRAMS.items() if _ends_in(program, key)), "")
    if off and not any(word.startswith(off.partition("=")[0]) for word in words):
        # Right behind the program: an option at the end could be the value of the one before it.
        text = _insert_behind(text, program[-1], off)
        program = (*program, off)
    options = _option_words(words[length:])
    paths = tuple(word for word in words[length:] if word not in options)
    return ScriptCommand(text, runner, program, options, paths)


def _ends_in(program: tuple[str, ...], words: tuple[str, ...]) -> bool:
    last = program[-len(words) :]
    return len(last) == len(words) and (PurePosixPath(last[0]).name, *last[1:]) == words


def _insert_behind(text: str, word: str, option: str) -> str:
    head, found, tail = text.partition(word)
    return f"{head}{found} {option}{tail}"


def _skip_wrappers(words: tuple[str, ...]) -> int:
    """How many words come before the program: assignments, and wrappers with their options."""
    at = 0
    while at < len(words) and (
        _ASSIGNMENT.fullmatch(words[at]) or words[at] in _WRAPPER_PROGRAMS or _is_wrapper_option(words, at)
    ):
        at += 1
    return at


def _of_node(rest: tuple[str, ...], at: int) -> tuple[str, int]:
    """`node [options] --test`, or `node [options] node_modules/.bin/jest`."""
    if "--test" in rest:
        return "node", at + rest.index("--test") + 1
    for number, word in enumerate(rest[1:], start=1):
        name = PurePosixPath(word).name.removesuffix(".js").removesuffix(".mjs")
        if "node_modules/" in word and name in ("vitest", "jest", "mocha", "_mocha"):
            return _PROGRAMS[(name,)][0], at + number + 1
    return "", 0


def _is_wrapper_option(words: tuple[str, ...], at: int) -> bool:
    """Whether the word at `at` is an option of a wrapper, before the program that it starts."""
    return at > 0 and words[at].startswith("-") and any(word in _WRAPPER_PROGRAMS for word in words[:at])


def _split_chain(text: str) -> list[str] | None:
    """The commands of a chain of `&&`; None where other operators join commands, or a quote stays open."""
    parts, start, quote = list[str](), 0, ""
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif text.startswith("&&", at):
            parts.append(text[start:at])
            start = at + 2
        elif char in ";\n`" or (char in "|&" and text[at - 1 : at + 1] not in ("&&", ">&", "<&")) or char in "(){}#":
            return None
    found = [part.strip() for part in (*parts, text[start:])]
    return None if quote or (text and not all(found)) else [part for part in found if part]


def _option_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words that are options or their values: what is left names files, which a call's own targets replace."""
    pairs = pairwise(("", *words))
    return tuple(word for before, word in pairs if word.startswith("-") or _OPTION_WITH_VALUE.fullmatch(before))
