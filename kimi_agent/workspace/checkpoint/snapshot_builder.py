"""The snapshot builder: brings the index of a store up to the disk and makes a tree of it."""

import contextlib
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from kimi_agent.workspace.checkpoint.file_modes import LINK_PLACEHOLDER, FileModes
from kimi_agent.workspace.checkpoint.index_diff import (
    UNLISTED,
    IndexDifferences,
    find_index_differences,
    tracked_but_ignored,
)
from kimi_agent.workspace.checkpoint.snapshot_format import SnapshotParts, write_snapshot, write_unkept
from kimi_agent.workspace.checkpoint.snapshot_values import Snapshot, SnapshotError
from kimi_agent.workspace.checkpoint.source_tree import SourceTree, is_encodable
from kimi_agent.workspace.checkpoint.store import EMPTY_TREE, StoreLock
from kimi_agent.workspace.checkpoint.unkept_paths import UnkeptLister
from kimi_agent.workspace.git.command import join_nul_paths, split_nul_paths
from kimi_agent.workspace.git.git_folder import stat_key
from kimi_agent.workspace.paths import find_protected_folder

# Beyond so many new files they go into one pack: 20,000 as files of their own take twice as long (3.2 s of CPU, not 6).
_BULK_FILES = 100
_BULK_SETTINGS = {"core.bigFileThreshold": "1", "pack.compression": "1"}
_RULES = ".gitignore"
# More files than this that a rule ignores all at once are not held once more.
_MAX_HIDDEN = 2_000
_SETTLED_NS = 2_000_000_000
_MEND = "name in .gitignore what is built or downloaded"


@dataclass
class IndexCache:
    """A cache of what the last snapshot of this process read; valid while `index` is the state of the index file.

    `young` are files that changed so shortly before they were kept (their ctime, ns) that another change may leave no
    trace in the seconds that git compares. `ignored` are the files in the index that a rule ignores.
    """

    index: tuple[int, ...]
    keys: tuple[object, ...]
    tracked: set[str]
    ignored: set[str]
    modes: FileModes
    young: dict[str, int]
    files: str


@dataclass
class IndexUpdate:
    """The paths to put into the index (with the stat they had), to take out of it, and those that are missed.

    `extra` are files held this once, which are taken out again: ignored ones that were asked for.
    """

    put: dict[str, os.stat_result] = field(default_factory=dict)
    drop: set[str] = field(default_factory=set)
    extra: set[str] = field(default_factory=set)
    missed: set[str] = field(default_factory=set)


class SnapshotBuilder:
    """Builds one snapshot. `skip` are paths that git failed to read, although their mode allows it."""

    def __init__(
        self, source: SourceTree, held: StoreLock, cache: IndexCache | None, skip: set[str], lister: UnkeptLister
    ) -> None:
        self._source = source
        self._held = held
        self._skip = skip
        self._lister = lister
        self._own = source.repository()
        self._prefix = source.prefix(self._own)
        self._index = source.store.index(self._prefix)
        plain = source.git(self._own, settings={})
        top = self._own.top if self._own else source.workspace
        rules, global_file = source.ignores.write_rules(plain, top, self._own)
        self._settings = {"core.excludesFile": global_file}
        self._git = source.git(self._own, settings=self._settings)
        user_index = self._own.git_dir / "index" if self._own else None
        self._user_index = user_index if user_index and user_index.is_file() else None
        self._keys: tuple[object, ...] = (rules, stat_key(self._user_index) if self._user_index else ())
        self._cache = cache if cache and cache.index == stat_key(self._index) else None
        self._modes = self._cache.modes if self._cache else FileModes()
        self._young = self._cache.young if self._cache else {}

    def take(self, also: Sequence[str], *, newly_ignored: bool) -> tuple[Snapshot, IndexCache]:
        """Take the snapshot. Raises SnapshotError, GitFailed, OSError: then the index is undefined, the cache void."""
        known_ignored = self._known_ignored if self._cache else None
        found = find_index_differences(self._git, self._source.workspace, (self._held.fd,), known_ignored)
        if len(found.fresh) > self._source.limits.max_files:
            raise self._too_many()
        update = IndexUpdate(missed=set(found.closed))
        if self._cache is None:
            self._fill_cache()
            self._keys = (*self._keys, self._rule_files(found))
        tracked = self._tracked()
        inside = {path for path in tracked if path not in self._modes and self._source.inside(path)}
        wanted = found.fresh | found.changed | inside
        update.drop |= found.ignored - tracked
        self._exclude(found, wanted, update)
        hidden = self._still_there(update.drop - found.gone) if newly_ignored else ()
        update.drop |= found.gone
        ignored = (found.ignored - tracked).union(hidden)
        scope = self._add_extra((*also, *hidden), ignored, wanted, update)
        self._rehash_young(wanted, update)
        for path in sorted(wanted):
            self._classify(path, update)
        self._check_limits(update)
        same_paths = all(path in self._modes for path in update.put) and not any(
            map(self._modes.__contains__, update.drop)
        )
        changed = self._apply(update)
        unkept = self._unkept(found.unlisted if same_paths else None, update)
        snapshot, files = self._tree(update, scope, unkept, same=not changed)
        if update.extra:
            self._drop(sorted(update.extra))
            files = ""  # that tree is not what the index now holds
        ignored = {path for path in found.ignored | tracked if path in self._modes}
        index = stat_key(self._index)
        return snapshot, IndexCache(index, self._keys, tracked, ignored, self._modes, self._young, files)

    def _rule_files(self, found: IndexDifferences) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The state of every ignore file that git reads here, also of one that is ignored itself."""
        paths = (path for path in chain(self._modes, found.fresh, found.unlisted) if path.endswith(_RULES))
        top = self._own.top if self._own else self._source.workspace
        above = [folder for folder in self._source.workspace.parents if folder.is_relative_to(top)]
        files = {path for path in paths if path.rpartition("/")[2] == _RULES} | {str(each / _RULES) for each in above}
        return tuple((path, stat_key(self._source.workspace / path)) for path in sorted(files))

    def _known_ignored(self, found: IndexDifferences) -> set[str] | None:
        """The files in the index that a rule ignores, None where a rule changed since the last snapshot."""
        self._keys = (*self._keys, self._rule_files(found))
        return self._cache.ignored if self._cache and self._cache.keys == self._keys else None

    def _tracked(self) -> set[str]:
        """The files that the user's own index holds although they are ignored."""
        if self._cache and self._cache.keys == self._keys:
            return self._cache.tracked
        if self._user_index is None:
            return set()
        return tracked_but_ignored(self._source.git(self._own, settings=self._settings, index=self._user_index))

    def _still_there(self, paths: set[str]) -> list[str]:
        """Those of the paths at which there is a file: git hides them from now on, but what they hold is known."""
        return sorted(path for path in paths if self._source.lstat(path)) if len(paths) <= _MAX_HIDDEN else []

    def _unkept(self, unlisted: Sequence[str] | None, update: IndexUpdate) -> str:
        """Write the list of what is not kept; `unlisted` is git's listing, None where it is older than the index."""
        if unlisted is None:
            unlisted = split_nul_paths(self._git.start(*UNLISTED, inherit=(self._held.fd,)).finish())
        found = self._lister.list(self._git, self._source.workspace, unlisted, self._keys)
        held = replace(found, files=found.files - update.extra)
        return write_unkept(self._source.store, held)

    def _fill_cache(self) -> None:
        """Fill the cache from the index of an earlier process. What changed in the same second as it is read again."""
        if not (index := stat_key(self._index)):
            return
        for path in self._index_paths():
            found = self._source.lstat(path)
            self._modes.put(path, _mode(found) if found else 0)
            if found and found.st_ctime_ns >= index[2] - _SETTLED_NS:
                self._young[path] = -1

    def _exclude(self, found: IndexDifferences, wanted: set[str], update: IndexUpdate) -> None:
        """Keep caches, repositories, folders that cannot be read, and our own folders out of the index."""
        folders = (*found.caches, *self._foreign(found), *(path + "/" for path in found.closed), *self._source.closed)
        wanted -= {path for path in wanted if path.startswith(folders)}
        update.drop |= {path for path in self._modes if path.startswith(folders)}

    def _foreign(self, found: IndexDifferences) -> set[str]:
        """The folders that are a repository's own, unless the user's repository tracks them (as test data)."""
        if not found.repositories or self._user_index is None:
            return found.repositories
        git = self._source.git(self._own, settings=self._settings, index=self._user_index)
        return {path for path in found.repositories if not git.run("ls-files", "--cached", "-z", "--", path)}

    def _add_extra(self, also: Sequence[str], ignored: set[str], wanted: set[str], update: IndexUpdate) -> list[str]:
        """Add the ignored files that are asked for this once; returns their paths, relative to the workspace."""
        scope = []
        for spelling in also:
            path = self._source.relative_path(spelling)
            if path is None:
                update.missed.add(spelling if "\0" not in spelling and is_encodable(spelling) else ascii(spelling))
                continue
            scope.append(path)
            for each in self._source.files(path):
                if len(update.extra) > self._source.limits.max_files:
                    raise self._too_many()
                known = each in wanted or (each in self._modes and each not in ignored)
                if not known and not each.startswith(self._source.closed):
                    update.extra.add(each)
        update.drop -= update.extra
        wanted |= update.extra
        return scope

    def _rehash_young(self, wanted: set[str], update: IndexUpdate) -> None:
        """Have git read young files again: one that changed twice in a second can look the same to it."""
        settled = self._held.now_ns - _SETTLED_NS
        for path, ctime_ns in list(self._young.items()):
            found = None if path in wanted or path in update.drop else self._source.lstat(path)
            if found and found.st_ctime_ns != ctime_ns:
                update.drop.add(path)
                wanted.add(path)
            if found is None or found.st_ctime_ns < settled:
                del self._young[path]

    def _classify(self, path: str, update: IndexUpdate) -> None:
        """Put `path` into the index if it can be kept, else take it out and note it as missed."""
        found = self._source.lstat(path)
        # What no restore may write is not kept either: file systems may take `.git.` or `git~1` for `.git`.
        missed = path in self._skip or any(find_protected_folder(part) == "git" for part in path.split("/"))
        missed = missed or (found is None and self._source.hidden(path))
        if found and stat.S_ISREG(found.st_mode):
            missed = missed or found.st_size > self._source.limits.max_file_bytes
            missed = missed or not os.access(os.path.join(self._source.workspace, path), os.R_OK)
        elif found and stat.S_ISLNK(found.st_mode):
            missed = missed or path.rpartition("/")[2].lower() == ".gitmodules"  # git takes none that is a link
        else:
            found = None  # gone again, a folder, a socket, a device
        if missed:
            update.missed.add(path)
        if missed or found is None:
            update.extra.discard(path)
            update.drop.add(path)
        else:
            update.put[path] = found

    def _check_limits(self, update: IndexUpdate) -> None:
        limits = self._source.limits
        fresh = sum(path not in self._modes for path in update.put)
        less = sum(path in self._modes for path in update.drop)
        if len(self._modes) + fresh - less > limits.max_files:
            raise self._too_many()
        size = sum(found.st_size for found in update.put.values())
        if size > limits.max_total_bytes:
            much = f"{size:,} new bytes are more than the {limits.max_total_bytes:,} that one snapshot may take"
            raise SnapshotError(f"{much}: {_MEND}")

    def _too_many(self) -> SnapshotError:
        many = f"there are more than {self._source.limits.max_files:,} files that git does not ignore"
        return SnapshotError(f"{many}, too many for snapshots: {_MEND}")

    def _apply(self, update: IndexUpdate) -> bool:
        """Change the index; False where there was nothing to change."""
        drop = sorted(path for path in update.drop if path in self._modes)
        if drop:
            self._drop(drop)
        if update.put and b"Ignoring path" in self._update("--add", update.put, "--remove", "--replace"):
            for path in update.put.keys() - set(self._index_paths()):
                del update.put[path]
                update.extra.discard(path)
                update.missed.add(path)
        for path, seen in update.put.items():
            # After git has looked: if the mode changes later than this, git will see a new ctime.
            found = self._source.lstat(path) or seen
            self._modes.put(path, _mode(found))
            if seen.st_ctime_ns >= self._held.now_ns - _SETTLED_NS or found.st_ctime_ns != seen.st_ctime_ns:
                self._young[path] = seen.st_ctime_ns
            else:
                self._young.pop(path, None)
        return bool(drop or update.put)

    def _index_paths(self) -> list[str]:
        return split_nul_paths(self._git.start("ls-files", "--cached", "-z", inherit=(self._held.fd,)).finish())

    def _drop(self, paths: Iterable[str]) -> None:
        self._update("--force-remove", paths)
        for path in paths:
            self._modes.drop(path)
            self._young.pop(path, None)

    def _update(self, how: str, paths: Iterable[str], *more: str) -> bytes:
        """Have git update the index; gives what it printed to stderr."""
        listed = join_nul_paths(paths)
        bulk = listed.count(b"\0") > _BULK_FILES and how == "--add"
        git = self._source.git(self._own, settings=_BULK_SETTINGS) if bulk else self._git
        running = git.start("update-index", how, *more, "-z", "--stdin", inherit=(self._held.fd,))
        running.finish(listed)
        return running.stderr

    def _folder_modes(self) -> dict[str, int]:
        """The permission bits of each folder that holds a file; of thousands in each snapshot, so by few calls."""
        root, found = os.fspath(self._source.workspace), dict[str, int]()
        for folder in self._modes.folders():
            with contextlib.suppress(OSError):  # gone again, or in a folder that cannot be read
                found[folder] = stat.S_IMODE(os.lstat(f"{root}/{folder}").st_mode)
        return found

    def _tree(self, update: IndexUpdate, scope: Sequence[str], unkept: str, *, same: bool) -> tuple[Snapshot, str]:
        """Write the snapshot of the index; gives it, and git's tree of the files."""
        store, last = self._source.store, self._cache
        if len(self._modes) == 0:
            files = EMPTY_TREE
        elif same and last and last.files:
            files = last.files
        else:
            prefix = (f"--prefix={self._prefix}",) if self._prefix else ()
            files = self._git.start("write-tree", *prefix, inherit=(self._held.fd,)).finish().decode("ascii").strip()
        missed, also, extra = (_encoded(paths) for paths in (update.missed, scope, update.extra))
        tree = write_snapshot(store, SnapshotParts(files, self._modes.blob(self._folder_modes()), missed, also, extra))
        store.record_taken(tree, unkept)
        return Snapshot(tree, tuple(sorted(update.missed)), unkept), files


def _mode(found: os.stat_result) -> int:
    return LINK_PLACEHOLDER if stat.S_ISLNK(found.st_mode) else stat.S_IMODE(found.st_mode)


def _encoded(paths: Iterable[str]) -> frozenset[bytes]:
    return frozenset(os.fsencode(path) for path in paths)
