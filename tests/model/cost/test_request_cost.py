"""What is written down of each attempt, and what is said of the provider's cache."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest

from kimi_agent.errors import Refused, Unavailable
from kimi_agent.log.events import (
    CallDelta,
    Compacted,
    Dispatched,
    Durable,
    Event,
    ReasoningDelta,
    Requested,
    Restored,
    Rewound,
    Said,
    Shortened,
    Spent,
    Stamped,
    TextDelta,
    Unanswered,
)
from kimi_agent.log.messages import Assistant, Media, Message, ToolReturn, Usage, User, user_message
from kimi_agent.model.cost.cost_recorder import (
    HISTORY_EDITED,
    OTHER_MODEL,
    OTHER_SYSTEM,
    OTHER_TOOLS,
    PROVIDER_DROPPED_CACHE,
    LastRequest,
    estimate_request_tokens,
    find_last_request,
    wrap_with_cost_recorder,
)
from kimi_agent.model.cost.prices import Price
from kimi_agent.model.protocol import Delta, Finish, Model, Request, ToolSpec, fingerprint_prompt_head
from tests.model.requests import READ_FILE, all_of

PRICE = Price(1.0, 0.1, 4.0)
FINE: Sequence[Delta] = [TextDelta("fine"), Usage(1_000, 10), Finish("stop")]
SENT = Dispatched("kimi-k2.6", 5_000, 0.005)
"""What `ask()` is when it goes out: nothing of it is cached."""
HISTORY: tuple[Message, ...] = (user_message("fix it"), Assistant("I look."), user_message("and?"))


@dataclass
class Answers:
    """A model that answers one script after the other."""

    scripts: list[Sequence[Delta | BaseException | asyncio.Event]]
    name: str = "kimi-k2.6"
    window: int = 1_000

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        for each in self.scripts.pop(0):
            if isinstance(each, asyncio.Event):
                await each.wait()
            elif isinstance(each, BaseException):
                raise each
            else:
                yield each

    async def aclose(self) -> None:
        pass


@dataclass
class Book:
    """A log of what was emitted, and a clock."""

    now: float = 1_000_000.0
    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> Stamped:
        self.events.append(event)
        return Stamped("main", len(self.events), self.now, event)

    @property
    def spent(self) -> list[Spent]:
        return [each for each in self.events if isinstance(each, Spent)]

    def around(
        self, *scripts: Sequence[Delta | BaseException | asyncio.Event], last: LastRequest | None = None
    ) -> Model:
        return wrap_with_cost_recorder(
            Answers(list(scripts)), price=PRICE, emit=self.emit, clock=lambda: self.now, last=last
        )


def reported(input: int, cached: int = 0) -> Sequence[Delta]:
    """An answer with a usage."""
    return [TextDelta("x"), Usage(input, 1, cached)]


def ask(*messages: Message, system: str = "Be kind.", tools: tuple[ToolSpec, ...] = (READ_FILE,)) -> Request:
    return Request(system, tools, list(messages or HISTORY), tokens=5_000)


async def test_the_reported_usage_is_written_down_with_its_price() -> None:
    book = Book()
    script: Sequence[Delta] = [TextDelta("x"), Usage(1_000, 1), Usage(2_000, 500, 1_000, 300), Finish("stop")]
    assert await all_of(book.around(script), replace(ask(), purpose="wrap_up")) == script
    usage = Usage(2_000, 500, 1_000, 300)
    sent = Dispatched("kimi-k2.6", 5_000, 0.005, "wrap_up")
    assert book.events == [sent, Spent("kimi-k2.6", usage, PRICE.usd(usage), "wrap_up")]


async def test_without_a_price_the_tokens_are_written_down_alone() -> None:
    book = Book()
    model = wrap_with_cost_recorder(Answers([FINE]), price=None, emit=book.emit, clock=lambda: 0.0)
    await all_of(model, ask())
    assert book.events == [Dispatched("kimi-k2.6", 5_000, None), Spent("kimi-k2.6", Usage(1_000, 10), None)]


@pytest.mark.parametrize(
    "script", [[Refused("no", 400)], [Unavailable("connection refused")], [Unavailable("429", 5.0)], []]
)
async def test_an_attempt_without_a_first_word_costs_nothing(script: list[BaseException]) -> None:
    book = Book()
    try:
        await all_of(book.around(script), ask())
    except (Refused, Unavailable):
        assert script
    assert book.events == [SENT, Unanswered()]


@pytest.mark.parametrize(
    "script",
    [
        [ReasoningDelta("thinks so"), TextDelta("ab漢字"), CallDelta(0, "i", "read", '{"pa'), Unavailable("cut")],
        [ReasoningDelta("thinks so"), TextDelta("ab漢字"), CallDelta(0, "i", "read", '{"pa'), Finish("stop")],
        [ReasoningDelta("thinks so"), TextDelta("ab漢字read"), Usage(), TextDelta('{"pa'), ZeroDivisionError()],
    ],
)
async def test_what_broke_off_is_estimated(script: list[Delta | BaseException]) -> None:
    book = Book()
    with suppress(Unavailable, ZeroDivisionError):
        await all_of(book.around(script), ask())
    usage = Usage(5_000, 7, 0, 3)  # (9 + 2 + 4 + 4 ASCII characters) / 4 and two others
    assert book.events == [SENT, Spent("kimi-k2.6", usage, PRICE.usd(usage), estimated=True)]


async def test_a_usage_without_input_tells_the_output_alone() -> None:
    book = Book()
    await all_of(book.around([TextDelta("x"), Usage(0, 300, 0, 200), Finish("stop")]), ask())
    usage = Usage(5_000, 300, 0, 200)
    assert book.spent == [Spent("kimi-k2.6", usage, PRICE.usd(usage), estimated=True)]


async def test_what_was_reported_before_a_break_stands() -> None:
    book = Book()
    with pytest.raises(Unavailable):
        await all_of(book.around([TextDelta("x"), Usage(10, 2), Unavailable("cut")]), ask())
    assert book.spent == [Spent("kimi-k2.6", Usage(10, 2), PRICE.usd(Usage(10, 2)))]


async def test_a_cancelled_attempt_is_written_down_once() -> None:
    book, never = Book(), asyncio.Event()
    reading = asyncio.ensure_future(all_of(book.around([TextDelta("x" * 400), never]), ask()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert book.events == [SENT]
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert [(each.usage, each.estimated) for each in book.spent] == [(Usage(5_000, 100), True)]


async def test_an_attempt_that_was_cancelled_before_its_first_word_is_estimated() -> None:
    """It went out, and nobody waited to hear whether it was refused."""
    book = Book()
    reading = asyncio.ensure_future(all_of(book.around([asyncio.Event()]), ask()))
    for _ in range(5):
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert book.events == [SENT, Spent("kimi-k2.6", Usage(5_000), 0.005, estimated=True)]


async def test_a_reader_that_leaves_early_pays_too() -> None:
    book = Book()
    stream = book.around(FINE).stream(ask())
    assert isinstance(stream, AsyncGenerator)
    await anext(stream)
    await stream.aclose()
    assert [each.usage for each in book.spent] == [Usage(5_000, 1)]


def test_a_request_that_nobody_measured_is_estimated_on_the_high_side() -> None:
    plain = replace(ask(user_message("x" * 30_000)), tokens=0)
    assert 10_000 <= estimate_request_tokens(plain) <= 10_300
    pictures = replace(plain, messages=[User((Media("image", "image/png", "0" * 64),) * 3)])
    assert estimate_request_tokens(pictures) >= 6_000
    assert (
        estimate_request_tokens(replace(plain, partial=Assistant("x" * 3_000)))
        >= estimate_request_tokens(plain) + 1_000
    )


# The cache: what is asked second, after how long, and what the provider says of it.
GROWN = (*HISTORY, Assistant("done"), user_message("thanks"))


@pytest.mark.parametrize(
    ("request_", "idle_s", "usage", "due", "miss"),
    [
        (ask(*GROWN), 10, Usage(12_000, 1, 9_984), 10_000, ""),
        (ask(*GROWN), 10, Usage(12_000, 1, 8_000), 10_000, ""),
        (ask(*GROWN), 10, Usage(12_000, 1, 7_999), 10_000, PROVIDER_DROPPED_CACHE),
        (ask(*GROWN), 300, Usage(12_000, 1, 0), 10_000, PROVIDER_DROPPED_CACHE),
        (ask(*GROWN), 720, Usage(12_000, 1, 0), 10_000, "idle for 12 min"),
        (ask(*GROWN), 720, Usage(12_000, 1, 9_999), 10_000, ""),
        (ask(*HISTORY), 10, Usage(10_000, 1, 0), 10_000, PROVIDER_DROPPED_CACHE),
        (ask(*GROWN, tools=()), 720, Usage(12_000, 1, 256), 10_000, OTHER_TOOLS),
        (ask(*GROWN, system="Be rude."), 10, Usage(12_000, 1, 0), 10_000, OTHER_SYSTEM),
        (ask(*GROWN, system="Be rude."), 10, Usage(12_000, 1, 9_000), 10_000, ""),
        (ask(HISTORY[0], Assistant("[shortened]"), *GROWN[2:]), 10, Usage(9_000, 1, 600), 9_000, HISTORY_EDITED),
        (ask(HISTORY[0], user_message("no, other")), 10, Usage(6_000, 1, 0), 6_000, HISTORY_EDITED),
        (ask(HISTORY[0], user_message("no, other")), 10, Usage(6_000, 1, 5_500), 6_000, ""),  # a rewind
    ],
)
async def test_what_was_due_from_the_cache_and_why_it_did_not_come(
    request_: Request, idle_s: float, usage: Usage, due: int, miss: str
) -> None:
    book = Book()
    model = book.around(reported(10_000), [TextDelta("x"), usage])
    await all_of(model, ask())
    book.now += idle_s
    await all_of(model, request_)
    assert [(each.due, each.miss) for each in book.spent] == [(0, ""), (due, miss)]


async def test_equal_messages_are_the_same_beginning_though_they_are_other_objects() -> None:
    book = Book()
    model = book.around(reported(10_000), reported(12_000))
    await all_of(model, ask(user_message("a"), ToolReturn("i", "n", "interrupted")))
    await all_of(model, ask(user_message("a"), ToolReturn("i", "n", "interrupted"), user_message("b")))
    assert book.spent[1].miss == PROVIDER_DROPPED_CACHE


async def test_a_prompt_that_is_too_short_is_not_due() -> None:
    book = Book()
    model = book.around(reported(256), reported(9_000))
    await all_of(model, ask())
    await all_of(model, ask(*GROWN))
    assert [each.due for each in book.spent] == [0, 0]


async def test_after_a_compaction_only_the_head_is_due() -> None:
    book = Book()
    long = ask(system="x" * 40_000)
    model = book.around(reported(100_000), reported(100_000, 10_000), reported(100_000, 9_000))
    await all_of(model, long)
    await all_of(model, replace(long, messages=[user_message("the summary")]))
    assert (book.spent[1].due // 100, book.spent[1].miss) == (100, "")
    await all_of(model, replace(long, messages=[user_message("another summary")]))
    assert (book.spent[2].due // 100, book.spent[2].miss) == (100, "")


async def test_the_request_for_a_summary_stands_aside() -> None:
    book = Book()
    model = book.around(reported(9_000), reported(9_500), reported(9_900, 8_960))
    await all_of(model, ask())
    await all_of(
        model, replace(ask(user_message("summarise this"), system="You summarise.", tools=()), purpose="compaction")
    )
    await all_of(model, ask(*GROWN))
    assert [(each.due, each.miss) for each in book.spent] == [(0, ""), (0, ""), (9_000, "")]


LAST = LastRequest("kimi-k2.6", fingerprint_prompt_head("Be kind.", (READ_FILE,)), 3, 10_000, 1_000_000.0)


@pytest.mark.parametrize(
    ("last", "due", "miss"),
    [
        (LAST, 10_000, PROVIDER_DROPPED_CACHE),
        (replace(LAST, at=1_000_000.0 - 3_600), 10_000, "idle for 60 min"),
        (replace(LAST, head="0" * 12), 10_000, OTHER_TOOLS),
        (replace(LAST, model="kimi-k3"), 10_000, OTHER_MODEL),
        (replace(LAST, messages=6), 10_000, HISTORY_EDITED),
        (replace(LAST, edited="some"), 10_000, HISTORY_EDITED),
        (replace(LAST, input=100), 0, ""),
    ],
)
async def test_after_a_resume_the_log_tells_what_was_due(last: LastRequest, due: int, miss: str) -> None:
    book = Book()
    await all_of(book.around(reported(12_000), last=last), ask(*GROWN))
    assert [(each.due, each.miss) for each in book.spent] == [(due, miss)]


async def test_after_a_resume_with_a_compaction_only_the_head_is_due() -> None:
    book = Book()
    await all_of(book.around(reported(12_000), last=replace(LAST, edited="all")), ask(*GROWN))
    assert book.spent[0].due < 200
    assert book.spent[0].miss == ""


ASKED = Requested("kimi-k2.6", 3, "abc")
PAID = Spent("kimi-k2.6", Usage(10_000, 5))


@pytest.mark.parametrize(
    ("events", "last"),
    [
        ([], None),
        ([ASKED], None),
        ([PAID], None),
        ([Requested("kimi-k2.6", 3), PAID], None),  # an older log
        ([ASKED, PAID, Said(Assistant("x"))], LastRequest("kimi-k2.6", "abc", 3, 10_000, 2.0)),
        ([ASKED, PAID, PAID], LastRequest("kimi-k2.6", "abc", 3, 10_000, 3.0)),
        ([ASKED, PAID, Spent("m", Usage(7), purpose="compaction")], LastRequest("kimi-k2.6", "abc", 3, 10_000, 2.0)),
        ([ASKED, PAID, Compacted(1, "s")], LastRequest("kimi-k2.6", "abc", 3, 10_000, 2.0, "all")),
        ([ASKED, PAID, Compacted(1, "s"), Shortened(())], LastRequest("kimi-k2.6", "abc", 3, 10_000, 2.0, "all")),
        ([ASKED, PAID, Shortened(())], LastRequest("kimi-k2.6", "abc", 3, 10_000, 2.0, "some")),
        ([ASKED, PAID, Restored(1)], LastRequest("kimi-k2.6", "abc", 3, 10_000, 2.0, "some")),
        ([ASKED, PAID, Rewound(1, "chat")], LastRequest("kimi-k2.6", "abc", 3, 10_000, 2.0, "some")),
        ([ASKED, PAID, Rewound(1, "code")], LastRequest("kimi-k2.6", "abc", 3, 10_000, 2.0)),
        ([ASKED, PAID, Shortened(()), ASKED, PAID], LastRequest("kimi-k2.6", "abc", 3, 10_000, 5.0)),
    ],
)
def test_the_last_request_as_a_log_tells_of_it(events: list[Durable], last: LastRequest | None) -> None:
    log = [Stamped("main", seq, float(seq), event) for seq, event in enumerate(events, 1)]
    assert find_last_request(log) == last
