"""Draw the views of results and questions as rows of ANSI text."""

import re
from collections.abc import Iterable, Iterator

from kimi_agent.faces.sanitize import clean, cut, squeezed, wrap
from kimi_agent.faces.summary_lines import failing, file_line, view_text
from kimi_agent.faces.theme import Ink, Style
from kimi_agent.log.views import (
    DiffView,
    FileDiff,
    MatchesView,
    OutputView,
    PlanView,
    Result,
    TestReport,
    TextView,
    View,
)

_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)")
_MOST_ROWS = 6
_MOST_DIFF_ROWS = 24


def result_rows(result: Result, ink: Ink, width: int) -> list[str]:
    """What is folded under the line of a call, in `width` cells; nothing where that line has said it all."""
    view = result.view
    match view:
        case DiffView(files) if not result.failed:
            return fold(
                list(diff_rows(files, ink, width, whole=False)), ink, most=_MOST_DIFF_ROWS, head=_MOST_DIFF_ROWS - 1
            )
        case PlanView() as plan:
            return plan_rows(plan, ink, width)
        case TestReport() as report:
            style: Style = "red" if report.verdict != "passed" else "dim"
            return fold([ink(style, cut(row, width)) for text in failing(report) for row in text.split("\n")], ink)
        case TextView(_, title) if title and not result.failed:
            return []
        case None if not result.failed:
            return []
    text = (
        clean(view.text)
        if isinstance(view, OutputView)
        else clean(result.content)
        if result.failed or isinstance(view, MatchesView)
        else view_text(view)
    )
    if result.code == "bad_arguments":  # the parameters behind it are for the model
        return []
    lines = text.strip("\n").split("\n") if text.strip() else []
    if result.failed and not isinstance(view, OutputView):
        lines = lines[1:]  # the first one stands on the line of the call
    total = view.lines if isinstance(view, OutputView) else 0
    return fold([ink("dim", cut(line.expandtabs(4), width)) for line in lines], ink, total=total)


def fold(rows: list[str], ink: Ink, *, most: int = _MOST_ROWS, head: int = 3, total: int = 0) -> list[str]:
    """At most `most` rows: the first `head`, how many of `total` (or of `rows`) are left out, the last ones."""
    if len(rows) <= most:
        return rows
    tail = most - head - 1
    left_out = ink("dim", f"{ink.glyphs.more} +{max(len(rows), total) - most + 1:,} lines")
    return [*rows[:head], left_out, *rows[len(rows) - tail :]] if tail else [*rows[:head], left_out]


def diff_rows(files: Iterable[FileDiff], ink: Ink, width: int, *, whole: bool) -> Iterator[str]:
    """Diffs with line numbers. `whole` breaks long lines and counts long runs of blanks; else long lines are cut."""
    for file in files:
        yield ink("bold", file_line(file) if whole else cut(file_line(file), width))
        yield from _file_rows(file, ink, width, whole=whole)


def _file_rows(file: FileDiff, ink: Ink, width: int, *, whole: bool) -> Iterator[str]:
    old = new = 0
    in_hunk = False
    for line in clean(file.diff).rstrip("\n").split("\n"):
        hunk = _HUNK.match(line)
        if hunk:
            if in_hunk:
                yield ink("dim", f"    {ink.glyphs.more}")
            old, new, in_hunk = int(hunk.group(1)), int(hunk.group(2)), True
            continue
        if not in_hunk:
            if line and not line.startswith(("--- ", "+++ ", "diff --git ", "index ")):
                yield from (ink("dim", f"  {row}") for row in wrap(line, width - 2))
            continue
        sign, text = line[:1] or " ", line[1:].expandtabs(4)
        number = {"-": str(old), "\\": ""}.get(sign, str(new))
        old += sign in "- "
        new += sign in "+ "
        style: Style = "red" if sign == "-" else "green" if sign == "+" else "dim"
        room = max(10, width - 7)
        for at, row in enumerate(wrap(squeezed(text), room, words=False) if whole else [cut(text, room)]):
            yield ink(style, f"{number if at == 0 else '':>4} {sign} {row}".rstrip())


def whole_rows(view: View | None, ink: Ink, width: int) -> list[str]:
    """All of a question's view: nothing is cut, long runs of blanks are counted."""
    if isinstance(view, DiffView):
        return list(diff_rows(view.files, ink, width, whole=True))
    lines = squeezed(view_text(view)).split("\n") if view is not None else []
    return [row for line in lines for row in wrap(line.expandtabs(4), width, words=False)]


def is_cut(view: View | None) -> bool:
    """Whether a diff holds less than what it counts: too big to be shown, so also too big to be always allowed."""
    return isinstance(view, DiffView) and any(_is_short(file) for file in view.files)


def _is_short(file: FileDiff) -> bool:
    added = removed = 0
    in_hunk = False
    for line in file.diff.split("\n"):
        in_hunk = in_hunk or line.startswith("@@")
        added += in_hunk and line.startswith("+")
        removed += in_hunk and line.startswith("-")
    return added < file.added or removed < file.removed


def plan_rows(plan: PlanView, ink: Ink, width: int) -> list[str]:
    """A checklist."""
    marks = {"pending": ink.glyphs.todo, "in_progress": ink.glyphs.doing, "done": ink.glyphs.good}
    styles: dict[str, Style] = {"pending": "dim", "in_progress": "bold", "done": "green"}
    rows = []
    for item in plan.items:
        head, *rest = wrap(clean(item.step).replace("\n", " "), max(10, width - 4))
        rows.append(ink(styles[item.status], f"{marks[item.status]} {head}"))
        rows += [ink(styles[item.status], f"  {row}") for row in rest]
    return rows
