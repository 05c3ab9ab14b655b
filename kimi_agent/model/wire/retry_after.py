"""Retry-After parser: how long a server asks to wait, from its headers in all spellings, else its message."""

import email.utils
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

_LONGEST_S = 30 * 86_400.0
_WORDS_CHARS = 2000
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_ONE = r"(\d+(?:\.\d+)?) ?(ms|milliseconds?|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)"
_PIECE = re.compile(_ONE, re.IGNORECASE)
_AGAIN = r"(?:try again|retry|resets?|refresh(?:es|ed)?|available(?: again)?)"
_DURATION = re.compile(rf"{_AGAIN} (?:after|in) ((?:{_ONE}[ ,]*(?:and )?)+)", re.IGNORECASE)
_DEADLINE = re.compile(
    rf"{_AGAIN} (?:after|at|on|until) (\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?) ?(Z|UTC|[+-]\d\d:?\d\d)?",
    re.IGNORECASE,
)


def parse_retry_after(headers: Mapping[str, str], message: str, now: float, *, limited: bool = True) -> float:
    """The seconds that the server asks to wait, at most 30 days; 0 where it names no time, a past one, or nonsense.

    `headers` have lower-case names, `now` is Unix time. `limited` says that a limit was met: only then the end of its
    window counts, which servers name in every answer.
    """
    now = _date(headers.get("date", "")) or now  # a wrong clock here must not make a wait of hours
    found = _parse_headers(headers, now)
    if found is None:
        found = _parse_message(message[:_WORDS_CHARS], now)
    if found is None and limited:
        found = _parse_window_reset(headers, now)
    return min(max(0.0, found or 0.0), _LONGEST_S)


def _parse_headers(headers: Mapping[str, str], now: float) -> float | None:
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1000
    for name in ("retry-after", "x-retry-after"):
        value = headers.get(name, "").strip().lower()
        if (seconds := _seconds(value)) is not None:
            return seconds
        if (until := _date(value)) is not None:
            return until - now
    return None


def _parse_window_reset(headers: Mapping[str, str], now: float) -> float | None:
    """X-RateLimit-Reset: seconds from now, or Unix time in seconds or milliseconds; none while something remains."""
    for prefix in ("x-ratelimit-", "ratelimit-"):
        if (_number(headers.get(f"{prefix}remaining", "")) or 0) > 0:
            continue
        reset = _seconds(headers.get(f"{prefix}reset", "").strip().lower())
        if reset is not None:
            at = reset / 1000 if reset > 1e11 else reset
            return at - now if at > 1e9 else reset
    return None


def _parse_message(message: str, now: float) -> float | None:
    if lasts := _DURATION.search(message):
        return sum(float(number) * _unit(name.lower()) for number, name in _PIECE.findall(lasts[1]))
    if until := _DEADLINE.search(message):
        zone = (until[2] or "Z").upper().replace("UTC", "Z")
        try:
            return datetime.fromisoformat(until[1] + zone).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return None


def _unit(name: str) -> float:
    return _UNITS["ms" if name.startswith(("ms", "mil")) else name[0]]


def _date(value: str) -> float | None:
    """An HTTP date as Unix time; one without a zone is in UTC."""
    try:
        found = email.utils.parsedate_to_datetime(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None


def _seconds(value: str) -> float | None:
    if value.endswith("ms"):
        milliseconds = _number(value[:-2])
        return None if milliseconds is None else milliseconds / 1000
    return _number(value.removesuffix("s"))


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None
