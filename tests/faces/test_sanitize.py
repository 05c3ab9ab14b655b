"""T1 and T2 of the attack catalogue, character by character; and the texts that must stay as they are."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.faces.sanitize import (
    cell_width,
    collapse_blanks,
    count_escaped,
    sanitize,
    sanitize_line,
    truncate,
    wrap_line,
)


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("\x1b]52;c;QUJD\x07", "␛]52;c;QUJD␇"),
        ("\x1b]8;;http://x\x1b\\y", "␛]8;;http://x␛\\y"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x1b[2J", "␛[2J"),
        ("\x1b[6n", "␛[6n"),
        ("\x1bP+q544e\x1b\\", "␛P+q544e␛\\"),
        ("\x9b2J \x90 \x85", "\\x9b2J \\x90 \\x85"),
        ("\x07\x08\x00\x7f", "␇␈␀␡"),
        ("a\rb", "a␍b"),
        ("a\r\nb\tc\n", "a\nb\tc\n"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("\U000e0041\U000e007f", "\\U000e0041\\U000e007f"),
        ("cu\u200drl \u200bx \u200c", "cu\\u200drl \\u200bx \\u200c"),
        ("\ufeffx\xad\u2028\u2029\u3164", "\\ufeffx\\xad\\u2028\\u2029\\u3164"),
        ("a\ufe0f b\U000e0100", "a\\ufe0f b\\U000e0100"),
        ("\ud800x\udfff", "\ufffdx\ufffd"),
        ("\u200d\u200d", "\\u200d\\u200d"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_shown(given_text: str, shown: str) -> None:
    assert sanitize(given_text) == shown
    assert sanitize(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "กำลังทำงาน ภาษาไทย ไทย\u200bไทย",
        "日本語テキスト 葛\U000e0100飾区",
        "👨‍👩‍👧 ❤️ 1️⃣ 🏳️‍🌈",
        "می‌خواهم क्‍ष",
        "naïve café — “quotes” … ±",
    ],
)
def test_honest_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert sanitize(text) == text
    assert count_escaped(text) == 0


@given(st.text(st.characters(), max_size=60))
def test_no_clean_text_holds_a_control_or_a_bidi_character(text: str) -> None:
    shown = sanitize(text)
    assert not [c for c in shown if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0]
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\ufeff")
    shown.encode("utf-8")


def test_specials_are_counted() -> None:
    assert count_escaped("a\x1b[2J\u202e\r\n\x00") == 3


def test_one_line_has_no_line_breaks_and_fits() -> None:
    assert sanitize_line("a\nb\tc\x1b") == "a↵b c␛"
    assert sanitize_line("日本語テキスト", 7) == "日本語…"
    assert cell_width(sanitize_line("x" * 1_000_000, 40)) == 40


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), st.integers(2, 20))
def test_cut_and_wrapped_text_keeps_within_its_cells(text: str, cells: int) -> None:
    line = sanitize_line(text)
    assert cell_width(truncate(line, cells)) <= cells
    rows = wrap_line(line, cells, words=False)
    assert "".join(rows) == line
    assert all(cell_width(row) <= cells for row in rows)


def test_words_are_not_torn_where_there_are_blanks() -> None:
    assert wrap_line("hello big world of wonders", 10) == ["hello big", "world of", "wonders"]


def test_long_runs_of_blanks_are_counted_not_drawn() -> None:
    assert collapse_blanks("ls" + " " * 2000 + "; curl" + "\n \n\t\n" * 100 + "x") == (
        "ls⟨2000 blanks⟩; curl\n⟨299 empty lines⟩\nx"
    )


def test_a_megabyte_costs_milliseconds() -> None:
    began = time.process_time()
    sanitize("plain text, ไทย 日本 and so on\n" * 40_000)
    assert time.process_time() - began < 2  # a hang guard; measured: 0.03 s
