"""Rate limiter shared by all agents of a process: a 429 that one of them gets slows them all."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kimi_agent.errors import Unavailable
from kimi_agent.model.admission import wrap_with_admission
from kimi_agent.model.protocol import DEFAULT_OUTPUT_TOKENS, Model, Request, Sleep
from kimi_agent.model.retrying.limiter_state import MAX_HOLD_S, Delay, LimiterState

_REPORT_EVERY_S = 10.0
_WRAP_UP_HOLD_S = 10.0
"""How long a wrap-up waits at most because the server asked for it: the turn is over."""


class RateLimiter:
    """Lets requests start in the order they came, as many and as fast as the account is known to allow."""

    def __init__(self, *, clock: Callable[[], float], sleep: Sleep, most: int = 64) -> None:
        """`clock` gives seconds that never go back."""
        self._clock = clock
        self._sleep = sleep
        self._reported_at = -_REPORT_EVERY_S
        self._slots = LimiterState(most)
        self._turn = asyncio.Lock()
        self._ended = asyncio.Event()

    @property
    def max_in_flight(self) -> int:
        """How many requests may be in flight now."""
        return self._slots.max_in_flight

    def wrap(self, model: Model, report: Callable[[Delay], object] = lambda delay: None) -> Model:
        """`model`, asked only when a place is free; the place is held until the answer ends.

        `report` gets why a request waits for longer than a moment: one sentence in ten seconds, for all agents.
        """

        @asynccontextmanager
        async def placed(request: Request) -> AsyncIterator[Request]:
            burst = await self._enter(request, report)
            try:
                yield request
            except Unavailable as error:
                if error.exit_code == 75 and error.retry:
                    self._slots.record_rate_limit(self._clock(), error, burst)
                raise
            finally:
                self._slots.end()
                self._ended.set()

        return wrap_with_admission(model, placed)

    async def _enter(self, request: Request, report: Callable[[Delay], object]) -> int:
        """Wait until the request may start; returns its burst. Raises Unavailable where that would take too long."""
        tokens = request.tokens + (request.max_output or DEFAULT_OUTPUT_TOKENS) if request.tokens else 0
        most_s = _WRAP_UP_HOLD_S if request.purpose == "wrap_up" else MAX_HOLD_S
        async with self._turn:  # a lock lets in whoever came first; only the first one watches the clock
            while True:
                now = self._clock()
                if refused := self._slots.refused(now, most_s):
                    raise refused
                delay = self._slots.find_delay(now, tokens)
                if delay is None:
                    return self._slots.start(now, tokens)
                if delay.message and now - self._reported_at >= _REPORT_EVERY_S:
                    self._reported_at = now
                    report(delay)
                await self._wait(delay.wait_s)

    def ask_again(self) -> None:
        """Let the next request out although the server asked for patience: a person sent it."""
        self._slots.ask_again()

    async def _wait(self, wait_s: float) -> None:
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
