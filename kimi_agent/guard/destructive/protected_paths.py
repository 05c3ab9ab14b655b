"""Protected paths, which no command may remove, and the expansion of a shell word to paths.

For example `rm -rf ~/"$X"`: the word expands to the home folder and something unknown below it, and the home folder
must stay.
"""

import re
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path, PurePosixPath

from kimi_agent.guard.shell.lexer import ShellWord, WordPiece

PathParts = tuple[str, ...]
"""The components of an absolute path, each in the notation of fnmatch; () is the root."""

MAX_WORD_VALUES = 64
MAX_PATH_PARTS = 200


@dataclass(frozen=True)
class ForbiddenEffect:
    """Why a command is not to run; `certain` is False where only its run would show what it does."""

    why: str
    certain: bool


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
    """State of the shell before a command: the folders it may be in (`cwds`, None for an unknown one), variables."""

    home: Path
    workspace: Path
    cwds: tuple[PathParts | None, ...]
    variables: dict[str, tuple[ShellWord, ...] | None] = field(default_factory=dict)


def split_path(path: Path) -> PathParts:
    """The components of an absolute path of ours, taken literally."""
    return tuple(_literal(part) for part in PurePosixPath(path).parts[1:])


def _literal(text: str) -> str:
    return re.sub(r"([*?\[{},~])", r"[\1]", text)


def unescape_pattern(text: str) -> str:
    """A literal text out of the notation of fnmatch."""
    return re.sub(r"\[([*?\[{},~])\]", r"\1", text)


def expand_word(word: ShellWord, state: ShellState) -> list[WordValue]:
    """Every value that `word` may have, as far as the text alone shows it."""
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
        return [WordValue(_literal(piece.text) if piece.quoted else piece.text)]
    if piece.kind == "variable" and piece.text in state.variables:
        words = state.variables[piece.text]
        inner = ShellState(state.home, state.workspace, state.cwds, {})
        if words is not None:
            return [value for word in words for value in expand_word(word, inner)]
    elif piece.kind == "variable" and piece.text == "HOME":
        return [WordValue(_literal(str(state.home)))]
    elif piece.kind == "variable" and piece.text == "PWD":
        return [_UNKNOWN if cwd is None else WordValue(_path(cwd)) for cwd in state.cwds]
    return [_UNKNOWN]


def _path(parts: PathParts) -> str:
    return "/" + "/".join(parts)


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


def check_removal(value: WordValue, state: ShellState, *, workspace_too: bool = True) -> ForbiddenEffect | None:
    """What would be lost if the tree at `value` went; None if nothing that must stay.

    Without `workspace_too` the workspace itself may be meant (to change modes in it is everyday work).
    """
    if value.starts_unknown:
        shown = unescape_pattern(value.text) or "an expansion"
        return ForbiddenEffect(f"what it removes is only known when it runs ({shown})", certain=False)
    sure = not value.has_unknown and len(state.cwds) == 1
    for cwd in state.cwds:
        if forbidden := _loss(resolve_parts(value.text, cwd, state), state, workspace_too=workspace_too):
            return ForbiddenEffect(forbidden.why, forbidden.certain and sure)
    return None


def resolve_parts(text: str, cwd: PathParts | None, state: ShellState) -> PathParts | None:
    """The absolute components of `text`; None where an unknown folder decides."""
    start: PathParts | None = cwd
    if text.startswith("~"):
        user, _, text = text[1:].partition("/")
        start = {"": split_path(state.home), "+": cwd}.get(user, ("home", user))
    elif text.startswith("/"):
        start = ()
    names = [name for name in text.split("/") if name not in {"", "."}]
    if start is None:
        # Below an unknown folder a plain name is a plain name; the folder itself, or all of it, may be anything.
        return ("unknown", "folder", *names) if names and ".." not in names and not _is_all(names[0]) else None
    if len(start) + len(names) > MAX_PATH_PARTS:
        return None
    for name in names:
        start = start[:-1] if name == ".." else (*start, name)
    return start


def _is_all(name: str) -> bool:
    """Whether a component is a pattern that takes (nearly) everything, like `*` or `.[!.]*`."""
    bare = re.sub(r"\[[*?\[{},~]\]", "x", name)
    return bool(re.fullmatch(r"[.*?]*[*?][.*?]*", re.sub(r"\[[^\]]*\]", "", bare)))


_TOP = (
    *("bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "media", "mnt", "opt", "proc", "root", "run"),
    *("sbin", "srv", "sys", "usr", "var", "System", "Library", "Applications", "Users", "Volumes", "private"),
)
_USR = frozenset({"bin", "sbin", "lib", "lib64", "local", "share", "include", "libexec"})


def _loss(parts: PathParts | None, state: ShellState, *, workspace_too: bool) -> ForbiddenEffect | None:
    """Why `parts` must stay; None if it need not."""
    if parts is None:
        return ForbiddenEffect("it would remove all of a folder that is only known when it runs", certain=False)
    contents = bool(parts) and _is_all(parts[-1])
    while parts and _is_all(parts[-1]):
        parts = parts[:-1]
    workspace, home = split_path(state.workspace), split_path(state.home)
    shown = _path(parts)
    why = ""
    if not parts:
        why = "it would remove / and everything below it"
    elif _same(parts, home):
        why = "it would remove the home folder"
    elif _same(parts, workspace):
        why = "it would remove the workspace itself" if workspace_too else ""
    elif any(_same(parts, home[:length]) for length in range(1, len(home))):
        why = f"it would remove {shown}, in which the home folder lies"
    elif any(_same(parts, workspace[:length]) for length in range(1, len(workspace))):
        why = f"it would remove {shown}, in which the workspace lies"
    elif workspace_too and _same(parts, (*workspace, ".git")):
        return ForbiddenEffect("it would remove .git, the history of the workspace", certain=False)
    elif len(parts) == 1 and not (contents and parts[0] == "tmp"):
        why = f"it would remove {shown}, a folder at the top of this machine"
        return ForbiddenEffect(why, certain=any(_name_fits(name, parts[0]) for name in _TOP))
    elif len(parts) == 2 and (parts[0] in {"home", "Users"} or (parts[0] == "usr" and parts[1] in _USR)):
        why = f"it would remove {shown}, which others need"
    return ForbiddenEffect(why, certain=True) if why else None


def _same(pattern: PathParts, path: PathParts) -> bool:
    """Whether `pattern` may stand for `path` (both in the notation of fnmatch; `path` is literal)."""
    plain = [re.sub(r"\[(.)\]", r"\1", name) for name in path]
    return len(pattern) == len(path) and all(map(_name_fits, plain, pattern))


def _name_fits(name: str, pattern: str) -> bool:
    hidden = name.startswith(".") and pattern[0] in "*?["  # a shell's pattern passes over hidden names
    return not hidden and fnmatchcase(name, pattern)
