"""Where lines fit into a text: every place, at every tolerance together.

A place counts however loosely it fits, since an exact twin elsewhere must not win over the place that was meant and
differs in a trailing space (edit-tools.md §0.4). Likeness is never a match: it only helps to explain a miss.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from kimi_agent.edit.text import Text


@dataclass(frozen=True)
class Tier:
    """One tolerance: lines with equal keys are equal. `note` tells a result what was ignored ("" for nothing)."""

    note: str
    key: Callable[[str], str]


# From strict to loose; each must find all that the one before it finds.
TIERS: tuple[Tier, ...] = (Tier("", str),)


@dataclass(frozen=True)
class Place:
    """Lines fit from line `start` on (0-based), at the strictest tier `tier` that they do."""

    start: int
    tier: int


class Lines:
    """The lines of one text, indexed by what they hold. With `literal`, the CR of a CRLF belongs to the line."""

    def __init__(self, text: Text, *, literal: bool) -> None:
        self.shown = list(text.bodies)
        if literal:
            pairs = zip(text.bodies, text.ends, strict=True)
            self.shown = [body + "\r" if end == "\r\n" else body for body, end in pairs]
        self._found: dict[tuple[tuple[str, ...], bool], list[Place]] = {}
        self._loosest = _Index(self.shown, TIERS[-1].key)

    @cached_property
    def _exact(self) -> "_Index":
        return _Index(self.shown, str)

    @cached_property
    def _stripped(self) -> "_Index":
        return _Index(self.shown, str.strip)

    @cached_property
    def _blankless(self) -> "_Index":
        return _Index(self.shown, _without_blanks)

    def places(self, old: Sequence[str], *, at_end: bool = False) -> list[Place]:
        """All places of the lines `old` (at least one), ascending; with `at_end` only the last of the file."""
        asked = (tuple(old), at_end)
        if asked not in self._found:
            self._found[asked] = self._places(list(old), at_end)
        return list(self._found[asked])

    def _places(self, old: list[str], at_end: bool) -> list[Place]:
        wanted = [TIERS[-1].key(line) for line in old]
        keys, where = self._loosest.keys, self._loosest.where
        # From the rarest line outwards: 20,000 lines and 130 hunks take milliseconds.
        rarest = min(range(len(wanted)), key=lambda at: len(where.get(wanted[at], ())))
        size, last = len(wanted), len(keys) - len(wanted)
        first = max(0, last) if at_end else 0
        starts = (number - rarest for number in where.get(wanted[rarest], ()))
        fitting = (start for start in starts if first <= start <= last and keys[start : start + size] == wanted)
        return [Place(start, self._tier(old, start)) for start in fitting]

    def _tier(self, old: list[str], start: int) -> int:
        part = self.shown[start : start + len(old)]
        if part == old:
            return 0
        return next(
            tier
            for tier, each in enumerate(TIERS)
            if all(each.key(mine) == each.key(its) for mine, its in zip(old, part, strict=True))
        )

    def anchors(self, text: str, start: int) -> list[int]:
        """The lines from `start` on that `text` names: equal ones, else equal when trimmed, else those it begins."""
        wanted = text.strip()
        for numbers in (self._exact.where.get(text, ()), self._stripped.where.get(wanted, ())):
            found = list(numbers[bisect_left(numbers, start) :])
            if found:
                return found
        stripped = self._stripped.keys
        return [number for number in range(start, len(stripped)) if wanted and stripped[number].startswith(wanted)]

    def block_end(self, start: int) -> int:
        """The line after the block that line `start` opens, by indentation; a line that is only brackets ends none."""
        limit = _indent(self.shown[start])
        for number in range(start + 1, len(self.shown)):
            line = self.shown[number].strip()
            if line and line[0] not in "{}()[]" and _indent(self.shown[number]) <= limit:
                return number
        return len(self.shown)

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


class _Index:
    """What each line counts as, and the numbers of the lines that count as the same, ascending."""

    def __init__(self, lines: Sequence[str], key: Callable[[str], str]) -> None:
        self.keys = [key(line) for line in lines]
        where: dict[str, list[int]] = defaultdict(list)
        for number, each in enumerate(self.keys):
            where[each].append(number)
        self.where: Mapping[str, Sequence[int]] = dict(where)


def _without_blanks(line: str) -> str:
    return "".join(line.split())


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))
