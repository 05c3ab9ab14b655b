"""Paths that a shell text names: those it writes, and those that it may read or write.

A net for what is plain to see, as `losses` is: a program can write files that no word of the text names.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from kimi_agent.guard.destructive.arguments import find_operands, find_option_value, plain_text, plain_texts
from kimi_agent.guard.destructive.target_files import WorkspacePaths
from kimi_agent.guard.shell.expansion import expand_word
from kimi_agent.guard.shell.invocation import Invocation
from kimi_agent.guard.shell.invocations import ShellWalk
from kimi_agent.guard.shell.syntax.words import ShellWord
from kimi_agent.workspace.git.hardening import override_settings

MAX_PATHS = 400
_WRITING = frozenset({">", ">>", ">|", "&>", "&>>", "<>"})
_CHANGERS = frozenset(
    {"tee", "touch", "mkdir", "mv", "rm", "unlink", "rmdir", "truncate", "shred", "chmod", "chown", "chattr", "setfacl"}
)
"""Commands all of whose operands are changed."""
_COPIERS = frozenset({"cp", "install", "ln", "rsync", "scp"})
"""Commands that write to their last operand, or into the folder of -t."""
_EDITORS = re.compile(r"g?sed|perl|ruby")
_IN_PLACE = re.compile(r"-[a-zA-Z]*i.*|--in-place(=.*)?")
_GIT_READING = {"--get", "--get-all", "--get-regexp", "--list", "-l", "get", "list"}


@dataclass(frozen=True)
class NamedPaths:
    """Absolute paths, as named and with their links resolved. `written` are also in `named`.

    `settings` are the keys of git's configuration that are set and that name a program, such as core.hooksPath.
    """

    named: tuple[str, ...]
    written: tuple[str, ...]
    settings: tuple[str, ...]


def find_named_paths(walk: ShellWalk) -> NamedPaths:
    """The paths and git settings in a shell text, by the walk over its commands."""
    here = [made for made in walk.invocations[:MAX_PATHS] if not made.remote and made.state.mounts is None]
    written = tuple(dict.fromkeys(islice((path for made in here for path in _written_by(made)), MAX_PATHS)))
    named = tuple(dict.fromkeys(islice((path for made in here for path in _named_by(made)), MAX_PATHS)))
    settings = tuple(dict.fromkeys(key for made in here for key in _settings_of(made)))
    return NamedPaths(tuple(dict.fromkeys((*written, *named))), written, settings)


def _written_by(made: Invocation) -> Iterator[str]:
    paths = WorkspacePaths(made.state, os.path.lexists)
    for redirect in made.redirects:
        if redirect.operator in _WRITING:
            yield from _places((redirect.target,), paths)
    name, args = made.name, made.args
    texts = [plain_text(word, made.state) for word in args]
    given = find_operands(args)
    if name in _CHANGERS:
        yield from _places(given, paths)
    elif name in _COPIERS:
        folder = find_option_value(texts, "-t", "--target-directory")
        targets = [folder] if folder else [text for word in given[-1:] for text in plain_texts(word, made.state)]
        sources = [plain_text(word, made.state) for word in (given if folder else given[:-1])]
        for target in filter(None, targets):
            # Both: what is copied into a folder, and a copy under a new name.
            yield from _both(paths.absolute(target))
            yield from (place for each in sources if each for place in _both(f"{paths.absolute(target)}/{_last(each)}"))
    elif _EDITORS.fullmatch(name) and any(map(_IN_PLACE.fullmatch, texts)):
        yield from _places(given, paths)
    elif name == "dd":
        yield from (place for text in texts if text.startswith("of=") for place in _both(paths.absolute(text[3:])))
    elif name in {"curl", "wget"}:
        # curl's -O names no file.
        output = find_option_value(texts, "-o" if name == "curl" else "-O", "--output", "--output-document")
        yield from _both(paths.absolute(output)) if output else ()


def _named_by(made: Invocation) -> Iterator[str]:
    """Every word that may be a path, and the value of each `--option=path`."""
    paths = WorkspacePaths(made.state, os.path.lexists)
    yield from _places((*made.args, *(redirect.target for redirect in made.redirects)), paths)
    for word in made.args:
        option = re.match(r"--?[\w-]+=(.+)|[\w-]+=(.+)", plain_text(word, made.state))
        if option:
            yield from _both(paths.absolute(option[1] or option[2]))


def _places(words: Sequence[ShellWord], paths: WorkspacePaths) -> Iterator[str]:
    for word in words:
        for value in expand_word(word, paths.state):
            matches = paths.matching(value.text)[0] if value.text and not value.has_unknown else []
            for each in matches:
                yield from _both(paths.absolute(each))


def _both(path: str) -> Iterator[str]:
    """A path as it is named, and where its links lead."""
    if "\0" in path:
        return
    yield path
    real = os.path.realpath(path)
    if real != path:
        yield real


def _last(path: str) -> str:
    return os.path.basename(path.rstrip("/"))


def _settings_of(made: Invocation) -> Iterator[str]:
    """The keys that a `git config` sets and by which git runs programs."""
    texts = [plain_text(word, made.state) for word in made.args]
    if made.name != "git" or "config" not in texts or _GIT_READING & set(texts):
        return
    after = [text for text in texts[texts.index("config") + 1 :] if not text.startswith("-") and text != "set"]
    if len(after) > 1:
        yield from override_settings(after[:1])
    elif not after:
        yield "git config"  # --edit, --file and the like: any key
