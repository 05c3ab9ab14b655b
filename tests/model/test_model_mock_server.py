"""The mock server over real HTTP, asked by the unmodified OpenAI SDK and by raw bytes."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from kimi_agent.errors import UserError
from kimi_agent.model.mock_rules import refusal
from kimi_agent.model.mock_server import MockServer, run_mock
from kimi_agent.model.tape import Tape

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
CALL = {"id": "f:0", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def sdk(server: MockServer, **more: Any) -> openai.AsyncOpenAI:
    http = httpx2.AsyncClient(trust_env=False)
    return openai.AsyncOpenAI(api_key="any", base_url=server.base_url, max_retries=0, http_client=http, **more)


TAPE = Tape.of(
    {"reason": "hm", "say": "I look. สวัสดี", "calls": [{"name": "look", "args": {"path": "a b"}}]},
    {"say": "Done.", "usage": {"input": 12, "output": 3, "cached": 5}},
)


async def test_the_typed_sdk_streams_from_it() -> None:
    async with MockServer(TAPE) as server, sdk(server) as client:
        stream = await client.chat.completions.create(
            model="kimi-k2.6", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == "I look. สวัสดี"
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "hm"
    fragments = [call for delta in deltas for call in delta.tool_calls or []]
    assert (fragments[0].index, fragments[0].id) == (0, "functions.look:0")
    assert "".join((each.function and each.function.arguments) or "" for each in fragments) == '{"path":"a b"}'
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "tool_calls"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None


async def test_the_typed_sdk_gets_whole_answers_and_models_from_it() -> None:
    history = [*HELLO, {"role": "assistant", "content": "x"}]
    async with MockServer(TAPE) as server, sdk(server) as client:
        whole = await client.chat.completions.create(model="kimi-k2.6", messages=history)
        first = await client.chat.completions.create(model="kimi-k2.6", messages=HELLO)
        models = await client.models.list()
        one_connection = server.connections
    assert whole.choices[0].message.content == "Done."
    assert whole.usage is not None
    assert whole.usage.model_dump()["cached_tokens"] == 5
    calls = first.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].id == "functions.look:0"
    assert "kimi-k2.6" in [model.id for model in models.data]
    assert models.data[0].model_dump()["context_length"] == 262_144
    assert one_connection == 1


async def test_without_include_usage_it_stands_in_the_last_choice() -> None:
    async with MockServer(TAPE) as server, httpx2.AsyncClient(trust_env=False) as http:
        body = {"model": "kimi-k2.6", "messages": HELLO, "stream": True}
        answer = await http.post(f"{server.base_url}/chat/completions", json=body)
    events = [json.loads(line[6:]) for line in answer.text.split("\n") if line.startswith("data: {")]
    assert events[-1]["choices"][0]["usage"]["completion_tokens"] > 0
    assert answer.text.endswith("data: [DONE]\n\n")
    assert answer.headers["x-msh-trace-id"]


async def test_errors_have_moonshots_words_and_types() -> None:
    async with MockServer(TAPE, key="secret") as server:
        async with sdk(server) as client:
            with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided"):
                await client.models.list()
        async with sdk(server) as client:
            client.api_key = "secret"
            with pytest.raises(openai.NotFoundError, match="Not found the model kimi-k9 or Permission denied"):
                await client.chat.completions.create(model="kimi-k9", messages=HELLO)
            with pytest.raises(openai.BadRequestError, match=r"invalid temperature: only 1 is allowed"):
                await client.chat.completions.create(model="kimi-k2.6", messages=HELLO, temperature=0.2)
            with pytest.raises(openai.NotFoundError, match=r"url\.not_found"):
                await client.embeddings.create(model="kimi-k2.6", input="x")


async def test_a_request_that_the_tape_does_not_expect_is_a_400_with_its_words() -> None:
    told: list[str] = []
    tape = Tape.of({"expect": {"last_contains": "bye"}, "say": "x"}, name="my.tape")
    async with MockServer(tape, mismatched=told.append) as server, sdk(server) as client:
        with pytest.raises(openai.BadRequestError, match=r"my\.tape, line 1: expected what came last to contain 'bye'"):
            await client.chat.completions.create(model="kimi-k2.6", messages=HELLO, stream=True)
    assert len(told) == 1


def asked(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"model": "kimi-k2.6", "messages": [*HELLO, *messages]} | more


def tools(*functions: Any) -> list[Any]:
    return [{"type": "function", "function": function} for function in functions]


OBJECT = {"type": "object", "properties": {}}
WITH_CALL = {"role": "assistant", "reasoning_content": "", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "f:0", "content": "x"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (asked(WITH_CALL, RESULT), None),
        (asked(WITH_CALL, RESULT, {"role": "user", "content": [{"type": "text", "text": "x"}]}), None),
        (asked(WITH_CALL), "did not have response messages: f:0"),
        (asked(WITH_CALL, {"role": "user", "content": "x"}, RESULT), "did not have response messages: f:0"),
        (asked(WITH_CALL, RESULT, RESULT), "tool_call_id  is not found"),
        (asked(RESULT), "tool_call_id  is not found"),
        (asked(WITH_CALL, RESULT | {"tool_call_id": "f:1"}), "tool_call_id  is not found"),
        (
            asked({"role": "assistant", "content": ""}),
            "the message at position 1 with role 'assistant' must not be empty",
        ),
        (asked(WITH_CALL | {"content": ""}, RESULT), "text content is empty"),
        (asked({"role": "user", "content": ""}), "must not be empty"),
        (asked({"role": "user", "content": [{"type": "text", "text": ""}]}), "must not be empty"),
        (
            asked({"role": "assistant", "tool_calls": [CALL]}, RESULT),
            "thinking is enabled but reasoning_content is missing in assistant tool call message at index 1",
        ),
        (asked({"role": "assistant", "tool_calls": [CALL]}, RESULT, thinking={"type": "disabled"}), None),
        (asked({"role": "developer", "content": "x"}), "unknown role"),
        (asked(thinking={"type": "auto"}), "thinking.type"),
        (asked(temperature=1), None),
        (asked(temperature=0.6), "invalid temperature: only 1 is allowed for this model"),
        (asked(temperature=0.6, thinking={"type": "disabled"}), None),
        (asked(top_p=1), "invalid top_p: only 0.95"),
        (asked(n=2), "invalid n: only 1"),
        (asked(tool_choice="required"), "tool_choice 'required' is incompatible with thinking enabled"),
        (asked(tool_choice={"type": "function"}), "tool_choice 'specified' is incompatible"),
        (asked(tools=tools({"name": "look", "parameters": OBJECT})), None),
        (asked(tools=tools({"name": "a b", "parameters": OBJECT})), "function name is invalid"),
        (asked(tools=tools(*[{"name": "look", "parameters": OBJECT}] * 2)), "function name look is duplicated"),
        (asked(tools=tools({"name": "look"})), "the root must be an object"),
        (
            asked(
                tools=tools({"name": "look", "parameters": {"type": "object", "properties": {"x": {"enum": ["a"]}}}})
            ),
            "details: <At path 'properties.x': type is not defined>",
        ),
        (asked(tools=tools({"name": "look", "parameters": OBJECT | {"required": ["x"]}})), "x is not in properties"),
        (
            asked(tools=tools({"name": "look", "parameters": {"type": "object", "anyOf": []}})),
            "type must not be used together",
        ),
        (asked(tools=[]), "1 to 128"),
        ({"model": "kimi-k2.6", "messages": []}, "messages"),
        ([], "messages"),
    ],
)
def test_it_refuses_what_moonshot_refuses(body: Any, words: str | None) -> None:
    found = refusal(body)
    assert (found is None) == (words is None), found
    assert words is None or (found is not None and words in found.message)


async def raw(server: MockServer, request: bytes) -> bytes:
    host, port = server.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_chunked_bodies_and_expect_continue_are_understood() -> None:
    body = json.dumps({"model": "kimi-k2.6", "messages": HELLO}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n"
    async with MockServer(TAPE) as server:
        answer = await raw(server, head + b"5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (body[:5], len(body) - 5, body[5:]))
        assert server.bodies == [body]
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"x" * 100_000,
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 3\r\n\r\n{",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 4\r\n\r\n\xff\xfe[[",
    ],
)
async def test_junk_does_not_hurt_it(junk: bytes) -> None:
    async with MockServer(TAPE) as server:
        answer = await raw(server, junk)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
        async with sdk(server) as client:
            assert (await client.models.list()).data


def test_it_listens_on_loopback_only() -> None:
    with pytest.raises(UserError, match="loopback only"):
        MockServer(TAPE, host="0.0.0.0")


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    tape = tmp_path / "a.tape"
    tape.write_text('{"say": "x"}')
    with pytest.raises(UserError, match="cannot listen"):
        run_mock(tape, out=io.StringIO(), port=1 if os.geteuid() else 99_999_999)


def test_the_command_prints_its_address_first_keeps_bodies_and_ends_on_sigterm(tmp_path: Path) -> None:
    tape, saved = tmp_path / "my tape", tmp_path / "kept bodies"
    tape.write_text('{"say": "first"}\n{"say": "second"}\n')
    program = (
        "import sys; from pathlib import Path; from kimi_agent.model.mock_server import run_mock; "
        "run_mock(Path(sys.argv[1]), out=sys.stdout, save=Path(sys.argv[2]))"
    )
    kept = []
    for _ in range(2):  # the second is a mock server that was started again
        command = [sys.executable, "-c", program, str(tape), str(saved)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            base_url = process.stdout.readline().strip()
            with httpx2.Client(trust_env=False) as http:
                answer = http.post(f"{base_url}/chat/completions", json={"model": "kimi-k2.6", "messages": HELLO})
            kept.append(answer.json()["choices"][0]["message"]["content"])
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    assert kept == ["first", "first"]
    assert sorted(path.name for path in saved.iterdir()) == ["00001.json", "00002.json"]
    assert json.loads((saved / "00002.json").read_bytes())["messages"] == HELLO
