"""The output cap and the guard against repeats."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.guard.limits import Repeats, cap
from kimi_agent.log.events import Effect
from kimi_agent.log.views import Result, TextView
from kimi_agent.tool import Context, Field, Tool, tool
from kimi_agent.workspace.outputs import Outputs


def saying(result: Result | ToolError, effect: Effect = "read") -> Tool:
    """A tool that always comes to `result`."""

    @tool(effect=effect)
    async def say(
        ctx: Context, path: Annotated[str, Field("Path.")] = "", text: Annotated[str, Field("Text.")] = ""
    ) -> Result:
        """Say it."""
        if isinstance(result, ToolError):
            raise result
        return result

    return say


async def failure(guarded: Tool, context: Context, raw: str = "{}") -> ToolError:
    with pytest.raises(ToolError) as caught:
        await guarded.run(context, raw)
    return caught.value


async def test_a_text_within_the_budget_passes_unchanged(context: Context) -> None:
    result = Result("x" * 30_000, TextView("v"))
    assert await cap(saying(result)).run(context, "{}") is result


async def test_a_longer_text_shows_head_and_tail_and_is_kept_whole(
    context: Context, tool: Callable[[str], Tool]
) -> None:
    text = "\n".join(f"line {number}" for number in range(1, 10_001))
    result = await cap(saying(Result(text, TextView("v"), failed=True, code="failed"))).run(context, "{}")
    assert len(result.content) <= 30_000
    assert (result.view, result.failed, result.code) == (TextView("v"), True, "failed")
    lines = result.content.split("\n")
    assert (lines[0], lines[-1]) == ("line 1", "line 10000")
    notice = next(number for number, line in enumerate(lines) if line.startswith("["))
    shown = lines[:notice] + lines[notice + 1 :]
    left_out = 10_000 - len(shown)
    missing = len(text) - len("\n".join(lines[:notice])) - len("\n".join(lines[notice + 1 :])) - 1
    assert lines[notice].startswith(f"[{missing:,} of {len(text):,} characters left out here ({left_out:,} lines);")
    name = lines[notice].split("is ")[1].split(",")[0]
    assert context.files.read(name).data.decode() == text
    offset = int(lines[notice].rpartition("offset=")[2].rstrip(")]"))
    page = await tool("read_file").run(context, json.dumps({"path": name, "offset": offset, "limit": 1}))
    assert f"line {notice + 1}" in page.content


async def test_one_line_without_end_is_cut_in_the_line(context: Context) -> None:
    result = await cap(saying(Result("é" * 1_000_000))).run(context, "{}")
    assert len(result.content) <= 30_000
    assert "971,000 of 1,000,000 characters left out here (0 lines)" in result.content


async def test_a_long_error_keeps_its_code_and_what_to_do(context: Context) -> None:
    error = await failure(cap(saying(ToolError("not_found", "x\n" * 40_000, "read it"))), context)
    assert (error.code, error.next_step) == ("not_found", "read it")
    assert len(str(error)) < 30_500


async def test_an_unwritable_state_folder_does_not_lose_the_result(context: Context, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    files = context.files
    files.outputs = Outputs(blocked / "outputs")
    result = await cap(saying(Result("x\n" * 40_000))).run(replace(context, files=files), "{}")
    assert "the whole could not be kept" in result.content


async def test_the_third_identical_failure_says_so_and_shows_the_file(context: Context, workspace: Path) -> None:
    (workspace / "a.py").write_text("".join(f"x{number} = {number}\n" for number in range(500)))
    guarded = Repeats().guard(saying(ToolError("not_found", "it is not there", "look"), "write"))
    raw = json.dumps({"path": "a.py", "text": "something\n  x300 = 300\n"})
    assert str(await failure(guarded, context, raw)) == "Error [not_found]: it is not there\nNext: look"
    assert str(await failure(guarded, context, raw)) == "Error [not_found]: it is not there\nNext: look"
    third = await failure(guarded, context, raw)
    assert third.code == "not_found"
    assert "This exact call failed in this exact way 3 times. Do not send it again." in third.text
    assert "a.py now, lines 281-340 of 501:\n281\tx280 = 280\n" in third.text
    assert "\n301\tx300 = 300\n" in third.text
    assert len(third.text) < 3_000
    assert "4 times" in (await failure(guarded, context, raw)).text


async def test_failed_results_are_counted_too(context: Context) -> None:
    guarded = Repeats().guard(saying(Result("Error [failed]: no", failed=True, code="failed")))
    contents = [(await guarded.run(context, "{}")).content for _ in range(3)]
    assert contents[0] == contents[1] == "Error [failed]: no"
    assert "Do not send it again" in contents[2]
    assert "\nNext: " in contents[2]


async def test_another_call_another_text_or_another_agent_counts_for_itself(context: Context) -> None:
    repeats, error = Repeats(), ToolError("failed", "no")
    guarded = repeats.guard(saying(error))
    for raw in ('{"text": "a"}', '{"text": "b"}') * 2:
        assert (await failure(guarded, context, raw)).text == "no"
    assert (
        await failure(repeats.guard(saying(ToolError("failed", "other"))), context, '{"text": "a"}')
    ).text == "other"
    assert (await failure(Repeats().guard(saying(error)), context, '{"text": "a"}')).text == "no"
    assert "3 times" in (await failure(guarded, context, '{"text": "a"}')).text


async def test_a_command_may_fail_again_after_something_changed(context: Context) -> None:
    repeats = Repeats()
    command = repeats.guard(saying(ToolError("failed", "red"), "execute"))
    edit = repeats.guard(saying(ToolError("not_found", "no"), "write"))
    change = repeats.guard(saying(Result("done"), "write"))
    for _ in range(3):
        assert (await failure(command, context)).text == "red"
        await change.run(context, "{}")
    for _ in range(2):
        await failure(edit, context)
        await change.run(context, "{}")
    assert "3 times" in (await failure(edit, context)).text


@pytest.mark.parametrize("name", ["missing", "folder", "fifo", "binary", ".env", "../outside", "\u0000", ""])
async def test_what_cannot_be_shown_is_left_out(name: str, context: Context, workspace: Path) -> None:
    (workspace / "folder").mkdir()
    os.mkfifo(workspace / "fifo")
    (workspace / "binary").write_bytes(b"\0\1\2")
    (workspace / ".env").write_text("KEY=canary")
    guarded = Repeats().guard(saying(ToolError("failed", "no")))
    errors = [await failure(guarded, context, json.dumps({"path": name})) for _ in range(3)]
    assert errors[2].text == "no\nThis exact call failed in this exact way 3 times. Do not send it again."


async def test_the_fifth_identical_reading_in_a_row_gets_a_reminder(context: Context) -> None:
    repeats = Repeats()
    guarded, other = repeats.guard(saying(Result("text"))), repeats.guard(saying(Result("more")))
    for _ in range(4):
        assert (await guarded.run(context, "{}")).content == "text"
    assert (await guarded.run(context, "{}")).content.startswith(
        "text\nNote: this same call gave this same result 5 times"
    )
    await other.run(context, "{}")
    assert (await guarded.run(context, "{}")).content == "text"


async def test_what_is_remembered_is_bounded(context: Context) -> None:
    repeats = Repeats()
    guarded = repeats.guard(saying(ToolError("failed", "no")))
    for number in range(1_200):
        await failure(guarded, context, json.dumps({"text": str(number)}))
    assert (await failure(guarded, context, json.dumps({"text": "0"}))).text == "no"
    assert len(repeats._failures) <= 500
