import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimi_agent.errors import Refused, Unavailable
from kimi_agent.log.events import CallDelta, ReasoningDelta, TextDelta
from kimi_agent.log.messages import Assistant, Call, Usage
from kimi_agent.model.message_assembly import Assembly
from kimi_agent.model.protocol import Delta, Finish
from kimi_agent.model.wire.answer_reader import AnswerReader, decode_lenient_json
from kimi_agent.model.wire.call_fragments import MAX_CALLS
from kimi_agent.model.wire.http_errors import LikelyPermanent


def blame(error: object) -> Refused:
    return Refused(str(error), 418)


def read(*events: Any, finish: str | None = "stop") -> list[Delta]:
    reading = AnswerReader(blame)
    ending = [chunk({}, finish)] if finish else []
    frames = [("", json.dumps(event).encode()) for event in [*events, *ending]]
    deltas = [delta for frame in frames for delta in reading.read([frame])]
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
        CallDelta(0, "functions.a:0", "a", '{"x"'),
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
        pytest.param(
            [
                {"index": 0, "id": "i0", "type": "function", "function": {"name": "edit_ex", "arguments": ""}},
                {"index": 0, "function": {"name": "isting_file", "arguments": ""}},
                {"index": 0, "function": {"name": None, "arguments": "{}"}},
            ],
            [Call("i0", "edit_existing_file", "{}")],
            id="a name in two pieces",
        ),
        pytest.param(
            [
                {"index": 0, "id": "i0", "function": {"name": "a", "arguments": ""}},
                {"index": 0, "id": "i0", "function": {"name": "a", "arguments": "{"}},
                {"index": 0, "id": "i0", "function": {"name": "a", "arguments": "}"}},
            ],
            [Call("i0", "a", "{}")],
            id="id and name in every fragment",
        ),
        pytest.param(
            [
                {"index": 0, "id": "i0", "function": {"name": "re"}},
                {"index": 0, "function": {"name": "read_file"}},
                {"index": 1, "id": "i1", "function": {"name": "b"}},
            ],
            [Call("i0", "read_file", ""), Call("i1", "b", "")],
            id="a name that grows, and calls without arguments",
        ),
        pytest.param(
            [
                {"index": 7, "id": "i0", "function": {"name": "a", "arguments": "{"}},
                {"index": 3, "id": "i1", "function": {"name": "b", "arguments": "{}"}},
                {"index": 7, "function": {"arguments": "}"}},
            ],
            [Call("i0", "a", "{}"), Call("i1", "b", "{}")],
            id="an index that jumps, also back",
        ),
        pytest.param(
            [
                {"function": {"name": "a", "arguments": "{"}},
                {"function": {"arguments": "}"}},
                {"id": "late", "type": "function"},
            ],
            [Call("late", "a", "{}")],
            id="no index, and the id behind the arguments",
        ),
        pytest.param(
            [{"index": "0", "id": 7, "function": {"name": ["a"], "arguments": 7}}, {"index": 0, "function": []}],
            [],
            id="fields of wrong types",
        ),
        pytest.param([{"index": 0, "id": "", "function": None}, {"index": 0}], [], id="nothing at all"),
    ],
)
def test_calls_are_assembled_whatever_a_server_leaves_out(fragments: list[dict[str, Any]], calls: list[Call]) -> None:
    assert answer(*(call(fragment) for fragment in fragments)).calls == tuple(calls)
    assert answer(call(*fragments)).calls == tuple(calls)


def test_a_call_is_reported_with_its_first_arguments_or_when_the_next_one_begins() -> None:
    first, second = ({"index": n, "id": f"i{n}", "function": {"name": "ab"[n]}} for n in range(2))
    more = {"index": 1, "function": {"arguments": "{}"}}
    assert read(call(first), call(second), call(more))[:-1] == [CallDelta(0, "i0", "a"), CallDelta(1, "i1", "b", "{}")]


def test_fragments_of_one_kind_that_come_together_make_one_delta() -> None:
    begun = {"index": 0, "id": "i", "function": {"name": "a", "arguments": "{"}}
    more = [call({"index": 0, "function": {"arguments": each}}) for each in ('"x"', ":1", "}")]
    words = [chunk({name: each}) for name in ("reasoning_content", "content") for each in ("one ", "two ", "three")]
    reading = AnswerReader(blame)
    deltas = list(reading.read(("", json.dumps(each).encode()) for each in [*words, call(begun), *more]))
    assert deltas == [
        ReasoningDelta("one two three"),
        TextDelta("one two three"),
        CallDelta(0, "i", "a", "{"),
        CallDelta(0, arguments='"x":1}'),
    ]


def test_what_stood_before_an_error_in_the_same_bytes_is_reported_before_it() -> None:
    frames = [("", json.dumps(chunk({"content": each})).encode()) for each in "ab"]
    for bad in (("", b'{"error": "busy"}'), ("error", b"busy"), ("", b"{not json")):
        deltas = AnswerReader(blame).read([*frames, bad])
        assert next(deltas) == TextDelta("ab")
        with pytest.raises((Refused, Unavailable)):
            next(deltas)


VALUES = st.sampled_from([None, "", "a", " ", 0, 1, True, [], ["a"], {}, {"text": "a"}, "é\ud800"])
CALLS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "index": st.sampled_from([0, 1, None, "0", True]),
            "id": st.sampled_from(["i0", "i1", "", None, 7]),
            "function": st.fixed_dictionaries({}, optional={"name": VALUES, "arguments": VALUES}) | VALUES,
        },
    ),
    max_size=3,
)
CHOICES = st.fixed_dictionaries(
    {
        "delta": st.fixed_dictionaries(
            {},
            optional={
                "content": VALUES,
                "reasoning_content": VALUES,
                "reasoning": VALUES,
                "reasoning_details": VALUES,
                "tool_calls": CALLS | VALUES,
            },
        )
    },
    optional={"index": st.sampled_from([0, 1, None]), "finish_reason": VALUES, "message": VALUES, "usage": VALUES},
)
EVENTS = st.fixed_dictionaries({"choices": st.lists(CHOICES | VALUES, max_size=2)}, optional={"usage": VALUES})


@given(st.lists(EVENTS, max_size=5))
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_the_quick_way_and_the_careful_way_read_the_same(events: list[dict[str, Any]]) -> None:
    quick, careful = AnswerReader(blame), AnswerReader(blame)
    for event in events:
        data = json.dumps(event).encode()
        assert list(quick.read([("", data)])) == list(careful.read_whole(decode_lenient_json(data)))
    assert quick.finish == careful.finish


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (chunk({"content": "x"}, "stop"), [TextDelta("x")]),
        (chunk({"content": "x"}, usage={"prompt_tokens": 5}), [TextDelta("x"), Usage(5)]),
        (chunk({"content": "x", "reasoning": "r"}), [ReasoningDelta("r", "reasoning"), TextDelta("x")]),
        ({"choices": [{"delta": {}, "message": {"content": "x"}}]}, [TextDelta("x")]),
        ({"choices": [{"delta": None, "message": {"content": "x"}}]}, [TextDelta("x")]),
        ({"choices": [{"delta": {"content": "x"}, "usage": {"prompt_tokens": 5}}]}, [TextDelta("x"), Usage(5)]),
    ],
)
def test_what_stands_beside_the_tokens_is_seen(event: dict[str, Any], expected: list[Delta]) -> None:
    assert read(event) == [*expected, Finish("stop")]


def test_id_and_name_of_a_call_are_reported_once() -> None:
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
        {"choices": [{"index": 1, "delta": {"content": "another"}}, {"index": 0, "delta": {"role": "assistant"}}]},
        {"choices": [{"index": 0, "delta": {"role": None, "content": ""}, "finish_reason": ""}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": None, "logprobs": None}], "usage": None},
        {"choices": {"index": 0}},
        {"object": "ping"},
        ["not", "an", "object"],
        None,
        7,
    ],
)
def test_events_that_say_nothing_are_passed_over(event: Any) -> None:
    assert read(event, chunk({"content": "x"})) == [TextDelta("x"), Finish("stop")]


def test_of_several_choices_the_first_one_is_read() -> None:
    choices = [{"index": n, "delta": {"content": f"choice {n}"}} for n in (1, 0, 2)]
    assert read({"choices": choices})[0] == TextDelta("choice 0")


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "function_call", "odd word"])
@pytest.mark.parametrize("with_call", [True, False])
def test_a_finish_reason_is_reported_as_it_came_and_decides_nothing(reason: str, with_call: bool) -> None:
    fragment = {"index": 0, "id": "i", "function": {"name": "a", "arguments": "{}"}}
    found = read(*[call(fragment)] * with_call, finish=reason)
    assert found == [*[CallDelta(0, "i", "a", "{}")] * with_call, Finish(reason)]


def test_content_may_come_as_parts() -> None:
    assert read(chunk({"content": ["a", {"type": "text", "text": "b"}, 7]}))[0] == TextDelta("ab")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, [Usage(5, 2, 0)]),
        (
            {"prompt_tokens": 5, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 7}},
            [Usage(5, 9, 0, 7)],
        ),
        (
            {"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": -7}, "cached_tokens": True},
            [Usage(0, 9)],
        ),
        (
            {"prompt_tokens": 5, "completion_tokens_details": None, "prompt_tokens_details": 7},
            [Usage(5)],
        ),
        ({"prompt_tokens": 5, "cached_tokens": -1, "prompt_tokens_details": {"cached_tokens": 3}}, [Usage(5, 0, 3)]),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 3}}, [Usage(5, 0, 3)]),
        ({"prompt_tokens": -5, "completion_tokens": "2", "cached_tokens": None}, []),
        ({"prompt_tokens": 5.0, "completion_tokens": 2.5}, [Usage(5)]),
        ({"prompt_tokens": 5, "cached_tokens": 9, "completion_tokens": 2}, [Usage(5, 2, 5)]),
        ({"prompt_tokens": 10**18, "completion_tokens": 2}, []),
        ({"prompt_tokens": 5, "completion_tokens": 2**64}, []),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, []),
        ([], []),
        (None, []),
    ],
)
def test_usage_is_read_from_where_it_stands(usage: Any, expected: list[Usage]) -> None:
    within = {"choices": [{"delta": {}, "finish_reason": "stop", "usage": usage}]}
    assert read(within, finish=None) == [*expected, Finish("stop")]
    assert read({"choices": [], "usage": usage}) == [*expected, Finish("stop")]


def test_the_last_usage_that_says_something_counts() -> None:
    within = chunk({}, "stop")
    within["choices"][0]["usage"] = {"prompt_tokens": 1}
    last = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    nothing = {"choices": [], "usage": {"prompt_tokens": None}}
    assert read(chunk({"content": "x"}), within, last, nothing, finish=None)[1:] == [Usage(5, 2), Finish("stop")]


def test_without_finish_and_done_an_answer_is_not_complete() -> None:
    with pytest.raises(Unavailable, match="broke off"):
        read(chunk({"content": "half"}), finish=None)


def test_done_alone_completes_an_answer_and_what_comes_later_is_ignored() -> None:
    reading = AnswerReader(blame)
    assert list(reading.read([("", b'{"choices":[{"delta":{"content":"x"}}]}')])) == [TextDelta("x")]
    assert list(reading.read([("", b"[DONE]")])) == []
    assert list(reading.read([("", b'{"choices":[{"delta":{"content":"late"}}]}')])) == []
    assert reading.end() == [Finish("unknown")]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("", b'{"error": {"message": "busy"}}'),
        ("", b'{"error": {"message": "busy"}, "choices": [{"index": 0, "delta": {"content": "x"}}]}'),
        ("error", b'{"message": "busy"}'),
        ("error", b"busy"),
        ("error", b""),
    ],
)
def test_an_error_inside_the_stream_raises(name: str, data: bytes) -> None:
    with pytest.raises(Refused, match="busy" if data else "without words"):
        list(AnswerReader(blame).read([(name, data)]))


def test_too_many_calls_and_too_long_answers_are_given_up() -> None:
    with pytest.raises(Unavailable, match="tool calls") as many:
        read(*(call({"index": i, "id": f"i{i}", "function": {"name": "a"}}) for i in range(MAX_CALLS + 1)))
    with pytest.raises(Unavailable, match="4 MiB") as long:
        read(*(chunk({"content": "x" * 1_000_000}) for _ in range(5)))
    with pytest.raises(Unavailable, match="4 MiB"):  # arguments without a name wait, but not without end
        read(*[call({"index": 0, "function": {"arguments": "x" * 1_000_000}})] * 5)
    with pytest.raises(Unavailable, match="4 MiB"):
        list(
            AnswerReader(blame).read_whole(
                {"choices": [{"message": {"content": "x" * 5_000_000}, "finish_reason": "stop"}]}
            )
        )
    with pytest.raises(Unavailable, match="tool calls"):
        read(call(*({"index": i, "id": f"i{i}", "function": {"name": "a"}} for i in range(10_000))))
    assert not many.value.retry
    assert not long.value.retry


def test_broken_utf8_is_shown_in_text_but_never_runs_in_a_call() -> None:
    text = b'{"choices":[{"delta":{"content":"a\xffb"}}]}'
    assert list(AnswerReader(blame).read([("", text)])) == [TextDelta("a\ufffdb")]
    for broken in (b"\xe2\x82", b"\\ud83d"):
        part = b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"i","function":{"name":"a","arguments":"%s"}}]}}]}'
        with pytest.raises(LikelyPermanent, match="broken characters"):
            list(AnswerReader(blame).read([("", part % broken)]))


def test_a_replacement_character_that_the_model_wrote_may_stand_in_a_call() -> None:
    found = answer(call({"index": 0, "id": "i", "function": {"name": "a", "arguments": '{"x":"\ufffd"}'}}))
    assert found.calls == (Call("i", "a", '{"x":"\ufffd"}'),)


@pytest.mark.long
@pytest.mark.parametrize("name_first", [True, False])
def test_a_call_of_a_million_small_fragments_is_read_in_a_few_seconds(name_first: bool) -> None:
    """Where the cost grew with what was already there, the time limit of the suite would end it."""
    named = [("", json.dumps(call({"index": 0, "id": "i", "function": {"name": "a"}})).encode())]
    many = [("", json.dumps(call({"index": 0, "function": {"arguments": "x"}})).encode())] * 1000
    reading, assembly = AnswerReader(blame), Assembly()
    bursts = [named] * name_first + [many] * 1000 + [named] * (not name_first) + [[("", b"[DONE]")]]
    for burst in bursts:
        for delta in reading.read(burst):
            assembly.add(delta)
    assert assembly.assistant().calls == (Call("i", "a", "x" * 1_000_000),)


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
    assert decode_lenient_json(data) == value


@pytest.mark.parametrize("data", [b"{not json", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe"])
def test_what_is_no_json_is_an_error_that_may_pass(data: bytes) -> None:
    with pytest.raises(Unavailable):
        decode_lenient_json(data)
