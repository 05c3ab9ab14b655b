"""What goes over the wire only grows at its end: the server's cache, and the bill, depend on it."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kimi_agent.log.messages import Assistant, Call, Message, ToolReturn, user_message
from kimi_agent.model.mock_server import MockServer
from kimi_agent.model.tape.tape_format import Tape
from tests.cli.conftest import PROGRAM, Place
from tests.model.requests import all_of, ask_for, client

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


@contextmanager
def mock(place: Place, tape: str, bodies: Path) -> Iterator[str]:
    """The mock server as a process of its own, saving every request body."""
    argv = [*PROGRAM, "mock", tape.removeprefix("tape:"), "--save", str(bodies)]
    server = subprocess.Popen(argv, env=place.env, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().split()[-1]
    finally:
        server.terminate()
        server.wait(timeout=20)
        server.stdout.close()


def messages_bytes(body: bytes) -> bytes:
    """The encoded messages, without what closes the list."""
    return body[body.index(b'"messages":') :].removesuffix(b"]}")


def tools_bytes(body: bytes) -> bytes:
    return body[body.index(b'"tools":') : body.index(b'"messages":')]


def is_note(message: dict[str, str]) -> bool:
    return message["role"] == "user" and "<note>" in message["content"]


def lasting_bytes(body: bytes) -> bytes:
    """The encoded messages that the next request has to begin with: no notes, no start of an answer."""
    messages = json.loads(body)["messages"]
    text = messages_bytes(body)
    if messages[-1].get("partial"):
        text = text[: text.rindex(b',{"role":"assistant"')]
        messages.pop()
    return text[: text.rindex(b',{"role":"user"')] if is_note(messages[-1]) else text


def test_each_body_begins_with_the_one_before_over_turns_resumes_modes_and_notes(place: Place, tmp_path: Path) -> None:
    (place.root / "a.txt").write_text("one\ntwo\n")
    read = {"name": "read_file", "args": {"path": "a.txt"}}
    tape = place.tape(
        {"reason": "I look.", "say": "Looking.", "calls": [read, {"name": "list_files", "args": {}}]},
        {"reason": "", "calls": [{"name": "write_file", "args": {"path": "b.txt", "content": "x\n"}}]},
        {"say": "First done."},
        {"expect": {"note_contains": "Plan mode"}, "calls": [{"name": "search_code", "args": {"pattern": "one"}}]},
        {"expect": {"note_contains": "Plan mode"}, "say": "A plan: \u2028 日本."},
        {"say": "Third done."},
    )
    bodies = tmp_path / "bodies"
    with mock(place, tape, bodies) as url:
        env = {**place.env, "KIMI_BASE_URL": url, "HTTP_PROXY": "http://127.0.0.1:9", "OPENAI_ORG_ID": "org-x"}
        # The first is a process of its own, with other hash seeds than the two that are forked.
        for run, argv in (
            (place.launch, ["-y"]),
            (place.run, ["-c", "--permission-mode", "plan"]),
            (place.run, ["-c", "-m", "kimi-k2.7-code"]),
        ):
            done = run(*argv, "-p", "go on", env=env)
            assert done.returncode == 0, done.stderr
            (place.root / "AGENTS.md").write_text("New words that only a new session hears.\n")
    sent = [path.read_bytes() for path in sorted(bodies.iterdir())]
    assert len(sent) == 6
    assert len({tools_bytes(body) for body in sent}) == 1
    notes = [sum(is_note(message) for message in json.loads(body)["messages"]) for body in sent]
    assert notes == [0, 0, 0, 1, 1, 0]
    models = [json.loads(body)["model"] for body in sent]
    assert models == ["kimi-k2.6"] * 5 + ["kimi-k2.7-code"]
    for before, after in pairwise(lasting_bytes(body) for body in sent):
        assert after.startswith(before)


ANSWER = Assistant("I look.", "Where?", (Call("functions.read_file:0", "read_file", '{"path":"a"}'),))
RESULT = ToolReturn("functions.read_file:0", "read_file", "x")
ADDED: list[dict[str, Any]] = [
    {},
    {"notes": ("Plan mode.",)},
    {"tokens": 250_000},
    {"notes": ("Plan mode.",), "partial": Assistant("I lo", "Where?")},
    {"notes": ("Make room.",), "tools_off": True, "purpose": "compaction"},
    {"notes": ("One last answer.",), "tools_off": True, "purpose": "wrap_up", "max_output": 8_192, "tokens": 261_000},
    {},
]


async def test_each_body_begins_with_the_one_before_whatever_a_single_request_adds() -> None:
    """Notes, a cap, the rest of an answer, a summary, a last word without calls; then another model and process."""
    tape = Tape.of({"reason": "Where?", "say": "I look.", "repeat": True})
    messages: list[Message] = [user_message("Go on \u2028 日本.")]
    async with MockServer(tape) as server:
        first, second = client(server.base_url), client(server.base_url, model="kimi-k2.7-code")
        for number, added in enumerate(ADDED):
            await all_of(second if number == 6 else first, replace(ask_for(*messages), **added))
            messages += [ANSWER, RESULT]
        await first.aclose()
        await second.aclose()
        bodies = server.bodies
    sent = [json.loads(body) for body in bodies]
    assert len({tools_bytes(body) for body in bodies}) == 1
    assert [each.get("tool_choice") for each in sent] == [None, None, None, None, "none", "none", None]
    assert [each.get("max_tokens") for each in sent] == [None, None, 11_120, None, None, 256, None]
    assert [each["messages"][-1].get("partial") for each in sent].count(True) == 1
    for before, after in pairwise(lasting_bytes(body) for body in bodies):
        assert after.startswith(before)


def first_body(place: Place, bodies: Path) -> bytes:
    """The first request of a session."""
    with mock(place, place.tape({"say": "hi"}), bodies) as url:
        assert place.run("-p", "hi", env={**place.env, "KIMI_BASE_URL": url}).returncode == 0
    return next(bodies.iterdir()).read_bytes()


def test_the_first_request_is_small(place: Place, tmp_path: Path) -> None:
    body = first_body(place, tmp_path / "bodies")
    assert len(body) < 11_000
    value = json.loads(body)
    assert list(value)[-1] == "messages"
    assert (value["model"], value["thinking"], value["stream"]) == (
        "kimi-k2.6",
        {"type": "enabled", "keep": "all"},
        True,
    )
    assert not {"temperature", "top_p", "n", "tool_choice", "max_tokens"} & set(value)


@pytest.mark.golden
def test_what_the_model_reads_first_is_as_reviewed(
    place: Place, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    value = json.loads(first_body(place, tmp_path / "bodies"))
    system = value["messages"][0]["content"].replace(str(place.root), "WORKSPACE")
    date = system[system.index("(") : system.index(")")]
    system = system.replace(date, "(PLATFORM, DATE")
    lines = [system]
    for each in value["tools"]:
        function = each["function"]
        lines += [f"## {function['name']}", function["description"], json.dumps(function["parameters"], indent=1)]
    text = "\n".join(lines) + "\n"
    path = GOLDEN / "told.md"
    if request.config.getoption("--golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), "read the change, then: make golden"


def test_no_key_is_written_anywhere(place: Place, tmp_path: Path) -> None:
    secret = "sk-canary-5d0c1b7e"
    tape = place.tape({"calls": [{"name": "shell", "args": {"command": "env; echo done"}}]}, {"say": "ok"})
    with mock(place, tape, tmp_path / "bodies") as url:
        env = {**place.env, "KIMI_BASE_URL": url, "KIMI_API_KEY": secret}
        done = place.run("-y", "-p", "go", "--debug", "--output-format", "stream-json", env=env)
    assert done.returncode == 0
    assert secret not in done.stdout + done.stderr
    for folder in (place.home, tmp_path / "bodies"):
        for path in folder.rglob("*"):
            if path.is_file():
                assert secret.encode() not in path.read_bytes(), path
    assert os.environ.get("KIMI_API_KEY") != secret
