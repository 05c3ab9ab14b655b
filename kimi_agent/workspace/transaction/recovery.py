"""Bringing the files of a commit to one side: tidy up before it, finish it, or take it back.

Every function may be cut short and called again; none touches a file that somebody else has written since.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.workspace.transaction.content_id import look, stands
from kimi_agent.workspace.transaction.file_folder_swaps import order
from kimi_agent.workspace.transaction.journal import Entry, Record, unfinished
from kimi_agent.workspace.transaction.syscalls import Ops

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)
_STAYS = (*_NOT_THERE, errno.ENOTEMPTY, errno.EEXIST, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EBUSY, errno.EROFS)
"""Why a folder is not removed, and trying again would not help."""
_MOST_NAMES = 20


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
        names = named(record)
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


def named(record: Record) -> str:
    """The files of a commit, in a sentence."""
    names = [entry.shown for entry in record.entries]
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def finish(record: Record, ops: Ops) -> Outcome:
    """Do the renames and deletes that are left."""
    failed: list[str] = []
    left: list[str] = []
    room, puts, deletes = order(record.entries)
    for index in room:
        _finish_one(record, index, ops, failed, left)
    for root, relative, _ in reversed(record.cleared):
        with contextlib.suppress(OSError):  # not empty: somebody uses it, and what should stand there is left out
            unmade(ops, root, relative)
    for root, relative in record.late:
        with contextlib.suppress(OSError):
            remade(ops, root, relative, None)
    for index in (*puts, *deletes):
        _finish_one(record, index, ops, failed, left)
    return Outcome(tuple(failed), tuple(left))


def _finish_one(record: Record, index: int, ops: Ops, failed: list[str], left: list[str]) -> None:
    entry, new, old = record.entries[index], record.new(index), record.old(index)
    with present(ops, entry, failed) as (folder, stage):
        if stage is None:
            return
        if entry.after is None:
            if folder is not None and look(stage, old) is None and stands(folder, entry.name, entry.before):
                ops.rename(folder, entry.name, old, *into(folder, stage))
        elif (ours := look(stage, new)) is not None:
            target = None if folder is None else look(folder, entry.name)
            if target is not None and target.st_ino == ours.st_ino:
                return  # it has appeared
            if folder is not None and stands(folder, entry.name, entry.before):
                ops.rename(stage, new, entry.name, *into(stage, folder))
            # Asked after that: where only the mode is to change, both are true.
            elif folder is None or not stands(folder, entry.name, entry.after):
                left.append(f"{entry.shown}: changed by somebody else meanwhile, left as it is")


def take_back(record: Record, ops: Ops) -> Outcome:
    """Put every original back and remove what was new."""
    failed: list[str] = []
    left: list[str] = []
    room, puts, deletes = order(record.entries)
    for index in (*reversed(deletes), *reversed(puts)):
        _take_back_one(record, index, ops, failed, left)
    for root, relative in reversed(record.late):
        with contextlib.suppress(OSError):
            unmade(ops, root, relative)
    for root, relative, mode in record.cleared:
        with contextlib.suppress(OSError):  # then what belongs into it says so
            remade(ops, root, relative, mode)
    for index in reversed(room):
        _take_back_one(record, index, ops, failed, left)
    if not failed:
        failed += tidy(record, ops)
    return Outcome(tuple(failed), tuple(left))


def _take_back_one(record: Record, index: int, ops: Ops, failed: list[str], left: list[str]) -> None:
    entry, new, old = record.entries[index], record.new(index), record.old(index)
    with present(ops, entry, failed) as (folder, stage):
        if stage is None:
            return
        if folder is None:
            # Its second name is all that is left of the original: it must not be tidied away.
            if look(stage, old) is not None:
                failed.append(f"{entry.shown}: its folder is gone; the old file is kept beside as {old}")
        elif not took_back(ops, folder, stage, entry, new, old):
            left.append(f"{entry.shown}: written by somebody else meanwhile, left as it is")


def took_back(ops: Ops, folder: int, stage: int, entry: Entry, new: str, old: str) -> bool:
    """Undo one entry; False if another's writing stands in the way."""
    ours, kept, target = look(stage, new), look(stage, old), look(folder, entry.name)
    if entry.before is None:
        if target is None or stat.S_ISDIR(target.st_mode) or (ours is not None and ours.st_ino != target.st_ino):
            return True  # it never appeared
        if not stands(folder, entry.name, entry.after):
            return False
        ops.unlink(folder, entry.name)
    elif kept is not None and ours is None:
        # The temporary name is gone, so the original had been replaced; or it had been moved away to be deleted.
        if target is not None and not stands(folder, entry.name, entry.after):
            return False
        ops.rename(stage, old, entry.name, *into(stage, folder))
    return True


def tidy(record: Record, ops: Ops, *, keep_folders: bool = False) -> list[str]:
    """Remove temporary and second names, and the empty folders that the side we are on does without."""
    failed: list[str] = []
    for index, entry in enumerate(record.entries):
        with present(ops, entry, failed) as (_, stage):
            if stage is not None:
                # The old name first: as long as the new one is there, nothing took its place.
                for name in (record.old(index), record.new(index)):
                    with contextlib.suppress(FileNotFoundError):
                        ops.unlink(stage, name)
    for root, relative in reversed(record.emptied if keep_folders else record.made):
        try:
            unmade(ops, root, relative)
        except OSError as error:
            # Most often it is not empty: somebody (or the commit, when it was complete) uses it.
            if keep_folders and error.errno not in _STAYS:
                failed.append(f"{relative}: {error.strerror}")
    return failed


def unmade(ops: Ops, root: str, relative: str) -> None:
    """Remove an empty folder. Raises OSError."""
    above, _, name = relative.rpartition("/")
    folder = ops.folder(root, above)
    try:
        ops.rmdir(folder, name)
    finally:
        os.close(folder)


def remade(ops: Ops, root: str, relative: str, mode: int | None) -> None:
    """Make a folder (with exactly this mode); it may be there. Raises OSError."""
    above, _, name = relative.rpartition("/")
    folder = ops.folder(root, above)
    try:
        with contextlib.suppress(FileExistsError):
            ops.mkdir(folder, name)
        if mode is not None:
            made = ops.folder(root, relative)
            try:
                ops.chmod(made, mode)
            finally:
                os.close(made)
        ops.sync(folder)
    finally:
        os.close(folder)


def into(source: int, target: int) -> tuple[int, ...]:
    """The further argument of a rename or link that leaves its folder."""
    return () if source == target else (target,)


@contextlib.contextmanager
def present(ops: Ops, entry: Entry, failed: list[str]) -> Iterator[tuple[int | None, int | None]]:
    """The folder of `entry`, and that of its other names, None if it is gone; what fails is written to `failed`."""
    with contextlib.ExitStack() as stack:
        try:
            folder = stage = _folder(ops, entry, entry.folder, stack)
            if entry.stage is not None:
                stage = _folder(ops, entry, entry.stage, stack)
        except OSError as error:
            failed.append(f"{entry.shown}: {error.strerror}")
            yield None, None
            return
        try:
            yield folder, stage
        except OSError as error:
            failed.append(f"{entry.shown}: {error.strerror}")


def _folder(ops: Ops, entry: Entry, relative: str, stack: contextlib.ExitStack) -> int | None:
    try:
        folder = ops.folder(entry.root, relative)
    except OSError as error:
        # A link stands at the place of a folder that is not made yet, or that is not made again yet.
        swapped = entry.stage is not None and error.errno == errno.ELOOP
        if error.errno in _NOT_THERE or swapped:
            return None
        raise
    stack.callback(os.close, folder)
    return folder


@contextlib.contextmanager
def opened(ops: Ops, entry: Entry) -> Iterator[int]:
    """The folder of `entry` as a descriptor."""
    folder = ops.folder(entry.root, entry.folder)
    try:
        yield folder
    finally:
        os.close(folder)


@contextlib.contextmanager
def beside(ops: Ops, entry: Entry) -> Iterator[int]:
    """The folder of the other names of `entry` as a descriptor."""
    folder = ops.folder(entry.root, entry.folder if entry.stage is None else entry.stage)
    try:
        yield folder
    finally:
        os.close(folder)


@contextlib.contextmanager
def both(ops: Ops, entry: Entry) -> Iterator[tuple[int, int]]:
    """The folder of `entry`, and that of its other names; one descriptor where they are one."""
    with opened(ops, entry) as folder:
        if entry.stage is None or entry.stage == entry.folder:
            yield folder, folder
        else:
            with beside(ops, entry) as stage:
                yield folder, stage
