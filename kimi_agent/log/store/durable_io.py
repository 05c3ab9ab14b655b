"""Durable file operations (private folders, whole writes, syncs) that log files, blobs and locks share."""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

Sync = Callable[[int], None]
"""Makes what was written to an open file survive a power loss, as `sync_data` does. Raises OSError."""
_CHUNK = 1 << 20


def make_private_folder(path: Path) -> None:
    """Make `path` and whatever is missing above it, each 0700. Raises OSError."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not path.is_dir():
            raise
    except FileNotFoundError:
        if path.parent.is_dir():  # /proc says this of a folder that it will not have
            raise
        make_private_folder(path.parent)
        make_private_folder(path)


def open_regular(path: Path | str, flags: int) -> int:
    """Open a file that only we should have written: no link, and never a pipe, which would be waited for.

    Raises OSError, also where it is no regular file.
    """
    refused = OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    try:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, 0o600)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a pipe that nobody reads
            raise refused from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise refused
    return fd


@contextlib.contextmanager
def open_to_read(path: Path | str) -> Iterator[int]:
    """Such a file open for reading, whoever writes it meanwhile. Raises OSError."""
    fd = open_regular(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def read_whole(path: Path | str) -> bytes:
    """The bytes of such a file. Raises OSError."""
    with open_to_read(path) as fd, os.fdopen(fd, "rb", closefd=False) as file:
        return file.read()


def write_all(fd: int, data: bytes) -> None:
    """Write every byte: at a size limit, and on some filesystems, write() takes fewer than it was given."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def copy_bytes(source: int, target: int, start: int, stop: int | None = None) -> None:
    """Copy the bytes `start` to `stop` (None: to the end) of the open file `source` to `target`. Raises OSError."""
    while chunk := os.pread(source, _CHUNK if stop is None else min(_CHUNK, stop - start), start):
        write_all(target, chunk)
        start += len(chunk)


def sync_data(fd: int) -> None:
    """Make what was written to `fd` survive a power loss, where the filesystem can."""
    try:
        # macOS has no fdatasync.
        os.fdatasync(fd) if hasattr(os, "fdatasync") else os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
            raise


def sync_folder(path: Path) -> None:
    """Make the names in `path` survive a power loss; not every filesystem can, and none needs it to work on."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
