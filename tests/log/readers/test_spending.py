"""What all sessions spent, read from real logs: forks, torn lines, other processes, files that are no logs."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kimi_agent.log.events import Dispatched, Durable, Opened, Said, Spent, Unanswered
from kimi_agent.log.messages import Assistant, Usage, user_message
from kimi_agent.log.readers.spending import (
    Payment,
    SpendingReader,
    estimate_cut_request,
    find_cut_requests,
    find_local_midnight,
)
from kimi_agent.log.sessions import Sessions
from kimi_agent.log.store.session import Session

MONDAY = 1_795_000_000.0


class Days:
    """A state folder whose clock is set by hand; files get the time of the clock."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.now = MONDAY
        self.spending = SpendingReader(state)

    def sessions(self, workspace: Path) -> Sessions:
        return Sessions(self.state, workspace, now=lambda: self.now, rng=random.Random(str(workspace)))

    def open(self, workspace: Path) -> Session:
        return self.sessions(workspace).create(model="kimi-k2.6", version="0.1", system="long " * 10_000)

    def tell(self, session: Session, *events: Durable) -> None:
        for event in events:
            session.emit(event)
        os.utime(session.path, (self.now, self.now))

    def paid(self, since: float = 0.0) -> list[tuple[str, float | None]]:
        return [(each.session, each.usd) for each in self.spending.since(since)]


@pytest.fixture
def days(tmp_path: Path) -> Days:
    return Days(tmp_path / "state of mine")


def spent(usd: float | None, tokens: int = 100) -> Spent:
    return Spent("kimi-k2.6", Usage(tokens, 10, 50, 5), usd)


def test_where_nothing_was_ever_spent_there_is_nothing(days: Days) -> None:
    assert days.spending.since(0) == []
    assert days.spending.others(0, "x") == (0.0, 0)


def test_every_payment_of_every_workspace_is_found_with_all_that_is_known_of_it(days: Days, tmp_path: Path) -> None:
    one, two = days.open(tmp_path / "ü a"), days.open(tmp_path / "b")
    days.tell(one, Said(user_message("hi")), spent(0.25), Said(Assistant('"event":{"type":"Spent","usd":9}\n')))
    days.now += 60
    days.tell(two, Spent("kimi-k3", Usage(7, 3), None, "compaction", estimated=True))
    assert days.spending.since(0) == [
        Payment(
            MONDAY, one.id, str(tmp_path / "ü a"), "main", "kimi-k2.6", Usage(100, 10, 50, 5), 0.25, "answer", False
        ),
        Payment(MONDAY + 60, two.id, str(tmp_path / "b"), "main", "kimi-k3", Usage(7, 3), None, "compaction", True),
    ]
    assert days.spending.others(0, one.id) == (0.0, 10)
    assert days.spending.others(0, two.id) == (0.25, 110)
    one.close()
    two.close()


def test_only_what_was_paid_since_then_counts(days: Days, tmp_path: Path) -> None:
    session = days.open(tmp_path)
    days.tell(session, spent(1.0))
    days.now += 86_400
    assert days.paid(days.now) == []
    days.tell(session, spent(2.0))
    assert days.paid(days.now) == [(session.id, 2.0)]
    assert days.paid() == [(session.id, 1.0), (session.id, 2.0)]
    session.close()


def test_asking_again_reads_only_what_is_new(days: Days, tmp_path: Path) -> None:
    session = days.open(tmp_path)
    for cents in range(1, 6):
        days.tell(session, spent(cents / 100), Said(user_message("more")))
        assert [usd for _, usd in days.paid()] == [each / 100 for each in range(1, cents + 1)]
    # What was read is not read again: it may even be gone, as long as the file is the same.
    with session.path.open("r+b") as file:
        file.write(b"X" * 200)
    assert len(days.paid()) == 5
    assert len(Days(days.state).paid()) == 5
    session.close()


def test_a_line_that_is_still_being_written_counts_when_it_is_whole(days: Days, tmp_path: Path) -> None:
    session = days.open(tmp_path)
    days.tell(session, spent(1.0), spent(2.0))
    session.close()
    whole = session.path.read_bytes()
    for cut in range(len(whole) - 250, len(whole), 13):
        session.path.write_bytes(whole[:cut])
        before = days.paid()
        assert before in ([(session.id, 1.0)], [])
        with session.path.open("ab") as file:
            file.write(whole[cut:])
        assert days.paid() == [(session.id, 1.0), (session.id, 2.0)]
        days.spending = SpendingReader(days.state)


def test_damage_costs_one_line_alone(days: Days, tmp_path: Path) -> None:
    session = days.open(tmp_path)
    days.tell(session, spent(1.0), spent(2.0), spent(3.0))
    session.close()
    lines = session.path.read_bytes().splitlines(keepends=True)
    flipped = lines[2].replace(b'"usd":2.0', b'"usd":8.0')
    session.path.write_bytes(b"".join([lines[0], lines[1].rstrip(b"\n"), flipped, b"\xff\x00 no record\n", lines[3]]))
    assert [usd for _, usd in days.paid()] == [1.0, 3.0]


def test_a_fork_does_not_pay_again_for_what_it_copied(days: Days, tmp_path: Path) -> None:
    sessions = days.sessions(tmp_path)
    source = days.open(tmp_path)
    days.tell(source, spent(1.0))
    days.now += 60
    copy = sessions.fork(source.id)
    days.tell(source, spent(2.0))
    days.tell(copy, spent(3.0))
    again = sessions.fork(copy.id)
    days.tell(again, spent(4.0))
    expected = [(source.id, 1.0), (source.id, 2.0), (copy.id, 3.0), (again.id, 4.0)]
    assert sorted(days.paid(), key=lambda each: each[1] or 0) == expected
    assert days.spending.others(0, copy.id) == (7.0, 330)
    for session in (source, copy, again):
        session.close()
    sessions.remove(source.id)
    # What was paid stays, and the copies of the first payment still count as one.
    assert sorted(days.paid(), key=lambda each: each[1] or 0) == expected
    assert sorted(Days(days.state).paid(), key=lambda each: each[1] or 0) == expected


def test_a_request_whose_process_was_killed_counts_by_its_estimate_until_it_is_booked(
    days: Days, tmp_path: Path
) -> None:
    sessions, sent = days.sessions(tmp_path), Dispatched("kimi-k2.6", 2_000, 2.5)
    session = days.open(tmp_path)
    days.tell(session, sent, spent(1.0), sent, Unanswered(), sent)
    open_one = Payment(
        MONDAY, session.id, str(tmp_path), "main", "kimi-k2.6", Usage(2_000), 2.5, "answer", estimated=True, open=True
    )
    assert days.spending.since(0)[-1] == open_one
    assert days.paid() == [(session.id, 1.0), (session.id, 2.5)]
    session.close()
    copy = sessions.fork(session.id)  # the cut request is its original's
    log = list(copy.events())
    assert find_cut_requests(log) == []
    copy.close()
    for _ in range(2):  # booked once
        resumed = sessions.resume(session.id)
        days.tell(resumed, *map(estimate_cut_request, find_cut_requests(resumed.take_past())))
        resumed.close()
    assert sorted(days.paid()) == sorted(Days(days.state).paid()) == [(session.id, 1.0), (session.id, 2.5)]
    assert [each.open for each in days.spending.since(0)] == [False, False]


def test_what_was_paid_is_kept_of_a_removed_session_and_nothing_that_was_said(days: Days, tmp_path: Path) -> None:
    session = days.open(tmp_path)
    days.tell(session, Said(user_message("a secret of mine")), spent(1.0), Dispatched("kimi-k2.6", 100, 2.0))
    child = Session.create(session.folder, session.opened, now=lambda: days.now, agent="main.1")
    days.tell(child, spent(4.0))
    for each in (session, child):
        each.close()
    said = days.open(tmp_path)
    days.tell(said, Said(user_message("nothing was paid here")))
    said.close()
    sessions = days.sessions(tmp_path)
    for id in (session.id, said.id):
        sessions.remove(id)
    assert sorted(days.paid()) == sorted(Days(days.state).paid()) == [(session.id, usd) for usd in (1.0, 2.0, 4.0)]
    kept = [path for path in (days.state / "spending").rglob("*") if path.is_file()]
    assert sorted(path.name for path in kept) == ["main.1.jsonl", "main.jsonl"]
    assert not any("secret" in path.read_text() or "long" in path.read_text() for path in kept)


def test_sub_agents_beside_the_main_log_count(days: Days, tmp_path: Path) -> None:
    session = days.open(tmp_path)
    days.tell(session, spent(1.0))
    child = Session.create(session.folder, session.opened, now=lambda: days.now, agent="main.1")
    days.tell(child, spent(1.0))
    assert [(each.agent, each.usd) for each in days.spending.since(0)] == [("main", 1.0), ("main.1", 1.0)]
    child.close()
    session.close()


def test_a_log_that_was_replaced_is_read_anew(days: Days, tmp_path: Path) -> None:
    session = days.open(tmp_path)
    days.tell(session, spent(1.0), spent(2.0))
    assert len(days.paid()) == 2
    session.path.unlink()
    days.tell(session, spent(3.0))  # the session writes its log anew
    assert [usd for _, usd in days.paid()] == [1.0, 2.0, 3.0]
    session.close()
    other = days.open(tmp_path / "other")
    days.tell(other, *[spent(9.0)] * 9)
    other.close()
    other.path.rename(session.path)  # another file, and a longer one
    assert [usd for _, usd in days.paid()] == [9.0] * 9
    days.sessions(tmp_path).remove(session.id)
    assert [usd for _, usd in days.paid()] == [9.0] * 9  # kept


def test_what_is_no_log_is_passed_over(days: Days, tmp_path: Path) -> None:
    session = days.open(tmp_path)
    days.tell(session, spent(1.0))
    session.close()
    folder = session.folder
    (folder / "debug.jsonl").write_bytes(session.path.read_bytes().replace(b'{"v":1', b'{"x":1'))
    (folder / "empty.jsonl").touch()
    (folder / "link.jsonl").symlink_to("main.jsonl")
    (folder / "folder.jsonl").mkdir()
    os.mkfifo(folder / "pipe.jsonl")
    (folder.parent / ".half.new").mkdir()
    (folder.parent / ".half.new" / "main.jsonl").write_bytes(session.path.read_bytes())
    (folder.parent / "file").write_text("x")
    (folder.parent / "linked").symlink_to(folder)
    assert days.paid() == [(session.id, 1.0)]
    assert days.paid() == [(session.id, 1.0)]


WRITER = """
import random, sys, time
from pathlib import Path
from kimi_agent.log.events import Spent
from kimi_agent.log.messages import Usage
from kimi_agent.log.sessions import Sessions

sessions = Sessions(Path(sys.argv[1]), Path(sys.argv[2]), now=time.time, rng=random.Random())
session = sessions.create(model="kimi-k2.6", version="0.1")
for _ in range(200):
    session.emit(Spent("kimi-k2.6", Usage(10), 0.01))
session.close()
"""


def test_two_processes_write_while_a_third_adds_up(days: Days, tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(days.state), str(tmp_path / name)], cwd=Path.cwd())
        for name in ("a", "b")
    ]
    seen = [0.0]
    began = time.time()
    while any(writer.poll() is None for writer in writers):
        seen.append(days.spending.others(find_local_midnight(began), "mine")[0])
    assert [writer.wait(30) for writer in writers] == [0, 0]
    assert seen == sorted(seen)
    usd, tokens = days.spending.others(find_local_midnight(began), "mine")
    assert (round(usd, 6), tokens) == (4.0, 4_000)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"])
def test_a_day_begins_at_local_midnight(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for hour in range(0, 24 * 366, 5):
            now = MONDAY + hour * 3_600
            at = find_local_midnight(now)
            assert time.localtime(at)[3:6] == (0, 0, 0)
            assert time.localtime(at)[:3] == time.localtime(now)[:3]
            assert 0 <= now - at < 25 * 3_600
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.long
def test_asking_again_among_a_thousand_sessions_is_quick(
    days: Days, tmp_path: Path, write_log: Callable[[Path, list[Durable]], Path]
) -> None:
    folder = days.sessions(tmp_path).folder
    for number in range(1_000):
        opened = Opened(f"s{number}", str(tmp_path), "kimi-k2.6", "0.1")
        write_log(folder / f"s{number}", [opened, *[spent(0.01)] * 5])
    assert len(days.spending.since(0)) == 5_000
    began = time.perf_counter()
    for _ in range(10):
        days.spending.others(0, "x")
    assert (time.perf_counter() - began) / 10 < 1.0  # a generous guard; measured 0.03 s
