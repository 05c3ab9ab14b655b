"""update_plan keeps the plan as it was given, or says what is wrong with it."""

import json
from collections.abc import Callable

import pytest

from kimi_agent.log.views import PlanItem, PlanView, Result
from kimi_agent.tool import Context, Tool, ToolError
from tests.golden_texts import Golden
from tests.tool_calls import parse_call, run_tool


async def test_the_plan_is_given_back_and_shown(golden: Golden, tool: Callable[[str], Tool], context: Context) -> None:
    items = [{"step": "look", "status": "done"}, {"step": " fix\nit ", "status": "in_progress"}]
    items.append({"step": "test", "status": "pending"})
    result = await run_tool(tool("update_plan"), context, json.dumps({"items": items}))
    golden(result.content)
    assert result == Result(
        result.content,
        PlanView((PlanItem("look", "done"), PlanItem("fix it", "in_progress"), PlanItem("test", "pending"))),
    )


async def test_an_empty_plan_clears_it(golden: Golden, tool: Callable[[str], Tool], context: Context) -> None:
    result = await run_tool(tool("update_plan"), context, '{"items": []}')
    golden(result.content)
    assert result == Result(result.content, PlanView(()))


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([{"step": f"s{n}", "status": "pending"} for n in range(21)], id="too many steps"),
        pytest.param([{"step": s, "status": "in_progress"} for s in "ab"], id="two in progress"),
        pytest.param([{"step": " ", "status": "done"}], id="no text"),
        pytest.param([{"step": "a", "status": "never"}], id="no such status"),
    ],
)
async def test_a_plan_that_is_no_plan_is_refused(
    golden: Golden, tool: Callable[[str], Tool], context: Context, items: list[dict[str, str]]
) -> None:
    with pytest.raises(ToolError) as caught:
        await run_tool(tool("update_plan"), context, json.dumps({"items": items}))
    assert caught.value.code == "bad_arguments"
    golden(caught.value.text)


async def test_it_touches_nothing(tool: Callable[[str], Tool]) -> None:
    assert tool("update_plan").effect == "read"
    assert parse_call(tool("update_plan"), '{"items": []}').paths == ()
