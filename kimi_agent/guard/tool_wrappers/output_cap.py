"""The output-cap tool wrapper: it cuts a result so that one call cannot flood the conversation."""

from kimi_agent.errors import NeedsConsent, ToolError
from kimi_agent.log.views import Result
from kimi_agent.tool import Context, ParsedCall, Tool

MAX_RESULT_CHARS = 30_000
"""What a result may hold where the window does not ask for less."""

_NOTICE_CHARS = 400
_NEXT_CHARS = 300


def wrap_with_output_cap(tool: Tool, *, max_chars: int) -> Tool:
    """`tool` with its text for the model cut to `max_chars`; the whole is kept as `output:ID`."""

    async def run(ctx: Context, call: ParsedCall) -> Result:
        try:
            result = await tool.run(ctx, call)
        except NeedsConsent:
            raise
        except ToolError as error:
            if len(error.text) <= max_chars:
                raise
            raise ToolError(error.code, _capped(error.text, ctx, max_chars), error.next_step[:_NEXT_CHARS]) from error
        if len(result.content) <= max_chars:
            return result
        return Result(_capped(result.content, ctx, max_chars), result.view, result.failed, result.code)

    return tool.wrapped(run)


def _capped(text: str, ctx: Context, max_chars: int) -> str:
    """Head and tail of `text`, cut at line ends where there are any near, and between them what is missing."""
    size = max_chars * 3 // 10
    near = max_chars // 30
    head = text[:size]
    head = head[: head.rfind("\n", size - near) + 1] or head
    tail = text[-max(1, max_chars - size - _NOTICE_CHARS) :]
    tail = tail[tail.find("\n", 0, near) + 1 :]
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
