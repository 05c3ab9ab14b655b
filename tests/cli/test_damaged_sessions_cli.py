"""Sessions whose files a person copied, moved, converted or lost, as the commands show them."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kimi_agent.printable import format_time
from tests.cli.conftest import Place
from tests.golden_texts import Golden


def say(place: Place, prompt: str, *flags: str) -> dict[str, object]:
    """The result of a run that says `prompt`."""
    model = place.tape({"say": "fin", "repeat": True})
    done = place.run(*flags, "-p", prompt, "-m", model, "--output-format", "json")
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def session_of(place: Place, prompt: str) -> Path:
    """The folder of a new session in which `prompt` was said."""
    before = set(place.logs())
    say(place, prompt)
    [log] = set(place.logs()) - before
    return log.parent


@pytest.mark.parametrize(
    "change", [lambda log: log.replace(b"\n", b"\r\n"), lambda log: log.replace(b"\n", b" ")], ids=["CRLF", "blanks"]
)
def test_a_log_of_other_line_ends_is_the_same_session_to_all(place: Place, change: Callable[[bytes], bytes]) -> None:
    log = session_of(place, "seek the needle") / "main.jsonl"
    log.write_bytes(change(log.read_bytes()))
    name = log.parent.name
    [row] = [json.loads(line) for line in place.run("sessions", "list", "--json").stdout.splitlines()]
    assert (row["id"], row["turns"], row["title"], row["damaged"]) == (name, 1, "seek the needle", None)
    assert "user: seek the needle" in place.run("sessions", "search", "needle").stdout
    assert "seek the needle" in place.run("sessions", "show", name).stdout
    assert len(json.loads(place.run("sessions", "export", name, "--format", "json").stdout)) > 3
    assert say(place, "go on", "-c")["session_id"] == name
    assert say(place, "go on", "-r", name, "--fork-session")["session_id"] != name
    assert "    2 turns  seek the needle" in place.run("sessions", "list").stdout
    assert place.run("sessions", "rm", name).stdout == f"removed {name}  seek the needle\n"


@pytest.mark.parametrize("how", [shutil.copytree, shutil.move], ids=["cp", "mv"])
def test_a_session_is_called_as_its_folder_is(place: Place, how: Callable[[Path, Path], object]) -> None:
    folder = session_of(place, "first words")
    again = folder.with_name("renamed")
    how(folder, again)
    assert place.run("sessions", "show", "renamed").stdout.startswith(
        "# Session renamed\n\nA copy of this one:\n\n# Session "
    )

    assert say(place, "to the copy", "-r", "renamed")["session_id"] == "renamed"
    text = place.run("-r", "renamed", "-p", "more", "-m", place.tape({"say": "fin"}))
    assert "kimi-agent -r renamed" in text.stdout + text.stderr
    assert folder.name not in text.stdout + text.stderr
    shown = place.run("sessions", "show", "renamed").stdout
    assert f"forked from {folder.name}" in shown
    assert [word in shown for word in ("first words", "to the copy", "more")] == [True] * 3
    # It was said once, at the first resume.
    assert shown.count("# Session ") == 2
    if folder.exists():
        assert "to the copy" not in place.run("sessions", "show", folder.name).stdout
        assert say(place, "to the first", "-r", folder.name)["session_id"] == folder.name


def test_a_session_that_was_copied_is_paid_for_once(place: Place) -> None:
    folder = session_of(place, "first words")

    def paid() -> dict[str, int]:
        rows = map(json.loads, place.run("stats", "--since", "all", "--by", "session", "--json").stdout.splitlines())
        return {row["session"]: row["requests"] for row in rows if "session" in row}

    assert paid() == {folder.name: 1}
    shutil.copytree(folder, folder.with_name("copy"))
    assert paid() == {folder.name: 1}
    say(place, "to the copy", "-r", "copy")
    assert paid() == {folder.name: 1, "copy": 1}


def test_damaged_sessions_are_shown_refused_and_removed(place: Place, golden: Golden) -> None:
    first, second = session_of(place, "first"), session_of(place, "second")
    (first / "main.jsonl").write_bytes(b"")
    lost = first.with_name("20200102-030405-abcd")
    (lost / "blobs").mkdir(parents=True)
    pipe = first.with_name("pipe")
    pipe.mkdir()
    os.mkfifo(pipe / "main.jsonl")
    for folder in (first, lost, pipe):
        os.utime(folder, (1_600_000_000, 1_600_000_000))
    os.utime(first / "main.jsonl", (1_600_000_000, 1_600_000_000))
    os.utime(pipe / "main.jsonl", (1_600_000_000, 1_600_000_000))
    names = {"FIRST": first.name, "WHEN": format_time(1_600_000_000)}

    rows = [json.loads(line) for line in place.run("sessions", "list", "--json").stdout.splitlines()]
    assert [row["damaged"] for row in rows if row["id"] == lost.name] == ["its log is missing"]
    said = ["\n".join(place.run("sessions", "list").stdout.splitlines()[1:])]
    for argv in (
        *(("-r", lost.name, "-p", "x"), ("-r", first.name, "-p", "x", "--fork-session"), ("diff", "-s", "pipe")),
        *(("sessions", "show", "pipe"), ("sessions", "export", first.name), ("evidence", lost.name)),
    ):
        refused = place.run(*argv, "-m", place.tape({"say": "fin"})) if "-p" in argv else place.run(*argv)
        assert refused.returncode in (1, 2), argv
        assert "Traceback" not in refused.stderr
        said.append(f"{' '.join(argv)}\n  {refused.stderr.strip()}")
    assert place.run("sessions", "search", "--all", "first").returncode == 0
    assert say(place, "on", "-c")["session_id"] == second.name
    removed = place.run("sessions", "rm", first.name, lost.name, "pipe")
    golden(*said, removed.stdout.rstrip(), **names)
    assert not {first.name, lost.name, "pipe"} & {path.name for path in first.parent.iterdir()}
