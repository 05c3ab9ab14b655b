"""The session lock: one writer a session, by flock on the log and a record beside it that names the holder.

The kernel frees the lock when its holder dies, kill -9 included. Where the filesystem has no flock, the record alone
keeps others out; it names its process by pid and start time, so that a reused pid does not keep a session for ever.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from kimi_agent.errors import UserError
from kimi_agent.log.store.durable_io import open_regular, read_whole, write_all

Flock = Callable[[int, int], None]
_NO_FLOCK = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


class LockHolder(msgspec.Struct, frozen=True):
    """Who has a session open, since when (Unix seconds); `started` is the kernel's start time of the process or ""."""

    pid: int
    host: str
    since: float
    started: str = ""


class SessionInUse(UserError):
    """Another process has the session open."""

    def __init__(self, session: str, holder: LockHolder | None) -> None:
        who = "another process"
        if holder is not None:
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.since))
            here = holder.host == os.uname().nodename
            who = f"pid {holder.pid}{'' if here else f' on {holder.host}'} since {since}"
        super().__init__(
            f"session {session} is in use by {who}; work on a copy of it with --fork-session, "
            f"or read it with `kimi-agent sessions show {session}`",
            exit_code=1,
        )


class SessionLock:
    """The right to write one log. `record` is the file that names its holder, `session` what people call it."""

    def __init__(self, record: Path, *, session: str, now: Callable[[], float], flock: Flock = fcntl.flock) -> None:
        self._record = record
        self._session = session
        self._now = now
        self._flock = flock

    def take(self, fd: int) -> None:
        """Lock the open log `fd`. Raises SessionInUse, or OSError where neither way of locking works."""
        try:
            self._flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SessionInUse(self._session, read_lock_holder(self._record)) from None
        except OSError as error:
            if error.errno not in _NO_FLOCK:
                raise
            self._take_by_record()
            return
        # The flock is the lock; its record is for people, so a full disk must not keep them out.
        with contextlib.suppress(OSError):
            self._new_record().replace(self._record)

    def _take_by_record(self) -> None:
        new = self._new_record()
        try:
            for _ in range(3):
                # A link appears whole or not at all, and never in place of another.
                with contextlib.suppress(FileExistsError):
                    self._record.hardlink_to(new)
                    return
                holder = read_lock_holder(self._record)
                if holder is not None and is_holder_alive(holder):
                    raise SessionInUse(self._session, holder)
                self._record.unlink(missing_ok=True)
            raise SessionInUse(self._session, None)
        finally:
            new.unlink(missing_ok=True)

    def _new_record(self) -> Path:
        pid = os.getpid()
        holder = LockHolder(pid, os.uname().nodename, self._now(), _start_time(pid))
        new = self._record.with_name(f"{self._record.name}.{pid}.new")
        fd = open_regular(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            write_all(fd, msgspec.json.encode(holder))
        finally:
            os.close(fd)
        return new

    def release(self, fd: int) -> None:
        """Give the lock on `fd` back, and take the record away if it is ours."""
        holder = read_lock_holder(self._record)
        if holder is not None and holder.pid == os.getpid() and holder.host == os.uname().nodename:
            with contextlib.suppress(OSError):
                self._record.unlink()
        # Explicitly, for a duplicate of `fd` (a reader, a running sync) would keep the lock beyond its close.
        with contextlib.suppress(OSError):
            self._flock(fd, fcntl.LOCK_UN)


def read_lock_holder(record: Path) -> LockHolder | None:
    """Who the record names, or None where there is none that can be read."""
    try:
        return msgspec.json.decode(read_whole(record), type=LockHolder)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def is_holder_alive(holder: LockHolder) -> bool:
    """Whether that process still runs; of another machine it must be believed."""
    if holder.host != os.uname().nodename:
        return True
    if holder.pid <= 0:
        return False
    try:
        os.kill(holder.pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return not holder.started or _start_time(holder.pid) in ("", holder.started)


def _start_time(pid: int) -> str:
    """Clock ticks from boot to the start of `pid`; "" where the system does not report it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    # The command's name in parentheses may hold anything, parentheses and blanks too.
    fields = stat.rpartition(b")")[2].split()
    return fields[19].decode() if len(fields) > 19 else ""
