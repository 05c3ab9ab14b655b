"""The file plan of a rewind: which files are ours to restore, and which somebody else has changed. Pure.

Our changes lie within the tree changes of the log; what changed between them, or since, was somebody else.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from kimi_agent.printable import list_paths
from kimi_agent.rewind.formerly_ignored import make_formerly_ignored_test
from kimi_agent.rewind.ignored_files import IgnoredFile, SnapshotAccess, plan_ignored_files
from kimi_agent.workspace.checkpoint.snapshot_values import PathChange, Snapshot, SnapshotError
from kimi_agent.workspace.checkpoint.tree_changes import TreeChange
from kimi_agent.workspace.paths import parent_folders


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
    spans: Sequence[TreeChange],
    now: Snapshot,
    trees: SnapshotAccess,
    *,
    wanted: Callable[[str], bool] = lambda path: True,
    by_name: bool = False,
    now_ignored: Collection[str] = (),
    ignored: Mapping[str, IgnoredFile] = {},
) -> FilePlan:
    """Plan the way back to the tree before the first of `spans`, for the paths that are `wanted`.

    What only somebody else changed is not touched; asked for `by_name` it goes to `yours`. Nobody knows who changed the
    paths that are `now_ignored`, except those in `ignored`. Raises RewindBlocked where snapshots lack what is needed.
    """
    if not spans:
        return FilePlan(now.tree)
    _check_complete(spans)
    target = spans[0].before
    try:
        changes = trees.changes(now.tree, target)
        missed = {path for path in chain(now.missed, *(span.missed for span in spans)) if wanted(path)}
        may_be_older = make_formerly_ignored_test(changes, trees.content)
        found = [each for each in changes if wanted(each.path) and each.path not in missed and each.path not in ignored]
        created = {each.path for each in found if each.after is None} - _made_by_rewind(spans[0], trees)
        left = set(filter(may_be_older, created))
        found = [each for each in found if each.path not in left]
        theirs = _changed_by_others(found, _transitions(spans, now.tree), trees)
        ignored_ours, ignored_yours = plan_ignored_files(ignored, now.tree, trees, wanted, missed)
    except SnapshotError as error:
        raise RewindBlocked(last_lost_record(spans, trees), str(error)) from error
    foreign = {*theirs, *now_ignored}
    only_theirs = {path for path, mixed in theirs.items() if not (by_name or mixed)}
    ours = [*(each for each in found if each.path not in foreign), *ignored_ours]
    yours = [each for each in found if each.path in foreign - only_theirs] + ignored_yours
    untouched = [each for each in found if each.path in only_theirs.difference(now_ignored)]
    yours += _obstacles(untouched, [*ours, *yours])
    ours, yours = (sorted(changes, key=lambda each: each.path) for changes in (ours, yours))
    return FilePlan(target, tuple(ours), tuple(yours), tuple(_notes(sorted(missed), sorted(left))))


def keep_others_changes(plan: FilePlan) -> tuple[tuple[PathChange, ...], tuple[str, ...]]:
    """The changes that can be made while all of `yours` stays, and every path that then stays as it is."""
    clashes = _clash_test({each.path for each in plan.yours if each.before is not None})
    blocked = {each.path for each in plan.ours if each.after and clashes(each.path)}
    kept = sorted({*(each.path for each in plan.yours), *blocked})
    return tuple(each for each in plan.ours if each.path not in blocked), tuple(kept)


def _obstacles(untouched: Sequence[PathChange], going: Sequence[PathChange]) -> list[PathChange]:
    """The files of somebody else that lie where a folder must be now, or in a folder that must be a file."""
    clashes = _clash_test({each.path for each in going if each.after is not None})
    return [each for each in untouched if each.before and clashes(each.path)]


def _clash_test(files: set[str]) -> Callable[[str], bool]:
    """Make a test whether a file cannot exist beside these `files`: it lies below one of them, or one below it."""
    above = {folder for path in files for folder in parent_folders(path)}
    return lambda path: path in above or not files.isdisjoint(parent_folders(path))


def _made_by_rewind(first: TreeChange, trees: SnapshotAccess) -> set[str]:
    """The files that a rewind, now undone, had created: it had found no ignored ones in their place."""
    if not first.rewind or not first.after:
        return set()
    return {each.path for each in trees.changes(first.before, first.after) if each.before is None}


def _check_complete(spans: Sequence[TreeChange]) -> None:
    """Raise RewindBlocked at the last tree change whose trees are not known; the very last may be open."""
    for place, span in reversed(list(enumerate(spans, 1))):
        if span.failed:
            raise RewindBlocked(span.seq, f"a snapshot failed ({span.failed})")
        if not span.before or (not span.after and place < len(spans)):
            raise RewindBlocked(span.seq, "a snapshot is missing")


def last_lost_record(spans: Sequence[TreeChange], trees: SnapshotAccess) -> int:
    """The record of the last tree change of which a snapshot is gone."""
    gone = [span.seq for span in spans if not all(trees.has(tree) for tree in (span.before, span.after) if tree)]
    return max(gone, default=spans[-1].seq)


def _transitions(spans: Sequence[TreeChange], now: str) -> list[_Transition]:
    found: list[_Transition] = []
    at = spans[0].before
    for span in spans:
        after = span.after or now
        found += _Transition(at, span.before, ours=False), _Transition(span.before, after, ours=True)
        at = after
    found.append(_Transition(at, now, ours=False))
    return [each for each in found if each.old != each.new]


def _changed_by_others(
    found: Sequence[PathChange], transitions: Sequence[_Transition], trees: SnapshotAccess
) -> dict[str, bool]:
    """The paths whose present state somebody else had a part in; True where we had one as well."""
    by_others = (transition for transition in transitions if not transition.ours)
    gaps = [each for transition in by_others for each in trees.changes(transition.old, transition.new)]
    foreign = {each.path for each in gaps}
    written = {each.after.id for each in gaps if each.after is not None and each.after.size}
    mixed = {each.path: each.after for each in found if each.path in foreign}
    # What somebody wrote and a call of ours moved or copied elsewhere is still theirs.
    moved = {each.path: True for each in found if each.before is not None and each.before.id in written}
    if not mixed:
        return moved
    makers = {path: {value: frozenset[bool]()} for path, value in mixed.items()}
    current = {path: frozenset[bool]() for path in mixed}
    for transition in transitions:
        for change in trees.changes(transition.old, transition.new):
            if change.path in mixed:
                # What was there before is there again as it was made then, whoever brought it back.
                new_makers = current[change.path] | {transition.ours}
                current[change.path] = makers[change.path].setdefault(change.after, new_makers)
    return moved | {path: True in by for path, by in current.items() if False in by}


def _notes(missed: Sequence[str], left: Sequence[str]) -> Iterator[str]:
    if missed:
        yield f"not kept by the snapshots (too big, or unreadable), so left as they are: {list_paths(missed)}"
    if left:
        yield f"left, for they may have been there before, ignored by git: {list_paths(left)}"
