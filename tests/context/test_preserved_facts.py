import random

import pytest

from kimi_agent.context.markdown_quoting import to_code_span
from kimi_agent.context.preserved_facts import (
    PreservedFacts,
    collect_preserved_facts,
    drop_messages,
    find_missing_facts,
    fit_to_tokens,
    render_facts,
)
from kimi_agent.context.session_facts import SessionFacts, fold_session_facts
from kimi_agent.log.events import (
    Answered,
    Committed,
    Event,
    Judged,
    Returned,
    Said,
    Seen,
    Stamped,
    TurnEnded,
)
from kimi_agent.log.messages import user_message
from kimi_agent.log.questions import Decision, Question
from kimi_agent.log.views import Evidence, OutputView, PlanItem, PlanView, Result, TestCase, TestReport
from kimi_agent.model.text_tokens import estimate_tokens
from tests.golden_texts import Golden
from tests.log.fold_helpers import current_in

PLAN = PlanView((PlanItem("find it", "done"), PlanItem("mend it", "in_progress"), PlanItem("prove it", "pending")))
RED = TestCase("tests/t.py::a", "failed", "tests/t.py:7", "assert 1 == 2")


def fold(*events: Event) -> SessionFacts:
    log = [Stamped("main", seq, 0.0, event) for seq, event in enumerate(events, 1)]
    return fold_session_facts(log, current_in(log))


def full() -> PreservedFacts:
    """Something in every section."""
    report = TestReport("failed", "pytest", "e", "pytest -q", 1, 1.0, (RED, TestCase("tests/t.py::b", "passed")))
    return collect_preserved_facts(
        fold(
            Said(user_message("Fix the parser.\nNever touch `setup.py`.")),
            Answered(Question("shell", "shell rm -r build"), Decision(allowed=False, message="keep build")),
            Seen("a.py", "a1b2c3d4e5f6" + "0" * 52, ((1, 20), (30, 40))),
            Seen("b.py", "b" * 64, whole=True, by="write"),
            Returned(0, 0, Result("", OutputView("make lint", "E1\n2 errors\n", 2))),
            Returned(0, 0, Result("", report)),
            Judged(Evidence("not_verified", changed_since=("b.py",), still_red=("tests/t.py::a",))),
            Committed("0123456789abcdef", "main", ("b.py",)),
        ),
        PLAN,
    )


def test_the_text_holds_all_that_is_pinned(golden: Golden) -> None:
    golden(render_facts(full()))


def test_nothing_is_said_of_what_is_not_there() -> None:
    assert "##" not in render_facts(collect_preserved_facts(SessionFacts(), None))


def test_a_turn_that_ended_is_not_to_be_gone_on_with() -> None:
    assert "working on" not in render_facts(
        collect_preserved_facts(fold(Said(user_message("x")), TurnEnded("done", 1)), None)
    )


def test_words_that_stand_in_the_conversation_are_left_out_here() -> None:
    both = collect_preserved_facts(fold(Said(user_message("one")), Said(user_message("two"))), None)
    assert "one" in render_facts(drop_messages(both, [2]))
    assert "two" not in render_facts(drop_messages(both, [2]))
    assert not drop_messages(both, [2]).going_on
    assert drop_messages(both, [1]).going_on


def test_every_pin_is_missed_where_it_does_not_stand() -> None:
    whole = full()
    assert find_missing_facts(whole, [user_message(f"before\n{render_facts(whole)}\nafter")]) == ()
    rows = find_missing_facts(whole, [])
    assert len(rows) == 12
    for row in rows:
        assert find_missing_facts(whole, [user_message(render_facts(whole).replace(row, ""))])[0] == row


def test_words_may_stand_as_a_message_of_their_own() -> None:
    pinned = collect_preserved_facts(fold(Said(user_message("yes"))), None)
    assert find_missing_facts(pinned, [user_message("yes")]) == ()
    assert find_missing_facts(pinned, [user_message("yesterday")]) != ()
    long = collect_preserved_facts(fold(Said(user_message("a" * 50_000))), None)
    assert find_missing_facts(long, [user_message("a" * 50_000)]) == ()
    assert find_missing_facts(long, [user_message("a" * 49_999)]) != ()


def test_what_fits_is_not_cut() -> None:
    assert fit_to_tokens(full(), 5_000) == full()


def test_a_message_over_its_share_keeps_its_ends_and_a_way_to_the_rest(golden: Golden) -> None:
    shown = render_facts(
        fit_to_tokens(collect_preserved_facts(fold(Said(user_message("BEGIN " + "x" * 15_000 + " END"))), None), 1_000)
    )
    assert "\nBEGIN xxx" in shown
    assert "xxx END\n" in shown
    (line,) = (line for line in shown.splitlines() if 'recall(id="1")' in line)
    golden(line.strip("x"), LEFT=line.strip("x[.").split()[0])


def test_the_first_and_the_last_message_are_kept_best(golden: Golden) -> None:
    spoken = [Said(user_message(f"message {number}: " + "words " * 30)) for number in range(200)]
    shown = render_facts(fit_to_tokens(collect_preserved_facts(fold(*spoken), None), 2_000))
    assert spoken[0].message.text in shown
    assert spoken[-1].message.text in shown
    assert spoken[-5].message.text in shown
    assert spoken[100].message.text not in shown
    left_out = 200 - shown.count("<user-message")
    (line,) = (line for line in shown.splitlines() if f"[{left_out:,} more" in line)
    assert shown.index("message 0:") < shown.index(line) < shown.index("message 199:")
    golden(line, LEFT=f"{left_out:,}")


def test_a_list_over_its_share_keeps_the_newest_and_counts_the_others(golden: Golden) -> None:
    ran = [Returned(0, 0, Result("", OutputView(f"echo {number:04}", "", 0))) for number in range(600)]
    shown = render_facts(fit_to_tokens(collect_preserved_facts(fold(*ran), None), 1_000))
    assert "`echo 0599`" in shown
    assert "`echo 0000`" not in shown
    kept = shown.count("- `echo")
    (line,) = (line for line in shown.splitlines() if f"and {600 - kept:,} more" in line)
    golden(line, MORE=f"{600 - kept:,}")


@pytest.mark.parametrize("seed", range(30))
def test_what_was_fitted_is_never_larger_and_drops_nothing_unsaid(seed: int) -> None:
    dice = random.Random(seed)
    events: list[Event] = []
    for number in range(dice.randrange(1, 120)):
        size = dice.choice((5, 50, 500, 30_000))
        events.append(
            dice.choice(
                (
                    Said(user_message(dice.choice("aä中") * size)),
                    Seen(f"{number}" + "p" * min(size, 300), "f" * 64, whole=True, by=dice.choice(("read", "write"))),
                    Returned(0, 0, Result("", OutputView(f"echo {number} " + "`x" * size, "out", number))),
                    Answered(Question("t", f"t {number}"), Decision(allowed=False, message="no " * size)),
                )
            )
        )
    whole = collect_preserved_facts(fold(*events), PLAN)
    most = dice.choice((700, 1_500, 6_000, 40_000))
    fitted = fit_to_tokens(whole, most)
    assert estimate_tokens(render_facts(fitted)) <= most
    assert len(fitted.words) + fitted.left_out == len(whole.words)
    older = len(whole.words) - len(fitted.words)  # those left out are a run behind the first
    kept = [word.seq for word in fitted.words]
    assert kept[1:] == [word.seq for word in whole.words][older + 1 :] or not kept
    for before, now in zip(whole.sections, fitted.sections, strict=True):
        assert len(now.rows) + now.more == len(before.rows) + before.more
        assert now.rows == before.rows[: len(now.rows)]
        assert not now.more or f"and {now.more:,} more" in render_facts(fitted)
    assert find_missing_facts(fitted, [user_message(render_facts(fitted))]) == ()


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("plain", "`plain`"),
        ("a`b``c", "```a`b``c```"),
        ("`a", "`` `a ``"),
        ("two\nlines\r\n## Heading", "`two lines ## Heading`"),
        ("\x1b[2Jbell\x07\u202e\u2028x\ud800", "`[2Jbell x`"),
        ("", "` `"),
        ("x" * 99, f"`{'x' * 29}…`"),
    ],
)
def test_foreign_text_stays_on_its_line_between_its_marks(foreign: str, shown: str) -> None:
    assert to_code_span(foreign, 30) == shown
