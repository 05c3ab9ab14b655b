"""What a typed line asks for."""

import pytest

from kimi_agent.faces.slash_commands import (
    TypedCommand,
    TypedPrompt,
    UnknownCommand,
    fill_prompt_command,
    matching_commands,
    parse_typed_line,
)

PROMPTS = {"review": "# Review\n\nLook at $ARGUMENTS.", "ship": "Ship it."}


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("fix the bug", TypedPrompt("fix the bug", "fix the bug")),
        ("/help", TypedCommand("help", "")),
        (" /new ", TypedCommand("clear", "")),
        ("/quit", TypedCommand("exit", "")),
        ("/sessions", TypedCommand("resume", "")),
        ("/RESUME 3", TypedCommand("resume", "3")),
        ("/model kimi-k2.6-thinking ", TypedCommand("model", "kimi-k2.6-thinking")),
        ("/review src/a.py", TypedPrompt("# Review\n\nLook at src/a.py.", "/review src/a.py")),
        ("/ship now", TypedPrompt("Ship it.\n\nnow", "/ship now")),
        ("/modl", UnknownCommand("There is no command /modl; did you mean /model or /mode?")),
        ("/zzz", UnknownCommand("There is no command /zzz; /help lists what there is.")),
        ("/usr/bin/env is missing", TypedPrompt("/usr/bin/env is missing", "/usr/bin/env is missing")),
        ("/ what", TypedPrompt("/ what", "/ what")),
    ],
)
def test_a_line_is_a_prompt_a_command_or_a_mistake(line: str, meaning: object) -> None:
    assert parse_typed_line(line, PROMPTS) == meaning


def test_a_prompt_file_cannot_replace_a_built_in_command() -> None:
    assert parse_typed_line("/exit", {"exit": "stay"}) == TypedCommand("exit", "")


def test_matches_are_offered_while_the_word_is_typed() -> None:
    assert matching_commands("/res", PROMPTS) == [("resume", "list the saved sessions, or open one")]
    assert [name for name, _ in matching_commands("/re", PROMPTS)] == ["redo", "resume", "review", "rewind"]
    assert matching_commands("/review x", PROMPTS) == []
    assert matching_commands("re", PROMPTS) == []


def test_words_without_a_place_go_to_the_end() -> None:
    assert fill_prompt_command("Do it.\n", "") == "Do it.\n"
    assert fill_prompt_command("Do it.\n", "well") == "Do it.\n\nwell"
