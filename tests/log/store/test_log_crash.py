"""Crashes, kills, full disks, damage and races: no complete record is ever lost, and the next request is valid."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kimi_agent
from kimi_agent.errors import UserError
from kimi_agent.log.events import Durable, Opened, Said, Stamped
from kimi_agent.log.messages import Assistant, Message, user_message
from kimi_agent.log.store.log_scan import read_events
from kimi_agent.log.store.session import Session

Clock = Callable[[], float]
WriteLog = Callable[[Path, list[Durable]], Path]
Check = Callable[[Sequence[Message]], None]
ROOT = Path(kimi_agent.__file__).parent.parent


def nothing(fd: int) -> None:
    """A sync that waits for no disk."""


def whole_records(log: bytes, cut: int) -> int:
    """How many records of a log are whole in its first `cut` bytes; the newline is not part of one."""
    ends = accumulate(len(line) for line in log.splitlines(keepends=True))
    return sum(end - 1 <= cut for end in ends)


def survives_a_double_crash(
    path: Path, log: bytes, written: list[Stamped], cuts: tuple[int, int], assert_valid: Check
) -> None:
    """Cut the log, resume, say something, cut what was said, resume again."""
    cut, second_cut = cuts
    path.write_bytes(log[:cut])
    kept = written[: whole_records(log, cut)]
    if not kept:
        with pytest.raises(UserError, match="no whole record"):
            Session.resume(path.parent, now=lambda: 1.0)
        return
    session = Session.resume(path.parent, now=lambda: 1.0, sync=nothing)
    assert list(session.events())[: len(kept)] == kept
    assert_valid(session.conversation.messages())
    session.emit(Said(user_message("go on")))
    assert_valid(session.conversation.messages())
    session.close()

    grown = path.read_bytes()
    cut = max(min(cut, len(grown)), len(grown) - second_cut)
    path.write_bytes(grown[:cut])
    session = Session.resume(path.parent, now=lambda: 1.0, sync=nothing)
    events = list(session.events())
    assert events[: len(kept)] == kept
    assert len(events) - (session.recovered is not None) == whole_records(grown, cut)
    assert_valid(session.conversation.messages())
    session.emit(Said(Assistant("here I am")))
    assert session.conversation.messages()[-1] == Assistant("here I am")
    assert_valid(session.conversation.messages())
    session.close()
    assert not path.with_name("main.lock").exists()


def edges(log: bytes) -> Iterable[int]:
    """The places of each line where a cut may mean something else than in the middle."""
    start = 0
    for line in log.splitlines(keepends=True):
        for within in (0, 1, 8, 14, 22, 24, len(line) // 2, len(line) - 3, len(line) - 2, len(line) - 1):
            yield start + within
        start += len(line)
    yield start


def test_a_crash_at_the_edges_of_every_record_loses_no_whole_one(
    tmp_path: Path, rich_events: list[Durable], write_log: WriteLog, assert_valid: Check
) -> None:
    path = write_log(tmp_path / "s", rich_events)
    log, written = path.read_bytes(), list(read_events(path))
    for nth, cut in enumerate(edges(log)):
        survives_a_double_crash(path, log, written, (cut, nth * 7 % 260), assert_valid)


def test_a_crash_anywhere_twice_loses_no_whole_record(
    tmp_path: Path, rich_events: list[Durable], write_log: WriteLog, assert_valid: Check
) -> None:
    path = write_log(tmp_path / "s", rich_events)
    log, written = path.read_bytes(), list(read_events(path))

    @settings(max_examples=80, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, len(log)), st.integers(0, 300))
    def crash(cut: int, second_cut: int) -> None:
        survives_a_double_crash(path, log, written, (cut, second_cut), assert_valid)

    crash()


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_a_crash_at_every_byte_loses_no_whole_record(
    tmp_path: Path, rich_events: list[Durable], write_log: WriteLog, assert_valid: Check
) -> None:
    path = write_log(tmp_path / "s", rich_events)
    log, written = path.read_bytes(), list(read_events(path))
    for cut in range(len(log) + 1):
        survives_a_double_crash(path, log, written, (cut, cut % 260), assert_valid)


def test_a_flipped_bit_costs_no_more_than_its_own_record(
    tmp_path: Path, rich_events: list[Durable], write_log: WriteLog, assert_valid: Check
) -> None:
    path = write_log(tmp_path / "s", rich_events)
    log, written = path.read_bytes(), list(read_events(path))
    lines = log.splitlines(keepends=True)
    starts = [sum(map(len, lines[:n])) for n in range(len(lines))]
    newlines = [start + len(line) - 1 for start, line in zip(starts, lines, strict=True)]
    rng = random.Random(7)
    for at in [*newlines, *starts, *rng.sample(range(len(log)), 300)]:
        flipped = bytearray(log)
        flipped[at] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        own = None if at in newlines else max(n for n, start in enumerate(starts) if start <= at)
        assert list(read_events(path)) == [record for n, record in enumerate(written) if n != own], at
        if at % 8 == 0 or at in newlines[-2:]:
            session = Session.resume(path.parent, now=lambda: 1.0, sync=nothing)
            assert_valid(session.conversation.messages())
            # A flip in the version's digit makes it a record of a newer version: passed over too, but no damage.
            told = session.recovered is not None or session.unknown > 0
            # Another blank for the last newline costs nothing; any other byte is the torn beginning of a record.
            torn = at == newlines[-1] and bytes(flipped[at:]).strip() != b""
            assert told == (own is not None or torn)
            session.close()


WRITER = """
import os, sys, time
from pathlib import Path
from kimi_agent.log.events import Opened, Returned, Said, TurnEnded
from kimi_agent.log.messages import user_message
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import Result
folder = Path(sys.argv[1])
if folder.exists():
    session = Session.resume(folder, now=time.time, sync=lambda fd: None)
else:
    session = Session.create(folder, Opened("s", "/w", "k", "0"), now=time.time, sync=lambda fd: None)
while True:
    for event in (Said(user_message("go")), Returned(1, 0, Result("r" * 3000)), TurnEnded("done", 1)):
        os.write(1, b"%d\\n" % session.emit(event).seq)
"""


def python(script: str, *args: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
    )


def test_kill_9_loses_nothing_that_was_acknowledged_and_frees_the_lock(tmp_path: Path, assert_valid: Check) -> None:
    rng, acknowledged = random.Random(11), 0
    for _ in range(8):
        with python(WRITER, tmp_path / "s") as writer:
            assert writer.stdout is not None
            for _ in range(rng.randrange(1, 120)):
                acknowledged = int(writer.stdout.readline())
            with pytest.raises(UserError, match=f"in use by pid {writer.pid} since"):
                Session.resume(tmp_path / "s", now=lambda: 1.0)
            os.kill(writer.pid, signal.SIGKILL)
            tail = writer.stdout.read().splitlines(keepends=True)
            acknowledged = max([acknowledged, *(int(line) for line in tail if line.endswith(b"\n"))])
        seqs = [stamped.seq for stamped in read_events(tmp_path / "s" / "main.jsonl")]
        assert seqs == list(range(1, len(seqs) + 1))
        assert seqs[-1] >= acknowledged
    session = Session.resume(tmp_path / "s", now=lambda: 1.0)
    assert_valid(session.conversation.messages())
    session.close()


OPENER = """
import sys, time
from pathlib import Path
from kimi_agent.errors import UserError
from kimi_agent.log.store.session import Session
sys.stdin.readline()
try:
    session = Session.resume(Path(sys.argv[1]), now=time.time)
except UserError as error:
    print(error, flush=True)
else:
    print("mine", flush=True)
    sys.stdin.readline()
"""


def test_of_two_processes_that_race_for_a_session_one_gets_it(
    tmp_path: Path, rich_events: list[Durable], write_log: WriteLog, assert_valid: Check
) -> None:
    write_log(tmp_path / "s", rich_events)
    with python(OPENER, tmp_path / "s") as one, python(OPENER, tmp_path / "s") as two:
        both = (one, two)
        for opener in both:
            assert opener.stdin is not None
            opener.stdin.write(b"\n")
            opener.stdin.flush()
        said_ = [opener.stdout.readline().decode() for opener in both if opener.stdout is not None]
        for opener in both:
            opener.communicate(b"\n")
    assert sorted(line.startswith("mine") for line in said_) == [False, True]
    assert "in use by" in "".join(said_)


FULL_DISK = """
import json, resource, signal, sys, time
from pathlib import Path
from kimi_agent.log.events import Opened, Partial, Notice, Said
from kimi_agent.log.messages import user_message
from kimi_agent.log.store.session import Session
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
notices = []
session = Session.create(Path(sys.argv[1]), Opened("s", "/w", "k", "0"), now=time.time)
session.listen(lambda s: notices.append(s.event.text) if isinstance(s.event, Notice) else None)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
unsaved, sizes = [], []
for n in range(8):
    session.emit(Said(user_message("x" * 1_500)))
    unsaved.append(session.unsaved)
    sizes.append(session.path.read_bytes().endswith(b"}}\\n"))
session.emit(Partial("y" * 100_000))
in_memory = [s.seq for s in session.events()]
other = Session.create(Path(sys.argv[1] + "2"), Opened("s2", "/w", "k", "0"), now=time.time)
other.emit(Partial("y" * 100_000))
halves = [path.name for path in (other.folder / "blobs").iterdir()]
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
session.emit(Said(user_message("room again")))
other.emit(Said(user_message("room again")))
events = [[s.seq for s in one.events()] for one in (session, other)]
print(json.dumps([notices, unsaved, all(sizes), in_memory, halves, events, session.unsaved + other.unsaved]))
session.close()
other.close()
"""


def test_a_full_disk_stops_neither_the_work_nor_the_history(tmp_path: Path) -> None:
    with python(FULL_DISK, tmp_path / "s") as writer:
        out, _ = writer.communicate(timeout=50)
    notices, unsaved, always_whole, in_memory, halves, events, left = json.loads(out)
    assert [text.partition(";")[0] for text in notices] == [
        "session not being saved: File too large",
        "session is being saved again (8 records written that waited)",
    ]
    assert unsaved == [0, 0, 1, 2, 3, 4, 5, 6]
    assert always_whole
    assert in_memory == list(range(1, 11))
    assert halves == []
    assert events == [list(range(1, 12)), [1, 2, 3]]
    assert left == 0
    session = Session.resume(tmp_path / "s", now=lambda: 1.0)
    assert session.recovered is None
    assert [stamped.seq for stamped in session.events()] == events[0]
    session.close()


def test_a_descriptor_of_the_log_is_not_inherited(tmp_path: Path, clock: Clock) -> None:
    session = Session.create(tmp_path / "s", Opened("s", "/w", "k", "0"), now=clock, sync=nothing)
    with python("import sys; print('up', flush=True); sys.stdin.read()") as child:
        assert child.stdout is not None
        child.stdout.readline()
        session.close()
        Session.resume(tmp_path / "s", now=clock, sync=nothing).close()
        child.communicate()
