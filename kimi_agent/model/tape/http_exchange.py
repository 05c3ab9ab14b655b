"""HTTP/1.1 connection of the mock server: reads requests and sends answers, piece by piece.

Raw asyncio streams and no web framework, so that it can break off at a byte.
"""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from kimi_agent.model.tape.moonshot_rules import RequestRefusal
from kimi_agent.model.tape.played_reply import PlayedReply

MAX_HEAD_BYTES = 64 * 1024
_MAX_BODY_BYTES = 100 * 1024 * 1024
_FLUSH_BYTES = 64 * 1024


@dataclass(frozen=True)
class ReceivedRequest:
    """One request as it came: header names in lower case, the body's raw bytes."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class HttpExchange:
    """One connection: requests in, answers out."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: asyncio.Event) -> None:
        self.trace = ""
        self._reader = reader
        self._writer = writer
        self._left = left

    async def request(self) -> ReceivedRequest | None:
        """The next request; None where the client has gone. Raises ValueError for what is none."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if headers.get("expect", "").lower() == "100-continue":
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return ReceivedRequest(method, path, headers, await self._chunked())
        size = int(headers.get("content-length", "0"))
        if not 0 <= size <= _MAX_BODY_BYTES:
            raise ValueError("body too large")
        return ReceivedRequest(method, path, headers, await self._reader.readexactly(size))

    async def _chunked(self) -> bytes:
        body = bytearray()
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            if size < 0 or len(body) + size > _MAX_BODY_BYTES:
                raise ValueError("body too large")
            body += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readuntil(b"\r\n")
        return bytes(body)

    async def error(self, refusal: RequestRefusal) -> bool:
        return await self.json(refusal.status, refusal.body)

    async def json(self, status: int, value: object) -> bool:
        body = msgspec.json.encode(value)
        headers = {"content-type": "application/json; charset=utf-8", "content-length": str(len(body))}
        self._writer.write(self._head(status, headers) + body)
        await self._writer.drain()
        return True

    async def play(self, reply: PlayedReply) -> bool:
        """Send a reply piece by piece, each as an HTTP chunk of its own, and end it as it says."""
        if reply.ending == "drop":
            return False
        waiting = bytearray(self._head(reply.status, reply.headers | {"transfer-encoding": "chunked"}))
        for piece, delay_s in reply.pieces:
            if delay_s:
                await self._flush(waiting)
                await asyncio.sleep(delay_s)
            if piece:
                waiting += b"%x\r\n%b\r\n" % (len(piece), piece)
            if len(waiting) >= _FLUSH_BYTES:
                await self._flush(waiting)
        if reply.ending == "end":
            waiting += b"0\r\n\r\n"
        await self._flush(waiting)
        if reply.ending == "stall":
            await self._reader.read(1)
            self._left.set()
        return reply.ending == "end"

    async def _flush(self, waiting: bytearray) -> None:
        if self._reader.at_eof():
            self._left.set()
            raise ConnectionResetError
        self._writer.write(bytes(waiting))
        waiting.clear()
        try:
            await self._writer.drain()
        except ConnectionError:
            self._left.set()
            raise

    def _head(self, status: int, headers: dict[str, str]) -> bytes:
        try:
            words = HTTPStatus(status).phrase
        except ValueError:
            words = "Unknown"
        fields = {"connection": "keep-alive", "x-msh-trace-id": self.trace} | headers
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"HTTP/1.1 {status} {words}\r\n{lines}\r\n".encode("latin-1", "replace")
