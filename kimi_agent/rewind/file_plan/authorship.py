"""Authorship of changes: which of the paths that differ over the span of a call did that call write, and who else may.

- A path that stood there before, unkept, and only came into sight (its ignore rule went, it is tracked now) is nobody's
  new file. Where the list of unkept paths is not known (an older build), a new file may be one.
- An edit owns the paths that it named and no others. A rewind owns what it restored.
- A command owns what changed while it ran, but: one that only reads or waits owns nothing; what another session wrote
  meanwhile is the other's, and of two commands at the same time nobody can tell. A path is `unsure` if an editor has it
  open, or if the command ran for `LONG_S` or more and the path was written apart from all else that it did (see
  `write_times`), unless it names the path as its output or its program owns such files: a person may have saved it
  meanwhile. Such a path is taken back only after a person's yes. Where nobody looked at the times (an older build, a
  crash), all is `unsure` that the text of a long command does not name.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, Protocol

from kimi_agent.guard.tool_wrappers.write_times import LONG_S
from kimi_agent.rewind.tree_changes import TreeChange
from kimi_agent.workspace.checkpoint.ignore_rules import is_litter
from kimi_agent.workspace.checkpoint.snapshot_values import (
    FolderModeChange,
    PathChange,
    Snapshot,
    SnapshotError,
    TreeEntry,
    UnkeptPaths,
)
from kimi_agent.workspace.paths import is_beneath, parent_folders

Author = Literal["agent", "other", "unsure"]

_SLACK_S = 2.0
_SPLIT = re.compile(r"[\s;|&<>()'\"=,:]+")
_OUTPUT = re.compile(r"(?:>|\btee\s+(?:-a\s+)?|\s-o[\s=]*|\s--out[\w-]*[\s=]+)\s*([^\s;|&<>()]+)")
_ONLY_READS = frozenset(
    {
        *("sleep", "wait", "true", "false", ":", "echo", "test", "[", "pwd", "which", "ps", "df", "du", "stat"),
        *("cat", "head", "tail", "ls", "wc", "grep"),
    }
)
# What a program writes though no command names it: the lists of what a project needs.
_OWN_FILES = {
    **dict.fromkeys(("npm", "pnpm", "yarn", "bun", "npx"), ("package.json", "*lock.json", "*.lock", "pnpm-lock.yaml")),
    "cargo": ("Cargo.toml", "Cargo.lock"),
    "go": ("go.mod", "go.sum"),
    **dict.fromkeys(("uv", "poetry", "pdm", "pip"), ("pyproject.toml", "*.lock")),
    **dict.fromkeys(("bundle", "composer"), ("*.lock", "composer.json")),
}
_EDITOR_MARKS = (".{}.swp", ".{}.swo", ".#{}", "#{}#", ".~lock.{}#")


class SnapshotAccess(Protocol):
    """The part of `Checkpoints` that a rewind needs; blocking, and each method may raise SnapshotError."""

    def take(self, also: Sequence[str] = (), *, newly_ignored: bool = False) -> Snapshot: ...
    def changes(self, old: str, new: str) -> tuple[PathChange, ...]: ...
    def folder_mode(self, tree: str, path: str) -> int | None: ...
    def folder_mode_changes(self, old: str, new: str) -> tuple[FolderModeChange, ...]: ...
    def content(self, entry: TreeEntry) -> bytes: ...
    def entry_at(self, tree: str, path: str) -> TreeEntry | None: ...
    def has(self, tree: str) -> bool: ...
    def has_folder(self, tree: str, path: str) -> bool: ...
    def missed(self, tree: str) -> tuple[str, ...]: ...
    def unkept(self, listing: str) -> UnkeptPaths | None: ...
    def requested_ignored(self, tree: str) -> tuple[str, ...]: ...
    def held_ignored(self, tree: str) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class AuthoredChange:
    """A change of a path, and who made it."""

    change: PathChange
    author: Author
    seen: bool = True
    """Whether its state after the change is known: not that of a file that became unreadable."""


class Authorship:
    """Says who made the changes of a session; `others` are the tree changes of other sessions in this workspace."""

    def __init__(self, trees: SnapshotAccess, others: Sequence[TreeChange] = ()) -> None:
        self._trees = trees
        self._others = others

    def of(self, span: TreeChange, now: str = "") -> list[AuthoredChange]:
        """The changes over `span`; one that never ended is compared with the tree `now`. Raises SnapshotError."""
        changes = (*self._trees.changes(span.before, span.after or now), *find_restored_ignored(span, self._trees))
        closed = self._closed(span) if span.after else ()
        if not (changes or closed):
            return []
        came_into_sight = self._came_into_sight(span)
        edit = span.rewind or span.effect == "write"
        judge = self._of_edit(span) if edit else self._of_command(span, (*changes, *closed), now)
        seen = [AuthoredChange(each, came_into_sight(each) or judge(each.path)) for each in changes]
        return [*seen, *(AuthoredChange(each, judge(each.path), seen=False) for each in closed)]

    def _closed(self, span: TreeChange) -> list[PathChange]:
        """The files that were kept before, and that the snapshot after the call could not read any more."""
        missed = set(self._trees.missed(span.after)).difference(self._trees.missed(span.before))
        files = [PathChange(path, kept, None) for path in missed if (kept := self._trees.entry_at(span.before, path))]
        if len(files) == len(missed):
            return files
        held = self._trees.changes("", span.before)  # a folder is closed
        return [
            PathChange(each.path, each.after, None)
            for each in held
            if each.path in missed or not missed.isdisjoint(parent_folders(each.path))
        ]

    def _came_into_sight(self, span: TreeChange) -> Callable[[PathChange], Author | None]:
        """A test whether a new path stood there before the call (None: no new path, or one that did not)."""
        unkept: UnkeptPaths | None = None
        named = set(span.paths) if span.effect == "write" else set[str]()

        def test(change: PathChange) -> Author | None:
            nonlocal unkept
            if change.before is not None or change.path in named:  # an edit's snapshot was asked for what it names
                return None
            unkept = unkept or self._trees.unkept(span.unkept)
            if unkept is None:
                return "unsure"
            return "other" if unkept.stood(change.path) or is_litter(change.path) else None

        return test

    def _of_edit(self, span: TreeChange) -> Callable[[str], Author]:
        named = set(span.paths)
        return lambda path: "agent" if not named or path in named else "other"

    def _of_command(self, span: TreeChange, changes: Sequence[PathChange], now: str) -> Callable[[str], Author]:
        if _only_reads(span.command):
            return lambda path: "other"
        meanwhile = dict[str, Author]()
        for other in self._others:
            if _overlap(span, other):
                meanwhile |= self._written_by(other, changes, now)
        touched = {each.path for each in changes}
        long = not span.ended or span.ended - span.began >= LONG_S
        words = frozenset(filter(None, _SPLIT.split(span.command)))
        files = words if span.apart is None else frozenset(_outputs(span.command))
        fresh = {folder for each in changes if each.before is None for folder in parent_folders(each.path)}
        new_folders = {folder for folder in fresh if not self._trees.has_folder(span.before, folder)}

        def judge(path: str) -> Author:
            if path in meanwhile:
                return meanwhile[path]
            if _names(files, path) or _owns(words, path, new_folders):
                return "agent"
            apart = long if span.apart is None else path in span.apart
            return "unsure" if apart or self._is_open(path, span, touched) else "agent"

        return judge

    def _written_by(self, other: TreeChange, changes: Sequence[PathChange], now: str) -> dict[str, Author]:
        """The paths that another session's call wrote: surely, or as likely as we did."""
        try:
            found = Authorship(self._trees).of(other, now)
        except SnapshotError:  # its snapshots are gone: it may have written all of them
            return {each.path: "unsure" for each in changes}
        sure = other.rewind or other.effect == "write"
        never = ("other",) if other.apart is None else ("other", "unsure")  # where it wrote at other times, it was us
        return {each.change.path: "other" if sure else "unsure" for each in found if each.author not in never}

    def _is_open(self, path: str, span: TreeChange, touched: set[str]) -> bool:
        """Whether an editor's mark lies beside the file: a person has it open."""
        folder, _, name = path.rpartition("/")
        marks = [os.path.join(folder, mark.format(name)) for mark in _EDITOR_MARKS]
        if not touched.isdisjoint(marks):
            return True
        unkept = self._trees.unkept(span.unkept)
        stood = unkept is not None and not unkept.files.isdisjoint(marks)
        return stood or any(self._trees.entry_at(span.before, mark) for mark in marks)


def find_restored_ignored(span: TreeChange, trees: SnapshotAccess) -> list[PathChange]:
    """The files that a rewind brought where nothing was, and where a rule ignores them: no comparison shows those.

    The tree before it was not asked for them, but they were not there, or it would have refused. Raises SnapshotError.
    """
    if not span.rewind or not span.after:
        return []
    asked = trees.requested_ignored(span.before)
    held = [each for each in trees.held_ignored(span.after) if not any(is_beneath(each, path) for path in asked)]
    new = [path for path in held if trees.entry_at(span.before, path) is None]
    return [PathChange(path, None, trees.entry_at(span.after, path)) for path in new]


def _only_reads(command: str) -> bool:
    """Whether surely no program in the command writes a file: each is on the list, and nothing is redirected."""
    if not command.strip() or any(mark in command for mark in "<>`$\\{}()"):
        return False
    parts = re.split(r"[;|&\n]+", command)
    return all(part.split()[0] in _ONLY_READS for part in parts if part.strip())


def _overlap(one: TreeChange, other: TreeChange) -> bool:
    ends = [each.ended or float("inf") for each in (one, other)]
    return one.began - _SLACK_S <= ends[1] and other.began - _SLACK_S <= ends[0]


def _outputs(command: str) -> Iterator[str]:
    """The words that a command names as what it writes: after a redirect, `tee`, `-o`, `--output`."""
    return (found[1].strip("'\"") for found in _OUTPUT.finditer(command))


def _names(words: Iterable[str], path: str) -> bool:
    """Whether the words name the path, by its name or by a pattern that has letters in it (`*` alone says nothing)."""
    last = path.rpartition("/")[2]
    for word in words:
        plain = word.removeprefix("./").rstrip("/")
        if plain and (path == plain or plain.endswith("/" + path) or plain.rpartition("/")[2] == last):
            return True
        pattern = any(mark in plain for mark in "*?[") and any(map(str.isalnum, plain))
        if pattern and (fnmatchcase(path, plain) or fnmatchcase(last, plain)):
            return True
    return False


def _owns(words: Iterable[str], path: str, new_folders: set[str]) -> bool:
    """Whether one of the words is a program that writes such files unasked, or names a new folder that it lies in."""
    last = path.rpartition("/")[2]
    above = [folder for folder in parent_folders(path) if folder in new_folders]
    for word in words:
        plain = word.removeprefix("./").rstrip("/")
        if any(fnmatchcase(last, pattern) for pattern in _OWN_FILES.get(plain, ())):
            return True
        if plain and any(folder == plain or folder.endswith("/" + plain) for folder in above):
            return True
    return False
