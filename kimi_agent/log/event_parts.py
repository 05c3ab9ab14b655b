"""Parts of events: a file's fingerprint, a shortened result, a call that never returned."""

import msgspec


class Fingerprint(msgspec.Struct, frozen=True):
    """A path and the sha256 (hex) of its bytes; "" where there is no regular file."""

    path: str
    sha256: str


class Short(msgspec.Struct, frozen=True):
    """What the result of call (answer, index) reads as from here on."""

    answer: int
    index: int
    text: str


class OpenCall(msgspec.Struct, frozen=True):
    """A call that was started and never returned, and the files that differ from what they were then."""

    answer: int
    index: int
    changed: tuple[str, ...] = ()
