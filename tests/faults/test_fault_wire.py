"""What breaks below an answer: connections, TLS, silence, slowness, framing, size; over real sockets."""

import asyncio
import gzip
import resource
import socket
import ssl
import sys
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from kimi_agent.errors import Refused, Unavailable
from kimi_agent.log.events import TextDelta
from kimi_agent.log.messages import Assistant
from kimi_agent.model.endpoint.profiles import Clocks
from kimi_agent.model.protocol import Finish
from kimi_agent.model.retrying.retry import INTERACTIVE_RETRY
from tests.faults.outcome import ONCE, PATIENT, Patient, ask, ask_at
from tests.faults.server import BelowTls, Do, Drip, FaultServer, Flood, Pause, Script, answer, streamed
from tests.model.requests import ask_for, client

PEM = Path(__file__).with_name("loopback.pem")
TRUSTED = {"SSL_CERT_FILE": str(PEM)}
SAYS = b'data: {"choices":[{"delta":{"content":"fine"}}]}\n\n'
STOPS = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
GOOD = streamed(SAYS, STOPS, DONE)
FINE = Assistant("fine")
FRAMINGS = ("length", "chunked", "close")
OPEN = streamed(b"", framing="close")
TRIES = 4
POLICY = replace(INTERACTIVE_RETRY, tries=TRIES)


def tls_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    return context


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


# Reaching it.


async def test_where_nothing_ever_listened_three_requests_are_enough() -> None:
    outcome = await ask_at(f"http://127.0.0.1:{free_port()}/v1")
    assert "Nothing listens at" in str(outcome.error)
    assert "Given up after 3 attempts" in str(outcome.error)
    assert len(outcome.retries) == 2


async def test_a_server_that_restarts_is_waited_for_as_long_as_others() -> None:
    async with FaultServer({"x": [[GOOD]]}).running() as server:
        model = client(server.url())
        assert (await ask(Patient().around(model, POLICY))).answer == FINE
    outcome = await ask(Patient().around(model, POLICY))
    await model.aclose()
    assert "connection refused" in str(outcome.error)
    assert len(outcome.retries) == TRIES - 1


@pytest.mark.parametrize("host", ["no-such-host.invalid", f"{'a' * 64}.invalid", "a..invalid"])
async def test_a_host_that_is_not_found_is_said_to_be_that(host: str) -> None:
    outcome = await ask_at(f"http://{host}/v1", policy=POLICY)
    assert isinstance(outcome.error, Unavailable)
    assert f"The host of http://{host}/v1 was not found (DNS)" in str(outcome.error)
    assert len(outcome.retries) == TRIES - 1


@pytest.mark.parametrize(("status", "requests"), [("407 Authenticate", 1), ("403 Forbidden", 1), ("503 Busy", TRIES)])
async def test_a_proxy_that_refuses_is_named(status: str, requests: int) -> None:
    async with FaultServer({"api.example:443": [[answer(status)]]}).running() as proxy:
        environ = TRUSTED | {"https_proxy": proxy.url().removesuffix("/x/v1")}
        outcome = await ask_at("https://api.example/v1", environ=environ, policy=POLICY)
    assert proxy.hits["api.example:443"] == requests
    assert f"The proxy on the way to https://api.example/v1 refuses: {status}." in str(outcome.error)


# TLS.


async def test_a_certificate_that_is_trusted_is_enough() -> None:
    async with FaultServer({"x": [[GOOD]]}, tls=tls_context()).running() as server:
        assert (await ask_at(server.url(), environ=TRUSTED)).answer == FINE


@pytest.mark.parametrize(
    ("host", "environ", "words"),
    [("127.0.0.1", {}, "self-signed certificate"), ("localhost", TRUSTED, "not valid for 'localhost'")],
)
async def test_a_certificate_that_is_not_is_explained_and_never_gone_around(
    host: str, environ: Mapping[str, str], words: str
) -> None:
    async with FaultServer({"x": [[GOOD]]}, tls=tls_context()).running() as server:
        outcome = await ask_at(server.url(host=host), environ=environ)
    assert isinstance(outcome.error, Unavailable)
    assert outcome.error.exit_code == 78
    assert words in str(outcome.error)
    assert "SSL_CERT_FILE" in str(outcome.error)
    assert outcome.retries == ()
    assert server.bodies == []


async def test_plain_http_on_a_tls_port_is_explained() -> None:
    async with FaultServer({}, first=[answer("400 Bad Request")]).running() as server:
        outcome = await ask_at(server.url().replace("http://", "https://"), environ=TRUSTED)
    assert "does not speak TLS" in str(outcome.error)
    assert outcome.retries == ()
    assert server.connections == 1


async def test_tls_where_http_was_asked_for_is_an_answer_that_cannot_be_read() -> None:
    async with FaultServer({}, tls=tls_context()).running() as server:
        outcome = await ask_at(server.url().replace("https://", "http://"), policy=POLICY)
    assert isinstance(outcome.error, Unavailable)
    assert len(outcome.retries) == TRIES - 1


@pytest.mark.parametrize(
    "broken",
    [
        [OPEN + SAYS, BelowTls(b"\x17\x03\x03\x00\x05wrong")],
        [BelowTls(b"\x17\x03\x03\x00\x05wrong")],
        [OPEN + SAYS, Do.RESET],
        [Do.RESET],
        [OPEN + SAYS],
    ],
    ids=["bad record in the answer", "bad record before it", "reset in it", "reset before it", "end in it"],
)
async def test_what_breaks_tls_in_the_middle_passes(broken: Script) -> None:
    async with FaultServer({"x": [broken, [GOOD]]}, tls=tls_context()).running() as server:
        outcome = await ask_at(server.url(), environ=TRUSTED)
    assert outcome.answer == FINE
    assert server.hits["x"] == 2


async def test_a_handshake_that_never_ends_runs_into_the_clock_for_connecting() -> None:
    async with FaultServer({}, first=[Do.HOLD, Do.HOLD]).running() as server:
        url = server.url().replace("http://", "https://")
        outcome = await ask_at(url, environ=TRUSTED, policy=ONCE, clocks=replace(PATIENT, connect_s=0.05))
    assert "did not answer the connection in time" in str(outcome.error)


# Silence and slowness. Each has one clock that runs out, the others are far away.

HEAD = b"HTTP/1.1 200 OK\r\n"
THINKS = b'data: {"choices":[{"delta":{"reasoning_content":"hm "}}]}\n\n'


@pytest.mark.parametrize(
    ("script", "clocks", "words"),
    [
        ([Do.HOLD], replace(PATIENT, connect_s=0.15, first_byte_s=0.1), "sent nothing within 0.1 s"),
        ([OPEN, Do.HOLD], replace(PATIENT, first_byte_s=0.05), "sent nothing within 0.05 s"),
        ([HEAD, Do.HOLD], replace(PATIENT, connect_s=0.15, first_byte_s=0.1), "sent nothing within 0.1 s"),
        ([Drip(HEAD + b"x: " + b"y" * 9999)], replace(PATIENT, connect_s=0.15, first_byte_s=0.1), "sent nothing"),
        ([Drip(b"HTTP/1.1 103 E\r\n\r\n", 0.0005, forever=True)], replace(PATIENT, attempt_s=0.05), "took longer than"),
        ([OPEN + SAYS, Do.HOLD], replace(PATIENT, no_bytes_s=0.05), "no bytes for 0.05 s"),
        (
            [OPEN + SAYS, Drip(b": ping\n\n", forever=True)],
            replace(PATIENT, no_content_s=0.05),
            "no progress for 0.05 s",
        ),
        ([OPEN, Drip(THINKS, 0.0005, forever=True)], replace(PATIENT, attempt_s=0.1), "took longer than 0.1 s"),
        ([OPEN, Flood(THINKS * 99)], replace(PATIENT, attempt_s=0.05), "took longer than 0.05 s"),
        ([OPEN, Flood(b": ping\n\n" * 999)], replace(PATIENT, no_content_s=0.05), "no progress for 0.05 s"),
    ],
    ids=[
        "nothing",
        "head only",
        "half a head",
        "slow head",
        "early hints for ever",
        "stall",
        "comments",
        "slow body",
        "endless thought",
        "flood of comments",
    ],
)
async def test_each_way_to_be_slow_has_a_clock(script: Script, clocks: Clocks, words: str) -> None:
    async with FaultServer({"x": [script]}).running() as server:
        outcome = await ask_at(server.url(), clocks=clocks, policy=replace(INTERACTIVE_RETRY, tries=2))
    assert words in outcome.retries[0].why
    assert "Given up after 2 attempts" in str(outcome.error)
    assert server.connections == 2


async def test_after_its_finish_a_silent_stream_is_complete() -> None:
    script: Script = [streamed(SAYS, STOPS, framing="close"), Do.HOLD]
    async with FaultServer({"x": [script]}).running() as server:
        outcome = await ask_at(server.url(), clocks=replace(PATIENT, after_finish_s=0.03))
    assert outcome.answer == FINE
    assert server.hits["x"] == 1


# Breaking off.


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("end", [[], [Do.RESET], [Do.HALF_CLOSE, Do.HOLD]], ids=["closed", "reset", "half-closed"])
async def test_a_stream_that_breaks_off_is_asked_for_again(framing: str, end: list[Do]) -> None:
    whole = streamed(SAYS, STOPS, DONE, framing=framing)
    half = whole[: whole.index(STOPS)]
    scripts: list[Script] = [[half, *end], [whole]]
    async with FaultServer({"x": scripts}).running() as server:
        outcome = await ask_at(server.url())
    assert outcome.answer == FINE
    assert len(outcome.retries) == 1
    assert server.hits["x"] == 2


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("end", [[], [Do.RESET]], ids=["closed", "reset"])
async def test_a_stream_that_breaks_off_after_its_finish_is_complete(framing: str, end: list[Do]) -> None:
    whole = streamed(SAYS, STOPS, DONE, framing=framing)
    taken = asyncio.Event()
    script: Script = [whole[: whole.index(DONE)], Pause(taken), *end]
    async with FaultServer({"x": [script]}).running() as server:
        model = client(server.url())
        deltas = []
        async for delta in Patient().around(model, POLICY).stream(ask_for()):
            deltas.append(delta)
            taken.set()  # a reset may overtake what was sent before it
        await model.aclose()
    assert deltas == [TextDelta("fine"), Finish("stop")]
    assert server.hits["x"] == 1


@pytest.mark.parametrize(
    ("script", "requests"),
    [
        ([GOOD.replace(b"content-length: 1", b"content-length: 9")], 1),
        ([streamed(SAYS, STOPS).replace(b"\r\n\r\n", b"0\r\n\r\n")], 1),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n" + SAYS + STOPS, Do.HOLD], 2),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n" + SAYS + STOPS], 2),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 9, 10\r\n\r\n" + SAYS], 2),
        ([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n" + SAYS], 2),
        ([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + SAYS], 2),
        ([b"HTTP/9 nonsense\r\n\r\n"], 2),
        ([b"\x00\xff" * 99], 2),
        ([b"SSH-2.0-OpenSSH\r\n"], 2),
        ([b""], 2),
        ([b"HTTP/1.1 200 OK\r\nx: \xff\xfe\x00\r\n\r\n"], 2),
        ([b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"], 2),
        ([b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000 + b"\r\n\r\n" + SAYS], 2),
        ([b"HTTP/1.1 200 OK\r\nx: ", Flood(b"y" * 65_536)], 2),
        ([b"HTTP/1.1 200 OK\r\n", Flood(b"x: y\r\n" * 9999)], 2),
        ([b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\nnot gzip"], 2),
    ],
    ids=lambda value: "" if isinstance(value, int) else str(value)[:60],
)
async def test_broken_framing_is_one_fault(script: Script, requests: int) -> None:
    async with FaultServer({"x": [script, [GOOD]]}).running() as server:
        outcome = await ask_at(server.url())
    assert outcome.answer == FINE
    assert server.hits["x"] == requests
    assert all(retrying.why.isprintable() and len(retrying.why) < 400 for retrying in outcome.retries)


@pytest.mark.parametrize(
    "before",
    [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n" * 3],
    ids=["100", "103"],
)
async def test_what_is_said_before_the_answer_is_passed_over(before: bytes) -> None:
    async with FaultServer({"x": [[before + GOOD]]}).running() as server:
        outcome = await ask_at(server.url())
    assert outcome.answer == FINE
    assert server.hits["x"] == 1


# Size.


def bomb(encoding: str) -> bytes:
    """An answer of 400 kB that unpacks to 400 MB of zeros."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    megabyte = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    body = gzip.compress(b"")[:10] + megabyte * 400
    for _ in range(encoding.count(",")):
        body = gzip.compress(body)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: {encoding}\r\n\r\n"
    return head.encode() + body


async def test_a_packed_answer_is_read_though_it_was_not_asked_for() -> None:
    body = gzip.compress(SAYS + STOPS + DONE)
    good = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + body
    async with FaultServer({"x": [[good]]}).running() as server:
        assert (await ask_at(server.url())).answer == FINE


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip"])
async def test_a_packed_bomb_is_cut_off_and_takes_no_memory(encoding: str) -> None:
    async with FaultServer({"x": [[bomb(encoding)]]}).running() as server:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        outcome = await ask_at(server.url())
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert "more than 8388608 bytes" in str(outcome.error)
    assert server.hits["x"] == 1
    assert grown < 100 * (1024 * 1024 if sys.platform == "darwin" else 1024), "100 MiB, in the system's unit"


@pytest.mark.parametrize("status", ["400 Bad Request", "503 Unavailable"])
@pytest.mark.parametrize(
    ("end", "after_s"),
    [(Flood(b"<p>no</p>" * 999), 1000.0), (Do.HOLD, 0.05), (Do.RESET, 1000.0)],
    ids=["endless", "silent", "reset"],
)
async def test_an_error_body_that_does_not_end_takes_nothing_from_its_status(
    status: str, end: Flood | Do, after_s: float
) -> None:
    script = [f"HTTP/1.1 {status}\r\ncontent-length: 900000000000\r\n\r\n<title>No.</title>".encode(), end]
    async with FaultServer({"x": [script]}).running() as server:
        outcome = await ask_at(server.url(), policy=ONCE, clocks=replace(PATIENT, after_finish_s=after_s))
    assert f"({status[:3]})" in str(outcome.error)
    assert len(str(outcome.error)) < 400
    assert server.hits["x"] == 1


# Where it goes.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_origin_is_refused_and_nothing_sent_there(status: int) -> None:
    async with FaultServer({"x": [[GOOD]]}).running() as elsewhere:
        script = [answer(f"{status} Moved", location=elsewhere.url() + "/chat/completions")]
        async with FaultServer({"x": [script]}).running() as server:
            outcome = await ask_at(server.url(), key="sk-abcdefghijklmnop")
    assert isinstance(outcome.error, Refused)
    assert outcome.error.exit_code == 78
    assert "redirects to" in str(outcome.error)
    assert server.hits["x"] == 1
    assert elsewhere.connections == 0


# A connection that is used again.


@pytest.mark.parametrize("end", [[], [Do.RESET]], ids=["closed", "reset"])
async def test_a_kept_connection_that_was_just_closed_is_no_fault(end: list[Do]) -> None:
    scripts: list[Script] = [[GOOD, Do.READ, *end], [GOOD]]
    async with FaultServer({"x": scripts}).running() as server:
        model = client(server.url())
        first, second = await ask(model), await ask(Patient().around(model, POLICY))
        await model.aclose()
        assert server.connections == 2
    assert (first.answer, second.answer) == (FINE, FINE)
    assert second.retries == ()
    assert server.hits["x"] == 3


async def test_a_kept_connection_that_was_closed_before_is_not_used_at_all() -> None:
    async with FaultServer({"x": [[GOOD]]}).running() as server:
        model = client(server.url())
        for _ in range(3):
            assert (await ask(Patient().around(model, POLICY))).retries == ()
            while server.busy:
                await asyncio.sleep(0)
        await model.aclose()
        assert server.connections == 3
    assert server.hits["x"] == 3


async def test_a_connection_that_fails_anew_each_time_is_a_fault_after_one_more_request() -> None:
    scripts: list[Script] = [[GOOD, Do.READ], []]
    async with FaultServer({"x": scripts}).running() as server:
        model = client(server.url())
        await ask(model)
        outcome = await ask(Patient().around(model, POLICY))
        await model.aclose()
    assert "broke off" in str(outcome.error)
    assert len(outcome.retries) == TRIES - 1
    assert server.hits["x"] == 1 + 1 + TRIES


async def test_what_is_left_over_from_an_answer_is_not_taken_for_the_next_one() -> None:
    too_long = GOOD + b"data: stray\n\n"
    async with FaultServer({"x": [[too_long, Do.READ, GOOD], [GOOD]]}).running() as server:
        model = client(server.url())
        outcomes = [await ask(Patient().around(model, POLICY)) for _ in range(2)]
        await model.aclose()
    assert [outcome.answer for outcome in outcomes] == [FINE, FINE]
    assert server.hits["x"] <= 3
