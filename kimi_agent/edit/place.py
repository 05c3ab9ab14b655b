"""Where the hunks of one file belong: by their numbers, by their anchors, or because only one way fits.

Two ways that fit are never decided by taking the first: that alone misplaces 1.6 % of real patches, silently.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from kimi_agent.edit.match import TIERS, Lines, Place
from kimi_agent.edit.patch import Hunk
from kimi_agent.edit.text import Text
from kimi_agent.errors import ErrorCode


@dataclass(frozen=True)
class Placed:
    """A hunk with its line in the old text (0-based). `proved` is False where its old text alone would not place it."""

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
class Misfit:
    """A hunk that has no place, or several (`places`), or collides with another (`rival`, its number).

    `anchor` is the text that was sought and, where it only stands `above` the hunk before, that line.
    """

    hunk: Hunk
    code: ErrorCode
    places: tuple[int, ...] = ()
    anchor: str = ""
    above: int | None = None
    rival: int = 0


@dataclass(frozen=True)
class Placement:
    """All hunks placed in the order of the file, or some that are not (then `placed` would have fitted)."""

    placed: tuple[Placed, ...]
    misfits: tuple[Misfit, ...] = ()


@dataclass
class _Search:
    """A hunk on its way: where it may go, and what is left of it."""

    hunk: Hunk
    places: list[Place] = field(default_factory=list)
    proved: bool = True
    notes: tuple[str, ...] = ()
    misfit: Misfit | None = None

    def starts(self) -> list[int]:
        return [place.start for place in self.places]


class Views:
    """One text, indexed both ways."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self._lines: dict[bool, Lines] = {}

    def of(self, hunk: Hunk) -> Lines:
        """The lines as this hunk shows them: with their CRs, or without."""
        if hunk.literal not in self._lines:
            self._lines[hunk.literal] = Lines(self.text, literal=hunk.literal)
        return self._lines[hunk.literal]


def place(hunks: Sequence[Hunk], views: Views) -> Placement:
    """Place `hunks` in the text of `views`; all of them match the old text, never each other's output."""
    searches = [_fitting(hunk, views) for hunk in hunks]
    by_number = _numbered(searches, len(views.text.bodies))
    if by_number:
        return Placement(tuple(by_number))
    _anchored(searches, views)
    for search in searches:
        if not search.hunk.old and (search.hunk.at_end or not search.hunk.anchors):
            _insertion(search, views)
    fits = [search for search in searches if search.misfit is None]
    starts = _assigned(fits)
    misfits = tuple(search.misfit for search in searches if search.misfit)
    if misfits:
        fits = [search for search in fits if search.misfit is None]
        return Placement(tuple(_settled(search, search.places[0].start) for search in fits), misfits)
    placed = [_settled(search, start) for search, start in zip(fits, starts, strict=True)]
    ordered = sorted(placed, key=lambda each: each.core)
    if ordered != placed:
        ordered = [replace(each, notes=(*each.notes, "out of order")) for each in ordered]
    return Placement(tuple(ordered))


def _fitting(hunk: Hunk, views: Views) -> _Search:
    if not hunk.old:
        return _Search(hunk, proved=False)
    lines = views.of(hunk)
    places = lines.places(hunk.old, at_end=hunk.at_end)
    if not places:
        shorter = hunk.without_blank_tail()
        if shorter.old and shorter is not hunk:
            places = lines.places(shorter.old, at_end=hunk.at_end)
            hunk = shorter if places else hunk
    search = _Search(hunk, places)
    if not places:
        applied = _applied(hunk, lines)
        search.misfit = Misfit(hunk, "already_applied" if applied else "not_found", applied)
    return search


def _applied(hunk: Hunk, lines: Lines) -> tuple[int, ...]:
    """Where the new lines stand already; one common line says nothing, so it must be a rare or a longer text."""
    new = hunk.without_blank_tail().new
    if not any(line.op == "+" and line.text.strip() for line in hunk.lines):
        return ()
    found = tuple(place.start for place in lines.places(new))
    return found if len(found) == 1 or sum(bool(line.strip()) for line in new) > 1 else ()


def _numbered(searches: list[_Search], size: int) -> list[Placed]:
    """All hunks at their declared lines, or all at one common distance from them; else nothing."""
    shifts: set[int] | None = None
    for search in searches:
        declared = search.hunk.declared
        if declared is None or search.misfit is not None:
            return []
        if search.places:
            found = {place.start - declared for place in search.places}
            shifts = found if shifts is None else shifts & found
    common = {0} if shifts is None or 0 in shifts else shifts
    if len(common) != 1:
        return []
    shift = common.pop()
    note = (f"placed {abs(shift)} lines {'below' if shift > 0 else 'above'} the declared line",) if shift else ()
    placed: list[Placed] = []
    for search in searches:
        start = (search.hunk.declared or 0) + shift
        search.proved = len(search.places) == 1
        placed.append(_settled(search, start, note))
    inside = all(0 <= each.start <= size - len(each.hunk.old) for each in placed)
    ordered = all(one.core[1] <= other.core[0] for one, other in pairwise(placed))
    pinned = all(each.start + len(each.hunk.old) == size for each in placed if each.hunk.at_end)
    return placed if inside and ordered and pinned else []


def _anchored(searches: list[_Search], views: Views) -> None:
    """Narrow the places of hunks that have anchors. What lies above the hunk before is no longer looked at."""
    cursor, last, last_at = 0, "", -1
    for search in searches:
        hunk = search.hunk
        if hunk.anchors and search.misfit is None and (hunk.old or not hunk.at_end):
            found = _sought(search, views.of(hunk), cursor)
            if last_at >= 0 and hunk.anchors == (last,):
                found = [last_at, *found]  # `@@ def f` written above each of several hunks in f
                search.misfit = None
            if found:
                _below(search, found, cursor)
                last, last_at = hunk.anchors[-1], found[0]
        if search.misfit is None:
            reached = (each.start for each in search.places if each.start + hunk.head >= cursor)
            first = next(reached, None)
            cursor = cursor if first is None else first + len(hunk.old) - hunk.tail


def _sought(search: _Search, lines: Lines, start: int) -> list[int]:
    """The lines that the last of the hunk's anchors names; each anchor is sought within the block of the one before."""
    found: list[int] = []
    for anchor in search.hunk.anchors:
        unique = len(found) == 1
        end = lines.block_end(found[0]) if unique else 0
        start = found[0] + 1 if found else start
        found = lines.anchors(anchor, start)
        if not found:
            above = next(iter(lines.anchors(anchor, 0)), None)
            search.misfit = Misfit(search.hunk, "anchor_not_found", anchor=anchor, above=above)
            return []
        found = [number for number in found if number < end] or found
    return found


def _below(search: _Search, anchors: list[int], cursor: int) -> None:
    """Keep the first place at or below the anchor; an anchor that is not unique decides nothing."""
    hunk, first = search.hunk, anchors[0]
    if hunk.old:
        below = [
            each for each in search.places if each.start + len(hunk.old) > first and each.start + hunk.head >= cursor
        ]
    else:
        below = [Place(number + 1, 0) for number in anchors]
    if not below:
        search.misfit = Misfit(hunk, "not_found", tuple(search.starts()), anchor=hunk.anchors[-1])
    elif len(anchors) > 1 and len(below) > 1:
        search.misfit = Misfit(hunk, "ambiguous", tuple(each.start for each in below), anchor=hunk.anchors[-1])
    else:
        search.places = below[:1]


def _insertion(search: _Search, views: Views) -> None:
    """A place for + lines alone: at their number, at the end they are pinned to, in an empty file, noted at the end."""
    hunk, size = search.hunk, len(views.text.bodies)
    if hunk.declared is not None and hunk.declared <= size and not hunk.at_end:
        search.places = [Place(hunk.declared, 0)]
    elif hunk.numbered and size:
        search.misfit = Misfit(hunk, "ambiguous")
    else:
        search.places = [Place(size, 0)]
        if size and not hunk.at_end:
            search.notes = (*search.notes, "without context: put at the end of the file")


def _assigned(searches: list[_Search]) -> list[int]:
    """The one way to place all hunks in order; marks those that could go several ways, or collide, as misfits."""
    for touching in (False, True):
        ways = _ways(searches, touching=touching)
        if all(len(each) == 1 for each in ways):
            return [each[0] for each in ways]
        if all(ways):
            for search, each in zip(searches, ways, strict=True):
                if len(each) > 1:
                    search.misfit = Misfit(search.hunk, "ambiguous", tuple(each))
            return []
    for search in searches:
        if len(search.places) > 1:
            search.misfit = Misfit(search.hunk, "ambiguous", tuple(search.starts()))
    if any(search.misfit for search in searches):
        return []
    starts = [search.places[0].start for search in searches]
    placed = [_settled(search, start) for search, start in zip(searches, starts, strict=True)]
    by_core = sorted(zip(placed, searches, strict=True), key=lambda pair: pair[0].core)
    for (one, _), (other, search) in pairwise(by_core):
        if one.core[1] > other.core[0]:
            search.misfit = Misfit(search.hunk, "ambiguous", (other.start,), rival=one.hunk.number)
    return starts


def _ways(searches: list[_Search], *, touching: bool) -> list[list[int]]:
    """For each hunk the starts that occur in some assignment that keeps order and does not overlap.

    With `touching` only the changed lines must not overlap: hunks may share context, which is never written.
    """
    ways: list[list[int]] = []
    bound = 0
    for search in searches:
        lead = search.hunk.head if touching else 0
        kept = [start for start in search.starts() if start + lead >= bound]
        ways.append(kept)
        if not kept:
            return [[]]
        bound = kept[0] + len(search.hunk.old) - (search.hunk.tail if touching else 0)
    for at in range(len(searches) - 2, -1, -1):
        hunk, following = searches[at].hunk, searches[at + 1].hunk
        limit = ways[at + 1][-1] + (following.head if touching else 0)
        reach = len(hunk.old) - (hunk.tail if touching else 0)
        ways[at] = [start for start in ways[at] if start + reach <= limit]
    return ways


def _settled(search: _Search, start: int, more: tuple[str, ...] = ()) -> Placed:
    tier = next((each.tier for each in search.places if each.start == start), 0)
    note = TIERS[tier].note
    return Placed(search.hunk, start, tier, search.proved, (*search.notes, *((note,) if note else ()), *more))
