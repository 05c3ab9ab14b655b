"""Asking again: what may pass is tried again as long as the policy allows, and what broke off is gone on with.

One attempt is one stream, and nothing of it is history before it is complete. At a break in the middle a `Retrying`
tells everyone to forget what had been streamed, or to keep it because the next attempt goes on behind it.
"""

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal

from kimi_agent.errors import Refused, TooLong, Unavailable
from kimi_agent.model.base import Delta, Model, Request, Wrapped
from kimi_agent.model.closing_stream import closing
from kimi_agent.model.retrying.attempts import Answer, Empty
from kimi_agent.model.wire.http_errors import Doubtful

_SLICE_S = 60.0
_LONGEST_ATTEMPT_S = 1800.0
_LONGEST_QUOTA_S = 8 * 86_400.0
_NAMED_S = 60.0
_PROBES_S = (300.0, 600.0, 1200.0, 1800.0)
_PERIOD_TRIES = 3
_EMPTY_TRIES = 3


@dataclass(frozen=True)
class RetryPolicy:
    """How patient to be: attempts in all, full-jitter waits between them, and a budget in seconds.

    The budget is what the waits may add up to; with `wall_clock` the attempts after the first one count too. With
    `wait_for_quota` a limit of the account that ends by itself is waited out, for up to 8 days.
    """

    tries: int = 8
    first_wait_s: float = 0.5
    longest_wait_s: float = 32.0
    budget_s: float = 300.0
    wait_for_quota: bool = False
    wall_clock: bool = False


INTERACTIVE = RetryPolicy()
UNATTENDED = RetryPolicy(tries=1_000_000, budget_s=7200.0, wall_clock=True)
LAST_WORDS = RetryPolicy(tries=3, budget_s=10.0)
"""For the answer that only wraps up: the turn is over, and nobody waits long for its last words."""


@dataclass(frozen=True)
class Tally:
    """What has failed so far: `tries` attempts with the one that just did, `doubts` of them doubtful in a row.

    `spent_s` is spent of the budget. These begin anew after a wait for a quota; the others don't: `empties` counts
    empty answers, `probes` the waits for a quota, which add up to `quota_s`.
    """

    tries: int = 1
    doubts: int = 0
    spent_s: float = 0.0
    empties: int = 0
    probes: int = 0
    quota_s: float = 0.0

    def failed(self, error: Unavailable, took_s: float) -> "Tally":
        """With one more failure, after `took_s` seconds that count."""
        return replace(
            self,
            doubts=self.doubts + 1 if isinstance(error, Doubtful) else 0,
            empties=self.empties + isinstance(error, Empty),
            spent_s=self.spent_s + took_s,
        )

    def waited(self, wait: "Wait") -> "Tally":
        """As it stands at the attempt after this wait."""
        if wait.for_quota:
            return Tally(empties=self.empties, probes=self.probes + 1, quota_s=self.quota_s + wait.seconds)
        return replace(self, tries=self.tries + 1, spent_s=self.spent_s + wait.seconds)


@dataclass(frozen=True)
class Wait:
    """Ask again after so many seconds. A wait `for_quota` is not taken from the policy's budget."""

    seconds: float
    for_quota: bool = False


@dataclass(frozen=True)
class GiveUp:
    """Don't ask again: that cannot help ("never"), was tried enough ("tries"), or helps only much later ("later")."""

    why: Literal["never", "tries", "later"]


def decide(error: Unavailable, policy: RetryPolicy, tally: Tally, random: float) -> Wait | GiveUp:
    """What follows this failure, which `tally` counts already. `random` is in [0, 1)."""
    if not error.retry:
        return GiveUp("never")
    left_s = max(0.0, policy.budget_s - tally.spent_s)
    tried, later = left_s == 0 or _tried(error, policy, tally), error.wait_s > left_s
    if policy.wait_for_quota and error.exit_code == 75 and (tried or later):
        # Every 429 asks for a second or so: that names no reset.
        named = error.wait_s >= _NAMED_S or not tried
        wait_s = error.wait_s if named else _PROBES_S[min(tally.probes, len(_PROBES_S) - 1)]
        if tally.quota_s + wait_s <= _LONGEST_QUOTA_S:
            return Wait(wait_s, for_quota=True)
    if later:
        return GiveUp("later")
    if tried:
        return GiveUp("tries")
    longest_s = min(policy.longest_wait_s, policy.first_wait_s * 2.0 ** min(tally.tries - 1, 30))
    return Wait(min(left_s, max(error.wait_s, random * longest_s)))


def _tried(error: Unavailable, policy: RetryPolicy, tally: Tally) -> bool:
    """Whether this was tried often enough."""
    if tally.tries >= policy.tries:
        return True
    if isinstance(error, Doubtful):
        return tally.doubts >= error.tries
    if isinstance(error, Empty):
        return tally.empties >= _EMPTY_TRIES
    return error.limit == "period" and (policy.wait_for_quota or tally.tries >= _PERIOD_TRIES)


def retry(
    model: Model,
    policy: RetryPolicy,
    *,
    partial: bool,
    sleep: Callable[[float], Awaitable[None]],
    random: Callable[[], float],
    clock: Callable[[], float],
) -> Model:
    """`model`, but what is Unavailable and may pass is asked again.

    `partial` says that it goes on with the start of an answer (`Request.partial`): then text that was streamed before
    a break stands. `random` gives numbers in [0, 1), `clock` Unix time. An answer without text and without calls
    counts as Unavailable here, for every kind of model, so that history never gets one: servers refuse it for ever.
    """
    return Wrapped(model, _Retry(model, policy, partial, sleep, random, clock).stream)


@dataclass(frozen=True)
class _Retry:
    model: Model
    policy: RetryPolicy
    partial: bool
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]
    clock: Callable[[], float]

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The deltas of the first attempt that succeeds, each failed one before it ended by a Retrying."""
        answer = Answer(request, goes_on=self.partial and request.partial is None)
        tally, began_at = Tally(), self.clock()
        policy = LAST_WORDS if request.purpose == "wrap_up" else self.policy
        while True:
            try:
                async with closing(self.model.stream(answer.next_request(tally.empties))) as deltas:
                    async for delta in deltas:
                        answer.hear(delta)
                        yield delta
                return
            except Unavailable as error:
                tally = tally.failed(error, self._counted_s(policy, tally, began_at))
                wait = self._decided(error, policy, tally, answer.attempt)
                retrying = answer.broke(str(error), wait.seconds)
            except (Refused, TooLong) as error:
                if not answer.continuation_refused(error):
                    raise
                wait = Wait(0.0)
                retrying = answer.broke(str(error), wait.seconds)
            tally = tally.waited(wait)
            yield retrying
            await self._wait(wait.seconds)
            began_at = self.clock()

    def _counted_s(self, policy: RetryPolicy, tally: Tally, began_at: float) -> float:
        """The seconds of this attempt that are taken from the budget; a machine that slept meanwhile tells too many."""
        if not policy.wall_clock or tally.tries == 1:
            return 0.0
        return min(max(0.0, self.clock() - began_at), _LONGEST_ATTEMPT_S)

    def _decided(self, error: Unavailable, policy: RetryPolicy, tally: Tally, attempt: int) -> Wait:
        """The wait until the next attempt; raises where there is none."""
        match decide(error, policy, tally, self.random()):
            case Wait() as wait:
                return wait
            case GiveUp("later"):
                hint = "; --wait-for-quota would wait for it" if _would_wait(error, policy) else ""
                raise _final(error, f"Retry at {_at(self.clock(), error.wait_s)}{hint}.") from error
            case GiveUp("tries") if attempt > 1:
                raise _final(error, f"Given up after {attempt} attempts.") from error
            case _:
                raise error

    async def _wait(self, seconds: float) -> None:
        """Sleep by the clock, in slices: a machine that was suspended wakes up late, a clock may be set back."""
        until, slept_s, left_s = self.clock() + seconds, 0.0, seconds
        while True:
            slice_s = min(left_s, _SLICE_S)
            await self.sleep(slice_s)
            slept_s += slice_s
            left_s = min(until - self.clock(), seconds - slept_s)
            if left_s <= 0:
                return


def _would_wait(error: Unavailable, policy: RetryPolicy) -> bool:
    """Whether a wait for the quota, which was not asked for, would last until this is over."""
    return error.exit_code == 75 and not policy.wait_for_quota and error.wait_s <= _LONGEST_QUOTA_S


def _final(error: Unavailable, last_words: str) -> Unavailable:
    text = f"{str(error).rstrip('.')}. {last_words}"
    return Unavailable(text, error.wait_s, retry=False, exit_code=error.exit_code, limit=error.limit)


def _at(now: float, wait_s: float) -> str:
    """The time of day after `wait_s` seconds, with the day if it is another one; rounded up, not to be too early."""
    then, today = time.localtime(math.ceil((now + wait_s) / 60) * 60), time.localtime(now)
    return time.strftime("%H:%M" if then[:3] == today[:3] else "%H:%M on %Y-%m-%d", then)
