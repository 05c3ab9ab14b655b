"""search_code: find lines by a regular expression, with ripgrep."""

from collections.abc import Sequence
from typing import Annotated, Literal

from kimi_agent.log.views import MatchesView
from kimi_agent.tool import Context, Field, Found, Preview, Result, format_count, tool


async def _preview(ctx: Context, pattern: str, path: str = ".", **others: object) -> Preview:
    """What is looked for, and where."""
    return Preview(f"search_code {pattern!r} in {ctx.files.shown(path)}")


@tool(effect="read", preview=_preview)
async def search_code(
    ctx: Context,
    pattern: Annotated[str, Field("Regular expression.")],
    path: Annotated[str, Field("Folder or file.")] = ".",
    glob: Annotated[str, Field("Like *.py, src/**/*.ts, !*.min.js")] = "",
    type: Annotated[str, Field("Like py, js, rust")] = "",
    mode: Annotated[Literal["content", "files", "count"], Field("files: by match count.")] = "content",
    case: Annotated[Literal["smart", "sensitive", "ignore"], Field("smart: a capital counts.")] = "smart",
    literal: Annotated[bool, Field("pattern is plain text.")] = False,
    multiline: Annotated[bool, Field("Matches may span lines.")] = False,
    context: Annotated[int, Field("Lines around, at most 20.")] = 0,
    before: Annotated[int | None, Field("Lines before.")] = None,
    after: Annotated[int | None, Field("Lines after.")] = None,
    include_ignored: Annotated[bool, Field("Also what .gitignore names.")] = False,
    limit: Annotated[int, Field("Matches or files, at most 1000.")] = 100,
    offset: Annotated[int, Field("How many to skip.")] = 0,
) -> Result:
    """Search file contents with ripgrep. `path:` headings, `N:` matches, `N-` context, totals at the end.

    Hidden files are searched, .git and ignored ones are not; without a hit it says what was covered.
    """
    found = await ctx.ripgrep.search(
        pattern,
        path=path,
        glob=glob,
        file_type=type,
        mode=mode,
        case=case,
        literal=literal,
        multiline=multiline,
        before=context if before is None else before,
        after=context if after is None else after,
        include_ignored=include_ignored,
        limit=limit,
        offset=offset,
    )
    text = "\n".join([*_format_hits(found, mode), *_notes(found)])
    return Result(text, MatchesView(pattern, found.matches, found.files))


def _format_hits(found: Found, mode: str) -> Sequence[str]:
    """The hits and the line of totals."""
    if not found.matches:
        return [f"No matches in {found.where} ({format_count(found.searched, 'file')}).", *_ignored(found)]
    matches, files = format_count(found.matches, "match", "matches"), format_count(found.files, "file")
    if not found.hits:
        return [f"[nothing at this offset: {matches} in {files}]"]
    page = f"{found.first:,}-{found.last:,}"
    total = found.matches if mode == "content" else found.files
    totals = f"{matches} in {files}"
    if page != f"1-{total:,}":
        totals = f"files {page} of {total:,}; {matches}"
        if mode == "content":
            totals = f"matches {page} of {total:,} in {files}"
    scope = f"; {format_count(found.searched, 'file')} searched" if found.searched else ""
    more = f"; continue with offset={found.last}" if found.last < total else ""
    trailer = f"[{totals}{scope}{more}]"
    if mode == "files":
        return [*(hits.path for hits in found.hits), trailer]
    if mode == "count":
        return [*(f"{hits.matches}\t{hits.path}" for hits in found.hits), trailer]
    blocks: list[str] = []
    for hits in found.hits:
        blocks.append(f"{hits.path}:")
        last = 0
        for line in hits.lines:
            if last and line.number > last + 1 and any(not each.match for each in hits.lines):
                blocks.append("--")
            blocks.append(f"{line.number}{':' if line.match else '-'}{line.text}")
            last = line.number
        blocks.append("")
    return [*blocks, trailer]


def _ignored(found: Found) -> Sequence[str]:
    """What a search without a hit passed over, and why it may have found nothing."""
    if found.ignored_matches:
        return [f"{format_count(found.ignored_matches, 'match', 'matches')} in ignored files (include_ignored=true)."]
    if found.searched == 0 and not found.partial:
        return ["No file was searched: look at path, glob and type."]
    return []


def _notes(found: Found) -> Sequence[str]:
    """What else is to be known of a search."""
    lines: list[str] = []
    if found.partial:
        lines.append(f"Note: PARTIAL, {found.partial}: narrow path, glob or pattern for the rest.")
    if found.secret_matches:
        names = ", ".join(found.secret_files[:5])
        matches = format_count(found.secret_matches, "match", "matches")
        lines.append(f"Note: {matches} not shown in files that may hold secrets: {names}")
    if found.denied_matches:
        matches = format_count(found.denied_matches, "match", "matches")
        files = format_count(found.denied_files, "file")
        lines.append(f"Note: {matches} in {files} not shown: a rule of the user's denies it.")
    if found.unreadable:
        lines.append(f"Note: could not read: {'; '.join(found.unreadable)}")
    if found.engine == "python":
        lines.append("Note: ripgrep is missing; searched slowly in Python, ignore files are not honoured.")
    return lines
