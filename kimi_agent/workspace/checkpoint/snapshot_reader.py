"""A snapshot as an object: how its parts are put together, read, and compared with those of another."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kimi_agent.workspace.checkpoint.file_modes import Read
from kimi_agent.workspace.checkpoint.object_reader import FOLDER, LINK, Objects, Row, gone
from kimi_agent.workspace.checkpoint.store import Store
from kimi_agent.workspace.checkpoint.values import Kept, PathChange

_KEEP = 6

Pair = tuple[Row | None, Row | None]


@dataclass(frozen=True)
class Parts:
    """What a snapshot's tree holds: git's tree of the files, the permission bits as a blob (see Modes), what was
    missed, the ignored paths that were asked for, and the files that are there only because of that."""

    files: str
    modes: bytes
    missed: frozenset[bytes] = frozenset()
    also: frozenset[bytes] = frozenset()
    extra: frozenset[bytes] = frozenset()


def put(store: Store, parts: Parts) -> str:
    """Keep them as one tree; equal parts give an equal name. Nothing of time is in it."""
    rows = [(b"40000", b"files", parts.files), (b"100644", b"modes", store.put("blob", parts.modes))]
    for name in ("also", "extra", "missed"):
        paths: frozenset[bytes] = getattr(parts, name)
        if paths:
            blob = store.put("blob", b"".join(path + b"\0" for path in sorted(paths)))
            rows.append((b"100644", name.encode(), blob))
    rows.sort(key=lambda row: row[1])
    return store.put("tree", b"".join(b"%s %s\0%s" % (mode, name, bytes.fromhex(id_)) for mode, name, id_ in rows))


@dataclass(frozen=True)
class Top:
    """The parts of a snapshot, read."""

    files: str
    modes: Read
    missed: frozenset[bytes]
    also: frozenset[bytes]
    extra: frozenset[bytes]

    def unsure(self, path: bytes, other: "Top") -> bool:
        """Whether "nothing there" says nothing, for a path that `other` holds."""
        return path in other.extra and not under(path, self.also)


class Trees:
    """Snapshots in a store."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._tops: dict[str, Top] = {}

    def forget(self) -> None:
        """What was read may no longer be there."""
        self._tops.clear()

    def top(self, tree: str) -> Top:
        """The parts of a snapshot. Raises Unkept if there is none of that name."""
        if tree in self._tops:
            return self._tops[tree]
        if len(tree) != 40 or tree.strip("0123456789abcdef"):
            raise gone(tree)
        rows = {row.name: row.id for row in self._objects.rows(tree)}
        if b"files" not in rows or b"modes" not in rows:
            raise gone(tree)
        missed, also, extra = (self._paths(rows.get(name)) for name in (b"missed", b"also", b"extra"))
        top = Top(rows[b"files"], Read(self._objects.get(rows[b"modes"])[1]), missed, also, extra)
        while len(self._tops) >= _KEEP:
            del self._tops[next(iter(self._tops))]
        self._tops[tree] = top
        return top

    def _paths(self, blob: str | None) -> frozenset[bytes]:
        return frozenset(self._objects.get(blob)[1].split(b"\0")[:-1]) if blob else frozenset()

    def standing(self, tree: str, path: bytes) -> Kept | None:
        """What a snapshot holds at a path: None for nothing, and for a folder. Raises Unkept."""
        top = self.top(tree)
        row = self._objects.row(top.files, path)
        return _kept(path, row, top, self._objects.sizes([row.id])[0]) if row else None

    def changes(self, old: str, new: str) -> list[PathChange]:
        """Where two snapshots differ, by path; "" is the empty one. Raises Unkept.

        Passed over is what one of the two cannot know: what was missed, and an ignored file that only the other kept.
        """
        before, after = (self.top(tree) if tree else None for tree in (old, new))
        found = dict(self._differing(before, after))
        if before and after:
            found = {path: pair for path, pair in found.items() if _known(path, pair, before, after)}
        names = sorted({row.id for pair in found.values() for row in pair if row})
        sizes = dict(zip(names, self._objects.sizes(names), strict=True))
        changes = []
        for path in sorted(found, key=os.fsdecode):
            was, now = found[path]
            kept = [
                _kept(path, row, top, sizes[row.id]) if row and top else None
                for row, top in ((was, before), (now, after))
            ]
            if kept[0] != kept[1]:
                changes.append(PathChange(os.fsdecode(path), kept[0], kept[1]))
        return changes

    def _differing(self, old: Top | None, new: Top | None) -> Iterator[tuple[bytes, Pair]]:
        """Entries that may differ; equal folders are not looked into, unless the usual modes changed."""
        every = bool(old and new and old.modes.usual != new.modes.usual)
        todo = [(b"", old.files if old else "", new.files if new else "")]
        while todo:
            prefix, before, after = todo.pop()
            if before == after and not every:
                continue
            olds, news = ({row.name: row for row in self._objects.rows(id_)} if id_ else {} for id_ in (before, after))
            for name in {**olds, **news}:
                was, now = olds.get(name), news.get(name)
                if was == now and not every:
                    continue
                ids = [row.id if row and row.mode == FOLDER else "" for row in (was, now)]
                if any(ids):
                    todo.append((prefix + name + b"/", ids[0], ids[1]))
                plain = [None if row and row.mode == FOLDER else row for row in (was, now)]
                if any(plain):
                    yield prefix + name, (plain[0], plain[1])
        if old and new and not every:
            for path in {path for path, _ in old.modes.odd.items() ^ new.modes.odd.items()}:
                was, now = (self._objects.row(top.files, path) for top in (old, new))
                if was and now:
                    yield path, (was, now)


def under(path: bytes, paths: Iterable[bytes]) -> bool:
    """Whether `path` is one of `paths`, or lies below one."""
    if path in paths or b"" in paths:
        return True
    at = path.find(b"/")
    while at >= 0:
        if path[:at] in paths:
            return True
        at = path.find(b"/", at + 1)
    return False


def _known(path: bytes, pair: Pair, old: Top, new: Top) -> bool:
    if (old.missed or new.missed) and (under(path, old.missed) or under(path, new.missed)):
        return False
    if pair[1] is None:
        return not new.unsure(path, old)
    return pair[0] is not None or not old.unsure(path, new)


def _kept(path: bytes, row: Row, top: Top, size: int) -> Kept:
    if row.mode == LINK:
        return Kept("link", 0, size, row.id)
    return Kept("file", top.modes.of(path, row.mode), size, row.id)
