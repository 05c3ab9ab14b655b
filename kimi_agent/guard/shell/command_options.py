"""Reader of a simple command by the allow lists of options: the words that a rule for the command leaves to a person.

For example `find -exec`, `rg --pre`, `sort -o`. A rule that allows `find` does not cover them: it has to name the word
itself. A command without an allow list is covered by its user's own rule with all operands, but not with options
whose name says that they run, write, load or configure something.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from kimi_agent.guard.shell.embedded_commands import has_run_subscript
from kimi_agent.guard.shell.launchers import find_launched_index, program_name
from kimi_agent.guard.shell.options.developer_tools import DEVELOPER_COMMANDS, DEVELOPER_TOOLS
from kimi_agent.guard.shell.options.git import GIT_COMMANDS, GIT_OPTIONS
from kimi_agent.guard.shell.options.readers import FILE_TOOLS, READERS
from kimi_agent.guard.shell.options.spec import Argument, CommandSpec, read_arguments, split_loosely

_PROGRAMS = {**READERS, **FILE_TOOLS, **DEVELOPER_TOOLS, "git": GIT_OPTIONS}
_COMMANDS = {**GIT_COMMANDS, **DEVELOPER_COMMANDS}
_WITH_COMMANDS = frozenset({"git", "cargo", "go", "npm", "pnpm", "yarn", "ruff"})
_RUNNING_WORDS = frozenset({"run", "foreach", "exec"})
"""Words of a command without an allow list behind which another one stands: `git bisect run`."""
_INTERPRETERS = frozenset({"python", "perl", "ruby", "node", "php", "lua"})
_ALIASES = {
    "gsort": "sort",
    "gtar": "tar",
    "bsdtar": "tar",
    "gfind": "find",
    "ggrep": "grep",
    "gmake": "make",
    "nodejs": "node",
    "ghead": "head",
    "gdate": "date",
    "gdu": "du",
    "gstat": "stat",
    "gls": "ls",
}
_RISKY_LETTERS = frozenset("cefioxCEIOX")
_RISKY_NAMES = re.compile(
    r"(?:exec|eval|command|cmd|script|shell|run|program|prog|hook|editor|pager|tool|filter|pre|post|print"
    r"|out|write|save|dump|export|report|log|inplace|place|edit|apply|fix|update|upload|download|install|init"
    r"|load|require|import|include|plugin|extension|module|preset|config|conf|cfg|rc|settings|option|set|define|env"
    r"|dir|directory|folder|cwd|chdir|path|file|files|root|prefix|project|workspace|target|dest"
    r"|force|delete|remove|purge|prune|overwrite|global|system|all|no-verify|yes"
    r"|url|uri|host|proxy|registry|index|server|remote|user|token|password|key|cert)(?![a-z])"
    r"|(?:out|log|conf|plug|work)[a-z]+|[a-z]+(?:file|files|dir|path|exec|cmd)(?![a-z])"
)
_HARMLESS_NAMES = frozenset({"--dry-run", "--help", "--version", "--no-color", "--print", "--all"})


def find_uncovered_words(words: tuple[str, ...]) -> list[str]:
    """The words of a simple command that a rule for its first words does not speak for, unless it holds them itself.

    An option that no list names, an assignment to `make`, a plugin, a file with further arguments, an interpreter's
    code, the command that a launcher runs. No path is looked at: see `find_outside_words`.
    """
    unlisted = [argument.word for argument in read_command(words) if not argument.covered]
    return unlisted + [word for word in words[1:] if has_run_subscript(word) and word not in unlisted]


def find_obeyed_words(words: tuple[str, ...]) -> tuple[list[str], bool]:
    """The words behind the name of a command that it may run or take for code, and whether it has an allow list.

    Those that a list covers are data: a pattern, a message, the name of a file. An option that no list names, and the
    word behind it, may be anything; so may all words of a command without a list, and of an interpreter.
    """
    name = _bare_name(words[0])
    known = _PROGRAMS.get(name)
    at = 1
    if name in _WITH_COMMANDS and known:
        at = 1 + len(list(read_arguments(words[1:], known)))
        known = _COMMANDS.get(f"{name} {words[at - 1]}") if at > 1 else known
    if known is None or name in _INTERPRETERS:
        return list(words[1:]), False
    arguments = read_command(words)
    after_unlisted = [argument.word[:1] == "-" and not argument.covered for argument in arguments]
    pairs = zip(arguments, [False, *after_unlisted], strict=False)
    return [argument.word for argument, follows in pairs if follows or not argument.covered], True


def only_reads_operands(words: tuple[str, ...]) -> bool:
    """Whether a command does the same in every folder: it reads the operands that it is given."""
    return _bare_name(words[0]) in READERS and not find_uncovered_words(words)


def read_command(words: tuple[str, ...]) -> list[Argument]:
    """The words behind the name of a simple command, each as the command takes it."""
    at = find_launched_index(words)
    if at >= len(words):
        return [_loose(word, covered=False) for word in words[1:]]
    if at:
        before = [_loose(word, covered=True) for word in words[1:at]]
        return [*before, Argument(words[at], covered=False), *read_command(words[at:])]
    name = _bare_name(words[0])
    spec = _PROGRAMS.get(name)
    if spec is None:
        return list(_unlisted(words[1:]))
    if name in _WITH_COMMANDS:
        return _with_command(name, words[1:], spec)
    if name in _INTERPRETERS:
        return _interpreted(words[1:], spec)
    return list(read_arguments(words[1:], spec))


def _bare_name(word: str) -> str:
    """The name by which a command stands in the tables: `/usr/bin/python3.11` is python."""
    name = program_name(word)
    return _ALIASES.get(name, re.sub(r"[\d.]+$", "", name) if name.startswith(("python", "lua", "perl")) else name)


def _with_command(name: str, args: tuple[str, ...], spec: CommandSpec) -> list[Argument]:
    """`git [options] command ...`: a command without an allow list is not covered by a rule for all of `git`."""
    before = list(read_arguments(args, spec))
    if not before or before[-1].word.startswith("-"):
        return before
    command, rest = before.pop().word, args[len(before) + 1 :]
    listed = _COMMANDS.get(f"{name} {command}")
    if listed is None:
        unlisted = [replace(each, covered=each.covered and each.word not in _RUNNING_WORDS) for each in _unlisted(rest)]
        return [*before, Argument(command, covered=False), *unlisted]
    return [*before, Argument(command, covered=True), *read_arguments(rest, listed)]


def _interpreted(args: tuple[str, ...], spec: CommandSpec) -> list[Argument]:
    """Options before the script (those behind it are its own); the module of `-m` is read as a command."""
    before = list(read_arguments(args, spec))
    rest = args[len(before) :]
    if len(before) > 1 and before[-2].word == "-m":
        return [*before, *read_command((before[-1].word, *rest))]
    return [*before, *(_loose(word, covered=True) for word in rest)]


def _unlisted(args: tuple[str, ...]) -> Iterator[Argument]:
    for word in args:
        yield _loose(word, covered=not _is_risky(word))


def _is_risky(word: str) -> bool:
    """Whether an argument of a command that we know nothing of may do more than the command's name says."""
    if word.startswith(("+", "@")) or re.match(r"[A-Za-z_.][\w.]*\s*[:+?!]*=", word.lstrip()):
        return True
    if not word.startswith("-") or word in _HARMLESS_NAMES:
        return False
    name = re.sub(r"([a-z])([A-Z])", r"\1-\2", word.partition("=")[0]).lower()
    if any(_RISKY_NAMES.match(part) for part in re.split(r"[-_.:]", name)):
        return True
    return re.fullmatch(r"-[^-]+", word) is not None and bool(_RISKY_LETTERS & set(word))


def _loose(word: str, *, covered: bool) -> Argument:
    return Argument(word, covered, split_loosely(word))
