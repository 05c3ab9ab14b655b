"""recall: search the earlier messages and results of this session, or read one whole."""

import asyncio
from typing import Annotated

from kimi_agent.log.views import TextView
from kimi_agent.tool import Context, Field, Hit, Result, ToolError, format_count, tool

MAX_HITS = 10
MAX_PAGE_CHARS = 16_000  # characters


@tool(effect="read")
async def recall(
    ctx: Context,
    query: Annotated[str, Field('Words that must all occur, "a phrase", or /regex/.')] = "",
    id: Annotated[str, Field("Like 12.0; gives that text whole.")] = "",
    offset: Annotated[int, Field("First character of it.", minimum=0)] = 0,
) -> Result:
    """Look up what was said and done earlier in this session, word for word.

    Use it for details that the summary lacks after the conversation was summed up, and for results that were shortened.
    Search with `query`, then read a hit with `id`. Files may have changed since.
    """
    if id.strip():
        return await _page(ctx, id, offset)
    if not query.strip():
        raise ToolError("bad_arguments", "neither query nor id was given", "pass words to search for, or an id")
    found = await asyncio.to_thread(ctx.history.search, query, limit=MAX_HITS, without="recall")
    if not found.total:
        text = f"Nothing in this session holds {found.asked}.\nNext: try fewer or other words"
        return Result(text, TextView("", "no hits"))
    hits = format_count(found.total, "hit")
    newest = f", the newest {len(found.newest)} shown" if len(found.newest) < found.total else ""
    rows = [f"{hits} for {found.asked}{newest}; read one whole with its id:", *map(_row, found.newest)]
    return Result("\n".join(rows), TextView("", hits))


async def _page(ctx: Context, id: str, offset: int) -> Result:
    page = await asyncio.to_thread(ctx.history.read, id, offset=offset, max_chars=MAX_PAGE_CHARS)
    if page is None:
        raise ToolError("not_found", f"nothing in this session has the id {id[:40]!r}", "search with query for its id")
    end = page.offset + len(page.text)
    more = f"; continue with offset={end}" if end < page.total else ""
    extent = f"[{id.strip()[:40]}, turn {page.turn}: characters {page.offset:,}-{end:,} of {page.total:,}{more}]"
    return Result(f"{page.text}\n{extent}", TextView("", f"{len(page.text):,} characters"))


def _row(hit: Hit) -> str:
    state = f", {hit.status}" if hit.status else ""
    return f"{hit.place}  (turn {hit.turn}, {_ago(hit.age_s)}, {hit.kind}{state}) {hit.excerpt}"


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{format_count(int(seconds // size), unit)} ago"
    return "just now"
