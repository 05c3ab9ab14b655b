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
from kimi_agent.model.mock_server import MockServer, serve_tape
from kimi_agent.model.tape.moonshot_rules import check_request
from kimi_agent.model.tape.tape_format import Fault, Tape

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
    reported: list[str] = []
    tape = Tape.of({"expect": {"last_contains": "bye"}, "say": "x"}, name="my.tape")
    async with MockServer(tape, mismatched=reported.append) as server, sdk(server) as client:
        with pytest.raises(openai.BadRequestError, match=r"my\.tape, line 1: expected what came last to contain 'bye'"):
            await client.chat.completions.create(model="kimi-k2.6", messages=HELLO, stream=True)
    assert len(reported) == 1


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
        (
            asked(tools=tools({"name": "look", "parameters": OBJECT | {"required": ["x"]}})),
            "required property 'x' is not defined",
        ),
        (
            asked(tools=tools({"name": "look", "parameters": {"type": "object", "anyOf": []}})),
            "when using anyOf, type should be defined in anyOf items",
        ),
        (asked(tools=[]), "1 to 128"),
        (asked(tool_choice="none"), None),
        (asked(tool_choice="never"), "tool_choice must be"),
        (asked(max_completion_tokens=0), "max_completion_tokens must be"),
        (asked(max_completion_tokens=True), "max_completion_tokens must be"),
        (asked({"role": "assistant", "content": "I b", "partial": True}), None),
        (asked({"role": "assistant", "content": "", "partial": True}), "must not be empty"),
        (asked({"role": "assistant", "content": "I b", "partial": True}, *HELLO), "partial is for the last message"),
        (asked(WITH_CALL | {"partial": True}, RESULT), "partial is for the last message"),
        ({"model": "kimi-k2.6", "messages": []}, "messages"),
        ([], "messages"),
    ],
)
def test_it_refuses_what_moonshot_refuses(body: Any, words: str | None) -> None:
    found = check_request(body)
    assert (found is None) == (words is None), found
    assert words is None or (found is not None and words in found.message)


async def usage_of(client: openai.AsyncOpenAI, *messages: Any, key: str = "S") -> dict[str, Any]:
    more = {"prompt_cache_key": key}
    answer = await client.chat.completions.create(model="kimi-k2.6", messages=list(messages), extra_body=more)
    assert answer.usage is not None
    return answer.usage.model_dump()


async def test_usage_is_counted_like_moonshots_clients_do_and_the_cache_holds_whole_blocks() -> None:
    tape = Tape.of({"say": "เก้า ok", "reason": "r" * 40, "repeat": True})
    first = {"role": "user", "content": "x" * 4_000}
    async with MockServer(tape) as server, sdk(server) as client:
        usage = await usage_of(client, first)
        assert usage["prompt_tokens"] == pytest.approx(1_000, abs=10)
        assert usage["completion_tokens"] == 10 + 5
        assert usage["completion_tokens_details"]["reasoning_tokens"] == 10
        assert usage["cached_tokens"] == 0
        again = await usage_of(client, first, {"role": "assistant", "content": "y"}, {"role": "user", "content": "z"})
        assert again["cached_tokens"] == 768, "whole blocks of 256"
        assert (await usage_of(client, first, key="other"))["cached_tokens"] == 0
        short = {"role": "user", "content": "z" * 1_000}
        await usage_of(client, short, key="short")
        assert (await usage_of(client, short, key="short"))["cached_tokens"] == 0, "256 tokens are not cached"
        other = await usage_of(client, {"role": "user", "content": "y" * 4_000})
        assert other["cached_tokens"] == 0
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40_000}}
        seen = await usage_of(client, {"role": "user", "content": [picture]}, key="picture")
        assert seen["prompt_tokens"] == pytest.approx(2_000, abs=10)


async def test_what_does_not_fit_the_window_is_a_400_in_moonshots_words() -> None:
    long: list[Any] = [{"role": "user", "content": "x" * 4_000}]
    async with MockServer(TAPE, window=1_000) as server, sdk(server) as client:
        with pytest.raises(openai.BadRequestError, match="Input token length too long"):
            await client.chat.completions.create(model="kimi-k2.6", messages=long)
        with pytest.raises(openai.BadRequestError, match="Your request exceeded model token limit : 1000"):
            await client.chat.completions.create(model="kimi-k2.6", messages=HELLO, max_completion_tokens=999)
        whole = await client.chat.completions.create(model="kimi-k2.6", messages=HELLO, max_completion_tokens=900)
        assert whole.choices[0].message.content
        assert (await client.models.list()).data[0].model_dump()["context_length"] == 1_000


async def test_a_partial_answer_is_gone_on_with() -> None:
    tape = Tape.of({"reason": "hm", "say": "I begin and I end.", "calls": [{"name": "look", "args": {}}]})
    start = {"role": "assistant", "content": "I begin", "reasoning_content": "hm", "partial": True}
    async with MockServer(tape) as server, sdk(server) as client:

        async def go_on(**changed: Any) -> openai.types.chat.ChatCompletionMessage:
            messages: list[Any] = [*HELLO, {"role": "user", "content": "<note>n</note>"}, start | changed]
            answer = await client.chat.completions.create(model="kimi-k2.6", messages=messages)
            return answer.choices[0].message

        rest = await go_on()
        assert (rest.content, rest.model_extra) == (" and I end.", {})
        assert rest.tool_calls is not None
        with pytest.raises(openai.BadRequestError, match="not how this one begins; it is 'I start'"):
            await go_on(content="I start")
        with pytest.raises(openai.BadRequestError, match="has to hold its reasoning"):
            await go_on(reasoning_content="")


async def test_chaos_is_asked_for_each_request_and_leaves_the_tape_where_it_is() -> None:
    faults = {1: Fault(status=503), 2: Fault(cut_bytes=30), 3: Fault(drop=True), 4: Fault(status=200, body="<html>")}
    asked_for: list[int] = []

    def chaos(number: int) -> Fault | None:
        asked_for.append(number)
        return faults.get(number)

    tape = Tape.of({"say": "x", "fault": {"status": 500}})
    seen: list[int | str] = []
    async with MockServer(tape, chaos=chaos) as server, httpx2.AsyncClient(trust_env=False) as http:
        for _ in range(6):
            try:
                answer = await http.post(f"{server.base_url}/chat/completions", json=asked(stream=True))
                seen.append(answer.status_code if "<html>" not in answer.text else "html")
            except httpx2.TransportError:
                seen.append("broken")
    assert asked_for == [1, 2, 3, 4, 5, 6]
    assert seen == [503, "broken", "broken", "html", 500, 200]


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
        serve_tape(tape, out=io.StringIO(), port=1 if os.geteuid() else 99_999_999)


def test_the_command_prints_its_address_first_keeps_bodies_and_ends_on_sigterm(tmp_path: Path) -> None:
    tape, saved = tmp_path / "my tape", tmp_path / "kept bodies"
    tape.write_text('{"say": "first"}\n{"say": "second"}\n')
    program = (
        "import sys; from pathlib import Path; from kimi_agent.model.mock_server import serve_tape; "
        "serve_tape(Path(sys.argv[1]), out=sys.stdout, save=Path(sys.argv[2]))"
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
