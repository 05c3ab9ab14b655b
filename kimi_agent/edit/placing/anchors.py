"""Anchors of a hunk (the texts of its `@@` lines) narrow the places where it may go.

Only what an anchor's line opens (`@@ def name`: that function), or else what lies below it, is looked at.
"""

from bisect import bisect_left, bisect_right

from kimi_agent.edit.placing.candidates import MAX_PLACES_NAMED, HunkCandidates
from kimi_agent.edit.placing.line_index import LineIndex, LineIndexes


def narrow_by_anchors(searches: list[HunkCandidates], views: LineIndexes) -> None:
    """Narrow the places of hunks that have anchors. What lies above the hunk before is no longer looked at."""
    cursor = 0
    before: tuple[str, ...] = ()
    for search in searches:
        hunk = search.hunk
        if hunk.anchors and search.unplaced is None and (hunk.old or not hunk.at_end):
            _narrowed(search, views.lines_for(hunk), cursor, again=hunk.anchors == before)
            before = hunk.anchors
        if search.unplaced is None:
            at = bisect_left(search.places, cursor - hunk.head)
            if at < len(search.places):
                cursor = search.places[at] + len(hunk.old) - hunk.tail


def _narrowed(search: HunkCandidates, lines: LineIndex, cursor: int, *, again: bool) -> None:
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
    for number in named if len(named) <= MAX_PLACES_NAMED else ():
        first, end = max(number - len(hunk.old) + 1, cursor - hunk.head), lines.scope_end(number)
        inside.update(search.places[bisect_left(search.places, first) : bisect_left(search.places, end)])
    start = next((number for number in named if number >= cursor), cursor if again else None)
    if inside:
        search.places = sorted(inside)
    elif start is None:
        search.mark_unplaced("anchor_not_found", above=named[0])
    else:
        first = max(start - len(hunk.old) + 1, cursor - hunk.head)
        below = search.places[bisect_left(search.places, first) :]
        if not below:
            search.mark_unplaced("not_found", search.places)
        search.places = below


def _named(search: HunkCandidates, lines: LineIndex) -> list[int]:
    """The lines that the last of the hunk's anchors names; each anchor is sought within what the one before opens."""
    found: list[int] = []
    for anchor in search.hunk.anchors:
        everywhere = lines.anchors(anchor)
        named = _within(everywhere, found, lines) if found else everywhere
        if not named:
            search.anchor = anchor
            search.mark_unplaced("anchor_not_found", above=next(iter(everywhere), None))
            return []
        found = named
    return found


def _within(named: list[int], openers: list[int], lines: LineIndex) -> list[int]:
    """Those of the lines that stand in what one of `openers` opens, else those below the first of them."""
    inside: set[int] = set()
    for number in openers[:MAX_PLACES_NAMED]:
        inside.update(named[bisect_right(named, number) : bisect_left(named, lines.scope_end(number))])
    return sorted(inside) or named[bisect_right(named, openers[0]) :]
