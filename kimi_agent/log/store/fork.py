"""Session fork: a copy of a session under a new name, to go on from the same history."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from kimi_agent.errors import UserError
from kimi_agent.log.store.blobs import BlobStore
from kimi_agent.log.store.durable_io import copy_bytes, make_private_folder, open_to_read, sync_folder
from kimi_agent.log.store.log_scan import LogScan, list_logs
from kimi_agent.log.store.session import Session


def fork_session(source: Path, target: Path, *, now: Callable[[], float]) -> Session:
    """Copy the session folder `source` to `target` and open the copy; `source` may be in use meanwhile.

    Every whole record of every agent is copied as it is, and so are blobs and outputs. A second `Opened` names the new
    session and what it was forked from; the last `Opened` of a log is the one that counts. The copy appears whole or
    not at all. Raises UserError where there is nothing to copy or no room for it.
    """
    if not (source / "main.jsonl").is_file():
        raise UserError(f"there is no session {source.name} to copy; see `kimi-agent sessions list`", 1)
    making = target.with_name(f".{target.name}.new")
    try:
        _copy(source, making)
        copy = Session.resume(making, now=now)
        copy.emit(msgspec.structs.replace(copy.opened, session=target.name, forked_from=source.name))
        copy.close()
        if copy.unsaved:
            raise UserError(f"session {source.name} cannot be copied: its copy cannot be written to {making}", 1)
        making.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError(f"session {source.name} cannot be copied: {why} ({error.filename or target})", 1) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return Session.resume(target, now=now)


def _copy(source: Path, target: Path) -> None:
    make_private_folder(target)
    for log in list_logs(source):
        _copy_log(log, target / log.name)
    # Blobs after the logs: each lies there before the record that names it.
    for name in ("blobs", "outputs"):
        if (source / name).is_dir():
            make_private_folder(target / name)
            for file in sorted((source / name).iterdir()):
                if file.is_file() and not file.is_symlink():
                    with file.open("rb") as old, _private(target / name / file.name) as new:
                        shutil.copyfileobj(old, new)


def _copy_log(log: Path, target: Path) -> None:
    with open_to_read(log) as fd:
        scan = LogScan(fd, BlobStore(log.parent / "blobs").text)
        for _ in scan:
            pass
        with _private(target) as new:
            copy_bytes(fd, new.fileno(), 0, scan.end)


def _private(path: Path) -> BinaryIO:
    """A new file, 0600, open for writing."""
    return open(path, "xb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o600))
