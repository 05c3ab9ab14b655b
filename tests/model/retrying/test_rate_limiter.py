"""One limiter for many agents: never more at once than is allowed, first come first served, and nobody is forgotten."""

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimi_agent.errors import Refused, Unavailable
from kimi_agent.log.events import TextDelta
from kimi_agent.model.protocol import Delta, Finish, Model, Request, closing_stream
from kimi_agent.model.retrying.limiter_state import Delay, LimiterState
from kimi_agent.model.retrying.rate_limiter import RateLimiter
from tests.golden_texts import Golden
from tests.model.requests import Attempts, all_of, ask_for

CONCURRENCY = (
    "Your account org-a<ak-b> request reached organization max concurrency: 3, please try again after 1 seconds"
)
FIELD_FORM = "request reached max organization concurrency: 3, please try again"
REQUESTS = "Your account org-a<ak-b> request reached organization max RPM: 3, please try again after 1 seconds"
TOKENS = "Your account org-a<ak-b> request reached organization TPM rate limit, current:501000, limit:500000"
DAY = "Your account org-a<ak-b> request reached organization TPD rate limit, current:1500001, limit:1500000"


def limited(words: str = "Slow down.", wait_s: float = 0.0) -> Unavailable:
    return Unavailable(words, wait_s, exit_code=75, limit="rate")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only when nobody can go on; where nobody ever could, that is an error."""

    class _Selector(selectors.SelectSelector):
        loop: "VirtualLoop"

        def select(self, timeout: float | None = None) -> Any:
            if timeout is None:
                raise RuntimeError("everyone waits for something that never comes")
            self.loop.now += timeout
            return super().select(0)

    def __init__(self) -> None:
        selector = self._Selector()
        selector.loop = self
        self.now = 0.0
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def play(story: Callable[["Crowd"], Coroutine[Any, Any, None]], most: int = 64) -> "Crowd":
    """Run `story` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        crowd = Crowd(most, runner.get_loop().time)
        runner.run(story(crowd))
    return crowd


class Crowd:
    """A limiter, what it reported, and a model that counts who is being served."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self.reported: list[str] = []
        self.clock = clock
        self.limiter = RateLimiter(clock=clock, sleep=asyncio.sleep, most=most)
        self.in_flight = self.most_at_once = 0
        self.starts: list[tuple[str, float]] = []

    def tell(self, obstacle: Delay) -> None:
        self.reported.append(obstacle.message)

    def model(self, name: str, took_s: float, error: Exception | None = None) -> Model:
        return self.limiter.wrap(Served(name, took_s, error, self), self.tell)

    async def ask(self, name: str, took_s: float = 1.0, error: Exception | None = None, **request: Any) -> None:
        """Ask once; the error of the model is heard and forgotten."""
        try:
            await all_of(self.model(name, took_s, error), replace(ask_for(agent=name), **request))
        except Unavailable as raised:
            if raised is not error:
                raise

    def times(self) -> list[float]:
        return [round(at, 3) for _, at in self.starts]


class Served:
    """A model that answers after a while, or fails."""

    window = 1000

    def __init__(self, name: str, took_s: float, error: Exception | None, crowd: Crowd) -> None:
        self.name = name
        self._took_s, self._error, self._crowd = took_s, error, crowd

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        crowd = self._crowd
        crowd.in_flight += 1
        assert crowd.in_flight <= crowd.limiter.max_in_flight
        crowd.most_at_once = max(crowd.most_at_once, crowd.in_flight)
        crowd.starts.append((self.name, crowd.clock()))
        try:
            yield TextDelta("a")
            await asyncio.sleep(self._took_s)
            if self._error is not None:
                raise self._error
            yield Finish("stop")
        finally:
            crowd.in_flight -= 1

    async def aclose(self) -> None:
        pass


async def together(*asked: Coroutine[Any, Any, None]) -> None:
    async with asyncio.TaskGroup() as group:
        for each in asked:
            group.create_task(each)


def test_one_alone_never_waits() -> None:
    async def story(crowd: Crowd) -> None:
        for number in range(100):
            await crowd.ask(f"{number}", took_s=0.0)

    crowd = play(story, most=1)
    assert crowd.clock() == 0.0
    assert crowd.reported == []


def test_no_more_go_at_once_than_there_are_slots_and_in_their_order() -> None:
    async def story(crowd: Crowd) -> None:
        await together(*(crowd.ask(f"{number}", took_s=1.0) for number in range(30)))

    crowd = play(story, most=7)
    assert crowd.most_at_once == 7
    assert crowd.starts == [(f"{number}", float(number // 7)) for number in range(30)]
    assert crowd.reported == [], "our own limit is not worth a word"


def test_a_burst_of_refusals_halves_the_slots_once_and_the_next_one_again() -> None:
    slots = LimiterState(64)
    first = [slots.start(0.0, 0) for _ in range(40)]
    for burst in first:
        slots.record_rate_limit(1.0, limited(), burst)
        slots.end()
    assert slots.max_in_flight == 20, "half of those that were on their way"
    later = [slots.start(2.0, 0) for _ in range(20)]
    slots.record_rate_limit(3.0, limited(), first[0])
    assert slots.max_in_flight == 20, "what started before says nothing new"
    slots.record_rate_limit(3.0, limited(), later[0])
    assert slots.max_in_flight == 10


def test_it_ends_at_one_and_one_alone_is_never_too_many() -> None:
    slots = LimiterState(64)
    slots.record_rate_limit(0.0, limited(), slots.start(0.0, 0))
    assert slots.max_in_flight == 64
    for _ in range(9):
        slots.record_rate_limit(0.0, limited(), slots.start(0.0, 0))
    assert slots.max_in_flight == 1


def test_after_each_three_quiet_minutes_there_is_one_more() -> None:
    slots = LimiterState(6)
    for burst in [slots.start(0.0, 0) for _ in range(6)]:
        slots.record_rate_limit(100.0, limited(), burst)
        slots.end()
    seen = []
    for now in (100.0, 279.0, 280.0, 459.0, 460.0, 639.0, 640.0, 10_000.0):
        slots.find_delay(now, 0)
        seen.append(slots.max_in_flight)
    assert seen == [3, 3, 4, 4, 5, 5, 6, 6]


@pytest.mark.parametrize("words", [CONCURRENCY, FIELD_FORM, f"https://x asks for patience (429): {CONCURRENCY}"])
def test_a_concurrency_that_the_server_names_caps_the_slots_for_good(words: str) -> None:
    slots = LimiterState(64)
    for burst in [slots.start(0.0, 0) for _ in range(8)]:
        slots.record_rate_limit(0.0, limited(words), burst)
        slots.end()
    assert slots.max_in_flight == 3, "more than the account allows explains it; nothing to halve"
    slots.find_delay(1e6, 0)
    assert slots.max_in_flight == 3
    last = [slots.start(1e6, 0) for _ in range(3)][-1]
    slots.record_rate_limit(1e6, limited(words), last)
    assert slots.max_in_flight == 1, "others use the account too"


def test_requests_a_minute_are_spaced_and_the_wait_is_reported(golden: Golden) -> None:
    async def story(crowd: Crowd) -> None:
        await crowd.ask("one", 0.5, limited(REQUESTS))
        await asyncio.sleep(300)
        await together(*(crowd.ask(f"{number}", took_s=1.0) for number in range(8)))

    crowd = play(story)
    assert crowd.times()[1:] == [300.5, 300.5, 300.5, 360.5, 360.5, 360.5, 420.5, 420.5]
    assert len(crowd.reported) == 2
    golden(*crowd.reported)


def test_what_started_before_a_limit_was_learnt_counts_too() -> None:
    slots = LimiterState(64)
    for at in (0.0, 10.0, 20.0, 30.0, 40.0):
        burst = slots.start(at, 0)
        slots.end()
    slots.record_rate_limit(40.0, limited(REQUESTS), burst)
    delay = slots.find_delay(40.0, 0)
    assert delay is not None
    assert (delay.wait_s, delay.message.split(":")[0]) == (40.0, "Waiting 40 s")


def test_tokens_a_minute_are_added_up_where_the_size_is_known(golden: Golden) -> None:
    async def story(crowd: Crowd) -> None:
        await crowd.ask("one", 0.0, limited(TOKENS))
        await asyncio.sleep(300)
        sized = (crowd.ask(f"{number}", tokens=90_000, max_output=10_000) for number in range(7))
        await together(*sized, crowd.ask("unknown"))
        await asyncio.sleep(60)
        await together(crowd.ask("more than fits", tokens=900_000), crowd.ask("after it", tokens=1))

    crowd = play(story)
    assert crowd.times()[1:] == [300.0] * 5 + [360.0] * 3 + [421.0, 481.0]
    golden(*crowd.reported)


def test_a_limit_of_tokens_a_day_is_no_limit_a_minute() -> None:
    slots = LimiterState(64)
    slots.record_rate_limit(0.0, limited(DAY), slots.start(0.0, 0))
    assert slots.find_delay(1.0, 10_000_000) is None


def test_a_hint_holds_all_and_then_they_go_one_by_one(golden: Golden) -> None:
    async def story(crowd: Crowd) -> None:
        late = (crowd.ask(f"{number}", took_s=0.1) for number in range(4))
        await crowd.ask("limited", 0.0, limited(wait_s=30.0))
        await together(*late)
        await asyncio.sleep(200)
        await together(crowd.ask("quiet"), crowd.ask("again"))

    crowd = play(story)
    assert crowd.times() == [0.0, 30.0, 30.7, 31.4, 32.1, 232.2, 232.2]
    golden(*crowd.reported)


def test_a_hint_of_hours_is_reported_to_the_others_at_once_and_holds_nobody() -> None:
    async def story(crowd: Crowd) -> None:
        await crowd.ask("limited", 0.0, Unavailable("Tomorrow.", 36_000.0, exit_code=75, limit="period"))
        await asyncio.sleep(10)
        with pytest.raises(Unavailable, match="Tomorrow") as raised:
            await crowd.ask("other")
        assert (raised.value.wait_s, raised.value.exit_code, raised.value.limit) == (35_990.0, 75, "period")
        await asyncio.sleep(50)
        await crowd.ask("a minute later")

    assert play(story).starts == [("limited", 0.0), ("a minute later", 60.0)]


def test_a_hint_does_not_hold_last_words_for_long() -> None:
    slots = LimiterState(64)
    slots.record_rate_limit(0.0, limited(wait_s=50.0), slots.start(0.0, 0))
    assert slots.refused(1.0) is None
    assert (slots.refused(1.0, 10.0) or limited()).wait_s == 49.0
    assert slots.refused(40.0, 10.0) is None


def test_who_waits_for_a_place_goes_on_when_the_slots_recover(golden: Golden) -> None:
    async def story(crowd: Crowd) -> None:
        long = [asyncio.create_task(crowd.ask(f"long {number}", took_s=1000.0)) for number in range(2)]
        await asyncio.sleep(1)
        await crowd.ask("limited", 0.0, limited())
        assert crowd.in_flight == 2
        started = crowd.clock()
        await together(crowd.ask("first"), crowd.ask("second"))
        assert crowd.clock() - started == pytest.approx(362.0)
        for each in long:
            await each

    crowd = play(story, most=3)
    golden(*crowd.reported)


@pytest.mark.parametrize(
    "error", [Unavailable("down"), Unavailable("quota", retry=False, exit_code=75), Refused("no", 400)]
)
async def test_other_failures_slow_nobody_down(error: Exception) -> None:
    limiter = RateLimiter(clock=lambda: 0.0, sleep=asyncio.sleep, most=2)
    model = limiter.wrap(Attempts([error], [Finish("stop")]))
    with pytest.raises(type(error)) as raised:
        await all_of(model, ask_for())
    assert raised.value is error
    assert await all_of(model, ask_for()) == [Finish("stop")]
    assert await all_of(model, ask_for()) == [Finish("stop")], "its place was given back, nothing is spaced"


async def test_a_stream_that_is_left_early_gives_its_place_back() -> None:
    inner = Attempts([TextDelta("a"), TextDelta("b"), Finish("stop")])
    model = RateLimiter(clock=lambda: 0.0, sleep=asyncio.sleep, most=1).wrap(inner)
    for _ in range(3):
        async with closing_stream(model.stream(ask_for())) as deltas:
            assert await anext(deltas) == TextDelta("a")
    assert inner.closed == 3


def test_who_stops_waiting_leaves_its_place_in_the_line() -> None:
    async def story(crowd: Crowd) -> None:
        tasks = [asyncio.create_task(crowd.ask(f"{number}", took_s=10.0)) for number in range(6)]
        await asyncio.sleep(1)
        tasks[1].cancel()  # the head of the line
        tasks[3].cancel()  # one behind it
        await asyncio.sleep(10)
        tasks[2].cancel()  # one that is being served
        for task in tasks:
            await asyncio.wait([task])

    crowd = play(story, most=1)
    assert [name for name, _ in crowd.starts] == ["0", "2", "4", "5"]
    assert crowd.times() == [0.0, 10.0, 11.0, 21.0]


AGENTS = st.lists(
    st.tuples(
        st.floats(0, 20),  # when it comes
        st.floats(0, 10),  # how long its answers take
        st.lists(st.sampled_from(["", "", "429", "429 in 5 s", "rpm", "down", "cancel"]), max_size=4),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(AGENTS, st.integers(1, 8))
def test_whatever_happens_everyone_is_served_and_never_more_at_once_than_the_slots(agents: Any, most: int) -> None:
    faults: dict[str, Callable[[], Unavailable]] = {
        "429": limited,
        "429 in 5 s": lambda: limited(wait_s=5.0),
        "rpm": lambda: limited("max RPM: 30"),
        "down": lambda: Unavailable("down"),
    }
    served: set[int] = set()

    async def agent(crowd: Crowd, number: int, comes_s: float, took_s: float, script: list[str]) -> None:
        await asyncio.sleep(comes_s)
        for word in script:
            if word == "cancel":
                task = asyncio.create_task(crowd.ask(f"{number}", took_s))
                await asyncio.sleep(took_s / 2)
                task.cancel()
                await asyncio.wait([task])
            else:
                await crowd.ask(f"{number}", took_s, faults[word]() if word else None)
        await crowd.ask(f"{number}", took_s)
        served.add(number)

    async def story(crowd: Crowd) -> None:
        await together(*(agent(crowd, number, *each) for number, each in enumerate(agents)))
        await asyncio.sleep(2000)  # quiet minutes enough for every slot to come back
        crowd.most_at_once = 0
        before = crowd.clock()
        await together(*(crowd.ask("again", took_s=5.0) for _ in range(most)))
        assert crowd.most_at_once == most
        assert crowd.clock() == pytest.approx(before + 5.0)

    crowd = play(story, most)
    assert served == set(range(len(agents)))
    assert crowd.in_flight == 0
    assert crowd.most_at_once <= most


def test_three_hundred_agents_on_a_small_account_settle_at_what_it_allows() -> None:
    """The server refuses what is more than 5 at once; each agent needs 3 answers and tries until it has them."""
    refused = 0

    class Small(Served):
        async def stream(self, request: Request) -> AsyncIterator[Delta]:
            nonlocal refused
            if self._crowd.in_flight >= 5:
                refused += 1
                raise limited("Organization Rate limit exceeded", 1.0)
            async for delta in super().stream(request):
                yield delta

    async def agent(crowd: Crowd, number: int) -> None:
        model = crowd.limiter.wrap(Small(f"{number}", 4.0, None, crowd), crowd.tell)
        got = 0
        while got < 3:
            try:
                await all_of(model, ask_for(agent=f"{number}"))
                got += 1
            except Unavailable:
                await asyncio.sleep(1.0)

    async def story(crowd: Crowd) -> None:
        await together(*(agent(crowd, number) for number in range(300)))

    crowd = play(story)
    assert len(crowd.starts) == 900
    assert crowd.most_at_once == 5
    assert refused < 120
    assert crowd.clock() < 2 * 900 * 4.0 / 5


async def test_what_a_person_sends_is_asked_whatever_was_said_before() -> None:
    busy = Unavailable("Later.", 7200.0, exit_code=75)
    inner = Attempts([busy], [Finish("stop")])
    now = [0.0]
    limiter = RateLimiter(clock=lambda: now[0], sleep=asyncio.sleep, most=2)
    model = limiter.wrap(inner)
    for _ in range(2):
        with pytest.raises(Unavailable, match="Later"):
            await all_of(model, ask_for())
    assert inner.asked == 1, "the second one was answered from memory"
    now[0] = 1.0
    limiter.ask_again()
    assert await all_of(model, ask_for()) == [Finish("stop")]
