"""Log scan: reads a log file's sound records, and counts those that are torn, damaged or of a newer version."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kimi_agent.log.events import Stamped
from kimi_agent.log.store import codec
from kimi_agent.log.store.blobs import BlobStore

_CHUNK = 1 << 20
_EVENT = b'"event":{"type":"'
_USER = b'Said","message":{"type":"user"'
_NOT_QUEUED = (b'"queued":0}}', b'"queued":0}}\n')


class LogScan:
    """One pass over the log open as `fd`, up to the byte `stop` (None: to its end). Iterate it once.

    After the pass `end` is where the next record belongs (what lies behind it is torn), `lead` what must be written
    before that record, `seq` the last number given, `bad` and `unknown` what was passed over.
    """

    def __init__(self, fd: int, read_blob: codec.ReadBlob, stop: int | None = None) -> None:
        self.end = 0
        self.lead = b""
        self.seq = 0
        self.bad = 0
        self.unknown = 0
        self._fd = fd
        self._read_blob = read_blob
        self._stop = stop

    def __iter__(self) -> Iterator[Stamped]:
        for line, start in read_log_lines(self._fd, self._stop):
            whole = line.endswith(b"\n")
            found = list(decode_log_line(line.removesuffix(b"\n"), self._read_blob))
            while found and not whole and isinstance(found[-1][0], codec.DamagedRecord):
                found.pop()  # a torn tail is no damage: its record was never complete
            for record, end in found:
                self.end, self.lead = start + end, b"\n"
                self._count(record)
                if isinstance(record, Stamped):
                    yield record
            if whole:
                self.end, self.lead = start + len(line), b""

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


def decode_log_line(line: bytes, read_blob: codec.ReadBlob) -> Iterator[tuple[codec.DecodedRecord, int]]:
    """The record of a line without its newline, or what a damaged one still holds, each with the offset of its end."""
    record = codec.decode_record(line, read_blob)
    if not isinstance(record, codec.DamagedRecord):
        yield record, len(line)
    elif line:
        yield from codec.salvage_records(line, read_blob)


def read_log_lines(fd: int, stop: int | None = None, *, start: int = 0) -> Iterator[tuple[bytes, int]]:
    """Each line with its newline (the last one perhaps without), and the offset of its first byte.

    Reads by position, so that a writer and other readers of `fd` are not disturbed; keeps one line in memory.
    """
    at, parts = start, list[bytes]()
    while chunk := os.pread(fd, _CHUNK if stop is None else min(_CHUNK, stop - at), at):
        at += len(chunk)
        first, *more = chunk.split(b"\n")
        parts.append(first)
        for piece in more:
            line = b"".join(parts) + b"\n"
            yield line, start
            start += len(line)
            parts = [piece]
    if tail := b"".join(parts):
        yield tail, start


def find_event_name(line: bytes) -> int:
    """The offset of the event's name in a sound line, so that most lines need not be parsed."""
    # No string of a record can hold the mark: its quotes would be escaped.
    return line.find(_EVENT, 0, 200) + len(_EVENT)


def is_prompt_line(line: bytes, at: int) -> bool:
    """Whether the line, its event's name `at`, is a message of the person that starts a turn."""
    return line.startswith(_USER, at) and line.endswith(_NOT_QUEUED)


def list_logs(folder: Path) -> list[Path]:
    """The logs in a session's folder, one an agent, the main agent's first."""
    return sorted(folder.glob("*.jsonl"), key=lambda log: (log.name != "main.jsonl", log.name))


@contextmanager
def open_log(path: Path | str) -> Iterator[int]:
    """The log open for reading, without its lock: also while another process writes it. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield fd
    finally:
        os.close(fd)


def read_events(path: Path) -> Iterator[Stamped]:
    """The sound records of a log (see `open_log`). Raises OSError."""
    with open_log(path) as fd:
        yield from LogScan(fd, BlobStore(path.parent / "blobs").text)
