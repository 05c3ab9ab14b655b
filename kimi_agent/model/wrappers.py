"""What stands around a model: today the retry of what may pass.

One attempt is one stream, and nothing of it is history before it is complete; so a break in the middle is tried again
like one before the first byte, and `Retrying` tells everyone to forget what had been streamed.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kimi_agent.errors import ModelError, Refused, Unavailable
from kimi_agent.log.events import CallDelta, Retrying, TextDelta
from kimi_agent.model.base import Delta, Finish, Model, Request
from kimi_agent.model.trouble import Doubtful


@dataclass(frozen=True)
class RetryPolicy:
    """How patient to be: attempts in all, full-jitter waits between them, and the seconds all waits may add up to."""

    tries: int = 8
    first_wait_s: float = 0.5
    longest_wait_s: float = 32.0
    budget_s: float = 300.0


def retry(
    model: Model,
    policy: RetryPolicy,
    *,
    sleep: Callable[[float], Awaitable[None]],
    random: Callable[[], float],
    clock: Callable[[], float],
) -> Model:
    """`model`, but what is Unavailable and may pass is asked again.

    `random` gives numbers in [0, 1), `clock` Unix time. An answer without text and without calls counts as
    Unavailable here, for every kind of model, so that history never gets one: servers refuse it for ever after.
    """
    return _Retry(model, policy, sleep, random, clock)


@dataclass(frozen=True)
class _Retry:
    model: Model
    policy: RetryPolicy
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]
    clock: Callable[[], float]

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def window(self) -> int:
        return self.model.window

    async def aclose(self) -> None:
        await self.model.aclose()

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The deltas of the first attempt that succeeds, each failed one before it ended by a Retrying."""
        waited_s, attempt = 0.0, 1
        while True:
            try:
                async with _closing(_never_empty(self.model.stream(request))) as deltas:
                    async for delta in deltas:
                        yield delta
                return
            except Unavailable as error:
                wait_s = self._wait_s(error, attempt, waited_s)
                why = str(error)
            attempt += 1
            yield Retrying(why, wait_s, attempt)
            waited_s += wait_s
            await self.sleep(wait_s)

    def _wait_s(self, error: Unavailable, attempt: int, waited_s: float) -> float:
        """The seconds until the next attempt; raises where there is none."""
        if not error.retry:
            raise error
        tries = min(self.policy.tries, error.tries) if isinstance(error, Doubtful) else self.policy.tries
        left_s = self.policy.budget_s - waited_s
        if error.wait_s > left_s:
            at = time.strftime("%H:%M", time.localtime(self.clock() + error.wait_s))
            raise _final(error, f"Retry at {at}.") from error
        if attempt >= tries or left_s <= 0:
            raise _final(error, f"Given up after {attempt} attempts." if attempt > 1 else "") from error
        longest_s = min(self.policy.longest_wait_s, self.policy.first_wait_s * 2.0 ** min(attempt - 1, 30))
        return min(left_s, max(error.wait_s, self.random() * longest_s))


def _final(error: Unavailable, last_words: str) -> Unavailable:
    text = f"{str(error).rstrip('.')}. {last_words}" if last_words else str(error)
    return Unavailable(text, error.wait_s, retry=False, exit_code=error.exit_code)


@asynccontextmanager
async def _closing(deltas: AsyncIterator[Delta]) -> AsyncIterator[AsyncIterator[Delta]]:
    """Close a stream that is left early, so that its connection is not kept until the garbage collector comes."""
    try:
        yield deltas
    finally:
        if isinstance(deltas, AsyncGenerator):
            await deltas.aclose()


async def _never_empty(stream: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
    """The same deltas; an answer that ends without a word or a call raises instead of ending."""
    said = False
    async with _closing(stream) as deltas:
        async for delta in deltas:
            match delta:
                case TextDelta(text):
                    said = said or bool(text.strip())
                case CallDelta():
                    said = True
                case Finish(reason) if not said:
                    raise _empty(reason)
                case _:
                    pass
            yield delta


def _empty(reason: str) -> ModelError:
    if reason == "content_filter":
        return Refused("The provider's content filter stopped the answer before its first word.", 200)
    if reason == "length":
        text = "The answer reached the output limit before its first word: all of it was reasoning."
        return Refused(f"{text} Raise max_output, or ask for a smaller step.", 200)
    return Doubtful("The model gave an empty answer.", tries=3)
