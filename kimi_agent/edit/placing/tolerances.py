"""What a loose fit means for a hunk: how its + lines are indented, and what its result says was ignored."""

from collections.abc import Sequence
from dataclasses import replace

from kimi_agent.edit.patch import Hunk, Line
from kimi_agent.edit.placing.indent import Indent
from kimi_agent.edit.placing.line_index import trimmed


def reindented(hunk: Hunk, indent: Indent) -> Hunk:
    """The hunk with its + lines changed by `indent`; the others are only ever compared."""
    changed = (replace(line, text=indent.of(line.text) or "") if line.op == "+" else line for line in hunk.lines)
    return replace(hunk, lines=tuple(changed))


def tolerances(lines: Sequence[Line], part: Sequence[str], indent: Indent | None) -> list[str]:
    """What was ignored so that the old lines of a hunk fit `part` of the file, one note for each kind."""
    notes = [indent.note] if indent else []
    old = [line for line in lines if line.op != "+"]
    differing = [
        (line, mine, its)
        for line, its in zip(old, part, strict=True)
        if (mine := (indent.of(line.text) or line.text) if indent else line.text) != its
    ]
    blanks = [line for line, mine, its in differing if trimmed(mine) == trimmed(its)]
    others = [line for line, mine, its in differing if trimmed(mine) != trimmed(its)]
    for what, ignored in (("trailing blanks", blanks), ("other kinds of quotes, dashes or spaces", others)):
        if ignored:
            kept = " (kept the file's)" if any(line.op == " " for line in ignored) else ""
            notes.append(f"{what} ignored on {len(ignored)} line{'s' if len(ignored) > 1 else ''}{kept}")
    return notes
