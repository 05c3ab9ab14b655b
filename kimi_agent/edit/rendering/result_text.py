"""Result texts of an edit, for the model: exact enough that it need not read the file again."""

from collections.abc import Iterator, Sequence

from kimi_agent.edit.file_text import decode_text, split_text
from kimi_agent.edit.placing.explain_unplaced import format_line
from kimi_agent.edit.planning.edit_plan import EditPlan, FileResult
from kimi_agent.edit.planning.write_hunks import ChangedSpan
from kimi_agent.errors import ToolError
from kimi_agent.log.views import DiffView, FileDiff
from kimi_agent.printable import escape_path, format_count

MAX_REPORT_CHARS = 4_000
MAX_SNIPPET_LINES = 14


def format_patch_result(change: EditPlan, view: DiffView, notes: Sequence[str] = ()) -> str:
    """The result of a patch: each file with its counts and hunks, one Note for each tolerance, the changed places."""
    files = view.files
    head = f"Applied to {format_count(len(files), 'file')}."
    rows = [_row(diff, done) for diff, done in zip(files, change.files, strict=True)]
    return _text([head, *_capped_rows(rows)], _notes(change, notes), change.files, around=2)


def format_edit_result(change: EditPlan, notes: Sequence[str] = ()) -> str:
    """The result of a replacement in one file."""
    done = change.files[0]
    count = len(done.spots)
    spans = ", ".join(_span(spot) for spot in done.spots[:20]) + (", ..." if count > 20 else "")
    word = "line" if count == 1 and "-" not in spans else "lines"
    head = f"Edited {escape_path(done.path)} ({format_count(count, 'place')}, {word} {spans}): {done.how}."
    return _text([head], _notes(change, notes), change.files, around=3)


def list_shown_ranges(done: FileResult, around: int) -> tuple[tuple[int, int], ...]:
    """First and last lines (from 1) of the new text that a result with `around` lines of context shows at most."""
    if done.after is None:
        return ()
    size = len(_lines(done.after))
    spans = ((max(1, s.first + 1 - around), min(size, s.last + around)) for s in done.spots)
    return tuple(span for span in spans if span[0] <= span[1])


def _row(diff: FileDiff, done: FileResult) -> str:
    match done.change:
        case "A":
            return f"A {escape_path(done.path)} +{diff.added}"
        case "D":
            return f"D {escape_path(done.path)} -{diff.removed}"
        case "R":
            head = f"R {escape_path(done.old_path)} → {escape_path(done.path)} +{diff.added} -{diff.removed}"
        case "M":
            head = f"M {escape_path(done.path)} +{diff.added} -{diff.removed}"
    lines = ", ".join(str(spot.first + 1) for spot in done.spots[:30]) + (", ..." if len(done.spots) > 30 else "")
    return f"{head} (hunk{'s' if len(done.spots) > 1 else ''} at {lines})" if done.spots else head


def _notes(change: EditPlan, more: Sequence[str]) -> list[str]:
    notes = [f"Note: {escape_path(done.path)} {note}" for done in change.files for note in done.notes]
    return _capped_rows(list(dict.fromkeys([*notes, *(f"Note: {note}" for note in more)])))


def _capped_rows(rows: list[str], most: int = 1_200) -> list[str]:
    kept: list[str] = []
    for row in rows:
        most -= len(row) + 1
        if most < 0:
            return [*kept, f"... and {len(rows) - len(kept)} more"]
        kept.append(row)
    return kept


def _text(head: list[str], notes: list[str], files: Sequence[FileResult], around: int) -> str:
    """Head, notes and as many changed places as there is room for."""
    out = [*head, *notes]
    room = MAX_REPORT_CHARS - sum(len(row) + 1 for row in out) - 60
    hidden = 0
    for done in files:
        if done.after is None or not done.spots:
            continue
        lines = _lines(done.after)
        title = f"{escape_path(done.path)}:" if len(files) > 1 else ""
        for block in _snippets(lines, done.spots, around):
            if title:
                block = f"{title}\n{block}"
            if len(block) + 1 > room:
                hidden += 1
                continue
            out.append(block)
            room -= len(block) + 1
            title = ""
    if hidden:
        out.append(f"({hidden} more changed places are not shown)")
    return "\n".join(out)


def _snippets(lines: Sequence[str], spots: Sequence[ChangedSpan], around: int) -> Iterator[str]:
    """The changed places as numbered lines; places that lie near share a block, long ones keep head and tail."""
    spans: list[tuple[int, int]] = []
    for spot in spots:
        first, last = max(0, spot.first - around), min(len(lines), spot.last + around)
        if spans and first <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(last, spans[-1][1]))
        else:
            spans.append((first, last))
    for first, last in spans:
        rows = [f"{number + 1}\t{format_line(lines[number])}" for number in range(first, last)]
        if len(rows) > MAX_SNIPPET_LINES:
            half = MAX_SNIPPET_LINES // 2
            rows = [*rows[:half], f"... {len(rows) - 2 * half} lines as you wrote them", *rows[-half:]]
        yield "\n".join(rows) if rows else "(the file is empty)"


def _span(spot: ChangedSpan) -> str:
    if spot.last == spot.first:
        return f"{spot.first + 1} (deleted {spot.removed})"
    return str(spot.last) if spot.last == spot.first + 1 else f"{spot.first + 1}-{spot.last}"


def _lines(data: bytes) -> tuple[str, ...]:
    try:
        return decode_text(data).bodies
    except ToolError:
        return split_text(data.decode("latin-1")).bodies
