"""Struck trees: what a command removes, empties, covers or changes the modes of, whole folders at a time.

A table by the command's name, for its own operands and for what `find`, `xargs` and pipes hand it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from kimi_agent.guard.destructive.arguments import find_operands, has_open_options, is_recursive
from kimi_agent.guard.destructive.enumerated_paths import (
    FIND_COMMANDS,
    chooses_files,
    find_enumerated,
    find_roots,
)
from kimi_agent.guard.shell.invocation import Invocation
from kimi_agent.guard.shell.syntax.words import ShellWord, ShellWords, WordPiece, word_text

REMOVERS = frozenset({"rm", "grm", "srm", "rimraf", "trash", "trash-put"})
_WHOLE_REMOVERS = frozenset({"rimraf", "trash", "trash-put"})
_FILE_REMOVERS = REMOVERS | {"unlink", "shred", "truncate"}
_MODE_CHANGERS = frozenset({"chmod", "chown", "chgrp", "setfacl", "chattr", "chcon"})
_DESCRIBED = frozenset({"chmod", "chown", "chgrp"})
"""Those whose first operand is a mode or an owner."""
_FILLERS = frozenset({"cp", "tee", "dd", "install", "ln"})


@dataclass(frozen=True)
class StruckTree:
    """A tree that a command strikes; `verb` goes on from "it would".

    `chosen` says that only what a test chooses goes; `guessed` that it may not happen at all, so that only a sure loss
    counts, as an uncertain one; `workspace_too` is False where the workspace itself may be meant; `certain_only` drops
    what is not sure.
    """

    word: ShellWord
    verb: str = "remove"
    chosen: bool = False
    guessed: bool = False
    workspace_too: bool = True
    certain_only: bool = False


def find_struck_trees(made: Invocation) -> Iterator[StruckTree]:
    """The trees that one command strikes."""
    name = made.name
    if name in _OF_COMMAND:
        yield from _OF_COMMAND[name](made)
    yield from _of_enumerated(name, made)


def _of_enumerated(name: str, made: Invocation) -> Iterator[StruckTree]:
    """Files below a tree, each handed to a command that takes one file at a time; or trees to one that takes trees."""
    texts = [word_text(word) for word in made.args]
    recursive = name in _WHOLE_REMOVERS or (name in REMOVERS and is_recursive(made.args, made.state))
    fills = name in _FILLERS and (texts[-1:] == ["{}"] or "of={}" in texts)
    edits = name in {"sed", "gsed", "perl"} and any(re.match(r"-[a-zA-Z]*i|--in-place", text) for text in texts)
    changes = name in _MODE_CHANGERS
    if not (recursive or fills or edits or changes or name in _FILE_REMOVERS or name == "mv"):
        return
    verb = "change the modes of" if changes else "remove" if name in _FILE_REMOVERS or name == "mv" else "write over"
    takes_trees = recursive or (changes and is_recursive(made.args, made.state, "R"))
    for path in find_enumerated(made):
        if path.tree or takes_trees:
            yield StruckTree(path.word, verb, path.chosen, workspace_too=not (changes or edits))


def _of_remover(made: Invocation) -> Iterator[StruckTree]:
    named = (StruckTree(word) for word in find_operands(made.args))
    if made.name in _WHOLE_REMOVERS or is_recursive(made.args, made.state):
        yield from named
    elif has_open_options(made.args):
        # `rm $OPTIONS /`: the options are open, what they would be used on is not.
        yield from (replace(tree, guessed=True) for tree in named)


def _of_mode_changer(made: Invocation) -> Iterator[StruckTree]:
    if is_recursive(made.args, made.state, letters="R"):
        given = find_operands(made.args)
        described = made.name in _DESCRIBED and not any(word_text(word).startswith("--ref") for word in made.args)
        for word in given[1:] if described else given:
            yield StruckTree(word, "change the modes of", workspace_too=False)


def _of_find(made: Invocation) -> Iterator[StruckTree]:
    texts = [word_text(word) for word in made.args]
    if "-delete" in texts:
        chosen, negated = chooses_files(texts), not {"!", "-not"}.isdisjoint(texts)
        yield from (StruckTree(root, chosen=chosen, guessed=negated) for root in find_roots(made.args))


def _of_mv(made: Invocation) -> Iterator[StruckTree]:
    target = any(re.match(r"-t|--target", word_text(word)) for word in made.args)
    given = find_operands(made.args)
    yield from (StruckTree(word, certain_only=True) for word in (given if target else given[:-1]))


def _of_rsync(made: Invocation) -> Iterator[StruckTree]:
    texts = [word_text(word) for word in made.args]
    if any(re.fullmatch(r"-[a-zA-Z]*n[a-zA-Z]*|--dry-run|--list-only", text) for text in texts):
        return
    given = find_operands(made.args)
    local = [word for word in given if not re.match(r"[^/~$]*:", word_text(word))]
    if any(text.startswith("--del") for text in texts) and len(given) > 1 and given[-1] in local:
        for source in given[:-1]:
            path = word_text(source)
            # Without a slash behind it a folder goes into the destination, and only there something is deleted.
            base = "" if path.endswith(("/", ".")) else f"/{path.rpartition('/')[2]}"
            yield StruckTree((*given[-1], *((WordPiece("text", base, quoted=False),) if base else ())))
    if "--remove-source-files" in texts:
        yield from (StruckTree(word) for word in given[:-1] if word in local)


def _of_archiver(made: Invocation) -> Iterator[StruckTree]:
    """`tar --remove-files`, `zip -m`, `7z a -sdel`: what is put into the archive is removed."""
    yield from map(StruckTree, _archived_sources(made))


def _archived_sources(made: Invocation) -> ShellWords:
    """The paths that an archiver removes once they are in the archive."""
    texts = [word_text(word) for word in made.args]
    given = list(find_operands(made.args))
    if made.name in {"zip", "7z", "7za", "7zz"}:
        moves = any(re.fullmatch(r"-[a-zA-Z]*m[a-zA-Z]*|--move|-sdel", text) for text in texts)
        skipped = 1 if made.name == "zip" else 2
        return tuple(given[skipped:]) if moves else ()
    if not any(len(text) > 8 and "--remove-files".startswith(text) for text in texts):
        return ()
    values = [at + 1 for at, text in enumerate(texts) if re.fullmatch(r"-[a-zA-Z]*f|--file|-C|--directory", text)]
    bundled = bool(texts) and bool(re.fullmatch(r"[a-zA-Z]+", texts[0]))
    skipped_words = [made.args[at] for at in values if at < len(made.args)]
    return tuple(word for word in given[2 * bundled :] if word not in skipped_words)


def _of_mount(made: Invocation) -> Iterator[StruckTree]:
    given = find_operands(made.args)
    if len(given) > 1:
        yield StruckTree(given[-1], "cover up", certain_only=True)


def _of_rclone(made: Invocation) -> Iterator[StruckTree]:
    given = find_operands(made.args)
    verb = word_text(given[0]) if given else ""
    struck = given[-1:] if verb in {"sync", "purge", "delete"} else given[1:2] if verb in {"move", "moveto"} else ()
    yield from (StruckTree(word) for word in struck if not re.match(r"[\w-]+:", word_text(word)))


_OF_COMMAND: dict[str, Callable[[Invocation], Iterator[StruckTree]]] = {
    **dict.fromkeys(REMOVERS, _of_remover),
    **dict.fromkeys(_MODE_CHANGERS, _of_mode_changer),
    **dict.fromkeys(FIND_COMMANDS, _of_find),
    "mv": _of_mv,
    "gmv": _of_mv,
    "rsync": _of_rsync,
    **dict.fromkeys(("tar", "gtar", "bsdtar", "zip", "7z", "7za", "7zz"), _of_archiver),
    "mount": _of_mount,
    "rclone": _of_rclone,
}
TRANSFER_COMMANDS = frozenset({"rsync", "tar", "gtar", "bsdtar", "zip", "7z", "7za", "7zz", "rclone"})
"""Commands that copy, and remove what they copied or what the other side has not."""
STRIKING_COMMANDS = frozenset(_OF_COMMAND) | _FILE_REMOVERS | _FILLERS
