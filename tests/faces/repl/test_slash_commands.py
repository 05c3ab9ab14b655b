"""What a typed line asks for."""

import pytest

from kimi_agent.faces.slash_commands import Invocation, Prompt, Unknown, filled, matching, read

PROMPTS = {"review": "# Review\n\nLook at $ARGUMENTS.", "ship": "Ship it."}


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("fix the bug", Prompt("fix the bug", "fix the bug")),
        ("/help", Invocation("help", "")),
        (" /new ", Invocation("clear", "")),
        ("/quit", Invocation("exit", "")),
        ("/sessions", Invocation("resume", "")),
        ("/RESUME 3", Invocation("resume", "3")),
        ("/model kimi-k2.6-thinking ", Invocation("model", "kimi-k2.6-thinking")),
        ("/review src/a.py", Prompt("# Review\n\nLook at src/a.py.", "/review src/a.py")),
        ("/ship now", Prompt("Ship it.\n\nnow", "/ship now")),
        ("/modl", Unknown("There is no command /modl; did you mean /model or /mode?")),
        ("/zzz", Unknown("There is no command /zzz; /help lists what there is.")),
        ("/usr/bin/env is missing", Prompt("/usr/bin/env is missing", "/usr/bin/env is missing")),
        ("/ what", Prompt("/ what", "/ what")),
    ],
)
def test_a_line_is_a_prompt_a_command_or_a_mistake(line: str, meaning: object) -> None:
    assert read(line, PROMPTS) == meaning


def test_a_prompt_file_cannot_replace_a_built_in_command() -> None:
    assert read("/exit", {"exit": "stay"}) == Invocation("exit", "")


def test_matches_are_offered_while_the_word_is_typed() -> None:
    assert matching("/res", PROMPTS) == [("resume", "list the saved sessions, or open one")]
    assert [name for name, _ in matching("/re", PROMPTS)] == ["redo", "resume", "review", "rewind"]
    assert matching("/review x", PROMPTS) == []
    assert matching("re", PROMPTS) == []


def test_words_without_a_place_go_to_the_end() -> None:
    assert filled("Do it.\n", "") == "Do it.\n"
    assert filled("Do it.\n", "well") == "Do it.\n\nwell"
