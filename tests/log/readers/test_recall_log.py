"""Looking things up in a session: all of it, also what the model no longer reads."""

from collections.abc import Iterator

from kimi_agent.log.event_parts import Short
from kimi_agent.log.events import (
    CallStarted,
    Compacted,
    Durable,
    Noted,
    Partial,
    Queued,
    Restored,
    Returned,
    Rewound,
    Said,
    Shortened,
    Stamped,
    TurnEnded,
)
from kimi_agent.log.messages import Assistant, Call, user_message
from kimi_agent.log.readers.recall import Hit, RecallHits, RecallPage, SessionRecall
from kimi_agent.log.views import Result

TALK: tuple[Durable, ...] = (
    Said(user_message("mind the needle")),  # 1
    Said(Assistant("I look for it.", "a needle?", (Call("x:0", "shell", '{"command":"grep needle"}'),))),  # 2
    CallStarted(2, 0, "shell", "execute"),
    Returned(2, 0, Result("hay\nhay needle hay\nhay")),  # 4
    Said(Assistant("The needle is in line 2.")),  # 5
    TurnEnded("done", 2),
    Queued(user_message("needle in the queue")),  # 7
    Said(user_message("thanks")),  # 8
    Partial("The needle, as I", retried=True),
    Partial("You are welcome to the needle", why="cut"),  # 10
    TurnEnded("failed", 1),
    Noted("plan mode: no needle may be moved"),  # 12
)


def history(*events: Durable) -> SessionRecall:
    log = [Stamped("main", seq, 100.0 * seq, event) for seq, event in enumerate(events, 1)]
    return SessionRecall(lambda: iter(log))


def found(*events: Durable, query: str = "needle") -> dict[str, str]:
    return {f"{hit.place} {hit.kind}": hit.status for hit in history(*events).search(query, limit=50).newest}


def test_all_that_was_said_and_done_is_found_the_newest_first() -> None:
    assert history(*TALK).search("needle", limit=20) == RecallHits(
        (
            Hit("12", 2, 0.0, "note", "plan mode: no needle may be moved"),
            Hit("10", 2, 200.0, "broken answer", "You are welcome to the needle"),
            Hit("5", 1, 700.0, "answer", "The needle is in line 2."),
            Hit("2.0", 1, 800.0, "result of shell", "hay hay needle hay hay"),
            Hit("2.0", 1, 1000.0, "call of shell", '{"command":"grep needle"}'),
            Hit("1", 1, 1100.0, "user", "mind the needle"),
        ),
        6,
        '"needle"',
    )
    some = history(*TALK).search("needle", limit=2)
    assert ([hit.place for hit in some.newest], some.total) == (["12", "10"], 6)
    assert history(*TALK).search("nowhere", limit=2) == RecallHits((), 0, '"nowhere"')


def test_what_one_tool_did_can_be_left_out() -> None:
    assert {hit.kind for hit in history(*TALK).search("needle", limit=9, without="shell").newest} == {
        "user",
        "answer",
        "broken answer",
        "note",
    }


def test_a_hit_tells_what_became_of_it() -> None:
    whole = found(*TALK)
    assert set(whole.values()) == {""}
    short = Shortened((Short(2, 0, "…"),))  # 13
    assert found(*TALK, short) == whole | {"2.0 result of shell": "shortened"}
    assert found(*TALK, short, Restored(13)) == whole
    old = dict.fromkeys(("1 user", "2.0 call of shell", "2.0 result of shell", "5 answer"), "summed up")
    summed = (*TALK, short, Compacted(5, "a needle was found"))
    assert found(*summed) == whole | old | {"14 summary": ""}
    assert found(*summed, Compacted(99, "none")) == whole | old | {
        "14 summary": "summed up",
        "10 broken answer": "summed up",
    }
    assert found(*summed, Restored(14))["2.0 result of shell"] == "shortened"


def test_what_was_rewound_is_told_as_taken_back_until_that_is_undone() -> None:
    back = (*TALK, Rewound(8, "chat"))
    assert found(*back)["10 broken answer"] == "taken back"
    assert found(*back)["5 answer"] == ""
    assert set(found(*back, Rewound(13, "chat", undoes=13)).values()) == {""}
    new = (*back, Said(user_message("a new needle")))
    assert found(*new, Rewound(13, "chat", undoes=13))["10 broken answer"] == "taken back", "it could not be undone"
    assert found(*TALK, Rewound(8, "code"))["10 broken answer"] == ""
    assert found(*TALK, Rewound(8, "code"), Compacted(99, "short"))["10 broken answer"] == "summed up"
    behind = found(*TALK, Compacted(5, "short"), Said(user_message("needle 3")), Rewound(8, "chat"))
    assert behind["1 user"] == ""
    assert behind["14 user"] == behind["10 broken answer"] == "taken back"


def test_a_place_is_read_whole_and_in_pages() -> None:
    log = history(*TALK, Shortened((Short(2, 0, "…"),)), Compacted(99, "short"))
    whole = 'call of shell:\n{"command":"grep needle"}\n\nresult of shell:\nhay\nhay needle hay\nhay'
    assert log.read("2.0", offset=0, max_chars=500) == RecallPage(whole, 0, len(whole), 1)
    assert log.read(" #2.0 ", offset=60, max_chars=10) == RecallPage(whole[60:70], 60, len(whole), 1)
    assert log.read("2.0", offset=999, max_chars=10) == RecallPage("", len(whole), len(whole), 1)
    answer = "answer:\nI look for it.\n\ncalls:\n2.0 shell"
    assert log.read("2", offset=0, max_chars=500) == RecallPage(answer, 0, len(answer), 1)
    last = log.read("14", offset=0, max_chars=500)
    assert last is not None
    assert (last.text, last.turn) == ("summary:\nshort", 2)
    for nothing in ("3", "99", "2.1", "2.0.0", "", "x", "9" * 30, "²"):
        assert log.read(nothing, offset=0, max_chars=10) is None


def test_a_call_that_was_left_open_is_read_as_far_as_it_went() -> None:
    page = history(*TALK[:3]).read("2.0", offset=0, max_chars=500)
    assert page is not None
    assert page.text == 'call of shell:\n{"command":"grep needle"}'


def test_an_empty_history_finds_nothing() -> None:
    nothing = SessionRecall(tuple)
    assert nothing.search("x", limit=5) == RecallHits((), 0, '"x"')
    assert nothing.read("1", offset=0, max_chars=5) is None


def test_a_reading_stops_where_all_is_found() -> None:
    read: list[int] = []

    def events() -> Iterator[Stamped]:
        for seq, event in enumerate((*TALK, *TALK), 1):
            read.append(seq)
            yield Stamped("main", seq, 0.0, event)

    SessionRecall(events).read("2.0", offset=0, max_chars=5)
    assert read[-1] == 5
