"""Strict JSON parser for a call's arguments, which also detects a text that was cut off in the middle.

Nothing is repaired: a call that writes must run with what the model meant, and half a text is not that.
"""

import json
import re
from typing import Any

_MOST_DIGITS = 400
_TOKEN = re.compile(r'"(?:[^"\\]+|\\.)*("?)|-?Infinity|NaN|[\[\]{}]', re.DOTALL)
_HALF_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?$")
_HALF_WORD = re.compile(r"[-+.\w]+$")


def parse_arguments(text: str) -> Any:
    """The value of a JSON text. Raises ValueError that names the place, RecursionError for one nested too deeply."""

    def no_constant(word: str) -> Any:
        place = next((found.start() for found in _TOKEN.finditer(text) if found[0] == word), 0)
        raise ValueError(f"{word} is not JSON (char {place})")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise ValueError(f"the key {key[:80]!r} stands twice in one object{_place_of(key, text)}")
            found[key] = value
        return found

    # strict=False: Kimi writes raw control characters into strings.
    return json.loads(text, strict=False, parse_constant=no_constant, parse_int=_integer, object_pairs_hook=unique)


def is_cut_off(text: str) -> bool:
    """Whether a text that is not JSON is the beginning of one: it ends inside a string, a list or an object.

    It is if some ending makes it JSON: a string is closed, a half word or a missing value becomes null.
    """
    stack: list[str] = []
    closed = True
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token[0] == '"':
            closed = bool(found[1])
        elif token in "[{":
            stack.append("]" if token == "[" else "}")
        elif token in "]}" and (not stack or stack.pop() != token):
            return False
    if closed and not stack:
        return False
    end = "".join(reversed(stack))
    return any(_is_json(start + end) for start in (_endings(text.rstrip()) if closed else _ended(text)))


def _endings(text: str) -> tuple[str, ...]:
    """What a text that was cut between two strings may have been about to be."""
    return text, text.removesuffix(","), f"{text}null", f"{text}:null", f"{_HALF_WORD.sub('', text)}null"


def _ended(text: str) -> tuple[str, ...]:
    """The same for one that was cut inside a string: a value or a key, perhaps within an escape."""
    short = _HALF_ESCAPE.sub("", text)
    return f'{text}"', f'{short}"', f'{text}":null', f'{short}":null'


def _is_json(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _place_of(key: str, text: str) -> str:
    """Where a key is for the second time."""
    ends = [found for found in _TOKEN.finditer(text) if found[0] == json.dumps(key, ensure_ascii=False)]
    return f" (char {ends[1].start()})" if len(ends) > 1 else ""
