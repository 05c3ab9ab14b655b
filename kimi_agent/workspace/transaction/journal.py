"""The journal of a file transaction, written before it: what a later start needs to finish it or to undo it.

One file per commit, locked by its owner as long as that lives. Its first byte is the state, overwritten in place (a
full disk can't hinder that), the rest one JSON record that is complete before anything else is touched.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

# P preparing: only temps and folders were made.  R ready: renames may have begun, they can be finished.
# U undoing: the originals go back.  D done: only the originals' second names are left.
JournalState = Literal["P", "R", "U", "D"]
JOURNAL_STATES: dict[bytes, JournalState] = {b"P": "P", b"R": "R", b"U": "U", b"D": "D"}


@dataclass(frozen=True)
class JournalEntry:
    """One file of a commit: `name` in `folder` (below `root`), with its content ids `before` and `after`.

    A content id is None for nothing. The other names of the file lie in the folder `stage` where they cannot lie
    beside it (see `file_folder_swaps`).
    """

    root: str
    folder: str
    name: str
    shown: str
    before: str | None
    after: str | None
    stage: str | None = None

    @property
    def path(self) -> str:
        """Folder and name."""
        return f"{self.folder}/{self.name}" if self.folder else self.name

    @property
    def stage_folder(self) -> str:
        """The folder of the file's other names."""
        return self.folder if self.stage is None else self.stage


@dataclass(frozen=True)
class FolderMode:
    """The permission bits that a folder is to have at the end; `before` is None for one that the commit makes."""

    root: str
    relative: str
    before: int | None
    after: int


@dataclass(frozen=True)
class CommitRecord:
    """One commit: its files, the stem of its temporary names, and the folders (root, relative) that come or go.

    `made` are made before all else, `late` when the file in their place has gone; `cleared` (with their modes) go, with
    what is below, so that a file can take their place; `emptied` go at the end if nothing is left in them.
    `modes` are those that folders get.
    `note` is a text of the caller's on what is to be recorded elsewhere once all is done; the journal stays until then.
    """

    workspace: str
    stem: str
    entries: tuple[JournalEntry, ...]
    made: tuple[tuple[str, str], ...] = ()
    late: tuple[tuple[str, str], ...] = ()
    cleared: tuple[tuple[str, str, int], ...] = ()
    emptied: tuple[tuple[str, str], ...] = ()
    note: str = ""
    modes: tuple[FolderMode, ...] = ()

    def new(self, index: int) -> str:
        """The name beside the target under which the new content is written."""
        return f"{self.stem}.{index}.new"

    def old(self, index: int) -> str:
        """The name beside the target under which the original is kept."""
        return f"{self.stem}.{index}.old"


class Journal:
    """A journal file that is open and locked."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self.fd = fd

    def mark(self, state: JournalState) -> None:
        """Write the new state."""
        os.pwrite(self.fd, state.encode(), 0)

    def remove(self) -> None:
        """Delete the journal: the commit is over."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Give up the lock; a file that is still there is for the next `unfinished_journals`."""
        os.close(self.fd)

    def read(self) -> tuple[JournalState, CommitRecord] | None:
        """Its content, or None if it was not complete, so that nothing was touched."""
        with os.fdopen(os.dup(self.fd), "rb") as file:
            file.seek(0)
            raw = file.read()
        state, body = JOURNAL_STATES.get(raw[:1]), raw[1:]
        if state is None or not body.endswith(b"\n"):
            return None
        record = json.loads(body)
        entries = tuple(JournalEntry(**entry) for entry in record["entries"])
        names = ("made", "late", "cleared", "emptied")
        folders = {name: tuple(map(tuple, record.get(name, ()))) for name in names}
        modes = tuple(FolderMode(**each) for each in record.get("modes", ()))
        note = record.get("note", "")
        return state, CommitRecord(record["workspace"], record["stem"], entries, **folders, note=note, modes=modes)


def write_journal(folder: Path, record: CommitRecord) -> Journal:
    """Write `record` down and lock it; the caller syncs."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{record.stem.lstrip('.')}.journal"
    body = b"P" + json.dumps(asdict(record)).encode("ascii") + b"\n"
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try_lock(fd, wait=True)
            if os.fstat(fd).st_nlink == 0:  # a start of another process took it for a dead one's before the lock
                os.close(fd)
                continue
            while body:
                body = body[os.write(fd, body) :]
        except BaseException:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        return Journal(path, fd)


def unfinished_journals(folder: Path) -> Iterator[Journal]:
    """The journals whose owner is dead, each locked by us while the caller looks at it."""
    for path in sorted(folder.glob("*.journal")):
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if try_lock(fd, wait=False) and os.fstat(fd).st_nlink:
                yield Journal(path, fd)
        finally:
            os.close(fd)


def try_lock(fd: int, *, wait: bool) -> bool:
    """Lock the file; False if its owner lives. Where a file system has no locks, the owner goes on without one."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
