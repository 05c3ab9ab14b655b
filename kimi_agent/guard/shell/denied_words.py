"""Deny rules by words: whether a shell text runs what a rule names, may run it, or only speaks of it.

A deny rule `shell(curl)` holds for `env curl`, `timeout 5 curl`, `sh -c 'curl x'`, `/usr/bin/curl`, `c""url`: wherever
a word becomes a command. For `grep curl src` and `git commit -m 'drop curl'` it does not: there it is data.
"""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from kimi_agent.guard.shell.command_options import find_obeyed_words
from kimi_agent.guard.shell.expansion import ShellState, expand_word, unescape_pattern
from kimi_agent.guard.shell.invocation import Invocation
from kimi_agent.guard.shell.invocations import ShellWalk, find_invocations
from kimi_agent.guard.shell.launchers import SHELL_PROGRAMS, find_launcher, program_name
from kimi_agent.guard.shell.options.synonyms import (
    common_words,
    find_spellings,
    full_subcommand,
    split_combined,
)
from kimi_agent.guard.shell.syntax.words import ShellWord, decode_ansi_c, word_text

Denial = Literal["deny", "ask", ""]

ANY_WORD, ANY_OPERAND = "", "\0"
"""Words that only the run shows: the second is one word, and no option."""

MAX_VARIANTS = 16
MAX_SKIPPED = 200
ANYWHERE = ShellState(home=Path("/"), workspace=Path("/"), cwds=(None,))
"""The state of a shell for questions about names, which no folder decides."""

_READ_BY_WALK = SHELL_PROGRAMS | {"eval", "trap", "alias"}
_DATA_PROGRAMS = frozenset(
    {"tee", "test", "[", "type", "kill", "read", "logger", "notify-send", "say", "cd", "pushd"}
    | {":", "unset", "shift", "return", "exit", "wait", "column", "fold", "fmt", "pr", "rev", "paste", "join", "yes"}
)
"""Programs without an allow list of options that run none of their words."""

_DATA_COMMANDS = frozenset((name, word) for name in ("gh", "glab") for word in ("pr", "mr", "issue", "release", "api"))

_LOOKUPS = frozenset({"which", "whereis", "command", "type", "hash", "where"})
"""Programs that say where another one lies."""

_OBEYED_VARIABLES = re.compile(
    r".*(?:PAGER|EDITOR|VISUAL|COMMAND|CMD|BROWSER|SHELL|SSH|OPEN|CLOSE|ASKPASS|ENV|FLAGS|PROGRAM|EXEC|RUN|WRAPPER|OPT\w*)"
    r"|CC|CXX|LD\w*|RUSTC|GIT_.*|npm_config_.*"
)
"""Variables by which programs start others."""

_INVISIBLE = re.compile(r"[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_BREAKS = re.compile(r"[;&|()<>`\n\r{}\[\]]+")
_BLANKS = re.compile(r"[\s\x00-\x20\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff$]+")
_PARTS = re.compile(r"[=,:@!#]+")
_TOKEN = re.compile(r"[^\s;&|()<>'\"\\]+")
_EMPTY = re.compile(r"\$\{[^{}]{0,200}\}|\$\([^()]{0,200}\)|``|\$[@*#?!0-9-]")
_ANSI = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)


def match_denied_words(rule_words: tuple[str, ...], text: str, walk: ShellWalk | None = None) -> Denial:
    """Whether the commands of `text` are what the rule names ("deny"), may be ("ask"), or surely are not ("").

    The words of the rule may have options, and a value each, between them; an option of the rule holds wherever it
    stands and however it is spelled. `walk` is that of `text` from `ANYWHERE`, for a caller with several rules.
    """
    rule = (program_name(rule_words[0]), *rule_words[1:])
    found = {_match(each, text, walk) for each in dict.fromkeys((rule, common_words(rule)))}
    return "deny" if "deny" in found else "ask" if "ask" in found else ""


def _match(rule: tuple[str, ...], text: str, walk: ShellWalk | None) -> Denial:
    if not _may_concern(rule[0], text):
        return ""
    walk = walk or find_invocations(text, ANYWHERE)
    found = {_of_invocation(rule, made, walk) for made in walk.invocations if made.words}
    if "deny" in found:
        return "deny"
    if walk.unclear and is_mentioned(rule, text):
        return "ask"
    return "ask" if "ask" in found or _is_handed_on(rule, walk) or _is_found_for_another(rule, walk) else ""


def _may_concern(name: str, text: str) -> bool:
    """Whether `name` can be in `text` at all: most texts are let through here."""
    return bool(re.search(r"[$*?\[{]", text)) or name.casefold() in re.sub(r"\\\n|[\\'\"]", "", text).casefold()


def _of_invocation(rule: tuple[str, ...], made: Invocation, walk: ShellWalk) -> Denial:
    if _is_lookup(made):
        return ""
    names = _values(made.words[0], made, is_name=True)
    named = any(_is_name(rule[0], word) for words in names for word in (words[0], common_words(words)[0]))
    verdicts = {_compare(rule, words) for words in _variants(made)} if named else set()
    verdicts |= {_compare(rule, words) for words in map(_module_of, _variants(made)) if words}
    if "deny" in verdicts:
        return "deny" if made.certain or walk.unclear else "ask"
    own = [] if named else [word_text(made.words[0])]
    if "ask" in verdicts or is_mentioned(rule, " ".join([*own, *_words_that_run(made, walk)])):
        return "ask"
    by_pipe = len(rule) > 1 and any(launch.name in {"xargs", "parallel"} for launch in made.launchers)
    return "ask" if by_pipe and named else ""


def _is_lookup(made: Invocation) -> bool:
    """Whether `command -v` only looks for a program."""
    launch = made.launchers[-1] if made.launchers else None
    return (
        launch is not None and launch.name == "command" and re.match(r"-p?[vV]", word_text(launch.words[1])) is not None
    )


def _variants(made: Invocation) -> Iterator[tuple[str, ...]]:
    """The words of a command with each value that they may have."""
    values = [_values(word, made, is_name=at == 0) for at, word in enumerate(made.words)]
    for turn in range(min(max(map(len, values)), MAX_VARIANTS)):
        yield tuple(word for each in values for word in each[min(turn, len(each) - 1)])


def _values(word: ShellWord, made: Invocation, *, is_name: bool) -> list[tuple[str, ...]]:
    """The values that a word may have, several words perhaps (`"${a[@]}"`). In a name the unknown counts as empty."""
    if is_plain_word(word):
        return [("".join(piece.text for piece in word),)]
    is_variable = any(piece.kind == "variable" for piece in word)
    found: list[tuple[str, ...]] = []
    for value in expand_word(word, made.state):
        text = unescape_pattern(value.text)
        if value.has_unknown and not is_name:
            quoted = all(piece.quoted for piece in word) and (is_variable or bool(made.substituted))
            found.append((ANY_OPERAND if quoted or (text and text[0] != "-") else ANY_WORD,))
        else:
            found.append(tuple(text.split()) or (text,) if is_variable else (text,))
    return found


def _module_of(words: tuple[str, ...]) -> tuple[str, ...]:
    """The module and its words in `python -m pytest -x`: it is run as the program of that name; () for none."""
    if not program_name(words[0]).startswith("python"):
        return ()
    for at, word in enumerate(words[1:], 1):
        if match := re.fullmatch(r"-[a-zA-Z]*?m(.*)", word):
            return ((match[1],) if match[1] else ()) + words[at + 1 :]
        if not word.startswith("-") and words[at - 1] not in {"-W", "-X"}:
            return ()
    return ()


def is_plain_word(word: ShellWord) -> bool:
    """Whether a word is one text and no more: no expansion, no pattern, no brace."""
    return all(piece.kind == "text" and (piece.quoted or not re.search(r"[*?\[{}~]", piece.text)) for piece in word)


def _compare(rule: tuple[str, ...], words: tuple[str, ...]) -> Denial:
    """Whether a command is the one that the rule names, as it stands or by its common name."""
    common = common_words(words)
    return _compare_words(rule, words) or (_compare_words(rule, common) if common != words else "")


def _compare_words(rule: tuple[str, ...], words: tuple[str, ...]) -> Denial:
    if not _is_name(rule[0], words[0]):
        return ""
    rule, words = (tuple(full_subcommand(rule[0], word) for word in each) for each in (rule, words))
    plain = [word for word in rule[1:] if not word.startswith("-")]
    has_options = _has_options([word for word in rule[1:] if word.startswith("-")], rule, words)
    if has_options and _follow(plain, words[1:]):
        return "deny"
    guessed = (has_options or ANY_WORD in words) and _follow(plain, words[1:], guess=True)
    return "ask" if guessed else ""


def _is_name(name: str, word: str) -> bool:
    """Whether the first word of a command, a pattern perhaps, is the program `name`."""
    word = _INVISIBLE.sub("", program_name(word)).casefold().removesuffix(".exe")
    name = name.casefold()
    return word == name or (re.search(r"[*?\[]", word) is not None and fnmatchcase(name, word))


def _follow(plain: Sequence[str], words: Sequence[str], *, guess: bool = False) -> bool:
    """Whether `plain` stand first, with nothing between them but options and at most one value for each.

    With `guess` a word that only the run shows may be any of them.
    """
    wanted, spare = [word.casefold() for word in plain], False
    for word in words[:MAX_SKIPPED]:
        if not wanted:
            break
        if word.casefold() == wanted[0] or (guess and word in {ANY_WORD, ANY_OPERAND}):
            wanted, spare = wanted[1:], False
        elif word.startswith("-"):
            spare = True
        elif spare:
            spare = False
        else:
            return False
    return not wanted


def _has_options(options: Sequence[str], rule: Sequence[str], words: Sequence[str]) -> bool:
    name = rule[0].casefold()
    commands = [name, *(f"{name} {word}" for word in [*rule[1:], *words[1:]] if not word.startswith("-"))][:MAX_SKIPPED]
    given = {part for word in words[1:] for option in _letters(word) for part in split_combined(option, commands)}
    wanted = [part for option in options for each in _letters(option) for part in split_combined(each, commands)]
    return all(option in words for option in options) or all(
        any(_is_given(spelling, given) for spelling in find_spellings(option, commands)) for option in wanted
    )


def _letters(word: str) -> list[str]:
    """The options in a word: `-rf` has two; `+x` is one by its sign alone."""
    if word.startswith("--"):
        return list(dict.fromkeys((word.partition("=")[0], word)))
    if word.startswith("-"):
        return [f"-{letter}" for letter in word[1:]]
    return ["+"] if word.startswith("+") else []


def _is_given(option: str, given: set[str]) -> bool:
    return option in given or (
        option.startswith("--")
        and any(len(word) > 3 and word[:2] == "--" and option.startswith(word) for word in given)
    )


def _words_that_run(made: Invocation, walk: ShellWalk) -> list[str]:
    """The words of a command, and what it reads, that it may take for a command or for code."""
    words = tuple(map(word_text, made.words))
    name = program_name(made.name or words[0])
    if name in _READ_BY_WALK or find_launcher([name, *words[1:]]) is not None:
        inner = _inner_words(made, walk)
        own = [word for word in words[1:] if not set(_TOKEN.findall(word)) <= inner and not _is_script(name, word)]
        return own if _has_inner(made, walk) else own + _read(made)
    if name in _DATA_PROGRAMS or (name, *words[1:2]) in _DATA_COMMANDS:
        return []
    obeyed, listed = find_obeyed_words((name, *words[1:]))
    if name in {"find", "fd", "fdfind"}:
        return [word for word in obeyed if word not in _inner_words(made, walk)]
    return obeyed if listed else obeyed + _read(made)


def _inner_words(made: Invocation, walk: ShellWalk) -> set[str]:
    """The words that the walk has judged as parts of other commands, without quotes and operators."""
    others = (word_text(word) for other in walk.invocations if other is not made for word in other.words)
    return {token for word in others for token in _TOKEN.findall(word)}


def _is_script(name: str, word: str) -> bool:
    """Whether a word of a shell is a text, which the walk reads as it stands."""
    return name in _READ_BY_WALK and re.search(r"\s", word) is not None


def _has_inner(made: Invocation, walk: ShellWalk) -> bool:
    return any(launch.words == made.words for other in walk.invocations for launch in other.launchers)


def _read(made: Invocation) -> list[str]:
    """What a command reads, as far as it stands in the text: its documents, and the words of what it is fed by."""
    feeding = (word_text(word) for feeder in made.fed for word in (*feeder.args, *feeder.documents))
    return [*map(word_text, made.documents), *feeding]


def _is_handed_on(rule: tuple[str, ...], walk: ShellWalk) -> bool:
    """Whether the rule's words are in a variable that programs obey, or in a file that is made and run perhaps."""
    variables = walk.invocations[-1].state.variables if walk.invocations else {}
    for variable, values in variables.items():
        if values and _OBEYED_VARIABLES.fullmatch(variable) and is_mentioned(rule, " ".join(map(word_text, values))):
            return True
    writers = [made for made in walk.invocations if made.redirects or made.name in {"tee", "cp", "mv", "ln"}]
    written = [" ".join([*map(word_text, made.args), *_read(made)]) for made in writers]
    return any(is_mentioned(rule, text) for text in written) and any(map(_runs_files, walk.invocations))


def _is_found_for_another(rule: tuple[str, ...], walk: ShellWalk) -> bool:
    """Whether a command takes the program's file that another one looks up: `cp $(which curl) c; ./c`."""
    looked_up = (inner for made in walk.invocations for inner in made.substituted if inner.name in _LOOKUPS)
    return any(is_mentioned(rule[:1], word_text(word)) for inner in looked_up for word in inner.args)


def _runs_files(made: Invocation) -> bool:
    words = tuple(map(word_text, made.words))
    if not words or made.name in _DATA_PROGRAMS:
        return False
    return made.name in SHELL_PROGRAMS | {"source", ".", "chmod", "make"} or not find_obeyed_words(words)[1]


def is_mentioned(rule: Sequence[str], text: str) -> bool:
    """Whether the words of `rule` come one after another in what a shell might make of `text`, however it is quoted."""
    wanted = [word.casefold() for word in rule]
    plain = [word for word in wanted if not word.startswith("-")]
    letters = {letter for word in wanted if re.match(r"-[^-]", word) for letter in word[1:]}
    longs = {word for word in wanted if word.startswith("--")}
    for words in _split_loosely(text):
        given = {letter for word in words if re.match(r"-[^-]", word) for letter in word[1:]}
        if letters <= given and longs <= {word.partition("=")[0] for word in words}:
            for at, word in enumerate(words):
                if plain[0] in _names_in(word) and _follow(plain[1:], words[at + 1 :]):
                    return True
    return False


def _names_in(word: str) -> set[str]:
    """The program names that a word may hold, bare of their folders."""
    names = {part.rstrip("/").rpartition("/")[2] for part in (word, *_PARTS.split(word))}
    return names | {name.removesuffix(".exe") for name in names} | {name.lstrip("-+") for name in names}


def _split_loosely(text: str) -> Iterator[list[str]]:
    """The words of each command of `text`, in every way in which quotes and expansions may melt, in lower case."""
    text = _ANSI.sub(lambda match: decode_ansi_c(match[1]), text.replace("\\\n", "")).casefold()
    glued = re.sub(r"[\\'\"]", "", text)
    split = re.sub(r"['\"]", " ", text).replace("\\", "")
    for variant in dict.fromkeys((glued, split, _EMPTY.sub("", glued), _EMPTY.sub("", split))):
        for command in _BREAKS.split(variant):
            yield [word for word in _BLANKS.split(command) if word]
