"""write_file: create a file, or overwrite an existing one."""

import asyncio
from typing import Annotated

from kimi_agent.edit import find_new_syntax_error, make_file_diff
from kimi_agent.edit.file_text import (
    FileText,
    TextCodec,
    decode_text,
    encode_characters,
    find_non_ascii,
    find_usual_ending,
)
from kimi_agent.log.views import DiffView, FileDiff
from kimi_agent.tool import Context, Field, FileChange, Preview, Result, ToolError, escape_name, format_count, tool

from ._line_ends import choose_line_end

MAX_RULES_BYTES = 100_000  # bytes of a .gitattributes or .editorconfig


async def _preview(ctx: Context, path: str, content: str, overwrite: bool = False) -> Preview:
    """The diff that the call would make."""
    change, diff, _ = await asyncio.to_thread(plan_write, ctx, path, content, overwrite)
    verb = "create" if change.before is None else "overwrite"
    return Preview(f"{verb} {escape_name(change.path)}", DiffView((diff,)))


@tool(effect="write", preview=_preview)
async def write_file(
    ctx: Context,
    path: Annotated[str, Field("File to create; missing folders are made.")],
    content: Annotated[str, Field("The whole text.")],
    overwrite: Annotated[bool, Field("Replace an existing file that you have read whole.")] = False,
) -> Result:
    """Create a file. To change an existing one use edit_file or apply_patch.

    Overwriting keeps the old encoding, line ends and mode.
    """
    change, diff, wrong = await asyncio.to_thread(plan_write, ctx, path, content, overwrite)
    notes = ctx.files.commit([change])  # on the loop: a cancel must not come between the effect and its result
    done = "Created" if change.before is None else "Overwrote"
    size = format_count(content.count("\n") + (not content.endswith("\n") and content != ""), "line")
    counts = "" if change.before is None else f", +{diff.added} -{diff.removed}"
    notes += [f"{escape_name(change.path)} {wrong}"] if wrong else []
    text = "\n".join([f"{done} {escape_name(change.path)} ({size}{counts})", *(f"Note: {note}" for note in notes)])
    return Result(text, DiffView((diff,)))


def plan_write(ctx: Context, path: str, content: str, overwrite: bool) -> tuple[FileChange, FileDiff, str]:
    """The change, how it is shown, and what is wrong with its syntax. Raises ToolError: nothing was written."""
    shown = ctx.files.writable(path)
    kind = ctx.files.kind(path)
    if kind == "missing":
        end = choose_line_end(shown, lambda rules: read_rules(ctx, rules))
        text = content.replace("\r\n", "\n").replace("\n", end) if end == "\r\n" else content
        after = encode_characters(text, TextCodec(), escape_name(shown))
        diff, wrong = make_file_diff(shown, None, after), find_new_syntax_error(shown, None, after)
        return FileChange(shown, None, after), diff, wrong
    if kind != "file":
        raise ToolError("not_regular", f"{escape_name(shown)} is a folder or no ordinary file", "choose another path")
    if not overwrite:
        text = f"{escape_name(shown)} exists; nothing was written"
        raise ToolError("exists", text, "edit_file changes it; overwrite=true replaces it whole")
    old = ctx.files.read(path)
    known = ctx.files.seen_files.known(shown)
    if known is None or not known.whole:
        why = "was not read whole, so nobody knows what overwriting would lose; nothing was written"
        text = f"{escape_name(shown)} {why}"
        raise ToolError("unread", text, f"read_file({shown!r}) to its end, or use edit_file")
    if known.sha256 != old.sha256:
        text = f"{escape_name(shown)} changed since you saw it; nothing was written"
        raise ToolError("stale", text, f"read_file({shown!r}), then decide again")
    after = encode_like(decode_text(old.data, escape_name(shown)), content, escape_name(shown))
    if after == old.data:
        raise ToolError("noop", f"{escape_name(shown)} holds just this text already", "go on")
    diff, wrong = make_file_diff(shown, old.data, after), find_new_syntax_error(shown, old.data, after)
    return FileChange(shown, old.sha256, after), diff, wrong


def encode_like(old: FileText, content: str, shown: str) -> bytes:
    """`content` in the encoding of the old text, with its mark and its usual line ends."""
    if old.codec.opaque and (char := find_non_ascii([content])):
        text = f"{shown} is not UTF-8, so {char!r} cannot be written in its encoding; nothing was written"
        raise ToolError("encoding", text, "convert the file first, for example with iconv in the shell")
    if any(old.ends):
        content = content.replace("\r\n", "\n").replace("\n", find_usual_ending(old.ends))
    return old.codec.bom + encode_characters(content, old.codec, shown)


def read_rules(ctx: Context, path: str) -> str:
    """A small file of rules, "" if there is none that can be read."""
    try:
        found = ctx.files.read(str(ctx.files.root / path), max_bytes=MAX_RULES_BYTES)
    except ToolError:
        return ""
    return found.data.decode("utf-8", "replace")
