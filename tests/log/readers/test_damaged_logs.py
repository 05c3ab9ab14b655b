"""Damaged logs: whatever one reader of a session finds, the others find."""

import random
import re
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kimi_agent.errors import UserError
from kimi_agent.layers import workspace_key
from kimi_agent.log.events import Durable, Opened, Said, Spent, Stamped
from kimi_agent.log.fold.conversation import fold_conversation
from kimi_agent.log.messages import Assistant, Usage, User, user_message
from kimi_agent.log.readers.export import export_json
from kimi_agent.log.readers.recall import SessionRecall
from kimi_agent.log.readers.search_query import parse_query
from kimi_agent.log.readers.spending import SpendingReader
from kimi_agent.log.sessions import Sessions
from kimi_agent.log.store.log_scan import read_events

WriteLog = Callable[[Path, list[Durable]], Path]
NAME = "20261122-003440-k3f9"
QUERIES = ("a", "fix", "ปัญหา", "mended", "make", "/[a-z]+\\.py/", "needle", "go on")
TALK: list[Durable] = [
    Opened(NAME, "/w", "kimi-k2.6", "0.1"),
    Said(user_message("the needle was first")),
    Spent("kimi-k2.6", Usage(100, 10), 0.25),
    Said(Assistant("Found.")),
    Said(user_message("and second")),
    Spent("kimi-k2.6", Usage(200, 10), 0.5),
    Said(Assistant("Found again.")),
]


def sessions_in(state: Path) -> Sessions:
    ticks = count(1_795_307_999)
    return Sessions(state, state.parent / "work", now=lambda: float(next(ticks)), rng=random.Random(1))


def log_in(state: Path, write_log: WriteLog, events: list[Durable]) -> Path:
    return write_log(sessions_in(state).folder / NAME, events)


def what_all_find(state: Path) -> list[Stamped]:
    """What the log holds, after a look that each reader finds just that, and that a damaged one can be removed."""
    sessions = sessions_in(state)
    log = sessions.folder / NAME / "main.jsonl"
    records = list(read_events(log))
    [listed] = sessions.list()
    spent = [record.event.usd for record in records if isinstance(record.event, Spent)]
    assert [payment.usd for payment in SpendingReader(state).since(0)] == spent
    if listed.damaged:
        assert records == []
        for refused in (sessions.resume, sessions.export, sessions.fork, lambda id: list(sessions.log(id))):
            with pytest.raises(UserError, match=f"^session {NAME} is damaged: its log .*; `kimi-agent sessions rm"):
                refused(NAME)
        sessions.remove(NAME)
        assert sessions.list() == ()
        return []
    prompts = [each for record in records if isinstance(each := record.event, Said) and isinstance(each.message, User)]
    fold = fold_conversation(lambda: records)
    assert (listed.turns, listed.title) == (sum(not each.queued for each in prompts), fold.title)
    assert sessions.export(NAME, "json") == export_json(records)
    recall = SessionRecall(lambda: records)
    for query in QUERIES:
        hits = [hit for _, hits, _ in sessions.search(parse_query(query), everything=False, most=5) for hit in hits]
        recalled = recall.search(query, limit=5).newest
        assert [(hit.place, hit.turn, hit.kind) for hit in hits] == [
            (hit.place, hit.turn, hit.kind) for hit in recalled
        ]
    session = sessions.resume(NAME)
    assert session.take_past()[: len(records)] == records
    assert session.conversation.messages() == fold.messages()
    session.close()
    assert list(read_events(log))[: len(records)] == records
    return records


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log.replace(b"\n", b"\r\n"),
        lambda log: log.replace(b"\n", b" "),
        lambda log: log.replace(b"\n", b""),
        lambda log: log.replace(b"\n", b"\r"),
        lambda log: log.replace(b"\n", b"\n\n\t\n"),
        lambda log: b"\xef\xbb\xbf" + log,
        lambda log: b"\xef\xbb\xbf" + log.replace(b"\n", b"\r\n") + b"\x1a",
        lambda log: log + b"\0" * 4096,
        lambda log: b"\0" * 4096 + log,
        lambda log: log.replace(b"\n", b"\x0b", 3),
        lambda log: log.replace(b"\n", b"*"),
        lambda log: log.replace(b"\n", b'}}"\n{"v":2,"seq":3}\n'),
    ],
    ids=(
        *("CRLF", "blanks", "glued", "CR", "blank_lines", "BOM", "windows"),
        *("NUL_behind", "NUL_before", "vertical", "stars", "newer"),
    ),
)
def test_what_lies_between_the_records_hides_none(
    tmp_path: Path, write_log: WriteLog, rich_events: list[Durable], change: Callable[[bytes], bytes]
) -> None:
    for name, events in (("plain", TALK), ("rich", rich_events)):
        log = log_in(tmp_path / name / "state", write_log, events)
        written = list(read_events(log))
        log.write_bytes(change(log.read_bytes()))
        assert what_all_find(tmp_path / name / "state") == written


def test_a_record_whose_beginning_is_lost_costs_no_neighbour(tmp_path: Path, write_log: WriteLog) -> None:
    log = log_in(tmp_path / "state", write_log, TALK)
    written = list(read_events(log))
    lines = log.read_bytes().split(b"\n")
    # A page of NUL from within one record into the next, so that its newline is gone too.
    lines[1:3] = [lines[1] + b"\0" * 30 + lines[2][20:]]
    log.write_bytes(b"\n".join(lines))
    assert what_all_find(tmp_path / "state") == written[:2] + written[3:]


def test_a_time_that_is_damaged_is_not_when_a_session_was_last_used(tmp_path: Path, write_log: WriteLog) -> None:
    log = log_in(tmp_path / "state", write_log, TALK)
    *_, before, last = read_events(log)
    data = log.read_bytes()
    log.write_bytes(data.replace(f'"seq":{last.seq},"at":1'.encode(), f'"seq":{last.seq},"at":9'.encode()))
    [listed] = sessions_in(tmp_path / "state").list()
    assert listed.last_used == before.at


def test_a_prompt_that_is_damaged_is_no_turn(tmp_path: Path, write_log: WriteLog) -> None:
    log = log_in(tmp_path / "state", write_log, TALK)
    log.write_bytes(log.read_bytes().replace(b"and second", b"and s\0cond"))
    assert len(what_all_find(tmp_path / "state")) == len(TALK) - 1


@st.composite
def _damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    kind = draw(st.sampled_from(["flip", "cut", "nul", "newline", "blank", "insert", "drop", "twice", "newer"]))
    place = draw(st.floats(0, 1))
    byte = bytes([draw(st.integers(0, 255))])
    blank = draw(st.sampled_from([b"", b" ", b"\r", b"\r\n", b"\x0b", b"\0", b"x", b'"}']))
    length = draw(st.integers(1, 300))

    def damage(log: bytes) -> bytes:
        at = int(place * len(log))
        newlines = [match.start() for match in re.finditer(b"\n", log)] or [at]
        newline = newlines[int(place * (len(newlines) - 1))]
        match kind:
            case "flip":
                return log[:at] + byte + log[at + 1 :]
            case "cut":
                return log[:at]
            case "nul":
                return log[:at] + b"\0" * len(log[at : at + length]) + log[at + length :]
            case "newline":
                return log[:newline] + blank + log[newline + 1 :]
            case "blank":
                return log.replace(b"\n", blank)
            case "insert":
                return log[:at] + byte * length + log[at:]
            case "drop":
                return log[:at] + log[at + length :]
            case "twice":
                return log[: newline + 1] + log[at:newline] + log[newline:]
        return log[: newline + 1] + b'{"v":7,"seq":3,"what":"news"}\n' + log[newline + 1 :]

    return damage


def test_whatever_one_reader_finds_in_a_damaged_log_the_others_find(
    tmp_path: Path, write_log: WriteLog, rich_events: list[Durable]
) -> None:
    logs = [
        log_in(tmp_path / name, write_log, events).read_bytes() for name, events in (("a", TALK), ("b", rich_events))
    ]
    numbers = count()

    @settings(max_examples=120, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(logs), st.lists(_damage(), min_size=1, max_size=4))
    def read(log: bytes, damages: list[Callable[[bytes], bytes]]) -> None:
        for damage in damages:
            log = damage(log)
        state = tmp_path / f"at {next(numbers)}" / "state"
        folder = state / "sessions" / workspace_key(state.parent / "work") / NAME
        folder.mkdir(parents=True)
        (folder / "main.jsonl").write_bytes(log)
        what_all_find(state)
        shutil.rmtree(state.parent)

    read()
