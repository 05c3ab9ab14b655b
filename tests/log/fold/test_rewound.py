"""A rewind that is undone: what stood before it stands again, as long as nothing new was said."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimi_agent.log.events import (
    CallStarted,
    Compacted,
    Durable,
    Noted,
    Opened,
    Partial,
    Queued,
    Renamed,
    Requested,
    Returned,
    Rewound,
    Said,
    Stamped,
    TurnEnded,
)
from kimi_agent.log.fold.conversation import Conversation, fold_conversation
from kimi_agent.log.messages import Assistant, Message, user_message
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import PlanItem, PlanView, Result
from tests.log.fold_helpers import asks, fold, fold_messages, logged

Check = Callable[[Sequence[Message]], None]
PLAN = PlanView((PlanItem("x", "done"),))
OTHER = PlanView((PlanItem("y", "pending"),))


def state(got: Conversation) -> tuple[object, ...]:
    return got.messages(), got.plan, got.title, got.queued, got.open_calls, got.taken_back, got.turn_of(10**9)


def hi(text: str = "hi") -> Said:
    return Said(user_message(text))


TALK: tuple[Durable, ...] = (
    hi("first"),  # 1
    asks("p"),
    Returned(2, 0, Result("planned", PLAN)),
    Said(Assistant("a")),
    TurnEnded("done", 2),
    hi("second"),  # 6
    asks("p"),
    Returned(7, 0, Result("planned anew", OTHER)),
    Said(Assistant("b")),
    Queued(user_message("waits")),
    TurnEnded("done", 2),  # 11
)


def test_an_undone_rewind_brings_back_messages_plan_and_queue() -> None:
    back = fold(*TALK, Rewound(6, "chat"))
    assert (len(back.messages()), back.plan, back.queued) == (4, PLAN, ())
    again = fold(*TALK, Rewound(6, "chat"), Rewound(12, "chat", undoes=12))
    assert state(again) == state(fold(*TALK))
    assert again.plan == OTHER


def test_rewinds_are_undone_one_after_the_other() -> None:
    twice = (*TALK, Rewound(6), Rewound(1))
    assert fold(*twice).messages() == []
    once = (*twice, Rewound(13, undoes=13))
    assert state(fold(*once)) == state(fold(*TALK, Rewound(6)))
    assert state(fold(*once, Rewound(12, undoes=12))) == state(fold(*TALK))
    assert state(fold(*once, Rewound(12, undoes=12), Rewound(14, undoes=14))) == state(fold(*twice))


def test_a_rewind_may_be_undone_twice_whatever_came_between() -> None:
    undone = (*TALK, Rewound(6), Rewound(12, undoes=12))
    between = (*undone, Partial("half"), Queued(user_message("later")), TurnEnded("interrupted", 1))
    assert len(fold(*between).messages()) == len(fold(*TALK).messages()) + 1
    again = fold(*between, Rewound(12, undoes=12))
    assert again.messages() == fold(*TALK).messages()
    assert [message.text for _, message in again.queued] == ["waits", "later"]


def test_the_title_goes_and_comes_with_the_words_it_was_made_of() -> None:
    gone = (hi("fix it"), Rewound(1))
    assert fold(*gone).title == ""
    assert fold(*gone, Rewound(2, undoes=2)).title == "fix it"
    assert fold(*gone, Renamed("mine"), Rewound(2, undoes=2)).title == "mine"


def test_what_was_typed_since_still_waits_when_a_rewind_is_undone() -> None:
    again = fold(hi(), Queued(user_message("old")), Rewound(1), Queued(user_message("new")), Rewound(3, undoes=3))
    assert again.queued == ((2, user_message("old")), (4, user_message("new")))


def test_nothing_is_brought_back_once_something_new_was_said() -> None:
    new = (*TALK, Rewound(6), hi("other"))
    assert state(fold(*new, Rewound(12, undoes=12))) == state(fold(*new))
    answered = (*TALK, Rewound(6), Said(Assistant("new")))
    assert state(fold(*answered, Rewound(12, undoes=12))) == state(fold(*answered))
    assert state(fold(*TALK, Rewound(1, undoes=3))) == state(fold(*TALK)), "no such rewind"


def test_nothing_heavy_is_kept_once_something_new_was_said() -> None:
    got = fold(*TALK, Rewound(6))
    assert got._before_rewinds  # a rewind could be undone
    got.add(Stamped("main", 13, 13.0, hi("new")))
    assert not got._before_rewinds


def test_a_rewind_behind_a_compaction_can_be_undone_and_the_compaction_stands_again() -> None:
    compacted = (hi(), Said(Assistant("a")), hi("b"), Compacted(2, "short"), Said(Assistant("c")))
    assert fold(*compacted, Rewound(3)).messages() == [user_message("hi"), Assistant("a")]
    again = fold(*compacted, Rewound(3), Rewound(6, undoes=6))
    assert state(again) == state(fold(*compacted))
    flat = Conversation()
    for record in logged(*compacted, Rewound(3)):
        flat.add(record)
    assert flat.needs_refold


def test_a_compaction_after_the_rewind_goes_with_it() -> None:
    events = (*TALK, Rewound(6), Compacted(5, "short"))
    assert len(fold(*events).messages()) == 1
    again = (*events, Rewound(12, undoes=12))
    assert state(fold(*again)) == state(fold(*TALK))
    assert fold(*again, Rewound(6)).messages() == fold(*TALK[:5]).messages()


def test_open_calls_stay_answered_when_the_rewind_is_undone(assert_valid: Check) -> None:
    events = (hi(), asks("a", "b"), CallStarted(2, 0, "a", "write"), Partial("half"), Rewound(1), Rewound(5, undoes=5))
    messages = fold(*events).messages()
    assert_valid(messages)
    assert messages[:4] == fold(*events[:3]).messages()


def test_a_session_that_is_resumed_knows_what_an_undo_brings_back(tmp_path: Path) -> None:
    opened = Opened("s", str(tmp_path), "kimi", "0")
    session = Session.create(tmp_path / "s", opened, now=lambda: 0.0, sync=lambda fd: None)
    for event in (hi(), Said(Assistant("a")), hi("b"), Said(Assistant("c")), Rewound(4)):
        session.emit(event)
    session.close()
    session = Session.resume(tmp_path / "s", now=lambda: 0.0, sync=lambda fd: None)
    assert session.conversation.messages() == [user_message("hi"), Assistant("a")]
    session.emit(Rewound(6, undoes=6))
    assert session.conversation.messages() == [user_message("hi"), Assistant("a"), user_message("b"), Assistant("c")]
    session.close()


def test_what_was_taken_back_of_the_files_alone_is_known_until_the_turn_ends() -> None:
    back = Rewound(6, "code", "1" * 40, "2" * 40, ("a.py",))
    assert fold(*TALK, back).taken_back == (back,)
    assert fold(*TALK, back, hi(), Said(Assistant("x"))).taken_back == (back,)
    assert fold(*TALK, back, hi(), Said(Assistant("x")), TurnEnded("done", 1)).taken_back == ()
    assert fold(*TALK, back, Rewound(12, "code", undoes=12)).taken_back == ()
    assert fold(*TALK, back, Rewound(6, "chat")).taken_back == (), "the chat that told of it is gone too"
    assert fold(*TALK, back, Rewound(6, "chat"), Rewound(13, undoes=13)).taken_back == (back,)
    later = Rewound(6, "both")
    assert fold(*TALK, later).taken_back == ()


def test_turns_are_numbered_as_they_stand() -> None:
    got = fold(*TALK)
    assert [got.turn_of(seq) for seq in (0, 1, 5, 6, 11)] == [0, 1, 1, 2, 2]
    got = fold(*TALK, Rewound(6), hi("instead"))
    assert [got.turn_of(seq) for seq in (1, 12, 13)] == [1, 1, 2]


def test_how_much_a_rewind_leaves_is_known_before_it() -> None:
    got = fold(*TALK)
    for to in range(1, 12):
        assert got.length_before(to) == len(fold(*TALK, Rewound(to)).messages())
    assert fold(*TALK, Compacted(5, "short")).length_before(6) is None


PLACES = st.integers(1, 16)
NEWS: st.SearchStrategy[Durable] = st.one_of(
    st.builds(Said, st.sampled_from([user_message("u"), user_message("v"), Assistant("t")])),
    st.sampled_from([asks("a"), asks("a", "b", "c")]),
    st.builds(CallStarted, PLACES, st.integers(0, 2), st.just("a"), st.just("write")),
    st.builds(Returned, PLACES, st.integers(0, 2), st.builds(Result, st.just("x"), st.sampled_from([None, PLAN]))),
    st.builds(Partial, st.sampled_from(["", "half"])),
    st.sampled_from([TurnEnded("done", 1), Requested("kimi", 1), Noted("n"), Renamed("mine")]),
    st.builds(Queued, st.just(user_message("q"))),
    st.builds(Compacted, PLACES, st.just("sum")),
)
LAST = 10**6
REWINDS: st.SearchStrategy[Durable] = st.builds(
    Rewound, PLACES, st.sampled_from(["chat", "both", "code"]), undoes=st.sampled_from([0, LAST]) | PLACES
)
LOGS = st.lists(NEWS | REWINDS, max_size=14)


def fitting(events: list[Durable]) -> list[Durable]:
    """Let what undoes LAST undo the last rewind before it."""
    found: list[Durable] = []
    for event in events:
        last = max((seq for seq, each in enumerate(found, 1) if isinstance(each, Rewound)), default=0)
        undoes = isinstance(event, Rewound) and event.undoes == LAST
        found.append(msgspec.structs.replace(event, undoes=last) if undoes else event)
    return found


def equal_at_every_step(assert_valid: Check, events: list[Durable]) -> None:
    log = logged(*fitting(events))
    step = Conversation(keep_replaced=True)
    for end, record in enumerate(log, 1):
        step.add(record)
        assert step.messages() == fold_messages(log[:end])
        assert_valid(step.messages())
    assert state(fold_conversation(lambda: log)) == state(step)


def undone_at_once(events: list[Durable], to: int) -> None:
    settled = [*fitting(events), Requested("kimi", 1), TurnEnded("done", 1)]  # no call is open, no answer half
    rewind = len(settled) + 1
    assert state(fold(*settled, Rewound(to), Rewound(rewind, undoes=rewind))) == state(fold(*settled))


@settings(max_examples=60, deadline=None, database=None)
@given(LOGS)
def test_with_rewinds_and_undos_the_fold_step_by_step_equals_the_whole(
    assert_valid: Check, events: list[Durable]
) -> None:
    equal_at_every_step(assert_valid, events)


@settings(max_examples=40, deadline=None, database=None)
@given(LOGS, PLACES)
def test_a_rewind_that_is_undone_at_once_changes_nothing(events: list[Durable], to: int) -> None:
    undone_at_once(events, to)


@pytest.mark.long
@pytest.mark.timeout(600)
@settings(max_examples=3000, deadline=None, database=None)
@given(LOGS, PLACES)
def test_the_same_for_many_logs(assert_valid: Check, events: list[Durable], to: int) -> None:
    equal_at_every_step(assert_valid, events)
    undone_at_once(events, to)
