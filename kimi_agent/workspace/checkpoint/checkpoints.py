"""Snapshots of a workspace: take one, compare two, read one, and delete old ones."""

import contextlib
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from kimi_agent.workspace.checkpoint.garbage_collection import GarbageCollector
from kimi_agent.workspace.checkpoint.ignore_rules import IgnoreRules
from kimi_agent.workspace.checkpoint.object_reader import ObjectReader
from kimi_agent.workspace.checkpoint.snapshot_builder import IndexCache, SnapshotBuilder
from kimi_agent.workspace.checkpoint.snapshot_format import HeldShare, SnapshotReader
from kimi_agent.workspace.checkpoint.snapshot_values import (
    FolderModeChange,
    PathChange,
    Snapshot,
    SnapshotError,
    SnapshotLimits,
    TreeEntry,
    UnkeptPaths,
)
from kimi_agent.workspace.checkpoint.source_tree import SourceTree, is_encodable
from kimi_agent.workspace.checkpoint.store import EMPTY_TREE, SnapshotStore, StoreLock
from kimi_agent.workspace.checkpoint.unkept_paths import UnkeptLister
from kimi_agent.workspace.git.command import GitFailed, GitMissing

_TRIES = 12
_FULL = ("No space left", "Out of diskspace", "Disk quota exceeded")
_LIMITS = SnapshotLimits()
_UNREADABLE = re.compile(r"Unable to process path (.*?)\n?\Z", re.DOTALL)


class Checkpoints:
    """The snapshots of `workspace`, kept in the folder `store`. Blocking; may be used from several threads.

    The user's repository is never written and git never reads its configuration, so this is safe before trust. Files
    and links are kept, tracked or untracked, with all their permission bits, and the bits of the folders that hold
    them. Not kept are ignored files (unless they are tracked), empty folders, owners, access control lists and extended
    attributes, and which names are one file (hard links). `private` are folders of ours, never kept.
    """

    def __init__(
        self,
        workspace: Path,
        store: Path,
        *,
        environ: Mapping[str, str],
        limits: SnapshotLimits = _LIMITS,
        clock: Callable[[], float] = time.time,
        private: Sequence[Path] = (),
    ) -> None:
        root = Path(os.path.realpath(workspace))
        self._store = SnapshotStore(Path(os.path.realpath(store)), clock=clock)
        ours = (self._store.folder, *(Path(os.path.realpath(folder)) for folder in private))
        ignores = IgnoreRules(self._store.folder, environ=environ, private=ours)
        home = os.path.realpath(environ["HOME"]) if environ.get("HOME") else ""
        self._source = SourceTree(root, self._store, environ, limits, ours, ignores, home)
        # No bound method of self, which would be a reference cycle: these processes end as soon as self is dropped.
        self._objects = ObjectReader(self._store, environ)
        weakref.finalize(self, self._objects.close)
        self._trees = SnapshotReader(self._objects)
        self._collector = GarbageCollector(self._store, environ, clock=clock)
        self._cache: IndexCache | None = None
        self._lister = UnkeptLister()
        self._lock = threading.RLock()

    def take(self, also: Sequence[str] = (), *, newly_ignored: bool = False) -> Snapshot:
        """Take a snapshot now; `also` are ignored files or folders to keep this once. Raises SnapshotError.

        With `newly_ignored` the files that the last snapshot held, and that a rule ignores since, are kept once more:
        so it is known what became of them, and that they are not gone.

        A file that changes while this runs is kept as it was before or after, or is missed.
        """
        with self._working("no snapshot was taken"):
            self._objects.close()
            self._check_allowed()
            with self._store.locked() as held:
                return self._take(held, also, newly_ignored=newly_ignored)

    def changes(self, old: str, new: str) -> tuple[PathChange, ...]:
        """The changes from one tree to another, by path, without renames; "" is the empty tree. Raises SnapshotError.

        Paths that one tree knows nothing about are passed over: what it missed, and ignored files that only the other
        was asked for (example: `.env`, held by `new` alone; a tree taken with the same `also` does know).
        """
        with self._working("the snapshots could not be compared"):
            return tuple(self._trees.changes(old, new))

    def entry_at(self, tree: str, path: str) -> TreeEntry | None:
        """The entry of `tree` at a path of the workspace, None for nothing or a folder. Raises SnapshotError."""
        with self._working("the snapshot could not be read"):
            return self._trees.entry_at(tree, os.fsencode(path)) if is_encodable(path) else None

    def has_folder(self, tree: str, path: str) -> bool:
        """Whether `tree` holds a file below that path of the workspace. Raises SnapshotError."""
        with self._working("the snapshot could not be read"):
            return is_encodable(path) and self._trees.has_folder(tree, os.fsencode(path))

    def folder_mode(self, tree: str, path: str) -> int | None:
        """The permission bits of a folder in `tree`; None for no folder, or where an older build did not keep them."""
        with self._working("the snapshot could not be read"):
            return self._trees.folder_mode(tree, os.fsencode(path)) if is_encodable(path) else None

    def folder_mode_changes(self, old: str, new: str) -> tuple[FolderModeChange, ...]:
        """The folders of both trees whose permission bits differ, by path. Raises SnapshotError."""
        with self._working("the snapshots could not be compared"):
            return tuple(self._trees.folder_mode_changes(old, new))

    def content(self, entry: TreeEntry) -> bytes:
        """The whole bytes of a file, or the target of a link. Raises SnapshotError."""
        with self._working("the snapshot could not be read"):
            return self._objects.blob(entry.id)

    def read(self, tree: str, path: str) -> bytes | None:
        """The bytes that `tree` holds at a path, None for nothing there. Raises SnapshotError."""
        entry = self.entry_at(tree, path)
        return self.content(entry) if entry else None

    def held_share(self, tree: str, spelling: str) -> HeldShare:
        """How much of what stands at a path of the workspace now that snapshot holds. Raises SnapshotError."""
        path = self._source.relative_path(spelling)
        if path is None:
            return "none"
        with self._working("the snapshot could not be read"):
            return self._trees.held_share(tree, self._source.workspace, path)

    def has(self, tree: str) -> bool:
        """Whether that snapshot can be read."""
        with contextlib.suppress(SnapshotError), self._working("the snapshot could not be read"):
            top = self._trees.top(tree)
            return top.files == EMPTY_TREE or self._objects.has(top.files)
        return False

    def missed(self, tree: str) -> tuple[str, ...]:
        """The paths that existed but are not kept in that snapshot. Raises SnapshotError."""
        with self._working("the snapshot could not be read"):
            return tuple(sorted(map(os.fsdecode, self._trees.top(tree).missed)))

    def unkept(self, listing: str) -> UnkeptPaths | None:
        """What stood there and was not kept, by `Snapshot.unkept`; None where that is not known (any more).

        An older build did not note it. Raises SnapshotError.
        """
        with self._working("the snapshot could not be read"):
            return self._trees.unkept(listing)

    def requested_ignored(self, tree: str) -> tuple[str, ...]:
        """The ignored paths that this snapshot was asked to hold. Raises SnapshotError.

        Pass them to `take` for a snapshot that is to be compared with this one.
        """
        with self._working("the snapshot could not be read"):
            return tuple(sorted(map(os.fsdecode, self._trees.top(tree).also)))

    def held_ignored(self, tree: str) -> tuple[str, ...]:
        """The ignored files that this snapshot does hold, because it was asked to. Raises SnapshotError."""
        with self._working("the snapshot could not be read"):
            return tuple(sorted(map(os.fsdecode, self._trees.top(tree).extra)))

    def collect(self, *, keep_days: float, max_bytes: int) -> int:
        """Delete snapshots older than `keep_days`, and the oldest ones while all take more than `max_bytes`.

        The newest one stays, as do those of the last hour. Returns the bytes that came free. Raises SnapshotError.
        """
        if not self._store.folder.is_dir():
            return 0
        with self._working("old snapshots could not be removed"):
            self._objects.close()
            self._trees.forget()
            with self._store.locked() as held:
                freed = self._collector.collect(held, keep_days=keep_days, max_bytes=max_bytes)
            if freed:
                self._cache = None
            return freed

    def close(self) -> None:
        """End the processes that reading left running. Everything may still be used."""
        with self._lock:
            self._objects.close()

    @property
    def store_bytes(self) -> int:
        """The size of all snapshots on the disk."""
        return self._store.bytes

    def _check_allowed(self) -> None:
        root, home = self._source.workspace, self._source.home
        if not root.is_dir():
            raise SnapshotError(f"the workspace {root} is gone")
        if str(root) == "/" or (home and Path(home).is_relative_to(root)):
            why = "is not a project but holds the whole home folder, so no snapshots are taken"
            raise SnapshotError(f"{root} {why}: start in the folder of a project")

    def _take(self, held: StoreLock, also: Sequence[str], *, newly_ignored: bool) -> Snapshot:
        """Take a snapshot, and retry after what a retry can mend: a file that git could not read, a damaged index."""
        failures: dict[str, int] = {}
        if held.died:
            self._store.sweep()
        if self._cache is None:
            self._store.heal()
        for attempt in range(_TRIES):
            cache, self._cache = self._cache if not held.died else None, None
            skip = {path for path, times in failures.items() if times > 1}
            try:
                builder = SnapshotBuilder(self._source, held, cache, skip, self._lister)
                snapshot, self._cache = builder.take(also, newly_ignored=newly_ignored)
            except GitFailed as error:
                path = _UNREADABLE.search(error.stderr)
                if _full(error) or attempt == _TRIES - 1 or (attempt > 1 and not path):
                    self._store.sweep()
                    raise
                if path:
                    failures[path[1]] = failures.get(path[1], 0) + 1
                elif attempt:
                    self._store.forget_index()
            else:
                return snapshot
        raise AssertionError("the last try returns or raises")

    @contextlib.contextmanager
    def _working(self, what: str) -> Iterator[None]:
        """One call at a time, and every failure raised as SnapshotError."""
        with self._lock:
            try:
                yield
            except GitMissing as error:
                raise SnapshotError(f"{what}: {error}") from error
            except GitFailed as error:
                room = f"no room is left for snapshots in {self._store.folder}: free some space on that disk"
                raise SnapshotError(f"{what}: {room if _full(error) else error}") from error
            except OSError as error:
                why = f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
                raise SnapshotError(f"{what}: {why}: the snapshots lie in {self._store.folder}") from error


def _full(error: GitFailed) -> bool:
    return any(words in error.stderr for words in _FULL)
