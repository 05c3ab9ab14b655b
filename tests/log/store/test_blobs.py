"""The blob store over a folder that others write to: only regular files are blobs, and no pipe is waited for."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kimi_agent.log.store.blobs import BlobStore

DATA = b"a long text"
NAME = hashlib.sha256(DATA).hexdigest()


def make_link(path: Path) -> None:
    (path.parent / "elsewhere").write_bytes(DATA)
    path.symlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize("make", [os.mkfifo, make_link, lambda path: path.write_bytes(b"x" * len(DATA) + b"y")])
def test_what_is_no_blob_is_lost_and_put_again_in_its_place(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / NAME)
    store = BlobStore(tmp_path)
    assert store.get(NAME) is None
    assert store.put(DATA) == NAME
    assert store.get(NAME) == DATA
    assert not (tmp_path / NAME).is_symlink()


def test_a_pipe_where_a_new_blob_is_written_is_an_error_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"{NAME}.{os.getpid()}.new")
    with pytest.raises(OSError, match="not a regular file"):
        BlobStore(tmp_path).put(DATA)
