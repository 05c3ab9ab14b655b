"""Cleaning and bounding of output, whatever the pieces it comes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.workspace.process.head_and_tail import HeadAndTail, OutputCleaner


def cleaned(*pieces: bytes) -> str:
    cleaner = OutputCleaner()
    return "".join([*(cleaner.feed(piece) for piece in pieces), cleaner.feed(b"", final=True)])


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (b"plain\n", "plain\n"),
        (b"\x1b[1;31mred\x1b[0m\n", "red\n"),
        (b"\x1b]0;title\x07text\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n", "textlink\n"),
        (b"\x1b]52;c;c2VjcmV0\nnext", "\nnext"),  # a sequence without an end hides no line
        (b"\x1bP+q\x1b\\a\x1b(Bb\x1b7c\x1bMd", "abcd"),
        (b"\xc2\x9b31mC1\xc2\x9d0;t\xc2\x9c.", "C1."),
        (b"10%\r20%\r100%\ndone\r\n", "100%\ndone\n"),
        (b"10%\r20%", "20%"),
        (b"last\r", "last"),
        (b"\r\r\n", "\n"),
        (b"N\bNA\bA |\b/\b-\n", "NA -\n"),
        (b"\b\bx\n", "x\n"),
        (b"\xff\xfe caf\xc3\xa9 \xe2\x82", "\ufffd\ufffd café \ufffd"),
        (b"a\x00b\x07c\x7fd\te\n", "abcd\te\n"),
        ("日本語 ไทย \u2028 ok\n".encode(), "日本語 ไทย \u2028 ok\n"),
        (b"\x1b", ""),
        (b"\x1b[" + b"1" * 1000 + b"m!", "!"),
    ],
)
def test_output_is_cleaned_the_same_in_one_piece_and_byte_by_byte(printed: bytes, shown: str) -> None:
    assert cleaned(printed) == shown
    if b"1" * 1000 not in printed:  # that long a sequence may be split into text
        assert cleaned(*(printed[at : at + 1] for at in range(len(printed)))) == shown


_SNIPPETS = [
    b"\x1b[",
    b"\x1b]",
    b"\x1b",
    b"\\",
    b"\x07",
    b"m",
    b"\n",
    b"\r",
    b"\b",
    b"\xc3\xa9",
    b"\xff",
    b"text",
    b"31;1",
]


@given(st.lists(st.sampled_from(_SNIPPETS), max_size=30), st.data())
def test_where_the_pieces_are_cut_makes_no_difference(snippets: list[bytes], data: st.DataObject) -> None:
    printed = b"".join(snippets)
    cut = data.draw(st.integers(0, len(printed)))
    assert cleaned(printed) == cleaned(printed[:cut], printed[cut:])


@given(st.lists(st.sampled_from(_SNIPPETS), max_size=30))
def test_no_newline_is_swallowed_and_no_control_character_left(snippets: list[bytes]) -> None:
    printed = b"".join(snippets)
    shown = cleaned(printed)
    assert shown.count("\n") == printed.count(b"\n")
    assert all(character.isprintable() or character in "\n\t" for character in shown)


def test_the_line_being_written_is_known_before_it_ends() -> None:
    cleaner = OutputCleaner()
    cleaner.feed(b"first\n 10%\r 20%")
    assert cleaner.line == " 20%"


def test_a_line_without_end_is_not_held_back() -> None:
    cleaner = OutputCleaner()
    assert sum(len(cleaner.feed(b"x" * 65_536)) for _ in range(100)) == 6_553_600
    assert cleaner.line == ""


def test_a_string_sequence_without_end_costs_no_memory() -> None:
    cleaner = OutputCleaner()
    cleaner.feed(b"\x1b]0;")
    assert "".join(cleaner.feed(b"x" * 65_536) for _ in range(20)) == ""
    assert cleaner.feed(b"\x07seen\n") == "seen\n"


def ends(text: str, head: int, tail: int, piece: int = 7) -> HeadAndTail:
    kept = HeadAndTail(head, tail)
    for at in range(0, len(text), piece):
        kept.add(text[at : at + piece])
    return kept


def test_what_fits_is_whole() -> None:
    kept = ends("0123456789", 4, 6)
    assert (kept.whole, kept.text("")) == (True, "0123456789")


def test_what_is_left_out_is_counted_exactly() -> None:
    text = "".join(f"{number:04}\n" for number in range(1000))
    kept = ends(text, 100, 200)
    shown = kept.text("it is elsewhere")
    head, gap, tail = shown.partition("[… 940 lines, 4,700 bytes left out; it is elsewhere …]\n")
    assert gap
    assert (head, tail) == (text[:100], text[-200:])
    assert (kept.lines, kept.bytes) == (1000, 5000)


def test_the_ends_are_cut_at_lines_where_that_costs_little() -> None:
    kept = ends("".join(f"line {number}\n" for number in range(1000)), 100, 100)
    for line in kept.text("x").splitlines():
        assert line.startswith(("line ", "[…"))


def test_a_line_without_end_is_counted_in_bytes() -> None:
    kept = ends("é" * 5000, 100, 100)
    assert "[… 9,600 bytes of one line left out; x …]" in kept.text("x")
    assert kept.lines == 1


@given(st.text(st.characters(codec="utf-8"), max_size=400), st.integers(0, 40), st.integers(0, 40))
def test_head_tail_and_what_is_missing_make_the_whole(text: str, head: int, tail: int) -> None:
    kept = ends(text, head, tail)
    shown = kept.text("x")
    assert kept.lines == text.count("\n") + (text != "" and not text.endswith("\n"))
    if len(text) <= head + tail:
        assert shown == text
    else:
        assert len(shown) <= head + tail + 100
