"""edit_file: replace an exact text in one file."""

import asyncio
from typing import Annotated

from kimi_agent.edit import (
    EditPlan,
    Replacement,
    WorkspaceFiles,
    commit_plan,
    format_edit_result,
    make_diff_view,
    plan_replacement,
)
from kimi_agent.tool import Context, Field, Preview, Result, tool


async def _plan(ctx: Context, path: str, old_string: str, new_string: str, replace_all: bool) -> EditPlan:
    wanted = Replacement(path, old_string, new_string, replace_all)
    return await asyncio.to_thread(plan_replacement, wanted, WorkspaceFiles(ctx.files))


async def _preview(ctx: Context, path: str, old_string: str, new_string: str, replace_all: bool = False) -> Preview:
    """The diff that the call would make."""
    change = await _plan(ctx, path, old_string, new_string, replace_all)
    return Preview(f"edit {change.files[0].path}", make_diff_view(change))


@tool(effect="write", preview=_preview)
async def edit_file(
    ctx: Context,
    path: Annotated[str, Field("File to edit.")],
    old_string: Annotated[str, Field("Exact text, indentation included, without line numbers.")],
    new_string: Annotated[str, Field("What stands there instead; empty deletes.")],
    replace_all: Annotated[bool, Field("Replace every occurrence.")] = False,
) -> Result:
    """Replace old_string, which must stand exactly once in the file, by new_string.

    Best for one place; apply_patch for several places or files. Reading the file first is not needed if you know the
    text. Line ends, encoding and mode stay. The result shows the new lines, numbered.
    """
    change = await _plan(ctx, path, old_string, new_string, replace_all)
    notes = commit_plan(change, ctx.files, around=3)
    return Result(format_edit_result(change, notes), make_diff_view(change))
