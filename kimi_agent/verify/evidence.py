"""Evidence of a turn: which tests prove its changes, judged from the log and the file trees, never by the model.

A pure reading of both. A turn goes from a prompt of the person to the next. A tree is known by the hash of its
files, so that "red at tree A, edit, green at tree B" and "nothing changed since the last run" are facts. Where no
snapshot could be taken, the edits that tools reported stand in for them, and what is not known is not called
proven. The rules are those of `workspace.testrun.proof_rules`.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec.structs import replace

from kimi_agent.log.events import Stamped
from kimi_agent.log.views import Evidence, RunCounts
from kimi_agent.printable import join_some
from kimi_agent.verify.import_reach import ImportReach
from kimi_agent.verify.outcomes import TestState, track_outcomes
from kimi_agent.verify.proof import (
    ONLY_EXIT_CODE_KNOWN,
    Breaches,
    FileProof,
    OwnerOf,
    find_unsettled,
    unsettled_sentence,
)
from kimi_agent.verify.red_tests import MAX_EVIDENCE_IDS, RedAccount, RedTestAccountant
from kimi_agent.verify.run_history import TestRunHistory, TestRunRecord, read_run_history
from kimi_agent.verify.tree_reader import ChangedPathsOf, FileTextOf, HeldIgnoredIn, TreeReader
from kimi_agent.verify.turn_changes import TurnChanges
from kimi_agent.workspace.testrun.proof_rules import RED_ACCOUNTED

MAX_EVIDENCE_FILES = 200
_MOST_NAMED, _MOST_RUNS = 3, 50
CHANGES_SINCE_RUN_UNKNOWN = "whether files changed since the last run is not known: no snapshot could be taken"
CHANGES_UNKNOWN = "whether files changed is not known: no snapshot could be taken"


def judge_turn(
    log: Iterable[Stamped],
    *,
    now: str,
    changed: ChangedPathsOf,
    text: FileTextOf,
    apart: HeldIgnoredIn = lambda tree: (),
    owner: OwnerOf = lambda path: None,
) -> Evidence:
    """The evidence of the turn that just ended. `now` is the tree at its end, "" where no snapshot could be taken.

    `apart` gives the files that git ignores and that only this one snapshot was asked to hold: other trees don't have
    them, so a comparison of trees says nothing about them. `owner` says which project's tests a file belongs to.
    """
    return _EvidenceBuilder(read_run_history(log, now), TreeReader(now, changed, text, apart), owner).evidence()


class _EvidenceBuilder:
    def __init__(self, past: TestRunHistory, trees: TreeReader, owner: OwnerOf) -> None:
        self._past, self._trees = past, trees
        self._changes = TurnChanges(past, trees)
        self._standing = [run for run in past.runs if self._changes.stands(run)]
        self._outcomes = track_outcomes(
            past.runs,
            turn=past.turn,
            first_edit=self._changes.first_edit,
            epochs=list(self._changes.epochs()),
            standing=self._standing,
        )
        self._proof = FileProof(
            self._changes.files,
            past.runs,
            owner=owner,
            reach=ImportReach(lambda path: trees.text(trees.now, path)),
            mended=self._outcomes.red_in_turn,
            holds_tests=self._holds_tests,
        )
        self._last = self._deciding_run()

    def _holds_tests(self, path: str) -> bool:
        """Whether a file is plainly one of tests; not where tests stand among the code, under another file's name."""
        from kimi_agent.verify.weakened.compare import is_test_file, read_test_file
        from kimi_agent.verify.weakened.language_patterns import INLINE_TEST_SUFFIXES

        plain = is_test_file(path) and path.rpartition(".")[2] not in INLINE_TEST_SUFFIXES
        text = self._trees.text(self._trees.now, path) if plain else None
        found = read_test_file(path, text) if text else None
        return found is not None and any(not test.is_group for test in found.tests.values())

    def _deciding_run(self) -> TestRunRecord | None:
        """The run that decides: the last that speaks for the files of now and proves something, else the last of all.

        One that did not pass decides only as the last: what changed after it is the reason then.
        """
        last = self._past.runs[-1] if self._past.runs else None
        standing = [run for run in self._standing if not self._proof.proves_nothing(run)]
        if standing and (standing[-1].passed or standing[-1] is last):
            return standing[-1]
        stands = bool(self._standing) and self._standing[-1] is last
        return last if last is not None and (stands or last.seq > self._past.turn) else None

    def evidence(self) -> Evidence:
        last, files = self._last, self._changes.files
        red = RedTestAccountant(self._past, self._changes, self._trees, self._outcomes).account(last)
        found = Evidence(
            verdict="no_tests" if files else "none_needed",
            tree=self._trees.now,
            files=files[:MAX_EVIDENCE_FILES],
            still_red=red.still_red[:MAX_EVIDENCE_IDS],
            weakened=red.weakened,
        )
        unknown = not files and not self._changes.all_known
        if last is None:
            return replace(found, verdict="not_verified", trouble=CHANGES_UNKNOWN) if unknown else found
        since, sure = self._changes.since(last)
        breaches = self._proof.judge(self._standing)
        unproven = tuple(self._unproven(breaches, red, last))
        trouble = "" if sure else CHANGES_SINCE_RUN_UNKNOWN
        if sure and (breaches.only_exit_code or self._proof.proves_nothing(last)):
            trouble = ONLY_EXIT_CODE_KNOWN
        flaky = self._outcomes.flaky
        bad = last.call.verdict != "passed" or since or trouble or unproven or red.still_red or flaky
        verdict: Literal["verified", "not_verified"] = "not_verified" if bad else "verified"
        found = replace(
            found,
            verdict=verdict if files or unknown else "none_needed",
            changed_since=since[:MAX_EVIDENCE_FILES],
            scope=last.scope if breaches.narrowed or last.own_command or not files else "",
            trouble=trouble,
            unproven=unproven,
        )
        return self._with_counts(self._with_tests(found, red), last)

    def _unproven(self, breaches: Breaches, red: RedAccount, last: TestRunRecord) -> Iterator[str]:
        yield from breaches.unproven
        reported = {*red.still_red, *red.unaccounted}
        for run in find_unsettled(self._past.runs, turn=self._past.turn, last=last):
            if reported.isdisjoint(run.red):
                yield unsettled_sentence(run)
        if red.unaccounted:
            yield RED_ACCOUNTED.said(tests=join_some(red.unaccounted, _MOST_NAMED, str))

    def _with_tests(self, found: Evidence, red: RedAccount) -> Evidence:
        """With the tests that this turn turned."""
        outcomes, renamed = self._outcomes, red.renamed
        under_new_names = [
            new for old, new in renamed.items() if outcomes.state(new) == "green" and new not in outcomes.flaky
        ]
        fixed = dict.fromkeys([*outcomes.fixed, *under_new_names])
        unaccounted = set(red.unaccounted)
        return replace(
            found,
            fixed=tuple(test for test in fixed if test not in unaccounted)[:MAX_EVIDENCE_IDS],
            broke=outcomes.broke[:MAX_EVIDENCE_IDS],
            flaky=outcomes.flaky[:MAX_EVIDENCE_IDS],
            retried=outcomes.retried[:MAX_EVIDENCE_IDS],
            renamed=tuple(renamed.items())[:MAX_EVIDENCE_IDS],
        )

    def _with_counts(self, found: Evidence, last: TestRunRecord) -> Evidence:
        """With the counts of all runs on the files of now, and of the deciding one's call."""
        standing = {run.seq for run in self._standing}
        runs = [run for run in self._past.runs if run.seq == last.seq or run.seq in standing]
        states: dict[tuple[str, str, str], TestState] = {}
        for run in runs:
            if not run.only_exit_code:
                where = (run.report.ecosystem, run.report.folder)
                states.update({(*where, test): "green" for test in run.green})
                states.update({(*where, test): "red" for test in run.red})
            states.update({(run.report.ecosystem, run.report.folder, test): "skipped" for test in run.skipped})
        counted = list(states.values())
        call = last.call
        return replace(
            found,
            last=replace(call, cases=call.cases[:MAX_EVIDENCE_IDS], parts=()),
            passed=counted.count("green"),
            failed=counted.count("red"),
            skipped=counted.count("skipped"),
            runs=tuple(map(_run_counts, runs[-_MOST_RUNS:])) if len(runs) > 1 else (),
        )


def _run_counts(run: TestRunRecord) -> RunCounts:
    read = not run.only_exit_code
    return RunCounts(
        run.report.runner,
        run.report.command,
        run.report.folder,
        run.report.verdict,
        len(run.green) if read else 0,
        len(run.red) if read else 0,
        len(run.skipped),
        run.report.trouble,
    )
