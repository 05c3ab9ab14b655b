"""A run that is killed (kill -9), and what the next one knows of it."""

import json
from typing import Any

from tests.cli.conftest import Place, wait_until


def recorded(place: Place, kind: str) -> list[dict[str, Any]]:
    """The events of this type in the only log."""
    (log,) = place.logs()
    events = (json.loads(line)["event"] for line in log.read_text().splitlines())
    return [event for event in events if event["type"] == kind]


def call(name: str, **arguments: str) -> dict[str, Any]:
    return {"calls": [{"name": name, "args": arguments}]}


def test_after_a_kill_amid_a_command_the_model_is_told_what_that_command_changed(place: Place) -> None:
    (place.root / ".gitignore").write_text(".begun\n")
    (place.root / "calc.py").write_text("print(1)\n")
    last = "echo start > started.txt; sed -i 's/1/2/' calc.py; touch .begun; sleep 97"
    model = place.tape(
        call("write_file", path="new.txt", content="x\n"),
        call("shell", command="rm new.txt"),
        call("shell", command=last),
        {"say": "I see."},
    )
    running = place.start(["-m", model, "-y", "-p", "go"])
    wait_until((place.root / ".begun").exists)
    running.kill()
    running.communicate(timeout=30)
    again = place.run("-m", model, "-r", "last", "-p", "go on")
    assert again.returncode == 0, again.stderr
    (settled,) = recorded(place, "Recovered")[-1]["calls"]
    assert settled["changed"] == ["calc.py", "started.txt"]
