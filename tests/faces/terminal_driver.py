"""A person at a real pty: starts a program, presses keys, and waits for what the screen shows; never sleeps."""

import contextlib
import fcntl
import json
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pyte

PROGRAM = Path(__file__).with_name("repl_program.py")
ROOT = PROGRAM.parents[2]
SGR = re.compile(rb"\x1b\[[0-9;]*m")


class Terminal:
    """A program (the scripted REPL, unless another is given) on a pty. `raw` holds every byte that it wrote."""

    def __init__(
        self,
        state: Path,
        *given: str,
        columns: int = 80,
        rows: int = 24,
        program: Sequence[str] = (),
        cwd: Path | None = None,
        **environ: str,
    ) -> None:
        self.state = state
        self.raw = b""
        self.screen = pyte.HistoryScreen(columns, rows, history=100_000)
        self._stream = pyte.ByteStream(self.screen)
        env = {"PATH": os.environ["PATH"], "HOME": str(state), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        env |= {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"} | environ
        self.fd, self._far = os.openpty()
        self.resize(columns, rows)
        self.child = subprocess.Popen(
            [*(program or (sys.executable, str(PROGRAM), str(state))), *given],
            env=env, cwd=cwd, stdin=self._far, stdout=self._far, stderr=self._far, start_new_session=True,
        )  # fmt: skip

    def resize(self, columns: int, rows: int) -> None:
        """Another size of the window; the kernel says so to the program, once it has the terminal."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def press(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def shown(self) -> str:
        """Everything on the screen and above it, as a person reads it."""
        above = [[line[at] for at in range(self.screen.columns)] for line in self.screen.history.top]
        rows = ["".join(cell.data for cell in line).rstrip() for line in above]
        return "\n".join([*rows, *(row.rstrip() for row in self.screen.display)])

    def bottom(self) -> str:
        """What is on the screen now, without the empty rows at its end."""
        return "\n".join(row.rstrip() for row in self.screen.display).rstrip()

    def read(self) -> bool:
        """Take in what has been written, waiting for the next of it; False when the program is gone and silent."""
        until = time.monotonic() + 20
        while not select.select([self.fd], [], [], 0.05)[0]:
            if self.child.poll() is not None and not select.select([self.fd], [], [], 0)[0]:
                return False
            assert time.monotonic() < until, f"silent:\n{self.shown()}"
        data = os.read(self.fd, 65536)
        self.raw += data
        self._stream.feed(data)
        return True

    def until(self, *texts: str, gone: str = "") -> str:
        """Wait until all `texts` are on the screen or above it, and `gone` is not on the screen."""
        began = time.monotonic()
        while True:
            seen = self.shown()
            if all(text in seen for text in texts) and not (gone and gone in self.bottom()):
                return seen
            assert time.monotonic() - began < 25, f"never saw {texts} (without {gone!r}):\n{seen}"
            assert self.read(), f"ended before {texts}:\n{self.shown()}"

    def ready(self, *texts: str) -> str:
        """Wait for an empty prompt with no turn running, below `texts`."""
        return self.until(*texts, "›\n", gone="esc to interrupt")

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self.read():
            pass
        return self.child.wait()

    def log(self) -> list[tuple[str, str]]:
        """What the scripted agent wrote down."""
        path = self.state / "log.jsonl"
        return [(what, text) for what, text in map(json.loads, path.read_text().splitlines())] if path.exists() else []

    def until_logged(self, what: str, text: str = "") -> None:
        """Wait until the scripted agent wrote `what` (of `text`) down, with or without a sign on the screen."""
        until = time.monotonic() + 20
        while not any(each == what and text in words for each, words in self.log()):
            assert time.monotonic() < until, f"never logged {what}"
            if select.select([self.fd], [], [], 0.02)[0]:
                self.read()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, 9)
        self.child.wait()
        os.close(self.fd)
        os.close(self._far)
