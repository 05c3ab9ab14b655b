"""Enumerated paths: what `find`, `fd`, `xargs` and pipes hand to the command that they run."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kimi_agent.guard.destructive.arguments import find_operands
from kimi_agent.guard.shell.invocation import Invocation, Launch
from kimi_agent.guard.shell.syntax.words import ShellWord, ShellWords, WordPiece, literal_word, word_text

FIND_COMMANDS = frozenset({"find", "gfind"})
_FD_COMMANDS = frozenset({"fd", "fdfind"})
_READERS = frozenset({"xargs", "parallel", "sem"})
_CHOOSERS = frozenset(
    {"grep", "egrep", "fgrep", "rg", "head", "tail", "awk", "sed", "fzf", "comm", "uniq", "cut", "shuf"}
)
_PASSING = frozenset({"sort", "tr", "cat", "tee", "xargs", "read", "nl", "rev", "column"})
_NAMING = frozenset({"echo", "printf"})
_RELATIVE = frozenset({"git", "hg", "svn", "jj", "grep", "rg", "ag", "ack"})
"""Commands that print names below the folders they are told, chosen by what is in them."""
_FILTERS = re.compile(
    r"-(i?name|i?path|i?wholename|i?regex|i?lname|empty|size|user|group|perm|inum|links|newer\w*|[acm](time|min)|nouser|nogroup)"
)
_UNKNOWN: ShellWord = (WordPiece("unknown", "", quoted=False),)


@dataclass(frozen=True)
class EnumeratedPath:
    """A path that a command is handed at run time.

    `tree` says that every file below it is handed over and not the path alone; `chosen` that a test chooses among
    them.
    """

    word: ShellWord
    tree: bool = False
    chosen: bool = False


def find_enumerated(made: Invocation) -> Iterator[EnumeratedPath]:
    """The paths that a command gets from what launches it, from a pipe by way of `read`, or from `$(find ...)`."""
    for launch in made.launchers:
        name = launch.name
        if name in FIND_COMMANDS | _FD_COMMANDS:
            yield from _of_finder(name, launch.words)
        elif name in _READERS:
            yield from _of_reader(launch, made)
    if any(
        piece.kind == "variable" and made.state.variables.get(piece.text, ()) is None
        for word in made.args
        for piece in word
    ):
        yield from (path for path in _of_feeders(made.fed) if path.tree)
    yield from (path for path in _of_feeders(made.substituted) if path.tree)


def find_roots(args: ShellWords) -> ShellWords:
    """The folders that `find` begins at; the folder it runs in if it names none."""
    texts = [word_text(word) for word in args]
    first = next((i for i, text in enumerate(texts) if re.match(r"-[a-z]{2}|[(!]", text)), len(texts))
    roots = tuple(word for word, text in zip(args[:first], texts, strict=False) if not re.match(r"-[HLPDO]", text))
    return roots or ((WordPiece("text", ".", quoted=False),),)


def chooses_files(texts: Sequence[str]) -> bool:
    """Whether a test among the words of `find` chooses some of the files; one that is negated leaves nearly all."""
    before, following = ("", *texts), (*texts[1:], "-")
    return any(
        _FILTERS.fullmatch(text) and not re.fullmatch(r"[*.?]*", after) and negation not in ("!", "-not")
        for negation, text, after in zip(before, texts, following, strict=False)
    )


def _of_finder(name: str, words: ShellWords) -> Iterator[EnumeratedPath]:
    args = words[1:]
    texts = [word_text(word) for word in args]
    if name in FIND_COMMANDS:
        chosen = chooses_files(texts)
        yield from (EnumeratedPath(root, tree=True, chosen=chosen) for root in find_roots(args))
        return
    end = next((at for at, text in enumerate(texts) if re.fullmatch(r"-[xX]|--exec(-batch)?", text)), len(texts))
    pattern, *roots = find_operands(args[:end]) or (literal_word("."),)
    option = any(re.fullmatch(r"-[eEtSd]|--(extension|type|size|glob|changed.*|exclude)", text) for text in texts[:end])
    chosen = not re.fullmatch(r"[*.?^$]*", word_text(pattern)) or option
    given = roots or [(WordPiece("text", ".", quoted=False),)]
    yield from (EnumeratedPath(root, tree=True, chosen=chosen) for root in given)


def _of_reader(launch: Launch, made: Invocation) -> Iterator[EnumeratedPath]:
    texts = [word_text(word) for word in launch.words]
    if ":::" in texts:
        yield from map(EnumeratedPath, launch.words[texts.index(":::") + 1 :])
        return
    for document in made.documents:
        yield from map(EnumeratedPath, _split(document))
    from_file = any(re.match(r"-a|--arg-file|::::", text) for text in texts[1:])
    if from_file or not (made.fed or made.documents):
        yield EnumeratedPath(_UNKNOWN)
    yield from _of_feeders(made.fed)


def _of_feeders(fed: Sequence[Invocation]) -> Iterator[EnumeratedPath]:
    """What the commands of a pipe print, as far as they name it."""
    chosen = any(feeder.name in _CHOOSERS for feeder in fed)
    for at, feeder in enumerate(fed):
        for path in _of_feeder(feeder, first=at == 0):
            yield replace(path, chosen=path.chosen or chosen)


def _of_feeder(feeder: Invocation, *, first: bool) -> Iterator[EnumeratedPath]:
    name = feeder.name
    if name in FIND_COMMANDS | _FD_COMMANDS:
        yield from _of_finder(name, feeder.words)
    elif name in _NAMING:
        for word in feeder.args:
            yield from map(EnumeratedPath, _split(word))
    elif name in {"ls", "dir", "exa", "eza"}:
        given = find_operands(feeder.args)
        recursive = any(re.match(r"-[A-Za-z]*R", word_text(word)) for word in feeder.args)
        everything = (WordPiece("text", "*", quoted=False),)
        yield from (EnumeratedPath(word, tree=recursive) for word in given or (everything,))
    elif name in {"cat", "tac"} and feeder.documents:
        for document in feeder.documents:
            yield from map(EnumeratedPath, _split(document))
    elif first and name not in _RELATIVE | _CHOOSERS | (_PASSING - {"cat"}):
        yield EnumeratedPath(_UNKNOWN)


def _split(word: ShellWord) -> Iterator[ShellWord]:
    """The paths in a text that another program splits at blanks; `~` in it is no home unless the shell made it so."""
    if any(piece.kind != "text" for piece in word):
        yield word
        return
    for piece in word:
        for text in piece.text.split():
            yield (WordPiece("text", text, piece.quoted),)
