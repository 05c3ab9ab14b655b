"""Tells a change: to the model as text that it can trust without reading again, to a person as diffs."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from kimi_agent.edit.explain import shown
from kimi_agent.edit.plan import Change, Done
from kimi_agent.edit.text import Text, decode, split
from kimi_agent.edit.write import Spot
from kimi_agent.errors import ToolError
from kimi_agent.log.views import DiffView, FileDiff
from kimi_agent.workspace.places import named

MAX_CHARS = 4_000
MAX_DIFF_CHARS = 200_000
MAX_SPOT_LINES = 14


def applied(change: Change, notes: Sequence[str] = ()) -> str:
    """The result of a patch: each file with its counts and hunks, one Note for each tolerance, the changed places."""
    files = diff_view(change).files
    head = f"Applied to {len(files)} file{'s' if len(files) > 1 else ''}."
    rows = [_row(diff, done) for diff, done in zip(files, change.files, strict=True)]
    return _text([head, *_capped_rows(rows)], _notes(change, notes), change.files, around=2)


def edited(change: Change, notes: Sequence[str] = ()) -> str:
    """The result of a replacement in one file."""
    done = change.files[0]
    count = len(done.spots)
    spans = ", ".join(_span(spot) for spot in done.spots[:20]) + (", ..." if count > 20 else "")
    word = "line" if count == 1 and "-" not in spans else "lines"
    how = f"{done.repair}, then exact match" if done.repair else "exact match"
    head = f"Edited {named(done.path)} ({count} place{'s' if count > 1 else ''}, {word} {spans}): {how}."
    return _text([head], _notes(change, notes), change.files, around=3)


def diff_view(change: Change) -> DiffView:
    """The change as diffs; the same for a preview and for what was done."""
    most = MAX_DIFF_CHARS // max(1, len(change.files))
    return DiffView(tuple(_file_diff(done, most) for done in change.files))


def file_diff(path: str, before: bytes | None, after: bytes | None, max_chars: int = MAX_DIFF_CHARS) -> FileDiff:
    """What becomes of the bytes of one file (None: not there), as a diff that is capped and counts all the same."""
    return _file_diff(Done(path, "A" if before is None else "D" if after is None else "M", before, after), max_chars)


def shown_ranges(done: Done, around: int) -> tuple[tuple[int, int], ...]:
    """First and last lines (from 1) of the new text that a result with `around` lines of context shows at most."""
    if done.after is None:
        return ()
    size = len(_lines(done.after))
    spans = ((max(1, s.first + 1 - around), min(size, s.first + s.added + around)) for s in done.spots)
    return tuple(span for span in spans if span[0] <= span[1])


def _file_diff(done: Done, most: int) -> FileDiff:
    try:
        rows = list(_diff(decode(done.before or b""), decode(done.after or b"")))
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
    return FileDiff(done.path, done.change, added, removed, "\n".join(kept), done.old_path)


def _diff(before: Text, after: Text) -> Iterator[str]:
    """A unified diff without file headers; CRs show only where the lines' ends are not all the same."""
    bodies = set(before.ends) | set(after.ends) <= {"\r\n"} or set(before.ends) | set(after.ends) <= {"\n"}
    old, new = (list(each.bodies) if bodies else each.raw() for each in (before, after))
    # Equal lines at both ends are most of a file; difflib need not look at them.
    head = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    most = min(len(old), len(new)) - head
    tail = next((at for at in range(most) if old[-1 - at] != new[-1 - at]), most)
    first = max(0, head - 3)
    mine, its = old[first : len(old) - max(0, tail - 3)], new[first : len(new) - max(0, tail - 3)]
    for group in SequenceMatcher(None, mine, its).get_grouped_opcodes(3):
        (_, a, _, c, _), (_, _, b, _, d) = group[0], group[-1]
        if mine[a:b] != its[c:d]:
            yield f"@@ -{_range(first + a, b - a)} +{_range(first + c, d - c)} @@"
            for tag, i, j, k, m in group:
                if tag == "equal":
                    yield from (_row_of(" ", line, bodies) for line in mine[i:j])
                else:
                    yield from (_row_of("-", line, bodies) for line in mine[i:j])
                    yield from (_row_of("+", line, bodies) for line in its[k:m])


def _row_of(sign: str, line: str, bodies: bool) -> str:
    if bodies:
        return sign + line
    return sign + line[:-1] if line.endswith("\n") else f"{sign}{line}\n\\ No newline at end of file"


def _range(start: int, count: int) -> str:
    return f"{start + 1 if count else start},{count}"


def _row(diff: FileDiff, done: Done) -> str:
    match done.change:
        case "A":
            return f"A {named(done.path)} +{diff.added}"
        case "D":
            return f"D {named(done.path)} -{diff.removed}"
        case "R":
            head = f"R {named(done.old_path)} → {named(done.path)} +{diff.added} -{diff.removed}"
        case "M":
            head = f"M {named(done.path)} +{diff.added} -{diff.removed}"
    lines = ", ".join(str(spot.first + 1) for spot in done.spots[:30]) + (", ..." if len(done.spots) > 30 else "")
    return f"{head} (hunk{'s' if len(done.spots) > 1 else ''} at {lines})" if done.spots else head


def _notes(change: Change, more: Sequence[str]) -> list[str]:
    notes = [f"Note: {named(done.path)} {note}" for done in change.files for note in done.notes if note != done.repair]
    return _capped_rows(list(dict.fromkeys([*notes, *(f"Note: {note}" for note in more)])))


def _capped_rows(rows: list[str], most: int = 1_200) -> list[str]:
    kept: list[str] = []
    for row in rows:
        most -= len(row) + 1
        if most < 0:
            return [*kept, f"... and {len(rows) - len(kept)} more"]
        kept.append(row)
    return kept


def _text(head: list[str], notes: list[str], files: Sequence[Done], around: int) -> str:
    """Head, notes and as many changed places as there is room for."""
    out = [*head, *notes]
    room = MAX_CHARS - sum(len(row) + 1 for row in out) - 60
    hidden = 0
    for done in files:
        if done.after is None or not done.spots:
            continue
        lines = _lines(done.after)
        title = f"{named(done.path)}:"
        for block in _blocks(lines, done.spots, around):
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


def _blocks(lines: Sequence[str], spots: Sequence[Spot], around: int) -> Iterator[str]:
    """The changed places as numbered lines; places that lie near share a block, long ones keep head and tail."""
    spans: list[tuple[int, int]] = []
    for spot in spots:
        first, last = max(0, spot.first - around), min(len(lines), spot.first + spot.added + around)
        if spans and first <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(last, spans[-1][1]))
        else:
            spans.append((first, last))
    for first, last in spans:
        rows = [f"{number + 1}\t{shown(lines[number])}" for number in range(first, last)]
        if len(rows) > MAX_SPOT_LINES:
            half = MAX_SPOT_LINES // 2
            rows = [*rows[:half], f"... {len(rows) - 2 * half} lines as you wrote them", *rows[-half:]]
        yield "\n".join(rows) if rows else "(the file is empty)"


def _span(spot: Spot) -> str:
    if not spot.added:
        return f"{spot.first + 1} (deleted {spot.removed})"
    return str(spot.first + 1) if spot.added == 1 else f"{spot.first + 1}-{spot.first + spot.added}"


def _lines(data: bytes) -> tuple[str, ...]:
    try:
        return decode(data).bodies
    except ToolError:
        return split(data.decode("latin-1")).bodies
