"""Tool wrappers that keep the conversation from being flooded: the output cap, and the guard against repeats."""

import re
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from kimi_agent.errors import NeedsConsent, ToolError
from kimi_agent.log.views import Result
from kimi_agent.tool import Context, Tool

MAX_CHARS = 30_000
HEAD_CHARS = 9_000
TAIL_CHARS = 20_000
NEAR_CHARS = 1_000

FAILURES = 3
"""From this identical failure on, the answer changes."""
READS = 5
"""From this identical reading in a row on, the answer says so."""
MAX_REMEMBERED = 500
MAX_LINES = 60
MAX_LINE = 300
MAX_FILE = 2_000_000


def cap(tool: Tool) -> Tool:
    """`tool` with its text for the model cut to MAX_CHARS; the whole is kept as `output:ID`."""

    async def run(ctx: Context, raw: str) -> Result:
        try:
            result = await tool.run(ctx, raw)
        except NeedsConsent:
            raise
        except ToolError as error:
            if len(error.text) <= MAX_CHARS:
                raise
            raise ToolError(error.code, _capped(error.text, ctx), error.next_step[:MAX_LINE]) from error
        if len(result.content) <= MAX_CHARS:
            return result
        return Result(_capped(result.content, ctx), result.view, result.failed, result.code)

    return tool.wrapped(run)


def _capped(text: str, ctx: Context) -> str:
    """Head and tail of `text`, cut at line ends where there are any near, and between them what is missing."""
    head = text[:HEAD_CHARS]
    head = head[: head.rfind("\n", HEAD_CHARS - NEAR_CHARS) + 1] or head
    tail = text[-TAIL_CHARS:]
    tail = tail[tail.find("\n", 0, NEAR_CHARS) + 1 :]
    missing = text[len(head) : len(text) - len(tail)]
    try:
        name = ctx.files.outputs.keep(text)
        line = head.count("\n") + 1
        whole = f'the whole is {name}, page it with read_file(path="{name}", offset={line})'
    except OSError as error:
        whole = f"the whole could not be kept ({error.strerror})"
    lines = missing.count("\n")
    left_out = f"[{len(missing):,} of {len(text):,} characters left out here ({lines:,} lines); {whole}]"
    return "\n".join([head.removesuffix("\n"), left_out, tail])


class Repeats:
    """What an agent's calls came to, so that the same failure is not paid for again and again."""

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, ...], int] = OrderedDict()
        self._last: tuple[str, ...] = ()
        self._in_row = 0

    def guard(self, tool: Tool) -> Tool:
        """`tool`, whose third identical failure says so and shows the file it is about."""

        async def run(ctx: Context, raw: str) -> Result:
            try:
                result = await tool.run(ctx, raw)
            except NeedsConsent:
                raise
            except ToolError as error:
                times = self._failed(tool.effect, tool.name, raw, error.code, error.text)
                if times < FAILURES:
                    raise
                raise ToolError(error.code, self._insisted(error.text, times, tool, ctx, raw), _ANOTHER_WAY) from error
            if result.failed:
                times = self._failed(tool.effect, tool.name, raw, result.code, result.content)
                if times < FAILURES:
                    return result
                content = f"{self._insisted(result.content, times, tool, ctx, raw)}\nNext: {_ANOTHER_WAY}"
                return Result(content, result.view, result.failed, result.code)
            return self._succeeded(tool, raw, result)

        return tool.wrapped(run)

    def _failed(self, *key: str) -> int:
        """How often exactly this has failed by now."""
        self._last = ()
        times = self._failures.pop(key, 0) + 1
        self._failures[key] = times
        if len(self._failures) > MAX_REMEMBERED:
            self._failures.popitem(last=False)
        return times

    def _succeeded(self, tool: Tool, raw: str, result: Result) -> Result:
        if tool.effect != "read":
            # The world is another one now, and a command that failed may well be right. An edit that fails with the
            # very same text met the very same file.
            for key in [key for key in self._failures if key[0] in ("execute", "network")]:
                del self._failures[key]
            self._last = ()
            return result
        same = (tool.name, raw, result.content)
        self._in_row = self._in_row + 1 if same == self._last else 1
        self._last = same
        if self._in_row < READS:
            return result
        note = f"Note: this same call gave this same result {self._in_row} times in a row; go on with what it says."
        return Result(f"{result.content}\n{note}", result.view, result.failed, result.code)

    def _insisted(self, text: str, times: int, tool: Tool, ctx: Context, raw: str) -> str:
        lines = [text, f"This exact call failed in this exact way {times} times. Do not send it again."]
        shown = _current(tool, ctx, raw)
        return "\n".join([*lines, shown] if shown else lines)


_ANOTHER_WAY = "change the call by what is shown here, take another tool, or tell the user what stands in the way"


def _current(tool: Tool, ctx: Context, raw: str) -> str:
    """Numbered lines, as they stand now, of the first file that the call names; "" where there is none to show."""
    try:
        path = next(iter(path for path in tool.touches(raw) if ctx.files.kind(path) == "file"), None)
        if path is None:
            return ""
        data = ctx.files.read(path, max_bytes=MAX_FILE).data
        wanted = {line.strip() for line in _texts(tool.arguments(raw)) if len(line.strip()) > 3}
    except ToolError:
        return ""
    if b"\0" in data[:8192]:
        return ""
    lines = data.decode("utf-8", "replace").split("\n")
    hit = next((number for number, line in enumerate(lines) if line.strip() in wanted), 0)
    first = max(0, min(hit - MAX_LINES // 3, len(lines) - MAX_LINES))
    numbered = [f"{number}\t{line[:MAX_LINE]}" for number, line in enumerate(lines, 1)][first : first + MAX_LINES]
    head = f"{ctx.files.shown(path)} now, lines {first + 1}-{first + len(numbered)} of {len(lines)}:"
    return "\n".join([head, *numbered])


def _texts(value: Any) -> Iterator[str]:
    """All lines of all strings in the arguments, without the marks of a diff."""
    if isinstance(value, str):
        for line in value.split("\n"):
            yield line
            yield re.sub(r"^[-+ ]", "", line)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
