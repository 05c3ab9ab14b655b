"""Normalization of calls and results for the loop guard: what varies by itself (times, pids) is left out.

Two calls are the same call, and two results the same result, if they are equal once normalized: "3 passed in 0.12s"
equals "3 passed in 0.31s".
"""

import hashlib
import json
import re

MAX_NORMALIZED_CHARS = 100_000
"""Of a longer result its beginning and its end, this much together, are compared."""

_UNIT = r"(?:ns|us|µs|ms|s|sec|secs|seconds?|min|minutes?)\b"
_VARIES = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?: ?(?:Z\b|[+-]\d\d:?\d\d\b))?", 0),  # a date and time
        (r"\b\d\d?:\d\d:\d\d(?:[.,]\d+)?", 0),  # a time of day, or a duration
        (rf"\b\d+[.,]\d+ ?{_UNIT}", 0),  # 0.12s, 1.23 seconds
        (r"\b\d+ ?(?:ns|us|µs|ms)\b", 0),
        (rf"\b(?:in|took|after|elapsed|duration|time)[ :=]+\d+ ?{_UNIT}", re.IGNORECASE),
        (r"\b0x[0-9a-f]{4,}\b", re.IGNORECASE),  # an address
        (r"\[\d{3,7}\]", 0),  # the pid of a log line
        (r"\bpid\b\W{0,3}\d+", re.IGNORECASE),
        (r"\boutput:[\w.-]+", 0),  # what was kept of this very result
        (r"(?<=/)tmp[._-]?\w{6,12}\b", 0),  # mktemp and mkdtemp; digits alone would miss some of them
    )
)
_TEMPORARY = re.compile(r"(?:/var)?/tmp/[^\s'\"`:,;()\[\]]+")
_NUMBERED = re.compile(r"\w*\d\w*")


def hash_texts(*texts: str) -> bytes:
    """One short value for `texts`."""
    whole = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.digest()


def normalize_arguments(raw: str) -> str:
    """Arguments as the model wrote them, without what JSON leaves free: blanks and the order of keys."""
    try:
        return json.dumps(json.loads(raw, strict=False), sort_keys=True)
    except (ValueError, RecursionError):
        return " ".join(raw.split())


def normalize_result(text: str) -> str:
    """A result without durations, times, addresses, pids and random names: what is left is what it says.

    Other numbers stay: a count or a percentage that moves is news.
    """
    if len(text) > MAX_NORMALIZED_CHARS:
        half = MAX_NORMALIZED_CHARS // 2
        text = f"{text[:half]}\n{text[-half:]}"
    for pattern in _VARIES:
        text = pattern.sub("#", text)
    return _TEMPORARY.sub(lambda found: _NUMBERED.sub("#", found.group()), text)
