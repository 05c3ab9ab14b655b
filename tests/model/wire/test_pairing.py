"""Whatever the history holds, each call is followed by its one result, in order, and nothing between."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimi_agent.log.messages import Assistant, Call, Message, ToolReturn, user_message
from kimi_agent.model.endpoint.profiles import MOONSHOT
from kimi_agent.model.protocol import Request
from kimi_agent.model.tape.moonshot_rules import check_request
from kimi_agent.model.wire.pairing import MISSING_RESULT_TEXT, NO_PENDING_CALLS, flush_pending, pair_message
from kimi_agent.model.wire.request_encoder import RequestDialect, RequestEncoder
from tests.model.requests import ask_for, no_blob


def paired(messages: Sequence[Message]) -> list[Message]:
    """All that would be sent."""
    waiting, found = NO_PENDING_CALLS, list[Message]()
    for message in messages:
        waiting, sent = pair_message(waiting, message)
        found += sent
    return [*found, *flush_pending(waiting)]


def calling(*ids: str, text: str = "") -> Assistant:
    return Assistant(text, "", tuple(Call(each, "look", "{}") for each in ids))


def result(call_id: str, content: str = "x") -> ToolReturn:
    return ToolReturn(call_id, "look", content)


USER, AGAIN = user_message("hello"), user_message("and?")
LOST = MISSING_RESULT_TEXT


@pytest.mark.parametrize(
    "messages",
    [
        [USER, Assistant("hi"), AGAIN, Assistant("ho")],
        [USER, calling("a", "b"), result("a"), result("b"), AGAIN],
        [USER, calling("a"), result("a"), calling("a"), result("a")],
        [USER, calling("a", "a"), result("a", "1"), result("a", "2"), Assistant("done")],
        [USER, AGAIN, Assistant("x"), Assistant("y")],
        [],
    ],
)
def test_a_history_in_order_stays_the_same_objects(messages: list[Message]) -> None:
    found = paired(messages)
    assert all(one is other for one, other in zip(found, messages, strict=True))


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        ([USER, result("a"), AGAIN], [USER, AGAIN]),
        ([USER, calling("a"), AGAIN], [USER, calling("a"), result("a", LOST), AGAIN]),
        ([USER, calling("a")], [USER, calling("a"), result("a", LOST)]),
        ([USER, calling("a"), AGAIN, result("a")], [USER, calling("a"), result("a"), AGAIN]),
        (
            [USER, calling("a", "b", "c"), result("c", "3"), AGAIN, result("a", "1")],
            [USER, calling("a", "b", "c"), result("a", "1"), result("b", LOST), result("c", "3"), AGAIN],
        ),
        (
            [USER, calling("a", "b"), result("a"), calling("a"), result("b", "late"), result("a", "2")],
            [USER, calling("a", "b"), result("a"), result("b", LOST), calling("a"), result("a", "2")],
        ),
        ([USER, calling("a"), result("a"), result("a", "2")], [USER, calling("a"), result("a")]),
        ([USER, calling("a"), Assistant("", "why"), result("a")], [USER, calling("a"), result("a")]),
        ([USER, calling("a"), Assistant("t"), result("a")], [USER, calling("a"), result("a", LOST), Assistant("t")]),
        (
            [USER, calling("", " ", "b"), result("", "1"), result("b", "3"), result(" ", "2")],
            [USER, calling("call_0", "call_1", "b"), result("call_0", "1"), result("call_1", "2"), result("b", "3")],
        ),
    ],
)
def test_what_is_out_of_order_is_put_in_order(messages: list[Message], sent: list[Message]) -> None:
    assert paired(messages) == sent


ids = st.sampled_from(["a", "b", "", " ", "call_0"])
texts = st.sampled_from(["", "t"])
anything = st.one_of(
    st.just(USER),
    st.builds(Assistant, texts, st.none() | texts),
    st.builds(lambda ids, text: calling(*ids, text=text), st.lists(ids, max_size=4), texts),
    st.builds(result, ids, texts),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(anything, max_size=12), st.lists(anything, max_size=4))
def test_whatever_the_history_the_request_is_taken(first: list[Message], more: list[Message]) -> None:
    encoder = RequestEncoder(RequestDialect("kimi-k2.6", MOONSHOT), no_blob)
    for messages in ([USER, *first], [USER, *first, *more], [USER, *more]):
        body = encoder.body(ask_for(*messages))
        assert check_request(json.loads(body)) is None
        assert body == RequestEncoder(RequestDialect("kimi-k2.6", MOONSHOT), no_blob).body(ask_for(*messages))


def test_a_result_that_comes_later_takes_the_place_of_the_made_up_one() -> None:
    encoder = RequestEncoder(RequestDialect("kimi-k2.6", MOONSHOT), no_blob)
    messages: list[Message] = [USER, calling("a", "b"), result("a")]
    assert MISSING_RESULT_TEXT.encode() in encoder.body(Request("", (), messages))
    whole = encoder.body(Request("", (), [*messages, result("b")]))
    assert MISSING_RESULT_TEXT.encode() not in whole
    assert [message["role"] for message in json.loads(whole)["messages"]] == ["user", "assistant", "tool", "tool"]
