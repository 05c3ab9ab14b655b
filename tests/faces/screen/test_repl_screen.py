"""The bytes and the picture on a real pty: bursts, hostile text, colours, widths, dumb terminals."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kimi_agent.faces.sanitize import sanitize
from tests.faces.terminal_driver import SGR, Terminal
from tests.golden_texts import Golden

Start = Callable[..., Terminal]
OURS = re.compile(
    rb"\x1b\[(?:[0-9;]*m|\d*[ABCDJK]|\?(?:25|7|2004|1)[hl])"  # styles, cursor, erasing to the end; four modes
)
SECTION = """## Section {0}

Some **bold** prose about `part {0}`, long enough that it has to be wrapped somewhere in the middle of it, twice even.

- one of {0}
- two of {0}

```python
def part_{0}(x: int) -> int:
    return x + {0}
```

| name | value |
|---|---|
| row | {0} |

"""


@pytest.fixture
def long_answer(tmp_path: Path) -> Path:
    path = tmp_path / "answer.md"
    path.write_text("".join(SECTION.format(n) for n in range(150)) + "These are the last words.\n")
    return path


def test_a_burst_is_shown_to_its_last_words_in_order_and_cheaply(terminal: Start, long_answer: Path) -> None:
    screen = terminal(columns=100, rows=30)
    screen.ready()
    before = len(screen.raw)
    screen.press(f"burst {long_answer}\r")
    seen = screen.ready("These are the last words.", "2 steps")
    shown = [int(number) for number in re.findall(r"^Section (\d+)$", seen, re.MULTILINE)]
    assert shown == list(range(150))
    assert seen.count("    return x + ") == 150
    assert len(screen.raw) - before < 2 * long_answer.stat().st_size


def test_nothing_is_written_while_nothing_happens(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("hello\r")
    screen.ready("2 steps")
    written = len(screen.raw)
    screen.press("x")
    screen.until("› x")
    assert len(screen.raw) - written < 40


def test_the_scrollback_is_never_cleared_and_the_terminal_never_asked(terminal: Start, long_answer: Path) -> None:
    screen = terminal()
    screen.ready()
    screen.press("work\r")
    screen.ready("2 steps")
    screen.press("edit\r")
    screen.until("Allow this?")
    screen.press("y")
    screen.ready("edit_file src/a.py")
    assert OURS.sub(b"", screen.raw).count(b"\x1b") == 0
    assert b"\x1b[2J" not in screen.raw


def test_no_byte_of_hostile_text_reaches_the_terminal_as_it_is(terminal: Start) -> None:
    screen = terminal(columns=200, rows=50)
    screen.ready()
    screen.press("hostile\r")
    screen.until("Allow this?")
    screen.press("\x1b")
    seen = screen.ready("2 steps")
    left = OURS.sub(b"", screen.raw)
    assert not re.search(rb"[\x00-\x07\x0b\x0c\x0e-\x1f\x7f]", left)
    text = left.decode()
    assert sanitize(text.replace("\r", "").replace("\b", "")) == text.replace("\r", "").replace("\b", "")
    assert "␛]52;c;QUJD␇␛[2J\\x9b2J␈␍\\u202e\\U000e0041" in seen
    assert "split ␛[6n" in seen
    assert "https://github.com/ok (http://sink/?q=CANARY)" in seen


@pytest.mark.long
def test_no_color_means_no_style_at_all(terminal: Start) -> None:
    screen = terminal(NO_COLOR="1")
    screen.ready()
    screen.press("work\r")
    screen.ready("2 steps")
    screen.press("edit\r")
    screen.until("Allow this?")
    screen.press("\x1b")
    screen.ready("refused")
    assert not SGR.search(screen.raw)
    assert "# Done" in screen.shown()


def test_colours_are_of_the_sixteen_and_never_a_background(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("work\r")
    screen.ready("2 steps")
    codes = {code for each in SGR.findall(screen.raw) for code in each[2:-1].split(b";")}
    assert codes
    assert codes <= {
        b"",
        b"0",
        b"1",
        b"2",
        b"3",
        b"4",
        b"9",
        *(str(n).encode() for n in (*range(30, 40), *range(90, 98))),
    }


def test_a_story_of_work_at_eighty_columns(terminal: Start, golden: Golden) -> None:
    screen = terminal(rows=50)
    screen.ready()
    screen.press("work\r")
    seen = screen.ready("2 steps")
    golden(seen[seen.index("› work") : seen.index("2 steps")].rstrip())


@pytest.mark.parametrize("columns", [40, *(pytest.param(wide, marks=pytest.mark.long) for wide in (80, 200, 300))])
def test_thai_and_japanese_stand_in_their_columns_at_any_width(terminal: Start, tmp_path: Path, columns: int) -> None:
    table = "| 名前 | ค่า |\n|---|---|\n| 日本語 | ค่าน้ำ |\n| ascii | x |\n"
    path = tmp_path / "ไฟล์ 日本.md"
    path.write_text(f"การทำงาน{'ไทย' * 30} 日本語{'漢字' * 40}\n\n{table}\nend\n", encoding="utf-8")
    screen = terminal(f"workspace={tmp_path / '日本 ไทย'}", columns=columns, rows=40)
    screen.ready()
    screen.press(f"burst {path}\r")
    screen.ready("2 steps")
    rows = screen.screen.display
    heads = [row for row in rows if "名前" in row and "ค่า" in row]
    cells = [row for row in rows if "日本語" in row and "ค่าน้ำ" in row]
    assert heads
    assert cells
    assert _column(screen, "ค่า") == _column(screen, "ค่าน้ำ")


def _column(screen: Terminal, text: str) -> int:
    """The column in which the last row that shows `text` has its first character."""
    for at in range(screen.screen.lines - 1, -1, -1):
        if text in screen.screen.display[at]:
            line = screen.screen.buffer[at]
            return next(x for x in range(screen.screen.columns) if line[x].data.startswith(text[0]))
    raise AssertionError(text)


def test_a_narrower_window_leaves_no_ghosts_of_the_bottom_rows(terminal: Start) -> None:
    screen = terminal(columns=200)
    screen.ready()
    screen.press("hello\r")
    screen.ready("2 steps")
    screen.resize(80, 24)
    screen.press("x")
    screen.until("› x")
    assert screen.bottom().count("ask · kimi-k2.6 · main") == 1


@pytest.mark.long
@pytest.mark.parametrize("encoding", ["iso8859-1", "ascii"])
def test_other_encodings_get_signs_they_have(terminal: Start, encoding: str) -> None:
    screen = terminal(PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    screen.until("\n>\n")
    screen.press("work\r")
    seen = screen.until("* read_file src/a.py  120 lines", "2 steps", gone="esc to interrupt")
    assert "| Let me look" in seen
    assert not [c for c in screen.raw if c >= 0x80]


def test_a_dumb_terminal_gets_plain_lines(terminal: Start) -> None:
    screen = terminal(TERM="dumb")
    screen.until("mode ask", "\n›")
    screen.press("work\n")
    screen.until("• two", "2 steps")
    screen.press("shell make\n")
    screen.until("$ make", "1 yes (y)", "Answer")
    screen.press("y\n")
    screen.until("allowed", "exit 0")
    screen.press("forever\n")
    screen.until_logged("turn", "forever")
    screen.press("\x03")
    screen.until("Interrupted")
    screen.press("/exit\n")
    assert screen.end() == 0
    assert "Resume with: kimi-agent -r session-0" in screen.shown()
    assert b"\x1b" not in screen.raw


def test_a_dumb_terminal_takes_no_typed_ahead_answer(terminal: Start) -> None:
    screen = terminal(TERM="dumb")
    screen.until("\n›")
    screen.press("shell make\n")
    screen.until("Answer")
    screen.press("rather not\n")
    screen.until("refused: rather not")
    screen.press("\x04")
    assert screen.end() == 0


def test_switching_sessions(terminal: Start) -> None:
    screen = terminal(rows=60)
    screen.ready()
    screen.press("/resume\r")
    screen.ready("2 h ago  fix the parser  old-1")
    screen.press("/resume 1\r")
    screen.ready("Resumed: 2 messages so far", "› the old question", "the old answer")
    screen.press("/clear\r")
    screen.ready("mode ask")
    screen.press("/model kimi-k2.6-thinking\r")
    screen.ready("kimi-agent · kimi-k2.6-thinking")
    screen.press("/resume nothing\r")
    screen.ready("There is no session nothing; /resume lists them.")
    screen.press("hello\r")
    screen.ready("You said: hello")
    screen.press("/mode wild\r")
    screen.ready("There is no mode wild")
    screen.press("/review src\r")
    seen = screen.ready("Look at src closely.")
    assert "› /review src" in seen
    screen.press("/exit\r")
    assert screen.end() == 0
    assert screen.bottom().endswith("Resume with: kimi-agent -r session-2")


def test_a_long_branch_keeps_its_column_in_the_status(terminal: Start) -> None:
    screen = terminal("branch=feature/a-name-that-goes-on-and-on", columns=44)
    screen.ready()
    screen.press("/status\r")
    seen = screen.ready("tokens   0 in")
    assert "\nfolder   /srv/project (feature/a-name-that-\n         goes-on-and-on)\nmode     ask\n" in seen
