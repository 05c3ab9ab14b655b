"""Toolbox: loads a session's tools from the layers' folders, and runs the tool calls of an answer as one batch."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from kimi_agent.errors import ToolError
from kimi_agent.layers import Layer
from kimi_agent.log.events import CallStarted, Emit, Progress, Returned
from kimi_agent.log.messages import Call
from kimi_agent.log.views import Result
from kimi_agent.model.protocol import ToolSpec
from kimi_agent.plugins import BrokenPlugin, load_plugins
from kimi_agent.tool import Context, ParsedCall, Tool, ToolFunction

_MOST_CHARS = 2_000
ToolWrapper = Callable[[Tool], Tool]
ContextFactory = Callable[[tuple[int, int], Callable[[str], None]], Context]


def load_tools(layers: Sequence[Layer]) -> tuple[dict[str, Tool], list[BrokenPlugin]]:
    """The tools of all layers by name (a later layer replaces a name), and the modules that failed."""
    return load_plugins(layers, "tools", Tool)


class Toolbox:
    """Runs calls. Every call is answered by exactly one `Returned`, whatever the tool does."""

    def __init__(
        self,
        tools: Iterable[Tool],
        *,
        guards: Sequence[ToolWrapper] = (),
        wrappers: Sequence[ToolWrapper] = (),
        context: ContextFactory,
        emit: Emit,
        report_bug: Callable[[BaseException], str],
    ) -> None:
        """Wrappers go around a tool innermost first; `report_bug` keeps a traceback and says where.

        `guards` are asked about calls that can run; the outer `wrappers` also see one whose arguments are wrong.
        """
        self._tools = {tool.name: tool for tool in tools}
        self._guards = guards
        self._wrappers = wrappers
        self._context = context
        self._emit = emit
        self._report_bug = report_bug

    @cached_property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools as the model is shown them, in a stable order."""
        return tuple(ToolSpec(tool.name, tool.description, tool.schema) for _, tool in sorted(self._tools.items()))

    def effect(self, name: str) -> str:
        """What the tool `name` may do at most; "" for one that is not here."""
        return self._tools[name].effect if name in self._tools else ""

    async def run(self, answer: int, calls: Iterable[tuple[int, Call]]) -> None:
        """Run calls of the answer with seq `answer`, each with its index in it.

        Together if all are reading, else one by one in the model's order.
        """
        wanted = list(calls)
        if len(wanted) > 1 and all(self.effect(call.name) == "read" for _, call in wanted):
            async with asyncio.TaskGroup() as group:
                for index, call in wanted:
                    group.create_task(self._answer(answer, index, call))
        else:
            for index, call in wanted:
                await self._answer(answer, index, call)

    async def _answer(self, answer: int, index: int, call: Call) -> None:
        began = time.monotonic()
        result = await self._result(answer, index, call)
        self._emit(Returned(answer, index, result, round(time.monotonic() - began, 3)))

    async def _result(self, answer: int, index: int, call: Call) -> Result:
        tool = self._tools.get(call.name)
        if tool is None:
            names = ", ".join(sorted(self._tools))
            error = ToolError("unknown_tool", f"there is no tool {call.name[:80]!r}", f"use one of: {names}")
            return Result(str(error), failed=True, code=error.code)

        def progress(text: str) -> None:
            self._emit(Progress(answer, index, text))

        ctx = self._context((answer, index), progress)
        try:
            parsed, wrong = tool.parse(call.arguments)
            guarded = tool.wrapped(_refuse(wrong) if wrong else self._recorded(answer, index))
            for wrap in (*(() if wrong else self._guards), *self._wrappers):
                guarded = wrap(guarded)
            return await guarded.run(ctx, parsed)
        except ToolError as error:
            return Result(str(error), failed=True, code=error.code)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._broken(tool.name, error)  # a task inside the tool was cancelled: nobody stopped the turn
        except (Exception, SystemExit) as error:  # the tool border: a broken tool is a failed result
            return self._broken(tool.name, error)

    def _broken(self, name: str, error: BaseException) -> Result:
        kept = self._report_bug(error)
        why = f"{type(error).__name__}: {str(error)[:_MOST_CHARS]}"
        text = f"the tool {name} is broken: {why}\n(traceback: {kept})"
        shown = ToolError("failed", text, "go on without this tool, and tell the user that it is broken")
        return Result(str(shown), failed=True, code="failed")

    def _recorded(self, answer: int, index: int) -> ToolFunction:
        """The tool's own run behind its `CallStarted`: written after the guard said yes, before the effect."""
        started = False

        async def run(ctx: Context, call: ParsedCall) -> Result:
            nonlocal started
            if not started:
                started = True
                plan = ctx.plan or await call.tool.plan(ctx, call)
                before = () if plan.effect == "read" else ctx.files.fingerprints(each.path for each in plan.paths)
                unnamed = tuple(each.text for each in plan.commands if each.source != "model")
                self._emit(CallStarted(answer, index, call.tool.name, call.tool.effect, before, unnamed))
            return await call.tool.run(ctx, call)

        return run


def _refuse(error: ToolError) -> ToolFunction:
    async def run(ctx: Context, call: ParsedCall) -> Result:
        raise error

    return run
