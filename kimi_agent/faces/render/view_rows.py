"""View renderer: draws the views of results and questions (diffs, output, plans) as rows of ANSI text."""

import re
from collections.abc import Iterable, Iterator

from kimi_agent.faces.sanitize import collapse_blanks, sanitize, truncate, wrap_line
from kimi_agent.faces.summary_lines import failure_lines, file_line, view_text
from kimi_agent.faces.theme import Style, Theme
from kimi_agent.log import views

_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)")
_MOST_ROWS = 6
_MOST_DIFF_ROWS = 24


def result_rows(result: views.Result, theme: Theme, width: int) -> list[str]:
    """What is folded under the line of a call, in `width` cells; nothing where that line has said it all."""
    view = result.view
    match view:
        case views.DiffView(files) if not result.failed:
            rows = list(diff_rows(files, theme, width, whole=False))
            return fold_rows(rows, theme, most=_MOST_DIFF_ROWS, head=_MOST_DIFF_ROWS - 1)
        case views.PlanView() as plan:
            return plan_view_rows(plan, theme, width)
        case views.TestReport() as report:
            style: Style = "red" if report.verdict != "passed" else "dim"
            rows = [theme(style, truncate(row, width)) for text in failure_lines(report) for row in text.split("\n")]
            return fold_rows(rows, theme)
        case views.TextView(_, title) if title and not result.failed:
            return []
        case None if not result.failed:
            return []
    if result.code == "bad_arguments":  # the parameters behind it are for the model
        return []
    total = first = 0
    if isinstance(view, views.OutputView):
        text, total = sanitize(view.text), view.lines
    elif result.failed:
        text, first = sanitize(result.content), 1  # its first line is on the line of the call
    else:
        text = sanitize(result.content) if isinstance(view, views.MatchesView) else view_text(view)
    lines = text.strip("\n").split("\n")[first:] if text.strip() else []
    return fold_rows([theme("dim", truncate(line.expandtabs(4), width)) for line in lines], theme, total=total)


def fold_rows(rows: list[str], theme: Theme, *, most: int = _MOST_ROWS, head: int = 3, total: int = 0) -> list[str]:
    """At most `most` rows: the first `head`, how many of `total` (or of `rows`) are left out, the last ones."""
    if len(rows) <= most:
        return rows
    tail = most - head - 1
    left_out = theme("dim", f"{theme.glyphs.more} +{max(len(rows), total) - most + 1:,} lines")
    return [*rows[:head], left_out, *rows[len(rows) - tail :]] if tail else [*rows[:head], left_out]


def diff_rows(files: Iterable[views.FileDiff], theme: Theme, width: int, *, whole: bool) -> Iterator[str]:
    """Diffs with line numbers. `whole` breaks long lines and counts long runs of blanks; else long lines are cut."""
    for file in files:
        yield theme("bold", file_line(file) if whole else truncate(file_line(file), width))
        yield from _file_rows(file, theme, width, whole=whole)


def _file_rows(file: views.FileDiff, theme: Theme, width: int, *, whole: bool) -> Iterator[str]:
    old = new = 0
    in_hunk = False
    for line in sanitize(file.diff).rstrip("\n").split("\n"):
        hunk = _HUNK.match(line)
        if hunk:
            if in_hunk:
                yield theme("dim", f"    {theme.glyphs.more}")
            old, new, in_hunk = int(hunk.group(1)), int(hunk.group(2)), True
            continue
        if not in_hunk:
            if line and not line.startswith(("--- ", "+++ ", "diff --git ", "index ")):
                yield from (theme("dim", f"  {row}") for row in wrap_line(line, width - 2))
            continue
        sign, text = line[:1] or " ", line[1:].expandtabs(4)
        number = {"-": str(old), "\\": ""}.get(sign, str(new))
        old += sign in "- "
        new += sign in "+ "
        style: Style = "red" if sign == "-" else "green" if sign == "+" else "dim"
        room = max(10, width - 7)
        for at, row in enumerate(
            wrap_line(collapse_blanks(text), room, words=False) if whole else [truncate(text, room)]
        ):
            yield theme(style, f"{number if at == 0 else '':>4} {sign} {row}".rstrip())


def full_view_rows(view: views.View | None, theme: Theme, width: int) -> list[str]:
    """All of a question's view: nothing is cut, long runs of blanks are counted."""
    if isinstance(view, views.DiffView):
        return list(diff_rows(view.files, theme, width, whole=True))
    lines = collapse_blanks(view_text(view)).split("\n") if view is not None else []
    return [row for line in lines for row in wrap_line(line.expandtabs(4), width, words=False)]


def is_diff_cut(view: views.View | None) -> bool:
    """Whether a diff holds less than what it counts: too big to be shown, so also too big to be always allowed."""
    return isinstance(view, views.DiffView) and any(_is_short(file) for file in view.files)


def _is_short(file: views.FileDiff) -> bool:
    added = removed = 0
    in_hunk = False
    for line in file.diff.split("\n"):
        in_hunk = in_hunk or line.startswith("@@")
        added += in_hunk and line.startswith("+")
        removed += in_hunk and line.startswith("-")
    return added < file.added or removed < file.removed


def plan_view_rows(plan: views.PlanView, theme: Theme, width: int) -> list[str]:
    """A checklist."""
    marks = {"pending": theme.glyphs.todo, "in_progress": theme.glyphs.doing, "done": theme.glyphs.good}
    styles: dict[str, Style] = {"pending": "dim", "in_progress": "bold", "done": "green"}
    rows = []
    for item in plan.items:
        head, *rest = wrap_line(sanitize(item.step).replace("\n", " "), max(10, width - 4))
        rows.append(theme(styles[item.status], f"{marks[item.status]} {head}"))
        rows += [theme(styles[item.status], f"  {row}") for row in rest]
    return rows
