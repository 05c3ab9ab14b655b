"""Asking over real HTTP on loopback."""

import asyncio
import itertools
import json
from typing import Any

import pytest

from kimi_agent.errors import ModelError, Refused, Unavailable
from kimi_agent.log.events import TextDelta
from kimi_agent.log.messages import Assistant, Message, ToolReturn, said
from kimi_agent.model.assemble import Assembly
from kimi_agent.model.base import Delta, Finish, Model, Request
from kimi_agent.model.chat_completions import proxy_for
from kimi_agent.model.mock_server import MockServer
from kimi_agent.model.profiles import Clocks
from kimi_agent.model.tape import Pace, Tape
from kimi_agent.model.trouble import Doubtful
from tests.model.asking import RawServer, all_of, ask_for, client, event_stream

CALL = {"reason": "hm", "calls": [{"name": "read_file", "args": {"path": "a.py"}}]}


async def answer(model: Model, request: Request | None = None) -> Assistant:
    assembly = Assembly()
    for delta in await all_of(model, request or ask_for()):
        assembly.add(delta)
    return assembly.assistant()


async def failure(model: Model) -> ModelError:
    with pytest.raises(ModelError) as error:
        await answer(model)
    return error.value


async def test_a_turn_of_five_steps_takes_one_connection_and_grows_one_prefix() -> None:
    tape = Tape.of(CALL | {"repeat": 4}, {"say": "Done: {{result|\\d+}}"})
    messages: list[Message] = [said("hello")]
    async with MockServer(tape) as server:
        model = client(server.base_url)
        for step in range(5):
            reply = await answer(model, ask_for(*messages, notes=("a note",) if step % 2 else ()))
            messages += [reply, *(ToolReturn(call.id, call.name, f"result {step}") for call in reply.calls)]
        await model.aclose()
        assert server.connections == 1
        bodies = server.bodies
    assert reply.text == "Done: 3"
    note = b',{"role":"user","content":"<note>a note</note>"}'
    bare = [body.removesuffix(b"]}").removesuffix(note) for body in bodies]
    for before, after in itertools.pairwise(bare):
        assert after.startswith(before)


async def test_nothing_of_the_users_openai_setup_goes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/leaked")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Leaked: yes\nAuthorization: Bearer leaked")
    async with MockServer(Tape.of({"say": "x", "repeat": True})) as server:
        for key in ("", "sk-mine"):
            model = client(server.base_url, key=key)
            await answer(model)
            await model.aclose()
        without, with_key = (each.headers for each in server.requests)
    assert sorted(without) == [
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    ]
    assert without["user-agent"] == "kimi-agent/9.9"
    assert with_key["authorization"] == "Bearer sk-mine"
    assert set(with_key) - set(without) == {"authorization"}


async def test_loopback_is_asked_directly_whatever_proxy_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9")
    for name, value in proxies.items():
        monkeypatch.setenv(name, value)
    async with MockServer(Tape.of({"say": "direct"})) as server:
        model = client(server.base_url, environ=proxies)
        assert (await answer(model)).text == "direct"
        await model.aclose()


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("https://api.moonshot.ai/v1", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://api.moonshot.ai/v1", {"https_proxy": "p:1", "HTTPS_PROXY": "http://q:1"}, "http://p:1"),
        ("https://api.moonshot.ai/v1", {"all_proxy": "http://p:1"}, "http://p:1"),
        ("https://api.moonshot.ai/v1", {"http_proxy": "http://p:1"}, None),
        ("http://api.example/v1", {"http_proxy": "http://p:1"}, "http://p:1"),
        ("https://api.moonshot.ai/v1", {"https_proxy": "http://p:1", "no_proxy": "x.y, .moonshot.ai"}, None),
        ("https://api.moonshot.ai/v1", {"https_proxy": "http://p:1", "NO_PROXY": "*"}, None),
        ("https://api.moonshot.ai/v1", {"https_proxy": "http://p:1", "no_proxy": "shot.ai"}, "http://p:1"),
        ("http://localhost:1/v1", {"http_proxy": "http://p:1"}, None),
        ("http://[::1]:1/v1", {"all_proxy": "http://p:1"}, None),
        ("http://127.9.9.9/v1", {"http_proxy": "http://p:1"}, None),
    ],
)
def test_proxies_of_the_environment_are_honoured(url: str, environ: dict[str, str], proxy: str | None) -> None:
    assert proxy_for(url, environ) == proxy


async def test_a_proxy_that_cannot_be_used_is_one_sentence() -> None:
    model = client("http://api.example/v1", environ={"http_proxy": "carrier-pigeon://p"})
    error = await failure(model)
    assert error.exit_code == 78
    assert "carrier-pigeon" in str(error)


async def test_a_burst_of_20000_tokens_arrives_whole() -> None:
    text = "word and " * 10_000 + "THE END"
    async with MockServer(Tape.of({"say": text})) as server:
        model = client(server.base_url)
        deltas = await all_of(model, ask_for())
        await model.aclose()
    assert len(deltas) > 20_000
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == text


async def test_u2028_and_its_kin_do_not_cut_a_frame() -> None:
    text = "a\u2028b\u2029c\u0085d\u000be\u001cf"
    async with MockServer(Tape.of({"say": text, "reason": text}, name="t"), pace=Pace(1)) as server:
        model = client(server.base_url)
        got = await answer(model)
        await model.aclose()
    assert (got.text, got.reasoning) == (text, text)


STREAM = (
    b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\ndata: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
)


@pytest.mark.parametrize("framing", ["close", "chunked"])
async def test_cut_before_done_but_after_its_finish_an_answer_is_complete(framing: str) -> None:
    async with RawServer([event_stream(STREAM, framing=framing)]).running() as server:
        model = client(server.base_url)
        assert await all_of(model, ask_for()) == [TextDelta("Hello"), Finish("stop")]
        await model.aclose()


@pytest.mark.parametrize(
    "script",
    [
        event_stream(STREAM[:60]),
        event_stream(STREAM[:60], framing="chunked"),
        event_stream(STREAM, framing="chunked")[:150],
        event_stream(b""),
        event_stream(b"data: {not json}\n\n"),
        event_stream(b'event: error\ndata: {"message": "overloaded"}\n\n'),
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>",
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\ncut sho",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\nnot gzip",
        b"HTTP/9 nonsense\r\n\r\n",
        b"",
    ],
)
async def test_a_truncated_or_strange_answer_is_unavailable_and_never_silent(script: bytes) -> None:
    async with RawServer([script]).running() as server:
        model = client(server.base_url)
        error = await failure(model)
        await model.aclose()
    assert isinstance(error, Unavailable)
    assert error.retry
    assert str(error).isprintable()


async def test_a_redirect_is_refused_and_the_conversation_not_sent_again() -> None:
    async with MockServer(Tape.of({"say": "stolen"})) as elsewhere:
        head = f"HTTP/1.1 307 Temporary Redirect\r\nlocation: {elsewhere.base_url}/chat/completions\r\n"
        async with RawServer([f"{head}content-length: 0\r\n\r\n".encode()]).running() as server:
            model = client(server.base_url)
            error = await failure(model)
            await model.aclose()
        assert elsewhere.requests == []
    assert isinstance(error, Refused)
    assert error.exit_code == 78


async def test_an_endless_error_body_is_not_read_to_its_end() -> None:
    head = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 900000000000\r\n\r\n"
    async with RawServer([head + b"<p>no</p>" * 20_000], hold=True).running() as server:
        model = client(server.base_url)
        error = await failure(model)
        await model.aclose()
    assert isinstance(error, Refused)
    assert len(str(error)) < 500


@pytest.mark.parametrize(
    ("status", "kind", "exit_code"),
    [(401, Refused, 78), (403, Refused, 78), (404, Refused, 78), (429, Unavailable, 75), (500, Unavailable, 69)],
)
async def test_a_status_is_told_in_one_sentence(status: int, kind: type[ModelError], exit_code: int) -> None:
    fault = {"status": status, "body": {"error": {"message": "the reason", "type": "t"}}}
    async with MockServer(Tape.of({"fault": fault | {"times": "always"}})) as server:
        model = client(server.base_url, key="sk-abcdefghijklmnop")
        error = await failure(model)
        await model.aclose()
        assert len(server.requests) == 1
    assert isinstance(error, kind)
    assert error.exit_code == exit_code
    assert "the reason" in str(error)
    assert "abcdefgh" not in str(error)
    assert status not in (401, 403) or "KIMI_API_KEY (…mnop)" in str(error)


async def test_kimi_k26_thinking_is_remapped_once_where_it_is_not_known() -> None:
    async with MockServer(Tape.of({"say": "x", "repeat": True})) as server:
        model = client(server.base_url, model="kimi-k2.6-thinking")
        await answer(model)
        await answer(model)
        await model.aclose()
        names = [json.loads(body)["model"] for body in server.bodies]
    assert names == ["kimi-k2.6-thinking", "kimi-k2.6", "kimi-k2.6"]
    assert model.name == "kimi-k2.6-thinking"


async def test_another_unknown_model_is_not_remapped() -> None:
    async with MockServer(Tape.of({"say": "x"})) as server:
        model = client(server.base_url, model="kimi-k9")
        error = await failure(model)
        await model.aclose()
        assert len(server.bodies) == 1
    assert "has no model 'kimi-k9'" in str(error)


async def test_a_refused_connection_is_worth_few_attempts_only_at_first() -> None:
    async with RawServer([event_stream(STREAM)]).running() as server:
        port = server.base_url
    model = client(port)
    error = await failure(model)
    assert isinstance(error, Doubtful)
    assert "connection refused" in str(error)
    async with MockServer(Tape.of({"say": "x"})) as mock:
        model = client(mock.base_url)
        await answer(model)
    error = await failure(model)
    assert type(error) is Unavailable
    await model.aclose()


async def test_a_port_without_tls_is_said_to_be_one() -> None:
    async with RawServer([b"HTTP/1.1 400 Bad Request\r\n\r\n"], at_once=True).running() as server:
        model = client(server.base_url.replace("http://", "https://"))
        error = await failure(model)
    assert isinstance(error, Unavailable)
    assert "does not speak TLS" in str(error)
    assert not error.retry


async def hung(model: Model, server: MockServer | RawServer, *, after: int) -> None:
    """Cancel an answer once `after` deltas came, and see that the server hears of it."""
    got: list[Delta] = []
    enough = asyncio.Event()
    if after == 0:
        enough.set()

    async def listen() -> None:
        async for delta in model.stream(ask_for()):
            got.append(delta)
            if len(got) == after:
                enough.set()

    task = asyncio.create_task(listen())
    await enough.wait()
    while isinstance(server, RawServer) and not server.hits:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(10):
        await server.left.wait()
    assert len(got) == after


async def test_cancelling_closes_the_socket_while_it_streams() -> None:
    async with MockServer(Tape.of({"fault": {"stall": 3}, "say": "one two three"})) as server:
        model = client(server.base_url)
        await hung(model, server, after=2)
        await model.aclose()


async def test_cancelling_closes_the_socket_while_it_waits_for_the_first_byte() -> None:
    async with RawServer([b""], hold=True).running() as server:
        model = client(server.base_url)
        await hung(model, server, after=0)
        await model.aclose()


async def test_after_a_cancelled_answer_the_next_one_works() -> None:
    async with MockServer(Tape.of({"fault": {"stall": 2}, "say": "one two"})) as server:
        model = client(server.base_url)
        await hung(model, server, after=1)
        assert (await answer(model)).text == "one two"
        await model.aclose()


async def test_a_stream_that_is_left_early_frees_its_connection() -> None:
    async with MockServer(Tape.of({"fault": {"stall": 3}, "say": "one two three"})) as server:
        model = client(server.base_url)
        stream: Any = model.stream(ask_for())
        await anext(stream)
        await stream.aclose()
        async with asyncio.timeout(10):
            await server.left.wait()
        await model.aclose()


@pytest.mark.parametrize("script", [b"", b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"])
async def test_a_server_that_accepts_and_says_nothing_runs_into_the_clock(script: bytes) -> None:
    async with RawServer([script], hold=True).running() as server:
        model = client(server.base_url, clocks=Clocks(connect_s=0.05, first_byte_s=0.05))
        error = await failure(model)
        await model.aclose()
    assert isinstance(error, Unavailable)
    assert "nothing within 0.05 s" in str(error)
