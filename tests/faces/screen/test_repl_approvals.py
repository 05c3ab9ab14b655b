"""Approvals on a real pty: what is shown, and what counts as an answer."""

import asyncio
from collections.abc import Callable

import pytest

from kimi_agent.faces.screen.approvals import AskProxy, answer_choices, question_rows
from kimi_agent.faces.theme import Theme
from kimi_agent.log.questions import Decision, Question
from kimi_agent.log.views import DiffView, FileDiff, OutputView
from tests.faces.terminal_driver import Terminal

Start = Callable[..., Terminal]
ASKED = "Allow this?"


def decisions(screen: Terminal) -> list[str]:
    return [text for what, text in screen.log() if what == "decision"]


def asked(terminal: Start, prompt: str, *texts: str) -> Terminal:
    screen = terminal()
    screen.ready()
    screen.press(f"{prompt}\r")
    screen.until(ASKED, *texts)
    return screen


@pytest.mark.parametrize(
    ("keys", "decision"),
    [
        ("y", "True False "),
        pytest.param("1", "True False ", marks=pytest.mark.long),
        pytest.param("a", "True True ", marks=pytest.mark.long),
        pytest.param("2", "True True ", marks=pytest.mark.long),
        ("\x1b", "False False "),
        pytest.param("\x1b[A\r", "True True ", marks=pytest.mark.long),
        pytest.param("\x1b[A\x1b[A\r", "True False ", marks=pytest.mark.long),
    ],
    ids=["y", "1", "a", "2", "esc", "up", "up up"],
)
def test_each_key_gives_its_answer(terminal: Start, keys: str, decision: str) -> None:
    screen = asked(terminal, "shell git log always", "$ git log always", "2 yes, and don't ask again for git log (a)")
    screen.press(keys)
    screen.ready("2 steps")
    assert decisions(screen) == [decision]


@pytest.mark.parametrize("key", ["n", pytest.param("3", marks=pytest.mark.long), "\r"], ids=["n", "3", "enter"])
def test_no_asks_what_to_do_instead(terminal: Start, key: str) -> None:
    screen = asked(terminal, "shell rm -rf build")
    assert "don't ask again" not in screen.shown()
    screen.press(key)
    screen.until("instead ›")
    screen.press("list it first\r")
    screen.ready("refused: list it first", "2 steps")
    assert decisions(screen) == ["False False list it first"]


def test_escape_leaves_the_words_away(terminal: Start) -> None:
    screen = asked(terminal, "shell make")
    screen.press("n")
    screen.until("instead ›")
    screen.press("neve\x1b")
    screen.ready("2 steps")
    assert decisions(screen) == ["False False "]


def test_keys_typed_ahead_answer_nothing(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("held make always\r")
    screen.until_logged("held")
    screen.press("y\ny\r1a2\x1b[200~y\r\x1b[201~")
    (screen.state / "typed").touch()
    screen.until(ASKED)
    assert decisions(screen) == []
    screen.press("\x1b")
    screen.ready("refused", "2 steps")
    assert decisions(screen) == ["False False "]


def test_pasted_text_answers_nothing(terminal: Start) -> None:
    screen = asked(terminal, "shell make")
    screen.press("\x1b[200~y\ry\r\x1b[201~x")
    screen.press("\x1b")
    screen.ready("2 steps")
    assert decisions(screen) == ["False False "]


def test_control_c_interrupts_the_turn_that_asks(terminal: Start) -> None:
    screen = asked(terminal, "shell make")
    screen.press("\x03")
    screen.ready("Interrupted")
    assert decisions(screen) == []
    screen.press("still here\r")
    screen.ready("You said: here")


def test_the_draft_comes_back_after_the_answer(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("shell make always\r")
    screen.until(ASKED)
    screen.press("y")
    screen.ready("allowed")
    screen.press("slow a b c d e f g h\r")
    screen.until("esc to interrupt")
    screen.press("half a thought")
    screen.until("› half a thought", "2 steps")


def test_an_edit_shows_its_diff_with_line_numbers_and_only_once(terminal: Start) -> None:
    screen = asked(
        terminal, "edit", "│   11 -     old = 2", "│   11 +     new = 2", "│ new src/日本.py +1", "x = 'ไทย'"
    )
    screen.press("y")
    seen = screen.ready("● edit_file src/a.py  +2 -1")
    assert seen.count("new = 2") == 1


def test_a_command_is_shown_whole_with_what_hides_in_it_counted() -> None:
    command = "ls" + " " * 2000 + "\u202e\u200b;\r curl evil " + "x" * 500
    rows = question_rows(Question("shell", "shell ls", OutputView(command), "", "ls"), Theme(False), 80)
    text = "".join(row.removeprefix("│ ") for row in rows)
    assert "$ ls⟨2000 blanks⟩\\u202e\\u200b;␍ curl evil " + "x" * 500 in text
    assert "3 control or invisible characters in it are shown as escapes." in rows[-1]


def test_a_diff_that_is_cut_offers_no_always() -> None:
    file = FileDiff("a.py", "M", 100, 0, "@@ -1 +1,2 @@\n+one\n")
    question = Question("write_file", "write_file a.py", DiffView((file,)), "", "write_file a.py")
    assert [choice.key for choice in answer_choices(question)] == ["y", "n"]
    assert "It is too long to be shown whole." in question_rows(question, Theme(False), 80)[-1]


@pytest.mark.parametrize(
    ("keys", "decision", "reported"),
    [
        ("1", "True 0", "go on"),
        pytest.param("2", "False 1", "wrap up", marks=pytest.mark.long),
        pytest.param("\r", "False 2", "stop", marks=pytest.mark.long),
        pytest.param("\x1b", "False 2", "stop", marks=pytest.mark.long),
        pytest.param("y9\x1b[A\r", "False 1", "wrap up", marks=pytest.mark.long),
    ],
    ids=["1", "2", "enter", "esc", "up"],
)
def test_a_question_may_have_choices_of_its_own(terminal: Start, keys: str, decision: str, reported: str) -> None:
    screen = terminal()
    screen.ready()
    screen.press("choose go on,wrap up,stop\r")
    screen.until("the same call 8 times.", "What now?\n  1 go on\n  2 wrap up\n› 3 stop")
    screen.press(keys)
    screen.ready("2 steps", f"└ {reported}")
    assert decisions(screen) == [decision]


@pytest.mark.parametrize(("line", "decision"), [("1", "True 0"), ("yes", "False 1")])
def test_a_dumb_terminal_takes_the_number_of_a_choice(terminal: Start, line: str, decision: str) -> None:
    screen = terminal(TERM="dumb")
    screen.until("\n›")
    screen.press("choose go on,stop\n")
    screen.until("  1 go on\n  2 stop\n", "Answer (a number; anything else is 2):")
    screen.press(f"{line}\n")
    screen.until("2 steps")
    assert decisions(screen) == [decision]


async def test_questions_come_one_after_another_and_nobody_means_no() -> None:
    asker = AskProxy()
    question = Question("t", "t")
    assert await asker(question) == Decision(False, False, "nobody is there to be asked", "policy")
    open_questions: list[asyncio.Future[Decision]] = []

    async def answer(asked: Question) -> Decision:
        open_questions.append(asyncio.get_running_loop().create_future())
        return await open_questions[-1]

    asker.bind(answer)
    both = [asyncio.ensure_future(asker(question)) for _ in range(2)]
    while not open_questions:
        await asyncio.sleep(0)
    assert len(open_questions) == 1
    open_questions[0].set_result(Decision(True))
    await both[0]
    while len(open_questions) == 1:
        await asyncio.sleep(0)
    open_questions[1].set_result(Decision(False))
    assert (await both[1]).allowed is False


def test_a_pause_with_choices_is_broken_at_blanks() -> None:
    title = "The model made the same call 8 times with the same result: read_file(path=big0.txt)."
    assert question_rows(Question("loop", title, choices=("go on", "stop")), Theme(False), 79) == [
        "│ The model made the same call 8 times with the same result:",
        "│ read_file(path=big0.txt).",
    ]
