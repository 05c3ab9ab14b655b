"""Text finder for replacements: every place of a text in a file, exact or by the tolerances of hunks.

A text of whole lines goes through the same tiers as a hunk; a fragment within a line fits as it is, or but for the
kind of quotes, dashes and spaces. All places count together, however loosely they fit.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from kimi_agent.edit.file_text import FileText
from kimi_agent.edit.line_diff import diff_lines
from kimi_agent.edit.patch import Hunk, HunkLine
from kimi_agent.edit.placing.line_index import PUNCTUATED, PUNCTUATION, REINDENTED, LineIndex
from kimi_agent.edit.placing.tolerances import describe_tolerances, reindent_hunk

_NUMBERED = re.compile(r" *(\d+)\t")


@dataclass(frozen=True)
class TextMatch:
    """One place, by characters of `TextMatches.text`; whole lines if it has a `hunk`, which changes them."""

    start: int
    end: int
    tier: int = 0
    notes: tuple[str, ...] = ()
    hunk: Hunk | None = None


@dataclass(frozen=True)
class TextMatches:
    """The text that was searched (each line with "\\n", the last too), the hits, and what stands in their place."""

    lines: LineIndex
    text: str
    new: str
    hits: tuple[TextMatch, ...]
    literal: bool
    repair: str = ""

    def fits(self, old: str) -> int:
        """How often another text stands there."""
        return len(_TextSearch(self.lines, self.text, old, self.new, self.literal).hits(everywhere=False))


def find_text(text: FileText, old: str, new: str, *, everywhere: bool) -> TextMatches | None:
    """The hits of the first reading of `old` that has any: as given, with the file's line ends, without line numbers.

    Only if none has any, and one place is meant, those that need another indentation.
    """
    readings = list(_readings(text, old, new))
    for reading, repair in readings:
        if hits := reading.hits(everywhere=everywhere):
            return reading.found(hits, repair)
    for reading, repair in () if everywhere else readings:
        if hits := reading.reindented():
            return reading.found(hits, repair)
    return None


def _readings(text: FileText, old: str, new: str) -> "Iterator[tuple[_TextSearch, str]]":
    lf_old, lf_new = (each.replace("\r\n", "\n") for each in (old, new))
    lines = LineIndex(text, literal=False)
    whole = "".join(f"{line}\n" for line in lines.shown)
    repair = ""
    if "\r\n" in old or old.endswith("\r"):
        literal = LineIndex(text, literal=True)
        yield _TextSearch(literal, "".join(f"{line}\n" for line in literal.shown), old, new, literal=True), ""
        repair = "line ends of old_string ignored"
    yield _TextSearch(lines, whole, lf_old, lf_new, literal=False), repair
    if bare := _unnumbered(lf_old):
        new = _unnumbered(lf_new) or lf_new
        yield _TextSearch(lines, whole, bare, new, literal=False), "pasted line numbers removed"


@dataclass(frozen=True)
class _TextSearch:
    """One way to read what was asked for."""

    lines: LineIndex
    text: str
    old: str
    new: str
    literal: bool

    def found(self, hits: tuple[TextMatch, ...], repair: str) -> TextMatches:
        return TextMatches(self.lines, self.text, self.new, hits, self.literal, repair)

    def hits(self, *, everywhere: bool) -> tuple[TextMatch, ...]:
        """All places at T0 to T2. Everywhere means what is exactly so, as long as anything is."""
        exact = [TextMatch(at, at + len(self.old)) for at in _found(self.text, self.old, overlapping=not everywhere)]
        if everywhere and exact:
            return tuple(exact)
        loose = self._whole_lines() if "\n" in self.old else self._typographic()
        # The "\n" that an old text begins with may be that of the line before, or a blank line: that is one place.
        hits = sorted([*exact, *(hit for hit in loose if not _holds_any(hit, exact))], key=lambda hit: hit.start)
        return tuple(_apart(hits)) if everywhere else tuple(hits)

    def reindented(self) -> tuple[TextMatch, ...]:
        """All places of whole lines that fit with another indentation."""
        asked = self._asked()
        if asked is None:
            return ()
        old, new = asked
        hits: list[TextMatch] = []
        # What stands there already, indented by this very edit, must not be indented once more.
        applied = self.lines.places(new) if "".join(new).strip() else []
        done = {number for start in applied for number in range(start, start + len(new))}
        for start, indent in self.lines.reindented(old, new).items():
            if done.intersection(range(start, start + len(old))):
                continue
            hunk = self._hunk(old, new)
            notes = describe_tolerances(hunk.lines, self.lines.shown[start : start + len(old)], indent)
            hits.append(self._hit(start, len(old), REINDENTED, notes, reindent_hunk(hunk, indent)))
        return tuple(hits)

    def _whole_lines(self) -> Iterator[TextMatch]:
        """Places of whole lines that differ in trailing blanks, quotes, dashes or spaces."""
        asked = self._asked()
        if asked is None:
            return
        old, new = asked
        for start in self.lines.places(old):
            if tier := self.lines.tier(old, start):
                hunk = self._hunk(old, new)
                notes = describe_tolerances(hunk.lines, self.lines.shown[start : start + len(old)], None)
                yield self._hit(start, len(old), tier, notes, hunk)

    def _asked(self) -> tuple[list[str], list[str]] | None:
        """Old and new as whole lines; None for a fragment, and where the last line would be joined to the next."""
        if "\n" not in self.old:
            return None
        if not self.old.endswith("\n"):
            return self.old.split("\n"), self.new.split("\n")
        if self.new and not self.new.endswith("\n"):
            return None
        return self.old.split("\n")[:-1], self.new.split("\n")[:-1]

    def _hunk(self, old: list[str], new: list[str]) -> Hunk:
        """What is to happen, as a hunk: lines that old and new share are context and stay as the file has them."""
        lines = make_hunk_lines([(line, False) for line in old], [(line, False) for line in new])
        return Hunk(1, 0, tuple(lines), literal=self.literal)

    def _hit(self, start: int, count: int, tier: int, notes: list[str], hunk: Hunk) -> TextMatch:
        return TextMatch(self._begins[start], self._begins[start + count], tier, tuple(notes), hunk)

    @cached_property
    def _begins(self) -> list[int]:
        """Where each line begins, and where the last one ends."""
        return list(accumulate((len(line) + 1 for line in self.lines.shown), initial=0))

    def _typographic(self) -> Iterator[TextMatch]:
        """Places of a fragment within one line that differ in the kind of quotes, dashes or spaces."""
        wanted = self.old.translate(PUNCTUATION)
        if self.lines.opaque or (self.old.isascii() and self.text.isascii()):
            return
        for line, begin in zip(self.lines.shown, self._begins, strict=False):
            if not (line.isascii() and self.old.isascii()):
                for start, end in _aligned(line, wanted):
                    if line[start:end] != self.old:
                        note = "other kinds of quotes, dashes or spaces in it"
                        yield TextMatch(begin + start, begin + end, PUNCTUATED, (note,))


def make_hunk_lines(old: Sequence[tuple[str, bool]], new: Sequence[tuple[str, bool]]) -> Iterator[HunkLine]:
    """The lines of a hunk that makes `new` of `old`; each line says whether it stands without a newline at the end."""
    at = 0
    for block in diff_lines(old, new):
        yield from (HunkLine(" ", line, 0) for line, _ in old[at : block.old[0]])
        yield from (HunkLine("-", line, 0, bare) for line, bare in old[slice(*block.old)])
        yield from (HunkLine("+", line, 0, bare) for line, bare in new[slice(*block.new)])
        at = block.old[1]
    yield from (HunkLine(" ", line, 0) for line, _ in old[at:])


def _aligned(line: str, wanted: str) -> Iterator[tuple[int, int]]:
    """Where `wanted` stands in a line whose punctuation is made plain, by characters of the line itself."""
    even = line.translate(PUNCTUATION)
    at = even.find(wanted)
    if at < 0:
        return
    sizes = (len(char.translate(PUNCTUATION)) for char in line)
    original = {plain: number for number, plain in enumerate(accumulate(sizes, initial=0))}
    while at >= 0:
        if at in original and at + len(wanted) in original:
            yield original[at], original[at + len(wanted)]
        at = even.find(wanted, at + 1)


def _holds_any(hit: TextMatch, exact: list[TextMatch]) -> bool:
    """Whether one of the exact hits, which are all of one length and ascend, lies within `hit`."""
    at = bisect_left(exact, hit.start, key=lambda each: each.start)
    return at < len(exact) and exact[at].end <= hit.end


def _apart(hits: list[TextMatch]) -> Iterator[TextMatch]:
    """The hits that do not overlap the one before."""
    end = 0
    for hit in hits:
        if hit.start >= end:
            yield hit
            end = hit.end


def _found(text: str, old: str, *, overlapping: bool) -> Iterator[int]:
    at = text.find(old)
    while at >= 0:
        yield at
        at = text.find(old, at + (1 if overlapping else len(old)))


def _unnumbered(text: str) -> str:
    """`text` without the line numbers that read_file shows, if every line has one and they ascend; else ""."""
    lines = text.removesuffix("\n").split("\n")
    found = [_NUMBERED.match(line) for line in lines]
    numbers = [int(each[1]) for each in found if each and len(each[1]) < 10]
    if len(numbers) != len(lines) or numbers != list(range(numbers[0], numbers[0] + len(lines))):
        return ""
    bare = "\n".join(line[each.end() :] for line, each in zip(lines, found, strict=True) if each)
    return bare + "\n" if text.endswith("\n") else bare
