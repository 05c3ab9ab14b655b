"""Session summary for one line of a list, read from the log without parsing what is not shown."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.log.events import Opened, Stamped
from kimi_agent.log.fold.conversation import Conversation
from kimi_agent.log.store.blobs import BlobStore
from kimi_agent.log.store.codec import decode_record
from kimi_agent.log.store.lock import LockHolder, is_holder_alive, read_lock_holder
from kimi_agent.log.store.log_scan import find_event_name, is_prompt_line, open_log, read_log_lines

_NAMING = (b'Opened"', b'Renamed"')
_AT = re.compile(rb'"seq":[0-9]+,"at":([0-9.e+]+),')
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class SessionSummary:
    """One session: times in Unix seconds; `in_use` is who has it open now.

    Beyond 64 MB of log the turns, and a late renaming, are no longer counted in.
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


def read_session_summary(folder: Path) -> SessionSummary | None:
    """The summary of a session's folder, or None where it holds no log with a whole record."""
    path = folder / "main.jsonl"
    try:
        with open_log(path) as fd:
            status = os.fstat(fd)
            found = _SummaryScan(BlobStore(folder / "blobs"))
            for line, start in read_log_lines(fd):
                found.note(line.rstrip(b"\n"))
                if start + len(line) > _MOST_BYTES:
                    break
    except OSError:
        return None
    if found.first is None:
        return None
    opened, started = found.opened or (Opened(folder.name, "", "", ""), found.first.at)
    holder = read_lock_holder(folder / "main.lock")
    return SessionSummary(
        id=folder.name,
        folder=folder,
        workspace=opened.workspace,
        title=found.naming.title,
        model=opened.model,
        started=started,
        last_used=found.last_at or status.st_mtime,
        turns=found.turns,
        size_bytes=status.st_size,
        in_use=holder if holder is not None and is_holder_alive(holder) else None,
        forked_from=opened.forked_from,
    )


class _SummaryScan:
    """A pass over the lines of a log: only those that name the session are parsed."""

    def __init__(self, blobs: BlobStore) -> None:
        self.first: Stamped | None = None
        self.opened: tuple[Opened, float] | None = None
        self.naming = Conversation()
        self.turns = 0
        self.last_at = 0.0
        self._blobs = blobs

    def note(self, line: bytes) -> None:
        event = find_event_name(line)
        is_turn = is_prompt_line(line, event)
        self.turns += is_turn
        if stamp := _AT.search(line, 0, 100):
            self.last_at = float(stamp[1])
        named = self.naming.title
        if line.startswith(_NAMING, event) or (is_turn and not named) or self.first is None:
            record = decode_record(line, self._blobs.text)
            if isinstance(record, Stamped):
                self.first = self.first or record
                self.naming.add(record)
                if isinstance(record.event, Opened):
                    self.opened = record.event, record.at
