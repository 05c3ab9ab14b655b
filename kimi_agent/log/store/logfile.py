"""The log file of one agent: whole lines appended under a lock, and written anew when someone deletes it."""

import contextlib
import errno
import fcntl
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from kimi_agent.errors import UserError
from kimi_agent.log.events import Stamped
from kimi_agent.log.store.codec import ReadBlob
from kimi_agent.log.store.durable_io import Sync, copy_bytes, make_private_folder, sync_folder, write_all
from kimi_agent.log.store.lock import SessionLock
from kimi_agent.log.store.log_scan import LogScan

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


class LogFile:
    """An append-only file; whatever raises OSError leaves it as it was, and may be tried again.

    Bytes are out of our hands when `append` returns (kill -9 loses nothing); `sync` is for the loss of power.
    """

    def __init__(self, path: Path, lock: SessionLock, sync: Sync) -> None:
        self.path = path
        self._lock = lock
        self._sync = sync
        self._fd = -1
        self._end = 0
        self._lead = b""
        self._ragged = False  # there may be bytes behind _end that are no record
        self._new_names = False  # made, and its folder not yet synced
        self._syncing: threading.Thread | None = None

    def make(self) -> None:
        """Create the file and lock it. Raises OSError, or UserError where a log is already there."""
        make_private_folder(self.path.parent)
        fd = self._open_locked(os.O_CREAT)
        if os.fstat(fd).st_size:
            self._lock.release(fd)
            os.close(fd)
            raise UserError(f"{self.path} is already there; start a session under another id, or resume this one")
        self._fd, self._new_names = fd, True

    def open(self) -> None:
        """Open a file that is there and lock it. Raises OSError or SessionInUse."""
        self._fd = self._open_locked(0)

    def _open_locked(self, create: int) -> int:
        while True:
            fd = os.open(self.path, _FLAGS | create, 0o600)
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise OSError(errno.EINVAL, "not a regular file")
                self._lock.take(fd)
                # The path may name another file by now: a lock on one that was unlinked keeps nobody out.
                if _names(self.path, fd):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def mend(self, scan: LogScan) -> int:
        """Take over what a finished scan found; the torn tail goes to `NAME.torn`. Returns its bytes."""
        self._end, self._lead = scan.end, scan.lead
        torn = os.fstat(self._fd).st_size - self._end
        if torn > 0:
            self._ragged = True
            with contextlib.suppress(OSError):
                self._keep_torn()
            with contextlib.suppress(OSError):  # tried again before the next append
                self._cut()
        return torn

    def _keep_torn(self) -> None:
        aside = self.path.with_suffix(".torn")
        # O_NONBLOCK: a pipe there has nobody who reads it.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(aside, flags, 0o600)
        try:
            copy_bytes(self._fd, fd, self._end)
            write_all(fd, b"\n")
        finally:
            os.close(fd)

    def _cut(self) -> None:
        os.ftruncate(self._fd, self._end)
        self._ragged = False

    def append(self, line: bytes) -> None:
        """Write one line. Raises OSError or UserError, and then nothing of it is there for a reader to trip over."""
        self.check()
        if self._ragged:
            self._cut()
        data = self._lead + line
        self._ragged = True
        try:
            write_all(self._fd, data)
        except OSError:
            with contextlib.suppress(OSError):
                self._cut()
            raise
        self._ragged = False
        self._end += len(data)
        self._lead = b""

    def check(self) -> None:
        """See that the path still names this file, else put it back there. Raises OSError or UserError."""
        if self._fd < 0:
            self.make()
        elif not _names(self.path, self._fd):
            self._write_anew()

    def _write_anew(self) -> None:
        make_private_folder(self.path.parent)
        new = self.path.with_name(self.path.name + ".new")
        fd = os.open(new, _FLAGS | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self._lock.release(self._fd)
            self._lock.take(fd)
            copy_bytes(self._fd, fd, 0, self._end)
            self._set_aside()
            new.rename(self.path)
        except BaseException:
            os.close(fd)
            with contextlib.suppress(OSError):
                new.unlink()
            raise
        os.close(self._fd)
        self._fd, self._ragged, self._new_names = fd, False, True

    def _set_aside(self) -> None:
        """Move away what took our place, unless another session lives in it. Raises OSError."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EBUSY, "another process put its own log in place of this one") from None
        finally:
            os.close(fd)
        self.path.rename(self.path.with_name(self.path.name + ".replaced"))

    def sync(self) -> None:
        """Make everything so far survive a power loss. Raises OSError."""
        if self._fd < 0:
            return
        self._sync(self._fd)
        if self._new_names:
            sync_folder(self.path.parent)
            sync_folder(self.path.parent.parent)
            self._new_names = False

    def sync_later(self) -> None:
        """The same in a thread of its own, so that nobody waits; an error there shows at the next `sync`."""
        if self._fd < 0 or (self._syncing is not None and self._syncing.is_alive()):
            return
        fd = os.dup(self._fd)  # ours may be closed or replaced before the thread is done

        def run() -> None:
            try:
                with contextlib.suppress(OSError):
                    self._sync(fd)
            finally:
                os.close(fd)

        self._syncing = threading.Thread(target=run, name="log-sync", daemon=True)
        self._syncing.start()

    def events(self, read_blob: ReadBlob) -> Iterator[Stamped]:
        """Read back every sound record written so far; what is appended meanwhile is not among them."""
        return self._read(self._end, read_blob) if self._fd >= 0 else iter(())

    def _read(self, stop: int, read_blob: ReadBlob) -> Iterator[Stamped]:
        fd = os.dup(self._fd)  # ours may be closed or replaced before the reader is done
        try:
            yield from LogScan(fd, read_blob, stop=stop)
        finally:
            os.close(fd)

    def scan(self, read_blob: ReadBlob) -> LogScan:
        """A pass over the whole file as it lies there."""
        return LogScan(self._fd, read_blob)

    def close(self) -> None:
        """Give the lock back."""
        if self._fd >= 0:
            self._lock.release(self._fd)
            os.close(self._fd)
            self._fd = -1


def _names(path: Path, fd: int) -> bool:
    """Whether `path` still leads to the file open as `fd`."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(fd))
    except (FileNotFoundError, NotADirectoryError):
        return False
