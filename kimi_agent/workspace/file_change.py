"""The change of one file as a value: an edit plans it, and `Files.commit` carries it out."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FileChange:
    """`path` (workspace-relative, "/" between parts) goes from the bytes with hash `before` to the bytes `after`.

    `before` is the sha256 (hex) the file must still have, or None where nothing may be there yet; `after` is None to
    delete it. `mode` (permission bits) is None to keep the file's own, or 0644 & ~umask for a new one. A move is a
    delete and a create in the same commit, with the old file's mode.
    """

    path: str
    before: str | None
    after: bytes | None
    mode: int | None = None
