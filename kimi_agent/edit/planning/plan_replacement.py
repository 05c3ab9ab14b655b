"""The replacement planner: an exact replacement of a text in one file, by the same writer as a patch.

It keeps lines and endings as a patch does.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from kimi_agent.edit.file_text import FileText, decode_text, encode_text, find_non_ascii
from kimi_agent.edit.patch import Hunk
from kimi_agent.edit.placing.explain_unplaced import describe_nearest, describe_places, format_line
from kimi_agent.edit.placing.find_text import TextMatch, TextMatches, find_text, make_hunk_lines
from kimi_agent.edit.placing.line_index import LineIndex
from kimi_agent.edit.placing.place_hunks import PlacedHunk
from kimi_agent.edit.planning import file_state
from kimi_agent.edit.planning.edit_plan import EditPlan, FileResult
from kimi_agent.edit.planning.file_state import FileState, FileView
from kimi_agent.edit.planning.syntax_check import find_new_syntax_error
from kimi_agent.edit.planning.write_hunks import write_hunks
from kimi_agent.errors import ToolError
from kimi_agent.printable import escape_path
from kimi_agent.workspace.file_change import FileChange

_PLACEHOLDER = re.compile(
    r"\W*(?:\.\.\.|…)?\W*(?:(?:the )?(?:rest|remainder) of|(?:existing|remaining|unchanged|previous|other|same) "
    r"(?:code|lines|content|methods|functions|imports|implementation)|code (?:remains|stays|is) |unchanged\b\W*$)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Replacement:
    """What edit_file was asked for."""

    path: str
    old: str
    new: str
    everywhere: bool = False


def plan_replacement(wanted: Replacement, view: FileView) -> EditPlan:
    """What the replacement makes of its file. Raises ToolError with what differs and what to do."""
    _sensible(wanted)
    name = view.name(wanted.path)
    state = view.file(name)
    if state is None:
        raise file_state.missing_file_error(name, view, "check the path; write_file makes a new file")
    text = decode_text(state.data, name)
    char = find_non_ascii((wanted.old, wanted.new)) if text.codec.opaque else ""
    if char:
        raise file_state.unknown_encoding_error(name, char)
    found = find_text(text, wanted.old, wanted.new, everywhere=wanted.everywhere)
    if found is None:
        raise _not_found(name, text, wanted)
    if len(found.hits) > 1 and not wanted.everywhere:
        raise _ambiguous(name, text, found)
    if state.changed and (wanted.everywhere or any(hit.tier > 1 for hit in found.hits)):
        why = "and replace_all needs to know all of it" if wanted.everywhere else "and old_string fits loosely"
        raise file_state.stale_file_error(name, why)
    return _change(name, state, text, found)


def _sensible(wanted: Replacement) -> None:
    if not wanted.old:
        raise ToolError("bad_arguments", "old_string is empty", "give the text to replace; write_file makes a new file")
    if wanted.old == wanted.new:
        raise ToolError("noop", "old_string and new_string are the same", "go on; nothing was changed")
    known = {line.strip() for line in wanted.old.split("\n")}
    for line in wanted.new.split("\n"):
        comment = line.strip().startswith(("#", "//", "/*", "<!--", "--", "...", "…", ";", "*", "%"))
        if comment and line.strip() not in known and _PLACEHOLDER.match(line):
            why = f"new_string leaves code out, and would be written as it stands: `{format_line(line.strip())}`"
            mend = "write the whole new text, or replace a smaller part"
            raise ToolError("refused", why, mend)


def _change(name: str, state: FileState, text: FileText, found: TextMatches) -> EditPlan:
    written = write_hunks(text, _hunks(text, found))
    data = encode_text(written.text, name)
    if data == state.data:
        why = f"{escape_path(name)} already is as this edit would make it"
        raise ToolError("noop", why, "go on; nothing was changed")
    loose = tuple(dict.fromkeys(note for hit in found.hits for note in hit.notes))
    how = f"{found.repair}, then " if found.repair else ""
    how += "as its notes say" if loose else "exact match"
    notes = [*loose, *((text.codec.note,) if text.codec.note else ())]
    if written.gave_crlf:
        notes.append("CRLF kept")
    if state.changed:
        notes.append("changed on disk since you last saw it; old_string still fitted")
    if wrong := find_new_syntax_error(name, state.data, data):
        notes.append(wrong)
    done = FileResult(name, "M", state.data, data, spots=written.spots, notes=tuple(notes), how=how)
    return EditPlan((FileChange(name, state.sha256, data),), (done,))


def _hunks(text: FileText, found: TextMatches) -> list[PlacedHunk]:
    """The hits as hunks of whole lines; hits that share a line share a hunk."""
    lines = found.text.split("\n")[:-1]
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    placed: list[PlacedHunk] = []
    place = 0
    while place < len(found.hits):
        first = bisect_right(starts, found.hits[place].start) - 1
        if hunk := found.hits[place].hunk:
            placed.append(PlacedHunk(hunk, first, found.hits[place].tier))
            place += 1
            continue
        piece, end = "", starts[first]
        while True:
            hit = found.hits[place]
            piece += found.text[end : hit.start] + found.new
            end = hit.end
            place += 1
            last = bisect_right(starts, end) - 1
            if starts[last] != end or (piece and not piece.endswith("\n")):
                last += 1
            if place == len(found.hits) or found.hits[place].start >= starts[min(last, len(lines))]:
                break
        last = min(last, len(lines))
        piece += found.text[end : starts[last]]
        placed.append(_hunk(text, lines, (first, last), piece, found.literal))
    return placed


def _hunk(text: FileText, lines: Sequence[str], span: tuple[int, int], piece: str, literal: bool) -> PlacedHunk:
    """Lines `span` become `piece`; lines that both have are context, so that they keep their own endings."""
    first, last = span
    at_end = last == len(lines)
    had = text.ends_with_newline
    whole = piece.endswith("\n") or not piece
    new = piece.removesuffix("\n").split("\n") if piece else []
    has = whole
    if at_end and not had:
        # The last "\n" searched is not in the file; a second one is, if the new text brought it.
        has = len(new) > 1 and not new[-1] and whole
        new = new[:-1] if has else new
    mine = [(line, at_end and not had and at == last - 1 and has) for at, line in enumerate(lines[first:last], first)]
    its = [(line, at_end and had and not has and at == len(new) - 1) for at, line in enumerate(new)]
    return PlacedHunk(Hunk(1, 0, tuple(make_hunk_lines(mine, its)), literal=literal), first)


def _not_found(name: str, text: FileText, wanted: Replacement) -> ToolError:
    lines = LineIndex(text, literal=False)
    whole = "\n".join(lines.shown)
    old, new = (each.replace("\r\n", "\n") for each in (wanted.old, wanted.new))
    real = old.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"').replace("\\\\", "\\")
    if real != old and real in whole:
        why = f"old_string is not in {escape_path(name)}; it would be if its backslash escapes were what they stand for"
        mend = 'send real line breaks, tabs and quotes instead of \\n, \\t and \\"'
        return ToolError("not_found", why, mend)
    if len(new.strip()) >= 8 and new.strip("\n") in whole:
        line = whole[: whole.index(new.strip("\n"))].count("\n") + 1
        why = f"old_string is not in {escape_path(name)}, and new_string stands already at line {line}"
        return ToolError("already_applied", why, "go on; read the file if you are not sure")
    nearest = describe_nearest(old.removesuffix("\n").split("\n"), lines)
    why = f"old_string is not in {escape_path(name)}. {nearest}"
    mend = "send the text as the file has it; a shorter old_string is enough if it is unique"
    return ToolError("not_found", why, mend)


def _ambiguous(name: str, text: FileText, found: TextMatches) -> ToolError:
    lines = LineIndex(text, literal=False)
    starts = [found.text.count("\n", 0, hit.start) for hit in found.hits[:100]]
    where = describe_places(lines, starts, len(found.hits))
    loose = sum(hit.tier > 0 for hit in found.hits)
    count = f"{len(found.hits)} times" + (f" ({loose} of them but for blanks, quotes or dashes)" if loose else "")
    longer = [line for line in (_longer(found, hit) for hit in found.hits[:2]) if line]
    hint = "".join(f"\nUnique for line {start + 1}:\n{each}" for start, each in zip(starts, longer, strict=False))
    why = f"old_string stands {count} in {escape_path(name)}: {where}; nothing was changed{hint}"
    mend = "add lines around it so that it is unique, or set replace_all=true to change all"
    return ToolError("ambiguous", why, mend)


def _longer(found: TextMatches, hit: TextMatch) -> str:
    """The hit with as many whole lines around it as make it unique; "" where ten are not enough."""
    first, last = hit.start, hit.end
    for _ in range(10):
        first = found.text.rfind("\n", 0, max(0, first - 1)) + 1
        text = found.text[first:last].removesuffix("\n")
        if found.fits(text) == 1:
            return text if len(text) <= 600 else ""
        end = found.text.find("\n", last)
        last = len(found.text) if end < 0 else end + 1
        text = found.text[first:last].removesuffix("\n")
        if found.fits(text) == 1:
            return text if len(text) <= 600 else ""
    return ""
