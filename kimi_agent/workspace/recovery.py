"""Bringing the files of a commit to one side: tidy up before it, finish it, or take it back.

Every function may be cut short and called again; none touches a file that somebody else has written since.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.workspace.journal import Entry, Record, unfinished
from kimi_agent.workspace.ops import Ops


@dataclass(frozen=True)
class Outcome:
    """What could not be settled: `failed` may work another time, `left` is another's writing and stays."""

    failed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def recover(papers: Path, workspace: str, ops: Ops) -> list[str]:
    """Settle the commits in `workspace` whose process died. Returns sentences about each, none if there were none."""
    notes: list[str] = []
    for paper in unfinished(papers):
        told = paper.read()
        if told is None:
            ops.remove(paper)
            continue
        state, record = told
        if record.workspace != workspace:
            continue
        names = ", ".join(entry.shown for entry in record.entries)
        outcome = Outcome()
        if state == "R":
            notes.append(f"finished a change that was cut short: {names}")
            outcome = finish(record, ops)
        elif state == "U":
            notes.append(f"took back a change that was cut short: {names}")
            outcome = take_back(record, ops)
        notes += (*outcome.failed, *outcome.left)
        failed = outcome.failed or tidy(record, ops, keep_folders=state in ("R", "D"))
        if not failed:
            ops.remove(paper)
    return notes


def finish(record: Record, ops: Ops) -> Outcome:
    """Do the renames and deletes that are left."""
    failed: list[str] = []
    left: list[str] = []
    for index, entry in enumerate(record.entries):
        new, old = record.new(index), record.old(index)
        with present(ops, entry, failed) as folder:
            if folder is None:
                continue
            now = hashed(folder, entry.name)
            if entry.after is None:
                if now == entry.before and look(folder, old) is None:
                    ops.rename(folder, entry.name, old)
            elif look(folder, new) is not None and now != entry.after:
                if now == (entry.before or "") and (now or look(folder, entry.name) is None):
                    ops.rename(folder, new, entry.name)
                else:
                    left.append(f"{entry.shown}: changed by somebody else meanwhile, left as it is")
    return Outcome(tuple(failed), tuple(left))


def take_back(record: Record, ops: Ops) -> Outcome:
    """Put every original back and remove what was new."""
    failed: list[str] = []
    left: list[str] = []
    for index, entry in reversed(list(enumerate(record.entries))):
        with present(ops, entry, failed) as folder:
            if folder is not None and not took_back(ops, folder, entry, record.new(index), record.old(index)):
                left.append(f"{entry.shown}: written by somebody else meanwhile, left as it is")
    if not failed:
        failed += tidy(record, ops)
    return Outcome(tuple(failed), tuple(left))


def took_back(ops: Ops, folder: int, entry: Entry, new: str, old: str) -> bool:
    """Undo one entry; False if another's writing stands in the way."""
    ours, kept, target = look(folder, new), look(folder, old), look(folder, entry.name)
    if entry.before is None:
        if target is None or (ours is not None and ours.st_ino != target.st_ino):
            return True  # it never appeared
        if hashed(folder, entry.name) != entry.after:
            return False
        ops.unlink(folder, entry.name)
    elif kept is not None and ours is None:
        # The temporary name is gone, so the original had been replaced; or it had been moved away to be deleted.
        if target is not None and hashed(folder, entry.name) != entry.after:
            return False
        ops.rename(folder, old, entry.name)
    return True


def tidy(record: Record, ops: Ops, *, keep_folders: bool = False) -> list[str]:
    """Remove temporary and second names, and the folders that were made, if they are empty."""
    failed: list[str] = []
    for index, entry in enumerate(record.entries):
        with present(ops, entry, failed) as folder:
            if folder is not None:
                # The old name first: as long as the new one is there, nothing took its place.
                for name in (record.old(index), record.new(index)):
                    with contextlib.suppress(FileNotFoundError):
                        ops.unlink(folder, name)
    for root, relative in () if keep_folders else reversed(record.made):
        above, _, name = relative.rpartition("/")
        with contextlib.suppress(OSError):  # not empty: somebody (or the commit, when it was complete) uses it
            folder = ops.folder(root, above)
            try:
                ops.rmdir(folder, name)
            finally:
                os.close(folder)
    return failed


@contextlib.contextmanager
def present(ops: Ops, entry: Entry, failed: list[str]) -> Iterator[int | None]:
    """The folder of `entry`, None if it is gone; what fails inside is written to `failed`."""
    try:
        folder = ops.folder(entry.root, entry.folder)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    except OSError as error:
        failed.append(f"{entry.shown}: {error.strerror}")
        yield None
        return
    try:
        yield folder
    except OSError as error:
        failed.append(f"{entry.shown}: {error.strerror}")
    finally:
        os.close(folder)


@contextlib.contextmanager
def opened(ops: Ops, entry: Entry) -> Iterator[int]:
    """The folder of `entry` as a descriptor."""
    folder = ops.folder(entry.root, entry.folder)
    try:
        yield folder
    finally:
        os.close(folder)


def look(folder: int, name: str) -> os.stat_result | None:
    """What stands at `name` itself, or None."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def hashed(folder: int, name: str) -> str:
    """The sha256 of a regular file, "" for anything else or nothing."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return ""
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        return hashlib.file_digest(file, "sha256").hexdigest()
