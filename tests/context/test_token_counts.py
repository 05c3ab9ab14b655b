from dataclasses import replace
from typing import Any

import pytest

from kimi_agent.context.request_tokens import (
    MAX_RATIO,
    MIN_RATIO,
    TokenEstimator,
    estimate_message_tokens,
)
from kimi_agent.log.messages import Assistant, Call, Media, Text, ToolReturn, Usage, User, user_message
from kimi_agent.model.protocol import Request, ToolSpec
from kimi_agent.model.text_tokens import estimate_tokens


def request(*messages: User | Assistant | ToolReturn, system: str = "x" * 400) -> Request:
    return Request(system, (), list(messages))


@pytest.mark.parametrize(
    ("text", "size"),
    [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("中文", 2), ("中文abcd", 3), ("a\ud800b", 2), ("é" * 10, 10)],
)
def test_four_ascii_characters_are_a_token_and_so_is_any_other(text: str, size: int) -> None:
    assert estimate_tokens(text) == size


def test_everything_that_the_model_reads_counts() -> None:
    assert estimate_message_tokens(user_message("abcd")) == 4
    assert estimate_message_tokens(User((Text("abcd"), Media("image", "image/png", "0" * 64)))) == 2004
    assert estimate_message_tokens(ToolReturn("functions.f:0", "abcd", "abcdefgh")) == 6
    calls = (Call("functions.f:0", "abcd", "x" * 40),)
    assert estimate_message_tokens(Assistant("abcd", "x" * 20, calls)) == 3 + 1 + 5 + 3 + 1 + 10


def test_without_a_usage_all_is_estimated_tools_and_notes_too() -> None:
    bare = TokenEstimator().measure(request(user_message("abcd")))
    tools = (ToolSpec("f", "d" * 400, {"type": "object"}),)
    assert bare == 3 + 100 + 4 + estimate_tokens("[]")
    assert TokenEstimator().measure(replace(request(user_message("abcd")), tools=tools)) > bare + 100
    assert TokenEstimator().measure(replace(request(user_message("abcd")), notes=("n" * 40,))) == bare + 3 + 10


def test_after_a_usage_only_what_was_added_is_estimated() -> None:
    meter = TokenEstimator()
    asked, answer = request(user_message("a" * 400)), Assistant("b" * 4000)
    meter.learn(replace(asked, messages=[*asked.messages, answer]), 1, Usage(207, 9))
    then = replace(asked, messages=[*asked.messages, answer, user_message("c" * 40)])
    assert meter.ratio == pytest.approx(1.0, abs=0.01)
    assert meter.measure(then) == 207 + 9 + 13


def test_the_ratio_is_learnt_slowly_and_within_bounds() -> None:
    meter, asked = TokenEstimator(), request(user_message("a" * 4000), Assistant("b"))
    guess = meter.measure(request(user_message("a" * 4000)))
    meter.learn(asked, 1, Usage(2 * guess, 1))
    assert meter.ratio == pytest.approx(1.3, abs=0.01)
    for _ in range(20):
        meter.learn(asked, 1, Usage(9 * guess, 1))
    assert meter.ratio == MAX_RATIO
    for _ in range(40):
        meter.learn(asked, 1, Usage(guess // 5, 1))
    assert meter.ratio == MIN_RATIO


@pytest.mark.parametrize("usage", [Usage(), Usage(5, 3)])
def test_a_usage_that_makes_no_sense_is_passed_over(usage: Usage) -> None:
    meter, asked = TokenEstimator(), request(user_message("a" * 4000), Assistant("b"))
    before = meter.measure(asked)
    meter.learn(asked, 1, usage)
    assert (meter.measure(asked), meter.ratio) == (before, 1.0)


def test_another_list_has_no_baseline_but_the_ratio_stays() -> None:
    meter, asked = TokenEstimator(), request(user_message("a" * 4000), Assistant("b"))
    guess = meter.measure(request(user_message("a" * 4000)))
    meter.learn(asked, 1, Usage(guess * 3 // 2, 1))
    other = request(user_message("summary"), Assistant("b"))
    assert meter.measure(other) == -(-(103 + 1 + 3 + 2 + 4) * meter.ratio // 1)


def test_a_change_in_the_middle_has_to_be_told() -> None:
    meter, first, last = TokenEstimator(), user_message("a" * 4000), Assistant("b")
    whole = meter.measure(request(first, user_message("c" * 4000), last))
    meter.forget()
    assert meter.measure(request(first, user_message("c"), last)) == whole - 999


def test_a_shorter_list_is_measured_anew() -> None:
    meter, first = TokenEstimator(), user_message("a" * 4000)
    alone = TokenEstimator().measure(request(first))
    meter.measure(request(first, user_message("c" * 4000)))
    assert meter.measure(request(first)) == alone
    assert meter.measure(request(user_message("b" * 4000), user_message("d"))) > alone


def test_a_step_costs_what_it_added() -> None:
    looked_at = []

    class Watched(list[User]):
        """Tells which slices are asked for."""

        def __getitem__(self, at: Any) -> Any:
            looked_at.append(at)
            return super().__getitem__(at)

    meter, messages = TokenEstimator(), Watched(user_message(str(number)) for number in range(1000))
    meter.measure(Request("", (), messages))
    messages.append(user_message("new"))
    meter.measure(Request("", (), messages))
    assert looked_at == [slice(0, None), 999, slice(1000, None)]
