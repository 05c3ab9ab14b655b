"""search_code: find lines by a regular expression, with ripgrep."""

from collections.abc import Sequence
from typing import Annotated, Literal

from kimi_agent.log.views import MatchesView
from kimi_agent.tool import Context, Field, Found, Preview, Result, tool


async def _preview(ctx: Context, pattern: str, path: str = ".", **others: object) -> Preview:
    """What is looked for, and where."""
    return Preview(f"search_code {pattern!r} in {ctx.files.shown(path)}")


@tool(effect="read", preview=_preview)
async def search_code(
    ctx: Context,
    pattern: Annotated[str, Field("Regular expression (ripgrep).")],
    path: Annotated[str, Field("Folder or file.")] = ".",
    glob: Annotated[str, Field("Only these files, e.g. *.py or src/**/*.ts; !x excludes.")] = "",
    type: Annotated[str, Field("ripgrep file type: py, js, rust ...")] = "",
    mode: Annotated[Literal["content", "files", "count"], Field("Lines, files by match count, or counts.")] = "content",
    case: Annotated[
        Literal["smart", "sensitive", "ignore"], Field("Smart: ignored unless a capital is in it.")
    ] = "smart",
    literal: Annotated[bool, Field("Take pattern as plain text.")] = False,
    multiline: Annotated[bool, Field("Matches may span lines; . matches newlines.")] = False,
    context: Annotated[int, Field("Lines around a match.", minimum=0, maximum=20)] = 0,
    before: Annotated[int | None, Field("Lines before it.", minimum=0, maximum=20)] = None,
    after: Annotated[int | None, Field("Lines after it.", minimum=0, maximum=20)] = None,
    include_ignored: Annotated[bool, Field("Search files that .gitignore names too.")] = False,
    limit: Annotated[int, Field("Matches (or files) shown.", minimum=1, maximum=1000)] = 100,
    offset: Annotated[int, Field("Matches (or files) to skip.", minimum=0, maximum=5000)] = 0,
) -> Result:
    """Search file contents: `path:` headings, `N:` matches, `N-` context; the last lines give totals.

    Hidden files are searched, .git and ignored ones not; a search without a hit says what it covered.
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
    text = "\n".join([*_shown(found, mode), *_notes(found)])
    return Result(text, MatchesView(pattern, found.matches, found.files, text))


def _shown(found: Found, mode: str) -> Sequence[str]:
    """The hits and the line of totals."""
    scope = [] if found.searched == 0 else [f"{_number(found.searched, 'file')} searched"]
    if not found.matches:
        return [f"No matches in {found.where} ({_number(found.searched, 'file')}).", *_ignored(found)]
    totals = f"{_number(found.matches, 'match')} in {_number(found.files, 'file')}"
    if not found.hits:
        return [f"[nothing at this offset; {totals}]"]
    unit = "matches" if mode == "content" else "files"
    total = found.matches if mode == "content" else found.files
    if (found.first, found.last) != (1, total):
        totals = f"{unit} {found.first:,}-{found.last:,} of {totals}"
    more = [f"continue with offset={found.last}"] if found.last < total else []
    trailer = f"[{'; '.join([totals, *scope, *more])}]"
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
        return [f"{_number(found.ignored_matches, 'match')} in ignored files (include_ignored=true)."]
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
        lines.append(
            f"Note: {_number(found.secret_matches, 'match')} not shown in files that may hold secrets: {names}"
        )
    if found.unreadable:
        lines.append(f"Note: could not read: {'; '.join(found.unreadable)}")
    if found.engine == "python":
        lines.append("Note: ripgrep is missing; searched slowly in Python, ignore files are not honoured.")
    return lines


def _number(count: int, word: str) -> str:
    """`1 match`, `1,204 files`."""
    plural = "es" if word.endswith("ch") else "s"
    return f"{count:,} {word}{'' if count == 1 else plural}"
