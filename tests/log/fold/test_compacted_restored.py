"""Room made in the fold: results shortened, messages summed up, and either taken back."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimi_agent.log.event_parts import Short
from kimi_agent.log.events import (
    CallStarted,
    Compacted,
    Durable,
    Opened,
    Partial,
    Queued,
    Requested,
    Restored,
    Returned,
    Rewound,
    Said,
    Shortened,
    Spent,
    Stamped,
    TurnEnded,
)
from kimi_agent.log.fold.conversation import Conversation, fold_conversation
from kimi_agent.log.fold.rewindable import CutPoint
from kimi_agent.log.messages import Assistant, Message, ToolReturn, Usage, user_message
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import PlanItem, PlanView, Result
from tests.log.fold_helpers import asks, fold, fold_messages, logged

Check = Callable[[Sequence[Message]], None]
PLAN = PlanView((PlanItem("x", "done"),))


def hi(text: str = "hi") -> Said:
    return Said(user_message(text))


WORK: tuple[Durable, ...] = (
    hi("first"),  # 1
    asks("a", "b"),
    Returned(2, 1, Result("B" * 50)),
    Returned(2, 0, Result("A" * 50, PLAN)),
    Said(Assistant("half way")),  # 5
    hi("second"),
    asks("c"),  # 7
    Returned(7, 0, Result("C" * 50)),
)
SHORT = Shortened((Short(2, 0, "a"), Short(2, 1, "b")))


def texts(got: Conversation) -> list[str]:
    return [message.content if isinstance(message, ToolReturn) else message.text for message in got.messages()]


def test_every_message_tells_where_it_comes_from() -> None:
    got = fold(*WORK, Partial("Well", why="cut"), Spent("kimi", Usage(1, 1)), TurnEnded("failed", 2))
    assert got.origins() == [(1, -1), (2, -1), (2, 0), (2, 1), (5, -1), (6, -1), (7, -1), (7, 0), (9, -1)]
    assert fold(*WORK[:3]).origins() == [(1, -1), (2, -1), (2, 0), (2, 1)], "open calls have their place too"
    assert fold(*WORK, Compacted(5, "short")).origins() == [(9, -1), (6, -1), (7, -1), (7, 0)]


def test_the_marks_say_where_it_can_be_cut() -> None:
    got = fold(*WORK)
    assert got.marks == (
        CutPoint(1, 1, None),
        CutPoint(4, 4, PLAN),
        CutPoint(5, 5, PLAN),
        CutPoint(6, 6, PLAN),
        CutPoint(8, 8, PLAN),
    )
    for mark in got.marks:
        cut = fold(*WORK, Compacted(mark.seq, "short"))
        assert cut.messages()[1:] == got.messages()[mark.length :]
        assert cut.marks[0] == CutPoint(mark.seq, 1, PLAN)
    assert fold(*WORK, Compacted(99, "short")).marks == (CutPoint(8, 1, PLAN),), "it covers what is there"


def test_shortened_results_read_as_their_short_text_and_all_else_is_the_same() -> None:
    got = fold(*WORK)
    before = got.messages()
    got.add(
        Stamped("main", 9, 9.0, Shortened((Short(2, 1, "b"), Short(7, 0, "c"), Short(7, 5, "no"), Short(1, -1, "no"))))
    )
    after = got.messages()
    assert [m.content for m in after if isinstance(m, ToolReturn)] == ["A" * 50, "b", "c"]
    assert [at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old is not new] == [3, 7]
    assert after[3] == ToolReturn("f:b", "b", "b")
    assert (got.replaced, got.plan, got.origins()) == ((9,), PLAN, fold(*WORK).origins())


def test_what_shortens_or_sums_up_nothing_changes_nothing() -> None:
    got = fold(*WORK, Shortened((Short(3, 0, "x"),)), Compacted(0, "short"), Restored(9), Restored(10))
    assert (got.messages(), got.replaced) == (fold(*WORK).messages(), ())


def test_a_compaction_that_is_taken_back_leaves_what_was_said_since_behind_it() -> None:
    compacted = (*WORK, Compacted(5, "short"), asks("d"), Returned(10, 0, Result("D")), hi("third"))
    got = fold(*compacted)
    assert texts(got)[1:] == ["second", "", "C" * 50, "", "D", "third"]
    back = fold(*compacted, Restored(9))
    never = fold(*WORK, Requested("kimi", 1), *compacted[9:])
    assert (back.messages(), back.origins(), back.marks) == (never.messages(), never.origins(), never.marks)
    assert (back.replaced, back.plan, back.turn_of(99)) == ((), PLAN, 3)


def test_they_are_taken_back_one_after_the_other() -> None:
    made = (*WORK, SHORT, Compacted(5, "short"), hi("third"))
    assert fold(*made).replaced == (9, 10)
    assert fold(*made, Restored(9)).messages() == fold(*made).messages(), "only the last one"
    once = fold(*made, Restored(10))
    assert texts(once) == ["first", "", "a", "b", "half way", "second", "", "C" * 50, "third"]
    assert fold(*made, Restored(10), Restored(10)).messages() == once.messages()
    twice = fold(*made, Restored(10), Restored(9))
    assert twice.messages() == fold(*WORK, hi("third")).messages()
    again = fold(*made, Restored(10), Restored(9), SHORT)
    assert (texts(again)[2:4], again.replaced) == (["a", "b"], (14,))


def test_a_rewind_gives_what_stood_then() -> None:
    made = (*WORK, SHORT, hi("third"), Compacted(6, "short"), hi("fourth"), Restored(11), hi("fifth"))
    for to in range(1, len(made) + 1):
        got, then = fold(*made, Rewound(to, "chat")), fold(*made[: to - 1])
        whole = then.marks[-1].length if then.marks else 0  # a rewind leaves no call alone
        assert got.messages() == then.messages()[:whole], to
        assert got.replaced == then.replaced
        undone = fold(*made, Rewound(to, "chat"), Rewound(15, "chat", undoes=15))
        assert (undone.messages(), undone.replaced) == (fold(*made).messages(), (9,))
    back = fold(*made, Rewound(13, "chat"), Restored(11))
    assert texts(back)[-2:] == ["third", "fourth"], "the compaction stood again, and is taken back again"


def test_calls_that_are_open_when_room_is_made_are_answered_first(assert_valid: Check) -> None:
    half = (hi(), asks("a", "b"), Returned(2, 0, Result("A")))
    late = (Returned(2, 1, Result("late")), hi("more"))
    for room in (Shortened((Short(2, 0, "a"),)), Compacted(1, "short")):
        assert len(fold(*half, room, *late).messages()) == 5
        assert "late" not in texts(fold(*half, room, *late))
        back = fold(*half, room, *late, Rewound(5, "chat"), hi("again"), Restored(4))
        assert_valid(back.messages())
        assert texts(back)[-1] == "again"


def test_two_rewinds_go_back_past_a_compaction_that_was_let_go() -> None:
    got = fold(*WORK, Compacted(5, "short"), hi("third"), hi("fourth"), Rewound(11, "chat"))
    assert not got.needs_refold
    assert texts(got)[-1] == "third"
    got.add(Stamped("main", 13, 13.0, Rewound(8, "chat")))
    assert got.needs_refold


def test_what_was_replaced_is_let_go_and_read_again_when_it_is_asked_for() -> None:
    flat = Conversation()
    for record in logged(*WORK, SHORT, Compacted(5, "short")):
        flat.add(record)
    assert flat.replaced == (9, 10)
    assert not flat._state.before
    assert all(each.before is None for each in flat._state.replaced)
    flat.add(Stamped("main", 11, 11.0, Restored(10)))
    assert flat.needs_refold
    got = fold(*WORK, SHORT, Compacted(5, "short"), Restored(10))
    assert not got.needs_refold
    assert (texts(got)[2:4], got.replaced) == (["a", "b"], (9,))
    assert not got._state.before, "the fold that was made anew keeps nothing either"
    got.add(Stamped("main", 12, 12.0, Restored(9)))
    assert got.needs_refold


def test_a_session_takes_back_what_it_let_go_also_after_a_resume(tmp_path: Path) -> None:
    opened = Opened("s", str(tmp_path), "kimi", "0")
    session = Session.create(tmp_path / "s", opened, now=lambda: 0.0, sync=lambda fd: None)
    for event in (hi(), asks("a"), Returned(3, 0, Result("A" * 50)), Shortened((Short(3, 0, "a"),)), hi("more")):
        session.emit(event)
    session.emit(Compacted(6, "short"))
    session.emit(hi("still more"))
    session.emit(Restored(7))
    assert texts(session.conversation) == ["hi", "", "a", "more", "still more"]
    session.close()
    session = Session.resume(tmp_path / "s", now=lambda: 0.0, sync=lambda fd: None)
    session.emit(Restored(5))
    session.emit(Said(Assistant("yes")))
    assert texts(session.conversation) == ["hi", "", "A" * 50, "more", "still more", "yes"]
    session.emit(Rewound(8, "chat"))
    assert len(session.conversation.messages()) == 1
    session.close()


PLACES = st.integers(1, 16)
SHORTS = st.lists(st.builds(Short, PLACES, st.integers(-1, 2), st.sampled_from(["s", ""])), max_size=4)
LAST = 10**6
NEWS: st.SearchStrategy[Durable] = st.one_of(
    st.builds(Said, st.sampled_from([user_message("u"), user_message("v"), Assistant("t")])),
    st.sampled_from([asks("a"), asks("a", "b", "c")]),
    st.builds(CallStarted, PLACES, st.integers(0, 2), st.just("a"), st.just("write")),
    st.builds(Returned, PLACES, st.integers(0, 2), st.builds(Result, st.just("x"), st.sampled_from([None, PLAN]))),
    st.builds(Returned, st.just(LAST), st.integers(0, 2), st.builds(Result, st.just("xx"))),
    st.builds(Partial, st.sampled_from(["", "half"])),
    st.sampled_from([TurnEnded("done", 1), Requested("kimi", 1), Spent("kimi", Usage(1, 1))]),
    st.builds(Queued, st.just(user_message("q"))),
)
ROOM: st.SearchStrategy[Durable] = st.one_of(
    st.builds(Compacted, PLACES | st.just(LAST), st.just("sum")),
    st.builds(Shortened, SHORTS.map(tuple)),
    st.builds(Shortened, st.just((Short(LAST, 0, "s"), Short(LAST, 1, "s")))),
    st.builds(Restored, st.just(LAST) | PLACES),
    st.builds(Rewound, PLACES, st.sampled_from(["chat", "both", "code"]), undoes=st.sampled_from([0, LAST]) | PLACES),
)
LOGS = st.lists(NEWS | ROOM, max_size=18)


def fitting(events: list[Durable]) -> list[Durable]:
    """Let what names LAST name the last record of its kind before it."""
    found: list[Durable] = []
    for event in events:
        last = {type(each): seq for seq, each in enumerate(found, 1) if not isinstance(each, Said)}
        answer = max((seq for seq, each in enumerate(found, 1) if isinstance(each, Said)), default=0)
        match event:
            case Rewound(undoes=at) if at == LAST:
                event = msgspec.structs.replace(event, undoes=last.get(Rewound, 0))
            case Restored(at) if at == LAST:
                event = Restored((fold(*found).replaced or (0,))[-1])
            case Returned(at) if at == LAST:
                event = msgspec.structs.replace(event, answer=answer)
            case Shortened(results):
                event = Shortened(
                    tuple(
                        Short(answer if each.answer == LAST else each.answer, each.index, each.text) for each in results
                    )
                )
        found.append(event)
    return found


def state(got: Conversation) -> tuple[object, ...]:
    return got.messages(), got.origins(), got.marks, got.replaced, got.plan, got.title, got.queued, got.open_calls


def holds_together(assert_valid: Check, got: Conversation) -> None:
    messages, origins, marks = got.messages(), got.origins(), got.marks
    assert_valid(messages)
    assert len(origins) == len(messages) == len(set(origins))
    for message, (_, index) in zip(messages, origins, strict=True):
        assert isinstance(message, ToolReturn) == (index >= 0)
    assert [mark.seq for mark in marks] == sorted({mark.seq for mark in marks})
    assert [mark.length for mark in marks] == sorted(mark.length for mark in marks)
    for mark in marks:
        assert_valid(messages[: mark.length])
    if not got.open_calls:
        assert len(messages) == (marks[-1].length if marks else 0)


def equal_at_every_step(assert_valid: Check, events: list[Durable]) -> None:
    log = logged(*fitting(events))
    step, flat = Conversation(keep_replaced=True), Conversation()
    for end, record in enumerate(log, 1):
        step.add(record)
        holds_together(assert_valid, step)
        assert step.messages() == fold_messages(log[:end])
        flat.add(record)
        if flat.needs_refold:  # as a session does it
            flat = fold_conversation(partial(iter, log[:end]), keep_replaced=True)
            flat.drop_replaced()
        assert state(flat) == state(step)


def taken_back_at_once(events: list[Durable], more: list[Durable], room: Durable) -> None:
    """What is said after room was made stands, when that is taken back, as if none had been made."""
    *settled, room = fitting([*events, Requested("kimi", 1), room])
    at = len(settled) + 1
    later = [event for event in more if not isinstance(event, Returned | CallStarted)]
    made = fold(*settled, room, *later)
    if at not in made.replaced:
        return
    back, never = (
        fold(*settled, room, *later, Restored(at)),
        fold(*settled, Spent("kimi", Usage()), *later, Requested("k", 1)),
    )
    assert (back.messages(), back.origins(), back.marks) == (never.messages(), never.origins(), never.marks)
    assert (back.replaced, back.plan, back.queued) == (never.replaced, never.plan, never.queued)


ANY_ROOM: st.SearchStrategy[Durable] = st.one_of(
    st.builds(Compacted, PLACES | st.just(LAST), st.just("sum")),
    st.just(Shortened((Short(LAST, 0, "s"), *(Short(answer, 0, "s") for answer in range(1, 17))))),
)


@settings(max_examples=50, deadline=None, database=None)
@given(LOGS)
def test_with_room_made_and_taken_back_step_by_step_equals_the_whole(
    assert_valid: Check, events: list[Durable]
) -> None:
    equal_at_every_step(assert_valid, events)


@settings(max_examples=50, deadline=None, database=None)
@given(LOGS, st.lists(NEWS, max_size=6), ANY_ROOM)
def test_room_that_is_taken_back_reads_as_if_it_had_never_been_made(
    events: list[Durable], more: list[Durable], room: Durable
) -> None:
    taken_back_at_once(events, more, room)


@pytest.mark.long
@pytest.mark.timeout(900)
@settings(max_examples=5_000, deadline=None, database=None)
@given(LOGS, st.lists(NEWS, max_size=6), ANY_ROOM)
def test_the_same_for_very_many_logs(
    assert_valid: Check, events: list[Durable], more: list[Durable], room: Durable
) -> None:
    equal_at_every_step(assert_valid, events)
    taken_back_at_once(events, more, room)
