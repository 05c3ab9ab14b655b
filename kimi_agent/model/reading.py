"""The events of one answer in, deltas out: a pure state machine that forgives what servers get wrong.

Field types are checked one by one, because endpoints exist that send `tool_calls: {}` or `content: ["a"]`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from kimi_agent.errors import ModelError, Unavailable
from kimi_agent.log.events import CallDelta, ReasoningDelta, TextDelta
from kimi_agent.log.messages import Usage
from kimi_agent.model.base import Delta, Finish
from kimi_agent.model.frames import Frame

MAX_ANSWER_CHARS = 4 * 1024 * 1024
MAX_CALLS = 64

_REASONING = ("reasoning_content", "reasoning_details", "reasoning")
_REASONING_NAMES = frozenset(_REASONING)
_decode = msgspec.json.Decoder().decode


@dataclass
class _Call:
    """A call while it is assembled. Arguments that come before the name wait in `early`."""

    index: int
    id: str = ""
    name: str = ""
    early: str = ""


class Reading:
    """Reads one answer. `finish` is the wire's finish_reason once seen, `done` that `[DONE]` came."""

    def __init__(self, blame: Callable[[object], ModelError]) -> None:
        """`blame` makes the error that an `error` object inside the stream stands for."""
        self.finish = ""
        self.done = False
        self._blame = blame
        self._usage: Usage | None = None
        self._size = 0
        self._reasoning = ""
        self._reasoned = False
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}

    def read(self, frame: Frame) -> list[Delta]:
        """The deltas of one event. Raises a ModelError for an error event, nonsense, or more than the caps allow."""
        if frame.data == b"[DONE]":
            self.done = True
        if self.done or (not frame.data and frame.name != "error"):
            return []
        event = decode(frame.data) if frame.name != "error" else self._error_event(frame.data)
        return self.take(event) if isinstance(event, dict) else []

    def take(self, event: Mapping[str, Any]) -> list[Delta]:
        """The deltas of one decoded event, or of a whole answer that was not streamed."""
        if error := event.get("error"):
            raise self._blame(error)
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        self._usage = _usage(event.get("usage")) or self._usage
        if not isinstance(choice, dict) or choice.get("index") not in (0, None):
            return []
        self._usage = _usage(choice.get("usage")) or self._usage
        body = choice.get("delta") or choice.get("message")
        deltas = self._deltas(body) if isinstance(body, dict) else []
        if isinstance(reason := choice.get("finish_reason"), str) and reason:
            self.finish = reason
        if self._size > MAX_ANSWER_CHARS:
            raise Unavailable("The answer grew over 4 MiB and was cut off: the model may be in a loop.", retry=False)
        return deltas

    def end(self) -> list[Delta]:
        """The last deltas. Raises Unavailable where the answer is not complete: neither finish_reason nor [DONE]."""
        if not self.finish and not self.done:
            raise Unavailable("The answer broke off before its end.")
        deltas: list[Delta] = []
        for call in self._calls:
            if not call.name:
                raise Unavailable("The answer held a tool call without a name.")
            if not call.id:
                deltas.append(CallDelta(call.index, id=f"call_{call.index}"))
        if self._usage is not None:
            deltas.append(self._usage)
        return [*deltas, Finish(self.finish or "unknown")]

    def _error_event(self, data: bytes) -> Any:
        try:
            event = decode(data)
        except Unavailable:
            event = data.decode("utf-8", "replace")
        error = event.get("error", event) if isinstance(event, dict) else event
        raise self._blame(error or "an error event without words")

    def _deltas(self, body: Mapping[str, Any]) -> list[Delta]:
        deltas: list[Delta] = []
        if not _REASONING_NAMES.isdisjoint(body):
            deltas += self._read_reasoning(body)
        if text := _text(body.get("content")):
            self._size += len(text)
            deltas.append(TextDelta(text))
        if isinstance(calls := body.get("tool_calls"), list):
            for fragment in calls:
                if isinstance(fragment, dict):
                    deltas += self._read_call(fragment)
        return deltas

    def _read_reasoning(self, body: Mapping[str, Any]) -> Iterator[Delta]:
        # Hosts exist that send the same thought under two names: the first that held a word is the one.
        for name in (self._reasoning,) if self._reasoning else _REASONING:
            text = _text(body.get(name))
            if text is None or (not text and self._reasoned):
                continue
            self._reasoned = True
            self._reasoning = name if text else ""
            self._size += len(text)
            yield ReasoningDelta(text, name)
            return

    def _read_call(self, fragment: Mapping[str, Any]) -> Iterator[Delta]:
        function = fragment.get("function")
        function = function if isinstance(function, dict) else {}
        wire_id, name = _word(fragment.get("id")), _word(function.get("name"))
        arguments = _arguments(function.get("arguments"))
        if not (wire_id or name or arguments):
            return
        call = self._call(fragment.get("index"), wire_id, name)
        new_id = wire_id if wire_id != call.id else ""
        new_name = name if not call.name else ""
        call.id, call.name = call.id or wire_id, call.name or name
        self._size += len(arguments)
        if not call.name:
            call.early += arguments
            arguments = ""
        elif call.early:
            arguments, call.early = call.early + arguments, ""
        if new_id or new_name or arguments:
            yield CallDelta(call.index, new_id, new_name, arguments)

    def _call(self, index: object, wire_id: str, name: str) -> _Call:
        """The call that a fragment belongs to: by its index, then by its id, then the last one."""
        number = index if isinstance(index, int) else None
        if number is not None:
            known = self._by_index.get(number)
        elif wire_id:
            known = next((call for call in self._calls if call.id == wire_id), None)
            if known is None and self._calls and not self._calls[-1].id and not name:
                known = self._calls[-1]  # the id came behind its call
        else:
            known = self._calls[-1] if self._calls and not (name and self._calls[-1].name) else None
        if known is None or (wire_id and known.id and wire_id != known.id):
            if len(self._calls) == MAX_CALLS:
                raise Unavailable(f"The answer held more than {MAX_CALLS} tool calls and was cut off.", retry=False)
            known = _Call(len(self._calls))
            self._calls.append(known)
            if number is not None:
                self._by_index[number] = known
        return known


def decode(data: bytes) -> Any:
    """JSON as endpoints send it: also with raw control characters, broken UTF-8 and half surrogate pairs.

    Raises Unavailable where it is no JSON at all.
    """
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    except RecursionError as error:
        raise Unavailable("The server sent JSON that is nested too deep.") from error
    try:
        value = json.loads(data.decode("utf-8", "replace"), strict=False)
        text = json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unavailable("The server sent a broken event (not JSON).") from error


def _text(value: object) -> str | None:
    """Text that may come as a string or as a list of parts; None where there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = (part.get("text") or part.get("summary") if isinstance(part, dict) else part for part in value)
        return "".join(part for part in parts if isinstance(part, str))
    return None


def _word(value: object) -> str:
    return value if isinstance(value, str) and value.strip() else ""


def _arguments(value: object) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode() if isinstance(value, dict) else ""


def _usage(value: object) -> Usage | None:
    if not isinstance(value, dict):
        return None
    details = value.get("prompt_tokens_details")
    cached = value.get("cached_tokens") or (details.get("cached_tokens") if isinstance(details, dict) else 0)
    counts = [_count(each) for each in (value.get("prompt_tokens"), value.get("completion_tokens"), cached)]
    return Usage(*counts) if any(counts) else None


def _count(value: object) -> int:
    return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else 0
