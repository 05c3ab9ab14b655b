"""Which records still count after rewinds and undos: whoever asks agrees with the conversation that the model reads."""

from dataclasses import dataclass, field
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from kimi_agent.context.session_facts import fold_session_facts
from kimi_agent.log.events import Compacted, Durable, Opened, Restored, Returned, Rewound, Said, Seen, Stamped
from kimi_agent.log.fold.conversation import fold_conversation
from kimi_agent.log.fold.current_records import CurrentRecords
from kimi_agent.log.messages import user_message
from kimi_agent.log.readers.recall import SessionRecall
from kimi_agent.log.views import Result, TestReport
from kimi_agent.rewind.rewindable_turns import RewindHistory
from kimi_agent.verify.run_history import read_run_history
from kimi_agent.workspace.files.seen_files import seen_in_conversation
from tests.log.fold_helpers import current_in, logged

Step = tuple[Literal["say", "run", "rewind", "undo", "compact", "restore"], Literal["chat", "code", "both"], int, bool]
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from(["say", "say", "run", "rewind", "undo", "undo", "compact", "restore"]),
        st.sampled_from(["chat", "code", "both"]),
        st.integers(0, 50),
        st.booleans(),
    ),
    max_size=16,
)


@dataclass
class Written:
    """A log of the kind that the program writes, from steps: rewinds go to a prompt, undos name a rewind."""

    events: list[Durable] = field(default_factory=lambda: [Opened("s", "/w", "kimi", "0.1")])
    undoable: list[int] = field(default_factory=list)

    def places(self, kind: type[Durable]) -> list[int]:
        return [seq for seq, event in enumerate(self.events, 1) if isinstance(event, kind)]

    def add(self, step: Step) -> None:
        kind, what, number, flag = step
        seq = len(self.events) + 1
        said, undoable = self.places(Said), self.undoable or self.places(Rewound)
        match kind:
            case "say":
                self.undoable = []
                self.events += [Said(user_message(f"m{seq}")), Seen(f"f{seq}", f"{seq}", ((1, 9),))]
            case "run":
                tree = f"tree{number % 3}"
                report = TestReport("passed", "pytest", "", "pytest", 0, 0.1, tree=tree)
                self.events.append(Returned(seq, 0, Result("", report)))
            case "rewind" if said:
                tree = "" if what == "chat" else f"tree{number % 3}"
                self.events.append(Rewound(said[number % len(said)], what, tree=tree))
                self.undoable.append(seq)
            case "undo" if undoable:
                undone = undoable[-1 if flag else number % len(undoable)]
                old = self.events[undone - 1]
                assert isinstance(old, Rewound)
                tree = "" if old.what == "chat" else f"tree{number % 3}"
                self.events.append(Rewound(undone, old.what, tree=tree, undoes=undone))
            case "compact" if said:
                self.events.append(Compacted(said[number % len(said)] + 1, "a summary"))
            case "restore" if compacted := self.places(Compacted):
                self.events.append(Restored(compacted[-1]))
            case _:
                pass


def write(steps: list[Step], *without: str) -> list[Stamped]:
    written = Written()
    for step in steps:
        if step[0] not in without:
            written.add(step)
    return logged(*written.events)


def in_conversation(log: list[Stamped]) -> set[int]:
    """The messages that stand in the conversation, by the seq of their record."""
    return {seq for seq, _ in fold_conversation(lambda: log, keep_replaced=True).origins()}


def said_in(log: list[Stamped]) -> list[int]:
    return [stamped.seq for stamped in log if isinstance(stamped.event, Said)]


def agree_with_the_conversation(log: list[Stamped]) -> None:
    stands, said = in_conversation(log), said_in(log)
    current = current_in(log)
    assert [seq for seq in said if current.is_current(seq)] == [seq for seq in said if seq in stands]

    history = RewindHistory()
    assert [turn.seq for turn in [*history.pass_through(log)] and history.turns] == sorted(stands)

    facts = fold_session_facts(log, current)
    words = [facts.first, *reversed(facts.words.newest_first())]
    assert [word.seq for word in words if word is not None] == sorted(stands)

    hits = SessionRecall(lambda: log).search("m", limit=99).newest
    assert {int(hit.place.lstrip("#")) for hit in hits if not hit.status} == stands
    assert {hit.status for hit in hits} <= {"", "taken back"}

    assert [int(seen.sha256) for seen in seen_in_conversation(log)] == sorted(stands)


def the_text_of_seen_files_is_in_the_conversation(log: list[Stamped]) -> None:
    current, stands = current_in(log), in_conversation(log)
    seen = seen_in_conversation(log)
    assert [int(each.sha256) for each in seen] == [seq for seq in said_in(log) if current.is_current(seq)]
    assert {int(each.sha256) for each in seen if each.ranges} <= stands


def runs_that_stand(log: list[Stamped]) -> list[int]:
    """The runs by the rule itself: a rewind drops those on other files than it left, its undo brings them back."""
    runs: list[tuple[int, str]] = []
    before: dict[int, list[tuple[int, str]]] = {}
    for stamped in log:
        match stamped.event:
            case Said():
                before.clear()
            case Returned(result=Result(view=TestReport(tree=tree))):
                runs.append((stamped.seq, tree))
                for kept in before.values():  # a run behind a rewind stays when that is undone
                    kept.append((stamped.seq, tree))
            case Rewound(to, "code" | "both", tree=tree, undoes=undoes):
                then = before.get(undoes) if undoes else [run for run in runs if run[0] < to or run[1] == tree]
                if then is not None:
                    before[stamped.seq], runs = runs, list(then)
            case _:
                pass
    return [seq for seq, _ in runs]


def runs_agree(log: list[Stamped]) -> None:
    assert [run.seq for run in read_run_history(log).runs] == runs_that_stand(log)


@settings(max_examples=100, deadline=None, database=None)
@given(STEPS)
def test_all_readers_hold_the_same_records_for_current(steps: list[Step]) -> None:
    agree_with_the_conversation(write(steps, "compact", "restore"))
    the_text_of_seen_files_is_in_the_conversation(write(steps))
    runs_agree(write(steps, "compact", "restore"))


def test_a_rewind_takes_records_back_until_its_undo_gives_them_back() -> None:
    said = Said(user_message("m"))
    log = logged(Opened("s", "/w", "kimi", "0.1"), said, said, Rewound(3, "chat"), Rewound(4, "chat", undoes=4))
    assert [current_in(log[:4]).is_current(seq) for seq in (2, 3, 4)] == [True, False, True]
    assert all(current_in(log).is_current(seq) for seq in range(1, 6))


def test_what_was_said_since_makes_an_undo_void() -> None:
    said = Said(user_message("m"))
    log = logged(Opened("s", "/w", "kimi", "0.1"), said, Rewound(2, "chat"), said, Rewound(3, "chat", undoes=3))
    assert [current_in(log).is_current(seq) for seq in (1, 2, 4)] == [True, False, True]


def test_a_rewind_of_files_alone_takes_nothing_out_of_the_chat() -> None:
    log = logged(Opened("s", "/w", "kimi", "0.1"), Said(user_message("m")), Rewound(2, "code", tree="t"))
    files = CurrentRecords(of="files")
    for stamped in log:
        files.add(stamped)
    assert (current_in(log).is_current(2), files.is_current(2)) == (True, False)


def test_text_that_a_rewind_brings_back_from_before_a_compaction_counts_as_seen() -> None:
    first, second = Said(user_message("m2")), Said(user_message("m4"))
    seen = Seen("f", "2", ((1, 9),))
    log = logged(Opened("s", "/w", "kimi", "0.1"), first, seen, second, Compacted(4, "so far"), Rewound(4, "chat"))
    assert seen_in_conversation(log[:5]) == [Seen("f", "2")]
    assert seen_in_conversation(log) == [seen]
    assert in_conversation(log) == {2}
