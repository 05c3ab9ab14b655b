"""A file transaction: changes many files, all or none, also when the disk is full or the process is killed.

The order: compare hashes; write the journal; make folders; write new contents under temporary names; give originals a
second name; mark the journal "ready"; compare again and rename, file by file; delete; mark the journal "done"; remove
second names; have it recorded (`Recording`); remove the journal. After a crash before "ready" the next start tidies up,
after it it finishes (`recovery`); an error is undone. A single file that is not recorded needs neither second name nor
"ready": its one rename is the commit. Where a file takes the place of a folder, or a folder that of a file, the deletes
that make room come before all other renames (`file_folder_swaps`).
"""

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kimi_agent.errors import ToolError
from kimi_agent.workspace.transaction import content_id, preconditions, recovery
from kimi_agent.workspace.transaction.commit_options import NO_OPTIONS, CommitOptions, Folders, Recording
from kimi_agent.workspace.transaction.file_folder_swaps import assign_stage_folders, find_late_folders, order_moves
from kimi_agent.workspace.transaction.folder_modes import open_folder_modes
from kimi_agent.workspace.transaction.journal import CommitRecord, Journal, JournalEntry
from kimi_agent.workspace.transaction.preconditions import is_same_file, os_error_as_tool_error
from kimi_agent.workspace.transaction.syscalls import FileSyscalls

SYNC_ONCE_FROM = 64
"""From this many files on the disk is synced once for all, not for each file."""
NO_LINK_ERRORS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV)


@dataclass(frozen=True)
class CommitStep:
    """A change of one file: `entry` is its path with the content ids before and after, `data` the new content.

    `load` gives that content (of a link: its target) only when it is written. With `over_folder` a folder in the
    file's place is removed, if this commit deletes all that is in it.
    """

    entry: JournalEntry
    data: bytes | None
    mode: int | None
    load: Callable[[], bytes] | None = None
    over_folder: bool = False

    @property
    def deletes(self) -> bool:
        """Whether the file is to go."""
        return self.entry.after is None

    def content(self) -> bytes:
        """The content to write. Raises ToolError where it is not what the entry names."""
        if self.load is None:
            return self.data or b""
        data = self.load()
        if not content_id.content_matches(self.entry.after or "", data):
            raise ToolError("io", f"{self.entry.shown}: its kept content is damaged; nothing changed")
        return data


@dataclass(frozen=True)
class CommittedFile:
    """A step that was carried out; `stat` is the new file's, None after a delete or if somebody wrote it since."""

    entry: JournalEntry
    stat: os.stat_result | None
    split: bool  # the old file had other names, which keep the old content


def make_step(root: str, path: str, shown: str, before: str | None, data: bytes | None, mode: int | None) -> CommitStep:
    """The step for the file `path`, relative to `root`."""
    folder, _, name = path.rpartition("/")
    after = None if data is None else hashlib.sha256(data).hexdigest()
    return CommitStep(JournalEntry(root, folder, name, shown, before, after), data, mode)


def commit_files(
    steps: Sequence[CommitStep],
    *,
    workspace: str,
    journals: Path,
    syscalls: FileSyscalls,
    options: CommitOptions = NO_OPTIONS,
) -> list[CommittedFile]:
    """Carry out all steps. Raises ToolError (stale, exists, missing, not_regular, io); then nothing has changed."""
    recording = options.recording
    entries = assign_stage_folders([each.entry for each in steps])
    staged = [replace(each, entry=entry) for each, entry in zip(steps, entries, strict=True)]
    late = find_late_folders(entries)
    free = set(late)
    coming = [each.entry for each in staged if each.over_folder and not each.deletes]
    clear = preconditions.find_folders_to_clear(coming, entries, syscalls)
    covered = {(root, relative) for root, relative, _ in clear}
    found: list[os.stat_result | None] = []
    for entry in entries:
        no_place = (entry.root, entry.folder) in free or (entry.root, entry.path) in covered
        found.append(None if no_place else preconditions.check_before_state(entry, syscalls))
    made: dict[tuple[str, str], None] = {}
    for entry in entries:
        if entry.after is not None and (entry.root, entry.folder) not in free:
            made |= dict.fromkeys(preconditions.find_missing_folders(entry, syscalls))
    stem = f".kimi-agent-{secrets.token_hex(5)}"
    record = CommitRecord(workspace, stem, entries, tuple(made), late, clear, tuple(options.emptied))
    record = replace(record, note="" if recording is None else recording.note, modes=tuple(options.modes))
    try:
        journal = syscalls.begin(journals, record)
    except OSError as error:
        raise preconditions.rolled_back_error(error, str(journals)) from error
    try:
        return FileTransaction(staged, found, record, syscalls, recording).run(journal)
    finally:
        journal.close()


class FileTransaction:
    """One transaction under way; `found` is the stat of each step's path before it."""

    def __init__(
        self,
        steps: list[CommitStep],
        found: list[os.stat_result | None],
        record: CommitRecord,
        syscalls: FileSyscalls,
        recording: Recording | None,
    ) -> None:
        self._steps = steps
        self._found = found
        self._record = record
        self._syscalls = syscalls
        self._recording = recording
        self._made_modes = {(each.root, each.relative): each.after for each in record.modes if each.before is None}
        more = (record.late, record.cleared, record.emptied, record.note, record.modes)
        self._several = len(steps) > 1 or any(more)
        self._many = len(steps) >= SYNC_ONCE_FROM
        self._written: list[os.stat_result | None] = [None] * len(steps)

    def run(self, journal: Journal) -> list[CommittedFile]:
        """Carry out all steps; on an exception nothing has changed."""
        try:
            self._prepare(journal)
        except BaseException:
            # It may be marked ready by now. Nothing was renamed, so what is left must be tidied up, not finished.
            with contextlib.suppress(OSError):
                self._syscalls.mark(journal, "P")
            if not recovery.remove_temporaries(self._record, self._syscalls):
                recovery.close_journal(self._syscalls, journal, "P")
            raise
        try:
            self._place()
        except BaseException as error:
            self._undo(journal, error)
            raise
        self._finish(journal)
        return [self._committed(index) for index in range(len(self._steps))]

    def _prepare(self, journal: Journal) -> None:
        with os_error_as_tool_error("the journal"):
            self._syscalls.sync(journal.fd)
        open_folder_modes(self._record.modes, self._syscalls)
        self._make_folders(self._record.made)
        for index, each in enumerate(self._steps):
            with os_error_as_tool_error(each.entry.shown):
                if not each.deletes:
                    self._write(index, each.content())
        if self._several:
            for index, each in enumerate(self._steps):
                with os_error_as_tool_error(each.entry.shown):
                    self._keep_original(index)
            with os_error_as_tool_error("the journal"):
                if self._many:
                    self._syscalls.sync_all()
                self._syscalls.mark(journal, "R")
                self._syscalls.sync(journal.fd)

    def _place(self) -> None:
        room, puts, deletes = order_moves(self._record.entries)
        for index in room:
            self._move(index)
        for root, relative, _ in reversed(self._record.cleared):
            with os_error_as_tool_error(relative):
                recovery.remove_empty_folder(self._syscalls, root, relative)
        self._make_folders(self._record.late)
        for index in (*puts, *deletes):
            self._move(index)

    def _move(self, index: int) -> None:
        entry, new = self._steps[index].entry, self._record.new(index)
        with (
            os_error_as_tool_error(entry.shown),
            recovery.open_entry_and_stage(self._syscalls, entry) as (folder, stage),
        ):
            self._check_unchanged(folder, index)
            if entry.after is None and self._several:
                self._syscalls.rename(folder, entry.name, self._record.old(index), stage)
            elif entry.after is None:
                self._syscalls.unlink(folder, entry.name)
            elif entry.before is None:
                self._link_new(stage, new, folder, entry)
            else:
                self._syscalls.rename(stage, new, entry.name, folder)

    def _link_new(self, stage: int, new: str, folder: int, entry: JournalEntry) -> None:
        """Link a new file into its place, where nothing may be: a rename would overwrite what was written meanwhile."""
        try:
            self._syscalls.link(stage, new, entry.name, folder)
        except OSError as error:
            if error.errno in NO_LINK_ERRORS and content_id.lstat_at(folder, entry.name) is None:
                self._syscalls.rename(stage, new, entry.name, folder)
            elif isinstance(error, FileExistsError):
                raise preconditions.already_exists_error(entry.shown) from error
            else:
                raise

    def _undo(self, journal: Journal, error: BaseException) -> None:
        with contextlib.suppress(OSError):
            self._syscalls.mark(journal, "U")
        outcome = recovery.undo_commit(self._record, self._syscalls)
        if not outcome.failed:  # else it stays: the next start tries again
            recovery.close_journal(self._syscalls, journal, "P")
        if outcome.failed or outcome.left:
            why = error.__cause__ or error
            text = "\n".join([f"writing failed ({why}) and could not be taken back:", *outcome.failed, *outcome.left])
            raise ToolError("io", text, "tell the user; look at these files before anything else") from error

    def _finish(self, journal: Journal) -> None:
        """Clean up after the commit; what fails here leaves at most a second name, which the next start removes."""
        with contextlib.suppress(OSError):
            self._syscalls.mark(journal, "D")
        if self._many:
            self._syscalls.sync_all()
        for entry in () if self._many else self._record.entries:
            with contextlib.suppress(OSError), self._folder(entry) as folder:
                self._syscalls.sync(folder)
        tidy = False
        with contextlib.suppress(OSError):
            tidy = not recovery.remove_temporaries(self._record, self._syscalls, done=True)
        if self._recording is not None:
            self._recording.write()
        if tidy:
            with contextlib.suppress(OSError):
                self._syscalls.remove(journal)

    def _make_folders(self, folders: Folders) -> None:
        for root, relative in folders:
            with os_error_as_tool_error(relative):
                mode = self._made_modes.get((root, relative))
                recovery.make_folder(self._syscalls, root, relative, None if mode is None else mode | 0o700)

    def _folder(self, entry: JournalEntry) -> contextlib.AbstractContextManager[int]:
        return recovery.open_folder(self._syscalls, entry.root, entry.folder)

    def _write(self, index: int, data: bytes) -> None:
        """Write the new content under its temporary name, with the mode that it will have."""
        each, found = self._steps[index], self._found[index]
        new = self._record.new(index)
        with recovery.open_folder(self._syscalls, each.entry.root, each.entry.stage_folder) as stage:
            if content_id.is_link_id(each.entry.after):
                self._syscalls.symlink(stage, new, data)
                self._written[index] = content_id.lstat_at(stage, new)
                return
            asked = 0o600 if found is not None else 0o644 if each.mode is None else each.mode & 0o777
            fd = self._syscalls.open(stage, new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, asked)
            try:
                self._fill(fd, data)
                if found is not None and stat.S_ISREG(found.st_mode):
                    # setuid and setgid belong to the old content: the kernel drops them on a write, too.
                    mode = stat.S_IMODE(found.st_mode) & 0o777 if each.mode is None else each.mode
                    with self._folder(each.entry) as folder:
                        self._like(folder, each.entry.name, fd, mode)
                elif each.mode is not None:
                    self._syscalls.chmod(fd, each.mode)  # exactly, whatever the umask
                if not self._many:
                    self._syscalls.sync(fd)
                self._written[index] = os.fstat(fd)
            finally:
                os.close(fd)

    def _keep_original(self, index: int) -> None:
        """Give the original a second name, or a copy where there are no hard links."""
        entry, found = self._steps[index].entry, self._found[index]
        if found is None or entry.after is None:
            return
        with recovery.open_entry_and_stage(self._syscalls, entry) as (folder, stage):
            old = self._record.old(index)
            try:
                self._syscalls.link(folder, entry.name, old, stage)
            except OSError as error:
                if error.errno not in NO_LINK_ERRORS:
                    raise
                if stat.S_ISLNK(found.st_mode):
                    self._syscalls.symlink(stage, old, os.readlink(os.fsencode(entry.name), dir_fd=folder))
                else:
                    self._copy(folder, entry.name, stage, old, found)

    def _copy(self, folder: int, name: str, stage: int, other: str, found: os.stat_result) -> None:
        with os.fdopen(self._syscalls.open(folder, name, os.O_RDONLY), "rb") as file:
            copy = self._syscalls.open(stage, other, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                while chunk := file.read(1 << 20):
                    self._fill(copy, chunk)
                self._like(folder, name, copy, stat.S_IMODE(found.st_mode))
                os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))
                self._syscalls.sync(copy)
            finally:
                os.close(copy)

    def _fill(self, fd: int, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._syscalls.write(fd, left[: 1 << 24]) :]

    def _like(self, folder: int, name: str, fd: int, mode: int) -> None:
        original = self._syscalls.open(folder, name, os.O_RDONLY)
        try:
            self._syscalls.like(fd, original, mode)
        finally:
            os.close(original)

    def _check_unchanged(self, folder: int, index: int) -> None:
        """Compare again just before the rename: what somebody wrote since must not be lost."""
        entry, found = self._steps[index].entry, self._found[index]
        if found is None:
            return  # `_link_new` checks that nothing is there
        now = content_id.lstat_at(folder, entry.name)
        same = now is not None and is_same_file(now, found)
        if not same and (now is None or not content_id.path_matches(folder, entry.name, entry.before)):
            raise preconditions.changed_on_disk_error(entry.shown)

    def _committed(self, index: int) -> CommittedFile:
        entry, written, found = self._steps[index].entry, self._written[index], self._found[index]
        now = None
        if written is not None:
            with contextlib.suppress(OSError), self._folder(entry) as folder:
                now = content_id.lstat_at(folder, entry.name)
        if now is not None and written is not None and not is_same_file(now, written):
            now = None
        return CommittedFile(entry, now, found is not None and found.st_nlink > 1 and written is not None)
