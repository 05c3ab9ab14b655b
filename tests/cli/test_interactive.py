"""The REPL as a person starts it: the real program on a pseudo-terminal, with a tape for a model."""

import os
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Place, Start


def children_in(folder: Path) -> list[int]:
    """The processes whose working folder is `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and os.readlink(entry / "cwd") == str(folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_a_talk_from_the_first_message_to_the_resume_hint(place: Place, start: Start) -> None:
    model = place.tape(
        {"calls": [{"name": "write_file", "args": {"path": "a.txt", "content": "hello\n"}}]},
        {"say": "It is **there**."},
        {"expect": {"last_contains": "thanks"}, "say": "Gladly."},
    )
    terminal = start("-m", model, "make a file")
    terminal.until("make a file", "+ hello", "1 yes")
    terminal.until("Allow this?", "3 no")
    terminal.press("y")
    terminal.ready("It is there.")
    assert (place.root / "a.txt").read_text() == "hello\n"
    terminal.press("thanks\r")
    terminal.ready("Gladly.")
    terminal.press("/exit\r")
    assert terminal.end() == 0
    assert "Resume with: kimi-agent -r " in terminal.shown()


@pytest.mark.long
def test_a_no_with_words_reaches_the_model(place: Place, start: Start) -> None:
    model = place.tape(
        {"calls": [{"name": "shell", "args": {"command": "rm a.txt"}}]},
        {"expect": {"last_contains": "keep it"}, "say": "I keep it."},
    )
    (place.root / "a.txt").write_text("x")
    terminal = start("-m", model, "tidy up")
    terminal.until("$ rm a.txt", "Allow this?", "3 no")
    terminal.press("n")
    terminal.until("instead")
    terminal.press("keep it\r")
    terminal.ready("I keep it.")
    assert (place.root / "a.txt").exists()


def test_ctrl_c_in_a_command_gives_the_prompt_back_and_leaves_no_process(place: Place, start: Start) -> None:
    model = place.tape(
        {"calls": [{"name": "shell", "args": {"command": "echo the command runs; setsid sleep 500 & sleep 500"}}]},
        {"expect": {"last_contains": "may or may not have taken effect"}, "say": "I see."},
    )
    terminal = start("-y", "-m", model, "go")
    terminal.until("  the command runs", "esc to interrupt")
    terminal.press("\x03")
    terminal.ready("nterrupted")
    assert [pid for pid in children_in(place.root) if pid != terminal.child.pid] == []
    terminal.press("and?\r")
    terminal.ready("I see.")


def test_kill_9_in_the_middle_and_on_with_c(place: Place, start: Start) -> None:
    model = place.tape(
        {
            "say": "Working.",
            "calls": [{"name": "shell", "args": {"command": "echo once >> effect; echo the command runs; sleep 500"}}],
        },
        {"expect": {"last_contains": "may or may not have taken effect"}, "say": "I looked: it happened once."},
    )
    first = start("-y", "-m", model, "do it once")
    first.until("Working.", "  the command runs")
    first.child.send_signal(signal.SIGKILL)
    first.end()
    second = start("-y", "-m", model, "-c")
    second.ready("do it once", "Working.", "The last turn never came to its end")
    second.press("and?\r")
    second.ready("I looked: it happened once.")
    assert (place.root / "effect").read_text() == "once\n"
    assert [pid for pid in children_in(place.root) if pid != second.child.pid] == []


def test_a_project_is_trusted_by_a_yes_and_stays_so(place: Place, start: Start) -> None:
    folder = place.root / ".kimi-agent" / "prompts" / "commands"
    folder.mkdir(parents=True)
    (folder / "greet.md").write_text("Say hello to $ARGUMENTS.\n")
    model = place.tape({"expect": {"last_contains": "Say hello to Ann."}, "say": "Hello Ann."})
    first = start("-m", model)
    first.until("prompts/commands/greet.md", "trust the folder? [y/N]")
    words = " ".join(first.shown().split())  # no word is cut at the edge of the screen
    assert "holds this project's own tools, test runners, prompts and settings: prompts/commands/greet.md." in words
    first.press("y\n")
    first.ready("mode ask")
    first.press("/greet Ann\r")
    first.ready("Hello Ann.")
    second = start("-m", model)
    second.ready("mode ask")
    assert "trust the folder" not in second.shown()


@pytest.mark.parametrize("changed", ["tools/x.py", "config.toml", "tools/new.py"])
def test_what_a_yes_trusts_is_what_was_shown(changed: str, place: Place, start: Start) -> None:
    folder = place.root / ".kimi-agent"
    (folder / "tools").mkdir(parents=True)
    (folder / "tools/x.py").write_text("X = 1\n")
    marking = f"import pathlib\npathlib.Path({str(place.root / 'MARK')!r}).touch()\n"
    other = {"config.toml": 'test_command = "touch MARK"\n'}.get(changed, marking)
    terminal = start("-m", place.tape({"say": "Hello."}))
    terminal.until("trust the folder? [y/N]")
    (folder / changed).write_text(other)
    terminal.press("y\n")
    terminal.until("It changed while you were asked", "There are now:", changed, "as it is now? [y/N]")
    (folder / changed).write_text(other + "# and once more\n")
    terminal.press("y\n")
    terminal.ready("It changed once more and is left out", "mode ask")
    assert not (place.root / "MARK").exists()
    assert not (place.home / "state/trust.json").exists()


def test_without_a_key_the_three_ways_on_are_said(place: Place, start: Start) -> None:
    terminal = start()
    assert terminal.end() == 78
    seen = " ".join(terminal.shown().split())
    for way in ("KIMI_API_KEY", "KIMI_BASE_URL", "kimi-agent demo"):
        assert way in seen.replace("\n", "")
    assert "Traceback" not in seen


@pytest.mark.long
def test_a_bare_r_lets_choose(place: Place, start: Start) -> None:
    model = place.tape({"say": "one"}, {"say": "two"})
    for prompt in ("the first thing", "the second thing"):
        assert place.run("-m", model, "-p", prompt).returncode == 0
    (place.logs()[0].parent.parent / "lost").mkdir()
    terminal = start("-m", model, "-r")
    terminal.until("Which one?")
    assert "the first thing" in terminal.shown()
    assert "  1  " in terminal.shown().partition("(damaged)")[0]
    terminal.press("3\n")
    terminal.ready("the first thing", "one")


def test_clear_begins_anew_and_resume_goes_back(place: Place, start: Start) -> None:
    model = place.tape({"say": "First."}, {"say": "Second."})
    terminal = start("-m", model)
    terminal.ready("mode ask")
    terminal.press("remember me\r")
    terminal.ready("First.")
    terminal.press("/clear\r")
    terminal.until("mode ask")
    terminal.press("a new one\r")
    terminal.ready("› a new one\n\nFirst.\n\n1 step")  # without its answer it could still be the line that is typed
    terminal.press("/resume remember\r")
    terminal.ready("Resumed:")
    terminal.press("go on\r")
    terminal.ready("Second.")
    assert len(place.logs()) == 2


@pytest.mark.long
def test_a_session_in_which_nothing_was_said_is_not_kept(place: Place, start: Start) -> None:
    terminal = start("-m", place.tape({"say": "never"}))
    terminal.ready("mode ask")
    terminal.press("/status\r")
    terminal.ready("session  2")
    assert len(place.logs()) == 1
    terminal.press("/exit\r")
    assert terminal.end() == 0
    assert place.logs() == []


def test_another_model_goes_on_with_the_session(place: Place, start: Start) -> None:
    other = place.home / "other.jsonl"
    other.write_text('{"at": 1, "expect": {"contains": "remember me"}, "say": "I am the other one."}\n')
    terminal = start("-m", place.tape({"say": "First."}), "remember me")
    terminal.ready("First.")
    terminal.press(f"/model tape:{place.home / 'nowhere'}\r")
    terminal.ready("Cannot read the tape")
    terminal.press(f"/model tape:{other}\r")
    terminal.ready("Resumed: 2 messages")
    terminal.press("go on\r")
    terminal.ready("I am the other one.")
    assert len(place.logs()) == 1


def test_plan_mode_by_key_reaches_the_policy_and_the_model(place: Place, start: Start) -> None:
    model = place.tape(
        {"expect": {"note_contains": "Plan mode"}, "calls": [{"name": "shell", "args": {"command": "touch x"}}]},
        {"expect": {"last_contains": "plan mode is on"}, "say": "Then I only plan."},
    )
    terminal = start("-m", model)
    terminal.ready("mode ask")
    terminal.press("\x1b[Z")
    terminal.until("accept-edits · ")
    terminal.press("\x1b[Z")
    terminal.until("plan · ")
    terminal.press("go\r")
    terminal.ready("Then I only plan.")
    assert not (place.root / "x").exists()


@pytest.mark.long
def test_typing_before_the_house_is_open_is_kept(place: Place, start: Start) -> None:
    terminal = start("-m", place.tape({"expect": {"last_contains": "early bird"}, "say": "Good morning."}))
    terminal.until("mode ask")
    terminal.press("early bird\r")
    terminal.ready("Good morning.")


def test_leaving_at_once_does_not_hang(place: Place, start: Start) -> None:
    terminal = start("-m", place.tape({"say": "never"}))
    terminal.until("mode ask")
    terminal.child.send_signal(signal.SIGTERM)
    assert terminal.end() in (143, -15)


@pytest.mark.long
def test_lines_typed_before_a_start_that_fails_make_no_traceback(place: Place, start: Start) -> None:
    terminal = start()
    terminal.until("mode ask")
    terminal.press("one\rtwo\rthree\r")
    assert terminal.end() == 78
    assert "Traceback" not in terminal.shown()
    assert "Unhandled" not in terminal.shown()


@pytest.mark.long
def test_ctrl_c_twice_never_throws_a_draft_away(place: Place, start: Start) -> None:
    terminal = start("-m", place.tape({"say": "word " * 500, "pace": {"chunk": 5, "delay_s": 0.05}}), "go")
    terminal.until("word word")
    terminal.press("a draft")
    terminal.until("a draft")
    terminal.press("\x03")
    terminal.until("nterrupted", gone="esc to interrupt")
    terminal.press("\x03")
    terminal.ready()
    assert terminal.child.poll() is None
    terminal.press("\x03")
    terminal.until("again to leave")
    terminal.press("\x03")
    assert terminal.end() == 0


@pytest.mark.long
def test_a_bad_tape_ends_the_start_with_its_sentence(place: Place, start: Start) -> None:
    (place.home / "bad.jsonl").write_text('{"sya": "x"}\n')
    terminal = start("-m", f"tape:{place.home / 'bad.jsonl'}")
    code = terminal.end()
    assert code != 0
    assert "bad.jsonl, line 1" in " ".join(terminal.shown().split("\n"))
    assert "Traceback" not in terminal.shown()
