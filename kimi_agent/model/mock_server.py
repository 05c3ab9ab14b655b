"""Mock Kimi server on loopback that plays a tape over HTTP: `kimi-agent mock TAPE`, the demo, and the tests.

It answers POST /v1/chat/completions, streamed or not, and GET /v1/models; refuses what Moonshot refuses, in its
words; and keeps every body it was sent.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TextIO

import msgspec

from kimi_agent.config import DEFAULT_WINDOW_TOKENS
from kimi_agent.errors import UserError
from kimi_agent.model.endpoint.profiles import is_loopback
from kimi_agent.model.tape.choose_entry import TapeMismatch
from kimi_agent.model.tape.http_exchange import MAX_HEAD_BYTES, HttpExchange, ReceivedRequest
from kimi_agent.model.tape.moonshot_rules import MOONSHOT_MODELS, RequestRefusal
from kimi_agent.model.tape.played_reply import build_completion
from kimi_agent.model.tape.scripted_answer import ScriptedAnswer
from kimi_agent.model.tape.tape_format import Fault, Pace, Tape
from kimi_agent.model.tape.tape_model import TapePlayer


class MockServer:
    """The running endpoint. `connections` counts them; `left` is set when a client hangs up within an answer."""

    def __init__(
        self,
        tape: Tape,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        pace: Pace | None = None,
        key: str = "",
        window: int = DEFAULT_WINDOW_TOKENS,
        chaos: Callable[[int], Fault | None] = lambda number: None,
        received: Callable[[ReceivedRequest], object] | None = None,
        mismatched: Callable[[str], object] = lambda text: None,
    ) -> None:
        """`pace` overrides the tape's own; with `key` other keys get the 401; what is over `window` tokens the 400.

        `chaos` is asked for each chat completion, by its number from 1, what goes wrong with it beside the tape's own.
        `received` gets each request; without it they are kept in `requests`. `mismatched` gets what the tape
        did not expect. Raises UserError for a `host` that others could reach.
        """
        if not is_loopback(host):
            raise UserError(f"The mock server listens on loopback only, not on {host!r}; use 127.0.0.1.")
        self.requests: list[ReceivedRequest] = []
        self.connections = 0
        self.left = asyncio.Event()
        self._address = (host, port)
        self._player = TapePlayer(tape, pace, window)
        self._chaos = chaos
        self._asked = 0
        self._key = key
        self._received = received or self.requests.append
        self._mismatched = mismatched
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._trace = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connection, *self._address, limit=MAX_HEAD_BYTES)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    @property
    def base_url(self) -> str:
        """What an OpenAI client is given."""
        assert self._server is not None, "the server runs inside its `async with` only"
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"

    @property
    def bodies(self) -> list[bytes]:
        """The raw bodies of the chat completions asked for so far."""
        return [each.body for each in self.requests if each.method == "POST"]

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.connections += 1
        exchange = HttpExchange(reader, writer, self.left)
        try:
            while await self._answer_one(exchange):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except (asyncio.LimitOverrunError, ValueError):
            await exchange.error(RequestRefusal("Invalid request: this is no HTTP/1.1 request"))
        except asyncio.CancelledError:
            pass  # the server is closing; a stream protocol would report a cancelled handler as an error
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer_one(self, exchange: HttpExchange) -> bool:
        """Answer one request; whether the connection can take another."""
        request = await exchange.request()
        if request is None:
            return False
        self._received(request)
        self._trace += 1
        exchange.trace = f"{self._trace:032x}"
        if self._key and request.headers.get("authorization") != f"Bearer {self._key}":
            text = "Incorrect API key provided" if "authorization" in request.headers else "Invalid Authentication"
            return await exchange.error(RequestRefusal(text, 401, "incorrect_api_key_error"))
        match request.method, request.path.partition("?")[0]:
            case "GET", "/v1/models":
                return await exchange.json(200, _list_models(self._player.window))
            case "POST", "/v1/chat/completions":
                return await self._complete(exchange, request.body)
            case _:
                return await exchange.error(RequestRefusal("url.not_found", 404, "url.not_found"))

    async def _complete(self, exchange: HttpExchange, body: bytes) -> bool:
        self._asked += 1
        injected = self._chaos(self._asked)
        try:
            answer = self._player.answer(body)
        except TapeMismatch as error:
            self._mismatched(str(error))
            return await exchange.error(RequestRefusal(str(error), 400, "tape_mismatch"))
        if isinstance(answer, RequestRefusal):
            return await exchange.error(answer)
        value = msgspec.json.decode(body)
        fault = injected or self._player.fault(answer, str(value.get("prompt_cache_key") or ""))
        return await self._send_answer(exchange, answer, value, fault)

    async def _send_answer(
        self, exchange: HttpExchange, answer: ScriptedAnswer, body: dict[str, Any], fault: Fault | None
    ) -> bool:
        model = str(body["model"])
        if not body.get("stream") and fault is None:
            return await exchange.json(200, build_completion(answer, model))
        options = body.get("stream_options")
        include_usage = isinstance(options, dict) and options.get("include_usage") is True
        return await exchange.play(self._player.reply(answer, model, include_usage=include_usage, fault=fault))


def serve_tape(
    tape: Path,
    *,
    out: TextIO,
    host: str = "127.0.0.1",
    port: int = 0,
    save: Path | None = None,
    pace: Pace | None = None,
    window: int = DEFAULT_WINDOW_TOKENS,
) -> None:
    """Serve the tape in the file `tape` until SIGINT or SIGTERM.

    The first line on `out` is the base URL, further ones say what the tape did not expect. With `save` each body
    becomes a numbered file in that folder; `window` is in tokens. Raises UserError for a bad tape, folder or port.
    """

    def say(text: str) -> None:
        out.write(f"{text}\n")
        out.flush()

    keep = _make_body_saver(save, say) if save else lambda received: None
    server = MockServer(Tape.load(tape), host=host, port=port, pace=pace, window=window, received=keep, mismatched=say)
    asyncio.run(_serve_until_signal(server, say))


async def _serve_until_signal(server: MockServer, say: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with server:
            say(server.base_url)
            await stop.wait()
    except (OSError, OverflowError) as error:
        raise UserError(f"The mock server cannot listen there: {error}.") from error


def _make_body_saver(folder: Path, say: Callable[[str], None]) -> Callable[[ReceivedRequest], object]:
    """A callable that saves request bodies as numbered files, going on from those that are there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        kept = max((int(path.stem) for path in folder.glob("*.json") if path.stem.isdecimal()), default=0)
    except OSError as error:
        raise UserError(f"Cannot keep requests in {folder}: {error.strerror}.") from error

    def keep(received: ReceivedRequest) -> None:
        nonlocal kept
        if received.method != "POST":
            return
        kept += 1
        try:
            (folder / f"{kept:05}.json").write_bytes(received.body)
        except OSError as error:
            say(f"Cannot keep request {kept} in {folder}: {error.strerror}.")

    return keep


def _list_models(window: int) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [
            {
                "id": name,
                "object": "model",
                "created": 1_700_000_000,
                "owned_by": "moonshot",
                "context_length": 1_048_576 if name == "kimi-k3" else window,
                "supports_image_in": True,
                "supports_video_in": True,
                "supports_reasoning": True,
            }
            for name in MOONSHOT_MODELS
        ],
    }
