"""Changing many files as one: all of them or none, also when the disk is full or the process is killed.

The order: look and compare hashes; journal; folders; new contents under temporary names; originals under a second name;
journal says "ready"; compare again, rename, file by file; deletes; journal says "done"; second names and journal go.
Before "ready" a crash is answered by tidying up, after it by finishing (`recovery`); an error is answered by undoing.
A single file needs neither second name nor "ready": its one rename is the commit.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.errors import ToolError
from kimi_agent.workspace import recovery
from kimi_agent.workspace.journal import Entry, Journal, Record
from kimi_agent.workspace.ops import Ops

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV)


@dataclass(frozen=True)
class Step:
    """A change whose path is resolved: `entry` says where and from what to what, `data` is the new content."""

    entry: Entry
    data: bytes | None
    mode: int | None


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


def commit(steps: Sequence[Step], *, workspace: str, papers: Path, ops: Ops) -> list[Done]:
    """Carry out all steps. Raises ToolError (stale, exists, missing, not_regular, io); then nothing has changed."""
    found = [standing(each.entry, ops) for each in steps]
    made = tuple(dict.fromkeys(pair for each in steps if each.data is not None for pair in missing(each.entry, ops)))
    stem = f".kimi-agent-{secrets.token_hex(5)}"
    record = Record(workspace, stem, tuple(each.entry for each in steps), made)
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
        self._several = len(steps) > 1
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
                if each.data is not None:
                    self._write(index, each.data)
        if self._several:
            for index, each in enumerate(self._steps):
                with telling(each.entry.shown):
                    self._keep(index)
            with telling("the journal"):
                self._ops.mark(paper, "R")
                self._ops.sync(paper.fd)

    def _place(self) -> None:
        deletes_last = sorted(range(len(self._steps)), key=lambda index: self._steps[index].data is None)
        for index in deletes_last:
            entry = self._steps[index].entry
            with telling(entry.shown), recovery.opened(self._ops, entry) as folder:
                self._look_again(folder, index)
                if entry.after is None and self._several:
                    self._ops.rename(folder, entry.name, self._record.old(index))
                elif entry.after is None:
                    self._ops.unlink(folder, entry.name)
                elif entry.before is None:
                    self._appear(folder, self._record.new(index), entry)
                else:
                    self._ops.rename(folder, self._record.new(index), entry.name)

    def _appear(self, folder: int, new: str, entry: Entry) -> None:
        """Let a new file appear where nothing may stand yet: a rename would run over what came meanwhile."""
        try:
            self._ops.link(folder, new, entry.name)
        except OSError as error:
            if error.errno in NO_LINKS and recovery.look(folder, entry.name) is None:
                self._ops.rename(folder, new, entry.name)
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
        for entry in self._record.entries:
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
        asked = 0o600 if found is not None else 0o644 if each.mode is None else each.mode
        with recovery.opened(self._ops, each.entry) as folder:
            fd = self._ops.open(folder, self._record.new(index), os.O_WRONLY | os.O_CREAT | os.O_EXCL, asked)
            try:
                self._fill(fd, data)
                if found is not None:
                    # setuid and setgid belong to the old content: the kernel drops them on a write, too.
                    mode = stat.S_IMODE(found.st_mode) & 0o777 if each.mode is None else each.mode
                    self._like(folder, each.entry.name, fd, mode)
                elif each.mode is not None:
                    self._ops.chmod(fd, each.mode)  # exactly, whatever the umask
                self._ops.sync(fd)
                self._written[index] = os.fstat(fd)
            finally:
                os.close(fd)

    def _keep(self, index: int) -> None:
        """Give the original a second name, or a copy where there are no hard links."""
        entry, found = self._steps[index].entry, self._found[index]
        if found is None or entry.after is None:
            return
        with recovery.opened(self._ops, entry) as folder:
            try:
                self._ops.link(folder, entry.name, self._record.old(index))
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                self._copy(folder, entry.name, self._record.old(index), found)

    def _copy(self, folder: int, name: str, other: str, found: os.stat_result) -> None:
        original = self._ops.open(folder, name, os.O_RDONLY)
        with os.fdopen(original, "rb") as file:
            copy = self._ops.open(folder, other, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
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
        now = recovery.look(folder, entry.name)
        if now is None or (not same(now, found) and recovery.hashed(folder, entry.name) != entry.before):
            raise stale(entry.shown)

    def _done(self, index: int) -> Done:
        entry, written, found = self._steps[index].entry, self._written[index], self._found[index]
        now = None
        if written is not None:
            with contextlib.suppress(OSError), recovery.opened(self._ops, entry) as folder:
                now = recovery.look(folder, entry.name)
        if now is not None and not (written is not None and same(now, written)):
            now = None
        return Done(entry, now, found is not None and found.st_nlink > 1 and written is not None)


def standing(entry: Entry, ops: Ops) -> os.stat_result | None:
    """What stands at the place of `entry`, which must be as `entry.before` says."""
    try:
        with recovery.opened(ops, entry) as folder:
            found = recovery.look(folder, entry.name)
            regular = found is not None and stat.S_ISREG(found.st_mode)
            sha256 = recovery.hashed(folder, entry.name) if regular and entry.before is not None else ""
    except (FileNotFoundError, NotADirectoryError):
        found, sha256, regular = None, "", False
    except OSError as error:
        raise failed(error, entry.shown) from error
    if found is None:
        if entry.before is not None:
            raise ToolError("missing", f"{entry.shown} is gone; nothing was written", "look at its folder again")
        return None
    if not regular:
        raise ToolError("not_regular", f"{entry.shown} is not an ordinary file; nothing was written")
    if entry.before is None:
        raise exists(entry.shown)
    if sha256 != entry.before:
        raise stale(entry.shown)
    return found


def missing(entry: Entry, ops: Ops) -> Iterator[tuple[str, str]]:
    """The folders above `entry` that must be made (root, relative), the upper ones first."""
    parts = entry.folder.split("/") if entry.folder else []
    for count in range(1, len(parts) + 1):
        relative = "/".join(parts[:count])
        try:
            os.close(ops.folder(entry.root, relative))
        except FileNotFoundError:
            yield entry.root, relative
        except NotADirectoryError as error:
            text = f"{relative} is a file, so {entry.shown} cannot lie in it; nothing was written"
            raise ToolError("not_regular", text, "choose another path") from error
        except OSError as error:
            raise failed(error, entry.shown) from error


def same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether nobody wrote the file in between (our own links and renames change only its ctime)."""
    return (one.st_ino, one.st_size, one.st_mtime_ns) == (other.st_ino, other.st_size, other.st_mtime_ns)


@contextlib.contextmanager
def telling(shown: str) -> Iterator[None]:
    """Turn an OSError at `shown` into what the model reads; it is heard once all is undone."""
    try:
        yield
    except OSError as error:
        raise failed(error, shown) from error


def failed(error: OSError, shown: str) -> ToolError:
    """The io error: where, and what the system said."""
    name = errno.errorcode.get(error.errno or 0, "")
    return ToolError("io", f"{shown}: {error.strerror} ({name}); rolled back, nothing changed")


def exists(shown: str) -> ToolError:
    """Something stands where a new file should be made."""
    return ToolError("exists", f"{shown} exists already; nothing was written", "read it, then change it")


def stale(shown: str) -> ToolError:
    """Somebody else wrote the file."""
    return ToolError("stale", f"{shown} changed on disk since it was read; nothing was written", "read it again")
