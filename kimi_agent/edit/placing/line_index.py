"""Line index of a text: finds every place where given lines fit, at every tolerance together.

A place counts however loosely it fits, since an exact twin elsewhere must not win over the place that was meant and
differs in a trailing space. Likeness is never a match: it only helps to explain a miss.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice, takewhile

from kimi_agent.edit.file_text import FileText
from kimi_agent.edit.patch import Hunk
from kimi_agent.edit.placing.indent import BLANKS, IndentChange, find_indent_change, leading_blanks
from kimi_agent.edit.placing.scope import find_scope_end

# What editors and models put in the place of plain characters; the dashes, quotes and spaces are those of Codex.
PUNCTUATION: Mapping[int, str] = {
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-"),
    **dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b"), "'"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f"), '"'),
    **dict.fromkeys(map(ord, "\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"), " "),
    ord("\u2026"): "...",
}
MAX_REINDENTED = 1_000
# Comparisons of lines, beyond which a search that never looks back is worth its setting up.
MAX_NAIVE_COMPARISONS = 1_000_000


def trim_line(line: str) -> str:
    """What counts of a line where trailing blanks are ignored; a CR that is shown counts."""
    if line.endswith("\r"):
        return line[:-1].rstrip(BLANKS) + "\r"
    return line.rstrip(BLANKS)


def normalize_line(line: str) -> str:
    """What counts of a line where trailing blanks and the kind of quotes, dashes and spaces are ignored."""
    return trim_line(line if line.isascii() else line.translate(PUNCTUATION))


# From strict to loose; each finds all that the one before it finds.
TIERS: tuple[Callable[[str], str], ...] = (str, trim_line, normalize_line)
PUNCTUATED, REINDENTED = 2, 3  # the last tier, and one that is no key


class LineIndex:
    """The lines of one text, indexed by what they hold. With `literal`, the CR of a CRLF belongs to the line."""

    def __init__(self, text: FileText, *, literal: bool) -> None:
        self.shown = list(text.bodies)
        if literal:
            pairs = zip(text.bodies, text.ends, strict=True)
            self.shown = [body + "\r" if end == "\r\n" else body for body, end in pairs]
        # In bytes of an unknown encoding, what looks like a no-break space may be a letter.
        self.opaque = text.codec.opaque
        self._key = trim_line if self.opaque else normalize_line
        self._loosest = _Index(self.shown, self._key)
        self._ends: dict[int, int] = {}
        self._found: dict[tuple[tuple[str, ...], bool], tuple[int, ...]] = {}

    @cached_property
    def _stripped(self) -> "_Index":
        return _Index(self.shown, lambda line: self._key(line).strip())

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._stripped.where)

    @cached_property
    def _blankless(self) -> "_Index":
        return _Index(self.shown, _without_blanks)

    @cached_property
    def _unindented(self) -> "_Index":
        return _Index(self.shown, self._without_lead)

    @cached_property
    def _leads(self) -> list[str]:
        return [leading_blanks(line) if line.strip() else "" for line in self.shown]

    def _without_lead(self, line: str) -> str:
        return self._key(line.lstrip(BLANKS))

    def places(self, old: Sequence[str], *, at_end: bool = False) -> Sequence[int]:
        """All lines (0-based, ascending) from which `old` (at least one line) fits at T0, T1 or T2 together.

        With `at_end` only the last of the file.
        """
        asked = (tuple(old), at_end)
        if asked not in self._found:
            self._found[asked] = tuple(self._loosest.places([self._key(line) for line in old], at_end=at_end))
        return self._found[asked]

    def reindented(self, old: Sequence[str], new: Sequence[str], *, at_end: bool = False) -> dict[int, IndentChange]:
        """The lines from which `old` fits after one change of its indentation that the lines `new` can follow.

        Not more than MAX_REINDENTED of them, if there are as many.
        """
        found: dict[int, IndentChange] = {}
        if not any(line.strip() for line in old):
            return found
        mine = [leading_blanks(line) for line in old]
        known: dict[tuple[str, ...], IndentChange | None] = {}
        for start in self._unindented.places([self._without_lead(line) for line in old], at_end=at_end):
            its = tuple(self._leads[start : start + len(old)])
            if its not in known:
                filled = [pair for pair, line in zip(zip(mine, its, strict=True), old, strict=True) if line.strip()]
                change = find_indent_change(filled)
                known[its] = change if change and all(change.apply(line) is not None for line in new) else None
            if (fits := known[its]) is not None:
                found[start] = fits
            if len(found) == MAX_REINDENTED:
                break
        return found

    def tier(self, old: Sequence[str], start: int) -> int:
        """The strictest tolerance at which `old` fits at one of its `places`."""
        part = self.shown[start : start + len(old)]
        return next(
            tier
            for tier, key in enumerate(TIERS)
            if all(mine == its or key(mine) == key(its) for mine, its in zip(old, part, strict=True))
        )

    def equal(self, old: Sequence[str], start: int) -> bool:
        """Whether `old` stands there to the letter."""
        return self.shown[start : start + len(old)] == list(old)

    def anchors(self, text: str) -> list[int]:
        """The lines that `text` names: those that equal it but for blanks and punctuation, else those it begins.

        Its indentation counts if it has some and lines have the same.
        """
        wanted = self._key(text).strip()
        if not wanted:
            return []
        if equal := self._stripped.where.get(wanted, ()):
            lead = leading_blanks(text)
            return [number for number in equal if lead and leading_blanks(self.shown[number]) == lead] or list(equal)
        first = bisect_left(self._sorted, wanted)
        begun = takewhile(lambda line: line.startswith(wanted), islice(self._sorted, first, None))
        return sorted(number for line in begun for number in self._stripped.where[line])

    def scope_end(self, start: int) -> int:
        """The line after all that line `start` opens."""
        if start not in self._ends:
            self._ends[start] = find_scope_end(self.shown, start)
        return self._ends[start]

    def likeliest(self, old: Sequence[str]) -> int | None:
        """The start where most lines of `old` would be equal but for their blanks; None where none is."""
        votes: Counter[int] = Counter()
        for offset, line in enumerate(old):
            bare = _without_blanks(line)
            for number in self._blankless.where.get(bare, ())[:200] if bare else ():
                votes[max(0, number - offset)] += 1
        if not votes:
            return None
        most = max(votes.values())
        return min(start for start, count in votes.items() if count == most)


class LineIndexes:
    """One text, indexed both ways."""

    def __init__(self, text: FileText) -> None:
        self.text = text
        self._lines: dict[bool, LineIndex] = {}

    def lines_for(self, hunk: Hunk) -> LineIndex:
        """The lines as this hunk shows them: with their CRs, or without."""
        if hunk.literal not in self._lines:
            self._lines[hunk.literal] = LineIndex(self.text, literal=hunk.literal)
        return self._lines[hunk.literal]


class _Index:
    """What each line counts as, and the numbers of the lines that count as the same, ascending."""

    def __init__(self, lines: Sequence[str], key: Callable[[str], str]) -> None:
        self.keys = [key(line) for line in lines]
        where: dict[str, list[int]] = defaultdict(list)
        for number, each in enumerate(self.keys):
            where[each].append(number)
        self.where: Mapping[str, Sequence[int]] = dict(where)

    def places(self, wanted: list[str], *, at_end: bool) -> Iterator[int]:
        """Where the keys `wanted` stand together, ascending."""
        size, last = len(wanted), len(self.keys) - len(wanted)
        if last < 0:
            return iter(())
        # From the rarest line outwards: 20,000 lines and 130 hunks take milliseconds.
        rarest = min(range(size), key=lambda at: len(self.where.get(wanted[at], ())))
        numbers = self.where.get(wanted[rarest], ())
        if at_end:
            return iter([last] if self.keys[last:] == wanted else [])
        if len(numbers) * size > MAX_NAIVE_COMPARISONS:
            return _repeated(self.keys, wanted)
        starts = (number - rarest for number in numbers)
        return (start for start in starts if 0 <= start <= last and self.keys[start : start + size] == wanted)


def _repeated(keys: Sequence[str], wanted: Sequence[str]) -> Iterator[int]:
    """The same by Knuth, Morris and Pratt: thousands of equal lines in a text of nothing else take no minutes."""
    back = [0] * len(wanted)
    length = 0
    for at in range(1, len(wanted)):
        while length and wanted[at] != wanted[length]:
            length = back[length - 1]
        length += wanted[at] == wanted[length]
        back[at] = length
    length = 0
    for number, key in enumerate(keys):
        while length and (length == len(wanted) or key != wanted[length]):
            length = back[length - 1]
        length += key == wanted[length]
        if length == len(wanted):
            yield number - length + 1


def _without_blanks(line: str) -> str:
    return "".join(line.split())
