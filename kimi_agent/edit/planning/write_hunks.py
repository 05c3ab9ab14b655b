"""Hunk writer: writes placed hunks into a text; - lines go, + lines come, every other line keeps its bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kimi_agent.edit.file_text import FileText, find_usual_ending
from kimi_agent.edit.patch import Hunk, HunkLine
from kimi_agent.edit.placing.place_hunks import PlacedHunk


@dataclass(frozen=True)
class ChangedSpan:
    """A changed span of the new text, from line `first` on (0-based): lines added, removed, and kept in between."""

    hunk: int
    first: int
    added: int
    removed: int
    kept: int = 0

    @property
    def last(self) -> int:
        """The line after it."""
        return self.first + self.added + self.kept


@dataclass(frozen=True)
class WrittenText:
    """The new text, where it changed, and whether + lines were given the CRLF that their neighbours have."""

    text: FileText
    spots: tuple[ChangedSpan, ...]
    gave_crlf: bool = False


@dataclass
class _TextBuilder:
    """The new text while it is written."""

    old: FileText
    bodies: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    gave_crlf: bool = False

    def copy(self, first: int, last: int) -> None:
        self.bodies += self.old.bodies[first:last]
        self.ends += self.old.ends[first:last]

    def add(self, body: str, end: str) -> None:
        self.bodies.append(body)
        self.ends.append(end)


def write_hunks(text: FileText, placed: Sequence[PlacedHunk]) -> WrittenText:
    """The text after `placed`, whose cores ascend and do not overlap."""
    page = _TextBuilder(text)
    usual = find_usual_ending(text.ends)
    spots: list[ChangedSpan] = []
    done = 0
    for each in placed:
        first, last = each.core
        page.copy(done, first)
        spots.append(_write_core(page, each, usual))
        done = last
    page.copy(done, len(text.bodies))
    _close(page, [each.hunk for each in placed], usual)
    return WrittenText(FileText(tuple(page.bodies), tuple(page.ends), text.codec), tuple(spots), page.gave_crlf)


def _write_core(page: _TextBuilder, placed: PlacedHunk, usual: str) -> ChangedSpan:
    """Write the lines from the first to the last change of one hunk."""
    hunk = placed.hunk
    at, first = placed.core[0], len(page.bodies)
    added = removed = 0
    core = hunk.lines[hunk.head : len(hunk.lines) - hunk.tail]
    group: list[HunkLine] = []
    for line in (*core, HunkLine(" ", "", 0)):  # one more, so that the last run of changes is written too
        if line.op != " ":
            group.append(line)
            continue
        minus = sum(each.op == "-" for each in group)
        _write_run(page, [each for each in group if each.op == "+"], (at, at + minus), hunk, usual)
        added, removed, at = added + len(group) - minus, removed + minus, at + minus
        group = []
        if at < placed.core[1]:
            page.copy(at, at + 1)
            at += 1
    kept = placed.core[1] - placed.core[0] - removed
    return ChangedSpan(hunk.number, first, added, removed, kept)


def _write_run(page: _TextBuilder, plus: list[HunkLine], replaced: tuple[int, int], hunk: Hunk, usual: str) -> None:
    """Write + lines; each takes the ending of the line it replaces, else of the one above, below, or most lines."""
    first, last = replaced
    below = page.old.ends[last] if last < len(page.old.ends) else ""
    for place, line in enumerate(plus):
        if hunk.literal:
            body = line.text
            page.add(body.removesuffix("\r"), "\r\n" if body.endswith("\r") else "\n")
            continue
        own = page.old.ends[first + place] if first + place < last else ""
        above = page.ends[-1] if page.ends else ""
        end = own or above or below or usual
        page.gave_crlf = page.gave_crlf or end == "\r\n"
        page.add(line.text, end)


def _close(page: _TextBuilder, hunks: Sequence[Hunk], usual: str) -> None:
    """Give every line but the last an ending, and the last one the newline that the old text had or a mark asks for."""
    for place, end in enumerate(page.ends[:-1]):
        if not end:
            above = page.ends[place - 1] if place else ""
            page.ends[place] = above or usual
    if not page.ends:
        return
    if _wants_newline(page.old, hunks):
        above = page.ends[-2] if len(page.ends) > 1 else ""
        page.ends[-1] = page.ends[-1] or above or usual
    elif page.ends[-1]:
        literal = page.ends[-1] == "\r\n" and any(_shows_bare_cr(hunk, page.bodies[-1]) for hunk in hunks)
        page.bodies[-1] += "\r" if literal else ""
        page.ends[-1] = ""


def _wants_newline(old: FileText, hunks: Sequence[Hunk]) -> bool:
    """Whether the new text ends with a newline: as the old one did, unless a "No newline" mark stands on one side."""
    for hunk in hunks:
        bare = {line.op for line in hunk.lines if line.bare}
        if "+" in bare:
            return False
        if "-" in bare:
            return True
    return old.ends_with_newline


def _shows_bare_cr(hunk: Hunk, body: str) -> bool:
    """Whether the hunk's own last new line is `body` and a CR that no newline follows."""
    return hunk.literal and bool(hunk.new) and hunk.new[-1] == body + "\r"
