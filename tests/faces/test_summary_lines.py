"""The one line of a call: what it is called for, and where."""

import json

import pytest

from kimi_agent.faces.summary_lines import call_line
from kimi_agent.log.messages import Call


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"command": "make test"}, "shell make test"),
        ({"command": "make test", "cwd": "."}, "shell make test"),
        ({"command": "make test", "cwd": "web"}, "shell in web: make test"),
        ({"command": "make\ntest", "cwd": "a b"}, "shell in a b: make (+1 lines)"),
        ({"command": ["make", "test"], "cwd": "web"}, "shell in web: make test"),
    ],
)
def test_a_command_in_another_folder_says_which(arguments: dict[str, object], line: str) -> None:
    assert call_line(Call("1", "shell", json.dumps(arguments))) == line
