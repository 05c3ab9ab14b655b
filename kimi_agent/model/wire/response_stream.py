"""Answer stream: bytes of one response in, deltas out, with a timeout for everything that can fail to come.

The in-process tape and the HTTP client share it, so that a scripted answer takes the same way as a real one.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Self

from kimi_agent.errors import ModelError, Unavailable
from kimi_agent.log.events import CallDelta, ReasoningDelta, TextDelta
from kimi_agent.model.endpoint.profiles import Clocks
from kimi_agent.model.protocol import Delta, UnixClock
from kimi_agent.model.wire.answer_reader import AnswerReader, decode_lenient_json
from kimi_agent.model.wire.call_markers import recover_marked_calls
from kimi_agent.model.wire.http_errors import Endpoint, error_from_object, error_from_stray_body
from kimi_agent.model.wire.sse import MAX_EVENT_BYTES, EventTooLong, SseEvent, SseParser

_AHEAD_BYTES = 1024 * 1024
_DRAIN_S = 0.25


def read_answer(
    chunks: AsyncIterator[bytes],
    *,
    content_type: str,
    endpoint: Endpoint,
    clocks: Clocks,
    now: UnixClock,
    markers: frozenset[str] | None = None,
) -> AsyncGenerator[Delta, None]:
    """The deltas of the answer that `chunks` hold, at the end Usage (if it came) and Finish.

    Fragments of one kind that came together make one delta. With `markers`, the names of the tools, raw tool-call
    markers in the text become calls. It ends as soon as the answer is complete. Raises a ModelError for an answer that
    breaks off, stalls, or is none.
    """
    reader = AnswerReader(lambda error: error_from_object(error, endpoint, now()))
    answer = _read_deltas(
        chunks, reader, clocks, lambda body: error_from_stray_body(content_type, body, endpoint, now())
    )
    return answer if markers is None else recover_marked_calls(answer, markers)


async def _read_deltas(
    chunks: AsyncIterator[bytes], reader: AnswerReader, clocks: Clocks, stray_error: Callable[[bytes], ModelError]
) -> AsyncGenerator[Delta, None]:
    parser = SseParser()
    loop = asyncio.get_running_loop()
    watch = _TimeoutWatch(clocks, loop.time)
    async with _ReadAhead(chunks, loop) as ahead:
        try:
            while not reader.done:
                taken = await watch.next(ahead, finished=bool(reader.finish))
                for delta in reader.read(parser.feed(taken) if taken is not None else _last_events(parser)):
                    yield delta
                    watch.saw(delta)
                if taken is None:
                    break
        except EventTooLong as error:
            text = f"The server sent an event of more than {MAX_EVENT_BYTES} bytes."
            raise Unavailable(text, retry=False) from error
        if not parser.found_event:
            body = bytes(parser.stray)
            if (value := _decode_whole_answer(body)) is None:
                raise stray_error(body)
            for delta in reader.read_whole(value):
                yield delta
        for delta in reader.end():
            yield delta
        await ahead.drain()


def _last_events(parser: SseParser) -> Iterator[SseEvent]:
    """The events that the stream's end completes: the last blank line may be missing, half an event is passed over."""
    for name, data in parser.end():
        with contextlib.suppress(Unavailable):
            if data != b"[DONE]":
                decode_lenient_json(data)
            yield name, data


def _decode_whole_answer(body: bytes) -> Mapping[str, Any] | None:
    """The answer in a body that was no event stream: some endpoints answer a streaming request in one piece."""
    try:
        value = decode_lenient_json(body)
    except Unavailable:
        return None
    return value if isinstance(value, dict) and value.get("choices") else None


class _ReadAhead:
    """Reads ahead of the answer's reader, so that a burst of chunks is taken (and timed) as one.

    It reads at most _AHEAD_BYTES ahead; what it has read is delivered before the error that came behind it.
    """

    def __init__(self, chunks: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._chunks = chunks
        self._loop = loop
        self._ready = bytearray()
        self._ended = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
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

    async def take(self, deadline: float) -> bytes | None:
        """All that has come; None at the end. Raises what ended it, behind all that came before.

        Raises TimeoutError where nothing has come by `deadline`, in the loop's time.
        """
        while not self._ready and not self._ended:
            if self._loop.time() >= deadline:
                raise TimeoutError
            self._news.clear()
            self._ring_at(deadline)
            await self._news.wait()
        if self._ready:
            taken = bytes(self._ready)
            self._ready.clear()
            self._room.set()
            return taken
        if self._task is not None:
            await self._task
        return None

    def _ring_at(self, deadline: float) -> None:
        """Have `take` look again at `deadline`.

        Each chunk moves the deadline. An alarm that rings too early is cheap; to move it for each chunk is not.
        """
        if self._alarm is not None:
            if self._alarm.when() <= deadline:
                return
            self._alarm.cancel()
        self._alarm = self._loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._news.set()

    async def drain(self) -> None:
        """Read a complete answer to its end, so that its connection can be used again; what comes late is lost."""
        deadline = self._loop.time() + _DRAIN_S
        with contextlib.suppress(TimeoutError, ModelError):
            while await self.take(deadline) is not None:
                pass


class _TimeoutWatch:
    """The timeouts of one answer. Once a finish_reason was seen nothing more is an error: the rest is a courtesy."""

    def __init__(self, clocks: Clocks, time: Callable[[], float]) -> None:
        self._clocks = clocks
        self._time = time
        self._ends_at = time() + clocks.attempt_s
        self._content_at = time()
        self._started = False
        self._finished_at: float | None = None

    def saw(self, delta: Delta) -> None:
        """Something that counts as progress came."""
        if isinstance(delta, TextDelta | ReasoningDelta | CallDelta):
            self._content_at = self._time()

    async def next(self, ahead: _ReadAhead, *, finished: bool) -> bytes | None:
        """The bytes that came; None at the end of the stream. Raises Unavailable at a timeout."""
        if finished and self._finished_at is None:
            self._finished_at = self._time()
        try:
            # A server that always sends is stopped here, one that sends nothing by the read-ahead.
            if not finished and self._time() >= self._ends_at:
                raise TimeoutError
            taken = await ahead.take(self._deadline())
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

    def _deadline(self) -> float:
        clocks = self._clocks
        if self._finished_at is not None:
            return self._finished_at + clocks.after_finish_s
        silence_s = clocks.no_bytes_s if self._started else clocks.first_byte_s
        return min(self._time() + silence_s, self._content_at + clocks.no_content_s, self._ends_at)

    def _why(self) -> str:
        now, clocks = self._time(), self._clocks
        if now >= self._ends_at:
            return f"The answer took longer than {_format_seconds(clocks.attempt_s)} and was cut off."
        if not self._started:
            return f"The server sent nothing within {clocks.first_byte_s:g} s."
        if now >= self._content_at + clocks.no_content_s:
            return f"The answer made no progress for {clocks.no_content_s:g} s."
        return f"The answer stalled: no bytes for {clocks.no_bytes_s:g} s."


def _format_seconds(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
