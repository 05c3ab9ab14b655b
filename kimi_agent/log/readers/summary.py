"""Session summary for one line of a list, read from the log without parsing what is not shown."""

import calendar
import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.log.events import Event, Opened, Said
from kimi_agent.log.fold.conversation import Conversation
from kimi_agent.log.messages import User
from kimi_agent.log.store.blobs import BlobStore
from kimi_agent.log.store.durable_io import open_to_read
from kimi_agent.log.store.lock import LockHolder, is_holder_alive, read_lock_holder
from kimi_agent.log.store.log_scan import USER_SAID, LogScan

_SHOWN = (b'Opened"', b'Renamed"', b'Rewound"', USER_SAID)
_MOST_BYTES = 64 << 20
_LAST_RECORDS = 8
"""How many records are kept to find when the last sound one was written."""


@dataclass(frozen=True)
class SessionSummary:
    """One session: times in Unix seconds; `in_use` is who has it open now.

    `damaged` says why nothing of it can be read, "" where something can; then `size_bytes` is that of the whole
    folder. Beyond 64 MB of log the turns, and a late renaming, are no longer counted in.
    """

    id: str
    folder: Path
    workspace: str
    title: str
    model: str
    started: float
    last_used: float
    turns: int
    size_bytes: int
    in_use: LockHolder | None
    forked_from: str = ""
    damaged: str = ""

    @property
    def label(self) -> str:
        """Its title, or what stands in a list where it has none."""
        return self.title or ("(damaged)" if self.damaged else "(nothing said)")


def read_session_summary(folder: Path) -> SessionSummary | None:
    """The summary of a session's folder, None where there is no folder."""
    found = None
    try:
        with open_to_read(folder / "main.jsonl") as fd:
            status = os.fstat(fd)
            found = _SummaryScan(fd, BlobStore(folder / "blobs"))
            found.read()
        why = "" if found.is_sound else "its log holds no whole record" if status.st_size else "its log is empty"
    except FileNotFoundError:
        why = "its log is missing"
    except OSError as error:
        why = f"its log cannot be read: {error.strerror}"
    holder = read_lock_holder(folder / "main.lock")
    in_use = holder if holder is not None and is_holder_alive(holder) else None
    if found is None or (why and in_use is None):
        return _summarize_damaged(folder, why, in_use)
    opened, started = found.opened or (Opened(folder.name, "", "", ""), found.started or status.st_mtime)
    return SessionSummary(
        id=folder.name,
        folder=folder,
        workspace=opened.workspace,
        title=found.naming.title,
        model=opened.model,
        started=started,
        last_used=found.last_used() or status.st_mtime,
        turns=found.turns,
        size_bytes=status.st_size,
        in_use=in_use,
        forked_from=opened.forked_from,
    )


class _SummaryScan:
    """A pass over a log: only the records that name the session or begin a turn are parsed."""

    def __init__(self, fd: int, blobs: BlobStore) -> None:
        self.started = 0.0
        self.opened: tuple[Opened, float] | None = None
        self.naming = Conversation()
        self.turns = 0
        self._last: deque[bytes] = deque(maxlen=_LAST_RECORDS)
        self._blobs = blobs
        self._scan = LogScan(fd, self._read_blob, stop=_MOST_BYTES, wanted=self._wants)

    def read(self) -> None:
        """Take the log in. Raises OSError."""
        for record in self._scan:
            self.started = self.started or record.at
            self.turns += is_prompt(record.event)
            self.naming.add(record)
            if isinstance(record.event, Opened):
                self.opened = record.event, record.at

    @property
    def is_sound(self) -> bool:
        """Whether the log can be resumed: it holds a whole record, be it one of a newer version."""
        return self.started > 0 or self._scan.unknown > 0

    def last_used(self) -> float:
        """When the last sound record was written, 0 where none of the last few is sound."""
        records = map(self._scan.decode, reversed(self._last))
        return next((record.at for record in records if record is not None), 0.0)

    def _wants(self, line: bytes, event: int) -> bool:
        self._last.append(line)
        return line.startswith(_SHOWN, event) or not self.is_sound

    def _read_blob(self, sha256: str) -> str | None:
        return "" if self.naming.title else self._blobs.text(sha256)  # long texts are wanted for the title alone


def is_prompt(event: Event) -> bool:
    """Whether an event is a message of the person that begins a turn; one that waited in a queue joins its turn."""
    return isinstance(event, Said) and isinstance(event.message, User) and not event.queued


def _summarize_damaged(folder: Path, why: str, in_use: LockHolder | None) -> SessionSummary | None:
    """What its names, times and sizes tell of a session whose log cannot be read."""
    try:
        last_used = max(os.lstat(path).st_mtime for path in (folder, folder / "main.jsonl") if os.path.lexists(path))
    except (OSError, ValueError):  # gone meanwhile
        return None
    if not folder.is_dir():
        return None
    return SessionSummary(
        id=folder.name,
        folder=folder,
        workspace="",
        title="",
        model="",
        started=_read_start(folder.name) or last_used,
        last_used=last_used,
        turns=0,
        size_bytes=sum(_file_sizes(folder)),
        in_use=in_use,
        damaged=why,
    )


def _read_start(name: str) -> float:
    """When a session of this name was made, 0 where the name does not say."""
    try:
        return float(calendar.timegm(time.strptime(name[:15], "%Y%m%d-%H%M%S")))
    except ValueError:
        return 0.0


def _file_sizes(folder: Path) -> list[int]:
    sizes = []
    for root, _, files in os.walk(folder):
        for name in files:
            try:
                sizes.append(os.lstat(os.path.join(root, name)).st_size)
            except OSError:
                continue
    return sizes
