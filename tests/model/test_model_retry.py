"""What is tried again, how often, and after how long: with a clock and a sleep that are values."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from kimi_agent.errors import ModelError, Refused, TooLong, Unavailable
from kimi_agent.log.events import CallDelta, ReasoningDelta, Retrying, TextDelta
from kimi_agent.log.messages import Assistant
from kimi_agent.model.assemble import Assembly
from kimi_agent.model.base import Delta, Finish, Model, Request
from kimi_agent.model.mock_server import MockServer
from kimi_agent.model.tape import Tape
from kimi_agent.model.trouble import Doubtful
from kimi_agent.model.wrappers import RetryPolicy, retry
from tests.model.asking import all_of, ask_for, client

Attempt = Sequence[Delta | BaseException]
FINE: Attempt = [TextDelta("fine"), Finish("stop")]
BUSY = Unavailable("Busy.")


class Attempts:
    """A model that goes through the given attempts; the last one repeats."""

    name = "attempts"
    window = 1000

    def __init__(self, *attempts: Attempt) -> None:
        self.attempts = attempts
        self.asked = 0
        self.closed = 0

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        attempt = self.attempts[min(self.asked, len(self.attempts) - 1)]
        self.asked += 1
        try:
            for each in attempt:
                if isinstance(each, BaseException):
                    raise each
                yield each
        finally:
            self.closed += 1

    async def aclose(self) -> None:
        pass


class Patient:
    """Sleeps that take no time and are counted."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def wrap(self, model: Model, random: float = 0.999, **policy: Any) -> Model:
        async def sleep(seconds: float) -> None:
            self.waits.append(seconds)

        return retry(model, RetryPolicy(**policy), sleep=sleep, random=lambda: random, clock=lambda: 0.0)


async def fails(model: Model) -> ModelError:
    with pytest.raises(ModelError) as error:
        await all_of(model, ask_for())
    return error.value


async def test_a_break_is_announced_waited_for_and_tried_again() -> None:
    patient = Patient()
    model = Attempts([TextDelta("half"), BUSY], [BUSY], FINE)
    deltas = await all_of(patient.wrap(model, random=0.5), ask_for())
    assert deltas == [
        TextDelta("half"),
        Retrying("Busy.", 0.25, 2),
        Retrying("Busy.", 0.5, 3),
        TextDelta("fine"),
        Finish("stop"),
    ]
    assert patient.waits == [0.25, 0.5]


async def test_retrying_voids_what_had_been_streamed() -> None:
    assembly = Assembly()
    attempts = Attempts([ReasoningDelta("x"), TextDelta("half"), CallDelta(0, "i", "n", "{"), BUSY], FINE)
    for delta in await all_of(Patient().wrap(attempts), ask_for()):
        assembly.add(delta)
    assert assembly.assistant() == Assistant("fine")


async def test_waits_double_up_to_a_limit_with_full_jitter() -> None:
    patient = Patient()
    error = await fails(patient.wrap(Attempts([BUSY]), random=1.0))
    assert patient.waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert str(error) == "Busy. Given up after 8 attempts."
    assert isinstance(error, Unavailable)
    assert not error.retry
    patient = Patient()
    await fails(patient.wrap(Attempts([BUSY]), random=0.0))
    assert patient.waits == [0.0] * 7


async def test_the_servers_hint_is_a_lower_bound() -> None:
    patient = Patient()
    await all_of(
        patient.wrap(Attempts([Unavailable("x", 5.0)], [Unavailable("x", 0.001)], FINE), random=0.5), ask_for()
    )
    assert patient.waits == [5.0, 0.5]


async def test_a_hint_beyond_the_budget_stops_and_says_when() -> None:
    patient = Patient()
    error = await fails(patient.wrap(Attempts([Unavailable("Slow down.", 3600.0, exit_code=75)])))
    assert str(error).startswith("Slow down. Retry at ")
    assert error.exit_code == 75
    assert patient.waits == []


async def test_the_waits_together_stay_within_the_budget() -> None:
    patient = Patient()
    await fails(patient.wrap(Attempts([Unavailable("x", 0.0)]), tries=10_000, budget_s=60.0))
    assert sum(patient.waits) == pytest.approx(60.0)
    assert len(patient.waits) < 10


@pytest.mark.parametrize(
    "error", [Refused("no", 400), TooLong("long"), Unavailable("quota", retry=False), ZeroDivisionError("a bug")]
)
async def test_what_cannot_pass_is_not_tried_again(error: Exception) -> None:
    model = Attempts([error])
    with pytest.raises(type(error)) as raised:
        await all_of(Patient().wrap(model), ask_for())
    assert raised.value is error
    assert model.asked == 1


async def test_what_is_doubtful_is_tried_a_few_times_only() -> None:
    model = Attempts([Doubtful("Nothing listens there.", tries=3)])
    error = await fails(Patient().wrap(model))
    assert model.asked == 3
    assert str(error) == "Nothing listens there. Given up after 3 attempts."


@pytest.mark.parametrize(
    "empty",
    [
        [Finish("stop")],
        [ReasoningDelta("only thoughts"), Finish("stop")],
        [TextDelta(" \n"), Finish("tool_calls")],
    ],
)
async def test_an_empty_answer_is_asked_again_and_never_becomes_history(empty: Attempt) -> None:
    assert (await all_of(Patient().wrap(Attempts(empty, FINE)), ask_for()))[-2:] == FINE
    model = Attempts(empty)
    error = await fails(Patient().wrap(model))
    assert isinstance(error, Unavailable)
    assert model.asked == model.closed == 3
    assert "empty answer" in str(error)


@pytest.mark.parametrize(("reason", "words"), [("content_filter", "content filter"), ("length", "output limit")])
async def test_an_empty_answer_that_would_come_again_is_refused(reason: str, words: str) -> None:
    model = Attempts([ReasoningDelta("x"), Finish(reason)])
    error = await fails(Patient().wrap(model))
    assert isinstance(error, Refused)
    assert words in str(error)
    assert model.asked == 1


async def test_an_answer_of_calls_alone_is_not_empty() -> None:
    call: Attempt = [CallDelta(0, "i", "n", "{}"), Finish("stop")]
    assert await all_of(Patient().wrap(Attempts(call)), ask_for()) == call


async def test_over_http_retry_after_is_kept_and_the_answer_comes_whole() -> None:
    patient = Patient()
    lines: list[dict[str, Any]] = [
        {"fault": {"status": 429, "headers": {"Retry-After": "0.01"}, "times": 2}, "say": "at last"},
        {"fault": {"cut": 2}, "say": "once more we speak"},
    ]
    async with MockServer(Tape.of(*lines)) as server:
        inner = client(server.base_url)
        model = patient.wrap(inner, random=0.0)
        first = await all_of(model, ask_for())
        assembly = Assembly()
        for delta in await all_of(model, ask_for(Assistant("at last"))):
            assembly.add(delta)
        await model.aclose()
        assert len(server.requests) == 5
    assert [delta.attempt for delta in first if isinstance(delta, Retrying)] == [2, 3]
    assert patient.waits == [0.01, 0.01, 0.0]
    assert assembly.text == "once more we speak"
