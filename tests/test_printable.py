"""Printable text: on one line whatever it holds, escaped paths, and counts with their noun."""

import re
import sys

import pytest

from kimi_agent.printable import escape_name, escape_path, format_count, format_time, join_some, one_line


@pytest.mark.parametrize("instead", [" ", "", "�"])
def test_no_character_leaves_the_line_or_moves_a_cursor(instead: str) -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    shown = one_line(f"a{every}b", instead=instead)
    assert shown.isprintable()
    assert "  " not in shown
    assert [char for char in every if char.isprintable() and char != " " and char not in shown] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("  two\n\twords  ", "two words"),
        ("a\x1b[2Jb\u202ec", "a [2Jb c"),
        ("exactly 10", "exactly 10"),
        ("longer than 10", "longer th…"),
        ("a b" * 1_000_000, "a ba ba b…"),
    ],
)
def test_a_text_is_joined_and_cut(text: str, shown: str) -> None:
    assert one_line(text, 10) == shown


def test_what_stands_for_the_unprintable_is_chosen_but_blanks_stay_blanks() -> None:
    assert one_line("a\x00b\nc", instead="�") == "a�b c"
    assert one_line("a\x00b\u2028c", instead="") == "ab c"


def test_a_path_is_escaped_and_cut_in_a_sentence_and_whole_in_a_list() -> None:
    hostile = b"new\nline\xff\xe2\x80\xae.py".decode("utf-8", "surrogateescape")
    assert escape_path(hostile) == r"new\nline\udcff\u202e.py"
    assert escape_name(hostile) == r"new\nline\xff\u202e.py"
    assert escape_path("é" * 400) == "é" * 300 + "…"
    assert escape_name("é" * 400) == "é" * 400


def test_a_count_has_its_noun() -> None:
    counts = (format_count(0, "file"), format_count(1, "file"), format_count(1_200, "match", "matches"))
    assert counts == ("0 files", "1 file", "1,200 matches")


def test_the_first_few_names_are_joined_and_the_rest_is_counted() -> None:
    assert join_some(["a", "b"], 2) == "a, b"
    assert join_some(["a\n"] * 2_000, 2, escape_path) == r"a\n, a\n and 1,998 more"
    assert join_some([], 2) == ""


def test_a_time_is_a_date_and_a_minute() -> None:
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d", format_time(1_800_000_000.0))
