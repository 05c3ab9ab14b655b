"""The output cap."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.guard.tool_wrappers.output_cap import wrap_with_output_cap
from kimi_agent.log.views import Result, TextView
from kimi_agent.tool import Context, Field, Tool, tool
from kimi_agent.workspace.files.outputs import Outputs
from tests.golden_texts import Golden
from tests.tool_calls import run_tool


def saying(result: Result | ToolError, max_chars: int = 30_000) -> Tool:
    """A capped tool that always comes to `result`."""

    @tool(effect="read")
    async def say(
        ctx: Context, path: Annotated[str, Field("Path.")] = "", text: Annotated[str, Field("Text.")] = ""
    ) -> Result:
        """Say it."""
        if isinstance(result, ToolError):
            raise result
        return result

    return wrap_with_output_cap(say, max_chars=max_chars)


async def failure(guarded: Tool, context: Context, raw: str = "{}") -> ToolError:
    with pytest.raises(ToolError) as caught:
        await run_tool(guarded, context, raw)
    return caught.value


async def test_a_text_within_the_budget_passes_unchanged(context: Context) -> None:
    result = Result("x" * 30_000, TextView("v"))
    assert await run_tool(saying(result), context, "{}") is result


async def test_a_longer_text_shows_head_and_tail_and_is_kept_whole(
    context: Context, tool: Callable[[str], Tool], golden: Golden
) -> None:
    text = "\n".join(f"line {number}" for number in range(1, 10_001))
    result = await run_tool(saying(Result(text, TextView("v"), failed=True, code="failed")), context, "{}")
    assert len(result.content) <= 30_000
    assert (result.view, result.failed, result.code) == (TextView("v"), True, "failed")
    lines = result.content.split("\n")
    assert (lines[0], lines[-1]) == ("line 1", "line 10000")
    notice = next(number for number, line in enumerate(lines) if line.startswith("["))
    shown = lines[:notice] + lines[notice + 1 :]
    left_out = 10_000 - len(shown)
    missing = len(text) - len("\n".join(lines[:notice])) - len("\n".join(lines[notice + 1 :])) - 1
    assert [f"{number:,}" for number in (missing, len(text), left_out)] == re.findall(r"[\d,]+", lines[notice])[:3]
    name = lines[notice].split("is ")[1].split(",")[0]
    assert context.files.read(name).data.decode() == text
    offset = int(lines[notice].rpartition("offset=")[2].rstrip(")]"))
    page = await run_tool(tool("read_file"), context, json.dumps({"path": name, "offset": offset, "limit": 1}))
    assert f"line {notice + 1}" in page.content
    golden(lines[notice], OUTPUT=name, MISSING=f"{missing:,}", LINES=f"{left_out:,}", NEXT=str(offset))


async def test_one_line_without_end_is_cut_in_the_line(context: Context, golden: Golden) -> None:
    result = await run_tool(saying(Result("é" * 1_000_000)), context, "{}")
    assert len(result.content) <= 30_000
    assert re.findall(r"[\d,]+", result.content)[:3] == ["970,400", "1,000,000", "0"]
    notice = result.content.strip("\né")
    golden(notice, OUTPUT=notice.split("is ")[1].split(",")[0])


async def test_a_long_error_keeps_its_code_and_what_to_do(context: Context) -> None:
    error = await failure(saying(ToolError("not_found", "x\n" * 40_000, "read it")), context)
    assert (error.code, error.next_step) == ("not_found", "read it")
    assert len(str(error)) < 30_500


async def test_an_unwritable_state_folder_does_not_lose_the_result(
    context: Context, tmp_path: Path, golden: Golden
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    files = context.files
    files.outputs = Outputs(blocked / "outputs")
    result = await run_tool(saying(Result("x\n" * 40_000)), replace(context, files=files), "{}")
    golden(*(line for line in result.content.splitlines() if line != "x"), BLOCKED=str(blocked))


@pytest.mark.parametrize("max_chars", [1_000, 3_000, 12_000])
async def test_a_smaller_window_makes_the_head_and_the_tail_smaller(max_chars: int, context: Context) -> None:
    text = "".join(f"line {number}\n" for number in range(20_000))
    result = await run_tool(saying(Result(text), max_chars), context, "{}")
    assert max_chars * 0.7 < len(result.content) <= max_chars
    assert result.content.startswith("line 0\nline 1\n")
    assert result.content.endswith("\nline 19999\n")
    short = Result("x" * max_chars)
    assert await run_tool(saying(short, max_chars), context, "{}") is short
