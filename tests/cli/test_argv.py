"""What argv means, before any parser sees it."""

import pytest

from kimi_agent.cli.argv import add_empty_values, find_command, find_output_format


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["demo"], "demo"),
        (["-C", "demo", "sessions", "list"], "sessions"),
        (["--set", "a=b", "-y", "config"], "config"),
        (["-mx", "stats"], "stats"),
        (["sessions", "-p"], "sessions"),
        (["--model=x", "fix it"], None),
        (["--model=x", "fix", "sessions"], None),
        (["-p", "demo"], None),
        (["--print", "sessions", "list"], None),
        (["-yp", "stats"], None),
        (["--", "demo"], None),
        (["-y", "--", "demo"], None),
        (["-r", "demo"], None),
        (["-w", "demo"], None),
        (["-"], None),
        ([], None),
        (["-c"], None),
    ],
)
def test_a_command_is_the_first_word_unless_a_flag_says_that_a_prompt_follows(
    argv: list[str], command: str | None
) -> None:
    place = find_command(argv)
    assert (None if place is None else argv[place]) == command


@pytest.mark.parametrize(
    ("argv", "form"),
    [
        (["go", "--output-format", "json"], "json"),
        (["--output-format=stream-json", "--bogus"], "stream-json"),
        (["--output-format", "text", "--output-format", "json"], "json"),
        (["-m", "--output-format", "json"], "text"),
        (["-p", "--", "--output-format", "json"], "text"),
        (["go", "--output-format"], ""),
        ([], "text"),
    ],
)
def test_the_output_format_is_known_before_the_flags_are_parsed(argv: list[str], form: str) -> None:
    assert find_output_format(argv) == form


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
