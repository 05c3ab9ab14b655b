"""A server on raw sockets that plays scripts, byte for byte, for the tests of what can go wrong on the wire.

The scenario stands in the path: `http://127.0.0.1:PORT/NAME/v1` plays the scripts that `NAME` was given, one a
connection, the last one again and again.
"""

import asyncio
import contextlib
import enum
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass


class Do(enum.Enum):
    """What a script does besides sending bytes."""

    READ = enum.auto()
    """Read one more request on this connection."""
    HOLD = enum.auto()
    """Wait until the client hangs up."""
    RESET = enum.auto()
    """Break the connection off with a TCP reset."""
    HALF_CLOSE = enum.auto()
    """Send no more, but go on listening."""


@dataclass(frozen=True)
class Drip:
    """Send `data` one byte at a time, a tick apart, and from its start again if `forever`."""

    data: bytes
    tick_s: float = 0.002
    forever: bool = False


@dataclass(frozen=True)
class Flood:
    """Send `data` again and again until the client hangs up."""

    data: bytes


@dataclass(frozen=True)
class Pause:
    """Wait for `until`."""

    until: asyncio.Event


@dataclass(frozen=True)
class BelowTls:
    """Put `data` on the socket under the TLS layer."""

    data: bytes


Step = bytes | Do | Drip | Flood | Pause | BelowTls
Script = Sequence[Step]
"""It begins when a request was read. At its end the connection is closed."""


class FaultServer:
    """Plays `scenarios`. With `first`, every connection begins with that script, before anything is read.

    `hits` counts the requests by scenario, `connections` what was accepted; `bodies` holds what was sent to it, and
    `left` is set when a client hangs up during a HOLD. Put numbers into `cuts`, and the next connections are closed
    after so many bytes of what the first script of their scenario sends.
    """

    def __init__(
        self,
        scenarios: Mapping[str, Sequence[Script]],
        *,
        first: Script | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._scenarios = scenarios
        self._first = first
        self._tls = tls
        self._played: Counter[str] = Counter()
        self.cuts: list[int] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._port = 0
        self.hits: Counter[str] = Counter()
        self.connections = 0
        self.bodies: list[bytes] = []
        self.left = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether a script is being played."""
        return bool(self._tasks)

    def url(self, name: str = "x", *, host: str = "127.0.0.1") -> str:
        """The base URL of a scenario."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{host}:{self._port}/{name}/v1"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FaultServer"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        connection = _Connection(reader, writer, self._request, self.left)
        try:
            if self._first is not None:
                await connection.play(self._first)
            await connection.play(self._script(await self._request(reader)))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError, ssl.SSLError):
                await writer.wait_closed()

    async def _request(self, reader: asyncio.StreamReader) -> str:
        """Read one request whole; its scenario."""
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        self.bodies.append(await reader.readexactly(int(lengths[0]) if lengths else 0))
        name = head.split(b" ")[1].decode().strip("/").removesuffix("/v1/chat/completions")
        self.hits[name] += 1
        return name

    def _script(self, name: str) -> Script:
        scripts = self._scenarios[name]
        if self.cuts:
            return [b"".join(step for step in scripts[0] if isinstance(step, bytes))[: self.cuts.pop(0)]]
        self._played[name] += 1
        return scripts[min(self._played[name], len(scripts)) - 1]


class _Connection:
    """One connection, while a script is played on it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        read: Callable[[asyncio.StreamReader], Awaitable[object]],
        left: asyncio.Event,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._read = read
        self._left = left

    async def play(self, script: Script) -> None:
        for step in script:
            await self._do(step)

    async def _do(self, step: Step) -> None:
        match step:
            case bytes():
                await self._send(step)
            case Drip(data, tick_s, forever):
                while True:
                    for byte in data:
                        await self._send(bytes((byte,)))
                        await asyncio.sleep(tick_s)
                    if not forever:
                        return
            case Flood(data):
                while not self._writer.is_closing():
                    await self._send(data)
                    await asyncio.sleep(0)  # drain() alone lets nobody else in while there is room
            case Pause(until):
                await until.wait()
            case BelowTls(data):
                transport = self._writer.get_extra_info("socket")
                with socket.fromfd(transport.fileno(), socket.AF_INET, socket.SOCK_STREAM) as under:
                    under.send(data)
            case Do.READ:
                await self._read(self._reader)
            case Do.HOLD:
                with contextlib.suppress(ConnectionError):
                    await self._reader.read(1)
                self._left.set()
            case Do.RESET:
                linger = struct.pack("ii", 1, 0)  # on, for 0 seconds: close() sends a reset
                self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self._writer.transport.abort()
            case Do.HALF_CLOSE:
                self._writer.write_eof()

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer with its length; `retry_after="5"` becomes the header Retry-After."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def streamed(*events: bytes, framing: str = "length") -> bytes:
    """A 200 with these events, ended by its `length`, in `chunked` parts (one an event), or by the `close`."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    body = b"".join(events)
    match framing:
        case "length":
            return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)
        case "chunked":
            parts = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)
            return head + b"transfer-encoding: chunked\r\n\r\n%b0\r\n\r\n" % parts
        case _:
            return head + b"connection: close\r\n\r\n" + body
