"""Changing many files as one: all of them or none, also when the disk is full or the process is killed.

The order: look and compare hashes; journal; folders; new contents under temporary names; originals under a second name;
journal says "ready"; compare again, rename, file by file; deletes; journal says "done"; second names and journal go.
Before "ready" a crash is answered by tidying up, after it by finishing (`recovery`); an error is answered by undoing.
A single file needs neither second name nor "ready": its one rename is the commit. Where a file takes the place of a
folder, or a folder that of a file, the deletes that make room come before all other renames (`swaps`).
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
from kimi_agent.workspace.transaction import content_id as imprint
from kimi_agent.workspace.transaction import recovery
from kimi_agent.workspace.transaction.file_folder_swaps import late_folders, order, staged
from kimi_agent.workspace.transaction.journal import Entry, Journal, Record
from kimi_agent.workspace.transaction.preconditions import (
    cleared,
    exists,
    failed,
    missing,
    same,
    stale,
    standing,
    telling,
)
from kimi_agent.workspace.transaction.syscalls import Ops

MANY = 64
"""From so many files on the disk is waited for once, not for each."""
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV)


@dataclass(frozen=True)
class Step:
    """A change whose path is resolved: `entry` says where and from what to what, `data` is the new content.

    `load` gives that content (of a link: its target) where it is not to be held until it is written. With
    `over_folder` a folder at the file's place gives way, if this commit deletes all that is in it.
    """

    entry: Entry
    data: bytes | None
    mode: int | None
    load: Callable[[], bytes] | None = None
    over_folder: bool = False

    @property
    def deletes(self) -> bool:
        """Whether nothing is to stand there."""
        return self.entry.after is None

    def content(self) -> bytes:
        """What to write. Raises ToolError where it is not what the entry names."""
        if self.load is None:
            return self.data or b""
        data = self.load()
        if not imprint.holds(self.entry.after or "", data):
            raise ToolError("io", f"{self.entry.shown}: its kept content is damaged; nothing changed")
        return data


@dataclass(frozen=True)
class Done:
    """A step that was carried out; `stat` is the new file's, None after a delete or if somebody was there since."""

    entry: Entry
    stat: os.stat_result | None
    split: bool  # the old file had other names, which keep the old content


def step(root: str, path: str, shown: str, before: str | None, data: bytes | None, mode: int | None) -> Step:
    """The step for the file `path`, relative to `root`."""
    folder, _, name = path.rpartition("/")
    after = None if data is None else hashlib.sha256(data).hexdigest()
    return Step(Entry(root, folder, name, shown, before, after), data, mode)


def commit(
    steps: Sequence[Step], *, workspace: str, papers: Path, ops: Ops, emptied: Sequence[tuple[str, str]] = ()
) -> list[Done]:
    """Carry out all steps. Raises ToolError (stale, exists, missing, not_regular, io); then nothing has changed.

    The folders `emptied` (root, relative; the upper ones first) go too, if nothing is left in them.
    """
    entries = staged([each.entry for each in steps])
    steps = [replace(each, entry=entry) for each, entry in zip(steps, entries, strict=True)]
    late = late_folders(entries)
    free = set(late)
    clear = cleared([each.entry for each in steps if each.over_folder and not each.deletes], entries, ops)
    covered = {(root, relative) for root, relative, _ in clear}
    found = [
        None if (entry.root, entry.folder) in free or (entry.root, entry.path) in covered else standing(entry, ops)
        for entry in entries
    ]
    made = tuple(
        dict.fromkeys(
            pair
            for entry in entries
            if entry.after is not None and (entry.root, entry.folder) not in free
            for pair in missing(entry, ops)
        )
    )
    stem = f".kimi-agent-{secrets.token_hex(5)}"
    record = Record(workspace, stem, entries, made, late, clear, tuple(emptied))
    try:
        paper = ops.begin(papers, record)
    except OSError as error:
        raise failed(error, str(papers)) from error
    try:
        return Commit(steps, found, record, ops).run(paper)
    finally:
        paper.close()


class Commit:
    """One commit under way; `found` is what stood at each step's place."""

    def __init__(self, steps: Sequence[Step], found: Sequence[os.stat_result | None], record: Record, ops: Ops) -> None:
        self._steps = steps
        self._found = found
        self._record = record
        self._ops = ops
        self._several = len(steps) > 1 or bool(record.late or record.cleared or record.emptied)
        self._many = len(steps) >= MANY
        self._written: list[os.stat_result | None] = [None] * len(steps)

    def run(self, paper: Journal) -> list[Done]:
        """All steps, or an exception and nothing."""
        try:
            self._prepare(paper)
        except BaseException:
            if not recovery.tidy(self._record, self._ops):
                self._ops.remove(paper)
            raise
        try:
            self._place()
        except BaseException as error:
            self._undo(paper, error)
            raise
        self._finish(paper)
        return [self._done(index) for index in range(len(self._steps))]

    def _prepare(self, paper: Journal) -> None:
        with telling("the journal"):
            self._ops.sync(paper.fd)
        self._make_folders()
        for index, each in enumerate(self._steps):
            with telling(each.entry.shown):
                if not each.deletes:
                    self._write(index, each.content())
        if self._several:
            for index, each in enumerate(self._steps):
                with telling(each.entry.shown):
                    self._keep(index)
            with telling("the journal"):
                if self._many:
                    self._ops.sync_all()
                self._ops.mark(paper, "R")
                self._ops.sync(paper.fd)

    def _place(self) -> None:
        room, puts, deletes = order(self._record.entries)
        for index in room:
            self._move(index)
        for root, relative, _ in reversed(self._record.cleared):
            with telling(relative):
                recovery.unmade(self._ops, root, relative)
        for root, relative in self._record.late:
            with telling(relative):
                recovery.remade(self._ops, root, relative, None)
        for index in (*puts, *deletes):
            self._move(index)

    def _move(self, index: int) -> None:
        entry, new = self._steps[index].entry, self._record.new(index)
        with telling(entry.shown), recovery.both(self._ops, entry) as (folder, stage):
            self._look_again(folder, index)
            if entry.after is None and self._several:
                self._ops.rename(folder, entry.name, self._record.old(index), *recovery.into(folder, stage))
            elif entry.after is None:
                self._ops.unlink(folder, entry.name)
            elif entry.before is None:
                self._appear(stage, new, folder, entry)
            else:
                self._ops.rename(stage, new, entry.name, *recovery.into(stage, folder))

    def _appear(self, stage: int, new: str, folder: int, entry: Entry) -> None:
        """Let a new file appear where nothing may stand yet: a rename would run over what came meanwhile."""
        try:
            self._ops.link(stage, new, entry.name, *recovery.into(stage, folder))
        except OSError as error:
            if error.errno in NO_LINKS and imprint.look(folder, entry.name) is None:
                self._ops.rename(stage, new, entry.name, *recovery.into(stage, folder))
            elif isinstance(error, FileExistsError):
                raise exists(entry.shown) from error
            else:
                raise

    def _undo(self, paper: Journal, error: BaseException) -> None:
        with contextlib.suppress(OSError):
            self._ops.mark(paper, "U")
        outcome = recovery.take_back(self._record, self._ops)
        if not outcome.failed:
            self._ops.remove(paper)  # else it stays: the next start tries again
        if outcome.failed or outcome.left:
            why = error.__cause__ or error
            text = "\n".join([f"writing failed ({why}) and could not be taken back:", *outcome.failed, *outcome.left])
            raise ToolError("io", text, "tell the user; look at these files before anything else") from error

    def _finish(self, paper: Journal) -> None:
        """The commit holds; what fails here leaves at most a second name, which the next start removes."""
        with contextlib.suppress(OSError):
            self._ops.mark(paper, "D")
        if self._many:
            self._ops.sync_all()
        for entry in () if self._many else self._record.entries:
            with contextlib.suppress(OSError), recovery.opened(self._ops, entry) as folder:
                self._ops.sync(folder)
        with contextlib.suppress(OSError):
            if not recovery.tidy(self._record, self._ops, keep_folders=True):
                self._ops.remove(paper)

    def _make_folders(self) -> None:
        for root, relative in self._record.made:
            above, _, name = relative.rpartition("/")
            with telling(relative):
                folder = self._ops.folder(root, above)
                try:
                    with contextlib.suppress(FileExistsError):  # somebody else made it just now
                        self._ops.mkdir(folder, name)
                    self._ops.sync(folder)
                finally:
                    os.close(folder)

    def _write(self, index: int, data: bytes) -> None:
        """The new content under its temporary name, with the mode that it will have."""
        each, found = self._steps[index], self._found[index]
        new = self._record.new(index)
        with recovery.beside(self._ops, each.entry) as stage:
            if imprint.is_link(each.entry.after):
                self._ops.symlink(stage, new, data)
                self._written[index] = imprint.look(stage, new)
                return
            asked = 0o600 if found is not None else 0o644 if each.mode is None else each.mode
            fd = self._ops.open(stage, new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, asked)
            try:
                self._fill(fd, data)
                if found is not None and stat.S_ISREG(found.st_mode):
                    # setuid and setgid belong to the old content: the kernel drops them on a write, too.
                    mode = stat.S_IMODE(found.st_mode) & 0o777 if each.mode is None else each.mode
                    with recovery.opened(self._ops, each.entry) as folder:
                        self._like(folder, each.entry.name, fd, mode)
                elif each.mode is not None:
                    self._ops.chmod(fd, each.mode)  # exactly, whatever the umask
                if not self._many:
                    self._ops.sync(fd)
                self._written[index] = os.fstat(fd)
            finally:
                os.close(fd)

    def _keep(self, index: int) -> None:
        """Give the original a second name, or a copy where there are no hard links."""
        entry, found = self._steps[index].entry, self._found[index]
        if found is None or entry.after is None:
            return
        with recovery.both(self._ops, entry) as (folder, stage):
            old = self._record.old(index)
            try:
                self._ops.link(folder, entry.name, old, *recovery.into(folder, stage))
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                if stat.S_ISLNK(found.st_mode):
                    self._ops.symlink(stage, old, os.readlink(os.fsencode(entry.name), dir_fd=folder))
                else:
                    self._copy(folder, entry.name, stage, old, found)

    def _copy(self, folder: int, name: str, stage: int, other: str, found: os.stat_result) -> None:
        original = self._ops.open(folder, name, os.O_RDONLY)
        with os.fdopen(original, "rb") as file:
            copy = self._ops.open(stage, other, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                while chunk := file.read(1 << 20):
                    self._fill(copy, chunk)
                self._like(folder, name, copy, stat.S_IMODE(found.st_mode))
                os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))
                self._ops.sync(copy)
            finally:
                os.close(copy)

    def _fill(self, fd: int, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._ops.write(fd, left[: 1 << 24]) :]

    def _like(self, folder: int, name: str, fd: int, mode: int) -> None:
        original = self._ops.open(folder, name, os.O_RDONLY)
        try:
            self._ops.like(fd, original, mode)
        finally:
            os.close(original)

    def _look_again(self, folder: int, index: int) -> None:
        """Just before its rename: whoever wrote the file since must not lose it."""
        entry, found = self._steps[index].entry, self._found[index]
        if found is None:
            return  # `_appear` takes care
        now = imprint.look(folder, entry.name)
        if now is None or (not same(now, found) and not imprint.stands(folder, entry.name, entry.before)):
            raise stale(entry.shown)

    def _done(self, index: int) -> Done:
        entry, written, found = self._steps[index].entry, self._written[index], self._found[index]
        now = None
        if written is not None:
            with contextlib.suppress(OSError), recovery.opened(self._ops, entry) as folder:
                now = imprint.look(folder, entry.name)
        if now is not None and not (written is not None and same(now, written)):
            now = None
        return Done(entry, now, found is not None and found.st_nlink > 1 and written is not None)
