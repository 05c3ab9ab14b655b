"""An answer that breaks off in its middle is gone on with: its text stands, and comes to one message in the end."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from kimi_agent.errors import ModelError, Refused, TooLong, Unavailable
from kimi_agent.log.events import CallDelta, ReasoningDelta, Retrying, TextDelta
from kimi_agent.log.messages import Assistant, Call, Usage
from kimi_agent.model.message_assembly import Assembly
from kimi_agent.model.mock_server import MockServer
from kimi_agent.model.protocol import Delta, Finish, Model, Request
from kimi_agent.model.retrying.retry import RetryPolicy, wrap_with_retry
from kimi_agent.model.tape.tape_format import Tape
from tests.model.requests import Attempt, Attempts, all_of, ask_for, client

CUT = Unavailable("The answer broke off.")
CALL = CallDelta(0, "functions.read_file:0", "read_file", '{"path"')
END: Attempt = [Usage(10, 2), Finish("stop")]


async def no_sleep(seconds: float) -> None:
    return None


def going_on(model: Model, *, partial: bool = True, **policy: Any) -> Model:
    wanted = RetryPolicy(**policy)
    return wrap_with_retry(model, wanted, partial=partial, sleep=no_sleep, random=lambda: 0.0, clock=lambda: 0.0)


def read(deltas: list[Delta]) -> Assistant:
    """What whoever reads the deltas has in the end."""
    assembly = Assembly()
    for delta in deltas:
        assembly.add(delta)
    return assembly.assistant()


def kept(deltas: list[Delta]) -> list[bool]:
    return [delta.kept for delta in deltas if isinstance(delta, Retrying)]


async def test_the_text_stands_and_the_next_attempt_goes_on_behind_it() -> None:
    model = Attempts(
        [ReasoningDelta("Hm"), ReasoningDelta("m."), TextDelta("Once "), TextDelta("upon "), CUT],
        [TextDelta("a time."), *END],
    )
    deltas = await all_of(going_on(model), ask_for())
    assert deltas == [
        ReasoningDelta("Hm"),
        ReasoningDelta("m."),
        TextDelta("Once "),
        TextDelta("upon "),
        Retrying("The answer broke off.", 0.0, 2, kept=True),
        TextDelta("a time."),
        *END,
    ]
    assert read(deltas) == Assistant("Once upon a time.", "Hmm.")
    assert model.requests == [ask_for(), replace(ask_for(), partial=Assistant("Once upon ", "Hmm."))]
    assert model.closed == 2


async def test_what_breaks_off_again_goes_on_from_all_of_its_text() -> None:
    model = Attempts(
        [TextDelta("one\n\n"), CUT],
        [CUT],
        [TextDelta("  two "), CUT],
        [ReasoningDelta("hm"), TextDelta("three"), *END],
    )
    deltas = await all_of(going_on(model), ask_for())
    assert read(deltas) == Assistant("one\n\n  two three", "hm")
    assert kept(deltas) == [True, True, True]
    starts = [request.partial.text for request in model.requests if request.partial is not None]
    assert starts == ["one\n\n", "one\n\n", "one\n\n  two "], "as it was streamed, blanks at its end included"


@pytest.mark.parametrize(
    "broken",
    [
        [CUT],
        [ReasoningDelta("Let me"), CUT],
        [ReasoningDelta("Let me"), TextDelta(" \n\u200b"), CUT],
        [TextDelta("I'll read it."), CALL, CUT],
        [CALL, CUT],
    ],
    ids=["nothing", "in the reasoning", "only blanks", "in a call", "in a call without text"],
)
async def test_what_cannot_be_gone_on_with_is_void_and_asked_anew(broken: Attempt) -> None:
    model = Attempts(broken, [TextDelta("whole"), *END])
    deltas = await all_of(going_on(model), ask_for())
    assert read(deltas) == Assistant("whole")
    assert kept(deltas) == [False]
    assert model.requests == [ask_for(), ask_for()]


async def test_a_call_that_breaks_off_in_a_continuation_voids_everything() -> None:
    model = Attempts([TextDelta("I'll "), CUT], [TextDelta("read."), CALL, CUT], [TextDelta("whole"), *END])
    deltas = await all_of(going_on(model), ask_for())
    assert read(deltas) == Assistant("whole")
    assert kept(deltas) == [True, False]
    assert model.requests[2] == ask_for()


async def test_a_continuation_may_call_tools() -> None:
    model = Attempts([TextDelta("I'll "), CUT], [TextDelta("read."), CALL, CallDelta(0, "", "", ': "a"}'), *END])
    deltas = await all_of(going_on(model), ask_for())
    whole = Call("functions.read_file:0", "read_file", '{"path": "a"}')
    assert read(deltas) == Assistant("I'll read.", calls=(whole,))


async def test_a_continuation_that_has_nothing_to_add_ends_the_answer() -> None:
    deltas = await all_of(going_on(Attempts([TextDelta("All."), CUT], END)), ask_for())
    assert read(deltas) == Assistant("All.")
    assert kept(deltas) == [True]


@pytest.mark.parametrize("error", [Refused("no partial here", 400), Refused("x", 422), TooLong("over the window")])
async def test_a_server_that_refuses_the_continuation_is_asked_anew_and_never_again_to_go_on(error: ModelError) -> None:
    model = Attempts([TextDelta("Once "), CUT], [error], [TextDelta("Twice "), CUT], [TextDelta("whole"), *END])
    deltas = await all_of(going_on(model), ask_for())
    assert read(deltas) == Assistant("whole")
    assert kept(deltas) == [True, False, False]
    assert [request.partial for request in model.requests] == [None, Assistant("Once "), None, None]
    assert [delta.attempt for delta in deltas if isinstance(delta, Retrying)] == [2, 3, 4]


@pytest.mark.parametrize(
    ("attempts", "asked"),
    [
        ([[Refused("no", 400)]], 1),
        ([[TextDelta("Once "), CUT], [Refused("the key", 401)]], 2),
        ([[TextDelta("Once "), CUT], [TextDelta("upon "), Refused("filtered", 400)]], 2),
        ([[TextDelta("Once "), CUT], [Refused("no", 400)], [Refused("no", 400)]], 3),
    ],
    ids=["no continuation", "not for its form", "not at once", "the second time"],
)
async def test_other_refusals_stay_refusals(attempts: list[Attempt], asked: int) -> None:
    model = Attempts(*attempts)
    with pytest.raises(Refused) as error:
        await all_of(going_on(model), ask_for())
    assert error.value is attempts[-1][-1]
    assert model.asked == asked


async def test_without_partial_mode_everything_is_asked_anew() -> None:
    model = Attempts([TextDelta("Once "), CUT], [TextDelta("whole"), *END])
    deltas = await all_of(going_on(model, partial=False), ask_for())
    assert kept(deltas) == [False]
    assert model.requests == [ask_for(), ask_for()]


async def test_a_start_that_the_asker_gave_is_not_mixed_with_our_own() -> None:
    model, asked = Attempts([TextDelta("b"), CUT], END), replace(ask_for(), partial=Assistant("a"))
    deltas = await all_of(going_on(model), asked)
    assert kept(deltas) == [False]
    assert model.requests == [asked, asked]


async def test_a_nudged_answer_goes_on_with_its_nudge() -> None:
    model = Attempts(END, END, [TextDelta("At "), CUT], [TextDelta("last."), *END])
    deltas = await all_of(going_on(model), ask_for())
    assert read(deltas) == Assistant("At last.")
    assert model.requests[3] == replace(model.requests[2], partial=Assistant("At "))


async def test_what_was_tried_enough_stops_with_the_text_still_read() -> None:
    model = Attempts([TextDelta("Once "), CUT], [CUT])
    deltas: list[Delta] = []

    async def read_on() -> None:
        async for delta in going_on(model, tries=3).stream(ask_for()):
            deltas.append(delta)

    with pytest.raises(Unavailable, match=r"broke off\. Given up after 3 attempts"):
        await read_on()
    assert read(deltas) == Assistant("Once ")


STORY = "Once upon a time."


class Teller(Attempts):
    """Tells the story from where it is asked to go on, and breaks off after so many deltas, attempt by attempt."""

    def __init__(self, *breaks: int) -> None:
        super().__init__()
        self._breaks = breaks

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        number = self.asked
        self.requests.append(request)
        begun = request.partial.text if request.partial is not None else ""
        thought: list[Delta] = [] if begun else [ReasoningDelta(each) for each in ("h", "m", ".")]
        whole = [*thought, *map(TextDelta, STORY[len(begun) :]), Usage(10, 2), Finish("stop")]
        for delta in whole[: self._breaks[number] if number < len(self._breaks) else None]:
            yield delta
        if number < len(self._breaks):
            raise CUT


@pytest.mark.parametrize("first", range(22))
async def test_wherever_it_breaks_off_it_comes_to_the_same_message(first: int) -> None:
    for second in range(7):
        model = Teller(first, second)
        assert read(await all_of(going_on(model), ask_for())) == Assistant(STORY, "hm.")
        assert model.asked == 3
        starts = [request.partial for request in model.requests if request.partial is not None]
        assert all(start.reasoning == "hm." and STORY.startswith(start.text) for start in starts)


async def test_over_http_the_server_gets_exactly_what_was_streamed_and_tells_the_rest() -> None:
    """The mock server refuses a start that is not, byte for byte, how its answer begins."""
    say, reason = "Füße \u2028 and  \n\n\tblanks — 🦊 go on. ", "hm.\n "
    for cut in (2, 4, 5, 7, 9, 11):
        tape = Tape.of({"say": say, "reason": reason, "fault": {"cut": cut, "times": 2}})
        async with MockServer(tape) as server:
            model = going_on(client(server.base_url))
            deltas = await all_of(model, ask_for(notes=("a note",)))
            await model.aclose()
        assert read(deltas) == Assistant(say, reason)
        asked = [msgspec.json.decode(body)["messages"][-1] for body in server.bodies]
        starts = [message["content"] for message in asked if message.get("partial")]
        assert len(starts) == sum(kept(deltas)) >= (cut > 3), f"cut after {cut} events"
        assert all(say.startswith(start) for start in starts)
        assert len(asked) == 1 + len(kept(deltas)) <= 3
