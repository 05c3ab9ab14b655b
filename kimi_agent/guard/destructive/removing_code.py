"""Removing code: what the inline code of an interpreter (`python3 -c`, `perl -e`) deletes by functions of its own."""

import re
from collections.abc import Iterator

from kimi_agent.guard.shell.expansion import WordValue, escape_pattern
from kimi_agent.guard.shell.invocation import Invocation
from kimi_agent.guard.shell.syntax.words import ShellWords, word_text

_INTERPRETERS = re.compile(r"python[\d.]*|node|nodejs|perl[\d.]*|ruby[\d.]*|php[\d.]*|deno|bun|lua[\d.]*")
_REMOVING = re.compile(
    r"\b(rmtree|os\.(remove|unlink|rmdir|removedirs)|\.unlink\(|rmSync|rmdirSync|unlinkSync|rm_rf?|FileUtils\.rm|unlink"
    r"|remove_tree|rimraf|fs\.rm\b|fs\.promises\.rm\b|remove_dir_all)\b"
)
_HOME = re.compile(r"Path\.home\(\)|homedir\(\)|Dir\.home|expanduser\(|(environ|getenv|ENV|env)\W{1,3}HOME\b")
_STRING = re.compile(r"\"((?:[^\"\\]|\\.){0,400})\"|'((?:[^'\\]|\\.){0,400})'")
MAX_STRINGS = 40


def removes_files(made: Invocation) -> bool:
    """Whether a command is an interpreter with code that deletes files."""
    return bool(_INTERPRETERS.fullmatch(made.name)) and any(map(_REMOVING.search, map(word_text, _code(made))))


def find_paths_in_code(made: Invocation) -> Iterator[WordValue]:
    """The paths that stand in such code, as far as they are absolute or in the home."""
    if not removes_files(made):
        return
    for text in map(word_text, _code(made)):
        if _HOME.search(text):
            yield WordValue("~")
        for match in list(_STRING.finditer(text))[:MAX_STRINGS]:
            path = match[1] or match[2] or ""
            if path.startswith(("/", "~")):
                yield WordValue(path[:1] + escape_pattern(path[1:]))


def _code(made: Invocation) -> ShellWords:
    return (*made.args, *made.documents)
