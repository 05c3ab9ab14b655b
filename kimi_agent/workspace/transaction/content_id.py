"""Content ids: a path's kind, mode and content hash as one string, written to the journal and compared later.

A content id is a sha256 (a regular file of these bytes, whatever its mode), `file MODE ID` (octal permission bits,
git's blob id) or `link ID` (of its target); None is the id of nothing.
"""

import hashlib
import os
import stat

from kimi_agent.workspace.git_object_id import blob_id, object_id

_CHUNK = 1 << 20


def file_content_id(mode: int, blob: str) -> str:
    """The content id of a regular file with exactly these permission bits and this blob."""
    return f"file {mode:o} {blob}"


def link_content_id(blob: str) -> str:
    """The content id of a symbolic link whose target's bytes have this blob id."""
    return f"link {blob}"


def is_link_id(word: str | None) -> bool:
    """Whether the content id is one of a symbolic link."""
    return word is not None and word.startswith("link ")


def content_matches(word: str, data: bytes) -> bool:
    """Whether `data` is the content that the id (not a bare sha256) names."""
    blob = word.rpartition(" ")[2]
    return blob_id(data, len(blob)) == blob


def path_matches(folder: int, name: str, word: str | None) -> bool:
    """Whether the file at `name` in the open folder has this content id; False too where it cannot be read."""
    if word is None:
        return lstat_at(folder, name) is None
    kind, *rest = word.split(" ")
    match kind, rest:
        case "link", [blob]:
            try:
                return blob_id(os.readlink(os.fsencode(name), dir_fd=folder), len(blob)) == blob
            except OSError:
                return False
        case "file", [mode, blob]:
            return _file_is(folder, name, int(mode, 8), blob)
        case _:
            return hash_file_at(folder, name) == word


def lstat_at(folder: int, name: str) -> os.stat_result | None:
    """The stat of `name` itself (links not followed), or None."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def hash_file_at(folder: int, name: str) -> str:
    """The sha256 of a regular file, "" for anything else or nothing."""
    if (fd := _opened(folder, name)) is None:
        return ""
    with os.fdopen(fd, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_is(folder: int, name: str, mode: int, blob: str) -> bool:
    if (fd := _opened(folder, name)) is None:
        return False
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if stat.S_IMODE(found.st_mode) != mode:
            return False
        return object_id("blob", found.st_size, iter(lambda: file.read(_CHUNK), b""), len(blob)) == blob


def _opened(folder: int, name: str) -> int | None:
    """A descriptor of a regular file; None for anything else, and for what cannot be read."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None
