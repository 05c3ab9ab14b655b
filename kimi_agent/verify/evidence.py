"""Evidence of a turn: which tests prove its changes, judged from the log and the file trees, never by the model.

A pure reading of both. A turn goes from a prompt of the person to the next. A tree is known by the hash of its
files, so that "red at tree A, edit, green at tree B" and "nothing changed since the last run" are facts. Where no
snapshot could be taken, the edits that tools reported stand in for them, and what is not known is not called
proven.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from kimi_agent.errors import UserError
from kimi_agent.log.events import Stamped
from kimi_agent.log.views import Evidence, TestReport, Weakened
from kimi_agent.verify.outcomes import TestOutcomes, file_of_test, find_lost_and_skipped, leaf_name, track_outcomes
from kimi_agent.verify.run_history import FileChangingCall, TestRunHistory, TestRunRecord, read_run_history

ChangedPathsOf = Callable[[str, str], Sequence[str]]
"""The paths that differ between two trees. May raise UserError where one of them is gone."""
FileTextOf = Callable[[str, str], str | None]
"""The text of a file (tree, path), None where there is none. May raise UserError likewise."""
HeldIgnoredIn = Callable[[str], Sequence[str]]
"""The paths of a tree (by its hash) that git ignores and only that snapshot kept. May raise UserError likewise."""

MAX_EVIDENCE_FILES, MAX_EVIDENCE_IDS, MAX_COMPARED_FILES = 200, 1_000, 500
_MOST_PATH = 1_000
CHANGES_SINCE_RUN_UNKNOWN = "whether files changed since the last run is not known: no snapshot could be taken"
CHANGES_UNKNOWN = "whether files changed is not known: no snapshot could be taken"
FAILED_TEST_WEAKENED = "a test that failed was weakened in this turn, so nothing proves that it was mended"
ONLY_EXIT_CODE_KNOWN = "only an exit code speaks for it, of a command that was never seen to fail"
# The files that say what these programs run: `make test` runs what the Makefile says.
_TASK_FILES: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("make", "gmake"), ("Makefile", "makefile", "GNUmakefile")),
    **dict.fromkeys(("npm", "pnpm", "yarn", "bun"), ("package.json",)),
    "just": ("justfile", "Justfile", ".justfile"),
    "task": ("Taskfile.yml", "Taskfile.yaml"),
    "rake": ("Rakefile",),
    "composer": ("composer.json",),
}


def judge_turn(
    log: Iterable[Stamped],
    *,
    now: str,
    changed: ChangedPathsOf,
    text: FileTextOf,
    apart: HeldIgnoredIn = lambda tree: (),
) -> Evidence:
    """The evidence of the turn that just ended. `now` is the tree at its end, "" where no snapshot could be taken.

    `apart` gives the files that git ignores and that only this one snapshot was asked to hold: other trees don't have
    them, so a comparison of trees says nothing about them.
    """
    return _EvidenceBuilder(read_run_history(log, now), _TreeReader(now, changed, text, apart)).evidence()


class _TreeReader:
    """Cached questions to the trees (differences, texts); None where there is no answer."""

    def __init__(self, now: str, changed: ChangedPathsOf, text: FileTextOf, apart: HeldIgnoredIn) -> None:
        self.now = now
        self._apart = apart
        self._changed = changed
        self._text = text
        self._diffs: dict[tuple[str, str], tuple[str, ...] | None] = {}
        self._texts: dict[tuple[str, str], str | None] = {}

    def diff(self, old: str, new: str) -> tuple[str, ...] | None:
        """The paths that differ, None where one of the trees is not known."""
        if not old or not new:
            return None
        if old == new:
            return ()
        if (old, new) not in self._diffs:
            try:
                self._diffs[old, new] = tuple(self._changed(old, new))
            except UserError:
                self._diffs[old, new] = None
        return self._diffs[old, new]

    def text(self, tree: str, path: str) -> str | None:
        """The text of a file, None where there is none, or no tree."""
        if not tree or not path.isprintable() or len(path) > _MOST_PATH:
            return None
        if (tree, path) not in self._texts:
            try:
                self._texts[tree, path] = self._text(tree, path)
            except UserError:
                self._texts[tree, path] = None
        return self._texts[tree, path]

    def held_ignored(self, *trees: str) -> set[str]:
        """The ignored paths that only these trees hold, so that no comparison says whether they changed."""
        try:
            return {path for tree in trees if tree for path in self._apart(tree)}
        except UserError:
            return set()

    def has_test(self, tree: str, test: str) -> bool | None:
        """Whether the file that a test's id names holds its name; None where the id names no file of that tree."""
        found = self.text(tree, file_of_test(test))
        return None if found is None else leaf_name(test) in found


@dataclass(frozen=True)
class _Change:
    """The files that one call changed: as the trees show (`in_trees`), and as the tool alone says (`only_reported`).

    `known` is False where neither of them says it.
    """

    call: FileChangingCall
    in_trees: tuple[str, ...]
    only_reported: tuple[str, ...]
    known: bool

    @property
    def touched(self) -> tuple[str, ...]:
        return (*self.in_trees, *self.only_reported)


class _EvidenceBuilder:
    def __init__(self, past: TestRunHistory, trees: _TreeReader) -> None:
        self._past = past
        self._trees = trees
        in_turn = [changing_call for changing_call in past.changing_calls if changing_call.seq > past.turn]
        self._start = in_turn[0].before if in_turn else ""
        self._changes = list(self._read_changes(in_turn))
        edits = [change.call.seq for change in self._changes if change.touched or not change.known]
        self._first_edit = min(edits, default=past.turn)
        self._files = self._net_changes([path for change in self._changes for path in change.touched])
        self._last = self._deciding_run()

    def _read_changes(self, changing_calls: Sequence[FileChangingCall]) -> Iterator[_Change]:
        litter: set[str] = set()
        for changing_call in changing_calls:
            found = self._trees.diff(changing_call.before, changing_call.after)
            seen = found or ()
            if changing_call.is_run:
                looked_at = seen[:MAX_COMPARED_FILES]
                old = {path for path in looked_at if path not in litter and self._existed(changing_call.before, path)}
                litter.update(path for path in seen if path not in old)
                yield _Change(changing_call, tuple(path for path in seen if path in old), (), known=True)
            else:
                apart = self._trees.held_ignored(changing_call.before, changing_call.after) if seen else set()
                reported = [path for path in changing_call.reported_paths if path not in seen]
                reported += [path for path in seen if path in apart]
                in_trees = tuple(path for path in seen if path not in apart)
                known = changing_call.is_fully_reported or found is not None
                yield _Change(changing_call, in_trees, tuple(reported), known)

    def _existed(self, tree: str, path: str) -> bool:
        """Whether a path existed in `tree`: a test run edits such a file (a golden one), and a new one is litter."""
        return self._trees.text(tree, path) is not None

    def _net_changes(self, touched: Iterable[str]) -> tuple[str, ...]:
        """The files that are different now; one that was changed and changed back is not."""
        files = tuple(dict.fromkeys(touched))
        net = self._trees.diff(self._start, self._trees.now)
        if net is None:
            return files
        different = {*net, *(path for change in self._changes for path in change.only_reported)}
        return tuple(path for path in files if path in different)

    def _deciding_run(self) -> TestRunRecord | None:
        """The run that decides: the last one, if it was in this turn or ran on exactly the files of now."""
        last = self._past.runs[-1] if self._past.runs else None
        if last is None or last.seq > self._past.turn:
            return last
        same = self._trees.diff(last.after, self._trees.now) == () and not self._changed_since(last)[0]
        return last if same else None

    def _changed_since(self, run: TestRunRecord) -> tuple[tuple[str, ...], bool]:
        """What changed after a run, and whether that is all."""
        later = [change for change in self._changes if change.call.seq > run.seq]
        found = self._trees.diff(run.after, self._trees.now)
        if found is not None:
            reported = (path for change in later for path in change.only_reported)
            return tuple(dict.fromkeys([*found, *reported])), True
        touched = dict.fromkeys(path for change in later for path in change.touched)
        return tuple(touched), all(change.known for change in later)

    def evidence(self) -> Evidence:
        past, last = self._past, self._last
        outcomes = track_outcomes(past.runs, turn=past.turn, first_edit=self._first_edit, epochs=list(self._epochs()))
        weakened, moved = self._weakened(outcomes)
        unseen = ((test, run) for test, run in outcomes.red.items() if run is not last)
        still_red = tuple(test for test, run in unseen if not self._is_gone(test, run, outcomes, moved))
        found = Evidence(
            verdict="no_tests" if self._files else "none_needed",
            tree=self._trees.now,
            files=self._files[:MAX_EVIDENCE_FILES],
            still_red=still_red[:MAX_EVIDENCE_IDS],
            weakened=weakened,
        )
        unknown = not self._files and not all(change.known for change in self._changes)
        if last is None:
            return replace(found, verdict="not_verified", trouble=CHANGES_UNKNOWN) if unknown else found
        since, sure = self._changed_since(last)
        quieted = self._quieted(weakened, outcomes)
        trouble = FAILED_TEST_WEAKENED if quieted else ""
        if not sure:
            trouble = CHANGES_SINCE_RUN_UNKNOWN
        elif self._proves_nothing(last):
            trouble = ONLY_EXIT_CODE_KNOWN
        bad = last.report.verdict != "passed" or since or trouble or still_red or outcomes.flaky
        verdict: Literal["verified", "not_verified"] = "not_verified" if bad else "verified"
        return replace(
            found,
            verdict=verdict if self._files or unknown else "none_needed",
            changed_since=since[:MAX_EVIDENCE_FILES],
            last=replace(last.report, cases=last.report.cases[:MAX_EVIDENCE_IDS]),
            passed=0 if last.only_exit_code else len(last.green),
            failed=0 if last.only_exit_code else len(last.red),
            skipped=len(last.skipped),
            fixed=tuple(test for test in outcomes.fixed if test not in quieted)[:MAX_EVIDENCE_IDS],
            broke=outcomes.broke[:MAX_EVIDENCE_IDS],
            flaky=outcomes.flaky[:MAX_EVIDENCE_IDS],
            scope=last.scope,
            trouble=trouble,
        )

    def _quieted(self, weakened: tuple[Weakened, ...], outcomes: TestOutcomes) -> frozenset[str]:
        """The tests that were red when the turn began, and were weakened in it."""
        found = {each.test for each in weakened if each.test}
        red = (test for test, state in outcomes.at_turn_start.items() if state == "red")
        return frozenset(test for test in red if not found.isdisjoint((test, test.partition("[")[0])))

    def _proves_nothing(self, last: TestRunRecord) -> bool:
        """Whether a command of the model's own choice ended well and nothing says that it ever could have failed."""
        chosen = last.own_command or self._steered(last.report)
        if not (last.only_exit_code and last.report.verdict == "passed" and chosen):
            return False
        return not any(last.report.command in run.red for run in self._past.runs)

    def _steered(self, report: TestReport) -> bool:
        """Whether this turn changed the file that says what the command of a run does."""
        words = {word.strip("'\"`;").rpartition("/")[2] for word in f"{report.evidence} {report.command}".split()}
        words |= {name for word, names in _TASK_FILES.items() if word in words for name in names}
        return any(path.rpartition("/")[2] in words for path in self._files)

    def _epochs(self) -> Iterator[int]:
        """For each run a number that is the same as long as nothing happened that could change how tests end."""
        acts = [changing_call.seq for changing_call in self._past.changing_calls if not changing_call.is_run]
        edited = {change.call.seq for change in self._changes if change.call.is_run and change.in_trees}
        epoch = at = 0
        before: TestRunRecord | None = None
        for run in self._past.runs:
            passed = at
            while at < len(acts) and acts[at] < run.seq:
                at += 1
            moved = before is not None and (before.after != run.before or before.seq in edited)
            asked = before is not None and before.seq <= self._past.turn < run.seq  # the person may have done something
            epoch += moved or asked or at > passed
            before = run
            yield epoch

    def _weakened(self, outcomes: TestOutcomes) -> tuple[tuple[Weakened, ...], Mapping[str, str]]:
        """The tests that prove less than when the turn began, and the new ids of those that only moved."""
        from kimi_agent.verify.weakened import compare  # not needed before a turn has ended

        start, now = self._start, self._trees.now
        files = self._files if start and now else ()
        paths = [path for path in files if compare.may_hold_tests(path)][:MAX_COMPARED_FILES]
        texts = ((path, self._trees.text(start, path), self._trees.text(now, path)) for path in paths)
        compared = compare.compare_test_files(texts)
        found = list(compared.weakened)
        named = (*(each.test for each in found), *compared.moved)
        known = {name for test in named for name in (test, leaf_name(test))} - {""}
        past = self._past
        for test, how in find_lost_and_skipped(past.runs, outcomes, turn=past.turn, first_edit=self._first_edit):
            if len(found) >= MAX_EVIDENCE_IDS:
                break
            if known.isdisjoint((test.partition("[")[0], leaf_name(test))):
                found += self._lost(test, how)
        return tuple(found[:MAX_EVIDENCE_IDS]), compared.moved

    def _lost(self, test: str, how: Literal["deleted", "skipped"]) -> list[Weakened]:
        if how == "deleted" and self._trees.has_test(self._start, test) is False:
            return []  # it was gone before this turn
        if how == "deleted" and test.endswith(leaf_name(test)) and self._trees.has_test(self._trees.now, test):
            how = "skipped"  # its file still holds it, so something keeps it from running
        return [Weakened(file_of_test(test), test, how)]

    def _is_gone(self, test: str, seen_in: TestRunRecord, outcomes: TestOutcomes, moved: Mapping[str, str]) -> bool:
        """Whether a test that was red is no longer there to be run, or has a new name under which it ran."""
        base = test.partition("[")[0]
        if base in moved:
            new = moved[base] + test[len(base) :]
            return new in outcomes.last
        existed = self._trees.has_test(seen_in.before or self._start, test)
        return bool(existed) and not self._trees.has_test(self._trees.now, test) and bool(self._trees.now)
