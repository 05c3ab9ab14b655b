"""Blocks are drawn once and nothing is lost, however the text is torn into deltas."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimi_agent.faces.render.markdown_stream import MarkdownStream
from kimi_agent.faces.sanitize import cell_width, sanitize
from kimi_agent.faces.theme import Theme

PLAIN = Theme(False)
PARTS = (
    "# A title",
    "Two *lines* of\nprose with `code`.",
    "- one\n- two\n\n  more of two\n- three\n  ```py\n  x = 1\n  ```",
    "3. three\n4. four",
    "```python\ndef f():\n    return 1\n\n\nclass A: ...\n```",
    "~~~\nunknown ``` language\n~~~",
    "> quoted\n> more",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "---",
    "<details>\n<summary>x</summary>\n</details>",
    "    indented code\n\n    more of it",
    "Setext\n======",
    "[ref]: http://example.org/x",
    "ไทย 日本語 **太字** 👨‍👩‍👧",
)
documents = st.lists(st.sampled_from(PARTS), max_size=7).map("\n\n".join)


def torn(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def drawn(deltas: list[str], cells: int = 60, theme: Theme = PLAIN) -> tuple[str, list[str]]:
    stream = MarkdownStream(theme, lambda: cells)
    blocks = [block for delta in deltas for block in stream.feed(delta)]
    blocks += stream.finish()
    assert stream.tail == ""
    return "".join(block.source for block in blocks), [row for block in blocks for row in block.rows]


@given(documents, st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_blocks_that_stream_are_drawn_as_the_whole_text_is(text: str, size: int) -> None:
    source, rows = drawn(torn(text, size))
    assert source == text
    assert rows == drawn([text])[1]


@given(st.text(st.sampled_from("a#`~->|*_1.) \n\t[]()<!&;é日"), max_size=120), st.integers(1, 9))
@settings(max_examples=150, deadline=None)
def test_finished_blocks_and_tail_are_the_whole_text_at_any_moment(text: str, size: int) -> None:
    stream = MarkdownStream(PLAIN, lambda: 30)
    finished = fed = ""
    for delta in torn(text, size):
        fed += delta
        finished += "".join(block.source for block in stream.feed(delta))
        assert finished + stream.tail == fed
    assert finished + "".join(block.source for block in stream.finish()) == text


@given(documents, st.integers(40, 300))
@settings(max_examples=30, deadline=None)
def test_prose_keeps_within_the_width_and_rows_end_without_blanks(text: str, cells: int) -> None:
    rows = drawn([text], cells)[1]
    assert all(cell_width(row) <= cells and row == row.rstrip(" ") for row in rows)


def test_a_block_is_drawn_when_the_next_has_begun_and_not_before() -> None:
    stream = MarkdownStream(PLAIN, lambda: 60)
    assert stream.feed("One.\n\n") == []
    assert [block.rows for block in stream.feed("Two.\n")] == [("One.",)]
    assert stream.tail == "Two.\n"


@pytest.mark.parametrize("start", ["- a\n\n- b\n", "> a\n> b\n", "| a | b |\n|---|---|\n| 1 | 2 |\n"])
def test_a_list_a_quote_and_a_table_wait_for_their_end(start: str) -> None:
    stream = MarkdownStream(PLAIN, lambda: 60)
    assert stream.feed(start) == []
    assert len(stream.feed("\nProse.\n")) == 1


def test_a_long_fence_is_drawn_while_it_grows() -> None:
    stream = MarkdownStream(PLAIN, lambda: 60)
    blocks = stream.feed("```python\n" + "x = 1\n" * 100)
    assert sum(len(block.rows) for block in blocks) >= 80
    assert len(stream.tail.splitlines()) < 40


def test_code_keeps_its_lines_however_long_they_are() -> None:
    line = "x = '" + "y" * 300 + "'"
    assert drawn([f"```python\n{line}\n```\n"], 40)[1] == [f"  {line}"]


def test_a_string_over_many_lines_keeps_its_colour_between_pieces() -> None:
    text = '```python\nx = """\n' + "word\n" * 120 + '"""\n```\n'
    rows = drawn(torn(text, 7), theme=Theme(True))[1]
    assert {row for row in rows if "word" in row} == {"  \x1b[32mword\x1b[0m"}


def test_nothing_of_the_source_is_hidden() -> None:
    text = (
        "[https://github.com/ok](http://sink/?q=CANARY) ![alt](http://pixel/x.png) <b>bold</b> <https://auto.link>\n\n"
        "<script>x</script>\n\n[ref]: http://defined.later\n"
    )
    shown = "\n".join(drawn([text], 200, Theme(True))[1])
    for part in ("http://sink/?q=CANARY", "[image: alt] (http://pixel/x.png)", "<b>bold</b>", "<script>x</script>"):
        assert part in re.sub("\x1b\\[[0-9;]*m", "", shown)
    assert shown.count("https://auto.link") == 1
    assert "http://defined.later" in shown
    assert "\x1b]8" not in shown


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_escapes_are_shown_wherever_a_delta_tears_them(size: int) -> None:
    text = "a \x1b]52;c;QQ\x07 b `\x9b2J` &#x202e;c &#27;[2J\n\n```sh\n\x1b[2J\n```\n"
    rows = drawn(torn(text, size), theme=Theme(True))[1]
    shown = re.sub("\x1b\\[[0-9;]*m", "", "\n".join(rows))
    assert shown == sanitize(shown)
    assert "␛]52;c;QQ␇" in shown
    assert "\\x9b2J" in shown
    assert "\\u202ec" in shown
    assert "␛[2J" in shown


def test_an_emoji_torn_at_its_joiner_is_whole_again() -> None:
    assert drawn(list("👨‍👩‍👧 ok\n"))[1] == ["👨‍👩‍👧 ok"]


@pytest.mark.parametrize(
    "hostile",
    ["- " * 200 + "x", "> " * 300 + "x", "[" * 30_000, "*" * 20_001, "|a" * 3_000 + "\n" + "|-" * 3_000, "```" * 5_000],
)
def test_hostile_nesting_is_drawn_as_text_and_ends(hostile: str) -> None:
    source, rows = drawn([hostile + "\n\nafter\n"], 40)
    assert source == hostile + "\n\nafter\n"
    assert rows[-1].strip() == "after"


def test_no_colour_means_no_escape_sequence() -> None:
    rows = drawn(["\n\n".join(PARTS)])[1]
    assert not [row for row in rows if "\x1b" in row]
    assert "# A title" in rows


def test_few_bytes_are_written_per_byte_of_text() -> None:
    text = "\n\n".join(PARTS * 30)
    rows = drawn(torn(text, 16), 200, Theme(True))[1]
    assert len("\r\n".join(rows).encode()) < 2 * len(text.encode())
