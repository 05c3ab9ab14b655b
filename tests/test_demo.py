"""The demo, whole: real git, real processes, real HTTP on loopback, real tests; only the model is a tape."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kimi_agent.demo.mock_process import copy_with_pace

ROOT = Path(__file__).resolve().parent.parent
TAPE = ROOT / "kimi_agent/demo/demo.jsonl"
DEMO = (sys.executable, "-P", "-m", "kimi_agent", "demo")
PATIENCE_S = 150
NOWHERE = "http://127.0.0.1:9"


pytestmark = pytest.mark.timeout(170)


@pytest.fixture
def temp(tmp_path: Path) -> Path:
    """Where the demo makes its folder: a path with spaces and letters that are not ASCII."""
    folder = tmp_path / "thé à la menthe ชา"
    folder.mkdir()
    return folder


def poor(temp: Path, **more: str) -> dict[str, str]:
    """Next to nothing of an environment: no HOME, no TERM, no locale, no git identity, a proxy that leads nowhere."""
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE)
    base = {"PATH": os.environ["PATH"], "LANG": "C", "TMPDIR": str(temp), "PYTHONPATH": str(ROOT), "CI": "1"}
    return base | proxies | more


def play(temp: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*DEMO, *words),
        env=poor(temp, **more),
        cwd=temp,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=PATIENCE_S,
        check=False,
    )


def test_the_demo_goes_from_red_to_green_with_one_line_changed(temp: Path) -> None:
    mine = {"GIT_DIR": "/nowhere", "KIMI_API_KEY": "sk-real", "KIMI_BASE_URL": NOWHERE, "PYTEST_ADDOPTS": "--no"}
    ran = play(temp, "--keep", **mine)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "  before   5 failed, 15 passed in" in ran.stdout
    assert "20 tests pass" in ran.stdout
    assert "  after    20 passed in" in ran.stdout
    assert "  changed  teapot/durations.py | 2 +-\n" in ran.stdout
    assert "\nGreen: the bug is fixed.\n" in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr
    (repository,) = temp.glob("*/teapot")
    assert ran.stdout.rstrip().endswith("/teapot")
    git = ("git", "-C", str(repository))
    assert subprocess.check_output((*git, "rev-list", "--count", "HEAD")) == b"1\n"
    assert subprocess.check_output((*git, "status", "--porcelain", "--ignored")) == b" M teapot/durations.py\n"
    diff = subprocess.check_output((*git, "diff", "-U0"), text=True).splitlines()
    assert diff[-2:] == ["-        if seconds > size:", "+        if seconds >= size:"]


@pytest.mark.long
def test_a_corrupted_patch_ends_red(temp: Path, tmp_path: Path) -> None:
    text = TAPE.read_text("utf-8")
    removed = "-        if seconds > size:"
    assert text.count(removed) == 1
    tape = tmp_path / "bad.jsonl"
    tape.write_text(text.replace(removed, "-        if seconds > sighs:"), "utf-8")
    ran = play(temp, "--tape", str(tape))
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "\nRed: kimi-agent ended with 1, the tests with 1 before and 1 after it." in ran.stdout
    assert "Green" not in ran.stdout
    assert list(temp.iterdir()) == []


@pytest.mark.long
def test_words_alone_do_not_make_it_green(temp: Path, tmp_path: Path) -> None:
    tape = tmp_path / "liar.jsonl"
    tape.write_text('{"say": "Fixed: all 20 tests pass."}\n')
    ran = play(temp, "--tape", str(tape))
    assert ran.returncode == 1
    assert "Red: kimi-agent ended with 0, the tests with 1 before and 1 after it." in ran.stdout


@pytest.mark.long
def test_a_tape_that_is_none_is_reported_in_one_sentence(temp: Path, tmp_path: Path) -> None:
    tape = tmp_path / "bad.jsonl"
    tape.write_text('{"sing": "la"}\n')
    ran = play(temp, "--tape", str(tape))
    assert ran.returncode == 78
    assert "Traceback" not in ran.stderr
    assert "bad.jsonl, line 1" in ran.stderr
    assert list(temp.iterdir()) == []


def test_without_git_it_says_so(temp: Path) -> None:
    ran = play(temp, PATH=str(temp))
    assert ran.returncode == 78
    assert ran.stderr.count("\n") == 1
    assert "needs git" in ran.stderr


def test_a_stopped_demo_leaves_no_process_and_no_folder(temp: Path, tmp_path: Path) -> None:
    tape = tmp_path / "slow.jsonl"
    tape.write_text('{"say": "I take my time.", "pace": {"chunk": 1, "delay_s": 60}}\n')
    demo = subprocess.Popen((*DEMO, "--tape", str(tape)), env=poor(temp), cwd=temp, stdout=subprocess.PIPE)
    assert demo.stdout is not None
    with demo.stdout as out:
        seen = b""
        while b"$ kimi-agent" not in seen:
            assert select.select([out], [], [], PATIENCE_S)[0]
            seen += os.read(out.fileno(), 4096)
        demo.send_signal(signal.SIGTERM)
        while os.read(
            out.fileno(), 4096
        ):  # ends when nobody holds the pipe any more: neither the demo nor its children
            assert select.select([out], [], [], PATIENCE_S)[0]
        assert demo.wait(PATIENCE_S) == 143
    assert list(temp.iterdir()) == []


def test_a_paced_tape_differs_in_its_pace_alone(tmp_path: Path) -> None:
    copy = copy_with_pace(TAPE, 45.0, tmp_path / "copy.jsonl")
    lines = [json.loads(line) for line in copy.read_text("utf-8").splitlines() if line.startswith("{")]
    original = [json.loads(line) for line in TAPE.read_text("utf-8").splitlines() if line.startswith("{")]
    assert [line.pop("pace") for line in lines] == [45.0] * len(lines)
    assert lines == original


def test_the_tape_names_no_place_of_a_machine() -> None:
    text = TAPE.read_text("utf-8")
    assert str(ROOT) not in text
    assert "/tmp" not in text
