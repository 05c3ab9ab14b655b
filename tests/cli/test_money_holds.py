"""Money is counted whatever ends a process, and the day's cap is one for all of them."""

import json
import signal
from pathlib import Path

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
