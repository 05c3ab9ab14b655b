"""Output thread of a headless run: writes to stdout and stderr in order, so that a reader who is slow blocks nobody.

What waits is bounded by the model: it pauses (`wait_for_room`) while more than `HIGH_WATER_BYTES` wait for the reader.
"""

import asyncio
import contextlib
import fcntl
import os
import select
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, TextIO

HIGH_WATER_BYTES = 1 << 20
_CHUNK = 4096
"""Bytes of one write: a pipe takes so many whole, and each tells that its reader is still there."""
_BIGGEST_PIPE = 1 << 20
"""Bytes of a pipe's buffer that Linux allows to anyone."""
_LOOK_S = 0.05


class TextSink(Protocol):
    """The part of a text stream that the faces write to."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...

    def isatty(self) -> bool: ...


class QueuedStream:
    """A text stream whose writes return at once; `error` says why its reader could not be given them."""

    def __init__(self, thread: "OutputThread", stream: TextIO) -> None:
        self.fd = stream.fileno()
        self.error: OSError | None = None
        self._thread = thread
        self._encoding = stream.encoding or "utf-8"
        # A strict stream fails at a character that its encoding lacks; the rest of the text is worth reading.
        self._errors = "replace" if stream.errors in (None, "strict") else stream.errors
        self._tty = stream.isatty()

    def write(self, text: str) -> None:
        """Have `text` written behind all that waits."""
        self._thread.put(self, text.encode(self._encoding, self._errors))

    def flush(self) -> None:
        """Nothing: what was written is on its way."""

    def isatty(self) -> bool:
        return self._tty


class OutputThread:
    """The thread, and what waits for it. It is a daemon: a reader that stopped cannot hold up the exit."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[tuple[QueuedStream, bytes]] = deque()
        self._pending = 0
        self._moved_at = 0.0
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        threading.Thread(target=self._work, name="output", daemon=True).start()

    @property
    def is_full(self) -> bool:
        """Whether more waits for the reader than should."""
        return self._pending >= HIGH_WATER_BYTES

    def put(self, stream: QueuedStream, data: bytes) -> None:
        """Queue `data`; never waits."""
        if data and stream.error is None:
            with self._changed:
                if not self._pending:
                    self._moved_at = time.monotonic()  # from here on the reader may be slow
                self._queue.append((stream, data))
                self._pending += len(data)
                self._changed.notify_all()

    async def wait_for_room(self) -> None:
        """Return when the reader has taken enough of what waits."""
        if not self.is_full:
            return
        room = asyncio.Event()
        with self._changed:
            if self._pending < HIGH_WATER_BYTES:
                return
            self._waiting.append((asyncio.get_running_loop(), room))
        await room.wait()

    def drain(self, may_give_up: Callable[[float], bool]) -> bool:
        """Wait until all is written: True. False as soon as `may_give_up` (of the seconds without a byte taken)."""
        with self._changed:
            while self._pending:
                if may_give_up(time.monotonic() - self._moved_at):
                    return False
                self._changed.wait(_LOOK_S)
        return True

    def widen_pipes(self) -> None:
        """Make room in the pipes for what waits, without their readers, as far as the system allows (Linux)."""
        with self._changed:
            streams = {stream.fd for stream, _ in self._queue}
            wanted = min(_BIGGEST_PIPE, 2 * self._pending + (1 << 16))
        for fd in streams:
            with contextlib.suppress(OSError, AttributeError):
                if stat.S_ISFIFO(os.fstat(fd).st_mode) and fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) < wanted:
                    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, wanted)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                stream, data = self._queue[0]
            self._write(stream, memoryview(data))
            with self._changed:
                self._queue.popleft()

    def _write(self, stream: QueuedStream, data: memoryview) -> None:
        while data:
            try:
                taken = os.write(stream.fd, data[:_CHUNK]) if stream.error is None else len(data)
            except BlockingIOError:  # somebody who shares the terminal made it so
                select.select([], [stream.fd], [])
                continue
            except OSError as error:
                stream.error = error
                continue
            data = data[taken:]
            with self._changed:
                self._pending -= taken
                self._moved_at = time.monotonic()
                if self._waiting and self._pending < HIGH_WATER_BYTES // 2:
                    self._wake()
                self._changed.notify_all()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for loop, room in waiting:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(room.set)
