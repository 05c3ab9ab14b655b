"""Which paths no command may remove: what a word of a command may stand for, held against what must stay."""

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path, PurePosixPath

from kimi_agent.guard.shell.lexer import Piece, Word

Parts = tuple[str, ...]
"""The components of an absolute path, each in the notation of fnmatch; () is the root."""

MAX_SPELLINGS = 64
MAX_PARTS = 200


@dataclass(frozen=True)
class Danger:
    """Why a command is not to run; `certain` is False where only its run would show what it does."""

    why: str
    certain: bool


@dataclass(frozen=True)
class Spelling:
    """One value of a word, in the notation of fnmatch with "" for what is not known.

    `hole` says that something in it is unknown, `adrift` that its very beginning is.
    """

    text: str
    hole: bool = False
    adrift: bool = False


@dataclass(frozen=True)
class Place:
    """Where a command runs: `cwds` are the folders it may be in (None is one that is not known)."""

    home: Path
    workspace: Path
    cwds: tuple[Parts | None, ...]
    variables: dict[str, tuple[Word, ...] | None] = field(default_factory=dict)


def parts_of(path: Path) -> Parts:
    """The components of an absolute path of ours, taken literally."""
    return tuple(_literal(part) for part in PurePosixPath(path).parts[1:])


def _literal(text: str) -> str:
    return re.sub(r"([*?\[{},~])", r"[\1]", text)


def spellings(word: Word, place: Place) -> list[Spelling]:
    """All that `word` may stand for, as far as the text alone tells."""
    if len(word) > MAX_PARTS:
        return [Spelling("", hole=True, adrift=True)]
    made = [Spelling("")]
    for piece in word:
        made = [_joined(left, right) for left, right in product(made, _values(piece, place))][:MAX_SPELLINGS]
    return [
        Spelling(text, spelling.hole, spelling.adrift)
        for spelling in made
        for text in _without_braces(spelling.text)[:MAX_SPELLINGS]
    ]


def _joined(left: Spelling, right: Spelling) -> Spelling:
    adrift = left.adrift or (right.adrift and not left.text)
    return Spelling(left.text + right.text, left.hole or right.hole, adrift)


def _values(piece: Piece, place: Place) -> list[Spelling]:
    if piece.kind == "text":
        return [Spelling(_literal(piece.text) if piece.quoted else piece.text)]
    if piece.kind == "variable" and piece.text in place.variables:
        words = place.variables[piece.text]
        inner = Place(place.home, place.workspace, place.cwds, {})
        if words is not None:
            return [value for word in words for value in spellings(word, inner)]
    elif piece.kind == "variable" and piece.text == "HOME":
        return [Spelling(_literal(str(place.home)))]
    elif piece.kind == "variable" and piece.text == "PWD":
        return [Spelling("", hole=True, adrift=True) if cwd is None else Spelling(_path(cwd)) for cwd in place.cwds]
    return [Spelling("", hole=True, adrift=True)]


def _path(parts: Parts) -> str:
    return "/" + "/".join(parts)


def _without_braces(text: str) -> list[str]:
    """What bash makes of `a{b,c}`, innermost first; at most MAX_SPELLINGS texts."""
    done: list[str] = []
    waiting = [text]
    while waiting and len(done) + len(waiting) <= MAX_SPELLINGS:
        text = waiting.pop()
        # `[{]` and `[,]` are quoted ones.
        brace = re.search(r"(?<!\[)\{((?:[^{}]|\[[{}]\])*(?<!\[),(?:[^{}]|\[[{}]\])*)\}", text)
        if brace is None:
            done.append(text)
        else:
            choices = re.split(r"(?<!\[),(?!\])", brace[1])
            waiting += [text[: brace.start()] + choice + text[brace.end() :] for choice in choices]
    return done or [text]


def removal(spelling: Spelling, place: Place, *, workspace_too: bool = True) -> Danger | None:
    """What would be lost if the tree at `spelling` went; None if nothing that must stay.

    Without `workspace_too` the workspace itself may be meant (to change modes in it is everyday work).
    """
    if spelling.adrift:
        shown = re.sub(r"\[([*?\[{},~])\]", r"\1", spelling.text)
        return Danger(f"what it removes is only known when it runs ({shown or 'an expansion'})", certain=False)
    sure = not spelling.hole and len(place.cwds) == 1
    for cwd in place.cwds:
        danger = _loss(resolved(spelling.text, cwd, place), place, workspace_too=workspace_too)
        if danger:
            return Danger(danger.why, danger.certain and sure)
    return None


def resolved(text: str, cwd: Parts | None, place: Place) -> Parts | None:
    """The absolute components of `text`; None where an unknown folder decides."""
    start: Parts | None = cwd
    if text.startswith("~"):
        user, _, text = text[1:].partition("/")
        start = {"": parts_of(place.home), "+": cwd}.get(user, ("home", user))
    elif text.startswith("/"):
        start = ()
    names = [name for name in text.split("/") if name not in {"", "."}]
    if start is None:
        # Below an unknown folder a plain name is a plain name; the folder itself, or all of it, may be anything.
        return ("unknown", "folder", *names) if names and ".." not in names and not _is_all(names[0]) else None
    if len(start) + len(names) > MAX_PARTS:
        return None
    parts = list(start)
    for name in names:
        if name == "..":
            del parts[-1:]
        else:
            parts.append(name)
    return tuple(parts)


def _is_all(name: str) -> bool:
    """Whether a component is a pattern that takes (nearly) everything, like `*` or `.[!.]*`."""
    bare = re.sub(r"\[[*?\[{},~]\]", "x", name)
    return bool(re.fullmatch(r"[.*?]*[*?][.*?]*", re.sub(r"\[[^\]]*\]", "", bare)))


_TOP = (
    *(
        "bin",
        "boot",
        "dev",
        "etc",
        "home",
        "lib",
        "lib32",
        "lib64",
        "media",
        "mnt",
        "opt",
        "proc",
        "root",
        "run",
        "sbin",
    ),
    *("srv", "sys", "usr", "var", "System", "Library", "Applications", "Users", "Volumes", "private"),
)
_USR = frozenset({"bin", "sbin", "lib", "lib64", "local", "share", "include", "libexec"})


def _loss(parts: Parts | None, place: Place, *, workspace_too: bool) -> Danger | None:
    """Why `parts` must stay; None if it need not."""
    if parts is None:
        return Danger("it would remove all of a folder that is only known when it runs", certain=False)
    contents = bool(parts) and _is_all(parts[-1])
    while parts and _is_all(parts[-1]):
        parts = parts[:-1]
    workspace, home = parts_of(place.workspace), parts_of(place.home)
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
        return Danger("it would remove .git, the history of the workspace", certain=False)
    elif len(parts) == 1 and not (contents and parts[0] == "tmp"):
        why = f"it would remove {shown}, a folder at the top of this machine"
        return Danger(why, certain=any(_name_fits(name, parts[0]) for name in _TOP))
    elif len(parts) == 2 and (parts[0] in {"home", "Users"} or (parts[0] == "usr" and parts[1] in _USR)):
        why = f"it would remove {shown}, which others need"
    return Danger(why, certain=True) if why else None


def _same(pattern: Parts, path: Parts) -> bool:
    """Whether `pattern` may stand for `path` (both in the notation of fnmatch; `path` is literal)."""
    plain = [re.sub(r"\[(.)\]", r"\1", name) for name in path]
    return len(pattern) == len(path) and all(map(_name_fits, plain, pattern))


def _name_fits(name: str, pattern: str) -> bool:
    if name.startswith(".") and pattern[0] in "*?[":
        return False  # a shell's pattern passes over hidden names
    return fnmatchcase(name, pattern)
