"""What is tried again, how often, and after how long: with a clock and a sleep that are values."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from kimi_agent.errors import AccountLimit, ModelError, Refused, TooLong, Unavailable
from kimi_agent.log.events import CallDelta, ReasoningDelta, Retrying, TextDelta
from kimi_agent.log.messages import Assistant
from kimi_agent.model.message_assembly import Assembly
from kimi_agent.model.mock_server import MockServer
from kimi_agent.model.protocol import Delta, Finish, Model, Request
from kimi_agent.model.retrying.attempts import EMPTY_ANSWER_NUDGE, NUDGE_WITHOUT_TOOLS
from kimi_agent.model.retrying.retry import (
    INTERACTIVE_RETRY,
    UNATTENDED_RETRY,
    FailureTally,
    GiveUp,
    RetryPolicy,
    WaitAndRetry,
    decide_retry,
    wrap_with_retry,
)
from kimi_agent.model.tape.tape_format import Tape
from kimi_agent.model.wire.http_errors import LikelyPermanent
from tests.golden_texts import Golden
from tests.model.requests import Attempt, Attempts, all_of, ask_for, client

FINE: Attempt = [TextDelta("fine"), Finish("stop")]
BUSY = Unavailable("Busy.")
DAY_S = 86_400.0


def limited(wait_s: float = 0.0, limit: AccountLimit = "rate") -> Unavailable:
    return Unavailable("Slow down.", wait_s, exit_code=75, limit=limit)


class Patient:
    """Sleeps that take no time and are counted; the clock goes on by them, or stands still."""

    def __init__(self, *, ticks: bool = False) -> None:
        self.waits: list[float] = []
        self.now = 0.0
        self._ticks = ticks

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds if self._ticks else 0.0

    def wrap(self, model: Model, random: float = 0.999, *, partial: bool = False, **policy: Any) -> Model:
        wanted = RetryPolicy(**policy)
        return wrap_with_retry(
            model, wanted, partial=partial, sleep=self.sleep, random=lambda: random, clock=lambda: self.now
        )


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
    assert "after 8 attempts" in str(error)
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


@pytest.mark.parametrize(("error", "waits"), [(BUSY, [0.5, 1.0]), (limited(11.0), []), (limited(0.0), [0.5, 1.0])])
async def test_last_words_are_not_waited_for_as_the_work_is(error: Unavailable, waits: list[float]) -> None:
    patient = Patient()
    model = patient.wrap(Attempts([error]), 1.0, tries=1_000_000, budget_s=7200.0, wait_for_quota=True)
    with pytest.raises(Unavailable):
        await all_of(model, replace(ask_for(), purpose="wrap_up"))
    assert patient.waits == waits


QUOTA = RetryPolicy(wait_for_quota=True)
ENDLESS = replace(UNATTENDED_RETRY, wait_for_quota=True)
DECISIONS: dict[str, tuple[Unavailable, RetryPolicy, FailureTally, WaitAndRetry | GiveUp]] = {
    "the first failure": (BUSY, INTERACTIVE_RETRY, FailureTally(), WaitAndRetry(0.25)),
    "waits double": (BUSY, INTERACTIVE_RETRY, FailureTally(tries=5), WaitAndRetry(4.0)),
    "up to 32 s": (BUSY, UNATTENDED_RETRY, FailureTally(tries=500), WaitAndRetry(16.0)),
    "a hint is a lower bound": (limited(20.0), INTERACTIVE_RETRY, FailureTally(), WaitAndRetry(20.0)),
    "a hint as long as the budget": (limited(300.0), INTERACTIVE_RETRY, FailureTally(), WaitAndRetry(300.0)),
    "a hint beyond it": (limited(301.0), INTERACTIVE_RETRY, FailureTally(), GiveUp("later")),
    "a hint beyond what is left": (
        limited(20.0),
        INTERACTIVE_RETRY,
        FailureTally(tries=3, spent_s=290.0),
        GiveUp("later"),
    ),
    "no wait is longer than what is left": (
        BUSY,
        INTERACTIVE_RETRY,
        FailureTally(tries=7, spent_s=295.0),
        WaitAndRetry(5.0),
    ),
    "the last try": (BUSY, INTERACTIVE_RETRY, FailureTally(tries=8), GiveUp("tries")),
    "the budget is spent": (BUSY, INTERACTIVE_RETRY, FailureTally(tries=3, spent_s=300.0), GiveUp("tries")),
    "unattended it is tried on": (BUSY, UNATTENDED_RETRY, FailureTally(tries=400, spent_s=7000.0), WaitAndRetry(16.0)),
    "until the budget is spent": (BUSY, UNATTENDED_RETRY, FailureTally(tries=9, spent_s=7200.0), GiveUp("tries")),
    "what cannot pass": (Unavailable("x", retry=False), ENDLESS, FailureTally(), GiveUp("never")),
    "a used-up balance": (Unavailable("x", 5.0, retry=False, exit_code=75), ENDLESS, FailureTally(), GiveUp("never")),
    "doubtful, the second": (
        LikelyPermanent("x", tries=3),
        UNATTENDED_RETRY,
        FailureTally(tries=40, likely_permanent=2),
        WaitAndRetry(16.0),
    ),
    "doubtful, the third": (
        LikelyPermanent("x", tries=3),
        UNATTENDED_RETRY,
        FailureTally(tries=40, likely_permanent=3),
        GiveUp("tries"),
    ),
    "a daily limit passes not soon": (limited(1.0, "period"), UNATTENDED_RETRY, FailureTally(tries=3), GiveUp("tries")),
    "a rate passes soon": (limited(1.0), QUOTA, FailureTally(), WaitAndRetry(1.0)),
    "a named reset is waited for": (
        limited(5 * 3600.0),
        QUOTA,
        FailureTally(),
        WaitAndRetry(5 * 3600.0, for_quota=True),
    ),
    "also a daily one": (
        limited(5 * 3600.0, "period"),
        QUOTA,
        FailureTally(),
        WaitAndRetry(5 * 3600.0, for_quota=True),
    ),
    "also unattended": (limited(7201.0), ENDLESS, FailureTally(), WaitAndRetry(7201.0, for_quota=True)),
    "a near one beyond what is left": (
        limited(20.0),
        QUOTA,
        FailureTally(spent_s=290.0),
        WaitAndRetry(20.0, for_quota=True),
    ),
    "not beyond 8 days": (limited(8 * DAY_S + 1), QUOTA, FailureTally(), GiveUp("later")),
    "not beyond 8 days in all": (limited(2 * DAY_S), QUOTA, FailureTally(quota_s=7 * DAY_S), GiveUp("later")),
    "a daily limit is probed": (limited(1.0, "period"), QUOTA, FailureTally(), WaitAndRetry(300.0, for_quota=True)),
    "and again": (limited(1.0, "period"), QUOTA, FailureTally(probes=2), WaitAndRetry(1200.0, for_quota=True)),
    "each half hour": (limited(1.0, "period"), QUOTA, FailureTally(probes=99), WaitAndRetry(1800.0, for_quota=True)),
    "not for ever": (limited(1.0, "period"), QUOTA, FailureTally(quota_s=8 * DAY_S), GiveUp("tries")),
    "a rate that does not pass": (limited(1.0), QUOTA, FailureTally(tries=8), WaitAndRetry(300.0, for_quota=True)),
    "a server that is down is no quota": (BUSY, QUOTA, FailureTally(tries=8), GiveUp("tries")),
}


@pytest.mark.parametrize(("error", "policy", "tally", "follows"), DECISIONS.values(), ids=DECISIONS)
def test_what_follows_a_failure(
    error: Unavailable, policy: RetryPolicy, tally: FailureTally, follows: WaitAndRetry | GiveUp
) -> None:
    assert decide_retry(error, policy, tally, 0.5) == follows


async def test_when_to_come_back_is_rounded_up_and_names_another_day(golden: Golden) -> None:
    now = time.mktime((2026, 3, 1, 23, 50, 30, 0, 0, -1))
    patient = Patient()
    patient.now = now
    failures = (limited(300.5), limited(600.0), Unavailable("Down.", 600.0), limited(9 * DAY_S))
    golden(*[str(await fails(patient.wrap(Attempts([each])))) for each in failures])


async def test_a_long_wait_is_reported_once_and_slept_in_slices() -> None:
    patient = Patient(ticks=True)
    deltas = await all_of(patient.wrap(Attempts([limited(5 * 3600.0)], FINE), wait_for_quota=True), ask_for())
    assert deltas == [Retrying("Slow down.", 5 * 3600.0, 2), *FINE]
    assert patient.waits == [60.0] * 300


async def test_a_machine_that_was_suspended_does_not_wait_longer_than_the_clock_says() -> None:
    patient = Patient(ticks=True)

    class Suspended(Patient):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            self.now += 3000.0

    patient = Suspended(ticks=True)
    await all_of(patient.wrap(Attempts([limited(3600.0)], FINE), wait_for_quota=True), ask_for())
    assert patient.waits == [60.0, 60.0]


async def test_a_clock_that_is_set_back_does_not_make_the_wait_longer() -> None:
    class SetBack(Patient):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            self.now -= 500.0

    patient = SetBack(ticks=True)
    await all_of(patient.wrap(Attempts([limited(150.0)], FINE)), ask_for())
    assert patient.waits == [60.0, 60.0, 30.0]


async def test_after_a_wait_for_the_quota_patience_begins_anew() -> None:
    patient = Patient(ticks=True)
    model = Attempts(*[[BUSY]] * 7, [limited(1.0)], *[[BUSY]] * 7, [limited(DAY_S)], [limited(1.0, "period")], FINE)
    deltas = await all_of(patient.wrap(model, random=0.0, wait_for_quota=True), ask_for())
    waits = [delta.wait_s for delta in deltas if isinstance(delta, Retrying)]
    assert [wait for wait in waits if wait] == [300.0, DAY_S, 1200.0]
    assert [delta.attempt for delta in deltas if isinstance(delta, Retrying)] == list(range(2, 19))


class Down:
    """A server that is down until the clock says `up_at`; finding that out takes `took_s`."""

    name = "down"
    window = 1000

    def __init__(self, patient: Patient, up_at: float, took_s: float) -> None:
        self._patient, self._up_at, self._took_s = patient, up_at, took_s
        self.asked = 0

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        self.asked += 1
        if self._patient.now < self._up_at:
            self._patient.now += self._took_s
            raise BUSY
        yield TextDelta("fine")
        yield Finish("stop")

    async def aclose(self) -> None:
        pass


async def test_unattended_a_server_that_is_down_for_ten_minutes_is_waited_for() -> None:
    patient = Patient(ticks=True)
    model = Down(patient, up_at=600.0, took_s=0.0)
    assert (await all_of(patient.wrap(model, random=0.5, **vars(UNATTENDED_RETRY)), ask_for()))[-2:] == FINE
    assert 600.0 <= patient.now < 632.0
    assert model.asked < 50


async def test_unattended_the_attempts_count_too() -> None:
    patient = Patient(ticks=True)
    model = Down(patient, up_at=1e9, took_s=1000.0)
    error = await fails(patient.wrap(model, random=0.0, **vars(UNATTENDED_RETRY)))
    assert "after 9 attempts" in str(error)
    assert model.asked == 9, "the two hours begin with the first failure"


async def test_a_doubtful_failure_after_many_others_is_tried_again_too() -> None:
    odd = [LikelyPermanent("A web page.", tries=3)]
    model = Attempts([BUSY], [BUSY], [BUSY], odd, [BUSY], odd, odd, FINE)
    assert (await all_of(Patient().wrap(model), ask_for()))[-2:] == FINE


async def test_a_wait_of_hours_is_left_at_once() -> None:
    model = Attempts([TextDelta("half"), limited(5 * 3600.0)])
    policy = RetryPolicy(wait_for_quota=True)
    patient = wrap_with_retry(model, policy, partial=True, sleep=asyncio.sleep, random=lambda: 0.5, clock=time.time)
    waiting = asyncio.Event()

    async def ask() -> None:
        async for delta in patient.stream(ask_for()):
            if isinstance(delta, Retrying):
                waiting.set()

    task = asyncio.create_task(ask())
    await waiting.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    assert model.asked == model.closed == 1


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


async def test_what_is_doubtful_is_tried_a_few_times_only(golden: Golden) -> None:
    model = Attempts([LikelyPermanent("Nothing listens there.", tries=3)])
    error = await fails(Patient().wrap(model))
    assert model.asked == 3
    golden(str(error), str(await fails(Patient().wrap(Attempts(EMPTY["nothing"])))))


EMPTY: dict[str, Attempt] = {
    "nothing": [Finish("stop")],
    "only reasoning": [ReasoningDelta("only thoughts"), Finish("stop")],
    "only blanks": [TextDelta(" \n"), TextDelta("\u2003"), Finish("tool_calls")],
    "only zero-width characters": [TextDelta("\u200b\ufeff\u2060\u200d\x00"), Finish("stop")],
}


@pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY)
async def test_an_empty_answer_is_asked_again_then_nudged_and_never_becomes_history(empty: Attempt) -> None:
    model, asked = Attempts(empty, empty, FINE), ask_for(notes=("plan",))
    assert (await all_of(Patient().wrap(model), asked))[-2:] == FINE
    assert model.requests == [asked, asked, replace(asked, notes=("plan", EMPTY_ANSWER_NUDGE))]
    model = Attempts(empty)
    error = await fails(Patient().wrap(model))
    assert isinstance(error, Unavailable)
    assert model.asked == model.closed == 3
    assert "after 3 attempts" in str(error)


async def test_the_nudge_stays_while_other_things_fail_and_names_no_calls_where_there_are_none() -> None:
    empty, asked = EMPTY["nothing"], replace(ask_for(), tools_off=True)
    model = Attempts(empty, empty, [BUSY], FINE)
    await all_of(Patient().wrap(model), asked)
    assert [request.notes for request in model.requests] == [(), (), (NUDGE_WITHOUT_TOOLS,), (NUDGE_WITHOUT_TOOLS,)]
    model = Attempts(empty, [BUSY], empty, [BUSY], empty)
    await fails(Patient().wrap(model))
    assert model.asked == 5, "empty answers are counted also where something else lies between them"


async def test_a_mark_of_any_script_is_an_answer() -> None:
    for text in ("好", "👍\ufe0f", "\u200bx", "."):
        attempt: Attempt = [TextDelta(text), Finish("stop")]
        assert await all_of(Patient().wrap(Attempts(attempt)), ask_for()) == attempt


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
