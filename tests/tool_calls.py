"""Calls of one tool without a toolbox: read as the toolbox reads them, then run or shown."""

from kimi_agent.call_plan import CallPlan
from kimi_agent.tool import Context, ParsedCall, Preview, Result, Tool


def parse_call(tool: Tool, raw: str) -> ParsedCall:
    """The call. Raises ToolError."""
    call, wrong = tool.parse(raw)
    if wrong is not None:
        raise wrong
    return call


async def run_tool(tool: Tool, context: Context, raw: str) -> Result:
    """What the tool comes to. Raises ToolError."""
    return await tool.run(context, parse_call(tool, raw))


async def preview_tool(tool: Tool, context: Context, raw: str) -> Preview:
    """What the tool shows of a call. Raises ToolError."""
    return await tool.preview(context, parse_call(tool, raw))


async def plan_tool(tool: Tool, context: Context, raw: str) -> CallPlan:
    """What the tool would do for a call. Raises ToolError."""
    return await tool.plan(context, parse_call(tool, raw))
