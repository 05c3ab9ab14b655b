"""Recovery of a file transaction that a crash cut short: tidies up before it, finishes it, or undoes it.

Every function may be interrupted and called again; none touches a file that somebody else has written since.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kimi_agent.printable import join_some
from kimi_agent.workspace.transaction.content_id import lstat_at, path_matches
from kimi_agent.workspace.transaction.file_folder_swaps import order_moves
from kimi_agent.workspace.transaction.folder_modes import put_back_folder_modes, set_folder_modes
from kimi_agent.workspace.transaction.journal import (
    CommitRecord,
    Journal,
    JournalEntry,
    JournalState,
    unfinished_journals,
)
from kimi_agent.workspace.transaction.syscalls import FileSyscalls

_MISSING_ERRORS = (errno.ENOENT, errno.ENOTDIR)
_IN_USE_ERRORS = (*_MISSING_ERRORS, errno.ENOTEMPTY, errno.EEXIST, errno.ELOOP)
"""Why a folder that we made is not removed: it is gone, or somebody uses it."""
_FOLDER_STAYS_ERRORS = (*_IN_USE_ERRORS, errno.EACCES, errno.EPERM, errno.EBUSY, errno.EROFS)
"""Why a folder of the person's that was emptied is not removed, and trying again would not help."""
_MOST_NAMES = 20


@dataclass
class RecoveryOutcome:
    """The files that were not recovered: `failed` may work another time, `left` were written by others and stay."""

    failed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def recover_commits(
    journals: Path, workspace: str, syscalls: FileSyscalls, record: Callable[[str], bool] = lambda note: False
) -> list[str]:
    """Finish or undo the commits in `workspace` whose process died. Returns sentences about each.

    `record` is given the note of one that is done, and says whether it is recorded now; if not, the journal stays.
    """
    notes: list[str] = []
    for journal in unfinished_journals(journals):
        if (content := journal.read()) is None:
            with contextlib.suppress(OSError):
                syscalls.remove(journal)
            continue
        state, commit = content
        if commit.workspace != workspace:
            continue
        names = join_some([entry.shown for entry in commit.entries], _MOST_NAMES)
        outcome = RecoveryOutcome()
        if state == "R":
            notes.append(f"finished a change that was cut short: {names}")
            outcome = finish_commit(commit, syscalls)
        elif state == "U":
            notes.append(f"took back a change that was cut short: {names}")
            outcome = undo_commit(commit, syscalls)
        notes += (*outcome.failed, *outcome.left)
        done = state in ("R", "D")
        if outcome.failed or remove_temporaries(commit, syscalls, done=done):
            continue
        if done and commit.note:
            with contextlib.suppress(OSError):
                syscalls.mark(journal, "D")
            if not record(commit.note):
                continue
        close_journal(syscalls, journal, "D" if done else "P")
    return notes


def close_journal(syscalls: FileSyscalls, journal: Journal, over: JournalState) -> None:
    """Remove the journal of a commit that is finished (D) or taken back (P).

    Where it can't be removed, its mark keeps the next start from doing the same to what was written meanwhile.
    """
    with contextlib.suppress(OSError):
        syscalls.mark(journal, over)
    with contextlib.suppress(OSError):
        syscalls.remove(journal)


def finish_commit(record: CommitRecord, syscalls: FileSyscalls) -> RecoveryOutcome:
    """Do the renames and deletes that are left."""
    outcome = RecoveryOutcome()
    room, puts, deletes = order_moves(record.entries)
    for index in room:
        _finish_one(record, index, syscalls, outcome)
    for root, relative, _ in reversed(record.cleared):
        with contextlib.suppress(OSError):  # not empty: somebody uses it, and what belongs there is left out
            remove_empty_folder(syscalls, root, relative)
    for root, relative in record.late:
        with contextlib.suppress(OSError):
            make_folder(syscalls, root, relative, None)
    for index in (*puts, *deletes):
        _finish_one(record, index, syscalls, outcome)
    return outcome


def _finish_one(record: CommitRecord, index: int, syscalls: FileSyscalls, outcome: RecoveryOutcome) -> None:
    entry, new, old = record.entries[index], record.new(index), record.old(index)
    with open_if_present(syscalls, entry, outcome.failed) as (folder, stage):
        if stage is None:
            return
        if entry.after is None:
            if folder is not None and lstat_at(stage, old) is None and path_matches(folder, entry.name, entry.before):
                syscalls.rename(folder, entry.name, old, stage)
        elif (ours := lstat_at(stage, new)) is not None:
            target = None if folder is None else lstat_at(folder, entry.name)
            if target is not None and target.st_ino == ours.st_ino:
                return  # it has appeared
            if folder is not None and path_matches(folder, entry.name, entry.before):
                syscalls.rename(stage, new, entry.name, folder)
            # Asked after that: where only the mode is to change, both are true.
            elif folder is None or not path_matches(folder, entry.name, entry.after):
                outcome.left.append(f"{entry.shown}: changed by somebody else meanwhile, left as it is")


def undo_commit(record: CommitRecord, syscalls: FileSyscalls) -> RecoveryOutcome:
    """Put every original back and remove what was new."""
    outcome = RecoveryOutcome()
    room, puts, deletes = order_moves(record.entries)
    for index in (*reversed(deletes), *reversed(puts)):
        _undo_one(record, index, syscalls, outcome)
    for root, relative in reversed(record.late):
        with contextlib.suppress(OSError):
            remove_empty_folder(syscalls, root, relative)
    for root, relative, mode in record.cleared:
        with contextlib.suppress(OSError):  # then what belongs into it says so
            make_folder(syscalls, root, relative, mode)
    for index in reversed(room):
        _undo_one(record, index, syscalls, outcome)
    if not outcome.failed:
        outcome.failed += remove_temporaries(record, syscalls)
    return outcome


def _undo_one(record: CommitRecord, index: int, syscalls: FileSyscalls, outcome: RecoveryOutcome) -> None:
    entry, new, old = record.entries[index], record.new(index), record.old(index)
    with open_if_present(syscalls, entry, outcome.failed) as (folder, stage):
        if stage is None:
            return
        if folder is None:
            # Its second name is all that is left of the original: it must not be tidied away.
            if lstat_at(stage, old) is not None:
                outcome.failed.append(f"{entry.shown}: its folder is gone; the old file is kept beside as {old}")
        elif not undo_entry(syscalls, folder, stage, entry, new, old):
            outcome.left.append(f"{entry.shown}: written by somebody else meanwhile, left as it is")


def undo_entry(syscalls: FileSyscalls, folder: int, stage: int, entry: JournalEntry, new: str, old: str) -> bool:
    """Undo one entry; False where somebody else has written the file since."""
    ours, kept, target = lstat_at(stage, new), lstat_at(stage, old), lstat_at(folder, entry.name)
    if entry.before is None:
        if target is None or stat.S_ISDIR(target.st_mode) or (ours is not None and ours.st_ino != target.st_ino):
            return True  # it never appeared
        if not path_matches(folder, entry.name, entry.after):
            return False
        syscalls.unlink(folder, entry.name)
    elif kept is not None and ours is None:
        # The temporary name is gone, so the original had been replaced; or it had been moved away to be deleted.
        if target is not None and not path_matches(folder, entry.name, entry.after):
            return False
        syscalls.rename(stage, old, entry.name, folder)
    return True


def remove_temporaries(record: CommitRecord, syscalls: FileSyscalls, *, done: bool = False) -> list[str]:
    """Remove temporary and second names, and empty folders; then set the modes of folders. Returns what failed.

    Of a commit that is `done` these are the folders that it emptied, else those that it made.
    """
    failed: list[str] = []
    for index, entry in enumerate(record.entries):
        with open_if_present(syscalls, entry, failed) as (_, stage):
            if stage is not None:
                # The old name first: as long as the new one is there, nothing took its place.
                for name in (record.old(index), record.new(index)):
                    with contextlib.suppress(FileNotFoundError):
                        syscalls.unlink(stage, name)
    stays = _FOLDER_STAYS_ERRORS if done else _IN_USE_ERRORS
    for root, relative in reversed(record.emptied if done else record.made):
        try:
            remove_empty_folder(syscalls, root, relative)
        except OSError as error:
            if error.errno not in stays:
                failed.append(f"{relative}: {error.strerror}")
    if not failed:
        (set_folder_modes if done else put_back_folder_modes)(record.modes, syscalls)
    return failed


def remove_empty_folder(syscalls: FileSyscalls, root: str, relative: str) -> None:
    """Remove an empty folder. Raises OSError."""
    above, _, name = relative.rpartition("/")
    with open_folder(syscalls, root, above) as folder:
        syscalls.rmdir(folder, name)


def make_folder(syscalls: FileSyscalls, root: str, relative: str, mode: int | None) -> None:
    """Make a folder (with exactly this mode); it may be there. Raises OSError."""
    above, _, name = relative.rpartition("/")
    with open_folder(syscalls, root, above) as folder:
        with contextlib.suppress(FileExistsError):
            syscalls.mkdir(folder, name)
        if mode is not None:
            with open_folder(syscalls, root, relative) as made:
                syscalls.chmod(made, mode)
        syscalls.sync(folder)


@contextlib.contextmanager
def open_if_present(
    syscalls: FileSyscalls, entry: JournalEntry, failed: list[str]
) -> Iterator[tuple[int | None, int | None]]:
    """The folder of `entry`, and that of its other names, None if it is gone; what fails is written to `failed`."""
    with contextlib.ExitStack() as stack:
        try:
            folder = stage = _folder(syscalls, entry, entry.folder, stack)
            if entry.stage is not None:
                stage = _folder(syscalls, entry, entry.stage, stack)
        except OSError as error:
            failed.append(f"{entry.shown}: {error.strerror}")
            yield None, None
            return
        try:
            yield folder, stage
        except OSError as error:
            failed.append(f"{entry.shown}: {error.strerror}")


def _folder(syscalls: FileSyscalls, entry: JournalEntry, relative: str, stack: contextlib.ExitStack) -> int | None:
    try:
        folder = syscalls.folder(entry.root, relative)
    except OSError as error:
        # There is a link in place of a folder that is not made yet, or not made again yet.
        if error.errno in _MISSING_ERRORS or (entry.stage is not None and error.errno == errno.ELOOP):
            return None
        raise
    stack.callback(os.close, folder)
    return folder


@contextlib.contextmanager
def open_folder(syscalls: FileSyscalls, root: str, relative: str) -> Iterator[int]:
    """A folder below `root` as a descriptor, closed at the end of the block. Raises OSError."""
    folder = syscalls.folder(root, relative)
    try:
        yield folder
    finally:
        os.close(folder)


@contextlib.contextmanager
def open_entry_and_stage(syscalls: FileSyscalls, entry: JournalEntry) -> Iterator[tuple[int, int]]:
    """The folder of `entry`, and that of its other names; one descriptor where they are one."""
    with open_folder(syscalls, entry.root, entry.folder) as folder:
        if entry.stage_folder == entry.folder:
            yield folder, folder
        else:
            with open_folder(syscalls, entry.root, entry.stage_folder) as stage:
                yield folder, stage
