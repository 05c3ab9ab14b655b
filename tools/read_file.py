"""read_file: a page of a file's text, with line numbers."""

import asyncio
import os
from collections.abc import Iterator
from typing import Annotated

from kimi_agent.log.views import TextView
from kimi_agent.tool import Context, Field, Result, escape_name, format_count, tool

from ._format import format_entry, format_size
from ._read_page import FilePage, PageRequest, read_page

MAX_PAGE_LINES = 2_000
THREAD_FROM_BYTES = 1_000_000  # bytes from which a reading would hold up the screen
MAX_ENTRIES = 500


@tool(effect="read")
async def read_file(
    ctx: Context,
    path: Annotated[str, Field("File, or output:ID of a result.")],
    offset: Annotated[int, Field("First line; negative counts from the end.")] = 1,
    limit: Annotated[int, Field("Most lines.", minimum=1, maximum=MAX_PAGE_LINES)] = MAX_PAGE_LINES,
    column_offset: Annotated[int, Field("First character of each line, for lines that were cut.", minimum=1)] = 1,
) -> Result:
    """Read a text file or notebook as `number<TAB>text` lines; a folder gives its listing.

    At most 2000 lines, 60 KB, 2000 characters a line; <file-info> at the end tells the rest and the next offset. The
    numbers are no part of the text.
    """
    if ctx.files.kind(path) == "directory":
        return list_folder(ctx, path)
    output = path.startswith("output:")
    wanted = PageRequest(path, offset, limit, column_offset)
    with ctx.files.open(path) as file:
        stat = os.fstat(file.fileno())
        if stat.st_size > THREAD_FROM_BYTES:
            got = await asyncio.to_thread(read_page, file, stat.st_size, wanted, forgiving=output)
        else:
            got = read_page(file, stat.st_size, wanted, forgiving=output)
    if got.sha256 and not output:
        seen = record_seen(ctx, ctx.files.shown(path), got, stat)
        if seen:
            text = f"{escape_name(path)} is unchanged since you read {seen} above."
            next_step = "use that text; call again only if you no longer have it"
            return Result(f"{text}\nNext: {next_step}", TextView("", "unchanged"))
    text = "".join(f"{line}\n" for line in got.page.numbered())
    info = "; ".join([describe_extent(got, stat.st_size), *got.page.notes(), *got.notes])
    return Result(f"{text}<file-info>{info}</file-info>", TextView("", format_count(len(got.page.lines), "line")))


def describe_extent(got: FilePage, bytes_: int) -> str:
    """Which lines these are, and how to go on."""
    page = got.page
    if not page.lines:
        return "file is empty"
    total = f"{page.total:,}" if got.complete else f"more than can be counted quickly ({format_size(bytes_)})"
    more = f"; continue with offset={page.last + 1}" if not got.complete or page.last < page.total else ""
    return f"lines {page.first}-{page.last} of {total}{more}"


def record_seen(ctx: Context, path: str, got: FilePage, stat: os.stat_result) -> str:
    """Record in the ledger what was read; "lines 1-9" if just this text is in the conversation already, else ""."""
    page, seen_files = got.page, ctx.files.seen_files
    known = seen_files.known(path)
    ranges = tuple(fully_shown_ranges(got)) if got.literal and page.column == 1 else ()
    before = known.ranges if known is not None and known.sha256 == got.sha256 else ()
    if ranges == ((page.first, page.last),) and any(a <= page.first and page.last <= b for a, b in before):
        # Asked a third time, it is shown: then the text was lost on the way.
        seen_files.forget_text(path)
        return f"lines {page.first}-{page.last}"
    seen_files.record(path, got.sha256, ranges=ranges, stat=stat)
    now = seen_files.known(path)
    every_line = now is not None and now.ranges == ((1, page.total),)
    if got.complete and got.literal and (every_line or not page.total):
        seen_files.record(path, got.sha256, whole=True, stat=stat)
    return ""


def fully_shown_ranges(got: FilePage) -> Iterator[tuple[int, int]]:
    """The ranges of lines that are shown whole."""
    first = got.page.first
    for number in (*got.page.cut, got.page.last + 1):
        if first < number:
            yield first, number - 1
        first = number + 1


def list_folder(ctx: Context, path: str) -> Result:
    """What a folder holds, ignored or not, one level deep."""
    entries = sorted(ctx.files.list(path), key=lambda each: each.kind != "directory")
    rows = [format_entry(each.name, each.kind, each.size) for each in entries[:MAX_ENTRIES]]
    more = [f"… {len(entries) - MAX_ENTRIES} more; use list_files"] if len(entries) > MAX_ENTRIES else []
    head = f"{escape_name(ctx.files.shown(path))} is a folder:"
    text = "\n".join([head, *rows, *more]) if rows else "the folder is empty"
    return Result(text, TextView("", f"{len(entries)} entries"))
