"""Expansion of shell words without running anything: variables, braces, `~`, field splitting, and paths with links.

What a value may be is a pattern in the notation of fnmatch, so that `rm -rf ~/"$X"` is the home folder and something
unknown below it.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice, product
from pathlib import Path, PurePosixPath

from kimi_agent.guard.shell.syntax.words import WORKSPACE_TOP, ShellWord, ShellWords, WordPiece

PathParts = tuple[str, ...]
"""The components of an absolute path, each in the notation of fnmatch; () is the root."""

MAX_WORD_VALUES = 64
MAX_FIELD_VARIANTS = 16
MAX_PATH_PARTS = 200
MAX_LINKS_FOLLOWED = 40


@dataclass(frozen=True)
class WordValue:
    """One value that a shell word may have, as an fnmatch pattern with "" for what is not known.

    `has_unknown` says that something in it is unknown (`src/$X`), `starts_unknown` that its beginning is (`$X/src`).
    """

    text: str
    has_unknown: bool = False
    starts_unknown: bool = False


_UNKNOWN = WordValue("", has_unknown=True, starts_unknown=True)


@dataclass(frozen=True)
class ShellState:
    """State of the shell before a command: the folders it may be in (`cwds`, None for an unknown one), variables.

    `variables` hold the values that each may have (None: not known), `links` where a link made before in the same
    text leads, by its place (None: not known). `mounts` is None on this machine; in a container only the folders
    that it lists are this machine's: pairs of a path there and the word for the path here.
    """

    home: Path
    workspace: Path
    cwds: tuple[PathParts | None, ...]
    variables: dict[str, ShellWords | None] = field(default_factory=dict)
    links: dict[PathParts, PathParts | None] = field(default_factory=dict)
    mounts: tuple[tuple[str, ShellWord], ...] | None = None


def split_path(path: Path) -> PathParts:
    """The components of an absolute path of ours, taken literally."""
    return tuple(escape_pattern(part) for part in PurePosixPath(path).parts[1:])


def join_parts(parts: PathParts) -> str:
    """The absolute path of components, in the notation of fnmatch."""
    return "/" + "/".join(parts)


def escape_pattern(text: str) -> str:
    """A literal text in the notation of fnmatch."""
    return re.sub(r"([*?\[{},~])", r"[\1]", text)


def unescape_pattern(text: str) -> str:
    """A literal text out of the notation of fnmatch."""
    return re.sub(r"\[([*?\[{},~])\]", r"\1", text)


def has_pattern(text: str) -> bool:
    """Whether a text in the notation of fnmatch may stand for more than one name."""
    return bool(re.search(r"[*?\[]", re.sub(r"\[.\]", "", text)))


def expand_word(word: ShellWord, state: ShellState) -> list[WordValue]:
    """Every value that `word` may have, as far as the text alone shows it."""
    if len(word) == 1 and word[0].kind == "text" and "{" not in word[0].text:  # most words, hundreds of times a command
        return _values(word[0], state)
    if len(word) > MAX_PATH_PARTS:
        return [_UNKNOWN]
    made = [WordValue("")]
    for piece in word:
        made = [_joined(left, right) for left, right in product(made, _values(piece, state))][:MAX_WORD_VALUES]
    return [replace(value, text=text) for value in made for text in _without_braces(value.text)[:MAX_WORD_VALUES]]


def _joined(left: WordValue, right: WordValue) -> WordValue:
    starts_unknown = left.starts_unknown or (right.starts_unknown and not left.text)
    return WordValue(left.text + right.text, left.has_unknown or right.has_unknown, starts_unknown)


def _values(piece: WordPiece, state: ShellState) -> list[WordValue]:
    if piece.kind == "text":
        return [WordValue(escape_pattern(piece.text) if piece.quoted else piece.text)]
    if piece.kind == "variable" and piece.text in state.variables:
        words = state.variables[piece.text]
        inner = replace(state, variables={})
        if words is not None:
            return [value for word in words for value in expand_word(word, inner)]
    elif piece.kind == "variable" and piece.text == "HOME":
        return [WordValue(escape_pattern(str(state.home)))]
    elif piece.kind == "variable" and piece.text == WORKSPACE_TOP:
        return [WordValue(escape_pattern(str(state.workspace)))]
    elif piece.kind == "variable" and piece.text == "PWD":
        return [_UNKNOWN if cwd is None else WordValue(join_parts(cwd)) for cwd in state.cwds]
    return [_UNKNOWN]


def _without_braces(text: str) -> list[str]:
    """What bash makes of `a{b,c}`, innermost first; at most MAX_WORD_VALUES texts."""
    done: list[str] = []
    waiting = [text]
    while waiting and len(done) + len(waiting) <= MAX_WORD_VALUES:
        text = waiting.pop()
        # `[{]` and `[,]` are quoted ones.
        brace = re.search(r"(?<!\[)\{((?:[^{}]|\[[{}]\])*(?<!\[),(?:[^{}]|\[[{}]\])*)\}", text)
        if brace is None:
            done.append(text)
        else:
            choices = re.split(r"(?<!\[),(?!\])", brace[1])
            waiting += [text[: brace.start()] + choice + text[brace.end() :] for choice in choices]
    return done or [text]


def split_fields(words: ShellWords, state: ShellState) -> list[ShellWords]:
    """The fields that a command's words may become: `X='rm -rf a'; $X b` has four words.

    Only a variable that stands unquoted changes how many there are here; up to MAX_FIELD_VARIANTS variants come back.
    """
    if not any(_may_split(word, state) for word in words):
        return [words]
    choices = [_fields(word, state) if _may_split(word, state) else [(word,)] for word in words]
    variants = islice(product(*choices), MAX_FIELD_VARIANTS)
    return [tuple(one for fields in variant for one in fields) for variant in variants]


def _may_split(word: ShellWord, state: ShellState) -> bool:
    return any(
        piece.kind == "variable"
        and not piece.quoted
        and any(_is_blank_inside(value) for value in state.variables.get(piece.text) or ())
        for piece in word
    )


def _is_blank_inside(value: ShellWord) -> bool:
    return not value or any(piece.kind == "text" and re.search(r"\s", piece.text) for piece in value)


def _fields(word: ShellWord, state: ShellState) -> list[ShellWords]:
    """The fields of one word, a variant for each value of its variables."""
    variants: list[list[ShellWord]] = [[()]]
    for piece in word:
        values = state.variables.get(piece.text) if piece.kind == "variable" and not piece.quoted else None
        parts: list[list[ShellWord]] = [_split_value(value) for value in values] if values else [[(piece,)]]
        variants = [_glue(before, part) for before, part in islice(product(variants, parts), MAX_FIELD_VARIANTS)]
    return [tuple(field for field in variant if field) for variant in variants]


def _glue(before: list[ShellWord], fields: list[ShellWord]) -> list[ShellWord]:
    return [*before[:-1], before[-1] + fields[0], *fields[1:]]


def _split_value(value: ShellWord) -> list[ShellWord]:
    """The fields of a variable's value: patterns in it are live, `~` and braces are not."""
    fields: list[ShellWord] = [()]
    for piece in value:
        if piece.kind != "text":
            fields[-1] += (piece,)
            continue
        for at, part in enumerate(re.split(r"\s+", piece.text)):
            if at:
                fields.append(())
            fields[-1] += (
                tuple(_live_pieces(part))
                if piece.quoted
                else ((WordPiece("text", part, quoted=False),) if part else ())
            )
    return fields


def _live_pieces(text: str) -> Iterable[WordPiece]:
    for part in re.split(r"([~{}]+)", text):
        if part:
            yield WordPiece("text", part, quoted=part[0] in "~{}")


def resolve_parts(text: str, cwd: PathParts | None, state: ShellState) -> PathParts | None:
    """The absolute components of `text` as it is written; None where an unknown folder decides."""
    start, names = _split(text, cwd, state)
    if start is None:
        # Below an unknown folder a plain name is a plain name; the folder itself, or all of it, may be anything.
        return ("unknown", "folder", *names) if names and ".." not in names and not takes_all(names[0]) else None
    if len(start) + len(names) > MAX_PATH_PARTS:
        return None
    for name in names:
        start = start[:-1] if name == ".." else (*start, name)
    return start


def resolve_places(
    text: str, cwd: PathParts | None, state: ShellState, *, follow_last: bool = False
) -> tuple[PathParts | None, ...]:
    """Where `text` leads: as it is written, and if that is another place, as the kernel follows links on the way.

    Links are those on the disk and those that the same shell text made. The last component is followed where a
    slash ends the text, or with `follow_last`.
    """
    written = resolve_parts(text, cwd, state)
    start, names = _split(text, cwd, state)
    if written is None or start is None:
        return (written,)
    real = _follow((*start, *names), state, last=follow_last or text.endswith(("/", "/.")))
    return (written,) if real == written else (written, real)


def _split(text: str, cwd: PathParts | None, state: ShellState) -> tuple[PathParts | None, list[str]]:
    """The folder where a path begins (None: not known), and the names behind it."""
    start: PathParts | None = cwd
    if text.startswith("~"):
        user, _, text = text[1:].partition("/")
        start = {"": split_path(state.home), "+": cwd}.get(user, ("home", user))
    elif text.startswith("/"):
        start = ()
    return start, [name for name in text.split("/") if name not in {"", "."}]


def _follow(names: PathParts, state: ShellState, *, last: bool) -> PathParts | None:
    at: PathParts = ()
    followed = 0
    for index, name in enumerate(names):
        at = at[:-1] if name == ".." else (*at, name)
        while (last or index < len(names) - 1) and followed < MAX_LINKS_FOLLOWED:
            leads = _link_at(at, state)
            if leads == at:
                break
            if leads is None:
                return None
            at, followed = leads, followed + 1
    return at


def _link_at(parts: PathParts, state: ShellState) -> PathParts | None:
    """Where a link at `parts` leads; `parts` where there is none, None where that is not known."""
    if parts in state.links:
        return state.links[parts]
    if any(has_pattern(part) for part in parts[-1:]):
        return parts
    path = unescape_pattern(join_parts(parts))
    if "\0" in path or not Path(path).is_symlink():
        return parts
    return split_path(Path(os.path.realpath(path)))


def takes_all(name: str) -> bool:
    """Whether a component is a pattern that takes (nearly) everything, like `*` or `.[!.]*`."""
    bare = re.sub(r"\[[*?\[{},~]\]", "x", name)
    return bool(re.fullmatch(r"[.*?]*[*?][.*?]*", re.sub(r"\[[^\]]*\]", "", bare)))


def without_patterns(parts: PathParts) -> PathParts:
    """A path without the components at its end that take everything: of `a/*` the folder `a`."""
    while parts and takes_all(parts[-1]):
        parts = parts[:-1]
    return parts
