"""apply_patch: change several files by one patch, all or none."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

from kimi_agent.edit import (
    EditPlan,
    WorkspaceFiles,
    commit_plan,
    format_patch_result,
    make_diff_view,
    plan_patch,
)
from kimi_agent.tool import Context, Field, PlannedCommand, Preview, Result, tool


async def _plan_edit(ctx: Context, patch: str) -> EditPlan:
    return await asyncio.to_thread(plan_patch, patch, WorkspaceFiles(ctx.files))


async def _plan(ctx: Context, patch: str) -> tuple[Sequence[str], Sequence[PlannedCommand]]:
    """The files that the patch would change, however it spells them: `a/x`, `i/x` and `x` may be one file."""
    change = await _plan_edit(ctx, patch)
    return [str(ctx.files.root / each.path) for each in change.changes], ()


async def _preview(ctx: Context, patch: str) -> Preview:
    """The diffs that the call would make."""
    change = await _plan_edit(ctx, patch)
    first, *more = (done.path for done in change.files)
    return Preview(f"patch {first}" + (f" and {len(more)} more" if more else ""), make_diff_view(change))


@tool(effect="write", preview=_preview, plan=_plan)
async def apply_patch(ctx: Context, patch: Annotated[str, Field("The whole patch.")]) -> Result:
    """Change several places or files, all or none. Takes a unified diff, or this form:

    *** Begin Patch
    *** Update File: src/a.py
    *** Move to: src/b.py
    @@ def name
     context line
    -old line
    +new line
    *** Add File: c.txt
    +every line starts with +
    *** Delete File: d.txt
    *** End Patch

    "Move to" and "@@ line above" are optional. Context and - lines must equal the file's; about 3 lines of context. A
    hunk that fits several places is refused: add context, or "@@" with the def or class line above it. "@@" starts each
    hunk, in file order; *** End of File pins one to the end. Read a file whole before you delete or move it. On any
    error nothing is changed.
    """
    change = await _plan_edit(ctx, patch)
    notes = commit_plan(change, ctx.files, around=2)
    view = make_diff_view(change)
    return Result(format_patch_result(change, view, notes), view)
