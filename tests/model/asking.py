"""What the tests of asking a model share: requests, short ways to ask, and a server that plays exact bytes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from kimi_agent.log.messages import Message, said
from kimi_agent.model.base import Delta, Model, Request, ToolSpec
from kimi_agent.model.chat_completions import ChatCompletions
from kimi_agent.model.keys import Key
from kimi_agent.model.profiles import Clocks, ModelSettings

READ_FILE = ToolSpec(
    "read_file",
    "Read a file.",
    {"type": "object", "properties": {"path": {"type": "string", "description": "Which."}}, "required": ["path"]},
)


def no_blob(name: str) -> bytes:
    raise FileNotFoundError(name)


def ask_for(*messages: Message, notes: tuple[str, ...] = (), agent: str = "main", system: str = "Be kind.") -> Request:
    return Request(system, (READ_FILE,), messages or (said("hello"),), notes, "S1", agent)


async def all_of(model: Model, request: Request) -> list[Delta]:
    return [delta async for delta in model.stream(request)]


def client(
    base_url: str,
    *,
    key: str = "",
    model: str = "kimi-k2.6",
    clocks: Clocks | None = None,
    environ: dict[str, str] | None = None,
) -> ChatCompletions:
    settings = ModelSettings(model=model, base_url=base_url, clocks=clocks or Clocks())
    found = Key(key, "KIMI_API_KEY") if key else None
    return ChatCompletions(settings, found, environ=environ or {}, blob=no_blob, version="9.9", now=lambda: 0.0)


Attempt = Sequence[Delta | BaseException]


class Attempts:
    """A model that goes through the given attempts, the last one again and again, and keeps what it was asked."""

    name = "attempts"
    window = 1000

    def __init__(self, *attempts: Attempt) -> None:
        self.attempts = attempts
        self.requests: list[Request] = []
        self.closed = 0

    @property
    def asked(self) -> int:
        return len(self.requests)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        attempt = self.attempts[min(self.asked, len(self.attempts) - 1)]
        self.requests.append(request)
        try:
            for each in attempt:
                if isinstance(each, BaseException):
                    raise each
                yield each
        finally:
            self.closed += 1

    async def aclose(self) -> None:
        pass


class RawServer:
    """Plays one byte script a connection: reads one request (unless `at_once`), sends, and hangs up or holds."""

    def __init__(self, scripts: Sequence[bytes], *, hold: bool = False, at_once: bool = False) -> None:
        self._scripts = list(scripts)
        self._hold = hold
        self._at_once = at_once
        self._tasks: list[asyncio.Task[None]] = []
        self.hits = 0
        self.left = asyncio.Event()
        self.base_url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["RawServer"]:
        server = await asyncio.start_server(self._one, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        try:
            if not self._at_once:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.split(b":")[1]))
            script = self._scripts[min(self.hits, len(self._scripts) - 1)]
            self.hits += 1
            writer.write(script)
            await writer.drain()
            if self._hold:
                await reader.read(1)
                self.left.set()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


def event_stream(body: bytes, *, framing: str = "close") -> bytes:
    """`body` as an HTTP answer, ended by the connection's end or in chunks."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    if framing == "chunked":
        return head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return head + b"connection: close\r\n\r\n" + body
