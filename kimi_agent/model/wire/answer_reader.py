"""Answer reader: events of one answer in, deltas out. A pure state machine, lenient with servers' mistakes.

Field types are checked one by one, because endpoints exist that send `tool_calls: {}` or `content: ["a"]`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from kimi_agent.errors import ModelError, Unavailable
from kimi_agent.log.events import CallDelta, ReasoningDelta, TextDelta
from kimi_agent.log.messages import Usage
from kimi_agent.model.protocol import Delta, Finish
from kimi_agent.model.wire.call_fragments import CallAssembler
from kimi_agent.model.wire.http_errors import LikelyPermanent
from kimi_agent.model.wire.sse import SseEvent

MAX_ANSWER_CHARS = 4 * 1024 * 1024

_MAX_PLAUSIBLE_TOKENS = 1_000_000_000
"""More than this no request takes: a number beyond it would count for ever, in every budget and in every window."""

_REASONING = ("reasoning_content", "reasoning_details", "reasoning")
_TEXT_RUN = ""
"""The kind of a run of visible text; that of reasoning is its field's name, that of arguments their call's index."""
_decode = msgspec.json.Decoder().decode


# The shape of nearly every event: tokens, and nothing else that counts. Where a field that is declared null or 0 here
# says anything, the event does not decode to this shape, and is read with care. So C code does the looking, and what
# nobody needs (id, created, model) is never built: 1.5 us an event, where dicts take 2.1 us and a dozen look-ups.


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Fragment(msgspec.Struct, gc=False):
    function: _Function
    index: int | None = None
    id: str | None = None


class _TokenDelta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: None = None
    tool_calls: tuple[_Fragment, ...] | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _TokenDelta
    index: Literal[0, None] = 0
    finish_reason: Literal["", None] = None
    message: None = None
    usage: None = None


class _TokenEvent(msgspec.Struct, gc=False):
    choices: tuple[_Choice]
    error: None = None
    usage: None = None


_decode_plain = msgspec.json.Decoder(_TokenEvent).decode


class AnswerReader:
    """Reads one answer. `finish` is the wire's finish_reason once seen, `done` that `[DONE]` came."""

    def __init__(self, make_error: Callable[[object], ModelError]) -> None:
        """`make_error` makes the error that an `error` object inside the stream means."""
        self.finish = ""
        self.done = False
        self._make_error = make_error
        self._usage: Usage | None = None
        self._size = 0
        self._reasoning = ""
        self._reasoned = False
        self._calls = CallAssembler()
        self._deltas: list[Delta] = []
        self._kind: str | int | None = None
        self._run: list[str] = []

    def read(self, events: Iterable[SseEvent]) -> Iterator[Delta]:
        """The deltas of some events; fragments of one kind that follow each other make one delta.

        Raises a ModelError for an error event, nonsense, or more than the caps allow, and whatever `events` raises:
        always behind the deltas of what came before it.
        """
        try:
            for name, data in events:
                if self.done:
                    break
                self._read(name, data)
        finally:
            yield from self._take_deltas()

    def read_whole(self, event: Mapping[str, Any]) -> Iterator[Delta]:
        """The deltas of a whole answer that was not streamed. Raises what `read` raises."""
        self._take(event, mended=False)
        self._check_size()
        yield from self._take_deltas()

    def end(self) -> list[Delta]:
        """The last deltas. Raises Unavailable where the answer is not complete: neither finish_reason nor [DONE]."""
        if not self.finish and not self.done:
            raise Unavailable("The answer broke off before its end.")
        deltas: list[Delta] = [*self._calls.end()]
        if self._usage is not None:
            deltas.append(self._usage)
        return [*deltas, Finish(self.finish or "unknown")]

    def _read(self, name: str, data: bytes) -> None:
        if name == "error":
            raise self._make_error(_parse_error_event(data))
        try:
            tokens = _decode_plain(data).choices[0].delta
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._read_with_care(data)
        else:
            if tokens.reasoning_content is not None or tokens.reasoning is not None:
                self._think({"reasoning_content": tokens.reasoning_content, "reasoning": tokens.reasoning})
            if tokens.content:
                self._say(tokens.content)
            for each in tokens.tool_calls or ():
                function = each.function
                self._call(each.index, _non_blank(each.id), _non_blank(function.name), function.arguments or "")
        self._check_size()

    def _read_with_care(self, data: bytes) -> None:
        if data == b"[DONE]":
            self.done = True
        elif data:
            event, mended = _decode_or_mend(data)
            if isinstance(event, dict):
                self._take(event, mended=mended)

    def _take(self, event: Mapping[str, Any], *, mended: bool) -> None:
        if error := event.get("error"):
            raise self._make_error(error)
        self._usage = _usage(event.get("usage")) or self._usage
        choice = _first_choice(event.get("choices"))
        self._usage = _usage(choice.get("usage")) or self._usage
        body = choice.get("delta") or choice.get("message")
        if isinstance(body, dict):
            self._think(body)
            if text := _text(body.get("content")):
                self._say(text)
            calls = body.get("tool_calls")
            for fragment in calls if isinstance(calls, list) else ():
                if isinstance(fragment, dict):
                    self._take_fragment(fragment, mended=mended)
        if isinstance(reason := choice.get("finish_reason"), str) and reason:
            self.finish = reason

    def _take_fragment(self, fragment: Mapping[str, Any], *, mended: bool) -> None:
        function = fragment.get("function")
        function = function if isinstance(function, dict) else {}
        wire_id, name = _non_blank(fragment.get("id")), _non_blank(function.get("name"))
        arguments = _arguments(function.get("arguments"))
        if mended and "\ufffd" in arguments:  # a text may show it, but no file must be written with it
            raise LikelyPermanent("The server sent a tool call with broken characters (not UTF-8).", tries=3)
        self._call(fragment.get("index"), wire_id, name, arguments)

    def _say(self, text: str) -> None:
        self._size += len(text)
        self._add(_TEXT_RUN, text)

    def _think(self, body: Mapping[str, Any]) -> None:
        # Hosts exist that send the same thought under two names: the first that held a word is the one.
        for name in (self._reasoning,) if self._reasoning else _REASONING:
            text = _text(body.get(name))
            if text is None or (not text and self._reasoned):
                continue
            self._reasoned = True
            self._reasoning = name if text else ""
            self._size += len(text)
            self._add(name, text)
            return

    def _call(self, index: object, wire_id: str, name: str, arguments: str) -> None:
        if not (wire_id or name or arguments):
            return
        self._size += len(arguments)
        for delta in self._calls.add(index, wire_id, name, arguments):
            if delta.id or delta.name:
                self._end_run()
                self._deltas.append(delta)
            else:
                self._add(delta.index, delta.arguments)

    def _add(self, kind: str | int, text: str) -> None:
        """Join a fragment to the run of its kind; another kind begins a new one."""
        if kind != self._kind:
            self._end_run()
            self._kind = kind
        self._run.append(text)

    def _end_run(self) -> None:
        text = "".join(self._run)
        if isinstance(self._kind, int):
            self._deltas.append(CallDelta(self._kind, arguments=text))
        elif self._kind == _TEXT_RUN:
            self._deltas.append(TextDelta(text))
        elif self._kind is not None:
            self._deltas.append(ReasoningDelta(text, self._kind))
        self._kind = None
        self._run.clear()

    def _take_deltas(self) -> list[Delta]:
        """The deltas since the last time."""
        self._end_run()
        taken, self._deltas = self._deltas, []
        return taken

    def _check_size(self) -> None:
        if self._size > MAX_ANSWER_CHARS:
            raise Unavailable("The answer grew over 4 MiB and was cut off: the model may be in a loop.", retry=False)


def _parse_error_event(data: bytes) -> object:
    """The error in the data of an `error` event: an object, or mere text."""
    try:
        event = decode_lenient_json(data)
    except Unavailable:
        event = data.decode("utf-8", "replace")
    error = event.get("error", event) if isinstance(event, dict) else event
    return error or "an error event without words"


def decode_lenient_json(data: bytes) -> Any:
    """JSON as endpoints send it: also with raw control characters, broken UTF-8 and half surrogate pairs.

    Raises Unavailable where it is no JSON at all.
    """
    return _decode_or_mend(data)[0]


def _decode_or_mend(data: bytes) -> tuple[Any, bool]:
    """The value, and whether it had to be mended: broken characters are then U+FFFD."""
    try:
        return _decode(data), False
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    except RecursionError as error:
        raise Unavailable("The server sent JSON that is nested too deep.") from error
    try:
        value = json.loads(data.decode("utf-8", "replace"), strict=False)
        text = json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return json.loads(text), True
    except (ValueError, RecursionError) as error:
        raise Unavailable("The server sent a broken event (not JSON).") from error


def _first_choice(value: object) -> Mapping[str, Any]:
    """The choice of index 0, which a server may leave out; other choices were not asked for."""
    choices = value if isinstance(value, list) else ()
    return next((each for each in choices if isinstance(each, dict) and each.get("index") in (0, None)), {})


def _text(value: object) -> str | None:
    """Text that may come as a string or as a list of parts; None where there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = (part.get("text") or part.get("summary") if isinstance(part, dict) else part for part in value)
        return "".join(part for part in parts if isinstance(part, str))
    return None


def _non_blank(value: object) -> str:
    return value if isinstance(value, str) and value.strip() else ""


def _arguments(value: object) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode() if isinstance(value, dict) else ""


def _usage(value: object) -> Usage | None:
    if not isinstance(value, dict):
        return None
    details = _nested_value(value, "prompt_tokens_details", "cached_tokens")
    cached = _count(value.get("cached_tokens")) or _count(details)
    reasoning = _count(_nested_value(value, "completion_tokens_details", "reasoning_tokens"))
    usage = Usage(_count(value.get("prompt_tokens")), _count(value.get("completion_tokens")), cached, reasoning)
    if usage == Usage() or max(usage.input, usage.output, usage.reasoning) > _MAX_PLAUSIBLE_TOKENS:
        return None
    return usage if cached <= usage.input else msgspec.structs.replace(usage, cached=usage.input)


def _nested_value(value: Mapping[str, Any], outer: str, inner: str) -> object:
    details = value.get(outer)
    return details.get(inner) if isinstance(details, dict) else None


def _count(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else 0
