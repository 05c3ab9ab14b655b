"""Finder of the program names that a shell text may run, for deny rules: too many rather than too few.

A deny rule `shell(curl)` must also hold for `env curl`, `timeout 5 curl`, `sh -c 'curl x'`, `/usr/bin/curl`,
`c""url`. Texts in which no name can be found (`$X y`) are reported as hiding one.
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from kimi_agent.guard.shell.expansion import ShellState
from kimi_agent.guard.shell.invocation import Invocation
from kimi_agent.guard.shell.invocations import find_invocations
from kimi_agent.guard.shell.launchers import LAUNCHERS, SHELL_PROGRAMS
from kimi_agent.guard.shell.syntax.words import decode_ansi_c, is_literal, word_text

MAX_PATTERN = 100
MAX_SKIPPED = 200
_BREAKS = re.compile(r"[;&|()<>`\n\r{}]+")
_BLANKS = re.compile(r"[\s\x00-\x20\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff$]+")
_PARTS = re.compile(r"[=,:@!]+")
_EMPTY = re.compile(r"\$\{[^{}]{0,200}\}|\$\([^()]{0,200}\)|``|\$[@*#?!0-9-]")
_ANSI = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)


def find_program_names(text: str) -> frozenset[str]:
    """Every word of `text` that might be a command's name, bare of its folder, in lower case.

    A name may hold `*?[]`: then it is a pattern, and whatever fits it may run.
    """
    found: set[str] = set()
    for words in split_commands_loosely(text):
        for word in words:
            for part in (word, *_PARTS.split(word)):
                name = part.rstrip("/").rpartition("/")[2]
                found |= {name, name.removesuffix(".exe"), name.lstrip("-+")}
    return frozenset(found - {""})


def may_match_name(name: str, text_names: frozenset[str]) -> bool:
    """Whether `name` is among `text_names`, or fits a pattern among them."""
    name = name.casefold()
    if name in text_names:
        return True
    patterns = [each for each in text_names if re.search(r"[*?\[]", each)]
    return any(len(each) > MAX_PATTERN or fnmatchcase(name, each) for each in patterns)


def split_commands_loosely(text: str) -> Iterator[list[str]]:
    """The words of each command of `text`, in every way in which quotes and expansions may melt, in lower case."""
    text = _ANSI.sub(lambda match: decode_ansi_c(match[1]), text.replace("\\\n", "")).casefold()
    glued = re.sub(r"[\\'\"]", "", text)
    split = re.sub(r"['\"]", " ", text).replace("\\", "")
    for variant in dict.fromkeys((glued, split, _EMPTY.sub("", glued), _EMPTY.sub("", split))):
        for command in _BREAKS.split(variant):
            yield [word for word in _BLANKS.split(command) if word]


def contains_words(rule: tuple[str, ...], text: str) -> bool:
    """Whether the words of `rule` come one after another in a command of `text`, options (and a value each) between.

    An option of the rule (`-rf`) holds wherever it is in that command and however its letters are spread.
    """
    wanted = [word.casefold() for word in rule]
    plain = [word for word in wanted if not word.startswith("-")]
    options = [word for word in wanted if word.startswith("-")]
    return any(
        all(_has_option(option, words) for option in options)
        and any(_starts(plain, words, at) for at in range(len(words)))
        for words in split_commands_loosely(text)
    )


def _starts(plain: list[str], words: list[str], at: int) -> bool:
    """Whether `plain` come from `at` on, with nothing between them but options and at most one value for each."""
    if not may_match_name(plain[0], frozenset([words[at].rpartition("/")[2]])):
        return False
    wanted, spare = plain[1:], False
    for word in words[at + 1 : at + MAX_SKIPPED]:
        if not wanted:
            break
        if word == wanted[0]:
            wanted, spare = wanted[1:], False
        elif word.startswith("-"):
            spare = True
        elif spare:
            spare = False
        else:
            return False
    return not wanted


def _has_option(option: str, words: list[str]) -> bool:
    if option.startswith("--"):
        given = [word.partition("=")[0] for word in words if word.startswith("--")]
        return any(option == word or (len(word) > 3 and option.startswith(word)) for word in given)
    letters = {letter for word in words if re.match(r"-[^-]", word) for letter in word[1:]}
    return set(option[1:]) <= letters


def is_denied(rule_words: tuple[str, ...], command: str) -> bool:
    """Whether a denial by words is for `command`, however it is spelled or wrapped."""
    words = (rule_words[0].rpartition("/")[2], *rule_words[1:])
    if len(words) == 1:
        return may_match_name(words[0], find_program_names(command))
    return contains_words(words, command)


def hides_program_name(text: str) -> bool:
    """Whether `text` runs something whose name only the run would show: `$X y`, `c{ur,}l`, `echo ... | sh`."""
    walk = find_invocations(text, ShellState(Path("/"), Path("/"), ((),)))
    return bool(walk.unclear) or any(map(_is_hidden, walk.invocations))


def _is_hidden(made: Invocation) -> bool:
    if not made.words:
        return False
    if not is_literal(made.words[0]) or made.name in {"eval", "source", "."}:
        return True
    if made.name in SHELL_PROGRAMS:
        return not any(word_text(word) and word_text(word)[0] not in "-+" for word in made.args)
    return made.name in LAUNCHERS and not all(map(is_literal, made.words[1:4]))
