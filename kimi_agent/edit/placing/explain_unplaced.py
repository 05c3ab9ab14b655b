"""Explanations of hunks that do not fit: the nearest place, the line that differs, and what to do.

They are written for a reader who can't ask back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from kimi_agent.edit.placing.candidates import UnplacedHunk
from kimi_agent.edit.placing.line_index import LineIndex, LineIndexes
from kimi_agent.edit.placing.scope import DEFINITION
from kimi_agent.errors import ErrorCode
from kimi_agent.printable import escape_path

MAX_LINE_CHARS = 160
MAX_REASONS_CHARS = 6_000
MAX_PROBLEMS_SHOWN = 12  # that are explained in words; the rest are counted


@dataclass(frozen=True)
class EditProblem:
    """One reason why nothing was changed: of which file, and what to do about it."""

    path: str
    code: ErrorCode
    text: str
    next_step: str = ""


def join_problems(problems: Sequence[EditProblem], fits: Sequence[str]) -> tuple[str, str]:
    """All reasons as one text and one next step."""
    nexts = list(dict.fromkeys(each.next_step for each in problems if each.next_step))
    if len(problems) == 1:
        text = f"{problems[0].text}\nNothing was changed."
    else:
        room = MAX_REASONS_CHARS // min(len(problems), MAX_PROBLEMS_SHOWN)
        parts = [_capped(f"[{each.code}] {each.text}", room) for each in problems[:MAX_PROBLEMS_SHOWN]]
        if len(problems) > MAX_PROBLEMS_SHOWN:
            parts.append(f"... and {len(problems) - MAX_PROBLEMS_SHOWN} more")
        text = f"nothing was changed, for {len(problems)} reasons\n" + "\n".join(parts)
    if fits:
        text += _capped(f"\nWould have fitted: {'; '.join(dict.fromkeys(fits))}", 500)
    return _capped(text, MAX_REASONS_CHARS), "; ".join(nexts[:4])


def explain_unplaced(path: str, unplaced: UnplacedHunk, views: LineIndexes) -> EditProblem:
    """What is wrong with one hunk."""
    hunk, lines = unplaced.hunk, views.lines_for(unplaced.hunk)
    where = f"{escape_path(path)} hunk {hunk.number} (line {hunk.at + 1} of the patch)"
    if unplaced.rival:
        text = f"{where} changes the same lines as hunk {unplaced.rival}"
        return EditProblem(path, unplaced.code, text, "join the two hunks")
    match unplaced.code:
        case "ambiguous" if not unplaced.places:
            text = f"{where} has no context, and its line numbers do not agree with its lines"
            return EditProblem(path, "ambiguous", text, "add the lines around the insertion as context")
        case "ambiguous":
            text = f"{where} fits {unplaced.count} places: {describe_places(lines, unplaced.places, unplaced.count)}"
            loose = [f"{start + 1}" for start in unplaced.places if hunk.old and not lines.equal(hunk.old, start)]
            if 0 < len(loose) < len(unplaced.places):
                text += f"; {', '.join(loose)} but for blanks or the kind of quotes and dashes"
            if unplaced.anchor:
                text += f"; its anchor {unplaced.anchor!r} does not decide between them"
            mend = "add a context line that differs, or `@@ ` with the def or class line"
            return EditProblem(path, "ambiguous", text, mend)
        case "already_applied":
            spans = ", ".join(f"{start + 1}-{start + len(hunk.new)}" for start in unplaced.places[:5])
            text = f"{where}: its new lines stand already at lines {spans}"
            return EditProblem(path, "already_applied", text, "drop this hunk; send the others again")
        case "anchor_not_found":
            return _anchor(path, where, unplaced, lines)
    text = f"{where} does not fit"
    if unplaced.anchor:
        text += f" at or below its anchor {unplaced.anchor!r}"
        if unplaced.places:
            text += f"; its lines stand at {describe_places(lines, unplaced.places, unplaced.count)}"
            return EditProblem(path, "not_found", text, "use the anchor that stands above them")
    mend = "send this hunk again with the file's lines as shown; fewer context lines are enough"
    return EditProblem(path, "not_found", f"{text}. {describe_nearest(hunk.old, lines)}", mend)


def describe_places(lines: LineIndex, starts: Sequence[int], count: int) -> str:
    """The line numbers of the first places of `count`, each with the definition that it lies in (if they are few)."""
    parts: list[str] = []
    for place, start in enumerate(starts):
        inside = find_enclosing_definition(lines.shown, start) if place < 10 else ""
        parts.append(f"{start + 1}" + (f" (in `{format_line(inside.strip())}`)" if inside else ""))
    more = f" and {count - len(starts)} more" if count > len(starts) else ""
    return f"line{'s' if len(starts) > 1 else ''} {', '.join(parts)}{more}"


def find_enclosing_definition(lines: Sequence[str], start: int) -> str:
    """The nearest line above with less indentation that defines something, or ""."""
    limit = _indent(next((line for line in lines[start:] if line.strip()), ""))
    for number in range(start - 1, max(-1, start - 2_000), -1):
        line = lines[number]
        if line.strip() and _indent(line) < limit:
            if DEFINITION.match(line):
                return line
            limit = _indent(line)
        if not limit:
            break
    return ""


def describe_nearest(old: Sequence[str], lines: LineIndex) -> str:
    """The place where most of `old` stands, with `>` on the first line that differs, and what stands nowhere."""
    if not lines.shown:
        return "The file is empty."
    known = set(lines.shown)
    nowhere = [line for line in old if line.strip() and line not in known]
    lost = "".join(f"\nNowhere in the file: `{format_line(line)}`" for line in nowhere[:3])
    start = lines.likeliest(old)
    if start is None:
        wanted = max(old, key=lambda line: len(line.strip()), default="")
        # Cut: two lines of minified code would be compared for minutes.
        choices: dict[str, int] = {}
        for number, line in enumerate(lines.shown[:20_000], 1):
            choices.setdefault(line[:MAX_LINE_CHARS], number)
        near = list(choices)[:3_000] if wanted.strip() else []
        close = get_close_matches(wanted[:MAX_LINE_CHARS], near, n=1, cutoff=0.6)
        hint = f"\nThe closest line is {choices[close[0]]}: `{format_line(close[0])}`" if close else ""
        return f"None of its lines is in the file.{lost}{hint}"
    differs = next((at for at, line in enumerate(old) if _at(lines, start + at) != line), 0)
    out: list[str] = []
    for at in range(max(0, differs - 3), min(len(old), differs + 5)):
        its, number = _at(lines, start + at), start + at + 1
        if at != differs:
            out.append(f"  {number}\t{format_line(its) if its is not None else '(end of file)'}")
            continue
        exact = its is not None and "".join(its.split()) == "".join(old[at].split())
        mine = repr(old[at]) if exact else format_line(old[at])
        out.append(f"> {number}\t{'(end of file)' if its is None else repr(its) if exact else format_line(its)}")
        out.append(f"  yours:\t{mine}" + ("   (only blanks differ)" if exact else ""))
    return "The nearest place, `>` where it first differs:\n" + "\n".join(out) + lost


def format_line(line: str) -> str:
    """A line for a text: cut where it is too long, half characters as escapes."""
    line = line[: MAX_LINE_CHARS + 1].encode("utf-8", "backslashreplace").decode()
    return line if len(line) <= MAX_LINE_CHARS else line[: MAX_LINE_CHARS - 1] + "…"


def _anchor(path: str, where: str, unplaced: UnplacedHunk, lines: LineIndex) -> EditProblem:
    text = f"{where}: no line is or begins with its anchor {unplaced.anchor!r}"
    if unplaced.above is not None:
        place = f"stands at line {unplaced.above + 1}, above the hunk or anchor before it"
        text = f"{where}: its anchor {unplaced.anchor!r} {place}"
        return EditProblem(path, "anchor_not_found", text, "send the hunks in the order of the file")
    some = enumerate(lines.shown[:20_000], 1)
    choices = {line.strip()[:MAX_LINE_CHARS]: number for number, line in some if DEFINITION.match(line)}
    close = get_close_matches(unplaced.anchor.strip()[:MAX_LINE_CHARS], list(choices)[:3_000], n=3, cutoff=0.4)
    if close:
        text += "; closest: " + ", ".join(f"`{format_line(line)}` (line {choices[line]})" for line in close)
    mend = "copy the anchor from the file, or leave it out and add context lines"
    return EditProblem(path, "anchor_not_found", text, mend)


def _at(lines: LineIndex, number: int) -> str | None:
    return lines.shown[number] if number < len(lines.shown) else None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _capped(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
