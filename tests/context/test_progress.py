import json
from collections.abc import Sequence
from typing import Literal

import pytest

from kimi_agent.context.progress_tracker import ProgressTracker
from kimi_agent.log.events import (
    CallStarted,
    Checkpoint,
    Committed,
    Compacted,
    Event,
    Noted,
    Queued,
    Restored,
    Returned,
    Rewound,
    Said,
    Seen,
    Shortened,
)
from kimi_agent.log.messages import Assistant, Call, user_message
from kimi_agent.log.views import DiffView, FileDiff, Result, TestCase, TestReport

AUTO = Compacted(1, "summary")


def after(*events: Event, before: Sequence[Event] = ()) -> bool:
    """Whether the events are progress behind an automatic compaction."""
    progress = ProgressTracker("/w")
    for seq, event in enumerate((*before, AUTO, *events), 1):
        progress.add(seq, event)
    assert progress.since_reduction == progress.since_compaction
    return progress.since_compaction


def call(name: str, effect: Literal["read", "execute"], at: int, **arguments: object) -> list[Event]:
    """An answer that stands as record `at`, and its call begins."""
    asked = Assistant("", None, (Call("f:0", name, json.dumps(arguments)),))
    return [Said(asked), CallStarted(at, 0, name, effect)]


def ran_tests(*cases: TestCase) -> Returned:
    return Returned(1, 0, Result("", TestReport("failed", "pytest", "e", "pytest", 1, 1.0, cases)))


@pytest.mark.parametrize(
    "event",
    [
        Said(user_message("go on")),
        Queued(user_message("and this")),
        Committed("abc", "main"),
        Rewound(1),
        Restored(1),
        Seen("a.py", "a" * 64, by="write"),
        Seen("a.py", "a" * 64, ((1, 9),)),
        Returned(1, 0, Result("", DiffView((FileDiff("a.py", "M", 1, 1, ""),)))),
        ran_tests(TestCase("t", "failed")),
    ],
)
def test_what_gets_on_is_progress(event: Event) -> None:
    assert after(event)


@pytest.mark.parametrize(
    "event",
    [
        Noted("a note"),
        Said(Assistant("thinking")),
        Returned(1, 0, Result("text")),
        Returned(1, 0, Result("", DiffView(()))),
        Returned(1, 0, Result("", DiffView((FileDiff("a.py", "M", 1, 1, ""),)), failed=True)),
        CallStarted(99, 0, "f", "read"),
        CallStarted(1, 7, "f", "read"),
    ],
)
def test_what_changes_nothing_is_none(event: Event) -> None:
    assert not after(event)


def test_a_call_counts_when_it_is_made_for_the_first_time() -> None:
    assert after(*call("shell", "execute", 2, command="make"))
    assert not after(*call("shell", "execute", 4, command="make"), before=call("shell", "execute", 1, command="make"))


def test_reading_again_what_was_seen_is_none_however_it_is_asked_for() -> None:
    seen = Seen("a.py", "a" * 64, ((1, 900),))
    for path in ("a.py", "./a.py", "/w/a.py"):
        assert not after(*call("read_file", "read", 3, path=path, offset=7), before=[seen])
    assert not after(seen, before=[seen])
    assert after(*call("read_file", "read", 3, path="b.py"), before=[seen])
    assert after(*call("search_code", "read", 3, path="a.py", pattern="x"), before=[seen])
    assert after(Seen("a.py", "a" * 64, ((901, 950),)), before=[seen])
    assert after(Seen("a.py", "b" * 64, ((1, 900),)), before=[seen])


def test_tests_count_when_they_come_out_differently() -> None:
    before = [ran_tests(TestCase("t", "failed"))]
    assert not after(ran_tests(TestCase("t", "failed")), before=before)
    assert after(ran_tests(TestCase("u", "failed")), before=before)


def test_a_tree_that_a_command_changed_counts() -> None:
    assert after(Checkpoint("aaa"), Checkpoint("bbb", "after"))
    assert not after(Checkpoint("aaa"), Checkpoint("aaa", "after"))
    assert not after(Checkpoint("", failed="disk full"))


def test_what_a_person_asked_for_is_no_circle_and_shortening_is_told_apart() -> None:
    progress = ProgressTracker("/w")
    progress.add(1, Compacted(1, "s", "asked"))
    assert (progress.since_compaction, progress.since_reduction) == (True, True)
    progress.add(2, Shortened(()))
    assert (progress.since_compaction, progress.since_reduction) == (True, False)
    progress.add(3, Said(user_message("x")))
    assert progress.since_reduction
