"""Tool API: all that a tool's author imports (tool, Context, Result, ToolError, Field).

A tool is one typed async function in a module of a `tools/` folder:

    @tool(effect="read")
    async def count_lines(ctx: Context, path: Annotated[str, Field("The file to count.")]) -> str:
        '''Count the lines of a file.'''
        return str(ctx.files.read(path).data.count(b"\\n"))

Its first parameter is the Context, its other parameters become the schema (types str, int, float, bool, Literal of
strings, list of those, list of TypedDict; a default makes one optional), its docstring is what the model reads. It
returns a `Result`, or a str for the model alone, and raises `ToolError` to say what went wrong and what to do next.
"""

import inspect
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from kimi_agent.call_plan import CallPlan, PlannedCommand, PlannedPath
from kimi_agent.errors import NeedsConsent, ToolError
from kimi_agent.log.event_parts import Fingerprint
from kimi_agent.log.events import Effect
from kimi_agent.log.readers.recall import Hit, SessionRecall
from kimi_agent.log.views import Result, View
from kimi_agent.printable import escape_name, escape_path, format_count, join_some
from kimi_agent.schema import Field, ToolSignature
from kimi_agent.workspace.file_change import FileChange
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.files.outputs import OUTPUT_PREFIX
from kimi_agent.workspace.process.process_runner import ProcessRunner
from kimi_agent.workspace.search.ripgrep import Found, Ripgrep
from kimi_agent.workspace.testrun import ProjectTests

__all__ = [
    "CallPlan",
    "Context",
    "Field",
    "FileChange",
    "Fingerprint",
    "Found",
    "Hit",
    "NeedsConsent",
    "PlannedCommand",
    "Preview",
    "Result",
    "Tool",
    "ToolError",
    "escape_name",
    "escape_path",
    "format_count",
    "join_some",
    "tool",
]


@dataclass(frozen=True)
class Context:
    """What a tool may touch the machine with, and who it runs for.

    `call_id` names this call once and for all, `place` within the session's log: (answer, index), see `log.events`.
    `progress` shows a line while the call runs; `history` looks things up in that log. `plan` is what was judged: the
    call may do this and no more (None where nobody judges).
    """

    files: Files
    runner: ProcessRunner
    ripgrep: Ripgrep
    testrun: ProjectTests
    agent: str
    call_id: str
    progress: Callable[[str], None]
    place: tuple[int, int] = (0, 0)
    history: SessionRecall = field(default_factory=lambda: SessionRecall(tuple))
    plan: CallPlan | None = None


@dataclass(frozen=True)
class Preview:
    """What a call is about to do, for the person who is asked: one line, and the real command or diff."""

    title: str
    view: View | None = None


@dataclass(frozen=True)
class ParsedCall:
    """One call of a tool, read once: `paths` are the files and folders that its arguments name.

    `raw` is what the model wrote; `unknown` holds the names in it that are no arguments of the tool.
    """

    tool: "Tool"
    raw: str
    arguments: dict[str, Any]
    unknown: Sequence[str] = ()
    paths: Sequence[str] = ()


ToolFunction = Callable[[Context, ParsedCall], Awaitable[Result]]
PathsOfArguments = Callable[[dict[str, Any]], Sequence[str]]
PlanParts = tuple[Sequence[str], Sequence[PlannedCommand]]
"""The paths, in any spelling, and the commands of a call."""


def _given_commands(ctx: Context, call: ParsedCall) -> Sequence[PlannedCommand]:
    """The command that the arguments of a call hold, if its tool may run one."""
    command, folder = call.arguments.get("command"), call.arguments.get("cwd")
    text = shlex.join(map(str, command)) if isinstance(command, list) else command
    if call.tool.effect == "read" or not isinstance(text, str) or not text:
        return ()
    where = ctx.files.resolve(folder).path if isinstance(folder, str) and folder else str(ctx.runner.cwd)
    return (PlannedCommand(text, where),)


def _resolve_plan(ctx: Context, call: ParsedCall, paths: Sequence[str], commands: Sequence[PlannedCommand]) -> CallPlan:
    """The plan with its paths as the files are opened. Raises ToolError for what can be no path."""
    found = (ctx.files.resolve(path) for path in paths if not path.startswith(OUTPUT_PREFIX))
    resolved = dict.fromkeys(PlannedPath(each.path, each.names) for each in found)
    return CallPlan(call.tool.name, call.tool.effect, tuple(resolved), tuple(commands))


async def plan_from_arguments(ctx: Context, call: ParsedCall) -> CallPlan:
    """The plan of a call whose arguments name all of its paths, and its command. Raises ToolError."""
    return _resolve_plan(ctx, call, call.paths, _given_commands(ctx, call))


@dataclass(frozen=True)
class Tool:
    """One tool as a value: `run(ctx, call)` does a call, `preview(ctx, call)` shows it without doing it.

    `read(raw_json)` gives the arguments as the tool will have them, and the names that it does not know;
    `paths(arguments)` the files and folders that they name; `plan(ctx, call)` what the call would do, which is judged.
    All five may raise ToolError. `names_paths` says whether its calls name paths at all.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    effect: Effect
    run: ToolFunction
    preview: Callable[[Context, ParsedCall], Awaitable[Preview]]
    read: Callable[[str], tuple[dict[str, Any], Sequence[str]]]
    paths: PathsOfArguments
    plan: Callable[[Context, ParsedCall], Awaitable[CallPlan]] = plan_from_arguments
    names_paths: bool = True

    def wrapped(self, run: ToolFunction) -> "Tool":
        """This tool with another `run` around its own."""
        return replace(self, run=run)

    def parse(self, raw: str) -> tuple[ParsedCall, ToolError | None]:
        """The call, and what is wrong with it; one that is wrong keeps what could be read, and must not run."""
        call = ParsedCall(self, raw, {"": raw})
        try:
            call = ParsedCall(self, raw, *self.read(raw))
            return replace(call, paths=self.paths(call.arguments)), None
        except ToolError as error:
            return call, error


def tool(
    *,
    effect: Effect,
    preview: Callable[..., Awaitable[Preview]] | None = None,
    paths: PathsOfArguments | None = None,
    plan: Callable[..., Awaitable[PlanParts]] | None = None,
    name: str = "",
    touches: None = None,
) -> Callable[[Callable[..., Awaitable[Result | str]]], Tool]:
    """Make a Tool of the decorated function.

    `effect` says what it does to the world at most. `preview(ctx, **arguments)` shows what a call would do; without
    it a person sees the arguments. `paths(arguments)` names the paths of a call; without it, its `path` argument.
    `plan(ctx, **arguments)` gives its paths and commands where the arguments do not name them; without it they are
    `paths` and, for a tool that does more than read, the argument `command` in the folder `cwd`.
    """
    if touches is not None:
        raise TypeError("touches is called paths now")

    def made(function: Callable[..., Awaitable[Result | str]]) -> Tool:
        signature = ToolSignature(name or function.__name__, function)

        async def run(ctx: Context, call: ParsedCall) -> Result:
            result = await function(ctx, **call.arguments)
            if isinstance(result, str):
                result = Result(result)
            if not isinstance(result, Result):
                raise TypeError(f"a tool returns str or Result, not {type(result).__name__}")
            if call.unknown:
                note = f"\nNote: unknown arguments ignored: {', '.join(call.unknown)}"
                result = Result(result.content + note, result.view, result.failed, result.code)
            return result

        async def show(ctx: Context, call: ParsedCall) -> Preview:
            if preview is None:
                return Preview(f"{call.tool.name} {summarize_arguments(call.arguments)}")
            return await preview(ctx, **deepcopy(call.arguments))  # the run gets what was judged, whatever this does

        async def planned(ctx: Context, call: ParsedCall) -> CallPlan:
            if plan is None:
                return await plan_from_arguments(ctx, call)
            return _resolve_plan(ctx, call, *await plan(ctx, **deepcopy(call.arguments)))

        return Tool(
            name=signature.name,
            description=inspect.getdoc(function) or "",
            schema=signature.schema,
            effect=effect,
            run=run,
            preview=show,
            read=signature.read,
            paths=paths or _path_argument,
            plan=planned,
            names_paths=bool(paths or plan) or "path" in signature.schema.get("properties", {}),
        )

    return made


def _path_argument(arguments: dict[str, Any]) -> Sequence[str]:
    path = arguments.get("path")
    return (path,) if isinstance(path, str) and path else ()


def summarize_arguments(arguments: Mapping[str, Any], max_chars: int = 100) -> str:
    """Arguments on one line, for a call that has no better title: the values alone, shortened."""
    shown = ", ".join(" ".join(str(value).split()) for value in arguments.values() if value not in (None, "", []))
    return shown if len(shown) <= max_chars else shown[: max_chars - 1] + "…"
