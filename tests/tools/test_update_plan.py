"""update_plan keeps the plan as it was given, or says what is wrong with it."""

import json
from collections.abc import Callable

import pytest

from kimi_agent.log.views import PlanItem, PlanView, Result
from kimi_agent.tool import Context, Tool, ToolError
from tests.tool_calls import parse_call, run_tool


async def test_the_plan_is_given_back_and_shown(tool: Callable[[str], Tool], context: Context) -> None:
    items = [{"step": "look", "status": "done"}, {"step": " fix\nit ", "status": "in_progress"}]
    items.append({"step": "test", "status": "pending"})
    result = await run_tool(tool("update_plan"), context, json.dumps({"items": items}))
    assert result == Result(
        "Plan kept:\n[x] look\n[>] fix it\n[ ] test",
        PlanView((PlanItem("look", "done"), PlanItem("fix it", "in_progress"), PlanItem("test", "pending"))),
    )


async def test_an_empty_plan_clears_it(tool: Callable[[str], Tool], context: Context) -> None:
    assert await run_tool(tool("update_plan"), context, '{"items": []}') == Result(
        "The plan is empty now.", PlanView(())
    )


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([{"step": f"s{n}", "status": "pending"} for n in range(21)], "21 steps; a plan has at most 20:\n[ ] s0"),
        ([{"step": s, "status": "in_progress"} for s in "ab"], "more than one step is in_progress:\n[>] a\n[>] b"),
        ([{"step": " ", "status": "done"}], "a step has no text"),
        ([{"step": "a", "status": "never"}], "status"),
    ],
)
async def test_a_plan_that_is_no_plan_is_refused(
    tool: Callable[[str], Tool], context: Context, items: list[dict[str, str]], why: str
) -> None:
    with pytest.raises(ToolError) as caught:
        await run_tool(tool("update_plan"), context, json.dumps({"items": items}))
    assert caught.value.code == "bad_arguments"
    assert why in caught.value.text


async def test_it_touches_nothing(tool: Callable[[str], Tool]) -> None:
    assert tool("update_plan").effect == "read"
    assert parse_call(tool("update_plan"), '{"items": []}').paths == ()
