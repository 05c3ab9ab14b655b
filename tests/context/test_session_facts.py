from collections.abc import Sequence

from kimi_agent.context.session_facts import (
    EXCERPT_END_CHARS,
    MAX_COMMAND_FACTS,
    MAX_WHOLE_CHARS,
    CommandFact,
    FileFact,
    LatestTestRun,
    RefusalFact,
    SessionFacts,
    UserExcerpt,
    fold_session_facts,
)
from kimi_agent.log.events import (
    Answered,
    CallStarted,
    Committed,
    Event,
    Judged,
    Queued,
    Returned,
    Rewound,
    Said,
    Seen,
    Stamped,
    TurnEnded,
)
from kimi_agent.log.messages import Assistant, Call, Media, Text, User, user_message
from kimi_agent.log.questions import Decision, Question
from kimi_agent.log.views import DiffView, Evidence, FileDiff, OutputView, Result, TestCase, TestReport
from kimi_agent.workspace.files.seen_files import KnownFile
from tests.golden_texts import Golden
from tests.log.fold_helpers import current_in


def stamped(events: Sequence[Event], *, first: int = 1) -> list[Stamped]:
    return [Stamped("main", seq, 0.0, event) for seq, event in enumerate(events, first)]


def told(*events: Event) -> SessionFacts:
    log = stamped(events)
    return fold_session_facts(log, current_in(log))


def output(command: str, exit_code: int | None, text: str = "", *, code: str = "") -> Returned:
    return Returned(0, 0, Result(text, OutputView(command, text, exit_code), failed=bool(code), code=code))


def report(verdict: str, *cases: TestCase, command: str = "pytest", whole: bool = False, trouble: str = "") -> Returned:
    assert verdict in ("passed", "failed", "broken")
    view = TestReport(
        "passed" if verdict == "passed" else "failed" if verdict == "failed" else "broken",
        "pytest",
        "pyproject.toml",
        command,
        0,
        1.0,
        cases,
        whole=whole,
        trouble=trouble,
    )
    return Returned(0, 0, Result("", view))


def words(fold: SessionFacts) -> list[str]:
    first = [fold.first.head] if fold.first else []
    return first + [word.head for word in reversed(fold.words.newest_first())]


def test_the_persons_words_are_kept_with_those_that_were_queued() -> None:
    fold = told(
        Said(user_message("one")),
        Queued(user_message("two")),
        Said(user_message("two"), queued=2),
        TurnEnded("done", 1),
        Said(user_message("3")),
    )
    assert words(fold) == ["one", "two", "3"]
    assert fold.words.newest_first()[0] == UserExcerpt(5, "3", "", 1)
    assert fold.turn_is_open


def test_what_is_queued_and_has_not_joined_is_not_said_yet() -> None:
    assert words(told(Said(user_message("one")), Queued(user_message("two")))) == ["one"]


def test_the_turn_is_open_until_it_ends() -> None:
    assert told(Said(user_message("one"))).turn_is_open
    assert not told(Said(user_message("one")), TurnEnded("done", 1)).turn_is_open
    assert not told(Said(user_message("one")), TurnEnded("done", 1), Said(Assistant("late"))).turn_is_open


def test_very_long_words_keep_both_ends() -> None:
    text = "a" * MAX_WHOLE_CHARS + "b" * EXCERPT_END_CHARS
    assert told(Said(user_message(text))).first == UserExcerpt(
        1, "a" * EXCERPT_END_CHARS, "b" * EXCERPT_END_CHARS, len(text)
    )
    assert told(Said(User((Text("look"), Media("image", "image/png", "0" * 64))))).first == UserExcerpt(
        1, "look", "", 4, 1
    )


def test_a_rewind_takes_words_back_and_its_undo_gives_them_again() -> None:
    log: list[Event] = [Said(user_message("one")), TurnEnded("done", 1), Said(user_message("two")), Rewound(3, "chat")]
    assert words(told(*log)) == ["one"]
    assert words(told(*log, Rewound(3, "chat", undoes=4))) == ["one", "two"]
    assert words(told(*log, Rewound(3, "chat", undoes=4), Rewound(3, "chat", undoes=5))) == ["one"]
    assert words(told(*log, Said(user_message("other")), Rewound(3, "chat", undoes=4))) == ["one", "other"]


def test_a_rewind_of_files_alone_forgets_what_is_not_sure_any_more() -> None:
    fold = told(
        Seen("kept.py", "a" * 64),
        Seen("gone.py", "b" * 64, whole=True, by="write"),
        Seen("other.py", "c" * 64, whole=True, by="write"),
        Rewound(2, "code", paths=("gone.py",)),
    )
    assert [path for path, _ in fold.files.items()] == ["kept.py", "other.py"]


def test_files_are_told_with_their_hash_and_what_was_seen() -> None:
    fold = told(
        Seen("a.py", "a" * 64, ((1, 20),)),
        Seen("a.py", "a" * 64, ((21, 40),)),
        Seen("b.py", "b" * 64, (), whole=True, by="write"),
        Returned(
            0, 0, Result("", DiffView((FileDiff("b.py", "A", 3, 0, ""), FileDiff("new.py", "R", 0, 0, "", "old.py"))))
        ),
        Seen("b.py", "c" * 64, (), whole=True, by="write"),
        Seen("c.py", "", (), by="write"),
    )
    assert dict(fold.files.items()) == {
        "a.py": FileFact("a.py", KnownFile("a" * 64, ((1, 40),)), "", 2),
        "new.py": FileFact("new.py", KnownFile(""), "R", 4, 4),
        "old.py": FileFact("old.py", KnownFile(""), "D", 4, 4),
        "b.py": FileFact("b.py", KnownFile("c" * 64, (), True, "write"), "A", 5, 5),
        "c.py": FileFact("c.py", KnownFile("", (), False, "write"), "D", 6, 6),
    }


def test_an_edit_that_failed_changed_nothing() -> None:
    diff = DiffView((FileDiff("b.py", "M", 3, 0, ""),))
    assert told(Returned(0, 0, Result("Error [stale]: no", diff, failed=True, code="stale"))).files == {}


def test_commands_are_told_once_with_how_they_ended_last() -> None:
    fold = told(output("make", 2, "boom\n"), output("ls", 0), output("make", 0, "all\nfine \n"))
    assert fold.commands.newest_first() == (
        CommandFact("make", "exit 0", "fine", 2, 3),
        CommandFact("ls", "exit 0", "", 1, 2),
    )


def test_a_killed_command_is_told_as_such() -> None:
    fold = told(output("sleep 9", None, code="timeout"), output("yes", None, code="failed"))
    assert [each.outcome for each in fold.commands.newest_first()] == ["killed", "ran out of time"]


def test_a_command_that_was_cut_off_may_have_done_anything(golden: Golden) -> None:
    call = Call("functions.shell:0", "shell", '{"command": "make install"}')
    fold = told(Said(Assistant("", None, (call,))), CallStarted(1, 0, "shell", "execute"), TurnEnded("interrupted", 1))
    (command,) = fold.commands.newest_first()
    assert command.command == "make install"
    golden(command.outcome)


def test_arguments_that_cannot_be_read_name_no_command() -> None:
    for arguments in ("{", "[" * 100_000, "[1]", '{"command": 3}'):
        call = Call("functions.shell:0", "shell", arguments)
        fold = told(Said(Assistant("", None, (call,))), CallStarted(1, 0, "shell", "execute"), TurnEnded("failed", 1))
        assert fold.commands.newest_first() == ()


def test_commands_are_bounded_and_those_dropped_are_counted() -> None:
    fold = told(*(output(f"echo {number}", 0) for number in range(MAX_COMMAND_FACTS + 3)))
    assert (len(fold.commands.items()), fold.commands.dropped) == (MAX_COMMAND_FACTS, 3)
    assert fold.commands.newest_first()[-1].command == "echo 3"


def test_a_failing_test_stays_until_it_is_green() -> None:
    red = TestCase("t.py::a", "failed", "t.py:3", "assert 1 == 2", "long detail")
    fold = told(report("failed", red, TestCase("t.py::b", "passed")), report("passed", TestCase("t.py::b", "passed")))
    assert fold.failing.newest_first() == (TestCase("t.py::a", "failed", "t.py:3", "assert 1 == 2"),)
    assert fold.runs.newest_first() == (LatestTestRun("pytest", "passed", 1, 0, 0, "", 2),)
    green = told(report("failed", red), report("passed", TestCase("t.py::a", "passed")))
    assert (green.failing.newest_first(), green.fixed.newest_first()) == ((), ("t.py::a",))


def test_a_whole_run_knows_of_all_tests() -> None:
    red = TestCase("t.py::a", "failed")
    assert told(report("failed", red), report("passed", whole=True)).failing.newest_first() == ()
    assert told(report("failed", red), report("broken", whole=True)).failing.newest_first() == (red,)


def test_refusals_of_a_person_are_kept_with_their_words() -> None:
    question = Question("shell", "shell git push")
    fold = told(
        Answered(question, Decision(allowed=False, message=" never push \n")),
        Answered(question, Decision(allowed=False, message="no terminal", by="policy")),
        Answered(question, Decision(allowed=True)),
        Answered(Question("budget", "Go on?", choices=("go on", "stop")), Decision(allowed=False, choice=1)),
    )
    assert fold.refusals.newest_first() == (RefusalFact("shell git push", "never push", 1),)


def test_evidence_and_commits_are_kept() -> None:
    evidence = Evidence("verified", fixed=("t.py::a",))
    committed = Committed("abc123", "main", ("a.py",))
    fold = told(Judged(evidence), committed)
    assert (fold.evidence, fold.commits.newest_first()) == (evidence, (committed,))
    assert fold.fixed.newest_first() == ("t.py::a",)


def test_records_of_other_agents_are_theirs() -> None:
    log = [Stamped("main.1", 1, 0.0, Said(user_message("child"))), Stamped("main", 2, 0.0, Said(user_message("mine")))]
    assert words(fold_session_facts(log, current_in(log))) == ["mine"]
