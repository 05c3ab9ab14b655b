"""Played reply: a scripted answer as the HTTP bytes that a Kimi endpoint would send, faults included."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from kimi_agent.log.messages import Usage
from kimi_agent.model.tape.scripted_answer import ScriptedAnswer
from kimi_agent.model.tape.tape_format import Fault, Pace
from kimi_agent.model.wire.request_encoder import wire_calls

Pieces = Iterator[tuple[bytes, float]]
"""Bytes to send, each with the seconds to wait before it."""
SSE_DONE = b"data: [DONE]\n\n"
_TOKEN = re.compile(r"\s{0,64}\S{1,64}|\s{1,64}")
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class PlayedReply:
    """An HTTP answer to be played: `pieces` are bytes and the seconds to wait before each.

    `ending`: "end" as it should be, "cut" without the closing of the transfer, "stall" never, "drop" before any byte.
    """

    pieces: Pieces
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ending: Literal["end", "cut", "stall", "drop"] = "end"


def build_reply(
    answer: ScriptedAnswer, model: str, *, pace: Pace | None, include_usage: bool, fault: Fault | None
) -> PlayedReply:
    """The streamed form of `answer`; `fault` is what goes wrong this time, `pace` how fast it comes."""
    events = _encode_events(answer, model, pace or Pace(), include_usage)
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    if fault is None:
        return PlayedReply(events, 200, headers)
    if fault.drop:
        return PlayedReply(iter(()), 200, headers, "drop")
    if fault.status is not None:
        body = fault.body.encode("utf-8", "surrogatepass") if isinstance(fault.body, str) else _encode(fault.body)
        kind = "application/json" if isinstance(fault.body, dict) else headers["content-type"]
        names = {"content-type": kind} | {name.lower(): value for name, value in fault.headers.items()}
        return PlayedReply(iter([(body, 0.0)]), fault.status, names)
    if fault.stall is not None:
        return PlayedReply(itertools.islice(events, fault.stall), 200, headers, "stall")
    if fault.malformed is not None:
        return PlayedReply(_break_event(events, fault.malformed), 200, headers)
    if fault.cut_bytes is not None:
        events = _first_bytes(events, fault.cut_bytes)
    else:
        events = itertools.islice(events, fault.cut)
    return PlayedReply(events, 200, headers, "end" if fault.clean else "cut")


def build_completion(answer: ScriptedAnswer, model: str) -> dict[str, Any]:
    """The form of `answer` where no stream was asked for."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.say}
    if answer.reason is not None:
        message["reasoning_content"] = answer.reason
    if answer.calls:
        message["tool_calls"] = wire_calls(answer.calls)
    choice = {"index": 0, "message": message, "finish_reason": answer.finish}
    whole = _completion_fields(model, "chat.completion") | {"choices": [choice]}
    return whole if answer.usage is None else whole | {"usage": _encode_usage(answer.usage)}


def parse_pace(value: float | Pace | None) -> Pace | None:
    """A pace however it is written: tokens a second, or in full."""
    if value is None or isinstance(value, Pace):
        return value
    return Pace(0, 1 / value if value > 0 else 0.0)


def _encode_events(answer: ScriptedAnswer, model: str, pace: Pace, include_usage: bool) -> Pieces:
    """Kimi's order: the role, the reasoning, the text, the calls, the finish, the usage, [DONE]."""
    frame = _completion_fields(model, "chat.completion.chunk")

    def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish} | more
        return b"data: " + _encode(frame | {"choices": [choice]}) + b"\n\n"

    yield event({"role": "assistant", "content": ""}), 0.0
    if answer.reason == "":
        yield event({"reasoning_content": ""}), 0.0
    for name, text in (("reasoning_content", answer.reason or ""), ("content", answer.say)):
        for piece in _split_text(text, pace):
            yield event({name: piece}), pace.delay_s
    for index, call in enumerate(answer.calls):
        function = {"name": call.name, "arguments": ""}
        yield event({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}), 0.0
        for piece in _split_text(call.arguments, pace):
            yield event({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}), pace.delay_s
    if include_usage or answer.usage is None:
        yield event({}, answer.finish), 0.0
        if answer.usage is not None:
            yield b"data: " + _encode(frame | {"choices": [], "usage": _encode_usage(answer.usage)}) + b"\n\n", 0.0
    else:
        yield event({}, answer.finish, usage=_encode_usage(answer.usage)), 0.0
    yield SSE_DONE, 0.0


def _split_text(text: str, pace: Pace) -> Iterator[str]:
    if pace.chunk <= 0:
        return (match[0] for match in _TOKEN.finditer(text))
    return (text[start : start + pace.chunk] for start in range(0, len(text), pace.chunk))


def _break_event(events: Pieces, at: int) -> Pieces:
    for number, (data, delay_s) in enumerate(events):
        yield (b'data: {"choices": [{"delta": \n\n' if number == at else data), delay_s


def _first_bytes(events: Pieces, count: int) -> Pieces:
    for data, delay_s in events:
        yield data[:count], delay_s
        count -= len(data)
        if count <= 0:
            return


def _completion_fields(model: str, kind: str) -> dict[str, Any]:
    # A fixed id and time: what a tape plays is the same bytes every time.
    return {"id": "chatcmpl-tape", "object": kind, "created": 1_700_000_000, "model": model}


def _encode_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "cached_tokens": usage.cached,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
