"""What may go out under a cap, what is said on the way, and what is decided at its end."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimi_agent.errors import Stopped, Unavailable
from kimi_agent.log.events import (
    Answered,
    Asked,
    Event,
    Notice,
    Opened,
    Said,
    Spent,
    Stamped,
    TextDelta,
    TurnEnded,
)
from kimi_agent.log.messages import Assistant, Usage, user_message
from kimi_agent.log.questions import Decision, Question
from kimi_agent.model.cost.budget import Budget
from kimi_agent.model.cost.caps import Cap, Caps, list_caps_set
from kimi_agent.model.cost.cost_recorder import wrap_with_cost_recorder
from kimi_agent.model.cost.prices import Price
from kimi_agent.model.cost.shared_claims import SharedClaims
from kimi_agent.model.cost.spend_totals import Amount, Cost, SpendTotals
from kimi_agent.model.protocol import Delta, Finish, Model, Request
from tests.golden_texts import Golden
from tests.model.requests import READ_FILE, all_of

PRICE = Price(1.0, 0.1, 10.0)
"""So that 1,000 tokens of input are $0.001 and 1,000 of output $0.01."""
NOON = 1_795_348_800.0
NOBODY = Decision(allowed=False, message="there is no terminal", by="policy")
MORE, WRAP_UP, STOP = (Decision(allowed=choice == 0, choice=choice) for choice in range(3))


@dataclass
class Server:
    """Charges by a script of usages, whatever it is asked; the last one repeats. Keeps what it was asked."""

    usages: list[Usage]
    name: str = "kimi-k2.6"
    window: int = 262_144
    asked: list[Request] = field(default_factory=list)
    hold: asyncio.Event | None = None

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        self.asked.append(request)
        if self.hold is not None:
            await self.hold.wait()
        yield TextDelta("so")
        yield self.usages.pop(0) if len(self.usages) > 1 else self.usages[0]
        yield Finish("stop")

    async def aclose(self) -> None:
        pass


@dataclass
class House:
    """A log, a clock, a person with prepared answers, and a budget that hears it all."""

    caps: Caps
    answers: list[Decision] = field(default_factory=list)
    price: Price | None = PRICE
    others: tuple[float, int] = (0.0, 0)
    claims: Path | None = None
    now: float = NOON
    answering_s: float = 0.0
    meanwhile: Callable[[], object] = lambda: None
    log: list[Stamped] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)

    def __post_init__(self) -> None:
        claims = SharedClaims(self.claims or Path("/proc/nowhere"), "mine")
        self.budget = Budget(
            self.caps, ask=self.ask, emit=self.emit, clock=lambda: self.now, day=lambda: self.others, claims=claims
        )
        self.budget.begin_run()

    def emit(self, event: Event, agent: str = "main") -> Stamped:
        stamped = Stamped(agent, len(self.log) + 1, self.now, event)
        self.log.append(stamped)
        self.budget.hear(stamped)
        return stamped

    async def ask(self, question: Question) -> Decision:
        self.questions.append(question)
        await asyncio.sleep(0)
        self.now += self.answering_s
        self.meanwhile()
        return self.answers.pop(0) if self.answers else NOBODY

    def road(self, server: Server, agent: str = "main") -> Model:
        def emit(event: Event) -> Stamped:
            return self.emit(event, agent)

        return self.budget.wrap(
            wrap_with_cost_recorder(server, price=self.price, emit=emit, clock=lambda: self.now), self.price
        )

    def pay(self, usd: float | None, *, agent: str = "main", tokens: int = 1_000, **more: Any) -> None:
        self.emit(Spent("kimi-k2.6", Usage(tokens), usd, **more), agent)

    def begin_turn(self) -> None:
        self.emit(Said(user_message("do it")))

    async def step(self, model: Model, request: Request | None = None) -> None:
        await all_of(model, request or asking())
        self.emit(Said(Assistant("so")))

    @property
    def notices(self) -> list[str]:
        return [each.event.text for each in self.log if isinstance(each.event, Notice)]


def asking(tokens: int = 10_000, **more: Any) -> Request:
    return replace(Request("Be kind.", (READ_FILE,), [user_message("go")], tokens=tokens), **more)


async def stopped(doing: Any) -> Stopped:
    with pytest.raises(Stopped) as error:
        await doing
    return error.value


@pytest.mark.parametrize(
    ("cap", "spent", "size", "price", "fits"),
    [
        (Cap("run", "usd", 1.0, 1.0), Amount(0.5), 100_000, PRICE, 40_000),
        (Cap("run", "usd", 1.0, 1.0), Amount(0.95), 100_000, PRICE, -5_000),
        (Cap("run", "usd", 1.0, 1.0), Amount(0.5), 100_000, Price(0.1, 1.0, 10.0), 40_000),  # cached is dearer there
        (Cap("run", "usd", 1.0, 1.0), Amount(0.5), 100_000, Price(1.0, 1.0, 0.0), float("inf")),
        (Cap("run", "usd", 1.0, 1.0), Amount(0.95), 100_000, Price(1.0, 1.0, 0.0), -1),
        (Cap("run", "usd", 1.0, 1.0), Amount(5.0), 100_000, None, float("inf")),
        (Cap("run", "tokens", 200_000, 200_000), Amount(9.0, 50_000), 100_000, None, 50_000),
        (Cap("run", "tokens", 200_000, 200_000), Amount(0.0, 150_000), 100_000, PRICE, -50_000),
    ],
)
def test_how_much_output_fits_at_the_worst(
    cap: Cap, spent: Amount, size: int, price: Price | None, fits: float
) -> None:
    assert cap.output_left(spent, price, size) == pytest.approx(fits)


@pytest.mark.parametrize(
    ("cap", "short", "more"),
    [
        (Cap("run", "usd", 2.0, 2.0), 0.1, 1.0),
        (Cap("run", "usd", 0.5, 0.5), 0.1, 0.5),
        (Cap("run", "usd", 0.1, 0.1), 0.231, 0.24),  # else the next request would be asked about at once again
        (Cap("run", "tokens", 1_000_000, 1_000_000), 5_000, 250_000),
        (Cap("run", "tokens", 10_000, 10_000), 5_500, 6_000),
        (Cap("turn", "steps", 40, 20), 1, 20),
        (Cap("turn", "s", 600, 600), 0, 600),
    ],
)
def test_by_how_much_a_cap_is_raised(cap: Cap, short: float, more: float) -> None:
    assert cap.more(short) == pytest.approx(more)


def test_only_caps_that_are_set_are_caps() -> None:
    assert list_caps_set(Caps()) == []
    every = list_caps_set(Caps(1, 2, 3, 4, 5, 6, 7, 8, 9, 10))
    assert [(cap.scope, cap.unit, cap.limit) for cap in every] == [
        ("turn", "usd", 1), ("turn", "tokens", 5), ("run", "usd", 2), ("run", "tokens", 6),
        ("session", "usd", 3), ("session", "tokens", 7), ("day", "usd", 4), ("day", "tokens", 8),
        ("turn", "steps", 9), ("turn", "s", 10),
    ]  # fmt: skip
    assert [cap.flag for cap in every] == [
        "budget.turn_usd", "budget.turn_tokens", "--max-budget-usd", "--max-tokens",
        "budget.session_usd", "budget.session_tokens", "budget.day_usd", "budget.day_tokens",
        "--max-steps", "--timeout",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("caps", "wanted", "sent"),
    [
        (Caps(), None, None),
        (Caps(run_usd=1.0), None, None),  # 0.99 / 0.00001: more than any default
        (Caps(run_usd=0.21), None, 20_000),
        (Caps(run_usd=0.21), 30_000, 20_000),
        (Caps(run_usd=0.21), 16_000, 16_000),
        (Caps(run_tokens=30_000), None, 20_000),
        (Caps(run_tokens=30_000, run_usd=0.11), None, 10_000),
        (Caps(run_tokens=11_000), 1_000, 1_000),  # a request that wants less than the least
    ],
)
async def test_an_answer_may_be_as_long_as_fits(caps: Caps, wanted: int | None, sent: int | None) -> None:
    house, server = House(caps), Server([Usage(10_000, 5)])
    await all_of(house.road(server), asking(max_output=wanted))
    assert [each.max_output for each in server.asked] == [sent]
    assert house.questions == []


@pytest.mark.parametrize(
    ("caps", "text", "status", "code"),
    [
        (
            Caps(run_usd=0.05),
            "Stopped: $0.00 of the $0.05 of this run are spent, and the next request may cost up to $0.051; "
            "raise --max-budget-usd to go on.",
            "budget",
            54,
        ),
        (
            Caps(turn_tokens=14_000),
            "Stopped: 0 tokens of the 14,000 tokens of this turn are spent, and the next request may cost up to "
            "14,096 tokens; say 'continue' to go on.",
            "budget",
            54,
        ),
    ],
)
async def test_what_does_not_fit_is_not_sent(caps: Caps, text: str, status: str, code: int) -> None:
    house, server = House(caps), Server([Usage(10_000, 5)])
    house.begin_turn()
    error = await stopped(all_of(house.road(server), asking()))
    assert (str(error), error.status, error.exit_code) == (text, status, code)
    assert error.wrap_up == ""  # nothing was done yet
    assert server.asked == []


async def test_where_nobody_is_there_the_turn_wraps_up(golden: Golden) -> None:
    house, server = House(Caps(run_usd=0.2)), Server([Usage(10_000, 5_000)])
    model = house.road(server)
    house.begin_turn()
    for _ in range(3):
        await house.step(model)
    error = await stopped(house.step(model))
    golden(error.wrap_up, *(choice for each in house.questions for choice in each.choices))
    assert (error.status, error.exit_code) == ("budget", 54)
    await all_of(model, asking(purpose="wrap_up", max_output=50_000))
    assert [each.max_output for each in server.asked] == [19_000, 13_000, 7_000, 8_192]
    assert len(house.questions) == 1


async def test_the_question_says_what_was_spent_on_what(golden: Golden) -> None:
    house, server = House(Caps(run_usd=2.0), answers=[STOP]), Server([Usage(10_000, 5)])
    house.begin_turn()
    house.pay(1.5)
    house.pay(0.3, agent="main.1")
    house.pay(0.18, purpose="compaction")
    error = await stopped(all_of(house.road(server), asking()))
    (question,) = house.questions
    assert (question.tool, question.view, question.rule) == ("budget", None, "")
    golden(question.title, question.why, *question.choices)
    asked = [each.event for each in house.log if isinstance(each.event, Asked | Answered)]
    assert asked == [Asked(question), Answered(question, STOP)]
    assert error.wrap_up == ""


async def test_a_person_may_raise_a_cap_once_and_again() -> None:
    house = House(Caps(run_usd=0.1), answers=[MORE, MORE, WRAP_UP])
    server = Server([Usage(10_000, 5_000)])
    model = house.road(server)
    house.begin_turn()
    for _ in range(5):
        await house.step(model)
    assert (await stopped(house.step(model))).wrap_up
    assert [cap.limit for cap in house.budget.state().caps] == [pytest.approx(0.3)]
    assert house.budget.state().spent["run"].usd == pytest.approx(0.30)


@pytest.mark.parametrize(
    ("decision", "wraps_up"),
    [
        (NOBODY, True),
        (WRAP_UP, True),
        (STOP, False),
        (Decision(allowed=False), False),  # Esc
        (Decision(allowed=False, message="use fewer tools"), False),
    ],
)
async def test_what_was_decided_holds_for_the_turn_and_for_every_agent(decision: Decision, wraps_up: bool) -> None:
    house, server = House(Caps(run_usd=0.1), answers=[decision]), Server([Usage(10_000, 4_000)])
    model, helper = house.road(server), house.road(server, "main.1")
    house.begin_turn()
    await house.step(model)
    assert bool((await stopped(house.step(model))).wrap_up) == wraps_up
    assert (await stopped(all_of(helper, asking(10, agent="main.1")))).wrap_up == ""
    assert bool((await stopped(all_of(model, asking(10, purpose="compaction")))).wrap_up) == wraps_up
    assert len(house.questions) == 1
    house.emit(TurnEnded("budget", 1))
    house.begin_turn()
    await stopped(house.step(model))
    assert len(house.questions) == 2


async def test_what_belongs_to_no_turn_is_asked_about_each_time() -> None:
    house, server = House(Caps(run_usd=0.05), answers=[STOP, MORE]), Server([Usage(10_000, 5)])
    compaction = asking(purpose="compaction")
    await stopped(all_of(house.road(server), compaction))
    await all_of(house.road(server), compaction)
    assert len(house.questions) == 2


async def test_the_caps_may_be_renewed_while_a_person_thinks() -> None:
    house = House(Caps(turn_usd=0.06), answers=[MORE, MORE])
    model = house.road(Server([Usage(10_000, 5_000)]))
    for _ in range(2):
        await all_of(model, asking())
    house.meanwhile = house.begin_turn
    await all_of(model, asking())
    assert len(house.questions) == 2
    assert [cap.limit for cap in house.budget.state().caps] == [pytest.approx(0.12)]


async def test_a_turn_is_for_the_main_agents_words_only() -> None:
    house, server = House(Caps(turn_usd=0.2, turn_steps=2)), Server([Usage(10_000, 5)])
    house.begin_turn()
    house.pay(0.15)
    house.emit(Said(user_message("and that too"), queued=7))
    house.emit(Said(user_message("look there")), "main.1")
    house.emit(Said(Assistant("I look")), "main.1")
    assert (house.budget.state().spent["turn"].usd, house.budget.state().steps) == (0.15, 0)
    house.begin_turn()
    assert house.budget.state().spent["turn"].usd == 0
    await house.step(house.road(server))
    assert house.budget.state().steps == 1


async def test_steps_are_counted_and_more_are_allowed(golden: Golden) -> None:
    house, server = House(Caps(turn_steps=2), answers=[MORE]), Server([Usage(10, 5)])
    model = house.road(server)
    house.begin_turn()
    for _ in range(4):
        await house.step(model)
    error = await stopped(house.step(model))
    assert (error.status, error.exit_code) == ("step_limit", 53)
    golden(house.questions[0].title, house.questions[0].choices[0], str(error), error.wrap_up)
    await all_of(house.road(server, "main.1"), asking(agent="main.1", purpose="wrap_up"))
    house.emit(TurnEnded("step_limit", 4))
    await all_of(model, asking(purpose="compaction"))  # /compact belongs to no turn
    house.begin_turn()
    await house.step(model)


async def test_sub_agents_have_their_own_steps() -> None:
    house, server = House(Caps(turn_steps=1)), Server([Usage(10, 5)])
    house.begin_turn()
    await house.step(house.road(server))
    await all_of(house.road(server, "main.1"), asking(agent="main.1"))


async def test_time_is_the_work_not_the_waiting_for_a_person(golden: Golden) -> None:
    house, server = House(Caps(turn_s=600.0), answers=[MORE], answering_s=5_000.0), Server([Usage(10, 5)])
    model = house.road(server)
    house.begin_turn()
    one, two = Question("shell", "rm"), Question("shell", "ls")
    house.emit(Answered(one, NOBODY))  # the policy's own no
    house.emit(Asked(one))
    house.now += 300
    house.emit(Asked(two), "main.1")
    house.now += 1_000
    house.emit(Answered(one, STOP))
    house.now += 1_000
    assert house.budget.state().turn_s == 0
    house.emit(Answered(two, STOP), "main.1")
    house.now += 599
    await house.step(model)
    house.now += 1
    await house.step(model)  # a person gave as much again, after a long time
    house.now += 600
    error = await stopped(house.step(model))
    assert (error.status, error.exit_code) == ("time_limit", 55)
    golden(house.questions[0].choices[0], house.questions[-1].title, str(error))
    house.emit(TurnEnded("time_limit", 2))
    house.now += 9_999
    await all_of(model, asking(purpose="compaction"))


async def test_a_day_counts_other_sessions_and_ends_at_midnight(golden: Golden) -> None:
    house, server = House(Caps(day_usd=1.0, day_tokens=9_000_000), others=(0.9, 50)), Server([Usage(10_000, 5)])
    model = house.road(server)
    house.begin_turn()
    house.pay(0.06)
    error = await stopped(all_of(model, asking()))
    golden(str(error), house.questions[0].why)
    assert house.budget.state().spent["day"] == Amount(0.96, 1_050)
    house.now += 86_400
    house.others = (0.1, 5)
    house.begin_turn()
    await all_of(model, asking())
    assert house.budget.state().spent["day"].tokens == 5 + 10_005


async def test_other_sessions_are_looked_at_also_after_the_clock_was_set_back() -> None:
    house, server = House(Caps(day_usd=1.0)), Server([Usage(10, 5)])
    model = house.road(server)
    await all_of(model, asking())
    house.now -= 3_600
    house.others = (0.99, 50)
    assert "of today are spent" in str(await stopped(all_of(model, asking())))


@pytest.mark.parametrize("unit", ["usd", "tokens"])
async def test_of_two_processes_at_the_days_cap_one_gives_the_answer_above_it(unit: str, tmp_path: Path) -> None:
    caps = Caps(day_usd=0.5) if unit == "usd" else Caps(day_tokens=150_000)
    houses = [House(caps, claims=tmp_path, others=(0.49, 149_000)) for _ in range(2)]
    usage, gate = Usage(10_000, 5), asyncio.Event()
    answering, refused = [house.road(Server([usage], hold=gate)) for house in houses]
    first = asyncio.ensure_future(all_of(answering, asking(purpose="wrap_up")))
    while not list(tmp_path.glob("*.json")):
        await asyncio.sleep(0)
    assert (await stopped(all_of(refused, asking(purpose="wrap_up")))).exit_code == 54
    gate.set()
    await first
    await all_of(refused, asking(purpose="wrap_up"))  # what the other one spent is in `others`, in its log


async def test_of_two_processes_that_stop_at_once_the_later_does_not_wrap_up_above_the_days_cap_too() -> None:
    house, server = House(Caps(day_usd=0.5), others=(0.1, 0)), Server([Usage(10_000, 5)])
    model = house.road(server)
    house.begin_turn()
    await house.step(model, asking(10))
    house.others, house.now = (0.48, 0), house.now + 60
    assert (await stopped(house.step(model))).wrap_up
    house.others, house.now = (0.52, 0), house.now + 60  # the other one's last answer, which is over
    assert (await stopped(all_of(model, asking(purpose="wrap_up")))).exit_code == 54


async def test_a_raised_day_is_raised_for_that_day() -> None:
    house, server = House(Caps(day_usd=0.5), answers=[MORE], others=(0.49, 0)), Server([Usage(10_000, 5)])
    model = house.road(server)
    await all_of(model, asking())
    assert [cap.limit for cap in house.budget.state().caps] == [1.0]
    house.now += 86_400
    await stopped(all_of(model, asking()))
    assert [cap.limit for cap in house.budget.state().caps] == [0.5]


def earlier() -> list[Stamped]:
    """A log of yesterday and this morning, whose first half was copied from another session."""
    events: list[tuple[float, Event]] = [
        (NOON - 90_000, Opened("one", "/w", "kimi-k2.6", "1")),
        (NOON - 90_000, Spent("kimi-k2.6", Usage(100), 5.0)),
        (NOON - 80_000, Opened("two", "/w", "kimi-k2.6", "1", forked_from="one")),
        (NOON - 79_999, Said(user_message("go"))),
        (NOON - 79_000, Spent("kimi-k2.6", Usage(100), 0.25)),
        (NOON - 60, Spent("kimi-k2.6", Usage(100), 0.5)),
        (NOON - 60, Said(Assistant("done"))),
    ]
    return [Stamped("main", seq, at, event) for seq, (at, event) in enumerate(events, 1)]


def test_a_resumed_session_knows_what_it_spent_itself() -> None:
    house = House(Caps())
    for stamped in earlier():
        house.budget.hear(stamped)
    house.budget.begin_run()
    house.budget.hear(Stamped("main", 0, NOON, Opened("two", "/w", "kimi-k2.6", "1", forked_from="one")))  # a greeting
    spent = house.budget.state().spent
    assert {scope: amount.usd for scope, amount in spent.items()} == {
        "turn": 0.75,
        "run": 0.0,
        "session": 0.75,
        "day": 0.5,
    }


@pytest.mark.parametrize(
    ("caps", "decision", "asked"),
    [(Caps(run_usd=1.0), NOBODY, 1), (Caps(day_usd=1.0), STOP, 1), (Caps(run_tokens=100_000), NOBODY, 0)],
)
async def test_a_cap_in_dollars_that_cannot_be_held_lets_nothing_out(
    caps: Caps, decision: Decision, asked: int, golden: Golden
) -> None:
    house, server = House(caps, answers=[decision], price=None), Server([Usage(10_000, 5)])
    house.begin_turn()
    doing = all_of(house.road(server), asking())
    if not asked:
        await doing
        return
    error = await stopped(doing)
    assert (error.status, error.exit_code, error.wrap_up) == ("budget", 54, "")
    golden(str(error))
    assert server.asked == []


async def test_a_person_may_go_on_without_a_cap_in_dollars_and_is_asked_once(golden: Golden) -> None:
    house, server = House(Caps(run_usd=0.01, run_tokens=30_000), answers=[MORE], price=None), Server([Usage(10_000, 5)])
    model = house.road(server)
    house.begin_turn()
    await house.step(model)
    await house.step(model)
    assert len(house.questions) == 1
    error = await stopped(house.step(model))  # the other cap holds
    golden(house.questions[0].title, str(error))
    assert house.budget.state().spent["run"] == Amount(0.0, 20_010, 20_010)


async def test_many_agents_without_a_price_are_one_question() -> None:
    house, server = House(Caps(run_usd=1.0), answers=[MORE], price=None), Server([Usage(100, 5)])
    await asyncio.gather(*(all_of(house.road(server), asking(100)) for _ in range(5)))
    assert (len(house.questions), len(server.asked)) == (1, 5)


async def test_one_question_at_a_time_however_many_agents_wait() -> None:
    house, server = House(Caps(run_usd=0.02), answers=[MORE]), Server([Usage(100, 5)])
    house.begin_turn()
    models = [house.road(server, f"main.{number}") for number in range(20)]
    small = [asking(100, agent=f"main.{number}", max_output=4_000) for number in range(20)]
    await asyncio.gather(*(all_of(model, request) for model, request in zip(models, small, strict=True)))
    assert len(house.questions) == 1
    assert len(server.asked) == 20


async def test_what_is_under_way_is_waited_for_not_asked_about() -> None:
    house, server = House(Caps(run_usd=0.5)), Server([Usage(1_000, 100)], hold=asyncio.Event())
    assert server.hold is not None
    house.begin_turn()
    waiting = [
        asyncio.ensure_future(all_of(house.road(server, f"main.{number}"), asking(1_000, agent=f"main.{number}")))
        for number in range(6)
    ]
    for _ in range(20):
        await asyncio.sleep(0)
    # The first may be as long as it likes; what it leaves is the second's; the others wait.
    assert [each.max_output for each in server.asked] == [None, 17_032]
    server.hold.set()
    await asyncio.gather(*waiting)
    assert len(server.asked) == 6
    assert house.questions == []


async def test_who_waits_can_be_cancelled_and_nothing_stays_under_way() -> None:
    house, server = House(Caps(run_usd=0.4)), Server([Usage(1_000, 100)], hold=asyncio.Event())
    waiting = [asyncio.ensure_future(all_of(house.road(server), asking(1_000))) for _ in range(3)]
    for _ in range(20):
        await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    assert [type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == [
        asyncio.CancelledError
    ] * 3
    server.hold = None
    await all_of(house.road(server), asking(1_000))
    assert server.asked[-1].max_output is None


async def test_an_attempt_that_failed_frees_what_it_had_claimed() -> None:
    house = House(Caps(run_usd=0.4))

    class Down(Server):
        async def stream(self, request: Request) -> AsyncIterator[Delta]:
            for usage in self.usages:
                yield usage
            raise Unavailable("down")

    for _ in range(3):
        with pytest.raises(Unavailable):
            await all_of(house.road(Down([])), asking(1_000))
    server = Server([Usage(1_000, 100)])
    await all_of(house.road(server), asking(1_000))
    assert server.asked[-1].max_output is None


@pytest.mark.parametrize(
    ("caps", "pays"),
    [
        (Caps(run_usd=2.0), [0.5] * 3 + [0.12]),
        (Caps(session_usd=2.0), [0.16] * 10),
        (Caps(turn_steps=5), [0.0] * 5),
    ],
    ids=["run", "session", "steps"],
)
async def test_at_four_fifths_a_person_is_warned_once(caps: Caps, pays: Sequence[float], golden: Golden) -> None:
    house = House(caps)
    server = Server([Usage(0, round(usd * 100_000)) for usd in pays])
    model = house.road(server)
    house.begin_turn()
    for _ in pays:
        await house.step(model, asking(1))
    assert len(house.notices) == 1
    golden(*house.notices)


async def test_tokens_and_time_warn_in_their_own_words(golden: Golden) -> None:
    house, server = House(Caps(run_tokens=100_000, turn_s=600)), Server([Usage(20_000, 1_000)])
    model = house.road(server)
    house.begin_turn()
    for _ in range(4):
        await house.step(model)
    house.now += 480
    await stopped(house.step(model, asking(30_000)))
    assert len(house.notices) == 2
    golden(*house.notices)


async def test_a_new_turn_and_a_raised_cap_warn_anew() -> None:
    house = House(Caps(turn_usd=1.0), answers=[MORE])
    model = house.road(Server([Usage(0, output) for output in (85_000, 85_000, 11_000, 70_000)]))
    for steps in (1, 3):
        house.begin_turn()
        for _ in range(steps):
            await house.step(model, asking(1))
    assert [each[:18] for each in house.notices] == ["$0.85 of the $1.00"] * 2 + ["$1.66 of the $2.00"]


@pytest.mark.parametrize(
    ("likes", "cost", "like"),
    [
        ([0.02] * 5, 0.081, 0.02),
        ([0.02] * 5, 0.08, None),
        ([0.01] * 5, 0.05, None),  # not worth a word
        ([0.01] * 4, 9.0, None),  # nothing to compare with
        ([0.01, 0.02, 0.02, 0.02, 9.0], 0.5, 0.02),
    ],
)
def test_what_costs_far_more_than_its_like(likes: list[float], cost: float, like: float | None) -> None:
    found = Cost(cost, 0).find_usual([Cost(usd, 0) for usd in likes])
    assert (None if found is None else found.usd) == like


def test_without_a_price_the_uncached_tokens_are_compared() -> None:
    likes = [Cost(None, 10_000)] * 5
    assert Cost(None, 100_001).find_usual(likes) == Cost(None, 10_000)
    assert Cost(None, 100_000).find_usual(likes) is None
    assert Cost(None, 150_000).find_usual([Cost(None, 50_000)] * 5) is None


async def test_a_spike_is_said_with_what_the_cache_knows(golden: Golden) -> None:
    house, server = House(Caps()), Server([Usage(10_000, 1_000, 9_900)] * 6 + [Usage(300_000, 1_000)])
    model = house.road(server)
    house.begin_turn()
    for _ in range(6):
        await house.step(model)
    await house.step(model, asking(tools=()))
    golden(*house.notices)


async def test_a_step_that_is_dear_by_its_sub_agents_is_said(golden: Golden) -> None:
    house, server = House(Caps()), Server([Usage(10_000, 1_000, 9_900)])
    model = house.road(server)
    house.begin_turn()
    for _ in range(6):
        await house.step(model)
    for _ in range(9):
        house.pay(0.02, agent="main.1")
    await house.step(model)
    golden(*house.notices)


async def test_a_spike_without_a_price_is_said_in_tokens(golden: Golden) -> None:
    house, server = House(Caps(), price=None), Server([Usage(10_000, 1_000)] * 6 + [Usage(300_000, 1_000)])
    model = house.road(server)
    for _ in range(7):
        await house.step(model)
    golden(*house.notices)


def test_what_the_log_of_an_earlier_process_tells_is_no_news() -> None:
    bill = SpendTotals(lambda: NOON)
    for seq in range(9):
        bill.hear(Stamped("main", seq, NOON, Spent("m", Usage(10), 0.01 if seq < 8 else 5.0)))
    assert len(bill.spikes) == 1
    bill.begin_run()
    bill.end_step()
    assert (bill.spikes, list(bill.recent_steps)) == ([], [])


def test_the_state_tells_how_the_cache_did() -> None:
    house = House(Caps(run_usd=5.0))
    house.road(Server([]))
    spent = [
        Spent("kimi-k2.6", Usage(1_000_000), 1.0),
        Spent("kimi-k2.6", Usage(2_000_000, 0, 900_000), 1.19, due=1_000_000),
        Spent("kimi-k2.6", Usage(2_000_000), 2.0, due=2_000_000, miss="idle for 12 min"),
        Spent("kimi-k2.6", Usage(2_000_000), 2.0, "compaction", due=1_000, miss="idle for 6 min"),
        Spent("kimi-k2.6", Usage(1_000_000), 1.0, due=500, miss="the tool list changed", estimated=True),
        Spent("other", Usage(2_000_000, 0, 1_000_000), None, due=1_500_000),
    ]
    for each in spent:
        house.emit(each)
    state = house.budget.state()
    assert (state.cache.due, state.cache.held) == (4_501_000, 1_900_000)
    assert state.cache.saved == pytest.approx(0.81)
    assert state.cache.wasted == pytest.approx(2_001_000 * 0.9e-6)
    assert state.cache.misses == {"idle": 2}
    assert state.requests == 6
    assert state.usage == Usage(10_000_000, 0, 1_900_000)
    assert state.purposes == (
        ("answer", Amount(1.0 + 1.19 + 2.0 + 1.0, 8_000_000, 2_000_000)),
        ("compaction", Amount(2.0, 2_000_000)),
    )


# The promise: whatever requests cost, the overrun is never above one answer.
async def play(house: House, server: Server, sizes: list[int], agents: int) -> None:
    """Turns of several agents at once until the budget ends them, then the main agent wraps up."""

    async def work(number: int) -> Stopped | None:
        agent = "main" if number == 0 else f"main.{number}"
        model = house.road(server, agent)
        try:
            for size in sizes:
                await all_of(model, asking(size, agent=agent))
                if number == 0:
                    house.emit(Said(Assistant("so")))
        except Stopped as stop:
            return stop
        return None

    house.begin_turn()
    ended = await asyncio.gather(*(work(number) for number in range(agents)))
    if ended[0] is not None and ended[0].wrap_up:
        await all_of(house.road(server), asking(sizes[-1], purpose="wrap_up"))


class Till(Server):
    """Answers of random length and cache hits, up to what it may; with `greed` it charges more than that."""

    def __init__(self, rng: random.Random, greed: float) -> None:
        super().__init__([])
        self.rng = rng
        self.greed = greed

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        self.asked.append(request)
        for _ in range(self.rng.randrange(3)):
            await asyncio.sleep(0)
        yield TextDelta("so")
        output = self.rng.randint(1, request.max_output or 32_768)
        cached = self.rng.randint(0, request.tokens)
        yield Usage(int(request.tokens * (1 + self.greed)), int(output * (1 + self.greed)), cached)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    cap=st.sampled_from([0.02, 0.1, 0.5, 2.0]),
    agents=st.integers(1, 5),
    greed=st.sampled_from([0.0, 0.5]),
)
async def test_the_overrun_is_never_above_one_answer(seed: int, cap: float, agents: int, greed: float) -> None:
    rng = random.Random(seed)
    agents = agents if greed == 0 else 1  # who charges more than it may does so once for each that is under way
    house, server = House(Caps(run_usd=cap)), Till(rng, greed)
    await play(house, server, [rng.randint(1, 60_000) for _ in range(40)], agents)
    paid = [each.event for each in house.log if isinstance(each.event, Spent)]
    total = sum(each.usd or 0.0 for each in paid)
    last = paid[-1].usd or 0.0 if paid else 0.0
    assert total - cap <= last + 1e-9
    if greed == 0:
        within = sum(each.usd or 0.0 for each in paid if each.purpose != "wrap_up")
        assert within <= cap + 1e-9


async def test_who_was_asked_may_go_on_and_need_not_start_again(golden: Golden) -> None:
    house, server = House(Caps(run_usd=0.05), answers=[STOP]), Server([Usage(10, 5)])
    golden(str(await stopped(house.step(house.road(server)))))


async def test_a_turn_that_took_longer_than_it_may_is_no_part_of_its_time(golden: Golden) -> None:
    house, server = House(Caps(turn_s=2)), Server([Usage(10, 5)])
    house.begin_turn()
    house.now += 3
    await stopped(house.step(house.road(server)))
    golden(house.questions[0].title)
