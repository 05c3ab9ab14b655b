"""Parser for Kimi's raw tool-call markers in text: makes them calls again, or passes them on as text.

They leak from self-hosted servers:

    <|tool_calls_section_begin|><|tool_call_begin|>functions.read_file:0<|tool_call_argument_begin|>{"path": "a"}
    <|tool_call_end|><|tool_calls_section_end|>

A model that writes this has finished its answer. So a section counts only as the end of the answer, with every call in
it whole, and where no call came in the proper way; a text that merely shows the markers stays a text.
"""

import json
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from kimi_agent.log.events import CallDelta, ReasoningDelta, TextDelta
from kimi_agent.log.messages import Call, Usage
from kimi_agent.model.protocol import Delta, Finish
from kimi_agent.model.wire.call_fragments import MAX_CALLS

_SECTIONS = ("<|tool_calls_section_begin|>", "<|tool_call_section_begin|>")  # the model is known to write either
_CALL = "<|tool_call_begin|>"
_MAX_BLANKS = 16
_MAX_OPENING_CHARS = len(_SECTIONS[0]) + _MAX_BLANKS + len(_CALL)
_OPENING = re.compile(rf"<\|tool_calls?_section_begin\|>\s{{0,{_MAX_BLANKS}}}(?=<\|tool_call_begin\|>)")
_HEAD = re.compile(r"\s*<\|tool_call_begin\|>\s*([^<>\s]{1,200})\s*<\|tool_call_argument_begin\|>\s*")
_TAIL = re.compile(r"\s*<\|tool_call_end\|>")
_END = re.compile(r"\s*(<\|tool_calls?_section_end\|>\s*)?\Z")
_NAME = re.compile(r"(?:functions\.)?(.+?)(?::\d+)?")
_json = json.JSONDecoder(strict=False)


async def recover_marked_calls(
    answer: AsyncGenerator[Delta, None], tools: frozenset[str]
) -> AsyncGenerator[Delta, None]:
    """The deltas of `answer`, with a section of raw markers made into calls of `tools`."""
    markers = CallMarkerParser(tools)
    async with aclosing(answer):
        async for delta in answer:
            for each in markers.pass_on(delta):
                yield each


class CallMarkerParser:
    """Passes deltas on, but holds back what may be a section until the answer is complete.

    Of an answer that breaks off, what was held back is lost: it would have been a partial call.
    """

    def __init__(self, tools: frozenset[str]) -> None:
        """`tools` are the names that the request offered; a section that calls another stays text."""
        self._tools = tools
        self._text = _HoldBackBuffer()
        self._reasoning = _HoldBackBuffer()
        self._field = ""
        self._spoke = False
        self._called = False

    def pass_on(self, delta: Delta) -> Iterator[Delta]:
        """The deltas that can be passed on now that `delta` came."""
        match delta:
            case TextDelta(text):
                self._spoke = self._spoke or not text.isspace()
                if shown := self._text.add(text):
                    yield TextDelta(shown)
            case ReasoningDelta(text, field):
                self._field = field
                if (shown := self._reasoning.add(text)) or not text:
                    yield ReasoningDelta(shown, field)
            case Usage() | Finish():  # they come behind all else
                yield from self._settle()
                yield delta
            case _:
                self._called = self._called or isinstance(delta, CallDelta)
                yield delta

    def _settle(self) -> Iterator[Delta]:
        """The calls of the section; what is none comes out as the text it was."""
        reasoning, text = self._reasoning.release(), self._text.release()
        calls: tuple[Call, ...] = ()
        if not self._called and text:
            calls, text = _parse_marked_calls(text, self._tools)
        elif not self._called and not self._spoke:  # who spoke afterwards had only thought of a call
            calls, reasoning = _parse_marked_calls(reasoning, self._tools)
        if reasoning:
            yield ReasoningDelta(reasoning, self._field)
        if text:
            yield TextDelta(text)
        for index, call in enumerate(calls):
            yield CallDelta(index, call.id, call.name, call.arguments)


class _HoldBackBuffer:
    """One stream of text: holds back what may begin a section, and all that comes behind the opening of one."""

    def __init__(self) -> None:
        self._held: list[str] = []
        self._opened = False

    def add(self, text: str) -> str:
        """The part of the text so far that is surely no section."""
        self._held.append(text)
        if self._opened:
            return ""
        text = self.release()
        opening = _OPENING.search(text)
        self._opened = opening is not None
        start = opening.start() if opening else _find_possible_opening(text)
        if start < len(text):
            self._held.append(text[start:])
        return text[:start]

    def release(self) -> str:
        """All that was held back."""
        held = "".join(self._held)
        self._held.clear()
        return held


def _find_possible_opening(text: str) -> int:
    """Where at the end of `text` an opening may have begun; its length where none has."""
    for less in re.finditer("<", text[-_MAX_OPENING_CHARS:]):
        begun = "".join(text[-_MAX_OPENING_CHARS:][less.start() :].split())
        if any(f"{section}{_CALL}".startswith(begun) for section in _SECTIONS):
            return max(0, len(text) - _MAX_OPENING_CHARS) + less.start()
    return len(text)


def _parse_marked_calls(text: str, tools: frozenset[str]) -> tuple[tuple[Call, ...], str]:
    """The calls of a section that is whole and the last thing in `text`, or all of `text`. One of them is empty."""
    opening = _OPENING.match(text)
    if opening is None:
        return (), text
    calls: list[Call] = []
    at = opening.end()
    while head := _HEAD.match(text, at):
        name = _NAME.fullmatch(head[1])
        end = _find_object_end(text, head.end())
        tail = _TAIL.match(text, end) if end else None
        if name is None or name[1] not in tools or tail is None:
            return (), text
        calls.append(Call(head[1], name[1], text[head.end() : end]))
        at = tail.end()
    return (tuple(calls), "") if _END.match(text, at) and len(calls) <= MAX_CALLS else ((), text)


def _find_object_end(text: str, start: int) -> int:
    """Where the JSON object at `start` ends, 0 where there is none. Markers in its strings do not matter."""
    try:
        value, end = _json.raw_decode(text, start)
    except (ValueError, RecursionError):
        return 0
    return end if isinstance(value, dict) else 0
