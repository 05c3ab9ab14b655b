"""Rate limiter shared by all agents of a process: a 429 that one of them gets slows them all."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from kimi_agent.errors import Unavailable
from kimi_agent.model.base import DEFAULT_OUTPUT_TOKENS, Delta, Model, Request, WrappedModel
from kimi_agent.model.closing_stream import closing_stream
from kimi_agent.model.retrying.limiter_state import MAX_HOLD_S, Delay, LimiterState

_REPORT_EVERY_S = 10.0
_WRAP_UP_HOLD_S = 10.0
"""So long what only wraps up waits for the server's patience: the turn is over."""


class RateLimiter:
    """Lets requests start in the order they came, as many and as fast as the account is known to allow."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        most: int = 64,
    ) -> None:
        """`clock` gives seconds that never go back."""
        self._clock = clock
        self._sleep = sleep
        self._told_at = -_REPORT_EVERY_S
        self._slots = LimiterState(most)
        self._turn = asyncio.Lock()
        self._ended = asyncio.Event()

    @property
    def max_in_flight(self) -> int:
        """How many requests may be in flight now."""
        return self._slots.max_in_flight

    def wrap(self, model: Model, told: Callable[[Delay], object] = lambda obstacle: None) -> Model:
        """`model`, asked only when a place is free; the place is held until the answer ends.

        `told` hears why a request waits for longer than a moment: one sentence in ten seconds, for all agents.
        """
        return WrappedModel(model, _RateLimitedModel(model, self, told).stream)

    async def enter(self, request: Request, told: Callable[[Delay], object]) -> int:
        """Wait until the request may start; returns its burst. Raises Unavailable where that would take too long."""
        tokens = request.tokens + (request.max_output or DEFAULT_OUTPUT_TOKENS) if request.tokens else 0
        most_s = _WRAP_UP_HOLD_S if request.purpose == "wrap_up" else MAX_HOLD_S
        async with self._turn:  # a lock lets in whoever came first; only the first one watches the clock
            while True:
                now = self._clock()
                if refused := self._slots.refused(now, most_s):
                    raise refused
                obstacle = self._slots.find_delay(now, tokens)
                if obstacle is None:
                    return self._slots.start(now, tokens)
                if obstacle.message and now - self._told_at >= _REPORT_EVERY_S:
                    self._told_at = now
                    told(obstacle)
                await self._change(obstacle.wait_s)

    def leave(self) -> None:
        """Give a place back."""
        self._slots.end()
        self._ended.set()

    def ask_again(self) -> None:
        """Let the next request out although the server asked for patience: a person sent it."""
        self._slots.ask_again()

    def record_rate_limit(self, error: Unavailable, burst: int) -> None:
        """A request was refused for its rate."""
        self._slots.record_rate_limit(self._clock(), error, burst)

    async def _change(self, wait_s: float) -> None:
        """Wait until a request ends, or for `wait_s` seconds."""
        self._ended.clear()
        if wait_s == math.inf:
            await self._ended.wait()
            return
        waits = [asyncio.ensure_future(self._sleep(wait_s)), asyncio.ensure_future(self._ended.wait())]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


@dataclass(frozen=True)
class _RateLimitedModel:
    model: Model
    limiter: RateLimiter
    told: Callable[[Delay], object]

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The deltas of the model, once there is a place for the request."""
        burst = await self.limiter.enter(request, self.told)
        try:
            async with closing_stream(self.model.stream(request)) as deltas:
                async for delta in deltas:
                    yield delta
        except Unavailable as error:
            if error.exit_code == 75 and error.retry:
                self.limiter.record_rate_limit(error, burst)
            raise
        finally:
            self.limiter.leave()
