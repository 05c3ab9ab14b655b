"""The record codec: a record of the log as one line of JSON, and back.

    {"v":1,"crc":"89abcdef","seq":7,"at":1795307680.25,"agent":"main","event":{"type":"Said",...}}

`crc` is the CRC-32 of everything behind its comma, so that it has a fixed place and is checked before anything
is parsed. Bytes 10 never occur inside a line. Long strings of big records lie in blobs: {"$blob": sha256, "chars":
n}.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from zlib import crc32

import msgspec

from kimi_agent.log.events import Durable, Stamped

RECORD_PREFIX = b'{"v":1,"crc":"'
_PREFIX = re.compile(re.escape(RECORD_PREFIX))
_BLANK = b" \t\r\n\v\f\xef\xbb\xbf"
"""Bytes that stand for nothing where they lie between records: white space and a byte order mark."""
_REST_AT = len(RECORD_PREFIX) + len('89abcdef",')
BIG_RECORD = 64 * 1024
"""Bytes of a line from which its long strings become blobs."""
LONG_STRING = 16 * 1024
"""Characters of a string from which it becomes a blob in such a record."""
_MOST = 2**63 - 1
_NEWER = re.compile(rb'\{"v":([0-9]{1,9}),')
_SHA256 = re.compile(r"[0-9a-f]{64}")


class _RecordBody(msgspec.Struct, frozen=True):
    """A record behind its checksum; its fields are in the order of the line."""

    seq: int
    at: float
    agent: str
    event: Durable


@dataclass(frozen=True)
class EncodedRecord:
    """What is to be written: the line with its newline, the blobs that must lie beside it first, and the record as
    a later reader will find it (memory never differs from the disk)."""

    data: bytes
    stamped: Stamped
    blobs: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True)
class UnknownRecord:
    """A sound record that this version cannot read (a newer one wrote it): kept, and passed over."""

    seq: int


@dataclass(frozen=True)
class DamagedRecord:
    """Bytes that hold no record."""


DecodedRecord = Stamped | UnknownRecord | DamagedRecord
ReadBlob = Callable[[str], str | None]
"""The text of a blob by its sha256 (hex), or None where it is lost."""


def encode_record(stamped: Stamped) -> EncodedRecord:
    """The line of a durable event.

    Lone surrogates and NUL become U+FFFD, numbers that JSON has no room for become ones it has.
    """
    event: Any = stamped.event  # never a fleeting one: Session.emit does not save those
    rest = _RecordBody(stamped.seq, stamped.at, stamped.agent, event)
    try:
        body = msgspec.json.encode(rest)
        # NaN is written as null, and a null where a number must be could not be read again.
        doubtful = b"\\u0000" in body or b'_s":null' in body or b'"at":null' in body[:64]
    except ValueError:
        doubtful = True
    if doubtful:
        rest = msgspec.convert(_clean(msgspec.to_builtins(rest)), _RecordBody)
        body = msgspec.json.encode(rest)
    blobs: dict[str, bytes] = {}
    if len(body) > BIG_RECORD:
        body = msgspec.json.encode(_move_to_blobs(msgspec.to_builtins(rest), blobs))
    tail = body[1:]
    return EncodedRecord(
        data=b'%s%08x",%s\n' % (RECORD_PREFIX, crc32(tail), tail),
        stamped=Stamped(rest.agent, rest.seq, rest.at, rest.event) if doubtful else stamped,
        blobs=tuple(blobs.items()),
    )


def decode_record(line: bytes, read_blob: ReadBlob) -> DecodedRecord:
    """The record of one line (without its newline)."""
    if not line.startswith(RECORD_PREFIX):
        return _decode_newer(line)
    rest = line[_REST_AT:]
    if b'%08x",' % crc32(rest) != line[len(RECORD_PREFIX) : _REST_AT]:
        return DamagedRecord()
    body = b"{" + rest
    try:
        if b'{"$blob":"' in body:
            found = msgspec.convert(_restore_blobs(msgspec.json.decode(body), read_blob), _RecordBody)
        else:
            found = msgspec.json.decode(body, type=_RecordBody)
    except msgspec.ValidationError:  # sound bytes, so it is news to us, not damage
        return UnknownRecord(_seq(msgspec.json.decode(body)))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return DamagedRecord()
    return Stamped(found.agent, found.seq, found.at, found.event)


def salvage_records(
    line: bytes, read_blob: ReadBlob, wanted: Callable[[bytes], bool] | None = None
) -> Iterator[tuple[DecodedRecord, int]]:
    """What any bytes hold: their records and their damages, each with the offset of its end.

    A record begins with its prefix and ends where its checksum is right, so it matters little what lies between two
    of them: a newline that was flipped or became a blank, carriage returns, a byte order mark, a page of NUL. Of those
    that begin rightly only the `wanted` ones are looked at.
    """
    # No string of a record can hold these bytes: its quotes would be escaped.
    starts = [match.start() for match in _PREFIX.finditer(line)]
    first = starts[0] if starts else len(line)
    if gap := line[:first].strip(_BLANK):
        yield _decode_newer(gap), first
    for start, stop in pairwise([*starts, len(line)]):
        piece = line[start:stop]
        if wanted is not None and not wanted(piece):
            continue
        end = _find_record_end(piece)
        if not end:
            yield DamagedRecord(), stop
            continue
        yield decode_record(piece[:end], read_blob), start + end
        if len(piece[end:].strip(_BLANK)) > 1:  # more than a newline that was flipped
            yield DamagedRecord(), stop


def _find_record_end(piece: bytes) -> int:
    """Where the checksum at the beginning of `piece` is right, 0 for nowhere. Reads each byte once."""
    crc, at, view = 0, _REST_AT, memoryview(piece)
    while brace := piece.find(b"}", at) + 1:
        crc, at = crc32(view[at:brace], crc), brace
        if b'%08x",' % crc == view[len(RECORD_PREFIX) : _REST_AT]:
            return at
    return 0


def _decode_newer(line: bytes) -> UnknownRecord | DamagedRecord:
    version = _NEWER.match(line)
    if version is None or int(version[1]) < 2:
        return DamagedRecord()
    try:
        return UnknownRecord(_seq(msgspec.json.decode(line)))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return DamagedRecord()


def _seq(record: Any) -> int:
    seq = record.get("seq") if isinstance(record, dict) else None
    return seq if isinstance(seq, int) and 0 < seq < _MOST else 0


def _clean(value: Any) -> Any:
    match value:
        case str():
            # UTF-16 joins the surrogates that belong together and replaces those that are alone.
            whole = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
            return whole.replace("\0", "\ufffd")
        case dict():
            return {_clean(key): _clean(item) for key, item in value.items()}
        case list() | tuple():
            return [_clean(item) for item in value]
        case float():
            return value if math.isfinite(value) else 0.0
        case int() if not isinstance(value, bool):
            return max(-_MOST, min(value, _MOST))
        case _:
            return value


def _move_to_blobs(value: Any, blobs: dict[str, bytes]) -> Any:
    match value:
        case str() if len(value) > LONG_STRING:
            data = value.encode()
            sha256 = hashlib.sha256(data).hexdigest()
            blobs[sha256] = data
            return {"$blob": sha256, "chars": len(value)}
        case dict():
            return {key: _move_to_blobs(item, blobs) for key, item in value.items()}
        case list() | tuple():
            return [_move_to_blobs(item, blobs) for item in value]
        case _:
            return value


def _restore_blobs(value: Any, read_blob: ReadBlob, key: str = "") -> Any:
    match value:
        case {"$blob": str(sha256)}:
            text = read_blob(sha256) if _SHA256.fullmatch(sha256) else None
            return _lost_text(value.get("chars"), key) if text is None else text
        case dict():
            return {name: _restore_blobs(item, read_blob, name) for name, item in value.items()}
        case list():
            return [_restore_blobs(item, read_blob) for item in value]
        case _:
            return value


def _lost_text(chars: Any, key: str) -> str:
    text = f"[{chars:,} characters stood here; their blob is lost or damaged]" if isinstance(chars, int) else "[lost]"
    # The arguments of a call go back to the server, which wants a JSON object there.
    return msgspec.json.encode({"lost": text}).decode() if key == "arguments" else text
