"""How many requests may be on their way at once, and when the next one may start. Pure: times are given."""

import math
import re
from collections import deque
from dataclasses import dataclass

from kimi_agent.errors import Unavailable

SPACING_S = 0.7
QUIET_S = 180.0
MINUTE_S = 60.0
TOLD_S = 2.0
LONGEST_HOLD_S = 60.0

_AT_ONCE = re.compile(r"max (?:organization )?concurrency:? *(\d{1,9})", re.IGNORECASE)
_REQUESTS = re.compile(r"max RPM:? *(\d{1,9})", re.IGNORECASE)
_TOKENS = re.compile(r"TPM rate limit.{0,60}?limit:? *(\d{1,12})", re.IGNORECASE)


@dataclass(frozen=True)
class Obstacle:
    """The next request has to wait: for `wait_s` seconds, or until another one ends if that is sooner.

    `told` is the sentence for the person, "" where it is not worth one. Without a known end `wait_s` is infinite.
    """

    wait_s: float
    told: str = ""


class Slots:
    """The places of the requests that are on their way.

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
    def open(self) -> int:
        """How many requests may be on their way."""
        return min(self._open, self._ceiling)

    @property
    def _ceiling(self) -> int:
        return self._most if self._at_once is None else min(self._most, self._at_once)

    def start(self, now: float, tokens: int) -> int:
        """A request starts; what comes back tells its burst, for `limited`."""
        self._in_flight += 1
        self._starts.append((now, tokens))
        return self._burst

    def end(self) -> None:
        """A request ended, well or not."""
        self._in_flight -= 1

    def limited(self, now: float, error: Unavailable, burst: int) -> None:
        """A request was refused for its rate: slow all of them down, and learn what the server's words say."""
        words = str(error)
        self._at_once = _number(_AT_ONCE, words) or self._at_once
        self._requests = _number(_REQUESTS, words) or self._requests
        self._tokens = _number(_TOKENS, words) or self._tokens
        if now + error.wait_s > self._held_until:
            self._held_until, self._held_by = now + error.wait_s, error
        if burst == self._burst:
            self._burst += 1
            # One alone is not too many at once; and where a learnt number explains the refusal, that is enough.
            if 1 < self._in_flight <= self.open:
                self._open = self._in_flight // 2
        self._limited_at = self._grown_at = now

    def ask_again(self) -> None:
        """Forget how long the server asked to wait: a person wants to know whether it still does."""
        self._held_until, self._held_by = -math.inf, None

    def refused(self, now: float, most_s: float = LONGEST_HOLD_S) -> Unavailable | None:
        """The answer to what starts just after the server asked for a wait of more than `most_s` seconds.

        Others need not hear it from there. Only for a minute: by then the account may have been mended, and the next
        request finds that out.
        """
        left_s, by = self._held_until - now, self._held_by
        if by is None or left_s <= most_s or now - self._limited_at >= MINUTE_S:
            return None
        return Unavailable(str(by), left_s, exit_code=by.exit_code, limit=by.limit)

    def obstacle(self, now: float, tokens: int) -> Obstacle | None:
        """What a request of so many tokens has to wait for; None if it may start."""
        self._grow(now)
        if self._in_flight >= self.open:
            return self._full(now)
        while self._starts and now - self._starts[0][0] >= MINUTE_S:
            self._starts.popleft()
        waits = (self._hint(now), self._spaced(now), self._many_requests(now), self._many_tokens(now, tokens))
        return max((each for each in waits if each is not None), key=lambda each: each.wait_s, default=None)

    def _grow(self, now: float) -> None:
        if self._open >= self._ceiling:
            return
        grown = int((now - self._grown_at) // QUIET_S)
        self._open = min(self._ceiling, self._open + grown)
        self._grown_at += grown * QUIET_S

    def _full(self, now: float) -> Obstacle:
        if self.open == self._most:
            return Obstacle(math.inf)
        at_once = f"{_count(self.open, 'request')} at once"
        if self.open == self._at_once:
            return Obstacle(math.inf, f"Waiting: the account allows {at_once}.")
        text = f"Waiting: after the server asked for patience, at most {at_once} for now."
        return Obstacle(self._grown_at + QUIET_S - now, text)

    def _hint(self, now: float) -> Obstacle | None:
        left_s = self._held_until - now
        return _timed(left_s, "the server asked for patience") if left_s <= LONGEST_HOLD_S else None

    def _spaced(self, now: float) -> Obstacle | None:
        """For some minutes after a 429 requests start one by one, not all at once again."""
        if not self._starts or now - self._limited_at >= QUIET_S:
            return None
        return _timed(self._starts[-1][0] + SPACING_S - now, "the server asked for patience")

    def _many_requests(self, now: float) -> Obstacle | None:
        if self._requests is None or len(self._starts) < self._requests:
            return None
        free_at = self._starts[-self._requests][0] + MINUTE_S
        return _timed(free_at - now, f"the account allows {_count(self._requests, 'request')} a minute")

    def _many_tokens(self, now: float, tokens: int) -> Obstacle | None:
        if self._tokens is None or not tokens:
            return None
        used = tokens
        for at, each in reversed(self._starts):
            used += each
            if used > self._tokens:  # this one has to be a minute old, and with it all before it
                why = f"the account allows {_count(self._tokens, 'token')} a minute"
                return _timed(at + MINUTE_S - now, why)
        return None


def _timed(wait_s: float, why: str) -> Obstacle | None:
    if wait_s <= 0:
        return None
    return Obstacle(wait_s, f"Waiting {wait_s:.0f} s: {why}." if wait_s > TOLD_S else "")


def _number(pattern: re.Pattern[str], words: str) -> int | None:
    found = pattern.search(words)
    return int(found[1]) if found else None


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
