"""A session: stamping, saving, telling, locking, resuming."""

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from kimi_agent.errors import UserError
from kimi_agent.log.events import (
    CallStarted,
    Durable,
    Event,
    Notice,
    Opened,
    Partial,
    Progress,
    Recovered,
    Requested,
    Returned,
    Rewound,
    Said,
    Stamped,
    TextDelta,
    TurnEnded,
)
from kimi_agent.log.messages import Assistant, Call, user_message
from kimi_agent.log.store.codec import encode_record
from kimi_agent.log.store.fork import fork_session
from kimi_agent.log.store.lock import LockHolder, SessionInUse, SessionLock, is_holder_alive, read_lock_holder
from kimi_agent.log.store.log_scan import read_events
from kimi_agent.log.store.logfile import LogFile
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import Result

Clock = Callable[[], float]
WriteLog = Callable[[Path, list[Durable]], Path]
OPENED = Opened("s1", "/work", "kimi-k2.6", "0.1")


def nothing(fd: int) -> None:
    """A sync that waits for no disk."""


def create(folder: Path, clock: Clock) -> Session:
    return Session.create(folder, OPENED, now=clock, sync=nothing)


def resume(folder: Path, clock: Clock) -> Session:
    return Session.resume(folder, now=clock, sync=nothing)


def told(heard: list[Stamped]) -> list[str]:
    return [stamped.event.text for stamped in heard if isinstance(stamped.event, Notice)]


def test_a_session_is_read_back_as_it_was_told(tmp_path: Path, clock: Clock, rich_events: list[Durable]) -> None:
    session = Session.create(tmp_path / "s", OPENED, now=clock, sync=nothing)
    emitted = [session.emit(event) for event in rich_events]
    assert [stamped.seq for stamped in emitted] == list(range(2, len(rich_events) + 2))
    assert list(session.events())[1:] == emitted
    messages = session.conversation.messages()
    session.close()
    again = resume(tmp_path / "s", clock)
    assert list(again.events())[1:] == list(read_events(again.path))[1:] == emitted
    assert again.conversation.messages() == messages
    assert again.recovered is None
    again.close()


def test_the_log_comes_first_then_the_fold_then_the_listeners(tmp_path: Path, clock: Clock) -> None:
    session = create(tmp_path / "s", clock)
    heard: list[tuple[Stamped, int, int]] = []

    def listen(stamped: Stamped) -> None:
        heard.append((stamped, len(list(read_events(session.path))), len(session.conversation.messages())))

    session.listen(listen)
    first, delta = session.emit(Said(user_message("hi"))), session.emit(TextDelta("a"))
    assert heard == [(first, 2, 1), (delta, 2, 1)]
    assert (first.seq, delta.seq) == (2, 0)
    session.close()


def test_a_listener_that_raises_loses_nothing(tmp_path: Path, clock: Clock) -> None:
    session = create(tmp_path / "s", clock)
    heard: list[Event] = []

    def fail(stamped: Stamped) -> None:
        raise LookupError("a broken face")

    session.listen(fail)
    session.listen(lambda stamped: heard.append(stamped.event))
    with pytest.raises(LookupError, match="a broken face"):
        session.emit(Said(user_message("hi")))
    assert heard == [Said(user_message("hi"))]
    assert len(list(read_events(session.path))) == 2
    assert session.conversation.messages() == [user_message("hi")]
    session.close()


def test_only_its_owner_can_read_what_is_stored(tmp_path: Path, clock: Clock) -> None:
    old = os.umask(0)
    try:
        session = create(tmp_path / "state" / "sessions" / "w" / "s", clock)
        session.emit(Partial("x" * 70_000))
        session.close()
        with session.path.open("ab") as file:
            file.write(b'{"v":1,')
        resume(session.folder, clock)
    finally:
        os.umask(old)
    found = {path.relative_to(tmp_path): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert {path.suffix for path in found} == {"", ".jsonl", ".lock", ".torn"}
    for path, mode in found.items():
        assert mode == (0o700 if (tmp_path / path).is_dir() else 0o600), path


def test_the_log_is_never_opened_through_a_symlink(tmp_path: Path, clock: Clock) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "main.jsonl").symlink_to(elsewhere)
    session = create(tmp_path / "s", clock)
    assert session.unsaved == 1
    session.close()
    assert elsewhere.read_bytes() == b""
    with pytest.raises(UserError, match="cannot be opened"):
        resume(tmp_path / "s", clock)


def test_the_disk_is_waited_for_at_barriers_alone(tmp_path: Path) -> None:
    synced: list[int] = []
    session = Session.create(tmp_path / "s", OPENED, now=lambda: 1.0, sync=synced.append)
    counts = {}
    for event in (
        Requested("kimi", 1),
        Said(Assistant("a", calls=(Call("i", "f", "{}"),))),
        CallStarted(3, 0, "f", "read"),
        Returned(3, 0, Result("r")),
        Said(user_message("hi")),
        CallStarted(3, 0, "f", "execute"),
        TurnEnded("done", 1),
    ):
        session.emit(event)
        counts[event] = len(synced)
    assert list(counts.values()) == [0, 0, 0, 0, 1, 2, 3]
    session.close()


def test_records_between_barriers_are_synced_by_a_thread_of_its_own(tmp_path: Path) -> None:
    times = iter([0.0, 0.0, 1.0, 2.5, 2.6])  # the first is the lock's
    threads: list[threading.Thread] = []
    done = threading.Event()

    def sync(fd: int) -> None:
        os.fstat(fd)
        threads.append(threading.current_thread())
        done.set()

    session = Session.create(tmp_path / "s", OPENED, now=lambda: next(times), sync=sync)
    session.emit(Requested("kimi", 1))
    assert threads == []
    session.emit(Requested("kimi", 1))
    assert done.wait(20)
    assert threads[0] is not threading.current_thread()
    session.emit(Requested("kimi", 1))
    assert len(threads) == 1
    session.close()


def test_a_disk_that_cannot_sync_is_told_once(tmp_path: Path, clock: Clock) -> None:
    broken = [True]

    def sync(fd: int) -> None:
        if broken[0]:
            raise OSError(errno.EIO, "Input/output error")

    session = Session.create(tmp_path / "s", OPENED, now=clock, sync=sync)
    heard: list[Stamped] = []
    session.listen(heard.append)
    session.emit(Said(user_message("one")))
    session.emit(Said(user_message("two")))
    broken[0] = False
    session.emit(Said(user_message("three")))
    assert [text[:30] for text in told(heard)] == ["session not being saved: Input", "session is being saved again ("]
    assert len(list(read_events(session.path))) == 4
    session.close()


def test_work_goes_on_in_a_folder_that_cannot_be_made(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "state").write_text("a file in the way")
    session = create(tmp_path / "state" / "s", clock)
    heard: list[Stamped] = []
    session.listen(heard.append)
    session.emit(Said(user_message("hi")))
    session.emit(Progress(1, 0, "still here"))
    assert session.unsaved == 2
    assert [stamped.event for stamped in session.events()] == [OPENED, Said(user_message("hi"))]
    assert session.conversation.messages() == [user_message("hi")]
    (tmp_path / "state").unlink()
    session.emit(Said(Assistant("hello")))
    assert session.unsaved == 0
    assert [stamped.seq for stamped in read_events(session.path)] == [1, 2, 3]
    assert told(heard) == [
        "session not being saved: Not a directory; work goes on, records are kept in memory and written when possible",
        "session is being saved again (3 records written that waited)",
    ]
    session.close()


def test_what_could_not_be_saved_to_the_end_is_said_at_the_close(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "state").write_text("a file in the way")
    session = create(tmp_path / "state" / "s", clock)
    heard: list[Stamped] = []
    session.listen(heard.append)
    session.close()
    assert told(heard)[-1] == "1 records of the session could not be saved: Not a directory"


@pytest.mark.parametrize("vanish", ["file", "folder", "moved", "replaced"])
def test_a_log_that_someone_took_away_is_written_anew(tmp_path: Path, clock: Clock, vanish: str) -> None:
    session = create(tmp_path / "s", clock)
    session.emit(Said(user_message("one")))
    match vanish:
        case "file":
            session.path.unlink()
        case "folder":
            for path in session.folder.iterdir():
                path.unlink()
            session.folder.rmdir()
        case "moved":
            session.folder.rename(tmp_path / "away")
        case "replaced":
            session.path.unlink()
            session.path.write_text("someone else's\n")
    session.emit(Said(Assistant("two")))
    assert session.unsaved == 0
    assert [stamped.seq for stamped in read_events(session.path)] == [1, 2, 3]
    with pytest.raises(SessionInUse):
        resume(tmp_path / "s", clock)
    session.close()
    if vanish == "replaced":
        assert session.path.with_name("main.jsonl.replaced").read_text() == "someone else's\n"
    resume(tmp_path / "s", clock).close()


def test_a_log_deleted_before_the_close_is_there_afterwards(tmp_path: Path, clock: Clock) -> None:
    session = create(tmp_path / "s", clock)
    session.path.unlink()
    session.close()
    assert [stamped.event for stamped in read_events(session.path)] == [OPENED]


def test_two_sessions_never_fight_over_one_path(tmp_path: Path, clock: Clock) -> None:
    one = create(tmp_path / "s", clock)
    one.path.unlink()
    two = create(tmp_path / "s", clock)
    heard: list[Stamped] = []
    one.listen(heard.append)
    one.emit(Said(user_message("from one")))
    assert "another process put its own log in place of this one" in told(heard)[0]
    two.emit(Said(user_message("from two")))
    assert (one.unsaved, two.unsaved) == (1, 0)
    two.close()
    one.emit(Said(Assistant("again")))
    assert one.unsaved == 0
    one.close()


def test_a_second_opener_hears_who_has_the_session(tmp_path: Path) -> None:
    session = Session.create(tmp_path / "s1", OPENED, now=lambda: 86_400.0 * 365, sync=nothing)
    with pytest.raises(
        SessionInUse, match=rf"^session s1 is in use by pid {os.getpid()} since 197\d-.*--fork-session.*show s1"
    ):
        Session.resume(tmp_path / "s1", now=lambda: 1.0)
    with pytest.raises(UserError, match="in use"):
        Session.create(tmp_path / "s1", OPENED, now=lambda: 1.0)
    assert len(list(read_events(session.path))) == 1
    session.close()
    assert not (tmp_path / "s1" / "main.lock").exists()
    with pytest.raises(UserError, match="already there"):
        Session.create(tmp_path / "s1", OPENED, now=lambda: 1.0)
    Session.resume(tmp_path / "s1", now=lambda: 1.0).close()


def test_a_lock_on_a_file_that_was_just_replaced_is_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "main.jsonl"
    path.write_bytes(b"old\n")

    def replaced_meanwhile(fd: int, operation: int) -> None:
        if path.read_bytes() == b"old\n":
            path.rename(tmp_path / "old")
            path.write_bytes(b"new\n")
        fcntl.flock(fd, operation)

    lock = SessionLock(tmp_path / "main.lock", session="s", now=lambda: 1.0, flock=replaced_meanwhile)
    file = LogFile(path, lock, nothing)
    file.open()
    fd = os.open(path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    file.close()
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)


def no_flock(fd: int, operation: int) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_without_flock_the_pid_record_keeps_others_out(tmp_path: Path) -> None:
    record = tmp_path / "main.lock"
    lock = SessionLock(record, session="s", now=lambda: 1.0, flock=no_flock)
    lock.take(0)
    holder = read_lock_holder(record)
    assert holder is not None
    assert holder.pid == os.getpid()
    with pytest.raises(SessionInUse, match=f"pid {os.getpid()}"):
        SessionLock(record, session="s", now=lambda: 1.0, flock=no_flock).take(0)
    lock.release(0)
    assert not record.exists()


@pytest.mark.parametrize(
    "holder",
    [
        LockHolder(2**22 + 1, os.uname().nodename, 1.0, "5"),
        LockHolder(os.getpid(), os.uname().nodename, 1.0, "another start"),
        LockHolder(-1, os.uname().nodename, 1.0),
        LockHolder(10**30, os.uname().nodename, 1.0),
        None,
    ],
)
def test_without_flock_a_dead_holder_keeps_nobody_out(tmp_path: Path, holder: LockHolder | None) -> None:
    record = tmp_path / "main.lock"
    record.write_bytes(b'{"pid":' if holder is None else msgspec.json.encode(holder))
    SessionLock(record, session="s", now=lambda: 1.0, flock=no_flock).take(0)
    got = read_lock_holder(record)
    assert got is not None
    assert got.pid == os.getpid()
    assert is_holder_alive(got)
    assert [path.name for path in tmp_path.iterdir()] == ["main.lock"]


def test_a_holder_on_another_machine_is_believed(tmp_path: Path) -> None:
    assert is_holder_alive(LockHolder(1, "another-machine", 1.0))


def test_a_torn_tail_is_cut_and_kept_beside(tmp_path: Path, clock: Clock, rich_events: list[Durable]) -> None:
    session = create(tmp_path / "s", clock)
    session.emit(Said(user_message("one")))
    session.close()
    whole = session.path.read_bytes()
    session.path.write_bytes(whole + b'{"v":1,"crc":"0000')
    again = resume(tmp_path / "s", clock)
    heard: list[Stamped] = []
    again.listen(heard.append)
    assert again.recovered == Recovered(cut_bytes=18)
    assert session.path.read_bytes().startswith(whole + b'{"v":1,"crc":')
    assert session.path.with_suffix(".torn").read_bytes() == b'{"v":1,"crc":"0000\n'
    assert ["torn by a crash" in text for text in told(heard)] == [True]
    again.close()


def test_a_whole_last_record_only_lacks_its_newline(tmp_path: Path, clock: Clock) -> None:
    session = create(tmp_path / "s", clock)
    session.emit(Said(user_message("one")))
    session.close()
    session.path.write_bytes(session.path.read_bytes()[:-1])
    again = resume(tmp_path / "s", clock)
    assert again.recovered is None
    again.emit(Said(Assistant("two")))
    assert [stamped.seq for stamped in again.events()] == [1, 2, 3]
    again.close()
    assert session.path.read_bytes().count(b"\n") == 3


def test_a_damaged_record_is_passed_over_and_said_once(tmp_path: Path, clock: Clock) -> None:
    session = create(tmp_path / "s", clock)
    session.emit(Said(user_message("one")))
    session.emit(Said(Assistant("two")))
    session.close()
    damaged = session.path.read_bytes().replace(b'"one"', b'"onE"')
    session.path.write_bytes(damaged)
    again = resume(tmp_path / "s", clock)
    assert again.recovered == Recovered(bad_records=1)
    assert again.conversation.messages() == [Assistant("two")]
    again.close()
    assert session.path.read_bytes().startswith(damaged)
    third = resume(tmp_path / "s", clock)
    assert third.recovered is None
    assert [stamped.seq for stamped in third.events()] == [1, 3, 4]
    third.close()


def test_records_glued_to_a_torn_one_are_not_lost(tmp_path: Path, clock: Clock) -> None:
    session = create(tmp_path / "s", clock)
    session.emit(Said(user_message("one")))
    session.close()
    first, second = session.path.read_bytes().splitlines(keepends=True)
    session.path.write_bytes(first + second[:30] + second)
    again = resume(tmp_path / "s", clock)
    assert again.recovered == Recovered(bad_records=1)
    assert again.conversation.messages() == [user_message("one")]
    again.close()
    session.path.write_bytes(first + second[:30] + second[:-1])
    third = resume(tmp_path / "s", clock)
    assert third.conversation.messages() == [user_message("one")]
    third.close()


def test_records_of_a_newer_version_are_kept(tmp_path: Path, clock: Clock) -> None:
    session = create(tmp_path / "s", clock)
    session.close()
    newer = b'{"v":2,"seq":12,"new":"way"}\n'
    with session.path.open("ab") as file:
        file.write(newer)
    again = resume(tmp_path / "s", clock)
    heard: list[Stamped] = []
    again.listen(heard.append)
    assert (again.unknown, again.recovered) == (1, None)
    assert ["newer version" in text for text in told(heard)] == [True]
    assert again.emit(Said(user_message("one"))).seq == 13
    assert newer in again.path.read_bytes()
    again.close()


def test_a_log_without_one_whole_record_says_so(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(UserError, match="cannot be opened"):
        resume(tmp_path / "none", clock)
    create(tmp_path / "s", clock).close()
    path = tmp_path / "s" / "main.jsonl"
    half = path.read_bytes()[:50]
    path.write_bytes(half)
    for _ in range(2):
        with pytest.raises(UserError, match="no whole record"):
            resume(tmp_path / "s", clock)
    assert path.read_bytes() == half
    assert [entry.name for entry in (tmp_path / "s").iterdir()] == ["main.jsonl"]


def test_big_values_lie_in_blobs_and_come_back(tmp_path: Path, clock: Clock) -> None:
    session = create(tmp_path / "s", clock)
    big = user_message("ü" * 100_000)
    session.emit(Said(big))
    media = session.blobs.put(b"\x89PNG")
    session.close()
    assert session.path.stat().st_size < 2_000
    again = resume(tmp_path / "s", clock)
    assert again.conversation.messages() == [big]
    assert again.blobs.get(media) == b"\x89PNG"
    again.close()
    for blob in (tmp_path / "s" / "blobs").iterdir():
        blob.write_bytes(b"damaged")
    third = resume(tmp_path / "s", clock)
    assert third.conversation.messages() == [
        user_message("[100,000 characters stood here; their blob is lost or damaged]")
    ]
    assert third.blobs.get(media) is None
    third.close()


def test_hostile_text_becomes_history_that_can_be_sent(tmp_path: Path, clock: Clock) -> None:
    session = create(tmp_path / "s", clock)
    call = Call("functions.f:0\x1b\u2028", "f", '{"path":"a\\u0000"}')
    session.emit(Said(user_message("name\udcff\0.txt")))
    answer = session.emit(Said(Assistant("", calls=(call,))))
    session.emit(Returned(answer.seq, 0, Result("\udc80\0\x1b]52;c\x07")))
    messages = session.conversation.messages()
    session.close()
    again = resume(tmp_path / "s", clock)
    assert again.conversation.messages() == messages
    assert messages[1] == Assistant("", calls=(call,))
    str(messages).encode()
    assert "name\ufffd\ufffd.txt" in str(messages)
    again.close()


def test_each_agent_has_a_log_of_its_own(tmp_path: Path, clock: Clock) -> None:
    main = create(tmp_path / "s", clock)
    child = Session.create(tmp_path / "s", OPENED, now=clock, agent="main.3.1", sync=nothing)
    child.emit(Said(user_message("child")))
    assert [stamped.agent for stamped in read_events(tmp_path / "s" / "main.3.1.jsonl")] == ["main.3.1"] * 2
    assert main.conversation.messages() == []
    child.close()
    main.close()


def test_a_rewind_behind_a_compaction_is_read_from_the_file_anew(
    tmp_path: Path, clock: Clock, rich_events: list[Durable]
) -> None:
    session = Session.create(tmp_path / "s", OPENED, now=clock, sync=nothing)
    for event in rich_events:
        session.emit(event)
    before = session.conversation.messages()
    session.emit(Rewound(4))
    assert session.conversation.messages() != before
    assert len(session.conversation.messages()) == 1
    session.close()


def test_nothing_is_emitted_after_the_close(tmp_path: Path, clock: Clock) -> None:
    session = create(tmp_path / "s", clock)
    session.close()
    session.close()
    with pytest.raises(RuntimeError, match="closed"):
        session.emit(Said(user_message("late")))


def test_threads_may_emit_together(tmp_path: Path, clock: Clock) -> None:
    session = create(tmp_path / "s", clock)
    threads = [
        threading.Thread(target=lambda: [session.emit(Requested("kimi", n)) for n in range(50)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [stamped.seq for stamped in session.events()] == list(range(1, 202))
    session.close()


def test_events_are_those_of_the_moment_they_were_asked_for(tmp_path: Path, clock: Clock) -> None:
    session = create(tmp_path / "s", clock)
    events = session.events()
    session.emit(Said(user_message("later")))
    assert len(list(events)) == 1
    session.close()


def test_a_fork_goes_on_from_the_same_history(
    tmp_path: Path, clock: Clock, rich_events: list[Durable], write_log: WriteLog
) -> None:
    write_log(tmp_path / "old", rich_events)
    old = resume(tmp_path / "old", clock)
    old.emit(Said(user_message("z" * 100_000)))
    (old.folder / "outputs").mkdir()
    (old.folder / "outputs" / "ab12").write_text("whole output")
    with old.path.open("ab") as file:
        file.write(b'{"v":1,"half of a rec')  # as if it were just writing
    copy = fork_session(tmp_path / "old", tmp_path / "new", now=clock)
    assert (copy.id, copy.opened.forked_from) == ("new", "old")
    assert copy.workspace == "/srv/ü b"
    assert copy.conversation.messages() == old.conversation.messages()
    copy.emit(Said(Assistant("only here")))
    assert (copy.outputs_folder / "ab12").read_text() == "whole output"
    assert stat.S_IMODE((copy.outputs_folder / "ab12").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]
    copy.close()
    old.close()
    assert "only here" not in old.path.read_text()
    with pytest.raises(UserError, match="no session nope"):
        fork_session(tmp_path / "nope", tmp_path / "newer", now=clock)


def test_the_form_of_version_one_stays_readable(tmp_path: Path, clock: Clock) -> None:
    line = (
        b'{"v":1,"crc":"3e17912a","seq":1,"at":1.5,"agent":"main","event":{"type":"Opened","session":"s",'
        b'"workspace":"/w","model":"kimi-k2.6","version":"0.1","system":"","forked_from":""}}\n'
    )
    assert encode_record(Stamped("main", 1, 1.5, Opened("s", "/w", "kimi-k2.6", "0.1"))).data == line
    (tmp_path / "main.jsonl").write_bytes(line)
    session = resume(tmp_path, clock)
    assert session.opened == Opened("s", "/w", "kimi-k2.6", "0.1")
    session.close()


def test_a_resume_gives_what_it_read_once_and_holds_no_message_twice(
    tmp_path: Path, clock: Clock, write_log: WriteLog
) -> None:
    write_log(tmp_path / "s1", [OPENED, Said(user_message("hi"))])
    session = resume(tmp_path / "s1", clock)
    opened, said = session.take_past()
    assert (opened.event, said.seq, session.take_past()) == (OPENED, 2, [])
    assert isinstance(said.event, Said)
    assert session.conversation.messages()[0] is said.event.message
    session.close()
