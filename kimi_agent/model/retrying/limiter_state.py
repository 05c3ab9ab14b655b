"""Rate limiter arithmetic: requests in flight, halved by a 429, grown back in quiet minutes. Pure."""

import math
import re
from collections import deque
from dataclasses import dataclass

from kimi_agent.errors import Unavailable
from kimi_agent.printable import format_count

REQUEST_SPACING_S = 0.7
QUIET_PERIOD_S = 180.0
RATE_WINDOW_S = 60.0
MIN_REPORTED_WAIT_S = 2.0
MAX_HOLD_S = 60.0

_CONCURRENCY_LIMIT = re.compile(r"max (?:organization )?concurrency:? *(\d{1,9})", re.IGNORECASE)
_REQUEST_LIMIT = re.compile(r"max RPM:? *(\d{1,9})", re.IGNORECASE)
_TOKEN_LIMIT = re.compile(r"TPM rate limit.{0,60}?limit:? *(\d{1,12})", re.IGNORECASE)


@dataclass(frozen=True)
class Delay:
    """The next request has to wait: for `wait_s` seconds, or until another one ends if that is sooner.

    `message` is the sentence for the person, "" where it is not worth one. Without a known end `wait_s` is infinite.
    """

    wait_s: float
    message: str = ""


class LimiterState:
    """The requests in flight, how many may be at once, and the limits that the server named.

    A refused rate (a 429) halves them, once for each burst: what started before the last halving says nothing new.
    After each three quiet minutes there is one more, up to `most` or to what the server named.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = most
        self._in_flight = 0
        self._burst = 0
        self._limited_at = -math.inf
        self._grown_at = -math.inf
        self._held_until = -math.inf
        self._held_by: Unavailable | None = None
        self._at_once: int | None = None
        self._requests: int | None = None
        self._tokens: int | None = None
        self._starts: deque[tuple[float, int]] = deque()

    @property
    def max_in_flight(self) -> int:
        """How many requests may be in flight."""
        return min(self._open, self._ceiling)

    @property
    def _ceiling(self) -> int:
        return self._most if self._at_once is None else min(self._most, self._at_once)

    def start(self, now: float, tokens: int) -> int:
        """Count a request as started; returns its burst, which `record_rate_limit` takes."""
        self._in_flight += 1
        self._starts.append((now, tokens))
        return self._burst

    def end(self) -> None:
        """A request ended, well or not."""
        self._in_flight -= 1

    def record_rate_limit(self, now: float, error: Unavailable, burst: int) -> None:
        """A request was refused for its rate: slow all of them down, and learn what the server's words say."""
        words = str(error)
        self._at_once = _find_number(_CONCURRENCY_LIMIT, words) or self._at_once
        self._requests = _find_number(_REQUEST_LIMIT, words) or self._requests
        self._tokens = _find_number(_TOKEN_LIMIT, words) or self._tokens
        if now + error.wait_s > self._held_until:
            self._held_until, self._held_by = now + error.wait_s, error
        if burst == self._burst:
            self._burst += 1
            # One alone is not too many at once; and where a learnt number explains the refusal, that is enough.
            if 1 < self._in_flight <= self.max_in_flight:
                self._open = self._in_flight // 2
        self._limited_at = self._grown_at = now

    def ask_again(self) -> None:
        """Forget how long the server asked to wait: a person wants to know whether it still does."""
        self._held_until, self._held_by = -math.inf, None

    def refused(self, now: float, most_s: float = MAX_HOLD_S) -> Unavailable | None:
        """The answer to what starts just after the server asked for a wait of more than `most_s` seconds.

        So others need not ask it in vain. Only for a minute: by then the account may have been mended, and the next
        request finds that out.
        """
        left_s, by = self._held_until - now, self._held_by
        if by is None or left_s <= most_s or now - self._limited_at >= RATE_WINDOW_S:
            return None
        return Unavailable(str(by), left_s, exit_code=by.exit_code, limit=by.limit)

    def find_delay(self, now: float, tokens: int) -> Delay | None:
        """The delay of a request of so many tokens; None if it may start."""
        self._grow(now)
        if self._in_flight >= self.max_in_flight:
            return self._full(now)
        while self._starts and now - self._starts[0][0] >= RATE_WINDOW_S:
            self._starts.popleft()
        waits = (self._hint(now), self._spaced(now), self._many_requests(now), self._many_tokens(now, tokens))
        return max((each for each in waits if each is not None), key=lambda each: each.wait_s, default=None)

    def _grow(self, now: float) -> None:
        if self._open >= self._ceiling:
            return
        grown = int((now - self._grown_at) // QUIET_PERIOD_S)
        self._open = min(self._ceiling, self._open + grown)
        self._grown_at += grown * QUIET_PERIOD_S

    def _full(self, now: float) -> Delay:
        if self.max_in_flight == self._most:
            return Delay(math.inf)
        at_once = f"{format_count(self.max_in_flight, 'request')} at once"
        if self.max_in_flight == self._at_once:
            return Delay(math.inf, f"Waiting: the account allows {at_once}.")
        text = f"Waiting: after the server asked for patience, at most {at_once} for now."
        return Delay(self._grown_at + QUIET_PERIOD_S - now, text)

    def _hint(self, now: float) -> Delay | None:
        left_s = self._held_until - now
        return _make_delay(left_s, "the server asked for patience") if left_s <= MAX_HOLD_S else None

    def _spaced(self, now: float) -> Delay | None:
        """For some minutes after a 429 requests start one by one, not all at once again."""
        if not self._starts or now - self._limited_at >= QUIET_PERIOD_S:
            return None
        return _make_delay(self._starts[-1][0] + REQUEST_SPACING_S - now, "the server asked for patience")

    def _many_requests(self, now: float) -> Delay | None:
        if self._requests is None or len(self._starts) < self._requests:
            return None
        free_at = self._starts[-self._requests][0] + RATE_WINDOW_S
        return _make_delay(free_at - now, f"the account allows {format_count(self._requests, 'request')} a minute")

    def _many_tokens(self, now: float, tokens: int) -> Delay | None:
        if self._tokens is None or not tokens:
            return None
        used = tokens
        for at, each in reversed(self._starts):
            used += each
            if used > self._tokens:  # this one has to be a minute old, and with it all before it
                why = f"the account allows {format_count(self._tokens, 'token')} a minute"
                return _make_delay(at + RATE_WINDOW_S - now, why)
        return None


def _make_delay(wait_s: float, why: str) -> Delay | None:
    if wait_s <= 0:
        return None
    return Delay(wait_s, f"Waiting {wait_s:.0f} s: {why}." if wait_s > MIN_REPORTED_WAIT_S else "")


def _find_number(pattern: re.Pattern[str], words: str) -> int | None:
    found = pattern.search(words)
    return int(found[1]) if found else None
