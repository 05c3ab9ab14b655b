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
from kimi_agent.guard.shell.expansion import (
    escape_pattern,
    expand_word,
    join_parts,
    resolve_places,
    unescape_pattern,
)
from kimi_agent.guard.shell.invocation import Invocation
from kimi_agent.guard.shell.invocations import ShellWalk
from kimi_agent.guard.shell.syntax.words import ShellWord, word_text
from kimi_agent.workspace.git.hardening import override_settings

MAX_PATHS = 400
_WRITING = frozenset({">", ">>", ">|", "&>", "&>>", "<>"})
_CHANGERS = frozenset(
    {"tee", "touch", "mkdir", "mv", "rm", "unlink", "rmdir", "truncate", "shred", "chmod", "chown", "chattr", "setfacl"}
    | {"gzip", "gunzip", "bzip2", "bunzip2", "xz", "unxz", "lzma", "unlzma", "dos2unix", "unix2dos"}
)
"""Commands all of whose operands are changed."""
_OPENERS = frozenset({"sponge", "ed", "ex", "vi", "vim", "nvim", "nano", "patch"})
"""Editors, whose operands are the files that they are told to change."""
_COPIERS = frozenset({"cp", "install", "ln", "rsync", "scp"})
"""Commands that write to their last operand, or into the folder of -t."""
_SECOND = frozenset({"uniq", "xxd", "split", "csplit"})
"""Commands that write to their last operand, or to names that begin so, if it is not the only one."""
_OUTPUT = ("-o", "-O", "-P", "--output", "--output-document", "--output-dir", "--directory-prefix")
"""Options whose value is a file that is written, or a folder to write into."""
_NO_OUTPUT = frozenset({"grep", "egrep", "fgrep", "rg", "ag", "ack", "find", "ls", "ps", "set", "ssh", "mount", "lsof"})
"""Commands to which `-o` is something else."""
_FOLDER_OPTIONS = {
    **dict.fromkeys(("tar", "gtar", "bsdtar"), ("-C", "--directory")),
    "unzip": ("-d",),
    "cpio": ("-D", "--directory"),
    "patch": ("-d", "--directory"),
    "csplit": ("-f", "--prefix"),
}
"""Options whose value is a folder (or the beginning of a name) that something is put into."""
_LISTING = re.compile(r"(?!--)-?[a-zA-Z]*[tcr][a-zA-Z]*|--(list|create|append)")
_SED_WRITES = re.compile(r"[wW] +([^\n;}]+)")
_AWK_WRITES = re.compile(r">>?\s*\"([^\"]+)\"")
_EDITORS = re.compile(r"g?sed|perl|ruby")
_IN_PLACE = re.compile(r"-[a-zA-Z]*i.*|--in-place(=.*)?")
_GIT_READING = {"--get", "--get-all", "--get-regexp", "--list", "-l", "get", "list"}


@dataclass(frozen=True)
class NamedPaths:
    """Absolute paths, as named and with their links resolved. `written` are also in `named`.

    `perhaps_written` are all of them where only the run shows what a command writes to (`> "$1"`, `rm $f`).
    `settings` are the keys of git's configuration that are set and that name a program, such as core.hooksPath.
    """

    named: tuple[str, ...]
    written: tuple[str, ...]
    perhaps_written: tuple[str, ...]
    settings: tuple[str, ...]


def find_named_paths(walk: ShellWalk) -> NamedPaths:
    """The paths and git settings in a shell text, by the walk over its commands."""
    here = [made for made in walk.invocations[:MAX_PATHS] if not made.remote and made.state.mounts is None]
    written = tuple(dict.fromkeys(islice((path for made in here for path in _written_by(made)), MAX_PATHS)))
    named = tuple(dict.fromkeys(islice((path for made in here for path in _named_by(made)), MAX_PATHS)))
    settings = tuple(dict.fromkeys(key for made in here for key in _settings_of(made)))
    everything = tuple(dict.fromkeys((*written, *named)))
    return NamedPaths(everything, written, everything if any(map(has_open_target, here)) else (), settings)


def has_open_target(made: Invocation) -> bool:
    """Whether only the run shows what a command writes to, from its beginning on."""
    targets = [redirect.target for redirect in made.redirects if redirect.operator in _WRITING]
    targets += find_operands(made.args) if made.name in _CHANGERS else []
    return any(value.starts_unknown for word in targets for value in expand_word(word, made.state))


def _written_by(made: Invocation) -> Iterator[str]:
    paths = WorkspacePaths(made.state, os.path.lexists)
    for redirect in made.redirects:
        if redirect.operator in _WRITING:
            yield from _places((redirect.target,), paths, begun=True)
    name, args = made.name, made.args
    texts = [plain_text(word, made.state) for word in args]
    given = find_operands(args)
    if name in _CHANGERS | _OPENERS:
        yield from _places(given, paths, begun=True)
    elif name in _SECOND:
        yield from _places(given[1:][-1:], paths, begun=True)
    elif name in _COPIERS:
        folder = find_option_value(texts, "-t", "--target-directory")
        targets = [folder] if folder else [text for word in given[-1:] for text in plain_texts(word, made.state)]
        sources = [plain_text(word, made.state) for word in (given if folder else given[:-1])]
        for target in filter(None, targets):
            # Both: what is copied into a folder, and a copy under a new name.
            yield from _leading(target, paths)
            yield from (place for each in sources if each for place in _leading(f"{target}/{_last(each)}", paths))
    elif _EDITORS.fullmatch(name) and any(map(_IN_PLACE.fullmatch, texts)):
        yield from _places(given, paths)
    named = (*_named_outputs(name, texts), *_written_by_code(name, texts))
    yield from (place for text in named for place in _leading(text, paths))


def _named_outputs(name: str, texts: Sequence[str]) -> Iterator[str]:
    """The values of the options and words of a command that say where it writes."""
    if name == "dd":
        yield from (text[3:] for text in texts if text.startswith("of="))
    if name not in _NO_OUTPUT:
        yield from filter(None, (find_option_value(texts, option) for option in _OUTPUT))
        yield from (text[2:] for text in texts if name in {"sort", "curl"} and re.match(r"-o.", text))
    if name in _FOLDER_OPTIONS and not (texts and "tar" in name and _LISTING.fullmatch(texts[0])):
        yield from filter(None, (find_option_value(texts, option) for option in _FOLDER_OPTIONS[name]))
    if name == "git" and "config" in texts and not _GIT_READING & set(texts):
        yield from filter(None, [find_option_value(texts, "-f", "--file")])


def _written_by_code(name: str, texts: Sequence[str]) -> Iterator[str]:
    """The files that a program for sed or awk writes by their names."""
    wanted = _SED_WRITES if name in {"sed", "gsed"} else _AWK_WRITES if re.fullmatch(r"[gmn]?awk", name) else None
    if wanted:
        yield from (match[1].strip() for text in texts for match in wanted.finditer(text))


def _named_by(made: Invocation) -> Iterator[str]:
    """Every word that may be a path, and the value of each `--option=path`."""
    paths = WorkspacePaths(made.state, os.path.lexists)
    strings = (each for each in made.documents if "\n" not in word_text(each).strip())  # `<<< path`
    yield from _places((*made.args, *strings, *(redirect.target for redirect in made.redirects)), paths)
    for word in made.args:
        option = re.match(r"--?[\w-]+=(.+)|[\w-]+=(.+)", plain_text(word, made.state))
        if option:
            yield from _both(paths.absolute(option[1] or option[2]))


def _places(words: Sequence[ShellWord], paths: WorkspacePaths, *, begun: bool = False) -> Iterator[str]:
    """The paths that words stand for; with `begun` also what is known of one that only the run shows whole."""
    for word in words:
        for value in expand_word(word, paths.state):
            if value.has_unknown and begun and value.text:
                yield paths.absolute(unescape_pattern(value.text))
            matches = paths.matching(value.text)[0] if value.text and not value.has_unknown else []
            for each in matches:
                yield from _leading(each, paths)


def _leading(text: str, paths: WorkspacePaths) -> Iterator[str]:
    """A path as it is named, and where it leads: also by the links that the same text makes."""
    yield from _both(paths.absolute(text))
    for cwd in paths.state.cwds if paths.state.links else ():
        for place in resolve_places(escape_pattern(text), cwd, paths.state, follow_last=True):
            if place is not None:
                yield unescape_pattern(join_parts(place))


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
    file = find_option_value(texts, "-f", "--file")
    after = [
        text for text in texts[texts.index("config") + 1 :] if not text.startswith("-") and text not in ("set", file)
    ]
    if len(after) > 1:
        yield from override_settings(after[:1])
        if re.match(r"(?i)include(if)?\.", after[0]):
            yield after[0]  # a file that holds any key
    elif not after:
        yield "git config"  # --edit, --file and the like: any key
