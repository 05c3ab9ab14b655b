import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.log.messages import Assistant, Call, Media, Message, Text, ToolReturn, User, said
from kimi_agent.model.base import Request, ToolSpec
from kimi_agent.model.dialect import Dialect, Encoder
from kimi_agent.model.profiles import LOOPBACK, MOONSHOT, UNKNOWN, Profile
from tests.model.asking import READ_FILE, ask_for, no_blob


def encoder(*, thinking: bool = True, profile: Profile = MOONSHOT, max_output: int | None = None) -> Encoder:
    return Encoder(Dialect("kimi-k2.6", profile, thinking, max_output), no_blob)


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
    assert json.loads(body)["thinking"] == {"type": "enabled", "keep": "all"}
    assert json.loads(body)["stream_options"] == {"include_usage": True}


def test_what_is_not_set_is_not_sent() -> None:
    body = json.loads(encoder(thinking=False).body(Request("", (), [said("x")])))
    assert list(body) == ["model", "stream", "stream_options", "thinking", "messages"]
    assert body["thinking"] == {"type": "disabled"}
    assert body["messages"] == [{"role": "user", "content": "x"}]


def test_the_main_agent_is_addressed_by_its_session_and_a_child_by_its_path_too() -> None:
    assert json.loads(encoder().body(ask_for()))["prompt_cache_key"] == "S1"
    assert json.loads(encoder().body(ask_for(agent="main.3.1")))["prompt_cache_key"] == "S1/main.3.1"


def test_a_call_without_text_has_no_content_and_keeps_its_id_and_arguments_as_they_came() -> None:
    odd = Assistant("", None, (Call(" id\t:0 ", "read_file", '{"path": \x01 "a",}'),))
    assert wire(ask_for(said("x"), odd, ToolReturn(" id\t:0 ", "read_file", "text")))[2:] == [
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
        (LOOPBACK, Assistant("a", "why", (), "reasoning"), {"reasoning": "why"}),
        (LOOPBACK, Assistant("a", None), {"reasoning_content": ""}),
        (UNKNOWN, Assistant("a", None), {}),
        (UNKNOWN, Assistant("a", "", (), "reasoning"), {"reasoning": ""}),
        (
            UNKNOWN,
            Assistant("a", "why", (), "reasoning_details"),
            {"reasoning_details": [{"type": "reasoning.text", "text": "why"}]},
        ),
    ],
)
def test_reasoning_goes_back_under_the_name_that_the_endpoint_wants(
    profile: Profile, message: Assistant, sent: dict[str, Any]
) -> None:
    said_back = wire(ask_for(said("x"), message), profile=profile)[2]
    assert said_back == {"role": "assistant", "content": "a"} | sent


def test_without_thinking_no_reasoning_is_sent() -> None:
    assert "reasoning_content" not in wire(ask_for(said("x"), Assistant("a", "why")), thinking=False)[2]


def test_nothing_empty_is_sent_that_the_server_would_refuse_for_ever() -> None:
    request = ask_for(
        said(""), Assistant("", "only thoughts"), said("x"), CALLS, ToolReturn("functions.read_file:0", "read_file", "")
    )
    shown = wire(request)
    assert [message["role"] for message in shown] == ["system", "user", "user", "assistant", "tool"]
    assert all(message.get("content", "calls") for message in shown)


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
    body = Encoder(Dialect("kimi-k2.6", MOONSHOT), blob).body(ask_for(User(parts)))
    assert json.loads(body)["messages"][1]["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,ZmlsbQ=="}},
        {"type": "text", "text": "(a stored image that is no longer there)"},
    ]


def test_half_a_surrogate_pair_never_reaches_the_wire() -> None:
    request = ask_for(
        said("a\ud800b \ud83d\ude00 \u2028"), CALLS, ToolReturn("functions.read_file:0", "read_file", "\udfff")
    )
    body = encoder().body(request)
    assert json.loads(body.decode("utf-8"))["messages"][1]["content"] == "a\ufffdb 😀 \u2028"


def test_notes_are_one_trailing_message_and_leave_no_trace_in_the_next_request() -> None:
    encode = encoder()
    first = [said("x")]
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

    encode = Encoder(Dialect("kimi-k2.6", MOONSHOT), blob)
    picture = User((Media("image", "image/png", "b1"),))
    encode.body(ask_for(picture))
    encode.body(ask_for(picture, Assistant("a")))
    encode.body(ask_for(picture, Assistant("b"), agent="main.1"))
    encode.body(ask_for(picture, Assistant("a"), said("more")))
    assert looked_up == ["b1", "b1"], "once for each agent"


def test_the_tools_are_the_same_bytes_whatever_object_they_come_in() -> None:
    encode = encoder()
    again = ToolSpec(READ_FILE.name, READ_FILE.description, dict(READ_FILE.schema))
    first = encode.body(Request("s", (READ_FILE,), [said("x")], (), "S"))
    second = encode.body(Request("s", (again,), [said("x"), Assistant("y")], ("n",), "S"))
    head = first[: first.index(b'"messages"')]
    assert second.startswith(head)


message = st.one_of(
    st.text(max_size=20).map(said),
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
