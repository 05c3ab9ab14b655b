"""Git object ids: the hash that git gives to a content, computed without git."""

import hashlib
from collections.abc import Iterable


def object_id(kind: str, size: int, chunks: Iterable[bytes], width: int = 40) -> str:
    """The id that git gives to an object of `size` bytes; ids have 40 digits, or `width` 64 in a SHA-256 repository."""
    digest = hashlib.new("sha256" if width == 64 else "sha1", f"{kind} {size}\0".encode(), usedforsecurity=False)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def blob_id(data: bytes, width: int = 40) -> str:
    """The id that git gives to this content."""
    return object_id("blob", len(data), [data], width)
