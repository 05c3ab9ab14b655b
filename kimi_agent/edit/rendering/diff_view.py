"""Diff views: an edit plan as unified diffs, for a person to approve and to see once it is done."""

from collections.abc import Iterator, Sequence
from typing import Literal

from kimi_agent.edit.file_text import decode_text
from kimi_agent.edit.line_diff import DiffBlock, diff_lines
from kimi_agent.edit.planning.edit_plan import EditPlan, FileResult
from kimi_agent.edit.planning.write_hunks import ChangedSpan
from kimi_agent.errors import ToolError
from kimi_agent.log.views import DiffView, FileDiff

MAX_DIFF_CHARS = 200_000
CONTEXT_LINES = 3


def make_diff_view(change: EditPlan) -> DiffView:
    """The change as diffs; the same for a preview and for what was done."""
    most = MAX_DIFF_CHARS // max(1, len(change.files))
    return DiffView(tuple(_file_diff(done, most) for done in change.files))


def make_file_diff(path: str, before: bytes | None, after: bytes | None, max_chars: int = MAX_DIFF_CHARS) -> FileDiff:
    """What becomes of the bytes of one file (None: not there), as a diff that is capped and counts all the same."""
    change: Literal["A", "D", "M"] = "A" if before is None else "D" if after is None else "M"
    return _file_diff(FileResult(path, change, before, after), max_chars)


def _file_diff(done: FileResult, most: int) -> FileDiff:
    try:
        rows = list(_diff(done))
    except ToolError:  # a binary file that is moved or deleted whole
        rows = []
    added = sum(row.startswith("+") for row in rows)
    removed = sum(row.startswith("-") for row in rows)
    kept: list[str] = []
    room = most
    for row in rows:
        room -= len(row) + 1
        if room < 0:
            kept.append(f"… {len(rows) - len(kept)} more lines of this diff are not shown")
            break
        kept.append(row)
    path, old_path = (each.encode("utf-8", "backslashreplace").decode() for each in (done.path, done.old_path))
    return FileDiff(path, done.change, added, removed, "\n".join(kept), old_path)


def _diff(done: FileResult) -> Iterator[str]:
    """A unified diff without file headers; CRs show only where the lines' ends are not all the same."""
    before, after = decode_text(done.before or b""), decode_text(done.after or b"")
    ends = set(before.ends) | set(after.ends)
    bodies = ends <= {"\r\n"} or ends <= {"\n"}
    old, new = (list(each.bodies) if bodies else each.raw() for each in (before, after))
    group: list[DiffBlock] = []
    for block in _blocks(old, new, done.spots):
        if group and block.old[0] - group[-1].old[1] > 2 * CONTEXT_LINES:
            yield from _hunk(group, old, new, bodies)
            group = []
        group.append(block)
    if group:
        yield from _hunk(group, old, new, bodies)


def _blocks(old: list[str], new: list[str], spots: Sequence[ChangedSpan]) -> Iterator[DiffBlock]:
    """What differs; the changed places are known, so that only they need a comparison."""
    areas: list[DiffBlock] = []
    delta = at = 0
    for spot in spots:
        first = spot.first - delta
        if old[at:first] != new[at + delta : spot.first]:
            break
        at = first + spot.removed + spot.kept
        areas.append(DiffBlock((first, at), (spot.first, spot.last)))
        delta += spot.added - spot.removed
    if old[at:] != new[at + delta :] or not areas:
        areas = [DiffBlock((0, len(old)), (0, len(new)))]
    for area in areas:
        a, b = area.old[0], area.new[0]
        for each in diff_lines(old[a : area.old[1]], new[b : area.new[1]]):
            (i, j), (k, m) = each.old, each.new
            yield DiffBlock((a + i, a + j), (b + k, b + m))


def _hunk(group: list[DiffBlock], old: list[str], new: list[str], bodies: bool) -> Iterator[str]:
    first, last = group[0], group[-1]
    a, b = max(0, first.old[0] - CONTEXT_LINES), min(len(old), last.old[1] + CONTEXT_LINES)
    c, d = first.new[0] - (first.old[0] - a), last.new[1] + (b - last.old[1])
    yield f"@@ -{_range(a, b - a)} +{_range(c, d - c)} @@"
    at = a
    for block in group:
        yield from (_row_of(" ", line, bodies) for line in old[at : block.old[0]])
        yield from (_row_of("-", line, bodies) for line in old[slice(*block.old)])
        yield from (_row_of("+", line, bodies) for line in new[slice(*block.new)])
        at = block.old[1]
    yield from (_row_of(" ", line, bodies) for line in old[at:b])


def _row_of(sign: str, line: str, bodies: bool) -> str:
    if bodies:
        return sign + line
    return sign + line[:-1] if line.endswith("\n") else f"{sign}{line}\n\\ No newline at end of file"


def _range(start: int, count: int) -> str:
    return f"{start + 1 if count else start},{count}"
