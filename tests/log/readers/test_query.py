"""What is looked for: words, phrases, regular expressions."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kimi_agent.log.readers.search_query import cut_excerpt, parse_query


@pytest.mark.parametrize(
    ("query", "text", "match"),
    [
        ("retry", "We RETRY twice", "RETRY"),
        ("retry budget", "a budget for each retry", "budget"),
        ("retry budget", "a budget", None),
        ('"no retry"', "no\n   Retry here", "no\n   Retry"),
        ('"no retry"', "no other retry", None),
        ('"no retry" budget', "the budget: no retry", "no retry"),
        ('say "open end', "say: open the end", "open"),
        ('"a', 'a "A b', "a"),
        ("größe", "GRÖSSE und GRÖßE", "GRÖßE"),
        ("/re(try|do) \\d/", "Retry 3", "Retry 3"),
        ("/^b$/", "a\nb\n", "b"),
        ("/re(/", "a /RE(/ b", "/RE(/"),
        ("//", "a // b", "//"),
        ("/usr/", "so/usr/bin", "usr"),
        ("/^b+$/", "a" * 900 + "\nbb\n" + "c" * 900, "bb"),
        ("/b+$/", "a\n" * 900 + "bb", "bb"),
        ("/xy/", "a" * 399 + "xy", "xy"),
        ("", "anything", None),
        ('""', "anything", None),
    ],
)
def test_case_does_not_count_and_all_words_must_occur(query: str, text: str, match: str | None) -> None:
    span = parse_query(query).find(text)
    assert (None if span is None else text[slice(*span)]) == match


def test_a_query_tells_how_it_was_read() -> None:
    assert str(parse_query('retry  "no   budget" retry')) == '"retry" and "no budget"'
    assert str(parse_query("/a+b/")) == "/a+b/"


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a|aa)+$",
        "(?:a*)*b",
        r"(a)\1*",
        "(a){9}",
        ".*.*.*.*x",
        "(?P<n>a)(?P=n)",
        "(?(1)a|b)",
        "a{2}b+c*",
        "(a+){2,} ",
        "a?" * 30 + "a" * 30,
        "(a|a)" * 25 + "b",
        "((a|b)(a|c)|(a|d)(a|e))(?:a|f)(a|g)(a|h)(a|i)b",
        ".*a?a?a?.*b",
    ],
)
def test_a_pattern_that_could_take_for_ever_is_read_as_words(pattern: str) -> None:
    query = parse_query(f"/{pattern}/")
    assert query.pattern is None
    assert query.find("a" * 5_000) is None
    assert query.find(f"so /{pattern}/ it is") is not None


def test_a_pattern_that_is_allowed_is_quick_on_the_worst_line() -> None:
    assert parse_query("/a*a*b/").find("a" * 450) is None
    assert parse_query("/needle/").find("a" * 5_000 + "needle" + "a" * 5_000) == (5_000, 5_006)


@settings(max_examples=50, deadline=None, database=None)
@example(' A"\\\x7f é\n', " ")
@given(st.text(max_size=30), st.text(max_size=6))
def test_a_line_that_holds_a_match_is_never_passed_over(text: str, more: str) -> None:
    for asked in (text, f'"{text}"', more):
        query = parse_query(asked)
        for found in (text, f"{more}{text}{more}", text.swapcase()):
            for line in (json.dumps(found, ensure_ascii=False), json.dumps({"k": [found, more]}, ensure_ascii=False)):
                if found.isascii() and query.find(found) is not None:
                    assert query.may_match(line.encode("utf-8", "replace"))


def test_an_excerpt_is_one_line_with_the_match_in_the_middle() -> None:
    text = "a " * 100 + "\n\nNEEDLE\t" + "b " * 100
    shown = cut_excerpt(text, (202, 208), max_chars=40)
    assert shown.startswith("…a a")
    assert shown.endswith("b b …" if shown.endswith(" …") else "b…")
    assert 10 < shown.index("NEEDLE") < 25
    assert "\n" not in shown
    assert cut_excerpt("short", (0, 5), max_chars=40) == "short"
    assert cut_excerpt("x" * 100, (0, 100), max_chars=10) == "x" * 10 + "…"
    assert cut_excerpt("x" * 100, (99, 100), max_chars=10) == "…" + "x" * 10
