"""Hunk placement in one file: by line numbers, by anchors, or because only one way fits.

Two ways that fit are never decided by taking the first: that alone misplaces 1.6 % of real patches, silently.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from kimi_agent.edit.patch import Hunk
from kimi_agent.edit.placing.anchors import narrow_by_anchors
from kimi_agent.edit.placing.candidates import HunkCandidates, UnplacedHunk
from kimi_agent.edit.placing.line_index import MAX_REINDENTED, REINDENTED, LineIndex, LineIndexes
from kimi_agent.edit.placing.tolerances import describe_tolerances, reindent_hunk
from kimi_agent.printable import format_count

MAX_SHIFTS = 1_000  # that are tried: lines that occur everywhere give no distance
BLANK_TAIL_NOTE = "blank context at its end ignored"


@dataclass(frozen=True)
class PlacedHunk:
    """A hunk with its line in the old text (0-based), as it is to be written there.

    `tier` says how loosely it fits, `proved` is False where its old text alone would not place it.
    """

    hunk: Hunk
    start: int
    tier: int = 0
    proved: bool = True
    notes: tuple[str, ...] = ()

    @property
    def core(self) -> tuple[int, int]:
        """The old lines from the first to the last change."""
        return self.start + self.hunk.head, self.start + len(self.hunk.old) - self.hunk.tail


@dataclass(frozen=True)
class Placement:
    """All hunks placed in the order of the file, or some that are not (then `placed` would have fitted)."""

    placed: tuple[PlacedHunk, ...]
    unplaced: tuple[UnplacedHunk, ...] = ()


def place_hunks(hunks: Sequence[Hunk], views: LineIndexes) -> Placement:
    """Place `hunks` in the text of `views`; all of them match the old text, never each other's output."""
    searches = [_fitting(hunk, views) for hunk in hunks]
    by_number = _numbered(searches, views)
    if by_number:
        return Placement(tuple(by_number))
    narrow_by_anchors(searches, views)
    for search in searches:
        if not search.hunk.old and (search.hunk.at_end or not search.hunk.anchors):
            _insertion(search, views)
    fits = [search for search in searches if search.unplaced is None]
    starts = _assigned(fits)
    unplaced = tuple(search.unplaced for search in searches if search.unplaced)
    if unplaced:
        fits = [search for search in fits if search.unplaced is None]
        return Placement(tuple(_settled(search, search.places[0], views) for search in fits), unplaced)
    placed = [_settled(search, start, views) for search, start in zip(fits, starts, strict=True)]
    ordered = sorted(placed, key=lambda each: each.core)
    if ordered != placed:
        ordered = [replace(each, notes=(*each.notes, "out of order")) for each in ordered]
    return Placement(tuple(ordered))


def _fitting(hunk: Hunk, views: LineIndexes) -> HunkCandidates:
    """Where the hunk fits: as it is, without the blank context at its end, and only then with another indentation."""
    if not hunk.old:
        return HunkCandidates(hunk, proved=False)
    lines = views.lines_for(hunk)
    shorter = hunk.without_blank_tail()
    tries = [(hunk, ())] if shorter is hunk or not shorter.old else [(hunk, ()), (shorter, (BLANK_TAIL_NOTE,))]
    for each, notes in tries:
        if places := lines.places(each.old, at_end=each.at_end):
            return HunkCandidates(each, places, notes=notes)
    applied = _applied(shorter, lines)
    for each, notes in tries:
        plus = [line.text for line in each.lines if line.op == "+"]
        indents = lines.reindented(each.old, plus, at_end=each.at_end)
        # What stands there already, indented by this very patch, must not be indented once more.
        if not any(_meet(applied, len(shorter.new), start, len(each.old)) for start in indents) and indents:
            search = HunkCandidates(each, sorted(indents), notes=notes, indents=indents)
            if len(indents) == MAX_REINDENTED:
                search.mark_unplaced("ambiguous", search.places)
            return search
    search = HunkCandidates(hunk)
    search.mark_unplaced("already_applied" if applied else "not_found", applied)
    return search


def _applied(hunk: Hunk, lines: LineIndex) -> Sequence[int]:
    """Where the new lines stand already; one common line says nothing, so it must be a rare or a longer text."""
    if not any(line.op == "+" and line.text.strip() for line in hunk.lines):
        return ()
    found = lines.places(hunk.new)
    return found if len(found) == 1 or sum(bool(line.strip()) for line in hunk.new) > 1 else ()


def _meet(places: Sequence[int], size: int, start: int, count: int) -> bool:
    """Whether one of the places (ascending, of `size` lines each) shares a line with the `count` lines from `start`."""
    at = bisect_left(places, start - size + 1)
    return at < len(places) and places[at] < start + count


def _numbered(searches: list[HunkCandidates], views: LineIndexes) -> list[PlacedHunk]:
    """All hunks at their declared lines, or all at one common distance from them; else nothing."""
    size = len(views.text.bodies)
    if any(search.unplaced or search.hunk.declared is None for search in searches):
        return []
    sought = [(search.hunk.declared or 0, search.places) for search in searches if search.places]
    shifts = [0]
    if not all(_has(places, declared) for declared, places in sought):
        first, fewest = min(sought, key=lambda each: len(each[1]))
        if len(fewest) > MAX_SHIFTS:
            return []
        shifts = [start - first for start in fewest]
        for declared, places in sought:
            shifts = [shift for shift in shifts if _has(places, declared + shift)]
    if len(shifts) != 1:
        return []
    shift = shifts[0]
    lines = format_count(abs(shift), "line")
    note = (f"placed {lines} {'below' if shift > 0 else 'above'} the declared line",) if shift else ()
    placed: list[PlacedHunk] = []
    for search in searches:
        start = (search.hunk.declared or 0) + shift
        search.proved = len(search.places) == 1
        placed.append(_settled(search, start, views, note))
    inside = all(0 <= each.start <= size - len(each.hunk.old) for each in placed)
    ordered = all(one.core[1] <= other.core[0] for one, other in pairwise(placed))
    at_end = all(each.start + len(each.hunk.old) == size for each in placed if each.hunk.at_end)
    return placed if inside and ordered and at_end else []


def _insertion(search: HunkCandidates, views: LineIndexes) -> None:
    """Place + lines alone: at their number, at the end that fixes them, in an empty file; else at the end, noted."""
    hunk, size = search.hunk, len(views.text.bodies)
    if hunk.declared is not None and hunk.declared <= size and not hunk.at_end:
        search.places = [hunk.declared]
    elif hunk.numbered and size:
        search.mark_unplaced("ambiguous")
    else:
        search.places = [size]
        if size and not hunk.at_end:
            search.notes = (*search.notes, "without context: put at the end of the file")


def _assigned(searches: list[HunkCandidates]) -> list[int]:
    """The one way to place all hunks in order; marks those that could go several ways, or collide, as unplaced."""
    for touching in (False, True):
        ways = _ways(searches, touching=touching)
        if ways and all(last - first == 1 for first, last in ways):
            return [search.places[first] for search, (first, _) in zip(searches, ways, strict=True)]
        if ways:
            for search, (first, last) in zip(searches, ways, strict=True):
                if last - first > 1:
                    search.mark_unplaced("ambiguous", search.places[first:last])
            return []
    for search in searches:
        if len(search.places) > 1:
            search.mark_unplaced("ambiguous", search.places)
    if any(search.unplaced for search in searches):
        return []
    starts = [search.places[0] for search in searches]
    placed = [PlacedHunk(search.hunk, search.places[0]) for search in searches]
    by_core = sorted(zip(placed, searches, strict=True), key=lambda pair: pair[0].core)
    for (one, _), (other, search) in pairwise(by_core):
        if one.core[1] > other.core[0]:
            search.unplaced = UnplacedHunk(search.hunk, "ambiguous", (other.start,), 1, rival=one.hunk.number)
    return starts


def _ways(searches: list[HunkCandidates], *, touching: bool) -> list[tuple[int, int]]:
    """For each hunk which of its places (from, to) occur in some assignment that keeps order and does not overlap.

    Empty where there is no such assignment. With `touching` only the changed lines must not overlap: hunks may share
    context, which is never written.
    """
    firsts: list[int] = []
    bound = 0
    for search in searches:
        hunk = search.hunk
        first = bisect_left(search.places, bound - (hunk.head if touching else 0))
        if first == len(search.places):
            return []
        firsts.append(first)
        bound = search.places[first] + len(hunk.old) - (hunk.tail if touching else 0)
    ways: list[tuple[int, int]] = []
    limit = searches[-1].places[-1] + len(searches[-1].hunk.old) if searches else 0
    for search, first in zip(reversed(searches), reversed(firsts), strict=True):
        hunk = search.hunk
        last = bisect_right(search.places, limit - len(hunk.old) + (hunk.tail if touching else 0))
        ways.append((first, last))
        limit = search.places[last - 1] + (hunk.head if touching else 0)
    return ways[::-1]


def _has(places: Sequence[int], start: int) -> bool:
    at = bisect_left(places, start)
    return at < len(places) and places[at] == start


def _settled(search: HunkCandidates, start: int, views: LineIndexes, more: tuple[str, ...] = ()) -> PlacedHunk:
    """The hunk at `start`, its + lines indented as its old lines are there; with a note for each tolerance."""
    hunk, tier, notes = search.hunk, 0, search.notes
    if hunk.old and _has(search.places, start):
        lines, indent = views.lines_for(hunk), search.indents.get(start)
        tier = REINDENTED if indent else lines.tier(hunk.old, start)
        if tier:
            notes = (*notes, *describe_tolerances(hunk.lines, lines.shown[start : start + len(hunk.old)], indent))
        hunk = reindent_hunk(hunk, indent) if indent else hunk
    return PlacedHunk(hunk, start, tier, search.proved, (*notes, *more))
