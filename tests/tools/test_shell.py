"""shell, as the model sees it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.log.views import OutputView
from kimi_agent.tool import Context, Result, Tool
from tests.tool_calls import parse_call, preview_tool, run_tool


async def call(tool: Callable[[str], Tool], context: Context, command: str, **arguments: object) -> Result:
    return await run_tool(tool("shell"), context, json.dumps({"command": command, **arguments}))


def trailer(result: Result) -> str:
    """The line in brackets, without the time it took."""
    line = next(line for line in result.content.splitlines() if line.startswith("["))
    outcome, _, place = line.strip("[]").split(" · ")
    return f"{outcome} · {place}"


async def test_output_comes_first_then_how_it_ended_and_where(tool: Callable[[str], Tool], context: Context) -> None:
    result = await call(tool, context, "echo hi; echo oh >&2; mkdir src; cd src; exit 3")
    assert result.content.startswith("hi\noh\n[exit 3 · ")
    assert trailer(result) == "exit 3 · cwd src"
    assert (result.failed, result.code) == (False, "")
    assert isinstance(result.view, OutputView)
    assert (result.view.text, result.view.exit_code, result.view.cwd) == ("hi\noh\n", 3, "src")
    assert trailer(await call(tool, context, "cd ..")) == "exit 0 · cwd ."


async def test_no_output_is_said(tool: Callable[[str], Tool], context: Context) -> None:
    assert (await call(tool, context, "true")).content.startswith("(no output)\n[exit 0 · ")


@pytest.mark.parametrize(
    ("command", "note"),
    [
        ("grep zebra notes", "exit 1 of grep means no match"),
        ("cat notes | grep -c zebra", "exit 1 of grep means no match"),
        ("cd . && LANG=C /usr/bin/env true; LC_ALL=C grep zebra notes", "exit 1 of grep means no match"),
        ("diff notes other", "exit 1 of diff means they differ"),
        ("test -e absent", "exit 1 of test means it is false"),
        ("[ -e absent ];", "exit 1 of [ means it is false"),
    ],
)
async def test_exit_1_of_a_question_is_no_error(
    tool: Callable[[str], Tool], context: Context, workspace: Path, command: str, note: str
) -> None:
    (workspace / "notes").write_text("a\n")
    (workspace / "other").write_text("b\n")
    result = await call(tool, context, command)
    assert trailer(result) == "exit 1 · cwd ."
    assert note in result.content
    assert "not an error" in result.content


@pytest.mark.parametrize(
    "command", ["false", "grep x absent", "grep -q x notes; false", "exit 1 # grep", "sh -c 'exit 1'"]
)
async def test_exit_1_of_anything_else_has_no_excuse(
    tool: Callable[[str], Tool], context: Context, workspace: Path, command: str
) -> None:
    (workspace / "notes").write_text("a\n")
    assert "not an error" not in (await call(tool, context, command)).content


async def test_a_timeout_keeps_the_output_and_says_what_to_do(tool: Callable[[str], Tool], context: Context) -> None:
    result = await call(tool, context, "echo so far; sleep 999", timeout_s=1)
    assert result.content.startswith("Error [timeout]: the command was killed after 1 s; its output:\nso far\n[")
    assert result.content.endswith("\nNext: pass a larger timeout_s (at most 600), or do less at once")
    assert (result.failed, result.code) == (True, "timeout")


async def test_too_much_output_is_cut_off(tool: Callable[[str], Tool], context: Context) -> None:
    result = await call(tool, context, "yes")
    assert result.content.startswith("Error [failed]: the command was killed: over 67,")
    assert (result.failed, result.code) == (True, "failed")
    assert "output:" in result.content
    assert len(result.content) < 30_000


async def test_long_output_names_the_whole(tool: Callable[[str], Tool], context: Context) -> None:
    result = await call(tool, context, "seq 1 30000")
    assert "left out; the whole output is output:" in result.content
    shown = result.content.split("the whole output is ")[1].split(":")
    whole = context.files.read(f"{shown[0]}:{shown[1]}").data
    assert whole.endswith(b"30000\n")


async def test_files_that_the_command_changed_are_named(
    tool: Callable[[str], Tool], context: Context, workspace: Path
) -> None:
    for name in ("a.py", "b.py", "c.py"):
        (workspace / name).write_text("old\n")
        read = context.files.read(name)
        context.files.seen_files.record(name, read.sha256, whole=True)
    (workspace / "c.py").write_text("changed before\n")
    result = await call(tool, context, "echo new > a.py; rm b.py")
    assert "Note: changed on disk by this command: a.py, b.py" in result.content
    assert "changed on disk" not in (await call(tool, context, "true")).content


async def test_a_background_server_is_told_of(tool: Callable[[str], Tool], context: Context) -> None:
    result = await call(tool, context, "sleep 999 >log 2>&1 & echo started")
    assert result.content.startswith("started\n[exit 0 · ")
    assert "Note: still running in the background" in result.content


async def test_a_death_by_signal_is_named(tool: Callable[[str], Tool], context: Context) -> None:
    assert "perhaps out of memory" in (await call(tool, context, "kill -9 $$")).content
    assert "Note: ended by signal 11" in (await call(tool, context, "kill -11 $$")).content


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
        with pytest.raises(ToolError) as told:
            await call(tool, context, "touch here", cwd=place)
        assert told.value.code == code


async def test_a_directory_with_a_hostile_name_stays_on_one_line(tool: Callable[[str], Tool], context: Context) -> None:
    result = await call(tool, context, "mkdir $'a\\nb\\033\\377'; cd $'a\\nb\\033\\377'")
    assert trailer(result) == "exit 0 · cwd a\\nb\\x1b\\udcff"


async def test_an_empty_command_is_refused(tool: Callable[[str], Tool], context: Context) -> None:
    with pytest.raises(ToolError, match="command is empty"):
        await call(tool, context, " \n")


async def test_the_newest_line_is_progress(tool: Callable[[str], Tool], context: Context) -> None:
    told: list[str] = []
    await run_tool(tool("shell"), replace(context, progress=told.append), json.dumps({"command": "echo one"}))
    assert told == ["one"]


async def test_the_preview_shows_the_real_command(tool: Callable[[str], Tool], context: Context) -> None:
    command = "git   log\n; curl x"
    shown = await preview_tool(tool("shell"), context, json.dumps({"command": command}))
    assert shown.view == OutputView(command, cwd=".")
    assert shown.title == "shell git log ; curl x"
    told = await preview_tool(tool("shell"), context, json.dumps({"command": command, "description": "look around"}))
    assert told.title == "shell look around"


def test_it_executes_and_names_no_paths(tool: Callable[[str], Tool]) -> None:
    assert tool("shell").effect == "execute"
    assert parse_call(tool("shell"), json.dumps({"command": "ls"})).paths == ()
