"""Log scan: reads a log file's sound records, and counts those that are torn, damaged or of a newer version."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from kimi_agent.log.events import Stamped
from kimi_agent.log.store import codec
from kimi_agent.log.store.blobs import BlobStore
from kimi_agent.log.store.durable_io import open_to_read

_CHUNK = 1 << 20
_EVENT = b'"event":{"type":"'
_EVENT_CHARS = len(_EVENT)
_EVENT_BEFORE = 200
"""Where in a record its event has begun; no string of a record can hold the mark: its quotes would be escaped."""
USER_SAID = b'Said","message":{"type":"user"'
"""How the event of a message of the person begins, at its name."""
Wanted = Callable[[bytes, int], bool]


class LogScan:
    """One pass over the log open as `fd`, from byte `start` to byte `stop` (None: its end). Iterate it once.

    Whatever reads a log reads it by this, so that all find the same in a damaged one. With `wanted` only the records
    that it picks are decoded and counted; it is given each one's bytes and the offset of its event's name in them.

    After the pass `end` is where the next record belongs (what lies behind it is torn), `lead` what must be written
    before that record, `seq` the last number given, `bad` and `unknown` what was passed over.
    """

    def __init__(
        self,
        fd: int,
        read_blob: codec.ReadBlob,
        *,
        start: int = 0,
        stop: int | None = None,
        wanted: Wanted | None = None,
    ) -> None:
        self.end = start
        self.lead = b""
        self.seq = 0
        self.bad = 0
        self.unknown = 0
        self._fd = fd
        self._read_blob = read_blob
        self._stop = stop
        self._wanted = wanted

    def __iter__(self) -> Iterator[Stamped]:
        prefix, wanted = codec.RECORD_PREFIX, self._wanted
        for line, start in _read_lines(self._fd, self.end, self._stop):
            # A list of many sessions passes over a hundred thousand lines here, of which it wants a few.
            is_plain = line.startswith(prefix) and line.find(prefix, 1) < 0
            if not is_plain or wanted is None or wanted(line, line.find(_EVENT, 0, _EVENT_BEFORE) + _EVENT_CHARS):
                yield from self._read(line, start, is_plain=is_plain)
            if line.endswith(b"\n"):
                self.end, self.lead = start + len(line), b""

    def _read(self, line: bytes, start: int, *, is_plain: bool) -> Iterator[Stamped]:
        whole, torn = line.endswith(b"\n"), 0
        for record, end in self._decode(line, is_plain=is_plain):
            if not whole and isinstance(record, codec.DamagedRecord):
                torn += 1  # a torn tail is no damage: its record was never complete
                continue
            self.end, self.lead = start + end, b"\n"
            self.seq, self.bad, torn = self.seq + torn, self.bad + torn, 0
            self._count(record)
            if isinstance(record, Stamped):
                yield record
        if not whole and self.lead and not line[self.end - start :].strip():
            self.end = start + len(line)

    def _decode(self, line: bytes, *, is_plain: bool) -> Iterator[tuple[codec.DecodedRecord, int]]:
        if is_plain:  # and it was asked for already
            sound = line.removesuffix(b"\n")
            record = codec.decode_record(sound, self._read_blob)
            if not isinstance(record, codec.DamagedRecord):
                yield record, len(sound)
                return
        yield from codec.salvage_records(line, self._read_blob, None if is_plain else self._wants)

    def _wants(self, piece: bytes) -> bool:
        return self._wanted is None or self._wanted(piece, piece.find(_EVENT, 0, _EVENT_BEFORE) + _EVENT_CHARS)

    def decode(self, data: bytes) -> Stamped | None:
        """The record in bytes that `wanted` was given, None where they are damaged or of a newer version."""
        found = (record for record, _ in codec.salvage_records(data, self._read_blob))
        return next((record for record in found if isinstance(record, Stamped)), None)

    def _count(self, record: codec.DecodedRecord) -> None:
        match record:
            case Stamped(seq=seq):
                self.seq = max(self.seq, seq)
            case codec.UnknownRecord(seq):
                self.seq = max(self.seq, seq)
                self.unknown += 1
            case codec.DamagedRecord():
                self.seq += 1  # it had a number too
                self.bad += 1


def _read_lines(fd: int, start: int, stop: int | None) -> Iterator[tuple[bytes, int]]:
    """Each line with its newline (the last one perhaps without), and the offset of its first byte.

    Reads by position, so that a writer and other readers of `fd` are not disturbed; keeps one line in memory.
    """
    at, parts = start, list[bytes]()
    while chunk := os.pread(fd, _CHUNK if stop is None else min(_CHUNK, stop - at), at):
        at += len(chunk)
        begin = 0
        while end := chunk.find(b"\n", begin) + 1:
            line = b"".join((*parts, chunk[begin:end])) if parts else chunk[begin:end]
            parts.clear()
            yield line, start
            start, begin = start + len(line), end
        if begin < len(chunk):
            parts.append(chunk[begin:])
    if tail := b"".join(parts):
        yield tail, start


def list_logs(folder: Path) -> list[Path]:
    """The logs in a session's folder, one an agent, the main agent's first. What is no file is none."""
    found = (log for log in folder.glob("*.jsonl") if log.is_file() and not log.is_symlink())
    return sorted(found, key=lambda log: (log.name != "main.jsonl", log.name))


def read_events(path: Path) -> Iterator[Stamped]:
    """The sound records of a log ; another process may write it meanwhile. Raises OSError."""
    with open_to_read(path) as fd:
        yield from LogScan(fd, BlobStore(path.parent / "blobs").text)
