"""The fold: what the model reads of a log."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimi_agent.log.event_parts import Fingerprint, OpenCall
from kimi_agent.log.events import (
    CallStarted,
    Compacted,
    Durable,
    Noted,
    Partial,
    Queued,
    Recovered,
    Renamed,
    Requested,
    Returned,
    Rewound,
    Said,
    Stamped,
    TurnEnded,
)
from kimi_agent.log.fold.conversation import Conversation, fold_conversation
from kimi_agent.log.fold.unanswered_calls import NOT_RUN_TEXT, settle_calls
from kimi_agent.log.messages import Assistant, Call, Message, ToolReturn, User, user_message
from kimi_agent.log.views import PlanItem, PlanView, Result
from tests.log.fold_helpers import fold, fold_messages, logged

STARTED = "Error [interrupted]: interrupted; it may or may not have taken effect\nNext: check before repeating it"


def read(*events: Durable) -> list[Message]:
    return fold_messages(logged(*events))


def calls(*names: str, text: str = "") -> Assistant:
    return Assistant(text, "thought", tuple(Call(f"f:{name}", name, "{}") for name in names))


def returned(name: str, content: str) -> ToolReturn:
    return ToolReturn(f"f:{name}", name, content)


Check = Callable[[Sequence[Message]], None]
HI = Said(user_message("hi"))


def test_results_stand_behind_their_answer_in_the_order_of_the_calls() -> None:
    answer = calls("a", "b", "c")
    messages = read(
        HI,
        Said(answer),
        Returned(2, 2, Result("C")),
        Returned(2, 0, Result("A")),
        Returned(2, 1, Result("B")),
        Said(Assistant("done")),
    )
    results = [returned("a", "A"), returned("b", "B"), returned("c", "C")]
    assert messages == [user_message("hi"), answer, *results, Assistant("done")]


def test_calls_are_told_apart_by_place_not_by_wire_id() -> None:
    twins = Assistant("", None, (Call("x:0", "f", "{}"), Call("x:0", "f", "{}")))
    messages = read(
        HI,
        Said(twins),
        Returned(2, 0, Result("first")),
        Returned(2, 1, Result("second")),
        Said(twins),
        Returned(5, 1, Result("fourth")),
        Returned(2, 1, Result("stray")),
        Returned(5, 0, Result("third")),
        Returned(5, 0, Result("again")),
        Returned(5, 7, Result("no such call")),
        Returned(5, -1, Result("no such call")),
    )
    assert [m.content for m in messages if isinstance(m, ToolReturn)] == ["first", "second", "third", "fourth"]


@pytest.mark.parametrize(
    "end", [Said(user_message("and?")), TurnEnded("interrupted", 1), Requested("kimi", 3), Said(Assistant("so"))]
)
def test_an_open_call_is_answered_where_its_answer_ends(end: Durable) -> None:
    open_ = (HI, Said(calls("a", "b", "c")), Returned(2, 1, Result("B")), CallStarted(2, 0, "a", "write"))
    results = [returned("a", STARTED), returned("b", "B"), returned("c", NOT_RUN_TEXT)]
    before = read(*open_)
    assert before == [user_message("hi"), calls("a", "b", "c"), *results]
    after = read(*open_, end, Returned(2, 0, Result("too late")))
    assert after[: len(before)] == before
    assert "too late" not in str(after)


def test_a_recovered_call_names_the_files_that_changed() -> None:
    open_ = (
        HI,
        Said(calls("a", "b", "c")),
        CallStarted(2, 0, "a", "write", (Fingerprint("x.py", "1"), Fingerprint("y.py", "2"))),
        CallStarted(2, 1, "b", "write", (Fingerprint("y.py", "2"),)),
    )
    fold_ = fold(*open_)
    now = {"x.py": "other", "y.py": "2"}
    settled_calls = settle_calls(fold_.open_calls, lambda paths: [Fingerprint(path, now[path]) for path in paths])
    assert settled_calls == (OpenCall(2, 0, ("x.py",)), OpenCall(2, 1))
    texts = [m.content for m in read(*open_, Recovered(calls=settled_calls)) if isinstance(m, ToolReturn)]
    assert texts == [
        STARTED.replace("\nNext", "\nFiles that changed since it began: x.py\nNext"),
        STARTED.replace("\nNext", "\nNone of the files it names changed since it began.\nNext"),
        NOT_RUN_TEXT,
    ]


def test_a_recovery_that_names_no_call_leaves_the_calls_open() -> None:
    events = (HI, Said(calls("a")), CallStarted(2, 0, "a", "read"), Recovered(cut_bytes=9))
    assert [call.index for call in fold(*events).open_calls] == [0]
    assert read(*events, Returned(2, 0, Result("run again")))[-1] == returned("a", "run again")


def test_a_partial_answer_is_kept_when_the_turn_ends() -> None:
    broken = Assistant("Well\n\n[the answer broke off: cut]", "thought")
    assert read(HI, Partial("Well", "thought", "cut")) == [user_message("hi")]
    assert read(HI, Partial("Well", "thought", "cut"), TurnEnded("failed", 1)) == [user_message("hi"), broken]
    assert read(HI, Partial("Well", "thought", "cut"), Said(user_message("and?"))) == [
        user_message("hi"),
        broken,
        user_message("and?"),
    ]


def test_a_partial_answer_is_dropped_when_a_whole_one_follows() -> None:
    assert read(HI, Partial("We"), Partial("Well"), Said(Assistant("Well!")), TurnEnded("done", 1)) == [
        user_message("hi"),
        Assistant("Well!"),
    ]


def test_nothing_empty_joins_the_conversation() -> None:
    events = (HI, Said(Assistant("", "only thought")), Said(Assistant(" \n")), Partial("", "thought"), Partial(" \n"))
    assert read(*events, TurnEnded("failed", 2)) == [user_message("hi")]


def test_a_compaction_replaces_what_it_covers() -> None:
    events = (HI, Said(calls("a")), Returned(2, 0, Result("A")), Said(Assistant("done")), Said(user_message("more")))
    first, *rest = read(*events, Compacted(4, "it went well"), Said(Assistant("yes")))
    assert isinstance(first, User)
    assert first.text.endswith("it went well")
    assert "summary" in first.text
    assert rest == [user_message("more"), Assistant("yes")]


def test_a_compaction_never_cuts_between_a_call_and_its_result(assert_valid: Check) -> None:
    events = (HI, Said(calls("a", "b")), Returned(2, 0, Result("A")), Returned(2, 1, Result("B")))
    for through in range(1, 5):
        messages = read(*events, Compacted(through, "short"))
        assert_valid(messages)
        assert len(messages) == (1 if through == 4 else 4)


def test_compactions_follow_each_other() -> None:
    events = (HI, Said(Assistant("a")), Compacted(2, "one"), Said(user_message("b")), Said(Assistant("c")))
    messages = read(*events, Compacted(4, "two"))
    assert messages[1:] == [Assistant("c")]
    assert "two" in str(messages[0])
    assert "one" not in str(messages[0])
    assert read(*events, Compacted(1, "covers nothing that is there")) == read(*events)


def test_a_rewind_goes_back_to_just_before_a_record() -> None:
    plan = PlanView((PlanItem("x", "done"),))
    events = (HI, Said(calls("p")), Returned(2, 0, Result("", plan)), Said(Assistant("a")), Said(user_message("b")))
    later = (Said(calls("p")), Returned(6, 0, Result("", PlanView(()))), Queued(user_message("q")))
    rewound = fold(*events, *later, Rewound(5, "chat"))
    assert rewound.messages() == read(*events[:4])
    assert rewound.plan == plan
    assert rewound.queued == ()
    assert read(*events, *later, Rewound(5, "code")) == read(*events, *later)
    assert read(*events, Rewound(1), HI) == [user_message("hi")]
    assert read(*events, Rewound(99)) == read(*events)


def test_a_rewind_into_open_calls_leaves_no_call_alone(assert_valid: Check) -> None:
    events = (
        HI,
        Said(calls("a", "b")),
        CallStarted(2, 0, "a", "write"),
        Returned(2, 0, Result("A")),
        Said(user_message("b")),
    )
    for to in range(1, 7):
        assert_valid(read(*events, Rewound(to)))
    assert read(*events, Rewound(5)) == read(*events[:4])


def test_a_rewind_behind_a_compaction_brings_back_what_it_replaced() -> None:
    events = (
        HI,
        Said(Assistant("a")),
        Said(user_message("b")),
        Compacted(2, "short"),
        Said(Assistant("c")),
        Rewound(3),
    )
    flat = Conversation()
    for record in logged(*events):
        flat.add(record)
    assert flat.needs_refold  # what it would need was let go, so that memory stays flat
    assert fold(*events).messages() == read(*events) == [user_message("hi"), Assistant("a")]


def test_what_waits_in_the_queue_is_known_until_it_joins() -> None:
    events = (HI, Queued(user_message("one")), Queued(user_message("two")), Said(user_message("one"), queued=2))
    assert fold(*events).queued == ((3, user_message("two")),)
    assert fold(*events).turn_of(len(events)) == 1


def test_the_conversation_is_named_after_the_first_words() -> None:
    assert fold(Said(user_message("\n  fix   it \nnow"))).title == "fix it"
    assert len(fold(Said(user_message("x" * 500))).title) == 60
    assert fold(Said(user_message("\x1b[2J\u202e\u0e1b\u0e31"))).title == "[2J \u0e1b\u0e31"
    assert fold(HI, Renamed("mine"), Said(user_message("other"))).title == "mine"
    assert fold(HI, Rewound(1), Said(user_message("other"))).title == "other"


def test_the_last_note_is_known() -> None:
    assert fold(HI, Noted("n"), Said(Assistant("b"))).noted == "n"


def test_the_rich_log_reads_as_a_valid_request_at_every_record(rich_log: list[Stamped], assert_valid: Check) -> None:
    for end in range(len(rich_log) + 1):
        assert_valid(fold_messages(rich_log[:end]))


PLACES = st.integers(1, 12)
EVENTS: st.SearchStrategy[Durable] = st.one_of(
    st.builds(
        Said, st.sampled_from([user_message("u"), calls("a"), calls("a", "b", "c"), Assistant("t"), Assistant("")])
    ),
    st.builds(CallStarted, PLACES, st.integers(-1, 3), st.just("a"), st.just("write")),
    st.builds(Returned, PLACES, st.integers(-1, 3), st.builds(Result, st.sampled_from(["x", "y"]))),
    st.builds(Partial, st.sampled_from(["", "half"])),
    st.builds(Recovered, calls=st.sampled_from([(), (OpenCall(2, 0, ("f",)),)])),
    st.just(TurnEnded("interrupted", 1)),
    st.just(Requested("kimi", 1)),
    st.builds(Queued, st.just(user_message("q"))),
)
CUTS: st.SearchStrategy[Durable] = st.builds(Compacted, PLACES, st.just("sum")) | st.builds(Rewound, PLACES)


@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(EVENTS | CUTS, max_size=14))
def test_the_fold_step_by_step_equals_the_whole_and_is_always_valid(assert_valid: Check, events: list[Durable]) -> None:
    log = logged(*events)
    step = Conversation(keep_replaced=True)
    for end, record in enumerate(log, 1):
        step.add(record)
        assert step.messages() == fold_messages(log[:end])
        assert_valid(step.messages())
    flat = fold_conversation(lambda: log)
    assert flat.messages() == step.messages()
    assert (flat.plan, flat.title, flat.queued, flat.open_calls) == (
        step.plan,
        step.title,
        step.queued,
        step.open_calls,
    )


@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(EVENTS, max_size=16))
def test_what_a_request_held_is_the_beginning_of_the_next(events: list[Durable]) -> None:
    got = Conversation()
    requests = []
    for record in logged(*events):
        if isinstance(record.event, Requested):
            requests.append(got.messages())
        got.add(record)
        if isinstance(record.event, Requested):
            assert got.messages() == requests[-1]
    requests.append(got.messages())
    for earlier, later in pairwise(requests):
        assert later[: len(earlier)] == earlier


def test_the_very_same_messages_are_given_again() -> None:
    got = fold(HI, Said(calls("a")), Returned(2, 0, Result("A")))
    first = got.messages()
    got.add(Stamped("main", 4, 4.0, Said(Assistant("b"))))
    assert all(old is new for old, new in zip(first, got.messages(), strict=False))
    first.clear()
    assert len(got.messages()) == 4
