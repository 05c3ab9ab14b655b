"""Signals against a run that is blocked somewhere: it ends within three seconds, with its code and its result."""

import fcntl
import json
import os
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kimi_agent.faces.screen.terminal import RESTORE_TERMINAL
from tests.cli.conftest import Place, Start, wait_until

MARGIN_S = 4.0
"""Three seconds, and what a busy machine takes to notice."""
LONG = {"say": "word " * 80_000, "pace": {"chunk": 400}}
"""More than a pipe and the queue behind it hold, as events."""


@contextmanager
def unread(place: Place, *argv: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The program with its stdout in a pipe that nobody reads, as long as the block lasts."""
    child = place.start(argv)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def end_within(child: "subprocess.Popen[bytes]", seconds: float = MARGIN_S) -> tuple[int, float]:
    """The exit code, and after how many seconds it came."""
    began = time.monotonic()
    code = child.wait(timeout=seconds)
    return code, time.monotonic() - began


def is_blocked_on_output(child: "subprocess.Popen[bytes]") -> bool:
    """Whether the pipe is full: nobody has read, and the program wants to write."""
    assert child.stdout is not None
    room = fcntl.fcntl(child.stdout.fileno(), fcntl.F_GETPIPE_SZ)
    held = bytearray(4)
    fcntl.ioctl(child.stdout.fileno(), 0x541B, held)  # FIONREAD
    return int.from_bytes(held, "little") > room - 4096


@pytest.mark.parametrize(
    ("form", "number", "code"),
    [
        ("stream-json", signal.SIGTERM, 143),
        pytest.param("stream-json", signal.SIGINT, 130, marks=pytest.mark.long),
        ("text", signal.SIGINT, 130),
        pytest.param("json", signal.SIGTERM, 143, marks=pytest.mark.long),
    ],
)
def test_a_reader_that_stopped_does_not_make_the_program_deaf(place: Place, form: str, number: int, code: int) -> None:
    big = LONG if form == "stream-json" else {"say": "word " * 80_000}
    with unread(place, "-m", place.tape(big), "-p", "go", "--output-format", form) as child:
        wait_until(lambda: is_blocked_on_output(child))
        child.send_signal(number)
        assert end_within(child)[0] in (code, 0)
        assert child.stderr is not None
        assert b"Traceback" not in child.stderr.read()


def test_a_time_limit_holds_for_a_reader_that_stopped(place: Place) -> None:
    with unread(
        place, "-m", place.tape(LONG), "-p", "go", "--output-format", "stream-json", "--timeout", "2s"
    ) as child:
        assert end_within(child, 2 + 2 * MARGIN_S)[0] == 55


def test_a_reader_that_is_slow_gets_everything_in_order(place: Place) -> None:
    child = place.start(["-m", place.tape(LONG), "-p", "go", "--output-format", "stream-json"])
    assert child.stdout is not None
    wait_until(lambda: is_blocked_on_output(child))
    lines = [json.loads(line) for line in child.stdout]
    assert child.wait(timeout=30) == 0
    child.communicate()
    assert "".join(line["text"] for line in lines if line["type"] == "TextDelta") == "word " * 80_000
    seqs = [line["seq"] for line in lines if line.get("seq")]
    assert (seqs, lines[-1]["type"]) == (sorted(seqs), "result")


def test_what_a_stopped_reader_did_not_take_is_there_for_it_after_the_end(place: Place) -> None:
    """The pipe is widened: a driver that ends us first and reads then gets a whole object."""
    with unread(place, "-m", place.tape({"say": "word " * 80_000}), "-p", "go", "--output-format", "json") as child:
        wait_until(lambda: is_blocked_on_output(child))
        child.send_signal(signal.SIGTERM)
        code = end_within(child)[0]
        assert child.stdout is not None
        result = json.loads(child.stdout.read())
        assert (code, result["exit_code"], len(result["answer"])) == (0, 0, 400_000)


def test_a_result_that_was_there_in_time_is_not_cut_by_the_time_limit(place: Place) -> None:
    """The turn was over at once; only its reader looks after the end."""
    argv = ("-m", place.tape({"say": "word " * 80_000}), "-p", "go", "--output-format", "json", "--timeout", "1s")
    with unread(place, *argv) as child:
        code = end_within(child, 1 + 2 * MARGIN_S)[0]
        assert child.stdout is not None
        result = json.loads(child.stdout.read())
        assert (code, result["exit_code"], len(result["answer"])) == (0, 0, 400_000)


def test_sigterm_while_the_result_is_written_to_a_slow_reader_cuts_nothing(place: Place) -> None:
    child = place.start(["-m", place.tape({"say": "word " * 400_000}), "-p", "go", "--output-format", "json"])
    assert child.stdout is not None
    wait_until(lambda: is_blocked_on_output(child))
    child.send_signal(signal.SIGTERM)
    data = b""
    while chunk := os.read(child.stdout.fileno(), 16_384):
        data += chunk
        time.sleep(0.02)  # a slow reader is what this is about
    result = json.loads(data)
    assert (child.wait(timeout=10), len(result["answer"])) == (result["exit_code"], 2_000_000)
    child.communicate()


@pytest.mark.parametrize(
    ("argv", "number", "code"),
    [
        (["--output-format", "json", "-p", "go"], signal.SIGTERM, 143),
        (["--output-format=stream-json", "-p", "go"], signal.SIGINT, 130),
        pytest.param(["-p", "go"], signal.SIGTERM, 143, marks=pytest.mark.long),
    ],
)
def test_a_signal_during_the_imports_gives_the_result(place: Place, argv: list[str], number: int, code: int) -> None:
    child = place.start(["-m", place.tape({"say": "hi", "pace": {"chunk": 1, "delay_s": 9}}), *argv])
    wait_until(lambda: hears(child.pid, signal.SIGTERM))
    child.send_signal(number)
    out, err = child.communicate(timeout=20)
    assert (child.returncode, b"Traceback" in err) == (code, False), err
    lines = out.decode().splitlines()
    assert len(lines) == (argv != ["-p", "go"])
    if lines:
        result = json.loads(lines[0])
        assert (result["exit_code"], result["status"], result["session_id"]) == (code, "interrupted", "")


def hears(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.parametrize("form", ["json", pytest.param("stream-json", marks=pytest.mark.long)])
@pytest.mark.parametrize("pair", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)])
def test_two_signals_at_once_are_one(place: Place, form: str, pair: tuple[int, int]) -> None:
    slow = {"say": "word " * 1000, "pace": {"chunk": 5, "delay_s": 0.5}}
    child = place.start(["-m", place.tape(slow), "-p", "go", "--output-format", form])
    wait_until(place.has_asked)
    for number in pair:
        child.send_signal(number)
    out, _ = child.communicate(timeout=20)
    result = json.loads(out.decode().splitlines()[-1])
    assert child.returncode == result["exit_code"]
    assert child.returncode in [128 + number for number in pair]  # of two that wait the kernel hands out the lower one
    assert (result["status"], result["saved"]) == ("interrupted", True)


BLOCKS = """
import time
from kimi_agent.tool import Context, tool

@tool(effect="read")
async def stuck(ctx: Context) -> str:
    'Block the event loop.'
    open({marker!r}, "w").close()
    {body}
    return "never"
"""


@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(300)",
        pytest.param("open({fifo!r})", marks=pytest.mark.long),
        pytest.param("while True: pass", marks=pytest.mark.long),
    ],
)
def test_a_loop_that_is_blocked_does_not_keep_the_program_from_ending(place: Place, body: str) -> None:
    marker, fifo = place.home / "began", place.home / "fifo"
    os.mkfifo(fifo)
    (place.home / "tools").mkdir()
    (place.home / "tools" / "stuck.py").write_text(BLOCKS.format(marker=str(marker), body=body.format(fifo=str(fifo))))
    first = {"calls": [{"name": "shell", "args": {"command": "sleep 1234 &"}}]}
    tape = place.tape(first, {"calls": [{"name": "stuck", "args": {}}]})
    with unread(place, "-y", "-m", tape, "-p", "go", "--output-format", "json") as child:
        wait_until(marker.exists)
        child.send_signal(signal.SIGTERM)
        assert end_within(child)[0] == 143
        assert child.stdout is not None
        result = json.loads(child.stdout.read())
        assert (result["exit_code"], result["status"], result["saved"]) == (143, "interrupted", True)
    left = subprocess.run(["pgrep", "-f", "sleep 1234"], capture_output=True, text=True, check=False).stdout.split()
    assert [pid for pid in left if str(place.root) in os.readlink(f"/proc/{pid}/cwd")] == []


def test_a_blob_that_is_a_pipe_is_a_blob_that_is_lost(place: Place) -> None:
    tape = place.tape({"say": "ok"}, {"say": "on"})
    assert place.run("-m", tape, stdin=b"word " * 20_000).returncode == 0
    blobs = [path for log in place.logs() for path in (log.parent / "blobs").iterdir()]
    assert blobs
    for blob in blobs:
        blob.unlink()
        os.mkfifo(blob)
    done = place.run("-m", tape, "-c", "-p", "again")
    assert (done.returncode, done.stdout) == (0, "on\n"), done.stderr


@pytest.mark.parametrize("what", ["main.lock", "debug.jsonl"])
def test_no_other_file_of_a_session_that_is_a_pipe_is_waited_for(place: Place, what: str) -> None:
    tape = place.tape({"say": "ok"}, {"say": "on"})
    assert place.run("-m", tape, "-p", "go").returncode == 0
    path = place.logs()[0].parent / what
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    done = place.run("--debug", "-m", tape, "-c", "-p", "again", "--output-format", "json")
    result = json.loads(done.stdout)
    assert (result["answer"], done.returncode) == (("on", 0) if what == "main.lock" else ("", 1))
    assert what == "main.lock" or "not a regular file" in result["error"]["message"]


def test_a_record_of_a_process_that_is_a_pipe_is_not_waited_for(place: Place) -> None:
    (place.home / "state" / "running").mkdir(parents=True)
    os.mkfifo(place.home / "state" / "running" / "abc")
    assert place.run("-m", place.tape({"say": "ok"}), "-p", "go").stdout == "ok\n"


def test_words_that_had_come_are_the_answer_of_an_interrupted_run(place: Place) -> None:
    slow = {"say": "Half of the answer. " + "more " * 1000, "pace": {"chunk": 20, "delay_s": 0.2}}
    child = place.start(["-m", place.tape(slow), "-p", "go", "--output-format", "stream-json"])
    assert child.stdout is not None
    seen: list[dict[str, Any]] = []
    while not any(line["type"] == "TextDelta" for line in seen):
        seen.append(json.loads(child.stdout.readline()))
    child.send_signal(signal.SIGINT)
    rest, _ = child.communicate(timeout=20)
    result = json.loads(rest.decode().splitlines()[-1])
    assert result["answer"].startswith("Half of the answer. ")
    assert (result["status"], child.returncode) == ("interrupted", 130)


def test_a_prompt_whose_loop_is_blocked_ends_too_and_gives_the_terminal_back(place: Place, start: Start) -> None:
    marker = place.home / "began"
    (place.home / "tools").mkdir()
    (place.home / "tools" / "stuck.py").write_text(BLOCKS.format(marker=str(marker), body="time.sleep(300)"))
    terminal = start("-m", place.tape({"calls": [{"name": "stuck", "args": {}}]}), "go")
    wait_until(marker.exists)
    terminal.child.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert terminal.end() == 143
    assert time.monotonic() - began < MARGIN_S
    assert terminal.raw.endswith(RESTORE_TERMINAL.replace(b"\n", b"\r\n"))
    assert termios.tcgetattr(terminal.fd)[3] & (termios.ECHO | termios.ICANON) == termios.ECHO | termios.ICANON
