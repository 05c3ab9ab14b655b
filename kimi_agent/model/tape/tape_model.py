"""Tape model: plays a tape in this process, with the same body and bytes as over HTTP, without the HTTP."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec

from kimi_agent.config import DEFAULT_MODEL, DEFAULT_WINDOW_TOKENS
from kimi_agent.errors import Refused, Unavailable
from kimi_agent.model.endpoint.profiles import DEFAULT_CLOCKS, MOONSHOT, Clocks
from kimi_agent.model.protocol import Delta, Request, Sleep, UnixClock
from kimi_agent.model.tape.choose_entry import TapeMismatch, choose_entry
from kimi_agent.model.tape.expectations import TapeRequest
from kimi_agent.model.tape.moonshot_rules import RequestRefusal, check_request, check_window
from kimi_agent.model.tape.played_reply import PlayedReply, build_reply, parse_pace
from kimi_agent.model.tape.scripted_answer import ScriptedAnswer, fill_answer
from kimi_agent.model.tape.simulated_usage import PromptCache, render_prompt
from kimi_agent.model.tape.tape_format import Fault, Pace, Tape
from kimi_agent.model.text_tokens import estimate_tokens
from kimi_agent.model.wire.http_errors import Endpoint, error_from_status
from kimi_agent.model.wire.request_encoder import BlobReader, RequestDialect, RequestEncoder, build_cache_key
from kimi_agent.model.wire.response_stream import read_answer


@dataclass
class TapePlayer:
    """Plays one tape; `pace` overrides the tape's own, `window` is in tokens.

    All it remembers is how often each fault has happened, and the last prompts, as a provider's cache would.
    """

    tape: Tape
    pace: Pace | None = None
    window: int = DEFAULT_WINDOW_TOKENS
    _cache: PromptCache = field(default_factory=PromptCache)
    _fault_counts: Counter[tuple[str, int]] = field(default_factory=Counter)

    def answer(self, body: bytes) -> ScriptedAnswer | RequestRefusal:
        """What the tape answers to this request body, or why it is not taken. Raises TapeMismatch."""
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return RequestRefusal(f"Invalid request: the body is not JSON in UTF-8 ({error})")
        if refused := check_request(value):
            return refused
        prompt = render_prompt(value)
        if refused := check_window(value, estimate_tokens(prompt), self.window):
            return refused
        request = TapeRequest(value)
        count = partial(self._cache.usage, request.session, prompt)
        return fill_answer(self.tape, choose_entry(self.tape, request), request, count)

    def fault(self, answer: ScriptedAnswer, session: str) -> Fault | None:
        """The fault of this line, if it has yet to happen in this conversation."""
        if answer.fault is None:
            return None
        self._fault_counts[session, answer.number] += 1
        times = answer.fault.times
        return answer.fault if times == "always" or self._fault_counts[session, answer.number] <= times else None

    def reply(self, answer: ScriptedAnswer, model: str, *, include_usage: bool, fault: Fault | None) -> PlayedReply:
        """The streamed answer, as fast as the tape or `pace` says, and with what goes wrong this time."""
        pace = self.pace or parse_pace(answer.pace)
        return build_reply(answer, model, pace=pace, include_usage=include_usage, fault=fault)


class TapeModel:
    """A `Model` whose answers come from a tape. It refuses what Moonshot would refuse."""

    def __init__(
        self,
        tape: Tape,
        *,
        blob: BlobReader,
        window: int = DEFAULT_WINDOW_TOKENS,
        pace: Pace | None = None,
        clocks: Clocks = DEFAULT_CLOCKS,
        sleep: Sleep = asyncio.sleep,
        now: UnixClock = time.time,
        seen: Callable[[bytes], object] = lambda body: None,
    ) -> None:
        """`pace` overrides the tape's own; `seen` gets each request's body as it would go over the wire."""
        self._player = TapePlayer(tape, pace, window)
        self._encoder = RequestEncoder(RequestDialect(DEFAULT_MODEL, MOONSHOT, window=window), blob)
        self._endpoint = Endpoint(DEFAULT_MODEL, tape.name)
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
        """There is nothing to close."""

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The deltas of the line that answers. Raises Refused where the request is not what the tape expects."""
        body = self._encoder.body(request)
        self._seen(body)
        try:
            answer = self._player.answer(body)
        except TapeMismatch as error:
            raise Refused(str(error), 400) from error
        if isinstance(answer, RequestRefusal):
            raise error_from_status(answer.status, {}, msgspec.json.encode(answer.body), self._endpoint, self._now())
        fault = self._player.fault(answer, build_cache_key(request))
        reply = self._player.reply(answer, DEFAULT_MODEL, include_usage=True, fault=fault)
        if reply.status != 200:
            content = b"".join(piece for piece, _ in reply.pieces)
            raise error_from_status(reply.status, reply.headers, content, self._endpoint, self._now())
        kind, at = reply.headers["content-type"], self._endpoint
        chunks = self._chunks(reply)
        async for delta in read_answer(chunks, content_type=kind, endpoint=at, clocks=self._clocks, now=self._now):
            yield delta

    async def _chunks(self, reply: PlayedReply) -> AsyncIterator[bytes]:
        for piece, delay_s in reply.pieces:
            if delay_s:
                await self._sleep(delay_s)
            yield piece
        if reply.ending == "stall":
            await asyncio.Event().wait()
        if reply.ending in ("cut", "drop"):
            raise Unavailable("The connection broke off (the tape says so).")
