"""Plans an exact replacement of a text in one file, by the same lines, endings and writer as a patch."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate

from kimi_agent.edit.explain import candidates, nearest, shown
from kimi_agent.edit.match import Lines
from kimi_agent.edit.patch import Hunk, Line
from kimi_agent.edit.place import Placed
from kimi_agent.edit.plan import Change, Done
from kimi_agent.edit.state import FileState, View, missing, opaque, stale
from kimi_agent.edit.text import Text, decode, encode, not_ascii
from kimi_agent.edit.write import write
from kimi_agent.errors import ToolError
from kimi_agent.workspace.change import FileChange
from kimi_agent.workspace.places import named

_NUMBERED = re.compile(r" *(\d+)\t")
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


@dataclass(frozen=True)
class _Found:
    """The text that was searched (each line with "\\n", the last too), the hits, and what fits them exactly."""

    text: str
    hits: tuple[int, ...]
    old: str
    new: str
    literal: bool
    repair: str = ""


def plan_replacement(wanted: Replacement, view: View) -> Change:
    """What the replacement makes of its file. Raises ToolError with what differs and what to do."""
    _sensible(wanted)
    name = view.name(wanted.path)
    state = view.file(name)
    if state is None:
        raise missing(name, view, "check the path; write_file makes a new file")
    text = decode(state.data, name)
    char = not_ascii((wanted.old, wanted.new)) if text.codec.opaque else ""
    if char:
        raise opaque(name, char)
    found = _search(text, wanted)
    if not found.hits:
        raise _not_found(name, text, wanted)
    if len(found.hits) > 1 and not wanted.everywhere:
        raise _ambiguous(name, text, found)
    if state.changed and wanted.everywhere:
        raise stale(name, "and replace_all needs to know all of it")
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
            raise ToolError(
                "refused",
                f"new_string leaves code out, and would be written as it stands: `{shown(line.strip())}`",
                "write the whole new text, or replace a smaller part",
            )


def _search(text: Text, wanted: Replacement) -> _Found:
    """The hits of the first reading that has any: as given, with the file's line ends, without pasted line numbers."""
    old, new = _lf(wanted.old), _lf(wanted.new)
    unnumbered = _unnumbered(old)
    tries: list[tuple[str, str, bool, str]] = []
    if "\r\n" in wanted.old or wanted.old.endswith("\r"):
        tries.append((wanted.old, wanted.new, True, ""))
        tries.append((old, new, False, "line ends of old_string ignored"))
    else:
        tries.append((old, new, False, ""))
    if unnumbered:
        tries.append((unnumbered, _unnumbered(new) or new, False, "pasted line numbers removed"))
    found = _Found("", (), old, new, literal=False)
    for mine, its, literal, repair in tries:
        lines = Lines(text, literal=literal).shown
        whole = "".join(f"{line}\n" for line in lines)
        hits = _hits(whole, mine, overlapping=not wanted.everywhere)
        found = _Found(whole, hits, mine, its, literal, repair)
        if hits:
            break
    return found


def _hits(text: str, old: str, *, overlapping: bool) -> tuple[int, ...]:
    hits: list[int] = []
    at = text.find(old)
    while at >= 0:
        hits.append(at)
        at = text.find(old, at + (1 if overlapping else len(old)))
    return tuple(hits)


def _change(name: str, state: FileState, text: Text, found: _Found) -> Change:
    placed = _hunks(text, found)
    written = write(text, placed)
    data = encode(written.text, name)
    if data == state.data:
        raise ToolError("noop", f"{named(name)} already is as this edit would make it", "go on; nothing was changed")
    notes = [note for note in (found.repair, text.codec.note) if note]
    if written.gave_crlf:
        notes.append("CRLF kept")
    if state.changed:
        notes.append("changed on disk since you last saw it; old_string still fitted")
    done = Done(name, "M", state.data, data, spots=written.spots, notes=tuple(notes), repair=found.repair)
    return Change((FileChange(name, state.sha256, data),), (done,))


def _hunks(text: Text, found: _Found) -> list[Placed]:
    """The hits as hunks of whole lines; hits that share a line share a hunk."""
    lines = found.text.split("\n")[:-1]
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    placed: list[Placed] = []
    place = 0
    while place < len(found.hits):
        first = bisect_right(starts, found.hits[place]) - 1
        piece, end = "", starts[first]
        while True:
            piece += found.text[end : found.hits[place]] + found.new
            end = found.hits[place] + len(found.old)
            place += 1
            last = bisect_right(starts, end) - 1
            if starts[last] != end or (piece and not piece.endswith("\n")):
                last += 1
            if place == len(found.hits) or found.hits[place] >= starts[min(last, len(lines))]:
                break
        last = min(last, len(lines))
        piece += found.text[end : starts[last]]
        placed.append(_hunk(text, lines, (first, last), piece, found.literal))
    return placed


def _hunk(text: Text, lines: Sequence[str], span: tuple[int, int], piece: str, literal: bool) -> Placed:
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
    out: list[Line] = []
    # autojunk bounds the work on long repetitive texts; what it misses is written anew, with its own ending again.
    for tag, a, b, c, d in SequenceMatcher(None, mine, its).get_opcodes():
        if tag == "equal":
            out += [Line(" ", line, 0) for line, _ in mine[a:b]]
        else:
            out += [Line("-", line, 0, bare) for line, bare in mine[a:b]]
            out += [Line("+", line, 0, bare) for line, bare in its[c:d]]
    return Placed(Hunk(1, 0, tuple(out), literal=literal), first)


def _not_found(name: str, text: Text, wanted: Replacement) -> ToolError:
    lines = Lines(text, literal=False)
    whole = "\n".join(lines.shown)
    old, new = _lf(wanted.old), _lf(wanted.new)
    real = old.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"').replace("\\\\", "\\")
    if real != old and real in whole:
        return ToolError(
            "not_found",
            f"old_string is not in {named(name)}; it would be if its backslash escapes were what they stand for",
            'send real line breaks, tabs and quotes instead of \\n, \\t and \\"',
        )
    if len(new.strip()) >= 8 and new.strip("\n") in whole and old.strip() not in new:
        line = whole[: whole.index(new.strip("\n"))].count("\n") + 1
        text_ = f"old_string is not in {named(name)}, and new_string stands already at line {line}"
        return ToolError("already_applied", text_, "go on; read the file if you are not sure")
    return ToolError(
        "not_found",
        f"old_string is not in {named(name)}. {nearest(old.removesuffix(chr(10)).split(chr(10)), lines)}",
        "send the text as the file has it; a shorter old_string is enough if it is unique",
    )


def _ambiguous(name: str, text: Text, found: _Found) -> ToolError:
    lines = Lines(text, literal=False)
    starts = [found.text.count("\n", 0, hit) for hit in found.hits[:100]]
    count = f"{len(found.hits)} times"
    longer = [line for line in (_longer(found, hit) for hit in found.hits[:2]) if line]
    hint = "".join(f"\nUnique for line {start + 1}:\n{each}" for start, each in zip(starts, longer, strict=False))
    return ToolError(
        "ambiguous",
        f"old_string stands {count} in {named(name)}: {candidates(lines, starts)}; nothing was changed{hint}",
        "add lines around it so that it is unique, or set replace_all=true to change all",
    )


def _longer(found: _Found, hit: int) -> str:
    """The hit with as many whole lines around it as make it unique; "" where ten are not enough."""
    first, last = hit, hit + len(found.old)
    for _ in range(10):
        first = found.text.rfind("\n", 0, max(0, first - 1)) + 1
        text = found.text[first:last].removesuffix("\n")
        if len(_hits(found.text, text, overlapping=True)) == 1:
            return text if len(text) <= 600 else ""
        end = found.text.find("\n", last)
        last = len(found.text) if end < 0 else end + 1
        text = found.text[first:last].removesuffix("\n")
        if len(_hits(found.text, text, overlapping=True)) == 1:
            return text if len(text) <= 600 else ""
    return ""


def _unnumbered(text: str) -> str:
    """`text` without the line numbers that read_file shows, if every line has one and they ascend; else ""."""
    lines = text.removesuffix("\n").split("\n")
    found = [_NUMBERED.match(line) for line in lines]
    numbers = [int(each[1]) for each in found if each and len(each[1]) < 10]
    if len(numbers) != len(lines) or numbers != list(range(numbers[0], numbers[0] + len(lines))):
        return ""
    bare = "\n".join(line[each.end() :] for line, each in zip(lines, found, strict=True) if each)
    return bare + "\n" * text.endswith("\n")


def _lf(text: str) -> str:
    return text.replace("\r\n", "\n")
