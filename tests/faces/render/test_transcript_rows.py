"""What each event adds to the scrollback."""

import json

import pytest

from kimi_agent.faces.render.transcript import Transcript
from kimi_agent.faces.theme import ASCII_GLYPHS, Theme
from kimi_agent.log.event_parts import Short
from kimi_agent.log.events import (
    Answered,
    CallStarted,
    Compacted,
    Event,
    Notice,
    Partial,
    Progress,
    Queued,
    ReasoningDelta,
    Recovered,
    Restored,
    Retrying,
    Returned,
    Said,
    Shortened,
    Spent,
    Stamped,
    TextDelta,
    TurnEnded,
)
from kimi_agent.log.messages import Assistant, Call, Usage, user_message
from kimi_agent.log.questions import Decision, Question
from kimi_agent.log.views import (
    DiffView,
    FileDiff,
    MatchesView,
    OutputView,
    PlanItem,
    PlanView,
    Result,
    TestCase,
    TestReport,
    TextView,
    View,
)
from tests.golden_texts import Golden

PLAIN = Theme(colour=False)


def transcript(columns: int = 80, theme: Theme = PLAIN) -> Transcript:
    return Transcript(theme, lambda: columns)


def rows_of(read: Transcript, *events: Event, agent: str = "main") -> list[str]:
    return [row for seq, event in enumerate(events, 1) for row in read.take(Stamped(agent, seq, 100.0 + seq, event))]


def call_rows(name: str, arguments: object, result: Result, columns: int = 80, theme: Theme = PLAIN) -> list[str]:
    call = Call("c0", name, json.dumps(arguments, ensure_ascii=False))
    started = (Said(Assistant("", None, (call,))), CallStarted(1, 0, name, "read"))
    return rows_of(transcript(columns, theme), *started, Returned(1, 0, result))


def test_a_turn_reads_as_a_story() -> None:
    read = transcript()
    call = Call("x", "read_file", '{"path": "src/a.py"}')
    assert rows_of(
        read,
        Said(user_message("fix it")),
        ReasoningDelta("I should "),
        ReasoningDelta("look.\n"),
        TextDelta("Looking."),
        Spent("kimi", Usage(4000, 20, 3900)),
        Said(Assistant("Looking.", "I should look.\n", (call,)), Usage(4000, 20, 3900)),
        CallStarted(6, 0, "read_file", "read"),
        Returned(6, 0, Result("...", TextView("...", "120 lines"))),
        Spent("kimi", Usage(4000, 300), purpose="compaction"),  # what it cost to make room counts too
        TextDelta("**Done"),
        TextDelta(".**"),
        Spent("kimi", Usage(4100, 10, 4000)),
        Said(Assistant("**Done.**"), Usage(4100, 10, 4000)),
        TurnEnded("done", 2),
    ) == [
        "› fix it",
        "",
        "│ I should look.",
        "",
        "Looking.",
        "",
        "● read_file src/a.py  120 lines",
        "",
        "Done.",
        "",
        "2 steps, 13 s, 12k tokens in (7.9k cached), 330 out",
    ]


DIFF = "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n-old\n+new\n same\n"
REPORT = TestReport(
    "failed", "pytest", "e", "pytest -q", 1, 2.0, (TestCase("t::a", "failed", "", "boom"), TestCase("t::b", "passed"))
)


@pytest.mark.parametrize(
    ("result", "rows"),
    [
        (Result("x", TextView("x", "3 lines")), ["● tool 1  3 lines"]),
        (Result("plain"), ["● tool 1  plain"]),
        (Result("a.py:1:p", MatchesView("p", 1, 1)), ["● tool 1  1 match in 1 file", "  └ a.py:1:p"]),
        (Result("", MatchesView("p", 0, 0)), ["● tool 1  no match"]),
        (
            Result("x", OutputView("ls", "1\n2\n3\n4\n5\n6\n7\n8", 2, 61.0), failed=True),
            ["● tool 1  exit 2, 1 min 1 s", "  └ 1", "    2", "    3", "    … +3 lines", "    7", "    8"],
        ),
        (
            Result("x", DiffView((FileDiff("a.py", "M", 1, 1, DIFF),))),
            ["● tool 1  +1 -1", "  └ a.py +1 -1", "       1 - old", "       1 + new", "       2   same"],
        ),
        (
            Result("x", PlanView((PlanItem("one", "done"), PlanItem("two", "pending")))),
            ["● tool 1  1/2 done", "  └ ✓ one", "    ☐ two"],
        ),
        (Result("x", REPORT), ["● tool 1  1 passed, 1 failed, 2.0 s", "  └ t::a  boom"]),
        (
            Result("Error [stale]: a.py changed.\nNext: read it again.", None, failed=True, code="stale"),
            ["● tool 1  Error [stale]: a.py changed.", "  └ Next: read it again."],
        ),
    ],
    ids=["text", "none", "match", "no match", "output", "diff", "plan", "tests", "error"],
)
def test_a_call_is_one_line_with_its_result_under_it(result: Result, rows: list[str]) -> None:
    assert call_rows("tool", {"n": 1}, result) == rows


def test_rows_have_their_colours(golden: Golden) -> None:
    results = (
        Result("plain"),
        Result("Error [stale]: a.py changed.", None, failed=True, code="stale"),
        Result("x", OutputView("ls", "1", 2, 61.0), failed=True),
        Result("x", DiffView((FileDiff("a.py", "M", 1, 1, DIFF),))),
        Result("x", REPORT),
        Result("x", PlanView((PlanItem("one", "done"), PlanItem("two", "in_progress"), PlanItem("three", "pending")))),
    )
    rows = [row for result in results for row in call_rows("tool", {"n": 1}, result, theme=Theme())]
    assert [row.partition("m")[0][2:] for row in rows if "●" in row] == ["32", "31", "31", "32", "32", "32"]
    golden(*(row.replace("\x1b", "␛") for row in rows))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"command": "make\n make test"}, "● shell make (+1 lines)"),
        ({"pattern": "x", "path": "src", "limit": 5}, "● shell x in src"),
        ({"paths": ["a", "b"]}, "● shell a b"),
        ({"a": None, "b": "", "c": "see", "d": 3}, "● shell see, 3"),
        ("not an object", '● shell "not an object"'),
        ({"path": "ไฟล์ 日本\x1b[2J\n.txt"}, "● shell ไฟล์ 日本␛[2J (+1 lines)"),
    ],
)
def test_a_call_is_shown_by_what_says_most_about_it(arguments: object, line: str) -> None:
    assert call_rows("shell", arguments, Result("")) == [line]


def test_long_calls_are_cut_to_the_width() -> None:
    rows = call_rows("shell", {"command": "語" * 500}, Result("x", OutputView("c", "", 0, 1.0)), columns=60)
    assert rows[0].endswith("…  exit 0, 1.0 s")
    assert len(rows) == 1


def test_a_diff_that_was_agreed_to_is_not_shown_again() -> None:
    view: View = DiffView((FileDiff("a.py", "M", 1, 1, DIFF),))
    read = transcript()
    question = Question("edit_file", "edit_file a.py", view)
    rows = rows_of(
        read,
        Said(Assistant("", None, (Call("c", "edit_file", '{"path": "a.py"}'),))),
        Answered(question, Decision(True)),
        CallStarted(1, 0, "edit_file", "write"),
        Returned(1, 0, Result("ok", view)),
    )
    assert rows == ["  └ allowed", "● edit_file a.py  +1 -1"]


def test_calls_that_run_together_return_in_any_order() -> None:
    calls = tuple(Call(f"c{n}", "read_file", json.dumps({"path": f"{n}.py"})) for n in range(2))
    read = transcript()
    rows = rows_of(
        read,
        Said(Assistant("", None, calls)),
        CallStarted(1, 0, "read_file", "read"),
        CallStarted(1, 1, "read_file", "read"),
        Returned(1, 1, Result("")),
        Returned(1, 0, Result("")),
    )
    assert rows == ["● read_file 1.py", "● read_file 0.py"]


def test_the_kept_answer_has_the_last_word(golden: Golden) -> None:
    assert rows_of(transcript(), TextDelta("Half"), Said(Assistant("Half and whole."))) == ["Half and whole."]
    assert rows_of(transcript(), Said(Assistant("Not streamed.", "Thought."))) == ["│ Thought.", "", "Not streamed."]
    rows = rows_of(transcript(), TextDelta("Wrong"), Said(Assistant("Right.")))
    assert (rows[0], rows[-1]) == ("Wrong", "Right.")
    golden(*rows)


def test_a_void_attempt_is_not_drawn_or_is_disowned(golden: Golden) -> None:
    retry = Retrying("connection lost.", 2.0, 2)
    again = (TextDelta("Whole."), Said(Assistant("Whole.")))
    not_drawn = rows_of(transcript(), TextDelta("Hal"), retry, *again)
    disowned = rows_of(transcript(), TextDelta("One.\n\nTwo.\n"), retry, *again)
    assert "Two." not in disowned
    golden(*not_drawn, "---", *disowned)


def test_what_was_drawn_before_a_note_is_disowned_too(golden: Golden) -> None:
    kept, void = Retrying("cut", 0.0, 2, kept=True), Retrying("cut again", 2.0, 3)
    rows = rows_of(transcript(), TextDelta("One.\n\nTwo.\n"), kept, void, TextDelta("All."), Said(Assistant("All.")))
    golden(*rows, "---", *rows_of(transcript(), ReasoningDelta("Hm.\nWel"), void))


def test_an_answer_that_goes_on_is_drawn_as_one() -> None:
    code = "```python\ndef f():\n    return 1\n```\nThat is all.\n"
    for at in range(1, len(code)):
        events = (
            TextDelta(code[:at]),
            Partial(code[:at], retried=True),
            Retrying("cut", 0.0, 2, kept=True),
            TextDelta(code[at:]),
            Said(Assistant(code)),
        )
        rows = [row for row in rows_of(transcript(), *events) if row and row != "cut; retry 1 now"]
        assert rows == ["  def f():", "      return 1", "That is all."], at


def test_reasoning_that_goes_on_is_not_drawn_again(golden: Golden) -> None:
    call = Call("c", "shell", "{}")
    rows = rows_of(
        transcript(),
        ReasoningDelta("First.\nSec"),
        Retrying("cut", 0.0, 2, kept=True),
        ReasoningDelta("ond.\n"),
        Spent("kimi", Usage(52_000, 10, 11_000), due=52_000, miss="idle for 12 min"),
        Said(Assistant("", "First.\nSecond.\n", (call,))),
    )
    assert [row for row in rows if row.startswith("│")] == ["│ First.", "│ Second."]
    golden(*rows)


def test_how_room_was_made_is_shown(golden: Golden) -> None:
    short = tuple(Short(3, index, "[shortened]") for index in range(41))
    rows = rows_of(
        transcript(120),
        Compacted(9, "what was", messages=340, tokens_before=212_345, tokens_after=31_200),
        Shortened(short, 180_200, 96_000),
        Shortened(short[:1]),
        Restored(4),
        Spent("kimi", Usage(52_000, 10, 52_000), due=52_000),
    )
    golden(*rows)


def test_an_answer_among_choices_is_shown_by_its_words() -> None:
    question = Question("loop", "The model made the same call.", choices=("let it \x1b[31mgo on", "stop here"))
    rows = rows_of(transcript(), Answered(question, Decision(True, choice=0)), Answered(question, Decision(False)))
    assert rows == ["  └ let it ␛[31mgo on", "  └ refused"]
    assert rows_of(transcript(), Answered(question, Decision(False, by="policy"))) == []


def test_queued_messages_wait_below_and_are_shown_once_when_they_join() -> None:
    read = transcript()
    assert rows_of(read, Queued(user_message("and this"))) == []
    assert read.queued == {1: "and this"}
    assert rows_of(read, Said(user_message("and this"), queued=1)) == ["› and this"]
    assert read.queued == {}


def test_what_a_break_left_is_shown(golden: Golden) -> None:
    rows = rows_of(transcript(), Recovered(cut_bytes=12), Notice("The disk is full."))
    golden(*rows)
    assert rows_of(transcript(), Recovered()) == []


def test_an_interrupted_call_is_named(golden: Golden) -> None:
    read = transcript()
    call = Call("c", "shell", '{"command": "sleep 9"}')
    rows = rows_of(
        read, Said(Assistant("", None, (call,))), CallStarted(1, 0, "shell", "execute"), TurnEnded("interrupted", 1)
    )
    golden(*rows)
    assert read.running == {}


def test_what_is_in_motion_is_the_end_of_the_text_or_of_the_calls() -> None:
    read = transcript(40)
    rows_of(read, TextDelta("\n".join(f"- item {n}" for n in range(30))))
    assert read.live(3) == [("", "- item 27"), ("", "- item 28"), ("", "- item 29")]
    assert read.doing() == "writing"
    rows_of(read, Said(Assistant("\n".join(f"- item {n}" for n in range(30)), None, (Call("c", "shell", "{}"),))))
    read.take(Stamped("main", 0, 0.0, CallStarted(1, 0, "shell", "execute")))
    read.take(Stamped("main", 0, 0.0, Progress(1, 0, "first\nlast \x1b[2J\n")))
    assert read.live(3) == [("dim", "  last ␛[2J")]
    assert read.doing() == "shell"


def test_children_are_not_drawn_but_their_notices_are() -> None:
    read = transcript()
    assert rows_of(read, TextDelta("x\n\ny\n"), Said(Assistant("z")), agent="main.1.2") == []
    assert rows_of(read, Notice("A child is stuck."), agent="main.1.2") == ["A child is stuck."]


def test_glyphs_fall_back_where_the_encoding_has_none() -> None:
    read = Transcript(Theme(False, ASCII_GLYPHS), lambda: 80)
    rows = rows_of(
        read, Said(user_message("hi")), Said(Assistant("", None, (Call("c", "f", "{}"),))), Returned(2, 0, Result(""))
    )
    assert rows == ["> hi", "", "* f"]
