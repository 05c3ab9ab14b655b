"""The words a session starts with."""

from pathlib import Path

import pytest

from kimi_agent.errors import UserError
from kimi_agent.layers import Layer
from kimi_agent.prompts import AGENTS_MAX_CHARS, build_system_prompt, collect_agents_files, fill_template


def test_slots_are_filled_and_other_braces_stay() -> None:
    assert (
        fill_template("{{ name }} and {{name}}, {{ other }}, {x}", {"name": "Kim"}) == "Kim and Kim, {{ other }}, {x}"
    )


def test_a_filled_value_is_not_filled_again() -> None:
    assert fill_template("{{ a }}", {"a": "{{ b }}", "b": "no"}) == "{{ b }}"


def test_the_system_prompt_ends_with_the_repositorys_words(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "system.md").write_text("In {{ workspace }}.\n")
    layer = Layer("user", tmp_path)
    assert build_system_prompt([layer], {"workspace": "/w"}, "") == "In /w.\n"
    assert build_system_prompt([layer], {"workspace": "/w"}, "Run make.") == "In /w.\n\nRun make.\n"


def test_a_missing_system_prompt_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="install kimi-agent again"):
        build_system_prompt([Layer("user", tmp_path)], {}, "")


def test_instructions_come_from_the_top_down_and_agents_before_claude() -> None:
    texts = {"AGENTS.md": "top", "CLAUDE.md": "never", "sub/CLAUDE.md": "inner"}
    assert collect_agents_files(texts.get, ["", "sub", "sub/deep"]) == (
        '<repository-instructions path="AGENTS.md">\ntop\n</repository-instructions>\n\n'
        '<repository-instructions path="sub/CLAUDE.md">\ninner\n</repository-instructions>'
    )


def test_endless_instructions_are_cut_and_the_file_is_named() -> None:
    found = collect_agents_files({"AGENTS.md": "x" * 1_000_000}.get, [""])
    assert len(found) < AGENTS_MAX_CHARS + 200
    assert "read AGENTS.md for the rest" in found


def test_without_instructions_there_is_nothing() -> None:
    assert collect_agents_files(lambda path: None, ["", "a"]) == ""
    assert collect_agents_files(lambda path: " \n", [""]) == ""
