"""The log writer: records go to the disk at once, or stay in memory and are retried at each later one.

The disk is waited for only where a power loss must not undo what was promised: a message of the person, a call that is
about to change something, the end of a turn. Between those a thread syncs, at most every two seconds.
"""

from collections import deque
from collections.abc import Iterator
from itertools import chain

from kimi_agent.errors import UserError
from kimi_agent.log.events import CallStarted, Event, Said, Stamped, TurnEnded
from kimi_agent.log.messages import User
from kimi_agent.log.store.blobs import BlobStore
from kimi_agent.log.store.codec import EncodedRecord
from kimi_agent.log.store.logfile import LogFile

SYNC_AFTER_S = 2.0
"""For how long a record that is no barrier may wait for the disk."""


class LogWriter:
    """Writer of one log file. `notices` are sentences for the person; somebody must take and show them."""

    def __init__(self, file: LogFile, blobs: BlobStore) -> None:
        self.file = file
        self.notices: list[str] = []
        self._blobs = blobs
        self._pending: deque[EncodedRecord] = deque()
        self._trouble = ""
        self._dirty_since: float | None = None

    def make(self) -> None:
        """Create the file, now or when it becomes possible. Raises UserError where there is a log already."""
        try:
            self.file.make()
        except OSError as error:
            self._in_trouble(error)

    @property
    def unsaved(self) -> int:
        return len(self._pending)

    @property
    def is_whole(self) -> bool:
        """Whether every record so far is in the file, and the disk took it."""
        return not self._pending and not self._trouble

    def save(self, line: EncodedRecord) -> None:
        """Write `line` behind all that still waits. Never fails for the disk."""
        self._pending.append(line)
        self._flush()
        if _is_barrier(line.stamped.event):
            self._sync()
            return
        at = line.stamped.at
        if self._dirty_since is None:
            self._dirty_since = at
        elif not 0 <= at - self._dirty_since < SYNC_AFTER_S:  # a clock set back counts as late
            self._dirty_since = None
            self.file.sync_later()

    def _flush(self) -> None:
        waiting = len(self._pending)
        try:
            while self._pending:
                line = self._pending[0]
                for sha256, data in line.blobs:
                    self._blobs.put_as(sha256, data)
                self.file.append(line.data)
                self._pending.popleft()
            if self._trouble:
                self.file.sync()
        except (OSError, UserError) as error:
            self._in_trouble(error)
            return
        if self._trouble:
            self._trouble = ""
            self.notices.append(f"session is being saved again ({waiting:,} records written that waited)")

    def _sync(self) -> None:
        self._dirty_since = None
        try:
            self.file.sync()
        except OSError as error:
            self._in_trouble(error)

    def _in_trouble(self, error: OSError | UserError) -> None:
        if not self._trouble:
            self._trouble = (error.strerror if isinstance(error, OSError) else None) or str(error)
            self.notices.append(
                f"session not being saved: {self._trouble}; work goes on, "
                "records are kept in memory and written when possible"
            )

    def take_notices(self) -> list[str]:
        """The sentences to show to the person; each is given once."""
        notices, self.notices = self.notices, []
        return notices

    def events(self) -> Iterator[Stamped]:
        """What was written, read back, then what waits."""
        return chain(self.file.events(self._blobs.text), [line.stamped for line in self._pending])

    def close(self) -> None:
        """Try once more, and sync; what cannot be written even now is lost, and the notices say so."""
        self._flush()
        try:
            self.file.check()
        except (OSError, UserError) as error:
            self._in_trouble(error)
        self._sync()
        if self._pending:
            self.notices.append(f"{len(self._pending):,} records of the session could not be saved: {self._trouble}")
        self.file.close()


def _is_barrier(event: Event) -> bool:
    match event:
        case Said(message):
            return isinstance(message, User)
        case CallStarted(effect=effect):
            return effect != "read"
        case TurnEnded():
            return True
    return False
