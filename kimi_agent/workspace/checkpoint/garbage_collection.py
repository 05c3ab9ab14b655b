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
    """The contents of a store: its bytes in all, its loose objects (one file each), its packs."""

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
        contents, roots, now = self._contents(), self._store.roots(), self._clock()
        last_at, least = self._store.last_collected()
        young = [root for root in roots if now - root.at <= max(keep_days * _DAY_S, _HOUR_S)] or roots[-1:]
        expired = len(young) < len(roots) and not 0 <= now - last_at < min(_DAY_S, keep_days * _DAY_S)
        too_big = contents.bytes > max(max_bytes, int(least * _GROWTH_BEFORE_RETRY))
        too_many_files = len(contents.loose) > _MAX_LOOSE_OBJECTS or len(contents.packs) > _MAX_PACKS
        if not (expired or too_big or too_many_files or held.died):
            return freed
        kept = self._complete(young if expired or too_big else roots)
        if too_big:
            kept = self._newest_within(kept, int(max_bytes * _SHRINK_TO), now)
        self._keep_only(kept, contents, held)
        after = self._contents().bytes
        self._store.note_collected(now, after if after > max_bytes else 0)
        return freed + max(0, contents.bytes - after)

    def _contents(self) -> _StoreContents:
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

    def _complete(self, roots: Sequence[RecordedTree]) -> list[RecordedTree]:
        """The roots whose objects are all there."""
        if self._usage(roots) is not None:
            return list(roots)
        return [root for root in roots if self._usage([root]) is not None]

    def _newest_within(self, roots: list[RecordedTree], max_bytes: int, now: float) -> list[RecordedTree]:
        """The newest roots, as many as fit; at least the newest one, and those of the last hour."""
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
        """The bytes of all that these trees hold, None if something is missing."""
        if not roots:
            return 0
        try:
            listing = ("rev-list", "--objects", "--disk-usage", "--stdin")
            return int(self._store.git(self._environ).run(*listing, stdin=_lines(roots)))
        except GitFailed:
            return None

    def _keep_only(self, roots: Sequence[RecordedTree], contents: _StoreContents, held: StoreLock) -> None:
        """Make one new pack of these trees, and of what the index names; then delete the rest."""
        base = self._store.folder / "objects" / "pack" / "pack"
        packed = b""
        if roots:
            pack = ("pack-objects", "--revs", "--quiet", "--delta-base-offset")
            git = self._store.git(self._environ, settings=_SETTINGS)
            try:
                packed = git.start(*pack, "--indexed-objects", str(base), inherit=(held.fd,)).finish(_lines(roots))
            except GitFailed:
                # The index names objects that are gone: it is made anew. Without it the pack must succeed.
                self._store.forget_index()
                packed = git.start(*pack, str(base), inherit=(held.fd,)).finish(_lines(roots))
        else:
            self._store.forget_index()
        self._store.keep_only(roots)
        names = packed.decode("ascii").split()
        for path in contents.packs:
            if not any(path.endswith(f"pack-{name}.pack") for name in names):
                for end in (".idx", ".rev", ".bitmap", ".keep", ".pack"):
                    Path(path.removesuffix(".pack") + end).unlink(missing_ok=True)
        for path in contents.loose:
            Path(path).unlink(missing_ok=True)


def _lines(roots: Sequence[RecordedTree]) -> bytes:
    return "".join(f"{root.tree}\n" for root in roots).encode("ascii")
