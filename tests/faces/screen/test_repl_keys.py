"""What each key does, pressed on a real pty."""

import os
import signal
import stat
import termios
from collections.abc import Callable

import pytest

from tests.faces.terminal_driver import Terminal

Start = Callable[..., Terminal]
ESC, ENTER, CTRL_C, CTRL_D, CTRL_J, CTRL_L, CTRL_R, CTRL_Z = "\x1b", "\r", "\x03", "\x04", "\n", "\x0c", "\x12", "\x1a"
UP, SHIFT_TAB = "\x1b[A", "\x1b[Z"


def test_the_greeting_names_model_folder_branch_and_mode(terminal: Start) -> None:
    screen = terminal("branch=fix/42", "notice=Left out .kimi-agent: not trusted yet.")
    seen = screen.ready()
    assert "kimi-agent · kimi-k2.6\n/srv/project (fix/42)\nmode ask" in seen
    assert "Left out .kimi-agent: not trusted yet." in seen


def test_enter_sends_and_the_message_is_shown_once(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("hello" + ENTER)
    seen = screen.ready("You said: hello")
    assert seen.count("› hello") == 1
    assert "2 steps" in seen


def test_the_first_message_of_the_command_line_is_sent(terminal: Start) -> None:
    assert "You said: from the shell" in terminal("first=say from the shell").ready("You said:")


def test_keys_typed_before_the_prompt_belong_to_it(terminal: Start) -> None:
    screen = terminal()
    screen.until("kimi-agent ·")
    screen.press("early" + ENTER)
    seen = screen.ready("You said: early")
    assert seen.count("early") == 2


@pytest.mark.long
@pytest.mark.parametrize("newline", [CTRL_J, "\x1b\r", "\\\r"], ids=["ctrl-j", "alt-enter", "backslash"])
def test_three_ways_to_a_new_line(terminal: Start, newline: str) -> None:
    screen = terminal()
    screen.ready()
    screen.press("one" + newline + "two" + ENTER)
    screen.ready("2 steps")
    assert ("turn", "one\ntwo") in screen.log()


def test_pasted_lines_are_text_and_are_not_sent(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("\x1b[200~a\r\nb\r\nc\x1b[201~")
    screen.until("› a\n  b\n  c")
    screen.press(ENTER)
    screen.ready("2 steps")
    assert ("turn", "a\nb\nc") in screen.log()


def test_escape_interrupts_and_the_draft_stays(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("forever" + ENTER)
    screen.until("shell sleep 1000…", "esc to interrupt")
    screen.press("a draft")
    screen.until("› a draft")
    screen.press(ESC)
    seen = screen.until("Interrupted", "› a draft", gone="esc to interrupt")
    assert "shell sleep 1000  interrupted" in seen
    assert screen.log()[-1] == ("interrupted", "")


def test_enter_while_a_turn_runs_queues_the_message(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("slow one two three four five six seven eight nine ten" + ENTER)
    screen.until("esc to interrupt")
    screen.press("and this" + ENTER)
    seen = screen.ready("You said: also and this")
    assert seen.count("› and this") == 1
    assert "queued:" not in screen.bottom()


def test_tab_queues_while_a_turn_runs(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("forever" + ENTER)
    screen.until("esc to interrupt")
    screen.press("later\t")
    screen.until("queued: later")


def test_control_c_interrupts_then_clears_the_line(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("forever" + ENTER)
    screen.until("esc to interrupt")
    screen.press(CTRL_C)
    screen.ready("Interrupted")


def test_control_c_clears_the_line_and_history_keeps_it(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("not sent")
    screen.until("› not sent")
    screen.press(CTRL_C)
    screen.until("›\n", gone="not sent")
    screen.press(UP)
    screen.until("› not sent")
    assert not [each for each in screen.log() if each[0] == "turn"]


def test_control_c_twice_leaves_with_the_resume_hint(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("hello" + ENTER)
    screen.ready("You said")
    screen.press(CTRL_C)
    screen.until("Press Ctrl-C again to leave.")
    screen.press(CTRL_C)
    assert screen.end() == 0
    assert screen.bottom().endswith("Resume with: kimi-agent -r session-0")
    assert screen.log()[-1] == ("closed", "session-0")


def test_control_d_leaves_an_empty_line_only(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("x" + CTRL_D)
    screen.until("› x")
    screen.press("\x7f")
    screen.until("›\n", gone="› x")
    screen.press(CTRL_D)
    assert screen.end() == 0
    assert "Resume with" not in screen.shown()


def test_leaving_stops_a_running_turn_first(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("forever" + ENTER)
    screen.until("esc to interrupt")
    screen.press(CTRL_C + CTRL_C)
    assert screen.end() == 0
    assert [what for what, _ in screen.log()] == ["turn", "interrupted", "closed"]


def test_up_brings_back_what_another_session_typed_and_the_file_is_private(terminal: Start) -> None:
    first = terminal()
    first.ready()
    first.press("typed in the first" + ENTER)
    first.ready("You said")
    second = terminal()
    second.ready()
    second.press(UP)
    second.until("› typed in the first")
    history = first.state / "history.jsonl"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert history.read_text() == '"typed in the first"\n'


def test_control_r_searches_in_the_history(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    for text in ("alpha", "beta"):
        screen.press(text + ENTER)
        screen.ready(f"You said: {text}")
    screen.press(CTRL_R + "alp")
    screen.until("search history: alp", "› alpha")
    screen.press(ENTER)
    screen.until("› alpha", gone="search history")


def test_shift_tab_goes_round_the_modes(terminal: Start) -> None:
    screen = terminal()
    screen.until("ask · kimi-k2.6 · main")
    for mode in ("accept-edits", "plan", "ask"):
        screen.press(SHIFT_TAB)
        screen.until(f"  {mode} · kimi-k2.6 · main")


def test_tab_completes_a_command(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("/sta")
    screen.until("/status         session, model")
    screen.press("\t")
    screen.until("› /status")
    screen.press(ENTER)
    screen.ready("session  session-0", "folder   /srv/project (main)")


def test_a_question_mark_shows_the_keys_on_an_empty_line_only(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("?")
    screen.ready("Shift-Tab", "/review", "Review the change")
    screen.press("why?")
    screen.until("› why?")


def test_control_l_redraws_and_wipes_nothing(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("hello" + ENTER)
    before = screen.ready("You said: hello")
    screen.press("x" + CTRL_L)
    screen.until("› x")
    assert screen.shown().replace("› x", "›") == before
    assert b"\x1b[2J" not in screen.raw
    assert b"\x1b[3J" not in screen.raw


def test_control_z_suspends_and_comes_back_with_its_prompt(terminal: Start) -> None:
    screen = terminal("shell=yes")
    screen.ready()
    screen.press("kept")
    screen.until("› kept")
    screen.press(CTRL_Z)
    screen.until("[suspended, echo on]", gone="› kept")
    screen.press("fg" + ENTER)
    screen.until("› kept")
    screen.press("!" + ENTER)
    screen.ready("You said: kept!")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_and_restores_the_terminal(terminal: Start, number: signal.Signals, code: int) -> None:
    screen = terminal()
    before = termios.tcgetattr(screen.fd)
    screen.ready()
    screen.press("forever" + ENTER)
    screen.until("esc to interrupt")
    os.kill(screen.child.pid, number)
    screen.until("Interrupted") if code == 143 else screen.child.wait()
    assert screen.child.wait() == code
    after = termios.tcgetattr(screen.fd)
    screen.end()
    assert after[3] & (termios.ECHO | termios.ICANON) == before[3] & (termios.ECHO | termios.ICANON)
    assert screen.raw.rindex(b"\x1b[?2004l") > screen.raw.rindex(b"\x1b[?2004h")
    assert screen.raw.rindex(b"\x1b[?7h") > screen.raw.rindex(b"\x1b[?7l")
    assert [what for what, _ in screen.log()] == ["turn", "interrupted", "closed"]


def test_a_bug_of_the_agent_rises_after_the_terminal_is_restored(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("crash" + ENTER)
    assert screen.end() == 1
    assert "ZeroDivisionError: a bug" in screen.shown()
    assert screen.raw.rindex(b"\x1b[?2004l") > screen.raw.rindex(b"\x1b[?2004h")


def test_nothing_heavy_is_loaded_before_the_prompt_is_drawn(terminal: Start) -> None:
    screen = terminal("hall=1")
    screen.ready()
    screen.until_logged("loaded")
    assert screen.log() == [("loaded", "")]
