"""Caps, waits and compactions of the whole program: what a run ends with, and what is there to be read afterwards."""

import json
import shlex
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Place, Start
from tests.cli.test_wire_prefix import mock

READ = {"name": "read_file", "args": {"path": "a{{step}}.txt"}}
ON_AND_ON = {"repeat": 8, "calls": [READ]}
SUMMARY = {"agent": "*", "if": {"note_contains": "Make room"}, "say": "We read files. {{place}}"}
LAST = {"if": {"note_contains": "last answer"}, "say": "Half of it is done."}


def files(place: Place, count: int = 9, size: int = 100) -> None:
    for number in range(count):
        (place.root / f"a{number}.txt").write_text(f"this is file {number}\n" + "some words on a line\n" * (size // 20))


def result(place: Place, *argv: str) -> tuple[int, dict[str, Any]]:
    done = place.run("--output-format", "json", *argv, "-p", "read them all")
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(
    ("flags", "code", "status", "steps"),
    [
        ("--max-tokens 20000", 54, "budget", 5),
        ("--max-steps 3", 53, "step_limit", 3),
        ("--max-budget-usd 0.04 --set price.input=1 --set price.output=4", 54, "budget", 8),
        ("--set budget.session_tokens=20000", 54, "budget", 5),
    ],
)
def test_at_a_cap_a_run_wraps_up_and_exits_with_its_code(
    place: Place, flags: str, code: int, status: str, steps: int
) -> None:
    files(place)
    model = place.tape(LAST, ON_AND_ON, {"say": "All read."})
    found = result(place, "-m", model, *shlex.split(flags))
    assert (found[0], found[1]["status"], found[1]["steps"]) == (code, status, steps)
    assert found[1]["answer"] == "Half of it is done."
    assert found[1]["error"]["code"] == code
    assert found[1]["denials"] == []


def test_a_dollar_cap_without_a_price_spends_nothing_and_says_the_mend(place: Place) -> None:
    model = place.tape({"say": "hi"})
    code, found = result(place, "-m", model, "--max-budget-usd", "1")
    assert (code, found["status"], found["steps"]) == (54, "budget", 0)
    assert "--max-tokens" in found["error"]["message"]


def test_a_turn_out_of_time_ends_its_command_and_says_how_far_it_came(place: Place) -> None:
    slow = {"calls": [{"name": "shell", "args": {"command": "sleep 300"}}]}
    model = place.tape({"if": {"note_contains": "time"}, "say": "I waited in vain."}, slow, {"say": "never"})
    code, found = result(place, "-y", "-m", model, "--timeout", "1s")
    assert (code, found["status"], found["answer"]) == (55, "time_limit", "I waited in vain.")


def test_money_and_tokens_are_in_the_result_and_in_stats(place: Place) -> None:
    usage = {"input": 1_000_000, "output": 500_000, "cached": 500_000}
    model = place.tape({"say": "hi", "usage": usage})
    prices = ("--set", "price.input=1", "--set", "price.cached=0.5", "--set", "price.output=4")
    _, found = result(place, "-m", model, *prices)
    assert found["cost_usd"] == pytest.approx(0.5 + 0.25 + 2.0)
    assert (found["usage"]["input_tokens"], found["usage"]["cached_tokens"]) == (1_000_000, 500_000)
    _, unpriced = result(place, "-m", model)
    assert unpriced["cost_usd"] is None
    stats = place.run("stats", "--since", "all", "--by", "model", "--json").stdout.splitlines()
    total = json.loads(stats[-1])
    assert (total["total"], total["requests"]) == (True, 2)


def test_a_full_window_is_made_room_in_and_the_session_tells_of_it(place: Place) -> None:
    files(place)
    thought = "I thought about {{step}} for long. " * 120  # words of the model's own are never shortened
    model = place.tape(SUMMARY, {"repeat": 8, "say": thought, "calls": [READ]}, {"say": "All read."}, {"say": "8123."})
    done = place.run("-m", model, "--set", "window=9000", "-p", "read them; the port stays 8123")
    assert (done.returncode, done.stdout) == (0, "All read.\n")
    assert "became a summary" in done.stderr
    shown = place.run("sessions", "show", "last").stdout
    assert "## Compaction" in shown
    assert "We read files." in place.run("sessions", "export", "last").stdout
    found = place.run("sessions", "search", "port stays").stdout
    assert "the port stays 8123" in found
    assert place.run("-c", "-m", model, "-p", "which port?").stdout == "8123.\n"


def test_at_a_cap_a_person_is_asked_and_may_go_on(place: Place, start: Start) -> None:
    files(place)
    model = place.tape(LAST, ON_AND_ON, {"say": "All read."})
    terminal = start("-m", model, "--max-steps", "4", "go")
    terminal.until("1 go on with", "2 wrap up", "3 stop")
    terminal.press("1")
    terminal.until("8 of the 8 steps", "3 stop")
    terminal.press("1")
    terminal.ready("All read.")
    terminal.press("/cost\r")
    terminal.ready("this turn", "9 steps of 12")


def refusing(stack: ExitStack) -> str:
    """An address whose queue of connections is full: connecting to it takes for ever."""
    listening = stack.enter_context(socket.socket())
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    for _ in range(3):
        waiting = stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(listening.getsockname())
    return f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


def silent(stack: ExitStack) -> str:
    """An address that takes connections, and never says a word."""
    listening = stack.enter_context(socket.socket())
    listening.bind(("127.0.0.1", 0))
    listening.listen(5)
    return f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


@pytest.mark.long
@pytest.mark.parametrize("where", ["connect", "wait"])
def test_esc_gives_the_prompt_back_before_the_server_said_a_word(place: Place, start: Start, where: str) -> None:
    with ExitStack() as stack:
        url = refusing(stack) if where == "connect" else silent(stack)
        terminal = start("--base-url", url, "go")
        terminal.until("esc to interrupt")
        terminal.press("\x1b")
        terminal.ready("nterrupted")


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "sign"),
    [
        ({"stall": 3}, "I say"),
        pytest.param({"status": 503, "headers": {"retry-after": "60"}}, "503", marks=pytest.mark.long),
    ],
)
def test_ctrl_c_in_a_stream_or_a_backoff_gives_the_prompt_back_and_the_next_turn_works(
    place: Place, start: Start, fault: dict[str, Any], sign: str, tmp_path: Path
) -> None:
    tape = place.tape({"fault": fault, "say": "I say many words at once."}, {"say": "Second."})
    with mock(place, tape, tmp_path / "bodies") as url:
        terminal = start("--base-url", url, "go")
        terminal.until(sign, "esc to interrupt")
        terminal.press("\x03")
        terminal.ready("nterrupted")
        terminal.press("again\r")
        terminal.ready("many words at once" if "status" in fault else "Second.")
