"""Finding words in the sessions that were saved."""

import os
import random
from itertools import count
from pathlib import Path

import pytest

from kimi_agent.log.events import Compacted, Durable, Opened, Queued, Requested, Returned, Rewound, Said, Spent
from kimi_agent.log.messages import Assistant, Call, Usage, user_message
from kimi_agent.log.readers.recall import SessionRecall
from kimi_agent.log.readers.search_query import parse_query
from kimi_agent.log.readers.search_sessions import SearchHit
from kimi_agent.log.sessions import Sessions
from kimi_agent.log.store.log_scan import read_events
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import Result


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return opened_at(tmp_path, tmp_path / "one")


def opened_at(tmp_path: Path, workspace: Path) -> Sessions:
    ticks = count(1_795_307_680)
    return Sessions(tmp_path / "state", workspace, now=lambda: float(next(ticks)), rng=random.Random(str(workspace)))


def told(sessions: Sessions, *events: Durable, written: float = 0.0) -> str:
    session = sessions.create(model="kimi-k2.6", version="0.1")
    for event in events:
        session.emit(event)
    session.close()
    os.utime(session.path, (written, written))
    return session.id


def asks(name: str, arguments: str = "{}") -> Said:
    return Said(Assistant("", "needle of thought", (Call("x:0", name, arguments),)))


def found(
    sessions: Sessions, query: str, *, everything: bool = False, most: int = 50
) -> list[tuple[str, str, int, str]]:
    return [
        (session.title, hit.place, hit.turn, hit.kind)
        for session, hits, _ in sessions.search(parse_query(query), everything=everything, most=most)
        for hit in hits
    ]


TALK: tuple[Durable, ...] = (
    Said(user_message("first")),  # 2
    asks("shell", '{"command":"grep needle"}'),  # 3
    Returned(3, 0, Result("hay \\ NEEDLE")),
    asks("read_file"),  # 5
    Returned(5, 0, Result("only hay")),
    Queued(user_message("needle")),
    Said(user_message("a needle that waited"), queued=7),  # 8
    Said(user_message("second")),  # 9
    Requested("needle", 3),
    Said(user_message("third")),  # 11
    Rewound(9, "chat"),
    Said(user_message("the needle")),  # 13
    Compacted(8, "needles were sought"),  # 14
)


def test_every_kind_of_text_is_found_with_its_turn(sessions: Sessions) -> None:
    told(sessions, *TALK)
    assert found(sessions, "needle") == [
        ("first", "14", 2, "summary"),
        ("first", "13", 2, "user"),
        ("first", "8", 1, "user"),
        ("first", "3.0", 1, "result of shell"),
        ("first", "3.0", 1, "call of shell"),
    ]
    assert found(sessions, '"hay \\ needle"') == [("first", "3.0", 1, "result of shell")]
    assert found(sessions, "/^only h[aeiou]y$/") == [("first", "5.0", 1, "result of read_file")]
    assert found(sessions, "nowhere") == []


def test_it_finds_what_the_model_finds_in_one_session(sessions: Sessions, rich_events: list[Durable]) -> None:
    told(sessions, *rich_events[1:])
    folder = sessions.find("last").folder
    history = SessionRecall(lambda: read_events(folder / "main.jsonl"))
    for query in ("a", "fix", "ปัญหา", "def a()", "/[a-z]+\\.py/", "note mode", "mended", "make", '"a.py was"', "zz"):
        hits = [(hit.place, hit.turn, hit.kind) for hit in history.search(query, limit=5).newest]
        assert [(place, turn, kind) for _, place, turn, kind in found(sessions, query)] == hits, query


def test_what_lies_beside_the_log_is_searched_too(sessions: Sessions) -> None:
    told(sessions, Said(user_message("hi")), asks("shell"), Returned(3, 0, Result("x" * 70_000 + " needle in a blob")))
    log = sessions.find("last").folder / "main.jsonl"
    assert b"needle in a blob" not in log.read_bytes()
    assert found(sessions, "needle") == [("hi", "3.0", 1, "result of shell")]
    ((_, (hit,), total),) = sessions.search(parse_query("needle blob"), everything=False, most=5)
    assert (hit.agent, hit.at, total) == ("main", 1_795_307_685.0, 1)
    assert hit.excerpt.endswith("xxx needle in a blob")


def test_the_last_written_session_comes_first_and_no_session_hides_the_others(sessions: Sessions) -> None:
    told(sessions, Said(user_message("old needle")), written=100)
    told(sessions, *(Said(user_message(f"needle {n}")) for n in range(9)), written=300)
    told(sessions, Said(user_message("hay")), written=400)
    hits = list(sessions.search(parse_query("needle"), everything=False, most=50))
    assert [(session.title, len(hits), total) for session, hits, total in hits] == [
        ("needle 0", 5, 9),
        ("old needle", 1, 1),
    ]
    assert [title for title, *_ in found(sessions, "needle", most=5)] == ["needle 0"] * 5
    assert len(found(sessions, "needle", most=2)) == 2


def test_other_workspaces_are_searched_when_asked_for(sessions: Sessions, tmp_path: Path) -> None:
    told(sessions, Said(user_message("my needle")))
    told(opened_at(tmp_path, tmp_path / "two"), Said(user_message("their needle")), written=5)
    assert [title for title, *_ in found(sessions, "needle")] == ["my needle"]
    assert [title for title, *_ in found(sessions, "needle", everything=True)] == ["their needle", "my needle"]


def test_sub_agents_are_searched_behind_the_main_log(sessions: Sessions) -> None:
    told(sessions, Said(user_message("needle")))
    folder = sessions.find("last").folder
    child = Session.create(folder, Opened("s", "", "", ""), now=lambda: 7.0, agent="main.2.0")
    child.emit(Said(user_message("needle of the child")))
    child.close()
    ((_, hits, total),) = sessions.search(parse_query("needle"), everything=False, most=9)
    assert total == 2
    assert hits[1] == SearchHit("main.2.0", "2", 1, 7.0, "user", "needle of the child")


def test_damage_hides_no_more_than_its_own_record(sessions: Sessions) -> None:
    told(
        sessions,
        Said(user_message("needle one")),
        Spent("kimi", Usage(1, 1)),
        Said(user_message("needle two")),
        Said(user_message("needle three")),
    )
    log = sessions.find("last").folder / "main.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b"two", b"TWO")
    log.write_bytes(b"".join(lines) + b'{"v":1,"crc":"00000000","seq":9,"event":{"type":"Said needle')
    (log.parent / "main.9.0.jsonl").mkdir()
    (log.parent / "main.9.1.jsonl").symlink_to(log)
    (sessions.folder / "stray needle").write_text("needle")
    assert [place for _, place, _, _ in found(sessions, "needle")] == ["5", "2"]
