import json
from typing import Any

import pytest

from kimi_agent.errors import Refused, Unavailable
from kimi_agent.log.events import CallDelta, ReasoningDelta, TextDelta
from kimi_agent.log.messages import Assistant, Call, Usage
from kimi_agent.model.assemble import Assembly
from kimi_agent.model.base import Delta, Finish
from kimi_agent.model.frames import Frame
from kimi_agent.model.reading import MAX_CALLS, Reading, decode


def blame(error: object) -> Refused:
    return Refused(str(error), 418)


def read(*events: Any, finish: str | None = "stop") -> list[Delta]:
    reading = Reading(blame)
    ending = [chunk({}, finish)] if finish else []
    deltas = [delta for event in [*events, *ending] for delta in reading.read(Frame("", json.dumps(event).encode()))]
    return deltas + reading.end()


def chunk(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} | more


def call(*fragments: dict[str, Any]) -> dict[str, Any]:
    return chunk({"tool_calls": list(fragments)})


def answer(*events: Any) -> Assistant:
    assembly = Assembly()
    for delta in read(*events):
        assembly.add(delta)
    return assembly.assistant()


def test_reasoning_text_calls_usage_and_finish_in_kimis_order() -> None:
    assert read(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "I read."}),
        call({"index": 0, "id": "functions.a:0", "type": "function", "function": {"name": "a", "arguments": ""}}),
        call({"index": 0, "function": {"arguments": '{"x"'}}),
        call({"index": 0, "function": {"arguments": ":1}"}}),
        chunk({}, "tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "cached_tokens": 4}},
        finish=None,
    ) == [
        ReasoningDelta("hm"),
        TextDelta("I read."),
        CallDelta(0, "functions.a:0", "a", ""),
        CallDelta(0, "", "", '{"x"'),
        CallDelta(0, "", "", ":1}"),
        Usage(9, 3, 4),
        Finish("tool_calls"),
    ]


@pytest.mark.parametrize(
    ("fragments", "calls"),
    [
        pytest.param(
            [
                {"index": 0, "id": "i0", "function": {"name": "a", "arguments": "{"}},
                {"index": 1, "id": "i1", "function": {"name": "b", "arguments": "["}},
                {"index": 0, "function": {"arguments": "}"}},
                {"index": 1, "function": {"arguments": "]"}},
            ],
            [Call("i0", "a", "{}"), Call("i1", "b", "[]")],
            id="interleaved",
        ),
        pytest.param(
            [
                {"id": "i0", "function": {"name": "a", "arguments": "{"}},
                {"function": {"arguments": "}"}},
                {"id": "i1", "function": {"name": "b"}},
                {"id": "i1", "function": {"arguments": "{}"}},
            ],
            [Call("i0", "a", "{}"), Call("i1", "b", "{}")],
            id="no index",
        ),
        pytest.param(
            [
                {"index": 0, "id": "i0", "function": {"name": "a", "arguments": "{}"}},
                {"index": 0, "id": "i1", "function": {"name": "b", "arguments": "{"}},
                {"index": 0, "function": {"arguments": "}"}},
            ],
            [Call("i0", "a", "{}"), Call("i1", "b", "{}")],
            id="a new id under the same index",
        ),
        pytest.param(
            [
                {"index": 0, "function": {"arguments": '{"x'}},
                {"index": 0, "function": {"name": "a", "arguments": '":'}},
                {"index": 0, "id": "late", "function": {"name": "a", "arguments": "1}"}},
            ],
            [Call("late", "a", '{"x":1}')],
            id="arguments before the name, the name twice, the id last",
        ),
        pytest.param(
            [{"function": {"name": "a", "arguments": "{}"}}, {"function": {"name": "b", "arguments": "{}"}}],
            [Call("call_0", "a", "{}"), Call("call_1", "b", "{}")],
            id="neither index nor id",
        ),
        pytest.param(
            [{"index": 5, "id": "  ", "function": {"name": "a", "arguments": {"x": "é"}}}, {"index": 5}],
            [Call("call_0", "a", '{"x":"é"}')],
            id="a blank id, arguments as an object, an empty fragment",
        ),
        pytest.param(
            [
                {"index": 0, "id": "same", "function": {"name": "a", "arguments": "{}"}},
                {"index": 1, "id": "same", "function": {"name": "a", "arguments": "{}"}},
            ],
            [Call("same", "a", "{}"), Call("same", "a", "{}")],
            id="one id for two calls",
        ),
        pytest.param([{"index": 0, "id": "", "function": None}, {"index": 0}], [], id="nothing at all"),
    ],
)
def test_calls_are_assembled_whatever_a_server_leaves_out(fragments: list[dict[str, Any]], calls: list[Call]) -> None:
    assert answer(*(call(fragment) for fragment in fragments)).calls == tuple(calls)
    assert answer(call(*fragments)).calls == tuple(calls)


def test_id_and_name_of_a_call_are_told_once() -> None:
    fragment = {"index": 0, "id": "i", "function": {"name": "a", "arguments": "x"}}
    assert read(*[call(fragment)] * 3)[:-1] == [
        CallDelta(0, "i", "a", "x"),
        CallDelta(0, "", "", "x"),
        CallDelta(0, "", "", "x"),
    ]


def test_a_call_that_never_gets_a_name_is_no_answer() -> None:
    with pytest.raises(Unavailable, match="without a name"):
        read(call({"index": 0, "id": "i", "function": {"arguments": "{}"}}))


def test_arguments_that_do_not_parse_are_kept_as_they_are() -> None:
    assert answer(call({"index": 0, "id": "i", "function": {"name": "a", "arguments": '{"x": '}})).calls == (
        Call("i", "a", '{"x": '),
    )


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        ([{"reasoning_content": "a"}, {"reasoning_content": "b"}], ("ab", "reasoning_content")),
        ([{"reasoning": "a", "reasoning_details": [{"text": "a"}]}, {"reasoning": "b"}], ("a", "reasoning_details")),
        ([{"reasoning": "a"}, {"reasoning_content": "ignored"}], ("a", "reasoning")),
        ([{"reasoning_content": ""}], ("", "reasoning_content")),
        ([{"reasoning_content": ""}, {"reasoning": "a"}], ("a", "reasoning")),
        ([{"reasoning_content": None}], (None, "reasoning_content")),
    ],
)
def test_the_first_reasoning_field_that_says_something_is_the_one(
    deltas: list[dict[str, Any]], expected: tuple[str | None, str]
) -> None:
    got = answer(*(chunk(delta) for delta in deltas), chunk({"content": "x"}))
    assert (got.reasoning, got.reasoning_field) == expected


@pytest.mark.parametrize(
    "event",
    [
        {"choices": []},
        {"choices": None},
        {"choices": [None]},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": {"content": None, "tool_calls": {"x": 1}}}]},
        {"choices": [{"index": 1, "delta": {"content": "another choice"}}]},
        {"object": "ping"},
        ["not", "an", "object"],
        None,
        7,
    ],
)
def test_events_that_say_nothing_are_passed_over(event: Any) -> None:
    assert read(event, chunk({"content": "x"})) == [TextDelta("x"), Finish("stop")]


def test_content_may_come_as_parts() -> None:
    assert read(chunk({"content": ["a", {"type": "text", "text": "b"}, 7]}))[0] == TextDelta("ab")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, [Usage(5, 2, 0)]),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 3}}, [Usage(5, 0, 3)]),
        ({"prompt_tokens": -5, "completion_tokens": "2", "cached_tokens": None}, []),
        (None, []),
    ],
)
def test_usage_is_read_from_where_it_stands(usage: Any, expected: list[Usage]) -> None:
    within = {"choices": [{"delta": {}, "finish_reason": "stop", "usage": usage}]}
    assert read(within, finish=None) == [*expected, Finish("stop")]
    assert read({"choices": [], "usage": usage}) == [*expected, Finish("stop")]


def test_without_finish_and_done_an_answer_is_not_complete() -> None:
    with pytest.raises(Unavailable, match="broke off"):
        read(chunk({"content": "half"}), finish=None)


def test_done_alone_completes_an_answer_and_what_comes_later_is_ignored() -> None:
    reading = Reading(blame)
    assert reading.read(Frame("", b'{"choices":[{"delta":{"content":"x"}}]}')) == [TextDelta("x")]
    assert reading.read(Frame("", b"[DONE]")) == []
    assert reading.read(Frame("", b'{"choices":[{"delta":{"content":"late"}}]}')) == []
    assert reading.end() == [Finish("unknown")]


@pytest.mark.parametrize(
    ("name", "data"),
    [("", b'{"error": {"message": "busy"}}'), ("error", b'{"message": "busy"}'), ("error", b"busy"), ("error", b"")],
)
def test_an_error_inside_the_stream_raises(name: str, data: bytes) -> None:
    with pytest.raises(Refused, match="busy" if data else "without words"):
        Reading(blame).read(Frame(name, data))


def test_too_many_calls_and_too_long_answers_are_given_up() -> None:
    with pytest.raises(Unavailable, match="tool calls") as many:
        read(*(call({"index": i, "id": f"i{i}", "function": {"name": "a"}}) for i in range(MAX_CALLS + 1)))
    with pytest.raises(Unavailable, match="4 MiB") as long:
        read(*(chunk({"content": "x" * 1_000_000}) for _ in range(5)))
    assert not many.value.retry
    assert not long.value.retry


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'"a\tb\x01"', "a\tb\x01"),
        (b'"a\xffb"', "a\ufffdb"),
        (b'"a\\ud800b"', "a\ufffdb"),
        ('"\\ud83d\\ude00 é"'.encode(), "😀 é"),
    ],
)
def test_json_is_read_as_endpoints_send_it(data: bytes, value: str) -> None:
    assert decode(data) == value


@pytest.mark.parametrize("data", [b"{not json", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe"])
def test_what_is_no_json_is_an_error_that_may_pass(data: bytes) -> None:
    with pytest.raises(Unavailable):
        decode(data)
