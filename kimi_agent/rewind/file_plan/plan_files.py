"""The file plan of a rewind: which files are ours to restore, which others changed, and which nobody can tell. Pure.

Our changes lie within the tree changes of the log (see `authorship`); what changed between them, or since, was
somebody else.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kimi_agent.printable import list_paths
from kimi_agent.rewind.file_plan.authorship import Author, AuthoredChange, Authorship, SnapshotAccess
from kimi_agent.rewind.file_plan.ignored_files import IgnoredFile, plan_ignored_files
from kimi_agent.rewind.file_plan.uncovered import HalfMove, find_half_moves
from kimi_agent.rewind.tree_changes import TreeChange
from kimi_agent.workspace.checkpoint.ignore_rules import is_litter
from kimi_agent.workspace.checkpoint.snapshot_values import (
    PathChange,
    Snapshot,
    SnapshotError,
    TreeEntry,
    UnkeptPaths,
)
from kimi_agent.workspace.paths import parent_folders


class RewindBlocked(Exception):
    """The files cannot go back past record `seq`; `str(error)` is why."""

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(why)
        self.seq = seq


@dataclass(frozen=True)
class FilePlan:
    """The changes from the files as they are to the tree `target`: `ours` to restore, `yours` that others changed too.

    `unsure` were written while a command of ours ran, perhaps by somebody else.
    """

    target: str
    ours: tuple[PathChange, ...] = ()
    yours: tuple[PathChange, ...] = ()
    unsure: tuple[PathChange, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[PathChange, ...]:
        """All changes that may be made, by path."""
        return tuple(sorted((*self.ours, *self.yours, *self.unsure), key=lambda change: change.path))


@dataclass(frozen=True)
class FilesThere:
    """What is known of the files beside their trees.

    `now_ignored` are files of the target that a rule ignores now, `ignored` those that calls named; `then` is what
    stood there and is not in the target (None: not known). `exists` looks at the disk, and `moved_in` says whether a
    changed file may be one that stood elsewhere, unkept.
    """

    now_ignored: Collection[str] = ()
    ignored: Mapping[str, IgnoredFile] = field(default_factory=dict)
    then: UnkeptPaths | None = None
    exists: Callable[[str], bool] = lambda path: False
    moved_in: Callable[[str], bool] = lambda path: False


def plan_files(
    spans: Sequence[TreeChange],
    now: Snapshot,
    trees: SnapshotAccess,
    authorship: Authorship,
    there: FilesThere,
    *,
    wanted: Callable[[str], bool] = lambda path: True,
    by_name: bool = False,
) -> FilePlan:
    """Plan the way back to the tree before the first of `spans`, for the paths that are `wanted`.

    What only somebody else changed is not touched; asked for `by_name` it goes to `yours`. What stood there at the
    target, unkept, is never deleted. Raises RewindBlocked where snapshots lack what is needed.
    """
    if not spans:
        return FilePlan(now.tree)
    _check_complete(spans)
    target = spans[0].before
    try:
        changes = list(trees.changes(now.tree, target))
        missed = _find_missed(now, target, trees)
        changes = [*changes, *_passed_over(there.now_ignored, changes, now.tree, target, trees)]
        found = [each for each in changes if each.path not in there.ignored and not _is_missed(each.path, missed)]
        moves = find_half_moves(found, there.then, there.exists)
        found = [each for each in found if wanted(each.path) and not any(move.covers(each) for move in moves)]
        authors = _find_authors(found, spans, now.tree, trees, authorship)
        ignored_ours, ignored_yours = plan_ignored_files(there.ignored, now.tree, trees, wanted)
    except SnapshotError as error:
        raise RewindBlocked(last_lost_record(spans, trees), str(error)) from error
    left = {each.path for each in found if each.after is None and _stood(each.path, there.then)}
    lost = {each.path for each in found if each.before and not (each.after and each.after.id == each.before.id)}
    moved_in = {path for path in lost - left if there.moved_in(path)}
    groups: dict[str, list[PathChange]] = {"ours": ignored_ours, "yours": ignored_yours, "unsure": [], "untouched": []}
    for each in found:
        if each.path not in left | moved_in:
            kind = _group(authors[each.path], by_name=by_name, hidden=each.path in there.now_ignored)
            groups[kind].append(each)
    _join_moved(groups)
    going = [*groups["ours"], *groups["yours"], *groups["unsure"]]
    groups["yours"] += _obstacles(groups["untouched"], going)
    ours, yours, unsure = (tuple(sorted(groups[kind], key=_path)) for kind in ("ours", "yours", "unsure"))
    named = [path for path in missed if wanted(path)]
    return FilePlan(target, ours, yours, unsure, tuple(_notes(named, sorted(left), sorted(moved_in), moves)))


def leave_paths(plan: FilePlan, left: Collection[str]) -> tuple[FilePlan, tuple[str, ...]]:
    """The plan without the paths `left`, and with them all that cannot go back while they stay as they are."""
    kept = set(left)
    standing = {each.path for each in plan.all if each.path in kept and each.before is not None}
    clashes = _clash_test(standing)
    kept |= {each.path for each in plan.all if each.after and each.path not in kept and clashes(each.path)}
    groups = (tuple(each for each in group if each.path not in kept) for group in (plan.ours, plan.yours, plan.unsure))
    ours, yours, unsure = groups
    return replace(plan, ours=ours, yours=yours, unsure=unsure), tuple(sorted(kept))


def _path(change: PathChange) -> str:
    return change.path


def _group(authors: frozenset[Author], *, by_name: bool, hidden: bool) -> str:
    """Where a change goes, by who made the present state of the path."""
    if authors == {"agent"}:
        return "ours"
    if "other" not in authors:
        return "unsure"
    # Of a file that a rule hides now nobody knows what became of it, unless a call of ours left it so.
    return "yours" if by_name or hidden or len(authors) > 1 else "untouched"


def _join_moved(groups: dict[str, list[PathChange]]) -> None:
    """Let a file that would be deleted share the lot of the place that its content came from.

    Where somebody else has written that place anew, what a call of ours moved may be the only file with that content.
    """
    for kind in ("unsure", "yours"):
        stay = {each.after.id for each in groups[kind] if each.after and each.after.size}
        for other in ("ours", "unsure"):
            joined = [each for each in groups[other] if not each.after and each.before and each.before.id in stay]
            if other != kind and joined:
                groups[other] = [each for each in groups[other] if each not in joined]
                groups[kind] = [*groups[kind], *joined]


def _obstacles(untouched: Sequence[PathChange], going: Sequence[PathChange]) -> list[PathChange]:
    """The files of somebody else that lie where a folder must be now, or in a folder that must be a file."""
    clashes = _clash_test({each.path for each in going if each.after is not None})
    return [each for each in untouched if each.before and clashes(each.path)]


def _clash_test(files: set[str]) -> Callable[[str], bool]:
    """Make a test whether a file cannot exist beside these `files`: it lies below one of them, or one below it."""
    above = {folder for path in files for folder in parent_folders(path)}
    return lambda path: path in above or not files.isdisjoint(parent_folders(path))


def _stood(path: str, then: UnkeptPaths | None) -> bool:
    """Whether a file that the target does not hold was there all the same, as far as is known."""
    return is_litter(path) or (then is not None and then.stood(path))


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


def _passed_over(
    now_ignored: Collection[str], changes: Sequence[PathChange], now: str, target: str, trees: SnapshotAccess
) -> list[PathChange]:
    """The changes of files that a rule ignores now, where the target was not asked for them but knows all the same."""
    found = {each.path for each in changes}
    pairs = [
        (path, trees.entry_at(now, path), trees.entry_at(target, path)) for path in now_ignored if path not in found
    ]
    return [PathChange(path, before, after) for path, before, after in pairs if before != after]


def _find_missed(now: Snapshot, target: str, trees: SnapshotAccess) -> list[str]:
    """The paths that today's snapshot, or the one to go back to, could not keep: neither can be restored."""
    return sorted({*now.missed, *trees.missed(target)})


def _is_missed(path: str, missed: Collection[str]) -> bool:
    return path in missed or any(folder in missed for folder in parent_folders(path))


def _history(
    spans: Sequence[TreeChange], now: str, trees: SnapshotAccess, authorship: Authorship
) -> Iterator[AuthoredChange]:
    """All changes from the tree before the first of the spans to `now`, in order."""
    at = spans[0].before
    for span in spans:
        yield from (AuthoredChange(each, "other") for each in trees.changes(at, span.before))
        yield from authorship.of(span, now)
        at = span.after or now
    yield from (AuthoredChange(each, "other") for each in trees.changes(at, now))


def _find_authors(
    found: Sequence[PathChange], spans: Sequence[TreeChange], now: str, trees: SnapshotAccess, authorship: Authorship
) -> dict[str, frozenset[Author]]:
    """Who had a part in the present state of each path; nobody where no snapshot tells."""
    makers: dict[str, dict[TreeEntry | None, frozenset[Author]]] = {
        each.path: {each.after: frozenset()} for each in found
    }
    current = {each.path: frozenset[Author]() for each in found}
    state: dict[str, TreeEntry | None] = {}
    theirs, written = set[str](), set[str]()
    for authored in _history(spans, now, trees, authorship):
        change, author = authored.change, authored.author
        if author == "other":
            # Also what they replaced, unless a call of ours had written that: a copy of ours may be the last one.
            sides = (change.after, None if change.path in written else change.before)
            theirs |= {kept.id for kept in sides if kept is not None and kept.size}
        (written.add if author == "agent" else written.discard)(change.path)
        if change.path in current:
            # What was there before is there again as it was made then, whoever brought it back.
            made = makers[change.path].setdefault(change.after, current[change.path] | {author})
            current[change.path], state[change.path] = made, change.after
            if not authored.seen:
                del state[change.path]
    for each in found:
        changed_unseen = each.path in state and state[each.path] != each.before
        # What somebody wrote or replaced, and a call of ours moved or copied elsewhere, is still theirs.
        if changed_unseen or (each.before is not None and each.before.id in theirs):
            current[each.path] |= {"other"}
    return current


def _notes(
    missed: Sequence[str], left: Sequence[str], moved_in: Sequence[str], moves: Sequence[HalfMove]
) -> Iterator[str]:
    if missed:
        yield f"not kept by the snapshots (too big, or unreadable), so left as they are: {list_paths(missed)}"
    if left:
        yield f"left, for they were there before, though no snapshot holds them: {list_paths(left)}"
    if moved_in:
        yield f"left, for they are older than the call and may have been moved here: {list_paths(moved_in)}"
    for move in moves:
        yield f"left as moved, for no snapshot holds all of it: {move}"
