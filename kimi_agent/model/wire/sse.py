"""Server-sent events parser: bytes of a stream in, events out.

Lines end with LF, CR or CRLF and nothing else: line iterators that split like str.splitlines cut an event at U+2028,
U+2029 and U+0085, which JSON may hold unescaped.
"""

from collections.abc import Iterator

MAX_EVENT_BYTES = 8 * 1024 * 1024

SseEvent = tuple[str, bytes]
"""One event: its `event:` name ("" for none) and its data lines, joined by LF. A bare tuple, for there are many."""


class EventTooLong(Exception):
    """One event, or an answer that is no event stream, is longer than MAX_EVENT_BYTES."""


class SseParser:
    """Cuts a stream into events, however its bytes are split. Comments and fields that nobody needs are passed over.

    `found_event` says that an event was seen; until then `stray` holds the raw bytes, which may be no event stream.
    """

    def __init__(self) -> None:
        self.stray = bytearray()
        self.found_event = False
        self._line = bytearray()
        self._after_cr = False
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[SseEvent]:
        """The events that `chunk` completes. Raises EventTooLong."""
        if not self.found_event:
            self.stray += chunk
            self._check(len(self.stray))
        if self._line and b"\n" in chunk:  # only then, so that a line of many chunks is joined once
            chunk = bytes(self._line) + chunk
            self._line.clear()
        amid_event = self._line or self._data or self._name or self._after_cr
        if amid_event or b"\r" in chunk or len(chunk) > MAX_EVENT_BYTES:
            yield from self._lines(chunk)
            return
        *events, rest = chunk.split(b"\n\n")
        for event in events:
            # Nearly all events are one line: this way costs a tenth of the other.
            if event.startswith(b"data: ") and b"\n" not in event:
                if not self.found_event:
                    self._begin()
                yield "", event[6:]
            else:
                yield from self._lines(event + b"\n\n")
        yield from self._lines(rest)

    def _lines(self, chunk: bytes) -> Iterator[SseEvent]:
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        for line in chunk.splitlines(keepends=True):  # of bytes: at LF, CR and CRLF only
            ended = line.endswith((b"\n", b"\r"))
            if self._line or not ended:
                self._line += line
                self._check(len(self._line))
                if not ended:
                    return
                line = bytes(self._line)
                self._line.clear()
            if event := self._take(line.rstrip(b"\r\n")):
                yield event
        if chunk:
            self._after_cr = chunk.endswith(b"\r")

    def end(self) -> Iterator[SseEvent]:
        """The event that the end of the stream completes: servers exist that leave out the last blank line."""
        self._after_cr = False
        yield from self.feed(b"\n\n")

    def _take(self, line: bytes) -> SseEvent | None:
        if not line:
            if not self._data and not self._name:
                return None
            event = (self._name, b"\n".join(self._data))
            self._name, self._data, self._size = "", [], 0
            self._begin()
            return event
        if line.startswith(b"\xef\xbb\xbf") and not self.found_event:
            line = line[3:]
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._size += len(value)
            self._check(self._size)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        return None

    def _begin(self) -> None:
        self.found_event = True
        self.stray.clear()

    @staticmethod
    def _check(size: int) -> None:
        if size > MAX_EVENT_BYTES:
            raise EventTooLong
