"""What going back means for the files: which are ours to restore, and which somebody else has changed. Pure.

Our changes lie within the spans of the log; what changed between them, or since, was somebody else.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kimi_agent.rewind.formerly_ignored import perhaps_older
from kimi_agent.rewind.ignored_files import Aside, brought_back
from kimi_agent.workspace.checkpoint.tree_changes import Span
from kimi_agent.workspace.checkpoint.values import Kept, PathChange, Snapshot, Unkept
from kimi_agent.workspace.paths import named
from kimi_agent.workspace.transaction.file_folder_swaps import parents

_MOST_NAMES = 10
_NONE_ASIDE: Mapping[str, Aside] = {}


class Trees(Protocol):
    """What planning asks of the snapshots; blocking, and each may raise Unkept."""

    def take(self, also: Sequence[str] = ()) -> Snapshot: ...
    def changes(self, old: str, new: str) -> tuple[PathChange, ...]: ...
    def content(self, kept: Kept) -> bytes: ...
    def has(self, tree: str) -> bool: ...
    def also(self, tree: str) -> tuple[str, ...]: ...
    def apart(self, tree: str) -> tuple[str, ...]: ...


class Blocked(Exception):
    """The files cannot go back past record `seq`; `str(error)` is why."""

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(why)
        self.seq = seq


@dataclass(frozen=True)
class Way:
    """From the files as they are to `target`: what may be restored, and what somebody else changed meanwhile."""

    target: str
    ours: tuple[PathChange, ...] = ()
    yours: tuple[PathChange, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Edge:
    """From one known tree to the next: by us, or by somebody else."""

    old: str
    new: str
    ours: bool


def way_back(
    done: Sequence[Span],
    now: Snapshot,
    trees: Trees,
    *,
    wanted: Callable[[str], bool] = lambda path: True,
    single: bool = False,
    hidden: Collection[str] = (),
    aside: Mapping[str, Aside] = _NONE_ASIDE,
) -> Way:
    """The way to what stood before the first of `done`, for the paths that are `wanted`.

    What only somebody else changed is not touched; asked for by name (`single`) it is theirs. The paths `hidden` are
    ignored now: nobody can tell who changed them; but for those `aside`. Raises Blocked where the snapshots do not
    tell what is needed.
    """
    if not done:
        return Way(now.tree)
    _sound(done)
    target = done[0].before
    try:
        changes = trees.changes(now.tree, target)
        missed = {path for path in (*now.missed, *(path for span in done for path in span.missed)) if wanted(path)}
        older = perhaps_older(changes, trees.content)
        found = [each for each in changes if wanted(each.path) and each.path not in missed and each.path not in aside]
        brought = _brought(done[0], trees)
        left = {each.path for each in found if each.after is None and each.path not in brought and older(each.path)}
        found = [each for each in found if each.path not in left]
        theirs = _theirs(found, _edges(done, now.tree), trees)
        apart, apart_yours = brought_back(aside, now.tree, trees, wanted, missed) if aside else ([], [])
    except Unkept as error:
        raise Blocked(last_gone(done, trees), str(error)) from error
    foreign = {*theirs, *hidden}
    ours = [*(each for each in found if each.path not in foreign), *apart]
    ours.sort(key=lambda each: each.path)
    yours = [each for each in found if each.path in foreign and (single or theirs.get(each.path, True))]
    alone = [] if single else [each for each in found if not theirs.get(each.path, True) and each.path not in hidden]
    yours += apart_yours
    yours += _in_the_way(alone, [*ours, *yours])
    yours.sort(key=lambda each: each.path)
    return Way(target, tuple(ours), tuple(yours), tuple(_notes(sorted(missed), sorted(left))))


def keeping_theirs(way: Way) -> tuple[tuple[PathChange, ...], tuple[str, ...]]:
    """What can be restored while all of `yours` stays, and every path that then stays as it is."""
    stay = {each.path for each in way.yours if each.before is not None}
    above = {folder for path in stay for folder in parents(path)}
    blocked = {
        each.path for each in way.ours if each.after and (each.path in above or stay.intersection(parents(each.path)))
    }
    kept = sorted({*(each.path for each in way.yours), *blocked})
    return tuple(each for each in way.ours if each.path not in blocked), tuple(kept)


def _in_the_way(alone: Sequence[PathChange], going: Sequence[PathChange]) -> list[PathChange]:
    """What somebody else alone put where now a folder must be, or into a folder that must be a file."""
    puts = {each.path for each in going if each.after is not None}
    above = {folder for path in puts for folder in parents(path)}
    return [each for each in alone if each.before and (each.path in above or puts.intersection(parents(each.path)))]


def _brought(first: Span, trees: Trees) -> set[str]:
    """What a rewind that is now taken back had made anew: it kept ignored files of these names, so there were none."""
    if not first.rewind or not first.after:
        return set()
    return {each.path for each in trees.changes(first.before, first.after) if each.before is None}


def _sound(done: Sequence[Span]) -> None:
    """Raise Blocked at the last span that does not tell what it changed; the very last may be open."""
    for place, span in reversed(list(enumerate(done, 1))):
        if span.failed:
            raise Blocked(span.seq, f"a snapshot failed ({span.failed})")
        if not span.before or (not span.after and place < len(done)):
            raise Blocked(span.seq, "a snapshot is missing")


def last_gone(done: Sequence[Span], trees: Trees) -> int:
    """The record of the last span of which a snapshot is gone."""
    gone = [span.seq for span in done if not all(trees.has(tree) for tree in (span.before, span.after) if tree)]
    return max(gone, default=done[-1].seq)


def _edges(done: Sequence[Span], now: str) -> list[_Edge]:
    edges: list[_Edge] = []
    at = done[0].before
    for span in done:
        edges.append(_Edge(at, span.before, ours=False))
        edges.append(_Edge(span.before, span.after or now, ours=True))
        at = span.after or now
    edges.append(_Edge(at, now, ours=False))
    return [edge for edge in edges if edge.old != edge.new]


def _theirs(found: Sequence[PathChange], edges: Sequence[_Edge], trees: Trees) -> dict[str, bool]:
    """The paths that are what they are through somebody else; True for those through us as well."""
    gaps = [each for edge in edges if not edge.ours for each in trees.changes(edge.old, edge.new)]
    foreign = {each.path for each in gaps}
    written = {each.after.id for each in gaps if each.after is not None and each.after.size}
    mixed = {each.path: each.after for each in found if each.path in foreign}
    # What somebody wrote and a call of ours moved or copied elsewhere is still theirs.
    moved = {each.path: True for each in found if each.before is not None and each.before.id in written}
    if not mixed:
        return moved
    makers = {path: {value: frozenset[bool]()} for path, value in mixed.items()}
    current = {path: frozenset[bool]() for path in mixed}
    for edge in edges:
        for change in trees.changes(edge.old, edge.new):
            if change.path in mixed:
                # What stood there before is there again as it was made then, whoever brought it back.
                by = makers[change.path].setdefault(change.after, current[change.path] | {edge.ours})
                current[change.path] = by
    return moved | {path: True in by for path, by in current.items() if False in by}


def _notes(missed: Sequence[str], left: Sequence[str]) -> Iterator[str]:
    if missed:
        yield f"not kept by the snapshots (too big, or unreadable), so left as they are: {_named(missed)}"
    if left:
        yield f"left, for they may have been there before, ignored by git: {_named(left)}"


def _named(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _MOST_NAMES:,} more" if len(paths) > _MOST_NAMES else ""
    return ", ".join(named(path) for path in paths[:_MOST_NAMES]) + more
