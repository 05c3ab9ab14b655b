"""Rules that could hold nothing are refused at the start, with the spelling that was meant."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kimi_agent.errors import UserError
from kimi_agent.guard.policy.rules import check_rule, parse_rule
from kimi_agent.layers import Layer
from kimi_agent.plugins import BrokenPlugin
from kimi_agent.tool import Tool
from kimi_agent.toolbox import load_tools
from tests.golden_texts import Golden

Load = Callable[[str], Tool]
NAMES = ("apply_patch", "edit_file", "list_files", "read_file", "run_tests", "search_code", "shell", "write_file")


@pytest.fixture
def tools(tool: Load) -> dict[str, Tool]:
    return {name: tool(name) for name in NAMES}


REFUSED = [
    *("Write(src/**)", "Edit(src/**)", "MultiEdit", "Read(./secrets/**)", "Bash(touch:*)", "bash(touch)", "Bash"),
    *("execute(touch)", "network(x)", "shel(git log)", "write_fiel(src/**)", "WebFetch", "Grep(src/**)", "nonsense"),
    *("write(src/*.{py,js})", "write([s]rc/**)", "write(!src/**)", "write(//src/**)", "write(../x)", "write(~root/x)"),
    *("shell(git log; rm x)", "shell(=$X)", "run_tests in sub", "shell(make) in /x", "shell(make) in ../x"),
    *("shell(make) in a*b", "shell in sub", "write(src/**) in sub", "shell(src/**)"),
]


def refusal(text: str, tools: dict[str, Tool]) -> str:
    try:
        check_rule(parse_rule(text, home="/home/me"), tools)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("text", REFUSED)
def test_a_rule_that_would_hold_nothing_is_refused(text: str, tools: dict[str, Tool]) -> None:
    assert refusal(text, tools)


def test_a_refusal_names_the_spelling_that_was_meant(tools: dict[str, Tool], golden: Golden) -> None:
    golden(*(f"{text} -> {refusal(text, tools)}" for text in REFUSED))


@pytest.mark.parametrize(
    "text",
    [
        *("write(src/**)", "write(./src/**)", "write(src)", "edit_file(src/**)", "read(*.pem)", "write(/srv/x/**)"),
        *("read(~/notes/**)", "shell", "shell(git log)", "shell(git log:*)", "shell(=make test) in sub", "execute"),
        *("shell(make) in sub/**", "run_tests", "run_tests(slow/**)", "search_code(private/**)", "network"),
        *("write(app/?locale?/**)", "write(a,b/c)", "pull_request", "shell(make) in ."),
    ],
)
def test_a_rule_that_is_understood_is_taken(text: str, tools: dict[str, Tool]) -> None:
    assert refusal(text, tools) == ""


def test_tools_of_the_persons_own_have_rules_too(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/deploy.py").write_text(
        "from typing import Annotated\nfrom kimi_agent.tool import Context, Field, tool\n\n\n"
        "@tool(effect='network')\nasync def deploy(ctx: Context, to: Annotated[str, Field('Where.')]) -> str:\n"
        "    '''Deploy.'''\n    return to\n"
    )
    found: tuple[dict[str, Tool], list[BrokenPlugin]] = load_tools([Layer("user", tmp_path)])
    assert refusal("deploy", found[0]) == ""
    assert "takes none" in refusal("deploy(x/**)", found[0])


def test_an_absolute_rule_names_a_file_of_the_workspace_too() -> None:
    rule = parse_rule("write(/srv/app/src/**)")
    assert rule.matches_path("/srv/app/src/a.py", any_case=False)
    assert not rule.matches_path("/srv/app/srcs", any_case=False)


def test_the_home_folder_is_written_as_a_tilde() -> None:
    assert parse_rule("write(~/notes/**)", home="/home/me").glob == "/home/me/notes/**"
