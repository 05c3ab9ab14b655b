"""Retry wrapper: asks again after a failure that may pass, and continues an answer that broke off.

The policy says how often and how long. One attempt is one stream, and nothing of it is history before it is
complete. At a break in the middle a `Retrying` asks every reader to forget what had been streamed, or to keep it
because the next attempt goes on behind it.
"""

import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Literal

from kimi_agent.config import SETTINGS
from kimi_agent.errors import Refused, TooLong, Unavailable
from kimi_agent.model.protocol import Delta, Model, Request, Sleep, UnixClock, WrappedModel, closing_stream
from kimi_agent.model.retrying.attempts import AnswerAttempts, EmptyAnswer
from kimi_agent.model.wire.http_errors import LikelyPermanent

_MAX_SLEEP_SLICE_S = 60.0
_MAX_COUNTED_ATTEMPT_S = 1800.0
_MAX_QUOTA_WAIT_S = 8 * 86_400.0
_MIN_NAMED_RESET_S = 60.0
_QUOTA_PROBE_WAITS_S = (300.0, 600.0, 1200.0, 1800.0)
_PERIOD_TRIES = 3
_EMPTY_TRIES = 3


@dataclass(frozen=True)
class RetryPolicy:
    """The retry limits: attempts in all, full-jitter waits between them, and a budget in seconds.

    The budget is what the waits may add up to; with `wall_clock` the attempts after the first one count too. With
    `wait_for_quota` a limit of the account that ends by itself is waited out, for up to 8 days.
    """

    tries: int = 8
    first_wait_s: float = 0.5
    longest_wait_s: float = 32.0
    budget_s: float = 300.0
    wait_for_quota: bool = False
    wall_clock: bool = False


INTERACTIVE_RETRY = RetryPolicy()
UNATTENDED_RETRY = RetryPolicy(tries=1_000_000, budget_s=SETTINGS["retry.unattended_s"].default, wall_clock=True)
WRAP_UP_RETRY = RetryPolicy(tries=3, budget_s=10.0)
"""For the answer that only wraps up: the turn is over, and nobody waits long for its last words."""


@dataclass(frozen=True)
class FailureTally:
    """The failures so far: `tries` attempts with the one that just failed, `likely_permanent` of them so in a row.

    `spent_s` is spent of the budget. These begin anew after a wait for a quota; the others don't: `empties` counts
    empty answers, `probes` the waits for a quota, which add up to `quota_s`.

    Example: after two 503s and then a refused connection it is tries=3, likely_permanent=1, empties=0, probes=0.
    """

    tries: int = 1
    likely_permanent: int = 0
    spent_s: float = 0.0
    empties: int = 0
    probes: int = 0
    quota_s: float = 0.0

    def failed(self, error: Unavailable, took_s: float) -> "FailureTally":
        """With one more failure, after `took_s` seconds that count."""
        return replace(
            self,
            likely_permanent=self.likely_permanent + 1 if isinstance(error, LikelyPermanent) else 0,
            empties=self.empties + isinstance(error, EmptyAnswer),
            spent_s=self.spent_s + took_s,
        )

    def waited(self, wait: "WaitAndRetry") -> "FailureTally":
        """The tally at the attempt after this wait."""
        if wait.for_quota:
            return FailureTally(empties=self.empties, probes=self.probes + 1, quota_s=self.quota_s + wait.seconds)
        return replace(self, tries=self.tries + 1, spent_s=self.spent_s + wait.seconds)


@dataclass(frozen=True)
class WaitAndRetry:
    """Ask again after so many seconds. A wait `for_quota` is not taken from the policy's budget."""

    seconds: float
    for_quota: bool = False


@dataclass(frozen=True)
class GiveUp:
    """Don't ask again: that cannot help ("never"), was tried enough ("tries"), or helps only much later ("later")."""

    why: Literal["never", "tries", "later"]


def decide_retry(error: Unavailable, policy: RetryPolicy, tally: FailureTally, random: float) -> WaitAndRetry | GiveUp:
    """Decide what follows this failure, which `tally` counts already. `random` is in [0, 1)."""
    if not error.retry:
        return GiveUp("never")
    left_s = max(0.0, policy.budget_s - tally.spent_s)
    tried, later = left_s == 0 or _is_tried_enough(error, policy, tally), error.wait_s > left_s
    if policy.wait_for_quota and error.exit_code == 75 and (tried or later):
        # Every 429 asks for a second or so: that names no reset.
        named = error.wait_s >= _MIN_NAMED_RESET_S or not tried
        wait_s = error.wait_s if named else _QUOTA_PROBE_WAITS_S[min(tally.probes, len(_QUOTA_PROBE_WAITS_S) - 1)]
        if tally.quota_s + wait_s <= _MAX_QUOTA_WAIT_S:
            return WaitAndRetry(wait_s, for_quota=True)
    if later:
        return GiveUp("later")
    if tried:
        return GiveUp("tries")
    longest_s = min(policy.longest_wait_s, policy.first_wait_s * 2.0 ** min(tally.tries - 1, 30))
    return WaitAndRetry(min(left_s, max(error.wait_s, random * longest_s)))


def _is_tried_enough(error: Unavailable, policy: RetryPolicy, tally: FailureTally) -> bool:
    """Whether another try is not worth it."""
    if tally.tries >= policy.tries:
        return True
    if isinstance(error, LikelyPermanent):
        return tally.likely_permanent >= error.tries
    if isinstance(error, EmptyAnswer):
        return tally.empties >= _EMPTY_TRIES
    return error.limit == "period" and (policy.wait_for_quota or tally.tries >= _PERIOD_TRIES)


def wrap_with_retry(
    model: Model, policy: RetryPolicy, *, partial: bool, sleep: Sleep, random: Callable[[], float], clock: UnixClock
) -> Model:
    """`model`, but what is Unavailable and may pass is asked again.

    `partial` says that it continues the start of an answer (`Request.partial`): then text that was streamed before
    a break is kept. `random` gives numbers in [0, 1), `clock` Unix time. An answer without text and without calls
    counts as Unavailable here, for every kind of model, so that history never gets one: servers refuse it for ever.
    """
    return WrappedModel(model, _RetryingModel(model, policy, partial, sleep, random, clock).stream)


@dataclass(frozen=True)
class _RetryingModel:
    model: Model
    policy: RetryPolicy
    partial: bool
    sleep: Sleep
    random: Callable[[], float]
    clock: UnixClock

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The deltas of the first attempt that succeeds, each failed one before it ended by a Retrying."""
        answer = AnswerAttempts(request, goes_on=self.partial and request.partial is None)
        tally, began_at = FailureTally(), self.clock()
        policy = WRAP_UP_RETRY if request.purpose == "wrap_up" else self.policy
        while True:
            try:
                async with closing_stream(self.model.stream(answer.next_request(tally.empties))) as deltas:
                    async for delta in deltas:
                        answer.add(delta)
                        yield delta
                return
            except Unavailable as error:
                tally = tally.failed(error, self._counted_s(policy, tally, began_at))
                wait = self._decide(error, policy, tally, answer.attempt)
                retrying = answer.break_off(str(error), wait.seconds)
            except (Refused, TooLong) as error:
                if not answer.continuation_refused(error):
                    raise
                wait = WaitAndRetry(0.0)
                retrying = answer.break_off(str(error), wait.seconds)
            tally = tally.waited(wait)
            yield retrying
            await self._wait(wait.seconds)
            began_at = self.clock()

    def _counted_s(self, policy: RetryPolicy, tally: FailureTally, began_at: float) -> float:
        """The seconds of this attempt that count for the budget; more than it took if the machine slept."""
        if not policy.wall_clock or tally.tries == 1:
            return 0.0
        return min(max(0.0, self.clock() - began_at), _MAX_COUNTED_ATTEMPT_S)

    def _decide(self, error: Unavailable, policy: RetryPolicy, tally: FailureTally, attempt: int) -> WaitAndRetry:
        """The wait until the next attempt; raises where there is none."""
        match decide_retry(error, policy, tally, self.random()):
            case WaitAndRetry() as wait:
                return wait
            case GiveUp("later"):
                hint = "; --wait-for-quota would wait for it" if _would_wait_for_quota(error, policy) else ""
                at = _format_retry_time(self.clock(), error.wait_s)
                raise _final_error(error, f"Retry at {at}{hint}.") from error
            case GiveUp("tries") if attempt > 1:
                raise _final_error(error, f"Given up after {attempt} attempts.") from error
            case _:
                raise error

    async def _wait(self, seconds: float) -> None:
        """Sleep by the clock, in slices: a machine that was suspended wakes up late, a clock may be set back."""
        until, slept_s, left_s = self.clock() + seconds, 0.0, seconds
        while True:
            slice_s = min(left_s, _MAX_SLEEP_SLICE_S)
            await self.sleep(slice_s)
            slept_s += slice_s
            left_s = min(until - self.clock(), seconds - slept_s)
            if left_s <= 0:
                return


def _would_wait_for_quota(error: Unavailable, policy: RetryPolicy) -> bool:
    """Whether a wait for the quota, which was not asked for, would last until this is over."""
    return error.exit_code == 75 and not policy.wait_for_quota and error.wait_s <= _MAX_QUOTA_WAIT_S


def _final_error(error: Unavailable, last_words: str) -> Unavailable:
    text = f"{str(error).rstrip('.')}. {last_words}"
    return Unavailable(text, error.wait_s, retry=False, exit_code=error.exit_code, limit=error.limit)


def _format_retry_time(now: float, wait_s: float) -> str:
    """The time of day after `wait_s` seconds, with the day if it is another one; rounded up, not to be too early."""
    then, today = time.localtime(math.ceil((now + wait_s) / 60) * 60), time.localtime(now)
    return time.strftime("%H:%M" if then[:3] == today[:3] else "%H:%M on %Y-%m-%d", then)
