"""Money is counted whatever ends a process, and the day's cap is one for all of them."""

import json
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Place, wait_until
from tests.cli.test_wire_prefix import mock

SLOW = {"repeat": 20, "say": "word " * 2_000, "pace": {"chunk": 5, "delay_s": 0.2}}


def spent(place: Place) -> tuple[float, int]:
    """What `stats` says of today: USD and requests."""
    done = place.run("stats", "--json")
    total = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    return total.get("usd") or 0.0, total.get("requests", 0)


def kill_under_way(place: Place, bodies: Path, *argv: str) -> None:
    """Start a run, and kill -9 it once its request has arrived at the server; at a cap it ends by itself."""
    before = len(list(bodies.glob("*")))
    child = place.start(argv)
    wait_until(lambda: len(list(bodies.glob("*"))) > before or child.poll() is not None)
    child.send_signal(signal.SIGKILL)
    child.communicate()


def test_an_answer_that_kill_9_cut_is_counted_and_the_cap_holds(place: Place, tmp_path: Path) -> None:
    prices = ("--set", "price.input=1000", "--set", "budget.session_usd=9", "-y")
    bodies = tmp_path / "bodies"
    with mock(place, place.tape(SLOW), bodies) as url:
        kill_under_way(place, bodies, "--base-url", url, *prices, "-p", "try 0")
        assert spent(place)[1] == 1
        each = spent(place)[0]
        assert 2 < each < 9
        for number in range(1, 5):
            kill_under_way(place, bodies, "--base-url", url, *prices, "-c", "-p", f"try {number}")
        done = place.run("--base-url", url, *prices, "-c", "--output-format", "json", "-p", "more")
        assert json.loads(done.stdout)["status"] == "budget"
    sent = len(list(bodies.iterdir()))
    assert sent * each <= 9 + each
    assert spent(place)[1] == sent


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_that_a_signal_cut_before_its_first_word_is_counted(
    place: Place, tmp_path: Path, number: int
) -> None:
    bodies = tmp_path / "bodies"
    silent = {"say": "word", "fault": {"stall": 0}}
    flags = ("--set", "price.input=1000", "--output-format", "json", "-p", "go")
    with mock(place, place.tape(silent), bodies) as url:
        child = place.start(["--base-url", url, *flags])
        wait_until(lambda: bodies.is_dir() and any(bodies.iterdir()))
        child.send_signal(number)
        result = json.loads(child.communicate(timeout=30)[0])
    assert (result["status"], child.returncode) == ("interrupted", 128 + number)
    assert spent(place) == (result["cost_usd"], 1)
    assert 2 < result["cost_usd"] < 9


ANSWER = {"repeat": 50, "say": "a", "calls": [{"name": "list_files", "args": {}}], "pace": {"chunk": 1, "delay_s": 0.3}}
LAST = {"if": {"note_contains": "last answer"}, "repeat": 9, "say": "Half of it is done."}


def test_three_processes_at_once_pass_the_days_cap_by_one_answer_at_most(place: Place, tmp_path: Path) -> None:
    usage = {"input": 2_000, "output": 0, "cached": 0}
    answer, last = {**ANSWER, "usage": usage}, {**LAST, "usage": usage}
    flags = ("--set", "price.input=1000", "--set", "budget.day_usd=40", "-y", "--output-format", "json", "-p", "go")
    with mock(place, place.tape(last, answer), tmp_path / "bodies") as url:
        runs = [place.start(["--base-url", url, *flags]) for _ in range(3)]
        ended = [json.loads(run.communicate(timeout=100)[0]) for run in runs]
    assert {each["status"] for each in ended} == {"budget"}
    usd, requests = spent(place)
    assert usd == sum(each["cost_usd"] for each in ended) == 2.0 * requests
    assert 30 <= usd <= 40 + 2


def test_what_removed_sessions_paid_still_counts_for_the_day(place: Place) -> None:
    model = place.tape({"repeat": 9, "say": "hi", "usage": {"input": 1_000, "output": 0}})
    flags = ("-m", model, "--set", "price.input=1000", "--set", "budget.day_usd=30", "--output-format", "json")
    assert json.loads(place.run(*flags, "-p", "one").stdout)["status"] == "done"
    before = spent(place)
    assert place.run("sessions", "rm", "last").returncode == 0
    assert spent(place) == before == (1.0, 1)
    more = json.loads(place.run(*flags, "--set", "budget.day_usd=1.5", "-p", "two").stdout)
    assert (more["status"], more["cost_usd"]) == ("budget", 0)
