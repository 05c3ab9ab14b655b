"""Garbage collection of snapshots: deletes old ones by age and by bytes, and the leftovers of interrupted ones."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.workspace.checkpoint.store import RecordedTree, SnapshotStore, StoreLock, scan_files
from kimi_agent.workspace.git.command import GitFailed

_DAY_S = 86_400.0
_HOUR_S = 3_600.0
# More loose objects, or packs, than this are put into one pack.
_MAX_LOOSE_OBJECTS = 6_000
_MAX_PACKS = 40
# The share of the limit to shrink to, so that the next snapshot does not exceed it again at once.
_SHRINK_TO = 0.8
_GROWTH_BEFORE_RETRY = 1.1
_SETTINGS = {"core.bigFileThreshold": "5m", "pack.windowMemory": "100m", "pack.writeBitmapHashCache": "false"}


@dataclass(frozen=True)
class _StoreContents:
    """What the store holds: all its bytes, its loose objects (one file each), its packs."""

    bytes: int
    loose: tuple[str, ...]
    packs: tuple[str, ...]


class GarbageCollector:
    """Deletes snapshots of one store. The caller must hold the store's lock."""

    def __init__(self, store: SnapshotStore, environ: Mapping[str, str], *, clock: Callable[[], float]) -> None:
        self._store = store
        self._environ = environ
        self._clock = clock

    def collect(self, held: StoreLock, *, keep_days: float, max_bytes: int) -> int:
        """See Checkpoints.collect. Cheap when nothing is to be done. Raises GitFailed, OSError."""
        freed = self._store.sweep()
        stock, roots, now = self._stock(), self._store.roots(), self._clock()
        last_at, least = self._store.last_collected()
        young = [root for root in roots if now - root.at <= max(keep_days * _DAY_S, _HOUR_S)] or roots[-1:]
        aged = len(young) < len(roots) and not 0 <= now - last_at < min(_DAY_S, keep_days * _DAY_S)
        tight = stock.bytes > max(max_bytes, int(least * _GROWTH_BEFORE_RETRY))
        crowded = len(stock.loose) > _MAX_LOOSE_OBJECTS or len(stock.packs) > _MAX_PACKS
        if not (aged or tight or crowded or held.died):
            return freed
        kept = self._whole(young if aged or tight else roots)
        if tight:
            kept = self._within(kept, int(max_bytes * _SHRINK_TO), now)
        self._keep_only(kept, stock, held)
        after = self._stock().bytes
        self._store.note_collected(now, after if after > max_bytes else 0)
        return freed + max(0, stock.bytes - after)

    def _stock(self) -> _StoreContents:
        total, loose, packs = 0, [], []
        objects = os.path.join(self._store.folder, "objects", "")
        for entry in scan_files(self._store.folder):
            with contextlib.suppress(FileNotFoundError):
                total += entry.stat().st_blocks * 512
            if not entry.path.startswith(objects):
                continue
            folder = entry.path[len(objects) :].split("/")[0]
            if folder == "pack":
                packs += [entry.path] if entry.name.endswith(".pack") else []
            elif len(folder) == 2:
                loose.append(entry.path)
        return _StoreContents(total, tuple(loose), tuple(packs))

    def _whole(self, roots: Sequence[RecordedTree]) -> list[RecordedTree]:
        """The roots whose objects are all there."""
        if self._usage(roots) is not None:
            return list(roots)
        return [root for root in roots if self._usage([root]) is not None]

    def _within(self, roots: list[RecordedTree], max_bytes: int, now: float) -> list[RecordedTree]:
        """As many of the newest as fit; at least the newest one, and those of the last hour."""
        least = max(1, sum(now - root.at <= _HOUR_S for root in roots))
        low, high = min(least, len(roots)), len(roots)
        while low < high:
            middle = (low + high + 1) // 2
            if (self._usage(roots[-middle:]) or 0) <= max_bytes:
                low = middle
            else:
                high = middle - 1
        return roots[len(roots) - low :]

    def _usage(self, roots: Sequence[RecordedTree]) -> int | None:
        """Bytes of all that these trees hold, None if something is missing."""
        if not roots:
            return 0
        try:
            git = self._store.git(self._environ)
            return int(git.run("rev-list", "--objects", "--disk-usage", "--stdin", stdin=_lines(roots)))
        except GitFailed:
            return None

    def _keep_only(self, roots: Sequence[RecordedTree], stock: _StoreContents, held: StoreLock) -> None:
        """One new pack with just these trees, and what the index names; then the rest goes."""
        base = self._store.folder / "objects" / "pack" / "pack"
        fresh = b""
        if roots:
            pack = ("pack-objects", "--revs", "--quiet", "--delta-base-offset")
            git = self._store.git(self._environ, settings=_SETTINGS)
            try:
                fresh = git.start(*pack, "--indexed-objects", str(base), inherit=(held.fd,)).finish(_lines(roots))
            except GitFailed:
                # The index names what is not there: it is made anew. Without it the pack must succeed.
                self._store.forget_index()
                fresh = git.start(*pack, str(base), inherit=(held.fd,)).finish(_lines(roots))
        else:
            self._store.forget_index()
        self._store.keep_only(roots)
        names = fresh.decode("ascii").split()
        for path in stock.packs:
            if not any(path.endswith(f"pack-{name}.pack") for name in names):
                for end in (".idx", ".rev", ".bitmap", ".keep", ".pack"):
                    _remove(path.removesuffix(".pack") + end)
        for path in stock.loose:
            _remove(path)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()


def _lines(roots: Sequence[RecordedTree]) -> bytes:
    return "".join(f"{root.tree}\n" for root in roots).encode("ascii")
