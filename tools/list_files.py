"""list_files: a folder's tree, or the files that match a glob, as git sees them."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Annotated

from kimi_agent.log.views import TextView
from kimi_agent.tool import Context, Field, Result, ToolError, escape_name, format_count, tool

from ._format import format_entry

MAX_FOLDERS = 5_000  # whose entries are looked at for times and sizes


@tool(effect="read")
async def list_files(
    ctx: Context,
    path: Annotated[str, Field("Folder.")] = ".",
    pattern: Annotated[str, Field("Only files that match this glob, newest first: *.py, src/**/test_*.py")] = "",
    depth: Annotated[int, Field("Levels of folders to show.", minimum=1, maximum=20)] = 2,
    include_ignored: Annotated[bool, Field("Also what .gitignore hides.")] = False,
    limit: Annotated[int, Field("Most entries.", minimum=1, maximum=2_000)] = 200,
) -> Result:
    """List a folder, folders first; or find files by name with pattern (all levels). Use search_code for contents."""
    kind = ctx.files.kind(path)
    if kind != "directory":
        ctx.files.list(path)  # raises the error for a missing folder, or one outside
        raise ToolError("not_regular", f"{escape_name(path)} is a file", "use read_file")
    base = ctx.files.shown(path)
    glob = make_rooted_glob(base, pattern) if pattern else ""
    found = await ctx.ripgrep.files(path, glob=glob, include_ignored=include_ignored)
    known = FolderStats(ctx, base)
    closed: set[str] = set()
    if pattern:
        found, closed = known.leave_out_denied(found)
        rows = await asyncio.to_thread(newest_rows, known, found, limit)
        total = len(found)
    else:
        relative = [relative_to_folder(base, each) for each in found]
        tree = [each for each in walk_tree(relative, depth) if not known.denied_folder(each[0])]
        total = len(tree)
        rows = await asyncio.to_thread(lambda: [known.row(*each) for each in tree[:limit]])
    notes = [f"Note: a rule of the user's denies {escape_name(each)}/, which was left out" for each in sorted(closed)]
    return make_listing_result(base, pattern, rows, total, include_ignored, notes)


def make_listing_result(
    base: str, pattern: str, rows: Sequence[str], total: int, include_ignored: bool, notes: Sequence[str]
) -> Result:
    """The rows, and what is not among them."""
    if not rows:
        what = f"no files match {pattern} in {escape_name(base)}" if pattern else f"{escape_name(base)} has no files"
        hint = "" if include_ignored else "; ignored files were left out (include_ignored=true shows them)"
        return Result("\n".join([what + hint, *notes]), TextView("", "0 entries"))
    narrow = "narrow the pattern" if pattern else "list a folder below, or give a pattern"
    more = [f"… {total - len(rows):,} more; {narrow}"] if total > len(rows) else []
    text = "\n".join([*rows, *more, *notes])
    return Result(text, TextView("", format_count(total, "entry", "entries")))


class FolderStats:
    """Cached kinds, sizes and times of files, each folder listed once. Paths are below `base`."""

    def __init__(self, ctx: Context, base: str) -> None:
        self._ctx = ctx
        self._base = base
        self._folders: dict[str, dict[str, tuple[str, int, float]]] = {}
        self._denied: dict[str, bool] = {}

    def spelled(self, path: str) -> str:
        """The path as results spell it."""
        return path if self._base == "." else f"{self._base}/{path}" if path else self._base

    def look(self, path: str) -> tuple[str, int, float]:
        """Kind, size and time of a file."""
        folder, _, last = path.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = {}
            if len(self._folders) <= MAX_FOLDERS:
                spelled = self._ctx.files.root / self.spelled(folder)
                try:
                    entries = self._ctx.files.list(str(spelled))
                except ToolError:  # gone, or not to be read: listed without its size
                    entries = []
                self._folders[folder] = {each.name: (each.kind, each.size, each.mtime) for each in entries}
        return self._folders[folder].get(last, ("file", 0, 0.0))

    def is_denied(self, path: str) -> bool:
        """Whether a rule of the user's denies reading what is there."""
        if path not in self._denied:
            spelled = self._ctx.files.root / self.spelled(path)
            self._denied[path] = self._ctx.files.hidden(str(spelled)) == "denied"
        return self._denied[path]

    def denied_folder(self, path: str) -> str:
        """The uppermost folder above a path that a rule denies, whose names are not shown either; "" if none is."""
        parts = path.rstrip("/").split("/")
        above = ("/".join(parts[:count]) for count in range(1, len(parts)))
        return next(filter(self.is_denied, above), "")

    def leave_out_denied(self, found: Sequence[str]) -> tuple[list[str], set[str]]:
        """The files that lie in no folder that a rule denies, and those folders."""
        folders = {each: self.denied_folder(relative_to_folder(self._base, each)) for each in found}
        closed = {self.spelled(folder) for folder in folders.values() if folder}
        return [each for each, folder in folders.items() if not folder], closed

    def row(self, path: str, files: int) -> str:
        """A line of the listing; `files` counts what is not shown of a folder, -1 for a file."""
        if self.is_denied(path.rstrip("/")):
            return f"{escape_name(self.spelled(path))} (a rule of the user's denies it)"
        if path.endswith("/"):
            return escape_name(self.spelled(path)) + (f" ({files:,} files)" if files > 0 else "")
        kind, size, _ = self.look(path)
        return format_entry(self.spelled(path), kind, size)


def newest_rows(known: FolderStats, found: Sequence[str], limit: int) -> list[str]:
    """The rows of the files, the newest first."""
    paths = [relative_to_folder(known.spelled(""), each) for each in found]
    return [known.row(each, -1) for each in sorted(paths, key=lambda path: (-known.look(path)[2], path))[:limit]]


def walk_tree(paths: Sequence[str], depth: int) -> Iterator[tuple[str, int]]:
    """The tree of `paths` down to `depth`, folders ("a/") first; of the deepest ones how many files they hold."""
    yield from walk_folder([path.split("/") for path in paths], "", depth)


def walk_folder(paths: Sequence[list[str]], above: str, depth: int) -> Iterator[tuple[str, int]]:
    """One folder of the tree."""
    folders: dict[str, list[list[str]]] = {}
    for parts in paths:
        if len(parts) > 1:
            folders.setdefault(parts[0], []).append(parts[1:])
    for folder in sorted(folders):
        yield f"{above}{folder}/", len(folders[folder]) if depth == 1 else 0
        if depth > 1:
            yield from walk_folder(folders[folder], f"{above}{folder}/", depth - 1)
    for parts in sorted(parts for parts in paths if len(parts) == 1):
        yield above + parts[0], -1


def relative_to_folder(base: str, path: str) -> str:
    """`path` relative to the listed folder."""
    return path if base in (".", "") else path.removeprefix(f"{base}/")


def make_rooted_glob(base: str, pattern: str) -> str:
    """The glob from the workspace's root: with a "/" in it, it starts at the listed folder (as in a .gitignore)."""
    if base == "." or "/" not in pattern.rstrip("/") or base.startswith("/"):
        return pattern
    escaped = "".join(f"\\{c}" if c in "*?[]{}\\!" else c for c in base)
    return f"/{escaped}/{pattern.lstrip('/')}"
