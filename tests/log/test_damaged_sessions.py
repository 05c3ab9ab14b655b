"""Sessions of which nothing can be read: listed, refused in one sentence, removed; and removals that meet others."""

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from kimi_agent.errors import UserError
from kimi_agent.log.events import Said
from kimi_agent.log.messages import user_message
from kimi_agent.log.readers.search_query import parse_query
from kimi_agent.log.sessions import Sessions

NAME = "20261122-003440-k3f9"


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    ticks = count(1_795_307_680)
    return Sessions(tmp_path / "state", tmp_path / "work", now=lambda: float(next(ticks)), rng=random.Random(1))


def told(sessions: Sessions, text: str) -> str:
    session = sessions.create(model="kimi-k2.6", version="0.1")
    session.emit(Said(user_message(text)))
    session.close()
    return session.id


def unreadable(log: Path) -> None:
    log.write_bytes(b"x")
    log.chmod(0)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda log: log.touch(), "its log is empty"),
    "NUL": (lambda log: log.write_bytes(b"\0" * 4096), "its log holds no whole record"),
    "torn": (lambda log: log.write_bytes(b'{"v":1,"crc":"0000'), "its log holds no whole record"),
    "text": (lambda log: log.write_text("some\ntext\n"), "its log holds no whole record"),
    "missing": (lambda log: log.unlink(missing_ok=True), "its log is missing"),
    "folder": (lambda log: log.mkdir(), "its log cannot be read: not a regular file"),
    "pipe": (lambda log: os.mkfifo(log), "its log cannot be read: not a regular file"),
    "loop": (lambda log: log.symlink_to("main.jsonl"), "its log cannot be read: Too many levels of symbolic links"),
    "closed": (unreadable, "its log cannot be read: Permission denied"),
}
BY_MODE = pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")


@pytest.mark.parametrize("kind", [pytest.param(each, marks=BY_MODE if each == "closed" else ()) for each in DAMAGES])
def test_a_damaged_session_is_listed_refused_and_removed(sessions: Sessions, kind: str) -> None:
    sound = told(sessions, "hi")
    damage, why = DAMAGES[kind]
    folder = sessions.folder / NAME
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs" / ("a" * 64)).write_bytes(b"b" * 5_000)
    damage(folder / "main.jsonl")
    os.mkfifo(folder / "blobs" / ("b" * 64))

    listed = {each.id: each for each in sessions.list()}
    assert set(listed) == {sound, NAME}
    found = listed[NAME]
    assert (found.label, found.damaged, found.started, found.turns) == ("(damaged)", why, 1_795_307_680.0, 0)
    assert 5_000 <= found.size_bytes < 10_000
    assert sessions.find("last").id == sound
    for refused in (sessions.resume, sessions.fork, sessions.export, lambda word: list(sessions.log(word))):
        with pytest.raises(UserError) as error:
            refused(NAME[:-2])
        mend = f"`kimi-agent sessions rm {NAME}` removes it"
        assert str(error.value) == f"session {NAME} is damaged: {why}; {mend}"
    assert sessions.remove(NAME).id == NAME
    assert [path.name for path in sessions.folder.iterdir()] == [sound]


def test_where_all_are_damaged_there_is_no_last_one(sessions: Sessions) -> None:
    (sessions.folder / "left over").mkdir(parents=True)
    with pytest.raises(UserError, match=r"there is no session of .* yet$"):
        sessions.resume("last")
    with pytest.raises(UserError, match=r"there is no session 'x' here; there are: left over \(damaged\)$"):
        sessions.remove("x")
    with pytest.raises(UserError, match=r"`kimi-agent sessions rm 'left over'` removes it$"):
        sessions.resume("left over")
    sessions.remove("left over")
    assert sessions.list() == ()


def test_a_pipe_in_place_of_what_lies_beside_the_log_is_not_waited_for(sessions: Sessions) -> None:
    id_ = told(sessions, "long " * 20_000)
    folder = sessions.find(id_).folder
    [blob] = (folder / "blobs").iterdir()
    for path in (blob, folder / "main.lock", folder / "main.torn"):
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    with (folder / "main.jsonl").open("ab") as log:
        log.write(b'{"v":1,"cr')
    assert "their blob is lost" in sessions.export(id_)
    session = sessions.resume(id_)
    assert session.recovered is not None
    session.close()
    sessions.fork(id_).close()
    sessions.remove(id_)


def test_a_log_of_a_sub_agent_that_is_none_keeps_nobody_from_the_session(sessions: Sessions) -> None:
    id_ = told(sessions, "hi")
    folder = sessions.find(id_).folder
    (folder / "main.2.0.jsonl").mkdir()
    os.mkfifo(folder / "main.3.0.jsonl")
    (folder / "main.4.0.jsonl").symlink_to("main.jsonl")
    (folder / "main.5.0.jsonl").write_bytes(b"\0" * 100)
    assert sessions.export(id_, "json").count('"Said"') == 1
    [(_, hits, total)] = sessions.search(parse_query("hi"), everything=False, most=9)
    assert (len(hits), total) == (1, 1)
    copy = sessions.fork(id_)
    copy.close()
    assert sorted(path.name for path in copy.folder.glob("*.jsonl")) == ["main.5.0.jsonl", "main.jsonl"]
    sessions.remove(id_)
    assert [each.id for each in sessions.list()] == [copy.id]


@pytest.mark.parametrize("damage", ["empty", "missing", "NUL"])
def test_a_damaged_session_that_is_open_somewhere_is_not_removed(sessions: Sessions, damage: str) -> None:
    session = sessions.resume(told(sessions, "hi"))
    match damage:
        case "empty":
            os.truncate(session.path, 0)
        case "missing":
            session.path.unlink()
        case _:
            with session.path.open("r+b") as log:
                log.write(b"\0" * 4096)
    with pytest.raises(
        UserError, match=rf"^session {session.id} is in use by pid {os.getpid()} since .*; end it first$"
    ):
        sessions.remove(session.id)
    session.emit(Said(user_message("still here")))
    assert session.unsaved == 0
    session.close()
    sessions.remove(session.id)
    assert list(sessions.folder.iterdir()) == []


def test_what_a_killed_removal_left_goes_with_the_next_one(sessions: Sessions) -> None:
    one, two = told(sessions, "one"), told(sessions, "two")
    half = sessions.folder / f".{one}.{2**22 + 1}.removed"
    (sessions.folder / one).rename(half)
    assert [each.id for each in sessions.list()] == [two]
    sessions.remove(two)
    assert list(sessions.folder.iterdir()) == []


def test_a_link_to_a_session_is_not_followed(sessions: Sessions, tmp_path: Path) -> None:
    id_ = told(sessions, "hi")
    (sessions.folder / "linked").symlink_to(id_)
    with pytest.raises(UserError, match=f"^session linked is a link to {id_}; remove that by hand$"):
        sessions.remove("linked")
    assert sessions.find(id_).turns == 1


REMOVE = """
import random, sys, time
from pathlib import Path
from kimi_agent.errors import UserError
from kimi_agent.log.sessions import Sessions
sessions = Sessions(Path(sys.argv[1]), Path(sys.argv[2]), now=time.time, rng=random.Random())
print("ready", flush=True)
sys.stdin.readline()
for id_ in sys.argv[4:]:
    try:
        session = getattr(sessions, sys.argv[3])(id_)
        if sys.argv[3] == "resume":
            session.close()
        print("done", flush=True)
    except UserError as error:
        print(error, flush=True)
"""


@pytest.mark.parametrize("other", ["remove", "resume"])
def test_two_at_once_leave_no_half_of_a_session(sessions: Sessions, tmp_path: Path, other: str) -> None:
    ids = [told(sessions, f"number {n}") for n in range(25)]
    for id_ in ids:
        (sessions.folder / id_ / "outputs").mkdir()
        for n in range(20):
            (sessions.folder / id_ / "outputs" / str(n)).write_text("x")
    argv = [sys.executable, "-c", REMOVE, str(sessions.folder.parent.parent), str(sessions.workspace)]
    racers = [
        subprocess.Popen([*argv, what, *ids], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for what in ("remove", other)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    said: dict[int, list[str]] = {}

    def end(number: int) -> None:
        said[number] = racers[number].communicate("\n", timeout=50)[0].splitlines()

    threads = [threading.Thread(target=end, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [racer.returncode for racer in racers] == [0, 0]
    sentences = (
        *("done", "session .* is in use by .*", "session .* is gone: it was removed just now"),
        *("there is no session .*", "session .* cannot be opened .*"),
    )
    for line in said[0] + said[1]:
        assert any(line == each or line.startswith(each.partition(" .*")[0]) for each in sentences), line
    for id_, first, second in zip(ids, said[0], said[1], strict=True):
        folder = sessions.folder / id_
        left = sum(path.is_file() for path in folder.rglob("*")) if folder.exists() else 0
        assert left in (0, 21), (first, second)
        assert (left == 0) == (first == "done" or (other == "remove" and second == "done"))
    assert not list(sessions.folder.glob(".*"))
