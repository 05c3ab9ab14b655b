"""Tools from folders: layers, broken modules, neighbours, and what the model is told of the built-in ones."""

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest

from kimi_agent.layers import Layer, built_in_root
from kimi_agent.tool import Context, Field, Preview, Tool
from kimi_agent.tool import tool as make_tool
from kimi_agent.toolbox import load_tools
from tests.tool_calls import parse_call

TOOL = '''
from typing import Annotated
from kimi_agent.tool import Context, Field, tool
{extra}
@tool(effect="read")
async def {name}(ctx: Context, text: Annotated[str, Field("x")]) -> str:
    """{words}"""
    return {value}
'''


def layer(root: Path, **modules: str) -> Layer:
    (root / "tools").mkdir(parents=True)
    for name, source in modules.items():
        (root / "tools" / f"{name}.py").write_text(source)
    return Layer("user", root)


def source(name: str, *, words: str = "Words.", value: str = "text", extra: str = "") -> str:
    return TOOL.format(name=name, words=words, value=value, extra=extra)


def test_a_later_layer_replaces_a_name(tmp_path: Path) -> None:
    one = layer(tmp_path / "one", a=source("same", words="First."), b=source("other"))
    two = layer(tmp_path / "two", a=source("same", words="Second."))
    tools, problems = load_tools([one, two])
    assert (sorted(tools), tools["same"].description, problems) == (["other", "same"], "Second.", [])


def test_a_module_that_fails_is_a_problem_and_the_rest_stands(tmp_path: Path) -> None:
    broken = {
        "syntax": "def (:",
        "raises": "raise RuntimeError('no luck')",
        "exits": "import sys; sys.exit(3)",
        "untyped": "from kimi_agent.tool import tool\n@tool(effect='read')\nasync def bad(ctx, x): 'w'\n",
    }
    tools, problems = load_tools([layer(tmp_path / "one", good=source("good"), **broken)])
    assert sorted(tools) == ["good"]
    assert sorted(problem.path.stem for problem in problems) == sorted(broken)
    assert "RuntimeError: no luck" in [problem.error for problem in problems]


def test_a_tool_that_names_its_paths_by_the_old_word_is_a_problem_that_says_the_new_one(tmp_path: Path) -> None:
    old = source("old").replace('effect="read"', 'effect="read", touches=lambda arguments: ()')
    tools, (problem,) = load_tools([layer(tmp_path / "one", old=old)])
    assert (tools, problem.error) == ({}, "TypeError: touches is called paths now")


def test_modules_reach_their_neighbours_and_underscored_ones_are_no_tools(tmp_path: Path) -> None:
    found = layer(
        tmp_path / "one", a=source("greet", extra="from ._words import HELLO", value="HELLO"), _words="HELLO = 'hi'"
    )
    tools, problems = load_tools([found])
    assert (sorted(tools), problems) == (["greet"], [])


def test_an_edited_tool_is_read_anew_in_the_same_process(tmp_path: Path) -> None:
    found = layer(tmp_path / "one", a=source("same", words="First."))
    assert load_tools([found])[0]["same"].description == "First."
    (tmp_path / "one" / "tools" / "a.py").write_text(source("same", words="Second, longer."))
    assert load_tools([found])[0]["same"].description == "Second, longer."


class Looked(str):
    """The name of a module; when it is looked at, another thread has imported one more."""

    def startswith(self, *start: Any) -> bool:
        sys.modules["imported_meanwhile"] = types.ModuleType("imported_meanwhile")
        return super().startswith(*start)


def test_tools_load_while_another_thread_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, Looked("looked_at"), types.ModuleType("looked_at"))
    try:
        tools, _ = load_tools([layer(tmp_path / "one", a=source("greet"))])
    finally:
        sys.modules.pop("imported_meanwhile", None)
    assert sorted(tools) == ["greet"]


def test_a_trusted_projects_folder_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    found = layer(tmp_path / "one", a=source("same"))
    load_tools([Layer("project", found.root)])
    assert [path.name for path in (found.root / "tools").iterdir()] == ["a.py"]


def test_a_missing_folder_is_an_empty_layer(tmp_path: Path) -> None:
    assert load_tools([Layer("user", tmp_path / "none")]) == ({}, [])


def test_the_built_in_tools_are_all_there_and_fit_moonshots_rules(tool: Callable[[str], Tool]) -> None:
    names = ["apply_patch", "edit_file", "list_files", "read_file", "recall", "run_tests", "search_code"]
    tools, _ = load_tools([Layer("built-in", built_in_root())])
    assert sorted(tools) == [*names, "shell", "update_plan", "write_file"]
    for each in tools.values():
        assert each.description
        schemas = [each.schema]
        while schemas:
            schema = schemas.pop()
            assert isinstance(schema["type"], str)
            assert not {"anyOf", "oneOf", "allOf", "$ref", "const", "format"} & set(schema)
            assert set(schema.get("required", ())) <= set(schema.get("properties", ()))
            schemas += schema.get("properties", {}).values()
            schemas += [schema["items"]] if "items" in schema else []


def test_what_the_model_is_told_of_them_stays_small() -> None:
    tools, _ = load_tools([Layer("built-in", built_in_root())])
    told = [
        {
            "type": "function",
            "function": {"name": each.name, "description": each.description, "parameters": each.schema},
        }
        for each in tools.values()
    ]
    assert len(json.dumps(told, ensure_ascii=False).encode()) < 8_600


async def test_what_a_preview_does_to_its_arguments_does_not_reach_the_run(context: Context) -> None:
    async def show(_: Context, names: list[str]) -> Preview:
        names.append("b")
        return Preview("greet")

    @make_tool(effect="read", preview=show)
    async def greet(ctx: Context, names: Annotated[list[str], Field("Who.")]) -> str:
        """Greet."""
        return ", ".join(names)

    call = parse_call(greet, '{"names": ["a"]}')
    await greet.preview(context, call)
    assert (await greet.run(context, call)).content == "a"
