"""write_file: a new file, or an old one written anew."""

import asyncio
from typing import Annotated

from kimi_agent.edit import file_diff, syntax_trouble
from kimi_agent.edit.text import Codec, Text, decode, encoded, not_ascii, usual_end
from kimi_agent.log.views import DiffView, FileDiff
from kimi_agent.tool import Context, Field, FileChange, Preview, Result, ToolError, tool

from ._format import lines, name
from ._line_ends import wanted

MAX_RULES = 100_000  # bytes of a .gitattributes or .editorconfig


async def preview(ctx: Context, path: str, content: str, overwrite: bool = False) -> Preview:
    """The diff that the call would make."""
    change, diff, _ = await asyncio.to_thread(planned, ctx, path, content, overwrite)
    return Preview(f"{'create' if change.before is None else 'overwrite'} {name(change.path)}", DiffView((diff,)))


@tool(effect="write", preview=preview)
async def write_file(
    ctx: Context,
    path: Annotated[str, Field("File to create; missing folders are made.")],
    content: Annotated[str, Field("The whole text.")],
    overwrite: Annotated[bool, Field("Replace an existing file that you have read whole.")] = False,
) -> Result:
    """Create a file. To change an existing one use edit_file or apply_patch.

    Overwriting keeps the old encoding, line ends and mode.
    """
    change, diff, wrong = await asyncio.to_thread(planned, ctx, path, content, overwrite)
    notes = ctx.files.commit([change])  # on the loop: a cancel must not come between the effect and its result
    done = "Created" if change.before is None else "Overwrote"
    size = lines(content.count("\n") + (not content.endswith("\n") and content != ""))
    counts = "" if change.before is None else f", +{diff.added} -{diff.removed}"
    notes += [f"{name(change.path)} {wrong}"] if wrong else []
    text = "\n".join([f"{done} {name(change.path)} ({size}{counts})", *(f"Note: {note}" for note in notes)])
    return Result(text, DiffView((diff,)))


def planned(ctx: Context, path: str, content: str, overwrite: bool) -> tuple[FileChange, FileDiff, str]:
    """The change, how it is shown, and what is wrong with its syntax. Raises ToolError: nothing was written."""
    shown = ctx.files.writable(path)
    kind = ctx.files.kind(path)
    if kind == "missing":
        end = wanted(shown, lambda rules: text_of(ctx, rules))
        text = content.replace("\r\n", "\n").replace("\n", end) if end == "\r\n" else content
        after = encoded(text, Codec(), name(shown))
        return FileChange(shown, None, after), file_diff(shown, None, after), syntax_trouble(shown, None, after)
    if kind != "file":
        raise ToolError("not_regular", f"{name(shown)} is a folder or no ordinary file", "choose another path")
    if not overwrite:
        raise ToolError(
            "exists",
            f"{name(shown)} exists; nothing was written",
            "edit_file changes it; overwrite=true replaces it whole",
        )
    old = ctx.files.read(path)
    known = ctx.files.ledger.known(shown)
    if known is None or not known.whole:
        text = f"{name(shown)} was not read whole, so nobody knows what overwriting would lose; nothing was written"
        raise ToolError("unread", text, f"read_file({shown!r}) to its end, or use edit_file")
    if known.sha256 != old.sha256:
        text = f"{name(shown)} changed since you saw it; nothing was written"
        raise ToolError("stale", text, f"read_file({shown!r}), then decide again")
    after = replaced(decode(old.data, name(shown)), content, name(shown))
    if after == old.data:
        raise ToolError("noop", f"{name(shown)} holds just this text already", "go on")
    diff, wrong = file_diff(shown, old.data, after), syntax_trouble(shown, old.data, after)
    return FileChange(shown, old.sha256, after), diff, wrong


def replaced(old: Text, content: str, shown: str) -> bytes:
    """`content` in the encoding of the old text, with its mark and its usual line ends."""
    if old.codec.opaque and (char := not_ascii([content])):
        text = f"{shown} is not UTF-8, so {char!r} cannot be written in its encoding; nothing was written"
        raise ToolError("encoding", text, "convert the file first, for example with iconv in the shell")
    if any(old.ends):
        content = content.replace("\r\n", "\n").replace("\n", usual_end(old.ends))
    return old.codec.bom + encoded(content, old.codec, shown)


def text_of(ctx: Context, path: str) -> str:
    """A small file of rules, "" if there is none that can be read."""
    try:
        found = ctx.files.read(str(ctx.files.root / path), max_bytes=MAX_RULES)
    except ToolError:
        return ""
    return found.data.decode("utf-8", "replace")
