"""An answer cut off at every byte: it is one whole message, or it is asked for once more; never half a call."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from kimi_agent.log.messages import Assistant, Call
from kimi_agent.model.retrying.retry import INTERACTIVE_RETRY
from tests.faults.outcome import Patient, ask
from tests.faults.server import FaultServer, streamed
from tests.model.requests import client

PERSISTENT = replace(INTERACTIVE_RETRY, tries=40)
"""For many cuts in one request: the answer that comes whole in the end is then sent once for all of them."""
FRAMINGS = ("length", "chunked", "close")


def event(finish: str | None = None, **delta: object) -> bytes:
    return frame({"choices": [{"delta": delta} | ({"finish_reason": finish} if finish else {})]})


def frame(value: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


USAGE = frame({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5, "cached_tokens": 4}})
DONE = b"data: [DONE]\n\n"
TEXT = (event(content="Grüß "), event(content="Gott"), event("stop"), USAGE, DONE)
CALLS = (
    event(reasoning_content="Let me "),
    event(reasoning_content="look."),
    event(tool_calls=[{"index": 0, "id": "f:0", "function": {"name": "read_file", "arguments": '{"path":'}}]),
    event(tool_calls=[{"index": 0, "function": {"arguments": '"a.py"}'}}]),
    event("tool_calls"),
    USAGE,
    DONE,
)
WHOLE = {
    TEXT: Assistant("Grüß Gott"),
    CALLS: Assistant("", "Let me look.", (Call("f:0", "read_file", '{"path":"a.py"}'),)),
}


async def sweep(events: tuple[bytes, ...], framing: str, groups: Iterable[Sequence[int]]) -> None:
    """Ask once for each group of cuts: so many connections break off, the one behind them brings it whole."""
    answer = streamed(*events, framing=framing)
    finishing = next(each for each in events if b"finish_reason" in each)
    # Where the connection's end is the answer's end, it stands for the blank line behind the last event too.
    complete = answer.index(finishing) + len(finishing) - (len(b"\n\n") if framing == "close" else 0)
    async with FaultServer({"x": [[answer]]}).running() as server:
        model = client(server.url())
        asking = Patient().around(model, PERSISTENT)
        for group in groups:
            server.cuts, server.hits["x"] = list(group), 0
            outcome = await ask(asking)
            broken = next((n for n, cut in enumerate(group) if cut >= complete), len(group))
            assert outcome.answer == WHOLE[events], group
            assert outcome.finished
            assert len(outcome.retries) == broken, group
            assert server.hits["x"] == broken + 1, group
        await model.aclose()


def every_byte(events: tuple[bytes, ...], framing: str) -> range:
    return range(len(streamed(*events, framing=framing)) + 1)


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize(("events", "framing"), [(TEXT, "close"), (CALLS, "chunked")], ids=["text", "calls"])
async def test_cut_at_any_byte_an_answer_is_whole_or_asked_for_again(
    events: tuple[bytes, ...], framing: str, part: int
) -> None:
    cuts = every_byte(events, framing)
    step = -(-len(cuts) // (PERSISTENT.tries - 1))
    await sweep(events, framing, [cuts[start::step] for start in range(part, step, 4)])


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("events", [TEXT, CALLS], ids=["text", "calls"])
async def test_cut_once_an_answer_costs_at_most_two_requests(events: tuple[bytes, ...], framing: str) -> None:
    await sweep(events, framing, [[cut] for cut in every_byte(events, framing)[::61]])


@pytest.mark.long
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("events", [TEXT, CALLS], ids=["text", "calls"])
async def test_cut_once_at_any_byte_an_answer_costs_at_most_two_requests(
    events: tuple[bytes, ...], framing: str
) -> None:
    await sweep(events, framing, [[cut] for cut in every_byte(events, framing)])
