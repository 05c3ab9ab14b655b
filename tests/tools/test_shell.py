"""shell, as the model sees it."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.log.views import OutputView
from kimi_agent.tool import Context, Result, Tool
from tests.golden_texts import Golden
from tests.tool_calls import parse_call, preview_tool, run_tool


async def call(tool: Callable[[str], Tool], context: Context, command: str, **arguments: object) -> Result:
    return await run_tool(tool("shell"), context, json.dumps({"command": command, **arguments}))


def told(result: Result) -> list[str]:
    """The lines of a result, with what differs from run to run taken out."""
    text = re.sub(r" · [^·\n]+ · cwd ", " · TIME · cwd ", result.content)
    text = re.sub(r"over 67,[\d,]+ bytes", "over 67,N bytes", re.sub(r"pid \d+", "pid PID", text))
    return re.sub(r"output:[0-9a-z]+", "output:ID", text).split("\n")


async def test_output_comes_first_then_how_it_ended_and_where(
    golden: Golden, tool: Callable[[str], Tool], context: Context
) -> None:
    result = await call(tool, context, "echo hi; echo oh >&2; mkdir src; cd src; exit 3")
    moved = await call(tool, context, "cd ..")
    golden(*told(result), *told(moved))
    assert (result.failed, result.code) == (False, "")
    assert isinstance(result.view, OutputView)
    assert (result.view.text, result.view.exit_code, result.view.cwd) == ("hi\noh\n", 3, "src")
    assert isinstance(moved.view, OutputView)
    assert (moved.view.exit_code, moved.view.cwd) == (0, ".")


async def test_no_output_is_said(golden: Golden, tool: Callable[[str], Tool], context: Context) -> None:
    golden(*told(await call(tool, context, "true")))


@pytest.mark.parametrize(
    "command",
    [
        "grep zebra notes",
        "cat notes | grep -c zebra",
        "cd . && LANG=C /usr/bin/env true; LC_ALL=C grep zebra notes",
        "diff notes other",
        "test -e absent",
        "[ -e absent ];",
    ],
    ids=["grep", "grep at the end of a pipe", "grep behind variables", "diff", "test", "bracket"],
)
async def test_exit_1_of_a_question_is_no_error(
    golden: Golden, tool: Callable[[str], Tool], context: Context, workspace: Path, command: str
) -> None:
    (workspace / "notes").write_text("a\n")
    (workspace / "other").write_text("b\n")
    result = await call(tool, context, command)
    assert isinstance(result.view, OutputView)
    assert (result.failed, result.view.exit_code) == (False, 1)
    golden(*told(result))


@pytest.mark.parametrize(
    "command", ["false", "grep x absent", "grep -q x notes; false", "exit 1 # grep", "sh -c 'exit 1'"]
)
async def test_exit_1_of_anything_else_has_no_excuse(
    tool: Callable[[str], Tool], context: Context, workspace: Path, command: str
) -> None:
    (workspace / "notes").write_text("a\n")
    assert "not an error" not in (await call(tool, context, command)).content


async def test_a_timeout_keeps_the_output_and_says_what_to_do(
    golden: Golden, tool: Callable[[str], Tool], context: Context
) -> None:
    result = await call(tool, context, "echo so far; sleep 999", timeout_s=1)
    golden(*told(result))
    assert (result.failed, result.code) == (True, "timeout")


async def test_too_much_output_is_cut_off(golden: Golden, tool: Callable[[str], Tool], context: Context) -> None:
    result = await call(tool, context, "yes")
    golden(told(result)[0])
    assert (result.failed, result.code) == (True, "failed")
    assert "output:" in result.content
    assert len(result.content) < 30_000


async def test_long_output_names_the_whole(golden: Golden, tool: Callable[[str], Tool], context: Context) -> None:
    result = await call(tool, context, "seq 1 30000")
    golden(*(line for line in told(result) if "left out" in line))
    shown = result.content.split("the whole output is ")[1].split(":")
    whole = context.files.read(f"{shown[0]}:{shown[1]}").data
    assert whole.endswith(b"30000\n")


async def test_files_that_the_command_changed_are_named(
    golden: Golden, tool: Callable[[str], Tool], context: Context, workspace: Path
) -> None:
    for name in ("a.py", "b.py", "c.py"):
        (workspace / name).write_text("old\n")
        read = context.files.read(name)
        context.files.seen_files.record(name, read.sha256, whole=True)
    (workspace / "c.py").write_text("changed before\n")
    result = await call(tool, context, "echo new > a.py; rm b.py")
    golden(*told(result))
    assert "changed on disk" not in (await call(tool, context, "true")).content


async def test_a_background_server_is_told_of(golden: Golden, tool: Callable[[str], Tool], context: Context) -> None:
    result = await call(tool, context, "sleep 999 >log 2>&1 & echo started")
    golden(*told(result))


async def test_a_death_by_signal_is_named(golden: Golden, tool: Callable[[str], Tool], context: Context) -> None:
    results = [await call(tool, context, f"kill -{signal} $$") for signal in (9, 11)]
    golden(*(line for result in results for line in told(result) if line.startswith("Note:")))


async def test_cwd_is_inside_or_refused(tool: Callable[[str], Tool], context: Context, workspace: Path) -> None:
    (workspace / "src").mkdir()
    (workspace / "out").symlink_to(workspace.parent)
    (workspace / "file").write_text("")
    assert (await call(tool, context, "pwd", cwd="src")).content.startswith(f"{workspace}/src\n")
    for place, code in [
        ("/", "outside"),
        ("..", "outside"),
        ("out", "outside"),
        ("nix", "missing"),
        ("file", "missing"),
    ]:
        with pytest.raises(ToolError) as caught:
            await call(tool, context, "touch here", cwd=place)
        assert caught.value.code == code


async def test_a_directory_with_a_hostile_name_stays_on_one_line(
    golden: Golden, tool: Callable[[str], Tool], context: Context
) -> None:
    result = await call(tool, context, "mkdir $'a\\nb\\033\\377'; cd $'a\\nb\\033\\377'")
    assert len(told(result)) == 2
    golden(*told(result))


async def test_an_empty_command_is_refused(tool: Callable[[str], Tool], context: Context) -> None:
    with pytest.raises(ToolError, match="command is empty"):
        await call(tool, context, " \n")


async def test_the_newest_line_is_progress(tool: Callable[[str], Tool], context: Context) -> None:
    lines: list[str] = []
    await run_tool(tool("shell"), replace(context, progress=lines.append), json.dumps({"command": "echo one"}))
    assert lines == ["one"]


async def test_the_preview_shows_the_real_command(
    golden: Golden, tool: Callable[[str], Tool], context: Context
) -> None:
    command = "git   log\n; curl x"
    shown = await preview_tool(tool("shell"), context, json.dumps({"command": command}))
    assert shown.view == OutputView(command, cwd=".")
    golden(shown.title)
    described = await preview_tool(
        tool("shell"), context, json.dumps({"command": command, "description": "look around"})
    )
    assert described.title == "shell look around"


def test_it_executes_and_names_no_paths(tool: Callable[[str], Tool]) -> None:
    assert tool("shell").effect == "execute"
    assert parse_call(tool("shell"), json.dumps({"command": "ls"})).paths == ()
