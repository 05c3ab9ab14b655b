"""Turn changes: the files that each call of a turn changed, and what changed after a test run."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kimi_agent.verify.run_history import FileChangingCall, TestRunHistory, TestRunRecord
from kimi_agent.verify.tree_reader import TreeReader

MAX_COMPARED_FILES = 500


@dataclass(frozen=True)
class CallChange:
    """The files that one call changed: as the trees show (`in_trees`), and as the tool alone says (`only_reported`).

    `known` is False where neither of them says it.
    """

    call: FileChangingCall
    in_trees: tuple[str, ...]
    only_reported: tuple[str, ...]
    known: bool

    @property
    def touched(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.in_trees, *self.only_reported)


class TurnChanges:
    """What a turn changed. `start` is the tree at its first change ("": unknown), `files` are different now.

    `first_edit` is the sequence number of the call that changed something first (the turn's own, where none did), and
    `all_known` says whether no call may have changed more than is known.
    """

    def __init__(self, past: TestRunHistory, trees: TreeReader) -> None:
        self._past = past
        self._trees = trees
        in_turn = [changing_call for changing_call in past.changing_calls if changing_call.seq > past.turn]
        self.start = in_turn[0].before if in_turn else ""
        self._changes = list(self._read(in_turn))
        edits = [change.call.seq for change in self._changes if change.touched or not change.known]
        self.first_edit = min(edits, default=past.turn)
        self.files = self._net_changes(path for change in self._changes for path in change.touched)
        self.all_known = all(change.known for change in self._changes)

    def _read(self, changing_calls: Sequence[FileChangingCall]) -> Iterator[CallChange]:
        litter: set[str] = set()
        for changing_call in changing_calls:
            found = self._trees.diff(changing_call.before, changing_call.after)
            seen = found or ()
            if changing_call.is_run:
                looked_at = seen[:MAX_COMPARED_FILES]
                old = {path for path in looked_at if path not in litter and self._existed(changing_call.before, path)}
                litter.update(path for path in seen if path not in old)
                yield CallChange(changing_call, tuple(path for path in seen if path in old), (), known=True)
            else:
                apart = self._trees.held_ignored(changing_call.before, changing_call.after) if seen else set()
                reported = [path for path in changing_call.reported_paths if path not in seen]
                reported += [path for path in seen if path in apart]
                in_trees = tuple(path for path in seen if path not in apart)
                known = changing_call.is_fully_reported or found is not None
                yield CallChange(changing_call, in_trees, tuple(reported), known)

    def _existed(self, tree: str, path: str) -> bool:
        """Whether a path existed in `tree`: a test run edits such a file (a golden one), and a new one is litter."""
        return self._trees.text(tree, path) is not None

    def _net_changes(self, touched: Iterable[str]) -> tuple[str, ...]:
        """The files that are different now; one that was changed and changed back is not."""
        files = tuple(dict.fromkeys(touched))
        net = self._trees.diff(self.start, self._trees.now)
        if net is None:
            return files
        different = {*net, *(path for change in self._changes for path in change.only_reported)}
        return tuple(path for path in files if path in different)

    def since(self, run: TestRunRecord) -> tuple[tuple[str, ...], bool]:
        """What changed after a run, and whether that is all."""
        later = [change for change in self._changes if change.call.seq > run.seq]
        found = self._trees.diff(run.after, self._trees.now)
        if found is not None:
            reported = (path for change in later for path in change.only_reported)
            return tuple(dict.fromkeys([*found, *reported])), True
        touched = dict.fromkeys(path for change in later for path in change.touched)
        return tuple(touched), all(change.known for change in later)

    def stands(self, run: TestRunRecord) -> bool:
        """Whether a run speaks for the files as they are: nothing changed after it, as far as is known.

        A run of an earlier turn has to be bound to the very tree of now.
        """
        if run.seq <= self._past.turn and self._trees.diff(run.after, self._trees.now) is None:
            return False
        return self.since(run) == ((), True)

    def epochs(self) -> Iterator[int]:
        """For each run a number that is the same as long as nothing happened that could change how tests end."""
        acts = [changing_call.seq for changing_call in self._past.changing_calls if not changing_call.is_run]
        edited = {change.call.seq for change in self._changes if change.call.is_run and change.in_trees}
        epoch = at = 0
        before: TestRunRecord | None = None
        for run in self._past.runs:
            passed = at
            while at < len(acts) and acts[at] < run.seq:
                at += 1
            if before is not None and before.seq != run.seq:
                # Between two turns the person may have done something.
                asked = before.seq <= self._past.turn < run.seq
                epoch += before.after != run.before or before.seq in edited or asked
            epoch += at > passed
            before = run
            yield epoch
