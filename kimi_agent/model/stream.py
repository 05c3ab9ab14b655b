"""One answer as it arrives: bytes in, deltas out, and a clock for everything that can fail to come.

The in-process tape and the HTTP client share it, so that a scripted answer takes the same way as a real one.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Self

from kimi_agent.errors import ModelError, Unavailable
from kimi_agent.log.events import CallDelta, ReasoningDelta, TextDelta
from kimi_agent.model.base import Delta
from kimi_agent.model.frames import MAX_EVENT_BYTES, EventTooLong, Frame, Frames
from kimi_agent.model.profiles import Clocks
from kimi_agent.model.reading import Reading, decode
from kimi_agent.model.trouble import Endpoint, of_error_object, of_stray

_AHEAD_BYTES = 1024 * 1024
_DRAIN_S = 0.25

Now = Callable[[], float]
"""Unix time in seconds."""


async def read_answer(
    chunks: AsyncIterator[bytes], *, content_type: str, endpoint: Endpoint, clocks: Clocks, now: Now
) -> AsyncGenerator[Delta, None]:
    """The deltas of the answer that `chunks` hold, at the end Usage (if it came) and Finish.

    It ends as soon as the answer is complete. Raises a ModelError for an answer that breaks off, stalls, or is none.
    """
    frames = Frames()
    reading = Reading(lambda error: of_error_object(error, endpoint, now()))
    watch = _Watch(clocks, asyncio.get_running_loop().time)
    async with _Pump(chunks) as pump:
        try:
            while not reading.done:
                taken = await watch.next(pump, finished=bool(reading.finish))
                for frame in frames.feed(taken) if taken is not None else _last(frames):
                    for delta in reading.read(frame):
                        yield delta
                        watch.saw(delta)
                if taken is None:
                    break
        except EventTooLong as error:
            text = f"The server sent an event of more than {MAX_EVENT_BYTES} bytes."
            raise Unavailable(text, retry=False) from error
        if not frames.any:
            for delta in _whole(bytes(frames.stray), reading, content_type, endpoint, now):
                yield delta
        for delta in reading.end():
            yield delta
        await pump.drain()


def _last(frames: Frames) -> Iterator[Frame]:
    """What the end of the stream completes: the last blank line may be missing, half an event is passed over."""
    for frame in frames.end():
        with contextlib.suppress(Unavailable):
            if frame.data != b"[DONE]":
                decode(frame.data)
            yield frame


def _whole(body: bytes, reading: Reading, content_type: str, endpoint: Endpoint, now: Now) -> list[Delta]:
    """The deltas of a body that was no event stream: some endpoints answer a streaming request in one piece."""
    try:
        value = decode(body)
    except Unavailable:
        value = None
    if isinstance(value, dict) and value.get("choices"):
        return reading.take(value)
    raise of_stray(content_type, body, endpoint, now())


class _Pump:
    """Reads ahead of who reads the answer, so that a burst of chunks is taken (and timed) as one.

    With one timer for each chunk of an answer of 20,000 tokens, a third of the time went into timers. It reads at most
    _AHEAD_BYTES ahead; what it has read is delivered before the error that came behind it.
    """

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._ready = bytearray()
        self._ended = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for chunk in self._chunks:
                self._ready += chunk
                self._news.set()
                if len(self._ready) > _AHEAD_BYTES:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._ended = True
            self._news.set()

    async def take(self) -> bytes | None:
        """All that has come; None at the end. Raises what ended it, behind all that came before."""
        await self._news.wait()
        if self._ready:
            taken = bytes(self._ready)
            self._ready.clear()
            self._room.set()
            if not self._ended:
                self._news.clear()
            return taken
        if self._task is not None:
            await self._task
        return None

    async def drain(self) -> None:
        """Read a complete answer to its end, so that its connection can be used again; what comes late is lost."""
        with contextlib.suppress(TimeoutError, ModelError):
            async with asyncio.timeout(_DRAIN_S):
                while await self.take() is not None:
                    pass


class _Watch:
    """The clocks of one answer. Once a finish_reason was seen nothing more is an error: the rest is a courtesy."""

    def __init__(self, clocks: Clocks, time: Callable[[], float]) -> None:
        self._clocks = clocks
        self._time = time
        self._content_at = time()
        self._started = False
        self._finished_at: float | None = None

    def saw(self, delta: Delta) -> None:
        """Something that counts as progress came."""
        if isinstance(delta, TextDelta | ReasoningDelta | CallDelta):
            self._content_at = self._time()

    async def next(self, pump: _Pump, *, finished: bool) -> bytes | None:
        """What has come; None at the end of the stream."""
        if finished and self._finished_at is None:
            self._finished_at = self._time()
        try:
            async with asyncio.timeout(self._wait_s()):
                taken = await pump.take()
        except TimeoutError as error:
            if finished:
                return None
            raise Unavailable(self._why()) from error
        except ModelError:
            if finished:
                return None
            raise
        self._started = True
        return taken

    def _wait_s(self) -> float:
        now, clocks = self._time(), self._clocks
        if self._finished_at is not None:
            return max(0.0, self._finished_at + clocks.after_finish_s - now)
        silence_s = clocks.no_bytes_s if self._started else clocks.first_byte_s
        return max(0.0, min(silence_s, self._content_at + clocks.no_content_s - now))

    def _why(self) -> str:
        if not self._started:
            return f"The server sent nothing within {self._clocks.first_byte_s:g} s."
        if self._time() >= self._content_at + self._clocks.no_content_s:
            return f"The answer made no progress for {self._clocks.no_content_s:g} s."
        return f"The answer stalled: no bytes for {self._clocks.no_bytes_s:g} s."
