"""Session removal: the folder goes whole or stays whole, whoever has the session open or removes it too."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from kimi_agent.errors import UserError
from kimi_agent.log.store.durable_io import sync_data, sync_folder
from kimi_agent.log.store.lock import LockHolder, SessionInUse, SessionLock, is_holder_alive, read_lock_holder
from kimi_agent.log.store.logfile import LogFile

_REMOVED = ".removed"
_LOCKED = (".jsonl", ".lock")


def remove_session(folder: Path, *, now: Callable[[], float], keep: Callable[[Path], None]) -> None:
    """Delete a session's folder, damaged or not, while every log in it that can be locked is locked.

    It is renamed first (hidden, so that nothing lists it), then deleted; what a kill left of that goes with the next
    removal. `keep` saves before that what must outlive the session; where it raises OSError, the session stays.
    Raises UserError, in one sentence, where the session is in use or cannot be removed.
    """
    aside = folder.with_name(f".{folder.name}.{os.getpid()}{_REMOVED}")
    with contextlib.ExitStack() as locked:
        try:
            if folder.is_symlink():
                raise UserError(f"session {folder.name} is a link to {folder.readlink()}; remove that by hand", 1)
            # A log may be gone while somebody still writes to it.
            for log in sorted({path.with_suffix(".jsonl") for path in folder.iterdir() if path.suffix in _LOCKED}):
                _lock(log, locked, now)
            _save(folder, keep)
            folder.rename(aside)
        except FileNotFoundError as error:
            raise UserError(f"session {folder.name} is gone: it was removed just now", 1) from error
        except OSError as error:
            raise UserError(f"session {folder.name} cannot be removed: {error.strerror} ({folder})", 1) from error
        sync_folder(folder.parent)
        try:
            shutil.rmtree(aside)
        except OSError as error:
            why = f"{error.strerror or error} ({error.filename})"
            raise UserError(f"session {folder.name} is removed, but not all of its files: {why}", 1) from error
    for left in folder.parent.glob(f".*{_REMOVED}"):
        if not _is_running(left):
            shutil.rmtree(left, ignore_errors=True)


def _save(folder: Path, keep: Callable[[Path], None]) -> None:
    try:
        keep(folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        why = f"what was paid in it cannot be kept ({error.strerror or error})"
        raise UserError(f"session {folder.name} cannot be removed: {why}; make room first", 1) from error


def _lock(log: Path, locked: contextlib.ExitStack, now: Callable[[], float]) -> None:
    """Lock `log` until the removal is done; one that cannot be opened is let go, unless somebody is said to have it.

    Raises UserError where another process has it.
    """
    session = log.parent.name
    lock = SessionLock(log.with_suffix(".lock"), session=session, now=now)
    file = LogFile(log, lock, sync_data)
    try:
        file.open()
    except SessionInUse as error:
        raise _busy(error) from error
    except OSError as error:
        holder = read_lock_holder(log.with_suffix(".lock"))
        if holder is not None and is_holder_alive(holder):
            raise _busy(SessionInUse(session, holder)) from error
        return
    locked.callback(file.close)


def _busy(error: SessionInUse) -> UserError:
    return UserError(f"{str(error).partition(';')[0]}; end it first", 1)


def _is_running(aside: Path) -> bool:
    """Whether the process that removes this folder still does."""
    pid = aside.name.removesuffix(_REMOVED).rpartition(".")[2]
    return pid.isdecimal() and is_holder_alive(LockHolder(int(pid), os.uname().nodename, 0.0))
