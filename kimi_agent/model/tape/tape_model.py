"""A model that plays a tape in this process: the same body and the same bytes as over HTTP, without the HTTP."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec

from kimi_agent.errors import Refused, Unavailable
from kimi_agent.model.base import Delta, Request
from kimi_agent.model.endpoint.profiles import DEFAULT_CLOCKS, MOONSHOT, Clocks
from kimi_agent.model.tape.expectations import Asking
from kimi_agent.model.tape.format import Fault, Pace, Tape
from kimi_agent.model.tape.moonshot_rules import WINDOW, Refusal, over_window, refusal
from kimi_agent.model.tape.played_reply import Reply, pace_of, reply
from kimi_agent.model.tape.position import TapeMismatch, choose
from kimi_agent.model.tape.scripted_answer import Answer, answer
from kimi_agent.model.tape.simulated_usage import Cache, prompt_of, tokens
from kimi_agent.model.wire.http_errors import Endpoint, of_status
from kimi_agent.model.wire.request_encoder import Blob, Dialect, Encoder, cache_key
from kimi_agent.model.wire.stream import Now, read_answer

Sleep = Callable[[float], Awaitable[None]]


@dataclass
class Player:
    """Plays one tape; `pace` overrides the tape's own, `window` is in tokens.

    All it remembers is how often each fault has struck, and the last prompts, as a provider's cache would.
    """

    tape: Tape
    pace: Pace | None = None
    window: int = WINDOW
    _cache: Cache = field(default_factory=Cache)
    _struck: Counter[tuple[str, int]] = field(default_factory=Counter)

    def answer(self, body: bytes) -> Answer | Refusal:
        """What the tape answers to this request body, or why it is not taken. Raises TapeMismatch."""
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Refusal(f"Invalid request: the body is not JSON in UTF-8 ({error})")
        if refused := refusal(value):
            return refused
        prompt = prompt_of(value)
        if refused := over_window(value, tokens(prompt), self.window):
            return refused
        asking = Asking(value)
        count = partial(self._cache.usage, asking.session, prompt)
        return answer(self.tape, choose(self.tape, asking), asking, count)

    def fault(self, answer: Answer, session: str) -> Fault | None:
        """The fault of this line, if it has still to strike in this conversation."""
        fault = answer.fault
        if fault is None:
            return None
        self._struck[session, answer.number] += 1
        if fault.times != "always" and self._struck[session, answer.number] > fault.times:
            return None
        return fault

    def reply(self, answer: Answer, model: str, *, include_usage: bool, fault: Fault | None) -> Reply:
        """The streamed answer, as fast as the tape or `pace` says, and with what goes wrong this time."""
        pace = self.pace or pace_of(answer.pace)
        return reply(answer, model, pace=pace, include_usage=include_usage, fault=fault)


class TapeModel:
    """A `Model` whose answers stand in a tape. It refuses what Moonshot would refuse."""

    def __init__(
        self,
        tape: Tape,
        *,
        blob: Blob,
        window: int = 262_144,
        pace: Pace | None = None,
        clocks: Clocks = DEFAULT_CLOCKS,
        sleep: Sleep = asyncio.sleep,
        now: Now = time.time,
        seen: Callable[[bytes], object] = lambda body: None,
    ) -> None:
        """`pace` overrides the tape's own; `seen` gets each request's body as it would go over the wire."""
        self._player = Player(tape, pace, window)
        self._encoder = Encoder(Dialect("kimi-k2.6", MOONSHOT, window=window), blob)
        self._endpoint = Endpoint("kimi-k2.6", tape.name)
        self._window = window
        self._clocks = clocks
        self._sleep = sleep
        self._now = now
        self._seen = seen

    @property
    def name(self) -> str:
        """`tape:` and the tape's name."""
        return f"tape:{self._player.tape.name}"

    @property
    def window(self) -> int:
        return self._window

    async def aclose(self) -> None:
        """There is nothing to give back."""

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The deltas of the line that answers. Raises Refused where the request is not what the tape expects."""
        body = self._encoder.body(request)
        self._seen(body)
        try:
            said = self._player.answer(body)
        except TapeMismatch as error:
            raise Refused(str(error), 400) from error
        if isinstance(said, Refusal):
            raise of_status(said.status, {}, msgspec.json.encode(said.body), self._endpoint, self._now())
        fault = self._player.fault(said, cache_key(request))
        reply = self._player.reply(said, "kimi-k2.6", include_usage=True, fault=fault)
        if reply.status != 200:
            content = b"".join(piece for piece, _ in reply.pieces)
            raise of_status(reply.status, reply.headers, content, self._endpoint, self._now())
        content_type = reply.headers["content-type"]
        async for delta in read_answer(
            self._chunks(reply), content_type=content_type, endpoint=self._endpoint, clocks=self._clocks, now=self._now
        ):
            yield delta

    async def _chunks(self, reply: Reply) -> AsyncIterator[bytes]:
        for piece, delay_s in reply.pieces:
            if delay_s:
                await self._sleep(delay_s)
            yield piece
        if reply.ending == "stall":
            await asyncio.Event().wait()
        if reply.ending in ("cut", "drop"):
            raise Unavailable("The connection broke off (the tape says so).")
