"""The open session of one agent: it stamps each event, saves it, folds it, and notifies the listeners.

`emit` writes a durable event first, then folds it, then calls the listeners. It never fails for the disk: what
cannot be written is kept in memory, reported once, and written as soon as that is possible again.
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from kimi_agent.errors import UserError
from kimi_agent.log.events import Event, Fleeting, Listener, Notice, Opened, Recovered, Stamped
from kimi_agent.log.fold.conversation import Conversation, fold_conversation
from kimi_agent.log.store.blobs import BlobStore
from kimi_agent.log.store.codec import encode_record
from kimi_agent.log.store.durable_io import Sync, sync_data
from kimi_agent.log.store.lock import SessionLock
from kimi_agent.log.store.log_writer import LogWriter
from kimi_agent.log.store.logfile import LogFile


class Session:
    """An open session; get one from `create` or `resume`, and `close` it. Safe to emit to from any thread.

    `opened` is its last `Opened` (a fork has two), `conversation` the fold so far: a deep rewind replaces it, so read
    it anew each time.
    """

    def __init__(self, folder: Path, agent: str, now: Callable[[], float], sync: Sync) -> None:
        self.folder = folder
        self.agent = agent
        self.path = folder / f"{agent}.jsonl"
        self.outputs_folder = folder / "outputs"
        self.blobs = BlobStore(folder / "blobs")
        self.recovered: Recovered | None = None
        self.unknown = 0
        self._now = now
        lock = SessionLock(folder / f"{agent}.lock", session=folder.name, now=now)
        self._writer = LogWriter(LogFile(self.path, lock, sync), self.blobs)
        self.opened = Opened(folder.name, "", "", "")
        self.conversation = Conversation()
        self._past: list[Stamped] = []
        self._seq = 0
        self._listeners: list[Listener] = []
        self._closed = False
        self._guard = threading.RLock()

    @classmethod
    def create(
        cls, folder: Path, opened: Opened, *, now: Callable[[], float], agent: str = "main", sync: Sync = sync_data
    ) -> "Session":
        """Start a log in `folder` (made if missing, 0700) with `opened` as its first record.

        A folder that cannot be written does not stop the work (see `emit`). Raises UserError where a log is already
        there or another process holds it.
        """
        session = cls(folder, agent, now, sync)
        session._writer.make()
        session.emit(opened)
        return session

    @classmethod
    def resume(
        cls, folder: Path, *, now: Callable[[], float], agent: str = "main", sync: Sync = sync_data
    ) -> "Session":
        """Open the log in `folder`, mend what a crash left, and fold it.

        A torn last record is cut off (and kept in `NAME.torn`), damaged ones are passed over, and if that is news a
        `Recovered` is appended. Open calls stay open: whoever goes on emits a `Recovered` that settles them (see
        `unanswered_calls.settle_calls`). Raises UserError where there is nothing to resume, or SessionInUse.
        """
        session = cls(folder, agent, now, sync)
        try:
            session._writer.file.open()
            session._load()
        except OSError as error:
            session._writer.file.close()
            why = error.strerror or str(error)
            raise UserError(
                f"session {folder.name} cannot be opened ({why}: {session.path}); see `kimi-agent sessions list`", 1
            ) from error
        except BaseException:
            session._writer.file.close()
            raise
        return session

    def _load(self) -> None:
        scan = self._writer.file.scan(self.blobs.text)
        self._past = past = list(scan)
        if not past and not scan.unknown:
            raise UserError(f"session {self.folder.name} holds no whole record; start a new one", 1)
        self.conversation = fold_conversation(lambda: past)
        self.opened = next((each.event for each in reversed(past) if isinstance(each.event, Opened)), self.opened)
        known_bad = max((each.event.bad_records for each in past if isinstance(each.event, Recovered)), default=0)
        self._seq, self.unknown = scan.seq, scan.unknown
        torn = self._writer.file.mend(scan)
        if scan.unknown:
            self._writer.notices.append(f"{scan.unknown:,} records of a newer version are kept, but not read")
        if torn or scan.bad > known_bad:
            self._writer.notices.append(_mended(torn, scan.bad))
            self.recovered = Recovered(cut_bytes=torn, bad_records=scan.bad)
            past.append(self.emit(self.recovered))

    @property
    def id(self) -> str:
        """Its name, which is that of its folder, wherever that was copied or moved to."""
        return self.folder.name

    @property
    def workspace(self) -> str:
        return self.opened.workspace

    @property
    def unsaved(self) -> int:
        """How many records are in memory alone."""
        return self._writer.unsaved

    @property
    def is_saved(self) -> bool:
        """Whether the whole log is on disk."""
        return self._writer.is_whole

    def listen(self, *listeners: Listener) -> None:
        """Call `listeners` with every event from here on, and at once with the notices that wait for a person."""
        with self._guard:
            self._listeners += listeners
            self._emit_notices()

    def emit(self, event: Event) -> Stamped:
        """Stamp `event`, save it if it is durable, fold it, call the listeners; returns it as saved.

        A listener that raises neither loses the record nor keeps it from the others; then its error rises.
        """
        with self._guard:
            if self._closed:
                raise RuntimeError(f"session {self.id} is closed; {type(event).__name__} came too late")
            if isinstance(event, Fleeting):
                stamped = Stamped(self.agent, 0, self._now(), event)
            else:
                stamped = self._record(Stamped(self.agent, self._seq + 1, self._now(), event))
            _notify(iter(self._listeners), stamped)
            self._emit_notices()
            return stamped

    def _record(self, stamped: Stamped) -> Stamped:
        line = encode_record(stamped)
        saved = line.stamped
        self._seq = saved.seq
        self._writer.save(line)
        if isinstance(saved.event, Opened):
            self.opened = saved.event
        self.conversation.add(saved)
        if self.conversation.needs_refold:
            self.conversation = fold_conversation(self.events, keep_replaced=True)
            self.conversation.drop_replaced()
        return saved

    def _emit_notices(self) -> None:
        if self._listeners and self._writer.notices:
            for text in self._writer.take_notices():
                _notify(iter(self._listeners), Stamped(self.agent, 0, self._now(), Notice(text)))

    def take_past(self) -> list[Stamped]:
        """The records that a resume found; it read the file once for them, and they are let go with this."""
        past, self._past = self._past, []
        return past

    def events(self) -> Iterator[Stamped]:
        """Every record so far, read back from the file (nothing is kept in memory), then the unsaved ones."""
        with self._guard:
            return self._writer.events()

    def close(self) -> None:
        """Write what waits, sync, and give the lock back. Records that still cannot be written are lost."""
        with self._guard:
            if not self._closed:
                self._writer.close()
                self._closed = True
                self._emit_notices()


def _notify(listeners: Iterator[Listener], stamped: Stamped) -> None:
    """Call all of them; what one of them raises rises when all were called. An ExitStack took twice the time."""
    called_all = False
    try:
        for listener in listeners:
            listener(stamped)
        called_all = True
    finally:
        if not called_all:
            _notify(listeners, stamped)


def _mended(torn: int, bad: int) -> str:
    found = []
    if torn:
        found.append(f"a record torn by a crash was cut off ({torn:,} bytes, kept beside the log)")
    if bad:
        found.append(f"{bad:,} damaged records are passed over (they stay in the file)")
    return f"the session's log was mended: {', '.join(found)}"
