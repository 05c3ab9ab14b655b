"""Where the hunks of one file belong: by their numbers, by their anchors, or because only one way fits.

Two ways that fit are never decided by taking the first: that alone misplaces 1.6 % of real patches, silently.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from kimi_agent.edit.indent import Indent
from kimi_agent.edit.match import MAX_REINDENTED, REINDENTED, Lines
from kimi_agent.edit.patch import Hunk
from kimi_agent.edit.text import Text
from kimi_agent.edit.tolerance import reindented, tolerances
from kimi_agent.errors import ErrorCode

MAX_SHIFTS = 1_000  # that are tried: lines that stand everywhere tell no distance
MAX_PLACES = 100  # that a misfit names
NO_TAIL = "blank context at its end ignored"


@dataclass(frozen=True)
class Placed:
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
class Misfit:
    """A hunk that has no place, or several (the first `places` of `count`), or collides with another (`rival`).

    `anchor` is the text that was sought and, where it only stands `above` the hunk before, that line.
    """

    hunk: Hunk
    code: ErrorCode
    places: tuple[int, ...] = ()
    count: int = 0
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
    places: Sequence[int] = ()
    proved: bool = True
    notes: tuple[str, ...] = ()
    misfit: Misfit | None = None
    anchor: str = ""
    indents: Mapping[int, Indent] = field(default_factory=dict)

    def fails(self, code: ErrorCode, places: Sequence[int] = (), above: int | None = None) -> None:
        """Note why it cannot be placed."""
        self.misfit = Misfit(self.hunk, code, tuple(places[:MAX_PLACES]), len(places), self.anchor, above)


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
    by_number = _numbered(searches, views)
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
        return Placement(tuple(_settled(search, search.places[0], views) for search in fits), misfits)
    placed = [_settled(search, start, views) for search, start in zip(fits, starts, strict=True)]
    ordered = sorted(placed, key=lambda each: each.core)
    if ordered != placed:
        ordered = [replace(each, notes=(*each.notes, "out of order")) for each in ordered]
    return Placement(tuple(ordered))


def _fitting(hunk: Hunk, views: Views) -> _Search:
    """Where the hunk fits: as it is, without the blank context at its end, and only then with another indentation."""
    if not hunk.old:
        return _Search(hunk, proved=False)
    lines = views.of(hunk)
    shorter = hunk.without_blank_tail()
    tries = [(hunk, ())] if shorter is hunk or not shorter.old else [(hunk, ()), (shorter, (NO_TAIL,))]
    for each, notes in tries:
        if places := lines.places(each.old, at_end=each.at_end):
            return _Search(each, places, notes=notes)
    applied = _applied(shorter, lines)
    for each, notes in tries:
        plus = [line.text for line in each.lines if line.op == "+"]
        indents = lines.reindented(each.old, plus, at_end=each.at_end)
        # What stands there already, indented by this very patch, must not be indented once more.
        if not any(_meet(applied, len(shorter.new), start, len(each.old)) for start in indents) and indents:
            search = _Search(each, sorted(indents), notes=notes, indents=indents)
            if len(indents) == MAX_REINDENTED:
                search.fails("ambiguous", search.places)
            return search
    search = _Search(hunk)
    search.fails("already_applied" if applied else "not_found", applied)
    return search


def _applied(hunk: Hunk, lines: Lines) -> Sequence[int]:
    """Where the new lines stand already; one common line says nothing, so it must be a rare or a longer text."""
    if not any(line.op == "+" and line.text.strip() for line in hunk.lines):
        return ()
    found = lines.places(hunk.new)
    return found if len(found) == 1 or sum(bool(line.strip()) for line in hunk.new) > 1 else ()


def _meet(places: Sequence[int], size: int, start: int, count: int) -> bool:
    """Whether one of the places (ascending, of `size` lines each) shares a line with the `count` lines from `start`."""
    at = bisect_left(places, start - size + 1)
    return at < len(places) and places[at] < start + count


def _numbered(searches: list[_Search], views: Views) -> list[Placed]:
    """All hunks at their declared lines, or all at one common distance from them; else nothing."""
    size = len(views.text.bodies)
    told = [(search.hunk.declared, search.places) for search in searches if search.misfit is None]
    sought = [(declared, places) for declared, places in told if declared is not None and places]
    if len(told) < len(searches) or any(declared is None for declared, _ in told):
        return []
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
    lines = "1 line" if abs(shift) == 1 else f"{abs(shift)} lines"
    note = (f"placed {lines} {'below' if shift > 0 else 'above'} the declared line",) if shift else ()
    placed: list[Placed] = []
    for search in searches:
        start = (search.hunk.declared or 0) + shift
        search.proved = len(search.places) == 1
        placed.append(_settled(search, start, views, note))
    inside = all(0 <= each.start <= size - len(each.hunk.old) for each in placed)
    ordered = all(one.core[1] <= other.core[0] for one, other in pairwise(placed))
    pinned = all(each.start + len(each.hunk.old) == size for each in placed if each.hunk.at_end)
    return placed if inside and ordered and pinned else []


def _anchored(searches: list[_Search], views: Views) -> None:
    """Narrow the places of hunks that have anchors. What lies above the hunk before is no longer looked at."""
    cursor = 0
    before: tuple[str, ...] = ()
    for search in searches:
        hunk = search.hunk
        if hunk.anchors and search.misfit is None and (hunk.old or not hunk.at_end):
            _narrowed(search, views.of(hunk), cursor, again=hunk.anchors == before)
            before = hunk.anchors
        if search.misfit is None:
            at = bisect_left(search.places, cursor - hunk.head)
            if at < len(search.places):
                cursor = search.places[at] + len(hunk.old) - hunk.tail


def _narrowed(search: _Search, lines: Lines, cursor: int, *, again: bool) -> None:
    """Keep the places in what the anchor opens, else those below it; `again` says that the hunk before had the same.

    An anchor may stand above the cursor, if what it opens goes on below. Several places are left to the order of the
    hunks, never decided by taking the first: in real histories that misplaced hunks.
    """
    hunk = search.hunk
    search.anchor = hunk.anchors[-1]
    named = _named(search, lines)
    if not named:
        return
    if not hunk.old:
        search.places = [number + 1 for number in named]
        return
    inside: set[int] = set()
    for number in named if len(named) <= MAX_PLACES else ():
        first, end = max(number - len(hunk.old) + 1, cursor - hunk.head), lines.scope_end(number)
        inside.update(search.places[bisect_left(search.places, first) : bisect_left(search.places, end)])
    start = next((number for number in named if number >= cursor), cursor if again else None)
    if inside:
        search.places = sorted(inside)
    elif start is None:
        search.fails("anchor_not_found", above=named[0])
    else:
        first = max(start - len(hunk.old) + 1, cursor - hunk.head)
        below = search.places[bisect_left(search.places, first) :]
        if not below:
            search.fails("not_found", search.places)
        search.places = below


def _named(search: _Search, lines: Lines) -> list[int]:
    """The lines that the last of the hunk's anchors names; each anchor is sought within what the one before opens."""
    found: list[int] = []
    for number, anchor in enumerate(search.hunk.anchors):
        named = lines.anchors(anchor)
        if number:
            inside: set[int] = set()
            for above in found[:MAX_PLACES]:
                inside.update(named[bisect_right(named, above) : bisect_left(named, lines.scope_end(above))])
            below = named[bisect_right(named, found[0]) :]
            above_all = named[0] if named else None
            named = sorted(inside) or below
        else:
            above_all = None
        if not named:
            search.anchor = anchor
            search.fails("anchor_not_found", above=above_all)
            return []
        found = named
    return found


def _insertion(search: _Search, views: Views) -> None:
    """A place for + lines alone: at their number, at the end they are pinned to, in an empty file, noted at the end."""
    hunk, size = search.hunk, len(views.text.bodies)
    if hunk.declared is not None and hunk.declared <= size and not hunk.at_end:
        search.places = [hunk.declared]
    elif hunk.numbered and size:
        search.fails("ambiguous")
    else:
        search.places = [size]
        if size and not hunk.at_end:
            search.notes = (*search.notes, "without context: put at the end of the file")


def _assigned(searches: list[_Search]) -> list[int]:
    """The one way to place all hunks in order; marks those that could go several ways, or collide, as misfits."""
    for touching in (False, True):
        ways = _ways(searches, touching=touching)
        if ways and all(last - first == 1 for first, last in ways):
            return [search.places[first] for search, (first, _) in zip(searches, ways, strict=True)]
        if ways:
            for search, (first, last) in zip(searches, ways, strict=True):
                if last - first > 1:
                    search.fails("ambiguous", search.places[first:last])
            return []
    for search in searches:
        if len(search.places) > 1:
            search.fails("ambiguous", search.places)
    if any(search.misfit for search in searches):
        return []
    starts = [search.places[0] for search in searches]
    placed = [Placed(search.hunk, search.places[0]) for search in searches]
    by_core = sorted(zip(placed, searches, strict=True), key=lambda pair: pair[0].core)
    for (one, _), (other, search) in pairwise(by_core):
        if one.core[1] > other.core[0]:
            search.misfit = Misfit(search.hunk, "ambiguous", (other.start,), 1, rival=one.hunk.number)
    return starts


def _ways(searches: list[_Search], *, touching: bool) -> list[tuple[int, int]]:
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


def _settled(search: _Search, start: int, views: Views, more: tuple[str, ...] = ()) -> Placed:
    """The hunk at `start`, its + lines indented as its old lines are there; with a note for each tolerance."""
    hunk, tier, notes = search.hunk, 0, search.notes
    if hunk.old and _has(search.places, start):
        lines, indent = views.of(hunk), search.indents.get(start)
        tier = REINDENTED if indent else lines.tier(hunk.old, start)
        if tier:
            notes = (*notes, *tolerances(hunk.lines, lines.shown[start : start + len(hunk.old)], indent))
        hunk = reindented(hunk, indent) if indent else hunk
    return Placed(hunk, start, tier, search.proved, (*notes, *more))
