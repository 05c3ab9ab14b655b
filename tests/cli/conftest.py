"""The program as a person runs it: a real process in a real folder, with a tape for a model."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.fork_server import ForkServer
from tests.faces.terminal_driver import Terminal

PROGRAM = (sys.executable, "-P", "-m", "kimi_agent")


@dataclass
class Place:
    """A workspace, a home, and a way to start the program in them."""

    root: Path
    home: Path
    env: dict[str, str]
    server: ForkServer

    def tape(self, *lines: Mapping[str, Any]) -> str:
        """A tape of these lines, as a `--model` value."""
        path = self.home / "tape.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return f"tape:{path}"

    def start(self, argv: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
        """The program as a child without a controlling terminal."""
        given: dict[str, Any] = {"cwd": self.root, "env": self.env, "stdin": subprocess.DEVNULL} | options
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
        child: subprocess.Popen[bytes] = subprocess.Popen([*PROGRAM, *argv], **pipes, **given)
        return child

    def launch(self, *argv: str, stdin: bytes = b"", **options: Any) -> "subprocess.CompletedProcess[str]":
        """Start the program by its command and let it end; output as text. Half a second of CPU: see `run`."""
        child = self.start(argv, stdin=subprocess.PIPE, **options)
        out, err = child.communicate(stdin, timeout=50)
        return subprocess.CompletedProcess(argv, child.returncode, out.decode(), err.decode())

    def run(
        self, *argv: str, stdin: bytes = b"", cwd: Path | str = "", env: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """The same forked off a process that has imported the program; a `launch` stands for each kind of exit."""
        return self.server.run(argv, cwd=cwd or self.root, env=env or self.env, stdin=stdin)

    def logs(self) -> list[Path]:
        """The logs of every session."""
        return sorted((self.home / "state/sessions").rglob("main.jsonl"))

    def has_asked(self) -> bool:
        """Whether a request to the model is under way, or was."""
        return any("Requested" in log.read_text() for log in self.logs())


def wait_until(holds: Callable[[], bool]) -> None:
    """Until what another process does can be seen; half a minute at most."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture
def place(tmp_path: Path, fork_server: ForkServer) -> Place:
    """An empty workspace and an empty home; nothing of the tester's own settings."""
    root, home = tmp_path / "wörk space", tmp_path / "home"
    root.mkdir()
    home.mkdir()
    env = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    source = str(Path(__file__).resolve().parents[2])
    return Place(root, home, {**env, "KIMI_AGENT_HOME": str(home), "PYTHONPATH": source, "LANG": "C"}, fork_server)


@pytest.fixture
def make_executable() -> Callable[[Path, str], None]:
    def made(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    return made


Start = Callable[..., Terminal]


@pytest.fixture
def start(place: Place) -> Iterator[Start]:
    """Start the program with these arguments in the workspace, on a terminal."""
    opened: list[Terminal] = []

    def started(*argv: str) -> Terminal:
        opened.append(Terminal(place.home, *argv, program=PROGRAM, cwd=place.root, KIMI_AGENT_HOME=str(place.home)))
        return opened[-1]

    yield started
    for each in opened:
        each.close()
