"""What argv means, before any parser sees it."""

import pytest

from kimi_agent.cli import add_empty_values, find_first_word


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["demo"], "demo"),
        (["-C", "demo", "sessions", "list"], "sessions"),
        (["--set", "a=b", "-y", "config"], "config"),
        (["--model=x", "fix it"], "fix it"),
        (["-p", "demo"], "demo"),
        (["--", "demo"], None),
        (["-y", "--", "demo"], None),
        (["-r", "demo"], None),
        (["-w", "demo"], None),
        (["-"], "-"),
        ([], None),
        (["-c"], None),
    ],
)
def test_the_first_word_is_found_among_flags(argv: list[str], word: str | None) -> None:
    place = find_first_word(argv)
    assert (None if place is None else argv[place]) == word


@pytest.mark.parametrize(
    ("argv", "read"),
    [
        (["-r"], ["--resume="]),
        (["-r", "-p", "go"], ["--resume=", "-p", "go"]),
        (["-r", "abc", "go"], ["-r", "abc", "go"]),
        (["--session"], ["--resume="]),
        (["--", "-r"], ["--", "-r"]),
        (["-w"], ["--worktree="]),
        (["-w", "-y", "go"], ["--worktree=", "-y", "go"]),
        (["-w", "mine", "go"], ["-w", "mine", "go"]),
    ],
)
def test_a_bare_resume_gets_its_empty_value(argv: list[str], read: list[str]) -> None:
    assert add_empty_values(argv) == read
