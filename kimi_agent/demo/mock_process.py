"""Mock server of the demo, started as a process of its own on loopback, and the end of such a process."""

import json
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from kimi_agent.errors import UserError

_START_S = 60.0


@contextmanager
def start_mock_server(argv: Sequence[str], env: Mapping[str, str]) -> Iterator[str]:
    """Run the mock server; gives its base URL. Raises UserError where it does not start."""
    server = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert server.stdout is not None
    try:
        first = _first_line(server.stdout.fileno())
        if not first.startswith("http://"):
            raise UserError(f"The demo's mock server did not start: {first or 'it said nothing'}", 78)
        yield first
    finally:
        end_process(server)
        server.stdout.close()


def end_process(process: subprocess.Popen[bytes]) -> None:
    """The process is gone after this; one that still runs is asked first."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def copy_with_pace(tape: Path, tokens_per_s: float, copy: Path) -> Path:
    """A copy of the tape at `copy` whose lines come at this speed, where they have none of their own."""
    lines = []
    for line in tape.read_bytes().split(b"\n"):
        try:
            value = json.loads(line)
        except ValueError:
            lines.append(line)  # a comment, or what the server will complain of
            continue
        lines.append(json.dumps({"pace": tokens_per_s, **value} if isinstance(value, dict) else value).encode())
    copy.write_bytes(b"\n".join(lines))
    return copy


def _first_line(fd: int) -> str:
    end = time.monotonic() + _START_S
    line = b""
    while b"\n" not in line and (left := end - time.monotonic()) > 0:
        if select.select([fd], [], [], left)[0]:
            block = os.read(fd, 4096)
            if not block:
                break
            line += block
    return line.decode("utf-8", "replace").split("\n")[0].strip()
