"""Tolerances of a loose fit: how a hunk's + lines are re-indented, and which notes say what was ignored."""

from collections.abc import Sequence
from dataclasses import replace

from kimi_agent.edit.patch import Hunk, HunkLine
from kimi_agent.edit.placing.indent import IndentChange
from kimi_agent.edit.placing.line_index import trim_line
from kimi_agent.printable import format_count


def reindent_hunk(hunk: Hunk, indent: IndentChange) -> Hunk:
    """The hunk with its + lines changed by `indent`; the others are only ever compared."""
    changed = (replace(line, text=indent.apply(line.text) or "") if line.op == "+" else line for line in hunk.lines)
    return replace(hunk, lines=tuple(changed))


def describe_tolerances(lines: Sequence[HunkLine], part: Sequence[str], indent: IndentChange | None) -> list[str]:
    """What was ignored so that the old lines of a hunk fit `part` of the file, one note for each kind."""
    notes = [indent.note] if indent else []
    old = [line for line in lines if line.op != "+"]
    differing = [
        (line, mine, its)
        for line, its in zip(old, part, strict=True)
        if (mine := (indent.apply(line.text) or line.text) if indent else line.text) != its
    ]
    blanks = [line for line, mine, its in differing if trim_line(mine) == trim_line(its)]
    others = [line for line, mine, its in differing if trim_line(mine) != trim_line(its)]
    for what, ignored in (("trailing blanks", blanks), ("other kinds of quotes, dashes or spaces", others)):
        if ignored:
            kept = " (kept the file's)" if any(line.op == " " for line in ignored) else ""
            notes.append(f"{what} ignored on {format_count(len(ignored), 'line')}{kept}")
    return notes
