"""The file plan of a rewind: which files are ours to restore, and which somebody else has changed. Pure.

Our changes lie within the tree changes of the log; what changed between them, or since, was somebody else.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kimi_agent.printable import list_paths
from kimi_agent.rewind.formerly_ignored import make_formerly_ignored_test
from kimi_agent.rewind.ignored_files import IgnoredFile, SnapshotAccess, plan_ignored_files
from kimi_agent.workspace.checkpoint.tree_changes import TreeChange
from kimi_agent.workspace.checkpoint.values import PathChange, Snapshot, SnapshotError
from kimi_agent.workspace.paths import parent_folders

_NO_IGNORED_FILES: Mapping[str, IgnoredFile] = {}


class RewindBlocked(Exception):
    """The files cannot go back past record `seq`; `str(error)` is why."""

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(why)
        self.seq = seq


@dataclass(frozen=True)
class FilePlan:
    """The changes from the files as they are to the tree `target`: `ours` to restore, `yours` that others changed."""

    target: str
    ours: tuple[PathChange, ...] = ()
    yours: tuple[PathChange, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Transition:
    """From one known tree to the next: by us, or by somebody else."""

    old: str
    new: str
    ours: bool


def plan_files(
    done: Sequence[TreeChange],
    now: Snapshot,
    trees: SnapshotAccess,
    *,
    wanted: Callable[[str], bool] = lambda path: True,
    single: bool = False,
    hidden: Collection[str] = (),
    aside: Mapping[str, IgnoredFile] = _NO_IGNORED_FILES,
) -> FilePlan:
    """Plan the way back to the tree before the first of `done`, for the paths that are `wanted`.

    What only somebody else changed is not touched; asked for by name (`single`) it goes to `yours`. The paths `hidden`
    are ignored now: nobody knows who changed them, but for those `aside`. Raises RewindBlocked where the snapshots lack
    what is needed.
    """
    if not done:
        return FilePlan(now.tree)
    _check_complete(done)
    target = done[0].before
    try:
        changes = trees.changes(now.tree, target)
        missed = {path for path in (*now.missed, *(path for span in done for path in span.missed)) if wanted(path)}
        older = make_formerly_ignored_test(changes, trees.content)
        found = [each for each in changes if wanted(each.path) and each.path not in missed and each.path not in aside]
        brought = _made_by_rewind(done[0], trees)
        left = {each.path for each in found if each.after is None and each.path not in brought and older(each.path)}
        found = [each for each in found if each.path not in left]
        theirs = _changed_by_others(found, _transitions(done, now.tree), trees)
        apart, apart_yours = plan_ignored_files(aside, now.tree, trees, wanted, missed) if aside else ([], [])
    except SnapshotError as error:
        raise RewindBlocked(last_lost_record(done, trees), str(error)) from error
    foreign = {*theirs, *hidden}
    ours = [*(each for each in found if each.path not in foreign), *apart]
    ours.sort(key=lambda each: each.path)
    yours = [each for each in found if each.path in foreign and (single or theirs.get(each.path, True))]
    alone = [] if single else [each for each in found if not theirs.get(each.path, True) and each.path not in hidden]
    yours += apart_yours
    yours += _obstacles(alone, [*ours, *yours])
    yours.sort(key=lambda each: each.path)
    return FilePlan(target, tuple(ours), tuple(yours), tuple(_notes(sorted(missed), sorted(left))))


def keep_others_changes(way: FilePlan) -> tuple[tuple[PathChange, ...], tuple[str, ...]]:
    """What can be restored while all of `yours` stays, and every path that then stays as it is."""
    clashes = _clash_test({each.path for each in way.yours if each.before is not None})
    blocked = {each.path for each in way.ours if each.after and clashes(each.path)}
    kept = sorted({*(each.path for each in way.yours), *blocked})
    return tuple(each for each in way.ours if each.path not in blocked), tuple(kept)


def _obstacles(alone: Sequence[PathChange], going: Sequence[PathChange]) -> list[PathChange]:
    """What somebody else alone put where now a folder must be, or into a folder that must be a file."""
    clashes = _clash_test({each.path for each in going if each.after is not None})
    return [each for each in alone if each.before and clashes(each.path)]


def _clash_test(files: set[str]) -> Callable[[str], bool]:
    """A test whether a file cannot be beside these `files`: it lies below one of them, or one of them below it."""
    above = {folder for path in files for folder in parent_folders(path)}
    return lambda path: path in above or not files.isdisjoint(parent_folders(path))


def _made_by_rewind(first: TreeChange, trees: SnapshotAccess) -> set[str]:
    """The files that a rewind, now to be undone, had created: it also looked for ignored ones there, and found none."""
    if not first.rewind or not first.after:
        return set()
    return {each.path for each in trees.changes(first.before, first.after) if each.before is None}


def _check_complete(done: Sequence[TreeChange]) -> None:
    """Raise RewindBlocked at the last tree change whose trees are not known; the very last may be open."""
    for place, span in reversed(list(enumerate(done, 1))):
        if span.failed:
            raise RewindBlocked(span.seq, f"a snapshot failed ({span.failed})")
        if not span.before or (not span.after and place < len(done)):
            raise RewindBlocked(span.seq, "a snapshot is missing")


def last_lost_record(done: Sequence[TreeChange], trees: SnapshotAccess) -> int:
    """The record of the last span of which a snapshot is gone."""
    gone = [span.seq for span in done if not all(trees.has(tree) for tree in (span.before, span.after) if tree)]
    return max(gone, default=done[-1].seq)


def _transitions(done: Sequence[TreeChange], now: str) -> list[_Transition]:
    edges: list[_Transition] = []
    at = done[0].before
    for span in done:
        edges.append(_Transition(at, span.before, ours=False))
        edges.append(_Transition(span.before, span.after or now, ours=True))
        at = span.after or now
    edges.append(_Transition(at, now, ours=False))
    return [edge for edge in edges if edge.old != edge.new]


def _changed_by_others(
    found: Sequence[PathChange], edges: Sequence[_Transition], trees: SnapshotAccess
) -> dict[str, bool]:
    """The paths whose present state somebody else had a part in; True where we had one as well."""
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
                # What was there before is there again as it was made then, whoever brought it back.
                by = makers[change.path].setdefault(change.after, current[change.path] | {edge.ours})
                current[change.path] = by
    return moved | {path: True in by for path, by in current.items() if False in by}


def _notes(missed: Sequence[str], left: Sequence[str]) -> Iterator[str]:
    if missed:
        yield f"not kept by the snapshots (too big, or unreadable), so left as they are: {list_paths(missed)}"
    if left:
        yield f"left, for they may have been there before, ignored by git: {list_paths(left)}"
