"""The snapshot store, a private folder: its layout, its lock, its list of trees, its small objects."""

import contextlib
import fcntl
import hashlib
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.workspace.checkpoint.snapshot_values import SnapshotError
from kimi_agent.workspace.git.command import Git
from kimi_agent.workspace.git.git_folder import make_bare_repository, stat_key
from kimi_agent.workspace.git_object_id import object_id

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""The id of the empty tree, which git knows without having it."""

STORE_GIT_SETTINGS = {
    **dict.fromkeys(("core.fileMode", "core.symlinks", "core.trustctime", "core.preloadIndex"), "true"),
    **dict.fromkeys(("core.ignoreCase", "core.precomposeUnicode", "core.protectHFS", "core.protectNTFS"), "false"),
    **dict.fromkeys(("core.autocrlf", "core.safecrlf"), "false"),
    **dict.fromkeys(("core.untrackedCache", "core.splitIndex", "core.sparseCheckout"), "false"),
    "core.attributesFile": "/dev/null",
    "core.checkStat": "default",
    # A crash of the machine may cost snapshots; a damaged one is then reported, since every object has its hash.
    "core.fsync": "none",
    "core.compression": "1",
    "index.version": "2",
}
"""Git's settings for the store and the work tree, whatever the platform or the user would have."""

# Whatever the repository's attributes say, bytes are kept as they are on the disk.
_ATTRIBUTES = "* -text -crlf -eol -filter -ident -working-tree-encoding\n"
_WAIT_S = 60.0
_POLL_S = 0.01
_RECORD_AGAIN_S = 3600.0


@dataclass(frozen=True)
class RecordedTree:
    """A line in the store's list of trees: a tree that was taken, and when last (Unix seconds)."""

    at: float
    tree: str


@dataclass(frozen=True)
class StoreLock:
    """The lock on a store: `fd` is inherited by the processes that work in it, `died` says that the last owner did
    not finish, `now_ns` is the time by the clock of the file system.
    """

    fd: int
    died: bool
    now_ns: int


class SnapshotStore:
    """One folder, for one workspace. Several processes may use it, one at a time."""

    def __init__(self, folder: Path, *, clock: Callable[[], float]) -> None:
        self.folder = folder
        self._clock = clock
        self._roots = folder / "trees"
        self._collected = folder / "collected"
        self._newest: tuple[RecordedTree, tuple[int, ...]] | None = None
        self._unkept = ""

    @contextlib.contextmanager
    def locked(self) -> Iterator[StoreLock]:
        """The store, made where there is none. Raises SnapshotError where another process keeps it, OSError."""
        fd = self._lock()
        try:
            died = os.fstat(fd).st_size > 0
            os.pwrite(fd, b"in use\n", 0)
            # A killed owner's git left these, and is dead too, for it held the lock as well.
            for left in self.folder.glob("index*.lock"):
                left.unlink(missing_ok=True)
            if not (self.folder / "objects").is_dir():
                self.forget_index()  # it names what is no longer there
                (self.folder / "HEAD").unlink(missing_ok=True)
            if not (self.folder / "HEAD").is_file() or not (self.folder / "info" / "attributes").is_file():
                make_bare_repository(self.folder)
                (self.folder / "info" / "attributes").write_text(_ATTRIBUTES, "ascii")
            yield StoreLock(fd, died, os.fstat(fd).st_mtime_ns)
        finally:
            os.ftruncate(fd, 0)
            os.close(fd)

    def sweep(self) -> int:
        """Remove what a git that was killed, or had no room, left half written; gives the bytes that came free."""
        freed = 0
        for left in (self.folder / "objects").glob("*/*tmp[_-]*"):
            with contextlib.suppress(FileNotFoundError):
                size = left.stat().st_blocks * 512
                left.unlink()
                freed += size
        return freed

    def heal(self) -> None:
        """Delete objects that a crash of the machine left empty; their files are then read and stored again."""
        empty = [Path(each) for each in scan_files(self.folder / "objects") if each.stat().st_size == 0]
        for path in empty:
            path.unlink()
        if empty:
            self.forget_index()

    def _lock(self) -> int:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        path = self.folder / "lock"
        until = time.monotonic() + _WAIT_S
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Somebody may have removed the folder and made it anew: then this lock guards nothing.
                if os.fstat(fd).st_ino == path.stat().st_ino:
                    return fd
            except BlockingIOError:
                pass
            except OSError:
                os.close(fd)
                raise
            os.close(fd)
            if time.monotonic() > until:
                busy = f"another kimi-agent has been at the snapshots in {self.folder} for {_WAIT_S:.0f} s"
                raise SnapshotError(f"{busy}: try again")
            time.sleep(_POLL_S)

    def put(self, kind: str, data: bytes) -> str:
        """Write an object; returns its name."""
        name = object_id(kind, len(data), [data])
        path = self.folder / "objects" / name[:2] / name[2:]
        if path.exists():
            return name
        path.parent.mkdir(exist_ok=True)
        fresh = path.parent / f"tmp_obj_{os.getpid()}"
        fresh.write_bytes(zlib.compress(f"{kind} {len(data)}\0".encode() + data, 1))
        fresh.chmod(0o444)
        fresh.rename(path)
        return name

    def roots(self) -> list[RecordedTree]:
        """The trees that were taken, oldest first. A line that a crash cut is passed over."""
        try:
            lines = self._roots.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        found: dict[str, RecordedTree] = {}
        for line in lines:
            at, _, tree = line.partition(b" ")
            with contextlib.suppress(ValueError):
                if len(tree) == 40 and int(tree, 16) >= 0:
                    found[tree.decode()] = RecordedTree(float(at), tree.decode())
        return sorted(found.values(), key=lambda root: root.at)

    def record_taken(self, tree: str, unkept: str) -> None:
        """Note that `tree` was taken now, with its list of unkept paths, a tree that is kept as long.

        What was noted last, within the hour, is not noted again.
        """
        at = self._clock()
        if self._newest:
            last, key = self._newest
            same = (last.tree, self._unkept) == (tree, unkept)
            if same and 0 <= at - last.at < _RECORD_AGAIN_S and key == stat_key(self._roots):
                return
        # A line of its own, even after one that a crash cut.
        fd = os.open(self._roots, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # The snapshot last: the last one noted is the last to be deleted.
            os.write(fd, b"".join(b"\n%.3f %s\n" % (at, each.encode("ascii")) for each in (unkept, tree)))
        finally:
            os.close(fd)
        self._newest, self._unkept = (RecordedTree(at, tree), stat_key(self._roots)), unkept

    def keep_only(self, roots: Sequence[RecordedTree]) -> None:
        """Rewrite the list of trees to only these."""
        fresh = self._roots.with_suffix(".new")
        fresh.write_bytes(b"".join(b"%.3f %s\n" % (root.at, root.tree.encode("ascii")) for root in roots))
        fresh.replace(self._roots)
        self._newest = None

    def index(self, prefix: str) -> Path:
        """The index for a workspace that lies at `prefix` in the user's repository ("" is its top)."""
        mark = hashlib.sha1(os.fsencode(prefix), usedforsecurity=False).hexdigest()[:12]
        return self.folder / (f"index-{mark}" if prefix else "index")

    def forget_index(self) -> None:
        """Delete the indexes, so that the next snapshot reads every file again."""
        for index in self.folder.glob("index*"):
            index.unlink(missing_ok=True)

    def last_collected(self) -> tuple[float, int]:
        """When objects were deleted last, and the bytes that were left although fewer were wanted; zeros for never."""
        try:
            at, size = self._collected.read_bytes().split()
            return float(at), int(size)
        except (FileNotFoundError, ValueError):
            return 0.0, 0

    def note_collected(self, at: float, least: int) -> None:
        """Note that objects were deleted; `least` as `last_collected` gives it, 0 if the wanted size was reached."""
        fresh = self._collected.with_suffix(".new")
        fresh.write_bytes(b"%.3f %d\n" % (at, least))
        fresh.replace(self._collected)

    def git(self, environ: Mapping[str, str], *, settings: Mapping[str, str] | None = None) -> Git:
        """A git for the objects, without a work tree. Raises SnapshotError where the store is gone, GitMissing."""
        if not (self.folder / "HEAD").is_file():
            text = f"the snapshots of this workspace are no longer kept: there is nothing in {self.folder}"
            raise SnapshotError(text)
        settings = {**STORE_GIT_SETTINGS, **(settings or {})}
        return Git(self.folder, git_dir=self.folder, environ=environ, settings=settings)

    @property
    def bytes(self) -> int:
        """The size of the folder on the disk, in bytes."""
        return sum(each.stat().st_blocks * 512 for each in scan_files(self.folder))


def scan_files(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """All files below a folder of ours; what goes away meanwhile is passed over."""
    todo = [os.fspath(folder)]
    while todo:
        with contextlib.suppress(FileNotFoundError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                else:
                    yield entry
