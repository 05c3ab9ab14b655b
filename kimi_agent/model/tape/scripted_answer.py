"""Scripted answer: a tape line with its placeholders filled from the request's body. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from kimi_agent.log.messages import Call, Usage
from kimi_agent.model.tape.choose_entry import TapeMismatch, format_mark
from kimi_agent.model.tape.expectations import TapeRequest, content_text, find_unmet, quote_excerpt
from kimi_agent.model.tape.tape_format import PLACEHOLDER, Fault, Pace, Tape, TapeEntry

UsageCounter = Callable[[str, str, tuple[Call, ...]], Usage]
"""The usage of an answer with this text, reasoning and calls, where its line gives none."""


@dataclass(frozen=True)
class ScriptedAnswer:
    """A line with its placeholders filled: the answer to give now, and how it arrives."""

    number: int
    say: str
    reason: str | None
    calls: tuple[Call, ...]
    finish: str
    usage: Usage | None
    pace: float | Pace | None
    fault: Fault | None


def fill_answer(tape: Tape, entry: TapeEntry, request: TapeRequest, count: UsageCounter) -> ScriptedAnswer:
    """Fill in the answer of `entry`. Raises TapeMismatch where an expectation fails or a placeholder finds nothing."""
    line = entry.line
    if line.expect is not None and (wrong := find_unmet(line.expect, request, len(request.messages))):
        raise TapeMismatch(f"{tape.name}, line {entry.number}: expected {wrong}")
    fill = _PlaceholderFiller(tape, entry, request).fill
    calls = tuple(
        Call(
            fill(call.id) or f"functions.{call.name}:{index}",
            call.name,
            fill(call.raw) if call.raw is not None else msgspec.json.encode(_fill_nested(call.args, fill)).decode(),
        )
        for index, call in enumerate(line.calls)
    )
    say = fill(line.say or "")
    reason = None if line.reason is None else fill(line.reason)
    if request.partial is not None:
        thought = reason or "" if request.thinks else ""
        say, reason = _cut_kept_start(request.partial, say, thought, f"{tape.name}, line {entry.number}"), None
    counted = count(say, reason or "", calls)
    usage = line.usage if isinstance(line.usage, Usage) or line.usage is None else counted
    finish = line.finish or ("tool_calls" if calls else "stop")
    return ScriptedAnswer(entry.number, say, reason, calls, finish, usage, line.pace, line.fault)


def _cut_kept_start(start: dict[str, Any], say: str, reason: str, where: str) -> str:
    """The text behind the start that the client kept. Raises TapeMismatch where it is not how the line begins."""
    kept, thought = content_text(start), start.get("reasoning_content") or ""
    if thought != reason:
        found = quote_excerpt(str(thought))
        raise TapeMismatch(f"{where}: the partial answer has to hold its reasoning; it is {found}")
    if not say.startswith(kept):
        raise TapeMismatch(f"{where}: the partial answer is not how this one begins; it is {quote_excerpt(kept)}")
    return say.removeprefix(kept)


class _PlaceholderFiller:
    def __init__(self, tape: Tape, entry: TapeEntry, request: TapeRequest) -> None:
        self._where = f"{tape.name}, line {entry.number}"
        self._tape = tape
        self._request = request

    def fill(self, text: str) -> str:
        """`text` with its placeholders replaced."""
        return PLACEHOLDER.sub(self._one, text) if "{{" in text else text

    def _one(self, found: re.Match[str]) -> str:
        value = self._value(found[1], int(found[2] or 0), found[0])
        if found[3] is None:
            return value
        match = re.search(found[3], value, re.MULTILINE)
        if match is None:
            raise TapeMismatch(f"{self._where}: {found[0]} matches nothing in {quote_excerpt(value)}")
        return match[1] if match.re.groups else match[0]

    def _value(self, kind: str, number: int, placeholder: str) -> str:
        messages = self._request.messages
        if kind == "step":
            return str(self._request.count + 1)
        if kind == "place":
            return format_mark(self._tape, self._request)
        if kind == "prompt":
            texts = [content_text(message) for message in messages if message.get("role") == "user"]
        else:
            after = max((i for i, message in enumerate(messages) if message.get("role") == "assistant"), default=-1)
            texts = [content_text(message) for message in messages[after + 1 :] if message.get("role") == "tool"]
        if not 0 <= (number or len(texts)) - 1 < len(texts):
            raise TapeMismatch(f"{self._where}: {placeholder} has nothing to stand for")
        return texts[(number or len(texts)) - 1]


def _fill_nested(value: Any, fill: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return fill(value)
    if isinstance(value, dict):
        return {key: _fill_nested(each, fill) for key, each in value.items()}
    return [_fill_nested(each, fill) for each in value] if isinstance(value, list) else value
