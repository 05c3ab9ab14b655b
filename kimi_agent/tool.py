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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kimi_agent.errors import NeedsConsent, ToolError
from kimi_agent.log.events import Effect, Fingerprint
from kimi_agent.log.readers.recall import Hit, SessionRecall
from kimi_agent.log.views import Result, View
from kimi_agent.printable import escape_name, escape_path, format_count, join_some
from kimi_agent.schema import Field, ToolSignature
from kimi_agent.workspace.file_change import FileChange
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.process.runner import ProcessRunner
from kimi_agent.workspace.search.ripgrep import Found, Ripgrep
from kimi_agent.workspace.testrun import ProjectTests

__all__ = [
    "Context",
    "Field",
    "FileChange",
    "Fingerprint",
    "Found",
    "Hit",
    "NeedsConsent",
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
    `progress` shows a line while the call runs; `history` looks things up in that log.
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


@dataclass(frozen=True)
class Preview:
    """What a call is about to do, for the person who is asked: one line, and the real command or diff."""

    title: str
    view: View | None = None


ToolFunction = Callable[[Context, str], Awaitable[Result]]


@dataclass(frozen=True)
class Tool:
    """One tool as a value: `run(ctx, raw_json)` does it, `preview(ctx, raw_json)` shows it without doing it.

    `arguments(raw_json)` gives the arguments as the tool will read them (for rules, titles and fingerprints), `paths`
    the files and folders they name. All four may raise ToolError.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    effect: Effect
    run: ToolFunction
    preview: Callable[[Context, str], Awaitable[Preview]]
    arguments: Callable[[str], dict[str, Any]]
    touches: Callable[[str], Sequence[str]]

    def wrapped(self, run: ToolFunction) -> "Tool":
        """This tool with another `run` around its own."""
        return replace(self, run=run)


PathsOfArguments = Callable[[dict[str, Any]], Sequence[str]]


def tool(
    *,
    effect: Effect,
    preview: Callable[..., Awaitable[Preview]] | None = None,
    touches: PathsOfArguments | None = None,
    name: str = "",
) -> Callable[[Callable[..., Awaitable[Result | str]]], Tool]:
    """Make a Tool of the decorated function.

    `effect` says what it does to the world at most. `preview(ctx, **arguments)` shows what a call would do; without
    it a person sees the arguments. `touches(arguments)` names the paths of a call; without it, its `path` argument.
    """

    def made(function: Callable[..., Awaitable[Result | str]]) -> Tool:
        tool_name = name or function.__name__
        signature = ToolSignature(tool_name, function)

        async def run(ctx: Context, raw: str) -> Result:
            arguments, unknown = signature.read(raw)
            result = await function(ctx, **arguments)
            if isinstance(result, str):
                result = Result(result)
            if not isinstance(result, Result):
                raise TypeError(f"a tool returns str or Result, not {type(result).__name__}")
            if unknown:
                note = f"\nNote: unknown arguments ignored: {', '.join(unknown)}"
                result = Result(result.content + note, result.view, result.failed, result.code)
            return result

        async def show(ctx: Context, raw: str) -> Preview:
            arguments, _ = signature.read(raw)
            if preview is None:
                return Preview(f"{tool_name} {summarize_arguments(arguments)}")
            return await preview(ctx, **arguments)

        def read(raw: str) -> dict[str, Any]:
            return signature.read(raw)[0]

        def touched(raw: str) -> Sequence[str]:
            arguments = read(raw)
            if touches is not None:
                return touches(arguments)
            path = arguments.get("path")
            return (path,) if isinstance(path, str) and path else ()

        return Tool(
            name=tool_name,
            description=inspect.getdoc(function) or "",
            schema=signature.schema,
            effect=effect,
            run=run,
            preview=show,
            arguments=read,
            touches=touched,
        )

    return made


def summarize_arguments(arguments: Mapping[str, Any], max_chars: int = 100) -> str:
    """Arguments on one line, for a call that has no better title: the values alone, shortened."""
    shown = ", ".join(" ".join(str(value).split()) for value in arguments.values() if value not in (None, "", []))
    return shown if len(shown) <= max_chars else shown[: max_chars - 1] + "…"
