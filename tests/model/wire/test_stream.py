"""One answer's bytes through the clocks, without a network."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from kimi_agent.errors import Unavailable
from kimi_agent.log.events import TextDelta
from kimi_agent.log.messages import Assistant, Call
from kimi_agent.model.endpoint.profiles import Clocks
from kimi_agent.model.message_assembly import Assembly
from kimi_agent.model.protocol import Delta, Finish
from kimi_agent.model.wire.http_errors import Endpoint
from kimi_agent.model.wire.response_stream import read_answer

FAST = Clocks(first_byte_s=0.05, no_bytes_s=0.05, no_content_s=0.05, after_finish_s=0.02)
TEXT = b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n'
STOP = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"
CALL = (
    b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"f:0","function":{"name":"go","arguments":""}}]}}]}\n\n'
    b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\\"a\\":1}"}}]}}]}\n\n'
    b'data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}\n\n'
)


async def deltas(
    *chunks: bytes, then: BaseException | None = None, hang: bool = False, clocks: Clocks = FAST
) -> list[Delta]:
    async def arriving() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
        if hang:
            await asyncio.Event().wait()
        if then is not None:
            raise then

    endpoint = Endpoint("m", "http://x/v1")
    answer = read_answer(arriving(), content_type="text/event-stream", endpoint=endpoint, clocks=clocks, now=lambda: 0)
    return [delta async for delta in answer]


async def collect(answer: AsyncIterator[Delta], got: list[Delta], *, pause_s: float = 0.0) -> None:
    async for delta in answer:
        got.append(delta)
        await asyncio.sleep(pause_s)


def put_together(found: list[Delta]) -> Assistant:
    assembly = Assembly()
    for delta in found:
        assembly.add(delta)
    return assembly.assistant()


async def outcome(*chunks: bytes, then: BaseException | None) -> Assistant | Unavailable:
    try:
        return put_together(await deltas(*chunks, then=then))
    except Unavailable as error:
        return error


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize(
    ("body", "whole"),
    [
        (TEXT + STOP + USAGE + DONE, Assistant("Hello")),
        (CALL + USAGE + DONE, Assistant("", None, (Call("f:0", "go", '{"a":1}'),))),
    ],
)
@pytest.mark.parametrize("ending", ["clean", "broken"])
async def test_cut_at_any_byte_an_answer_is_whole_or_an_error(
    body: bytes, whole: Assistant, line_end: bytes, ending: str
) -> None:
    body = body.replace(b"\n", line_end)
    complete_from = body.index(b"finish_reason")
    broken = Unavailable("cut") if ending == "broken" else None
    for cut in range(len(body)):
        found = await outcome(body[:cut], then=broken)
        if isinstance(found, Unavailable):
            assert found.retry, cut
            assert cut < complete_from + 60, "after its finish_reason an answer is complete"
        else:
            assert found == whole, cut
            assert cut > complete_from


async def test_nothing_within_the_first_byte_clock_is_an_error() -> None:
    with pytest.raises(Unavailable, match=r"sent nothing within 0.05 s"):
        await deltas(hang=True)


async def test_silence_in_the_middle_is_an_error() -> None:
    with pytest.raises(Unavailable, match=r"no bytes for 0.05 s"):
        await deltas(TEXT, hang=True, clocks=Clocks(no_bytes_s=0.05))


async def test_comments_are_bytes_but_no_progress() -> None:
    async def comments() -> AsyncIterator[bytes]:
        yield TEXT
        while True:
            yield b": keep\n\n"
            await asyncio.sleep(0.001)

    clocks = Clocks(no_content_s=0.05)
    answer = read_answer(comments(), content_type="", endpoint=Endpoint("m", "u"), clocks=clocks, now=lambda: 0)
    with pytest.raises(Unavailable, match="no progress"):
        assert [delta async for delta in answer] == []


@pytest.mark.parametrize(("pause_s", "reading_s"), [(0.0, 0.0), (0.002, 0.0), (0.0, 0.002)])
async def test_an_answer_that_never_ends_is_cut_off_by_the_clock_of_the_whole_attempt(
    pause_s: float, reading_s: float
) -> None:
    got: list[Delta] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield TEXT
            await asyncio.sleep(pause_s)

    clocks = Clocks(attempt_s=0.1)
    answer = read_answer(endless(), content_type="", endpoint=Endpoint("m", "u"), clocks=clocks, now=lambda: 0)
    with pytest.raises(Unavailable, match=r"took longer than 0\.1 s") as caught:
        await collect(answer, got, pause_s=reading_s)
    assert caught.value.retry
    assert got, "what came is reported"


async def test_the_clock_of_the_whole_attempt_also_ends_silence() -> None:
    with pytest.raises(Unavailable, match=r"took longer than 0\.03 s"):
        await deltas(TEXT, hang=True, clocks=Clocks(attempt_s=0.03))


async def test_once_a_finish_reason_was_seen_the_clock_of_the_whole_attempt_is_no_error() -> None:
    found = await deltas(TEXT, STOP, hang=True, clocks=Clocks(attempt_s=0.03, after_finish_s=0.06))
    assert found == [TextDelta("Hello"), Finish("stop")]


async def test_after_a_finish_reason_usage_is_waited_for_only_shortly() -> None:
    found = await deltas(TEXT, STOP, hang=True)
    assert isinstance(found[-1], Finish)


async def test_bytes_behind_done_do_not_matter_and_are_not_waited_for() -> None:
    found = await deltas(TEXT + STOP + DONE, b"data: {junk\n\n", then=Unavailable("reset"))
    assert found[-1] == Finish("stop")


async def test_a_whole_answer_in_json_is_read_too() -> None:
    body = b'{"choices":[{"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}'
    assert put_together(await deltas(body[:20], body[20:])) == Assistant("Hi")


EVENT = '{"choices":[{"index":0,"delta":{"reasoning_content":"hm 日本","content":"é 😀"},"finish_reason":null}]}'
WIRE = f"data: {EVENT}\n\n".encode() + CALL + USAGE + DONE
WHOLE = Assistant("é 😀", "hm 日本", (Call("f:0", "go", '{"a":1}'),))


async def test_an_answer_is_the_same_wherever_its_bytes_are_cut() -> None:
    for cut in range(len(WIRE)):
        assert put_together(await deltas(WIRE[:cut], WIRE[cut:])) == WHOLE, cut
    assert put_together(await deltas(*(WIRE[at : at + 1] for at in range(len(WIRE))))) == WHOLE


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(WIRE.replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(WIRE.replace(b"\n", b"\r"), id="CR"),
        pytest.param(WIRE.replace(b"data: ", b"data:"), id="no space"),
        pytest.param(WIRE.replace(b"data: {", b"data: {\ndata: "), id="two data lines"),
        pytest.param(WIRE.replace(b"data: ", b"id: 7\nretry: 10\nevent: message\ndata: "), id="other fields"),
        pytest.param(WIRE.replace(b"data: ", b": keep-alive\n\ndata:\n\ndata: "), id="comments and empty events"),
        pytest.param(b"\xef\xbb\xbf" + WIRE, id="byte order mark"),
        pytest.param(b": ping\n\n" + WIRE, id="a comment first"),
        pytest.param(WIRE.removesuffix(DONE), id="no [DONE]"),
        pytest.param(WIRE.removesuffix(b"\n\n"), id="no last blank line"),
        pytest.param(WIRE + TEXT, id="data behind [DONE]"),
        pytest.param(b'data: {"choices":[]}\n\ndata: {"choices":null}\n\ndata: null\n\n' + WIRE, id="empty events"),
        pytest.param(WIRE.replace(b'"finish_reason":"tool_calls"', b'"finish_reason":"stop"'), id="stop with calls"),
        pytest.param(
            b"data: " + EVENT.encode() + b"\n\n" + CALL.replace(b'"tool_calls"}', b"null}") + DONE, id="no reason"
        ),
    ],
)
async def test_an_answer_is_the_same_however_a_server_writes_its_events(wire: bytes) -> None:
    assert put_together(await deltas(wire)) == WHOLE


@pytest.mark.parametrize(
    ("piece", "why"),
    [
        (b"data: " + b"x" * (20 * 1024 * 1024) + b"\n\n", "event of more than 8388608 bytes"),
        (b": comment\n" + b"x" * (20 * 1024 * 1024), "event of more than 8388608 bytes"),
        (TEXT.replace(b"Hello", b"Hello" * 100_000) * 10, "grew over 4 MiB"),
    ],
)
async def test_an_answer_beyond_the_caps_is_given_up(piece: bytes, why: str) -> None:
    with pytest.raises(Unavailable, match=why) as caught:
        await deltas(TEXT, piece, hang=True, clocks=Clocks())
    assert not caught.value.retry


@pytest.mark.parametrize(
    "bad", [b'data: {"error":{"message":"busy","code":503}}\n\n', b"event: error\ndata: busy\n\n", b"event: error\n\n"]
)
async def test_an_error_in_the_stream_comes_behind_what_was_said(bad: bytes) -> None:
    got: list[Delta] = []

    async def arriving() -> AsyncIterator[bytes]:
        yield TEXT + TEXT + bad

    answer = read_answer(arriving(), content_type="", endpoint=Endpoint("m", "u"), clocks=FAST, now=lambda: 0)
    with pytest.raises(Unavailable):
        await collect(answer, got)
    assert got == [TextDelta("HelloHello")]


LEAK = (
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.go:0<|tool_call_argument_begin|>"
    '{"a": 1}<|tool_call_end|><|tool_calls_section_end|>'
)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("markers", [None, frozenset({"go"})])
async def test_leaked_markers_become_calls_only_where_they_are_looked_for(
    streamed: bool, markers: frozenset[str] | None
) -> None:
    said = {"choices": [{"delta" if streamed else "message": {"content": f"On it. {LEAK}"}, "finish_reason": "stop"}]}
    body = json.dumps(said).encode()

    async def arriving() -> AsyncIterator[bytes]:
        yield b"data: " + body + b"\n\n" if streamed else body

    answer = read_answer(
        arriving(), content_type="", endpoint=Endpoint("m", "u"), clocks=FAST, now=lambda: 0, markers=markers
    )
    whole = put_together([delta async for delta in answer])
    if markers is None:
        assert whole == Assistant(f"On it. {LEAK}")
    else:
        assert whole == Assistant("On it. ", None, (Call("functions.go:0", "go", '{"a": 1}'),))


async def test_what_came_before_a_break_is_delivered_before_the_error() -> None:
    got: list[Delta] = []

    async def arriving() -> AsyncIterator[bytes]:
        yield TEXT
        raise Unavailable("reset")

    answer = read_answer(arriving(), content_type="", endpoint=Endpoint("m", "u"), clocks=FAST, now=lambda: 0)
    with pytest.raises(Unavailable, match="reset"):
        await collect(answer, got)
    assert got == [TextDelta("Hello")]


async def test_a_bug_below_rises_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        await deltas(TEXT, then=ZeroDivisionError())


async def test_a_reader_that_does_not_read_is_not_run_ahead_of_without_end() -> None:
    sent = 0

    async def arriving() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield TEXT * 1000
            await asyncio.sleep(0)

    answer = read_answer(arriving(), content_type="", endpoint=Endpoint("m", "u"), clocks=FAST, now=lambda: 0)
    await anext(answer)
    for _ in range(200):
        await asyncio.sleep(0)
    assert sent < 60, "each is 50 kB"
    await answer.aclose()


async def test_a_complete_answer_is_read_to_its_end_so_that_its_connection_can_be_used_again() -> None:
    ended = False

    async def arriving() -> AsyncIterator[bytes]:
        nonlocal ended
        yield TEXT + STOP + DONE
        for _ in range(5):
            await asyncio.sleep(0)
            yield b"\n"
        ended = True

    answer = read_answer(arriving(), content_type="", endpoint=Endpoint("m", "u"), clocks=Clocks(), now=lambda: 0)
    assert [delta async for delta in answer][-1] == Finish("stop")
    assert ended
