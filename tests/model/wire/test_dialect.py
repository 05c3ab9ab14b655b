import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.log.messages import Assistant, Call, Media, Message, Text, ToolReturn, User, user_message
from kimi_agent.model.endpoint.profiles import LOOPBACK_SERVER, MOONSHOT, UNKNOWN_ENDPOINT, EndpointProfile
from kimi_agent.model.protocol import Request, ToolSpec
from kimi_agent.model.tape.moonshot_rules import check_request
from kimi_agent.model.wire.request_encoder import RequestDialect, RequestEncoder
from tests.model.requests import READ_FILE, ask_for, no_blob


def encoder(
    *, thinking: bool = True, profile: EndpointProfile = MOONSHOT, max_output: int | None = None, window: int = 262_144
) -> RequestEncoder:
    return RequestEncoder(RequestDialect("kimi-k2.6", profile, thinking, max_output, window), no_blob)


def wire(request: Request, **settings: Any) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = json.loads(encoder(**settings).body(request))["messages"]
    return messages


def messages_of(body: bytes) -> bytes:
    start = body.index(b'"messages":[') + len(b'"messages":[')
    assert body.endswith(b"]}")
    return body[start:-2]


CALLS = Assistant("", "hm", (Call("functions.read_file:0", "read_file", '{"path": "a"}'),))


def test_the_body_has_its_keys_in_a_fixed_order_with_messages_last() -> None:
    body = encoder(max_output=500).body(ask_for())
    assert list(json.loads(body)) == [
        "model",
        "stream",
        "stream_options",
        "thinking",
        "max_completion_tokens",
        "prompt_cache_key",
        "tools",
        "messages",
    ]
    off = json.loads(encoder(max_output=500).body(replace(ask_for(), tools_off=True)))
    assert list(off)[4:6] == ["max_completion_tokens", "tool_choice"]
    assert json.loads(body)["thinking"] == {"type": "enabled", "keep": "all"}
    assert json.loads(body)["stream_options"] == {"include_usage": True}


def test_what_is_not_set_is_not_sent() -> None:
    body = json.loads(encoder(thinking=False).body(Request("", (), [user_message("x")])))
    assert list(body) == ["model", "stream", "stream_options", "thinking", "messages"]
    assert body["thinking"] == {"type": "disabled"}
    assert body["messages"] == [{"role": "user", "content": "x"}]


def test_the_main_agent_is_addressed_by_its_session_and_a_child_by_its_path_too() -> None:
    assert json.loads(encoder().body(ask_for()))["prompt_cache_key"] == "S1"
    assert json.loads(encoder().body(ask_for(agent="main.3.1")))["prompt_cache_key"] == "S1/main.3.1"


def test_a_call_without_text_has_no_content_and_keeps_its_id_and_arguments_as_they_came() -> None:
    odd = Assistant("", None, (Call(" id\t:0 ", "read_file", '{"path": \x01 "a",}'),))
    assert wire(ask_for(user_message("x"), odd, ToolReturn(" id\t:0 ", "read_file", "text")))[2:] == [
        {
            "role": "assistant",
            "reasoning_content": "",
            "tool_calls": [
                {
                    "id": " id\t:0 ",
                    "type": "function",
                    "function": {"name": "read_file", "arguments": '{"path": \x01 "a",}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": " id\t:0 ", "name": "read_file", "content": "text"},
    ]


@pytest.mark.parametrize(
    ("profile", "message", "sent"),
    [
        (MOONSHOT, Assistant("a", None), {"reasoning_content": ""}),
        (MOONSHOT, Assistant("a", "why", (), "reasoning"), {"reasoning_content": "why"}),
        (LOOPBACK_SERVER, Assistant("a", "why", (), "reasoning"), {"reasoning": "why"}),
        (LOOPBACK_SERVER, Assistant("a", None), {"reasoning_content": ""}),
        (UNKNOWN_ENDPOINT, Assistant("a", None), {}),
        (UNKNOWN_ENDPOINT, Assistant("a", "", (), "reasoning"), {"reasoning": ""}),
        (
            UNKNOWN_ENDPOINT,
            Assistant("a", "why", (), "reasoning_details"),
            {"reasoning_details": [{"type": "reasoning.text", "text": "why"}]},
        ),
    ],
)
def test_reasoning_goes_back_under_the_name_that_the_endpoint_wants(
    profile: EndpointProfile, message: Assistant, sent: dict[str, Any]
) -> None:
    said_back = wire(ask_for(user_message("x"), message), profile=profile)[2]
    assert said_back == {"role": "assistant", "content": "a"} | sent


def test_without_thinking_no_reasoning_is_sent() -> None:
    assert "reasoning_content" not in wire(ask_for(user_message("x"), Assistant("a", "why")), thinking=False)[2]


def test_nothing_empty_is_sent_that_the_server_would_refuse_for_ever() -> None:
    request = ask_for(
        user_message(""),
        Assistant("", "only thoughts"),
        user_message("x"),
        CALLS,
        ToolReturn("functions.read_file:0", "read_file", ""),
    )
    shown = wire(request)
    assert [message["role"] for message in shown] == ["system", "user", "user", "assistant", "tool"]
    assert all(message.get("content", "calls") for message in shown)


@pytest.mark.parametrize(
    ("setting", "asked", "tokens", "sent"),
    [
        (None, None, 0, None),
        (None, None, 50_000, None),
        (None, None, 66_208, None),
        (None, None, 66_209, 32_767),
        (None, None, 98_000, 976),
        (None, None, 99_000, 256),
        (None, None, 150_000, 256),
        (500, None, 0, 500),
        (500, None, 50_000, 500),
        (90_000, None, 50_000, 48_976),
        (500, 8_192, 50_000, 8_192),
        (500, 8_192, 95_000, 3_976),
        (None, 8_192, 0, 8_192),
    ],
)
def test_the_answer_is_capped_where_the_window_ends(
    setting: int | None, asked: int | None, tokens: int, sent: int | None
) -> None:
    request = replace(ask_for(), max_output=asked, tokens=tokens)
    body = json.loads(encoder(max_output=setting, window=100_000).body(request))
    assert body.get("max_completion_tokens") == sent


def test_switches_of_one_request_leave_the_rest_of_the_body_as_it_is() -> None:
    encode = encoder()
    plain = encode.body(ask_for())
    capped = encode.body(replace(ask_for(), tokens=250_000, tools_off=True, purpose="wrap_up"))
    switches = b',"max_completion_tokens":11120,"tool_choice":"none"'
    assert capped.replace(switches, b"") == plain
    assert b"tool_choice" not in encode.body(Request("", (), [user_message("x")], tools_off=True)), (
        "there is nothing to choose"
    )


@pytest.mark.parametrize(
    ("thinking", "profile", "reasoning"),
    [
        (True, MOONSHOT, {"reasoning_content": "hm"}),
        (True, LOOPBACK_SERVER, {"reasoning": "hm"}),
        (False, MOONSHOT, {}),
    ],
)
def test_a_partial_answer_stands_last_with_its_reasoning(
    thinking: bool, profile: EndpointProfile, reasoning: dict[str, str]
) -> None:
    encode = encoder(thinking=thinking, profile=profile)
    request = ask_for(user_message("x"), CALLS, ToolReturn("functions.read_file:0", "read_file", "y"), notes=("n",))
    before = encode.body(request)
    start = Assistant("I beg", "hm", (), "reasoning")
    after = encode.body(replace(request, partial=start))
    assert after.startswith(before[:-2])
    assert json.loads(after)["messages"][-1] == {"role": "assistant", "content": "I beg"} | reasoning | {
        "partial": True
    }
    assert encode.body(replace(request, partial=Assistant("", "hm"))) == before, "the server refuses an empty message"
    assert encode.body(request) == before


def test_tools_that_cannot_be_sent_are_left_out_and_schemas_mended() -> None:
    empty = {"type": "object", "properties": {}}
    strange = ToolSpec("strange", "d", {"properties": {"x": {"enum": ["a"]}}, "$schema": "y"})
    bad = [ToolSpec(name, "d", empty) for name in ("a b", "ab", "x" * 65, "", "read_file\n", "$web_search")]
    many = [ToolSpec(f"tool_{number}", "d", empty) for number in range(130)]
    request = Request(
        "s", (READ_FILE, strange, *bad, ToolSpec("read_file", "again", empty), *many), [user_message("x")]
    )
    body = json.loads(encoder().body(request))
    functions = [tool["function"] for tool in body["tools"]]
    assert [function["name"] for function in functions] == ["read_file", "strange", *(t.name for t in many[:126])]
    assert functions[0]["description"] == "Read a file."
    assert functions[1]["parameters"] == {
        "properties": {"x": {"type": "string", "enum": ["a"]}},
        "type": "object",
    }
    assert check_request(body) is None
    assert "tools" not in json.loads(encoder().body(Request("s", tuple(bad), [user_message("x")])))


def test_images_and_videos_become_data_urls_and_a_lost_one_a_sentence() -> None:
    blobs = {"b1": b"\x89PNG", "b2": b"film"}

    def blob(name: str) -> bytes:
        if name not in blobs:
            raise FileNotFoundError(name)
        return blobs[name]

    parts = (
        Text("look"),
        Text(""),
        Media("image", "image/png", "b1"),
        Media("video", "video/mp4", "b2"),
        Media("image", "image/png", "gone"),
    )
    body = RequestEncoder(RequestDialect("kimi-k2.6", MOONSHOT), blob).body(ask_for(User(parts)))
    assert json.loads(body)["messages"][1]["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,ZmlsbQ=="}},
        {"type": "text", "text": "(a stored image that is no longer there)"},
    ]


def test_half_a_surrogate_pair_never_reaches_the_wire() -> None:
    request = ask_for(
        user_message("a\ud800b \ud83d\ude00 \u2028"), CALLS, ToolReturn("functions.read_file:0", "read_file", "\udfff")
    )
    body = encoder().body(request)
    assert json.loads(body.decode("utf-8"))["messages"][1]["content"] == "a\ufffdb 😀 \u2028"


def test_notes_are_one_trailing_message_and_leave_no_trace_in_the_next_request() -> None:
    encode = encoder()
    first = [user_message("x")]
    plain = messages_of(encode.body(ask_for(*first)))
    noted = messages_of(encode.body(ask_for(*first, notes=("plan mode", "", "a.py changed"))))
    assert noted.startswith(plain)
    tail = {"role": "user", "content": "<note>plan mode</note>\n<note>a.py changed</note>"}
    assert json.loads(b"[" + noted + b"]")[-1] == tail
    assert messages_of(encode.body(ask_for(*first, Assistant("y")))).startswith(plain)
    assert b"note" not in encode.body(ask_for(*first, Assistant("y")))


def test_a_note_may_be_all_there_is() -> None:
    body = encoder().body(Request("", (), [], ("n",)))
    assert json.loads(body)["messages"] == [{"role": "user", "content": "<note>n</note>"}]


def test_each_message_is_encoded_once() -> None:
    looked_up: list[str] = []

    def blob(name: str) -> bytes:
        looked_up.append(name)
        return b""

    encode = RequestEncoder(RequestDialect("kimi-k2.6", MOONSHOT), blob)
    picture = User((Media("image", "image/png", "b1"),))
    encode.body(ask_for(picture))
    encode.body(ask_for(picture, Assistant("a")))
    encode.body(ask_for(picture, Assistant("b"), agent="main.1"))
    encode.body(ask_for(picture, Assistant("a"), user_message("more")))
    assert looked_up == ["b1", "b1"], "once for each agent"


def test_the_tools_are_the_same_bytes_whatever_object_they_come_in() -> None:
    encode = encoder()
    again = ToolSpec(READ_FILE.name, READ_FILE.description, dict(READ_FILE.schema))
    first = encode.body(Request("s", (READ_FILE,), [user_message("x")], (), "S"))
    second = encode.body(Request("s", (again,), [user_message("x"), Assistant("y")], ("n",), "S"))
    head = first[: first.index(b'"messages"')]
    assert second.startswith(head)


message = st.one_of(
    st.text(max_size=20).map(user_message),
    st.builds(Assistant, st.text(max_size=20), st.none() | st.text(max_size=5)),
    st.builds(ToolReturn, st.text(max_size=5), st.just("shell"), st.text(max_size=20)),
)


@given(st.lists(message, max_size=8), st.lists(st.tuples(st.integers(0, 8), st.lists(message, max_size=4)), max_size=6))
def test_a_kept_prefix_never_shows_in_the_bytes(start: list[Message], edits: list[tuple[int, list[Message]]]) -> None:
    """Whatever was asked before, a request's bytes are those of an encoder that sees it first."""
    keeping = encoder()
    messages = start
    keeping.body(ask_for(*messages))
    for keep, more in edits:
        messages = [*messages[:keep], *more]
        request = Request("s", (READ_FILE,), messages, ("note",) if keep % 2 else (), "S1")
        assert keeping.body(request) == encoder().body(request)
        json.loads(keeping.body(request))


@given(st.lists(message, max_size=8), st.lists(message, max_size=4))
def test_the_messages_of_a_request_are_a_prefix_of_those_of_the_next(first: list[Message], more: list[Message]) -> None:
    encode = encoder()
    before = encode.body(Request("s", (), first, (), "S"))
    after = encode.body(Request("s", (), [*first, *more], ("note",), "S"))
    assert after.startswith(before[:-2])
