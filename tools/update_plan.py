"""update_plan: show the person the steps of the work and their status."""

from typing import Annotated, Literal, TypedDict

from kimi_agent.log.views import PlanItem, PlanView
from kimi_agent.tool import Context, Field, Result, ToolError, tool

MAX_ITEMS = 20
MAX_STEP = 300
STATUS_MARKS = {"pending": "[ ]", "in_progress": "[>]", "done": "[x]"}


class Item(TypedDict):
    """One step as the model gives it."""

    step: str
    status: Literal["pending", "in_progress", "done"]


@tool(effect="read")
async def update_plan(
    ctx: Context, items: Annotated[list[Item], Field("All steps in order, each with its status.")]
) -> Result:
    """Show the user your plan for work of several steps; call again when a status changes.

    Replaces the whole plan. At most 20 steps, at most one in_progress.
    """
    plan = tuple(PlanItem(" ".join(item["step"].split())[:MAX_STEP], item["status"]) for item in items)
    kept = "\n".join(f"{STATUS_MARKS[item.status]} {item.step}" for item in plan[: MAX_ITEMS + 5])
    if len(plan) > MAX_ITEMS:
        raise ToolError("bad_arguments", f"{len(plan)} steps; a plan has at most {MAX_ITEMS}:\n{kept}", "join some")
    if sum(item.status == "in_progress" for item in plan) > 1:
        text = f"more than one step is in_progress:\n{kept}"
        raise ToolError("bad_arguments", text, "leave one, make others pending")
    if not all(item.step for item in plan):
        raise ToolError("bad_arguments", f"a step has no text:\n{kept}", "say what each step is")
    return Result(f"Plan kept:\n{kept}" if plan else "The plan is empty now.", PlanView(plan))
