"""Sessions, snapshots and trust that an older build wrote open in this one.

`older_build/` was written by the build of 2026-11 before its files and names were moved: a session that edits, tests,
goes back and forward and is killed in the middle of a command, its snapshots, a trusted folder; and a log with every
kind of record. It is never written anew.
"""

import json
import os
import re
import sys
from pathlib import Path
from subprocess import DEVNULL, CompletedProcess, run
from zlib import crc32

import pytest

from kimi_agent.layers import workspace_key
from kimi_agent.log.store.session import Session
from tests.log.conftest import rich_story, stamped
from tests.log.fold_helpers import fold_messages

OLD = Path(__file__).parent / "older_build"
WRITTEN_IN = "/tmp/old/ws"


class Older:
    """The state of the older build, as if it had been written in a workspace of this machine."""

    def __init__(self, folder: Path) -> None:
        run(["tar", "-xzf", OLD / "state.tar.gz", "-C", folder], check=True)
        self.root, self.state = (folder / "workspace").resolve(), folder / "state"
        for kind in ("sessions", "checkpoints"):
            (self.state / kind / workspace_key(Path(WRITTEN_IN))).rename(self.state / kind / workspace_key(self.root))
        trust = self.state / "trust.json"
        trust.write_text(trust.read_text().replace(WRITTEN_IN, str(self.root)))
        (self.session,) = (self.state / "sessions" / workspace_key(self.root)).iterdir()
        log = self.session / "main.jsonl"
        log.write_bytes(b"".join(map(self._moved, log.read_bytes().splitlines(keepends=True))))
        self.environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "KIMI_AGENT_HOME": str(folder),
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "LANG": "C.UTF-8",
        }

    def _moved(self, line: bytes) -> bytes:
        """A record with the workspace of this test: the checksum is of all that stands behind it."""
        head = re.match(rb'(\{"v":1,"crc":")([0-9a-f]{8})",', line)
        assert head is not None
        tail = line[head.end() : -1]
        assert int(head[2], 16) == crc32(tail)
        tail = tail.replace(WRITTEN_IN.encode(), str(self.root).encode())
        return b'%s%08x",%s\n' % (head[1], crc32(tail), tail)

    def kimi_agent(self, *argv: str) -> CompletedProcess[str]:
        """Run the program in the workspace."""
        command = [sys.executable, "-m", "kimi_agent", *argv]
        return run(command, cwd=self.root, env=self.environ, capture_output=True, stdin=DEVNULL, text=True, check=False)


@pytest.fixture
def older(tmp_path: Path) -> Older:
    return Older(tmp_path)


def test_every_kind_of_record_reads_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "main.jsonl").write_bytes((OLD / "every_record.jsonl").read_bytes())
    session = Session.resume(tmp_path / "s", now=lambda: 0.0, sync=lambda fd: None)
    try:
        found = [each for each in session.events() if each.seq <= len(rich_story())]
    finally:
        session.close()
    assert [each.event for each in found] == rich_story()
    assert fold_messages(found) == fold_messages(stamped(rich_story()))


def test_a_killed_session_goes_on(older: Older, tmp_path: Path) -> None:
    (tmp_path / "tape.jsonl").write_text(
        '{"when": "Go on", "expect": {"contains": ["Fix double", "I added more.py.", "Third: wait"]},'
        ' "calls": [{"name": "greet", "args": {}}]}\n'
        '{"when": "Go on", "expect": {"last_contains": "hello from the project"}, "say": "It goes on."}\n'
    )
    done = older.kimi_agent("-c", "-m", f"tape:{tmp_path / 'tape.jsonl'}", "-p", "Go on", "--output-format", "json")
    result = json.loads(done.stdout)
    assert (done.returncode, result["answer"], result["session_id"]) == (0, "It goes on.", older.session.name)
    assert "Cut off last time, and perhaps done: shell" in done.stderr


def test_its_snapshots_bring_files_back(older: Older) -> None:
    done = older.kimi_agent("rewind", older.session.name, "--to", "1", "--what", "code", "--yes")
    assert done.returncode == 0, done.stderr
    assert (older.root / "calc.py").read_text() == "def double(x):\n    return x + x + 1\n"
    assert not (older.root / "more.py").exists()
    assert older.kimi_agent("rewind", older.session.name, "--redo", "--yes").returncode == 0
    assert (older.root / "more.py").read_text() == "MORE = 1\n"


def test_it_is_listed_searched_and_judged(older: Older) -> None:
    assert "Fix double" in older.kimi_agent("sessions", "list").stdout
    assert older.session.name in older.kimi_agent("sessions", "search", "mended").stdout
    assert "NOT verified: no tests were run" in older.kimi_agent("evidence", older.session.name).stdout
