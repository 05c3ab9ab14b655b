"""The snapshot format: writes a snapshot as a git tree, reads it back, and compares two of them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from kimi_agent.workspace.checkpoint.file_modes import StoredModes
from kimi_agent.workspace.checkpoint.object_reader import FOLDER_BITS, LINK_BITS, ObjectReader, RawTreeEntry
from kimi_agent.workspace.checkpoint.snapshot_values import (
    FolderModeChange,
    PathChange,
    SnapshotGone,
    TreeEntry,
    UnkeptPaths,
)
from kimi_agent.workspace.checkpoint.store import SnapshotStore
from kimi_agent.workspace.git.command import join_nul_paths
from kimi_agent.workspace.paths import parent_folders

_MAX_CACHED = 6
_MAX_LOOKED_AT = 50_000

HeldShare = Literal["all", "some", "none", "nothing"]
"""How much of something is kept; `nothing` says that there is no file in it, so that none can be lost."""

EntryPair = tuple[RawTreeEntry | None, RawTreeEntry | None]


@dataclass(frozen=True)
class SnapshotParts:
    """The parts of a snapshot: git's tree of the files, the permission bits as a blob (see `FileModes`), what was
    missed, the ignored paths that were asked for (`also`), and the files held only because of that (`extra`)."""

    files: str
    modes_blob: bytes
    missed: frozenset[bytes]
    also: frozenset[bytes]
    extra: frozenset[bytes]

    @cached_property
    def modes(self) -> StoredModes:
        """The permission bits, read."""
        return StoredModes(self.modes_blob)

    def unsure(self, path: bytes, other: "SnapshotParts") -> bool:
        """Whether this snapshot cannot prove `path` absent: only `other` was asked for that ignored file."""
        return path in other.extra and not is_under(path, self.also)


def write_snapshot(store: SnapshotStore, parts: SnapshotParts) -> str:
    """Write the parts as one tree; equal parts give an equal name, for no time is in it."""
    entries = [(b"40000", b"files", parts.files), (b"100644", b"modes", store.put("blob", parts.modes_blob))]
    for name, paths in ((b"also", parts.also), (b"extra", parts.extra), (b"missed", parts.missed)):
        if paths:
            blob = store.put("blob", b"".join(path + b"\0" for path in sorted(paths)))
            entries.append((b"100644", name, blob))
    entries.sort(key=lambda entry: entry[1])
    return store.put("tree", b"".join(b"%s %s\0%s" % (mode, name, bytes.fromhex(id_)) for mode, name, id_ in entries))


def write_unkept(store: SnapshotStore, unkept: UnkeptPaths) -> str:
    """Write the list of what is not kept as a tree of its own: nothing in it names the snapshot."""
    blobs = ((b"empty", unkept.empty), (b"files", unkept.files))
    rows = [(name, store.put("blob", join_nul_paths(sorted(paths)))) for name, paths in blobs]
    return store.put("tree", b"".join(b"100644 %s\0%s" % (name, bytes.fromhex(id_)) for name, id_ in rows))


class SnapshotReader:
    """Reads and compares the snapshots of a store."""

    def __init__(self, objects: ObjectReader) -> None:
        self._objects = objects
        self._tops: dict[str, SnapshotParts] = {}

    def forget(self) -> None:
        """Drop the cache: what was read may have been deleted."""
        self._tops.clear()

    def top(self, tree: str) -> SnapshotParts:
        """The parts of a snapshot. Raises SnapshotError if there is none of that name."""
        if tree in self._tops:
            return self._tops[tree]
        if len(tree) != 40 or tree.strip("0123456789abcdef"):
            raise SnapshotGone(tree)
        entries = {entry.name: entry.id for entry in self._objects.entries(tree)}
        if b"files" not in entries or b"modes" not in entries:
            raise SnapshotGone(tree)
        lists = (self._paths(entries.get(name)) for name in (b"missed", b"also", b"extra"))
        top = SnapshotParts(entries[b"files"], self._objects.blob(entries[b"modes"]), *lists)
        while len(self._tops) >= _MAX_CACHED:
            del self._tops[next(iter(self._tops))]
        self._tops[tree] = top
        return top

    def unkept(self, id_: str) -> UnkeptPaths | None:
        """The list that `write_unkept` wrote, None where there is none of that name (any more)."""
        if not id_ or not self._objects.has(id_):
            return None
        found = {entry.name: map(os.fsdecode, self._paths(entry.id)) for entry in self._objects.entries(id_)}
        return UnkeptPaths(frozenset(found.get(b"files", ())), frozenset(found.get(b"empty", ())))

    def _paths(self, blob: str | None) -> frozenset[bytes]:
        return frozenset(self._objects.blob(blob).split(b"\0")[:-1]) if blob else frozenset()

    def entry_at(self, tree: str, path: bytes) -> TreeEntry | None:
        """The entry of a snapshot at a path: None for nothing, and for a folder. Raises SnapshotError."""
        top = self.top(tree)
        entry = self._objects.entry_at(top.files, path)
        return _tree_entry(path, entry, top, self._objects.sizes([entry.id])[0]) if entry else None

    def has_folder(self, tree: str, path: bytes) -> bool:
        """Whether a snapshot holds a folder at a path. Raises SnapshotError."""
        return bool(self._folder_at(self.top(tree).files, path))

    def folder_mode(self, tree: str, path: bytes) -> int | None:
        """The permission bits of a folder of a snapshot, None where it holds none there, or not its mode."""
        top = self.top(tree)
        return top.modes.of_folder(path) if self._folder_at(top.files, path) else None

    def folder_mode_changes(self, old: str, new: str) -> list[FolderModeChange]:
        """The folders of both snapshots whose bits differ, by path; none where one does not know them."""
        before, after = self.top(old), self.top(new)
        one, other = before.modes, after.modes
        if one.usual_folder is None or other.usual_folder is None:
            return []
        if one.usual_folder == other.usual_folder:
            paths = {path for path, _ in one.folders.items() ^ other.folders.items()}
        else:
            paths = set(self._folders(before.files)) & set(self._folders(after.files))
        found = ((path, self.folder_mode(old, path), self.folder_mode(new, path)) for path in sorted(paths))
        return [
            FolderModeChange(os.fsdecode(path), was, now)
            for path, was, now in found
            if was is not None and now is not None and was != now
        ]

    def _folders(self, tree: str) -> Iterator[bytes]:
        """All folders below a tree."""
        todo = [(b"", tree)]
        while todo:
            prefix, tree = todo.pop()
            for entry in self._objects.entries(tree):
                if entry.mode == FOLDER_BITS:
                    yield prefix + entry.name
                    todo.append((prefix + entry.name + b"/", entry.id))

    def held_share(self, tree: str, root: Path, path: str) -> HeldShare:
        """How much of what stands at `path` below `root` now a snapshot holds, by name. Raises SnapshotError.

        Of a folder all files below are looked at; where there are more than 50,000 of them, the answer is "some".
        """
        whole, name, files = root / path, os.fsencode(path), self.top(tree).files
        if not os.path.lexists(whole):
            return "nothing"
        if whole.is_symlink() or not whole.is_dir():
            return "all" if self._objects.entry_at(files, name) else "none"
        held = lost = 0
        todo = [(os.fspath(whole), self._folder_at(files, name))]
        while todo and held + lost <= _MAX_LOOKED_AT:
            folder, below = todo.pop()
            entries = self._entries_by_name(below)
            for standing in os.scandir(folder):
                entry = entries.get(os.fsencode(standing.name))
                is_folder = entry is not None and entry.mode == FOLDER_BITS
                if standing.is_dir(follow_symlinks=False):
                    todo.append((standing.path, entry.id if entry and is_folder else ""))
                else:
                    kept = entry is not None and not is_folder
                    held, lost = held + kept, lost + (not kept)
        if todo or (held and lost):
            return "some"
        return "all" if held else "none" if lost else "nothing"

    def _folder_at(self, tree: str, path: bytes) -> str:
        for name in path.split(b"/"):
            entry = self._entries_by_name(tree).get(name)
            tree = entry.id if entry and entry.mode == FOLDER_BITS else ""
        return tree

    def changes(self, old: str, new: str) -> list[PathChange]:
        """The changes between two snapshots, by path; "" is the empty one. Raises SnapshotError.

        What one of the two cannot know is passed over: what was missed, and an ignored file that only the other kept.
        """
        before, after = (self.top(tree) if tree else None for tree in (old, new))
        found = dict(self._differing(before, after))
        if before and after:
            found = {path: pair for path, pair in found.items() if _known(path, pair, before, after)}
        names = sorted({entry.id for pair in found.values() for entry in pair if entry})
        sizes = dict(zip(names, self._objects.sizes(names), strict=True))
        changes = []
        for path in sorted(found, key=os.fsdecode):
            ends = zip(found[path], (before, after), strict=True)
            was, now = (_tree_entry(path, each, top, sizes[each.id]) if each and top else None for each, top in ends)
            if was != now:
                changes.append(PathChange(os.fsdecode(path), was, now))
        return changes

    def _differing(self, old: SnapshotParts | None, new: SnapshotParts | None) -> Iterator[tuple[bytes, EntryPair]]:
        """Entries that may differ; equal folders are not looked into, unless the usual modes changed."""
        every = bool(old and new and old.modes.usual != new.modes.usual)
        todo = [(b"", old.files if old else "", new.files if new else "")]
        while todo:
            prefix, before, after = todo.pop()
            if before == after and not every:
                continue
            olds, news = (self._entries_by_name(id_) for id_ in (before, after))
            for name in {**olds, **news}:
                was, now = olds.get(name), news.get(name)
                if was == now and not every:
                    continue
                ids = [entry.id if entry and entry.mode == FOLDER_BITS else "" for entry in (was, now)]
                if any(ids):
                    todo.append((prefix + name + b"/", ids[0], ids[1]))
                plain = [None if entry and entry.mode == FOLDER_BITS else entry for entry in (was, now)]
                if any(plain):
                    yield prefix + name, (plain[0], plain[1])
        if old and new and not every:
            for path in {path for path, _ in old.modes.odd.items() ^ new.modes.odd.items()}:
                was, now = (self._objects.entry_at(top.files, path) for top in (old, new))
                if was and now:
                    yield path, (was, now)

    def _entries_by_name(self, tree: str) -> dict[bytes, RawTreeEntry]:
        return {entry.name: entry for entry in self._objects.entries(tree)} if tree else {}


def is_under(path: bytes, paths: frozenset[bytes]) -> bool:
    """Whether `path` is one of `paths`, or lies below one."""
    return path in paths or b"" in paths or any(folder in paths for folder in parent_folders(path))


def _known(path: bytes, pair: EntryPair, old: SnapshotParts, new: SnapshotParts) -> bool:
    if (old.missed or new.missed) and (is_under(path, old.missed) or is_under(path, new.missed)):
        return False
    if pair[1] is None:
        return not new.unsure(path, old)
    return pair[0] is not None or not old.unsure(path, new)


def _tree_entry(path: bytes, entry: RawTreeEntry, top: SnapshotParts, size: int) -> TreeEntry:
    if entry.mode == LINK_BITS:
        return TreeEntry("link", 0, size, entry.id)
    return TreeEntry("file", top.modes.of(path, entry.mode), size, entry.id)
