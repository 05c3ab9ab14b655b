"""The wire layer's rows of `make bench`: 100,000 tokens from bytes to deltas, beside jiter reading the same events.

CPU time of this process; the ratio is the median over several pairs of runs, so that a loaded machine matters little.
"""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial

from kimi_agent.log.events import CallDelta, ReasoningDelta, TextDelta
from kimi_agent.model.endpoint.profiles import Clocks
from kimi_agent.model.wire.http_errors import Endpoint
from kimi_agent.model.wire.response_stream import read_answer

TOKENS = 100_000
Row = Callable[[str, str, str, str], None]


def event(delta: dict[str, object], finish: str | None = None) -> bytes:
    """One event as Moonshot sends it."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "chatcmpl-6a1f0c3e9b7d4e5f8a2b", "object": "chat.completion.chunk", "created": 1790000000}
    body = {**head, "model": "kimi-k2.6", "choices": [choice], "usage": None}
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


def text_events(tokens: int) -> list[bytes]:
    """An answer that thinks for its first third."""
    words = (" the", " file", "_x", ' = "', "é\\n", "()", " one", "ing ")
    fields = ("reasoning_content", "content", "content")
    middle = [event({fields[n * 3 // tokens]: words[n % len(words)]}) for n in range(tokens)]
    return [event({"role": "assistant", "content": ""}), *middle, event({}, "stop"), b"data: [DONE]\n\n"]


def call_events(tokens: int) -> list[bytes]:
    """An answer that is one call with a long argument, a character in each event."""

    def part(function: dict[str, object], **head: object) -> bytes:
        return event({"tool_calls": [{"index": 0, **head, "function": function}]})

    middle = [part({"arguments": "x"})] * (tokens - 2)
    first = part({"name": "write_file", "arguments": ""}, id="functions.write_file:0", type="function")
    return [first, part({"arguments": '{"text":"'}), *middle, part({"arguments": '"}'}), event({}, "tool_calls")]


def pieces(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


async def read(arriving: Sequence[bytes], *, slowly: bool) -> int:
    """How many characters the deltas hold. `slowly`: the loop turns between two pieces, as with a real socket."""

    async def chunks() -> AsyncIterator[bytes]:
        for piece in arriving:
            yield piece
            if slowly:
                await asyncio.sleep(0)

    size = 0
    endpoint = Endpoint("kimi-k2.6", "http://x/v1")
    answer = read_answer(chunks(), content_type="text/event-stream", endpoint=endpoint, clocks=Clocks(), now=time.time)
    async for delta in answer:
        match delta:
            case TextDelta(text) | ReasoningDelta(text):
                size += len(text)
            case CallDelta(arguments=text):
                size += len(text)
    return size


def run(arriving: Sequence[bytes], *, slowly: bool = True) -> int:
    return asyncio.run(read(arriving, slowly=slowly))


def by_jiter(body: bytes) -> None:
    """The floor: the events cut at blank lines and their JSON read, nothing made of it."""
    import jiter

    for each in body.split(b"\n\n"):
        if each.startswith(b"data: {"):
            jiter.from_json(each[6:])


def cpu_s(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def ratio(body: bytes, arriving: Sequence[bytes], runs: int, *, slowly: bool = False) -> tuple[float, float, float]:
    """The ratio, our CPU seconds and those of jiter: the medians."""
    pairs = [(cpu_s(lambda: run(arriving, slowly=slowly)), cpu_s(lambda: by_jiter(body))) for _ in range(runs)]
    ours, floor = (statistics.median(times) for times in zip(*pairs, strict=True))
    return statistics.median(one / other for one, other in pairs), ours, floor


def rows(runs: int, tokens: int) -> Iterator[tuple[str, str, str, str]]:
    events = text_events(tokens)
    body = b"".join(events)
    for name, arriving, slowly, budget in (
        ("in pieces of 16 kB", pieces(body, 16_384), True, "2 x"),
        ("in pieces of 1 kB", pieces(body, 1_024), True, "-"),
        ("an event a piece, in one burst", events, False, "3 x"),
        ("an event a piece, one by one", events, True, "-"),
    ):
        times, ours, floor = ratio(body, arriving, runs, slowly=slowly)
        yield f"wire {tokens:,}, {name}", f"{times:.2f} x, {ours:.2f} s CPU", budget, f"jiter {floor:.2f} s"
    few, many = (
        statistics.median(cpu_s(partial(run, pieces(b"".join(call_events(count)), 16_384))) for _ in range(runs))
        for count in (tokens, tokens * 4)
    )
    each = many / (tokens * 4) * 1e6
    yield (
        f"wire, a call of {tokens * 4:,} fragments",
        f"{each:.1f} us each, {many / few:.1f} x of 1/4",
        "4.4 x",
        "-",
    )


def wire(row: Row, runs: int = 5, tokens: int = TOKENS) -> None:
    """Print all rows through `row(what, value, budget, floor)`."""
    for each in rows(runs, tokens):
        row(*each)


if __name__ == "__main__":
    wire(lambda what, value, budget, floor: print(f"{what:<48} {value:>30}   budget {budget:<10} floor {floor}"))
