"""Asking over real HTTP on loopback."""

import asyncio
import gc
import itertools
import json
from typing import Any

import pytest

from kimi_agent.app.model_pipeline import supports_partial
from kimi_agent.errors import ModelError
from kimi_agent.log.events import TextDelta
from kimi_agent.log.messages import Assistant, Message, ToolReturn, user_message
from kimi_agent.model.endpoint.profiles import ModelSettings
from kimi_agent.model.message_assembly import Assembly
from kimi_agent.model.mock_server import MockServer
from kimi_agent.model.protocol import Model, Request
from kimi_agent.model.tape.tape_format import Pace, Tape
from kimi_agent.model.wire.chat_completions import find_proxy
from tests.model.requests import all_of, ask_for, client

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
    messages: list[Message] = [user_message("hello")]
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
    assert find_proxy(url, environ) == proxy


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
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == text


async def test_u2028_and_its_kin_do_not_cut_a_frame() -> None:
    text = "a\u2028b\u2029c\u0085d\u000be\u001cf"
    async with MockServer(Tape.of({"say": text, "reason": text}, name="t"), pace=Pace(1)) as server:
        model = client(server.base_url)
        got = await answer(model)
        await model.aclose()
    assert (got.text, got.reasoning) == (text, text)


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


async def test_a_stream_that_is_left_early_frees_its_connection() -> None:
    async with MockServer(Tape.of({"fault": {"stall": 3}, "say": "one two three"})) as server:
        model = client(server.base_url)
        stream: Any = model.stream(ask_for())
        await anext(stream)
        await stream.aclose()
        async with asyncio.timeout(10):
            await server.left.wait()
        await model.aclose()


@pytest.mark.parametrize(
    ("base_url", "setting", "partial"),
    [
        ("https://api.moonshot.ai/v1", None, True),
        ("https://api.moonshot.ai/v1", False, False),
        ("https://api.kimi.com/coding/v1", None, False),
        ("http://127.0.0.1:1/v1", None, False),
        ("http://127.0.0.1:1/v1", True, True),
        ("https://api.example/v1", None, False),
    ],
)
def test_partial_mode_goes_by_the_host_unless_it_is_set(base_url: str, setting: bool | None, partial: bool) -> None:
    settings = ModelSettings(base_url=base_url, partial=setting)
    assert supports_partial(settings) is partial


async def test_raw_markers_become_calls_where_the_profile_says_that_they_leak() -> None:
    raw = "<|tool_calls_section_begin|><|tool_call_begin|>functions.read_file:0<|tool_call_argument_begin|>"
    raw += '{"path":"a.py"}<|tool_call_end|><|tool_calls_section_end|>'
    async with MockServer(Tape.of({"say": raw})) as server:
        model = client(server.base_url)
        got = await answer(model)
        await model.aclose()
    assert [(call.name, call.arguments) for call in got.calls] == [("read_file", '{"path":"a.py"}')]
    assert got.text == ""


async def test_what_was_sent_is_let_go_without_the_garbage_collector() -> None:
    """The bodies of a long session are large, and the collector comes rarely: it must not be needed."""
    import httpx2

    gc.collect()
    gc.disable()
    try:
        async with MockServer(Tape.of({"say": "hi", "repeat": True})) as server:
            model = client(server.base_url)
            for _ in range(3):
                await all_of(model, ask_for())
            alive = [each for each in gc.get_objects() if isinstance(each, httpx2.Request)]
            await model.aclose()
    finally:
        gc.enable()
    assert alive == []
