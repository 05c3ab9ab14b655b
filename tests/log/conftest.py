"""A log with every kind of record in it, for whoever needs one."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest

from kimi_agent.log.event_parts import Fingerprint, OpenCall, Short
from kimi_agent.log.events import (
    Answered,
    Asked,
    CallStarted,
    Checkpoint,
    Committed,
    Compacted,
    Durable,
    Judged,
    Noted,
    Opened,
    Partial,
    Queued,
    Recovered,
    Renamed,
    Requested,
    Restored,
    Returned,
    Rewound,
    Said,
    Seen,
    Shortened,
    Spent,
    Stamped,
    TurnEnded,
)
from kimi_agent.log.messages import Assistant, Call, Media, Message, Text, ToolReturn, Usage, User, user_message
from kimi_agent.log.questions import Decision, Question
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import (
    DiffView,
    Evidence,
    FileDiff,
    OutputView,
    PlanItem,
    PlanView,
    Result,
    TextView,
    Weakened,
)


class Story:
    """Events in order; `tell` gives back the seq that a session will stamp each with."""

    def __init__(self) -> None:
        self.events: list[Durable] = []

    def tell(self, event: Durable) -> int:
        self.events.append(event)
        return len(self.events)

    def answer(self, *calls: tuple[str, str, str], text: str = "", reasoning: str | None = "hm") -> int:
        made = tuple(Call(*call) for call in calls)
        return self.tell(Said(Assistant(text, reasoning, made), Usage(900, 40, 800), "tool_calls" if calls else "stop"))

    def call(self, answer: int, index: int, name: str, result: Result) -> None:
        self.tell(CallStarted(answer, index, name, "read"))
        self.tell(Returned(answer, index, result, 0.25))


def rich_story() -> list[Durable]:
    """Two turns, a crash, two compactions (one taken back), a rewind, a queue: every kind of event, about 7 kB."""
    story = Story()
    tell = story.tell
    tell(Opened("20261122-003440-k3f9", "/srv/ü b", "kimi-k2.6", "0.1", "You are Kimi."))
    tell(Said(User((Text("fix the ปัญหา\n\nplease"), Media("image", "image/png", "0" * 64)))))
    tell(Requested("kimi-k2.6", 1))
    one = story.answer(
        ("functions.read_file:0", "read_file", '{"path":"a.py"}'), ("functions.read_file:0", "plan", "{}")
    )
    tell(Seen("a.py", "a" * 64, ((1, 20),), whole=True))
    tell(CallStarted(one, 0, "read_file", "read"))
    tell(CallStarted(one, 1, "plan", "read"))
    tell(Returned(one, 1, Result("planned", PlanView((PlanItem("look", "done"), PlanItem("mend", "pending"))))))
    tell(Returned(one, 0, Result("1 def a(): …\n", TextView("def a()", "1 line"))))
    tell(Requested("kimi-k2.6", 4))
    two = story.answer(("id\u2028é\x7f", "apply_patch", '{"patch":"*** a.py"}'), text="I mend it.", reasoning="")
    question = Question("apply_patch", "Edit a.py", DiffView((FileDiff("a.py", "M", 1, 1, "-a\n+b\n"),)), rule="a")
    tell(Asked(question))
    tell(Answered(question, Decision(allowed=True)))
    tell(Checkpoint("b" * 40))
    tell(CallStarted(two, 0, "apply_patch", "write", (Fingerprint("a.py", "a" * 64),)))
    tell(Returned(two, 0, Result("Error [stale]: read it again", failed=True, code="stale"), 0.1))
    queued = tell(Queued(user_message("and the tests?")))
    tell(Said(user_message("and the tests?"), queued=queued))
    tell(Partial("I was about", "so", "the connection was lost"))
    story.answer(text="Done; all green.", reasoning=None)
    tell(TurnEnded("done", 3))
    tell(Judged(Evidence("no_tests", "b" * 40, ("a.py",), weakened=(Weakened("t.py", "test_a", "skipped"),))))
    tell(Committed("d" * 40, "kimi-agent/mend-a", ("a.py",)))
    tell(Renamed("Mend a"))
    tell(Noted("plan mode"))
    aside = tell(Said(user_message("what else?")))
    tell(Partial("Well, there is", why="interrupted"))
    tell(TurnEnded("interrupted", 1, "Ctrl-C"))
    tell(Shortened((Short(one, 0, "def a(): …"),), 900, 600))
    tell(Spent("kimi-k2.6", Usage(600, 20, 0, 5), 0.25, "compaction", 500, "history edited"))
    early = tell(Compacted(one + 3, "a.py was looked at", "asked", 4, 600, 300, "a.py"))
    tell(Restored(early))
    tell(Compacted(aside - 3, "a.py was mended, tests are green"))
    tell(Said(user_message("run them again")))
    three = story.answer(("x:0", "shell", '{"command":"make"}'), ("x:1", "shell", '{"command":"ls"}'))
    tell(CallStarted(three, 0, "shell", "execute", (Fingerprint("b.py", "c" * 64),)))
    tell(Recovered(cut_bytes=7, calls=(OpenCall(three, 0, ("b.py",)),)))
    undone = tell(Said(user_message("never mind")))
    story.answer(text="All right.")
    tell(TurnEnded("done", 1))
    tell(Rewound(undone, "chat"))
    tell(Said(user_message("go on")))
    four = story.answer(("y:0", "shell", "{}"), ("y:1", "shell", "{}"), ("y:2", "shell", "{}"))
    tell(CallStarted(four, 0, "shell", "execute"))
    tell(Returned(four, 0, Result("ok", OutputView("make", "ok", 0, 1.5, "/work"))))
    tell(CallStarted(four, 1, "shell", "execute"))
    tell(Queued(user_message("are you there?")))
    return story.events


def stamped(events: list[Durable]) -> list[Stamped]:
    """The events as a session would stamp them."""
    return [Stamped("main", seq, 1_795_307_680.25 + seq, event) for seq, event in enumerate(events, 1)]


@pytest.fixture
def rich_events() -> list[Durable]:
    """Every kind of durable event, the first an `Opened`."""
    return rich_story()


@pytest.fixture
def rich_log() -> list[Stamped]:
    """The same, stamped."""
    return stamped(rich_story())


@pytest.fixture
def clock() -> Callable[[], float]:
    """A clock that goes on by a second at each look."""
    ticks: Iterator[int] = count(1_795_307_680)
    return lambda: float(next(ticks))


@pytest.fixture
def write_log(clock: Callable[[], float]) -> Callable[[Path, list[Durable]], Path]:
    """Write events as a session into a folder and close it; gives back the path of the log."""

    def write(folder: Path, events: list[Durable]) -> Path:
        first, *more = events
        assert isinstance(first, Opened)
        session = Session.create(folder, first, now=clock, sync=lambda fd: None)
        for event in more:
            session.emit(event)
        session.close()
        return session.path

    return write


@pytest.fixture(scope="session")
def assert_valid() -> Callable[[Sequence[Message]], None]:
    """Holds messages to what the server takes: each call has one result right behind its answer; nothing is empty."""

    def check(messages: Sequence[Message]) -> None:
        due: list[str] = []
        for message in messages:
            if isinstance(message, ToolReturn):
                assert due
                assert due.pop(0) == message.call_id
                continue
            assert not due
            if isinstance(message, Assistant):
                assert message.text.strip() or message.calls
                due = [call.id for call in message.calls]
        assert not due
        str(messages).encode()

    return check
