"""Blob store beside the log: big values in files named by the SHA-256 of their bytes, written once."""

import contextlib
import hashlib
import os
import stat
from pathlib import Path

from kimi_agent.log.store.durable_io import make_private_folder, open_regular, read_whole, sync_folder, write_all


class BlobStore:
    """A folder of blobs (made at first use, 0700; its files 0600)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, data: bytes) -> str:
        """Keep `data` durably and return its name, the sha256 (hex). Raises OSError."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.put_as(sha256, data)
        return sha256

    def put_as(self, sha256: str, data: bytes) -> None:
        """Keep `data`, whose sha256 is known. Raises OSError, and then no half of it stays."""
        path = self._folder / sha256
        with contextlib.suppress(FileNotFoundError):
            there = path.lstat()
            if stat.S_ISREG(there.st_mode) and there.st_size == len(data):
                return
        make_private_folder(self._folder)
        new = self._folder / f"{sha256}.{os.getpid()}.new"
        fd = open_regular(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            try:
                write_all(fd, data)
                os.fsync(fd)
            finally:
                os.close(fd)
            new.rename(path)
            sync_folder(self._folder)
        except OSError:
            with contextlib.suppress(OSError):
                new.unlink()
            raise

    def get(self, sha256: str) -> bytes | None:
        """The bytes named `sha256`, or None where they are lost or no longer the same."""
        try:
            data = read_whole(self._folder / sha256)
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == sha256 else None

    def text(self, sha256: str) -> str | None:
        """The blob as text, or None where it is lost."""
        data = self.get(sha256)
        return None if data is None else data.decode("utf-8", "replace")
