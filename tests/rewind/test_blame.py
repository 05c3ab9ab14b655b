"""Who wrote a line: from the file as it is, back through what each call made of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pytest

from kimi_agent.errors import UserError
from kimi_agent.log.events import Checkpoint, Event, Opened, Returned, Rewound, Said, Stamped, TurnEnded
from kimi_agent.log.messages import Assistant, Call, user_message
from kimi_agent.log.views import Result
from kimi_agent.rewind.blame import BlamedLine, LineAuthor, blame_line, parse_line_reference
from tests.golden_texts import Golden

START = "one\ntwo\nthree\n"
FIRST = "one\nTWO\nthree\n"
SECOND = "zero\none\nTWO\nthree\nfour\n"
CALLS = (Call("a", "edit_file", '{"path": "f"}'), Call("b", "shell", '{"command": "x"}'))


def session(name: str, *turns: tuple[str, Sequence[tuple[str, str]]]) -> list[Stamped]:
    """A log in which each turn has a prompt and calls, each from one tree to another."""
    events: list[Event] = [Opened(name, "/w", "m", "0")]
    for prompt, changes in turns:
        events.append(Said(user_message(prompt)))
        events.append(Said(Assistant("", calls=CALLS[: len(changes)])))
        answer = len(events)
        for index, (before, after) in enumerate(changes):
            events.append(Checkpoint(before, "before", answer, index))
            events += [Checkpoint(after, "after", answer, index)] if after != before else []
            events.append(Returned(answer, index, Result("ok")))
        events.append(TurnEnded("done", 1))
    return [Stamped("main", seq, 100.0 + seq, event) for seq, event in enumerate(events, 1)]


TREES: Mapping[str, str | None] = {"t0": START, "t1": FIRST, "t2": SECOND, "none": None}
LOG = session("S1", ("make it loud", [("t0", "t1"), ("t1", "t1")]), ("add more", [("t1", "t1"), ("t1", "t2")]))


def of(number: int, current: str = SECOND, logs: Iterable[list[Stamped]] = (LOG,)) -> BlamedLine:
    return blame_line("f", number, current, logs, lambda tree, path: TREES[tree])


def test_each_line_is_its_last_writers(golden: Golden) -> None:
    loud = LineAuthor("S1", 1, "make it loud", 104.0, CALLS[0])
    more = LineAuthor("S1", 2, "add more", 114.0, CALLS[1])
    assert [of(number).author for number in range(1, 6)] == [more, None, loud, None, more]
    assert of(3).line == "TWO"
    golden(of(2).why)


def test_what_was_changed_by_hand_since_is_nobodys() -> None:
    assert of(2, current="zero\nONE\nTWO\nthree\nfour\n").why.startswith("changed by hand")
    assert of(4, current="hand\nzero\none\nTWO\nthree\nfour\n").author == of(3).author


def test_a_file_that_a_call_created_is_its_own() -> None:
    log = session("S2", ("create", [("none", "t0")]))
    found = of(2, START, [log])
    assert found.author is not None
    assert (found.author.session, found.author.turn) == ("S2", 1)


def rewound(log: list[Stamped], *rewinds: Rewound) -> list[Stamped]:
    """The log, gone on with rewinds."""
    return [*log, *(Stamped("main", len(log) + number, 200.0, each) for number, each in enumerate(rewinds, 1))]


def test_a_line_that_a_redo_brought_back_is_its_writers() -> None:
    undone = len(LOG) + 1
    log = rewound(LOG, Rewound(2, was="t2", tree="t0"), Rewound(undone, was="t0", tree="t2", undoes=undone))
    assert [of(number, logs=[log]).author for number in range(1, 6)] == [of(number).author for number in range(1, 6)]


def test_a_line_that_an_undo_brought_back_is_its_writers() -> None:
    """TWO was written in turn 1 and taken out in turn 3, which was undone; the first line is older than both."""
    away = session("S1", ("loud", [("t0", "t1")]), ("more", [("t1", "t2")]), ("away", [("t2", "t0")]))
    third = next(each.seq for each in away if each.event == Said(user_message("away")))
    log = rewound(away, Rewound(third, was="t0", tree="t2"))
    authors = [of(number, logs=[log]).author for number in range(1, 6)]
    assert [each and each.prompt for each in authors] == ["more", None, "loud", None, "more"]


def test_older_sessions_are_read_only_where_the_newer_ones_do_not_say() -> None:
    def logs() -> Iterator[list[Stamped]]:
        yield session("S2", ("later", [("t1", "t2")]))
        yield session("S1", ("earlier", [("t0", "t1")]))
        raise AssertionError("read too far")

    found = [of(number, logs=logs()).author for number in (1, 3)]
    assert [each and each.session for each in found] == ["S2", "S1"]


@pytest.mark.parametrize(("number", "text"), [(0, START), (4, START), (1, "")])
def test_a_line_that_is_not_there_is_said(number: int, text: str) -> None:
    with pytest.raises(UserError, match="there is no line"):
        of(number, text)


def test_a_place_is_a_path_and_a_line() -> None:
    assert parse_line_reference("a:b/c.py:12") == ("a:b/c.py", 12)
    for text in ("a.py", "a.py:", "a.py:0", ":3", "a.py:x"):
        with pytest.raises(UserError, match="PATH:LINE"):
            parse_line_reference(text)
