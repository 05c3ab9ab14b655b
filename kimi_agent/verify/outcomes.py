"""Test outcomes over the runs of a session: which tests were fixed, broken, flaky, or are gone."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kimi_agent.log.views import FAILED_OUTCOMES, TestCase
from kimi_agent.verify.run_history import TestRunRecord
from kimi_agent.verify.test_ids import file_of_test, leaf_name, without_line_number

TestState = Literal["red", "green", "skipped"]

_ENOUGH_GREEN = 2  # of one run in two, a flaky test passes by chance; twice is what a person would ask for
_MOST_CASES = 20_000  # a report of so many may have left some out


@dataclass(frozen=True)
class TestOutcomes:
    """The state of each test, by its id, as of the last run that it took part in.

    `at_turn_start` gives the states when the turn began: before its first edit, or when they first ran in it. `red`
    gives the run in which a test was red, where no later run had it otherwise. `red_in_turn` are those that were red
    when the turn began, or in a run of it; `red_commands` likewise those of which only the exit code is known, and that
    ran in this turn. `vanished` gives for a red test the sequence number of the whole run that
    passed without it. `flaky` failed and passed on the same files, and are not known to be green by two runs since;
    `retried` passed, in the last run that they took part in, only when the runner itself ran them again.
    """

    at_turn_start: Mapping[str, TestState]
    last: Mapping[str, tuple[int, TestState]]
    touched: tuple[str, ...]
    red: Mapping[str, TestRunRecord]
    red_in_turn: tuple[str, ...]
    red_commands: tuple[str, ...]
    vanished: Mapping[str, int]
    flaky: tuple[str, ...]
    retried: tuple[str, ...]

    def state(self, test: str) -> TestState | None:
        """How a test ended when it last ran; None where it never did."""
        found = self.last.get(test)
        return found[1] if found else None

    def ran_since(self, test: str, runs: Sequence[TestRunRecord], turn: int) -> bool:
        """Whether a test took part in a run of the turn that began at `turn`."""
        found = self.last.get(test)
        return found is not None and runs[found[0]].seq > turn

    @property
    def fixed(self) -> tuple[str, ...]:
        """The tests that this turn turned from red to green."""
        return tuple(self._turned("red", "green"))

    @property
    def broke(self) -> tuple[str, ...]:
        """The tests that this turn turned from green to red."""
        return tuple(self._turned("green", "red"))

    def _turned(self, base: TestState, last: TestState) -> Iterator[str]:
        wavering = set(self.flaky)
        for test in self.touched:
            if self.at_turn_start.get(test) == base and self.last[test][1] == last and test not in wavering:
                yield test


def track_outcomes(
    runs: Sequence[TestRunRecord],
    *,
    turn: int,
    first_edit: int,
    epochs: Sequence[int],
    standing: Sequence[TestRunRecord] = (),
) -> TestOutcomes:
    """Fold the runs in their order. Runs of one epoch ran on the same files, so what differs in them is no edit.

    `standing` are the runs that speak for the files as they are now.
    """
    last: dict[str, tuple[int, TestState]] = {}
    base: dict[str, TestState] | None = None
    touched: dict[str, None] = {}
    red_in_turn: dict[str, None] = {}
    unloaded: set[str] = set()
    opaque: set[str] = set()
    commands: set[str] = set()
    for at, run in enumerate(runs):
        if base is None and run.seq > first_edit:
            base = {test: state for test, (_, state) in last.items()}
        healed = _files_loaded_again(run, unloaded)
        for state, tests in _tests_by_state(run, healed):
            for test in tests:
                last[test] = (at, state)
                if base is not None:
                    base.setdefault(test, state)
        if run.seq > turn:
            touched.update(dict.fromkeys((*run.test_ids, *healed)))
            red_in_turn.update(dict.fromkeys(run.red))
        unloaded = (unloaded - healed) | {test for test in run.red if not run.only_exit_code and not leaf_name(test)}
        if run.only_exit_code:
            opaque.update(run.red)
            commands.update(run.red)
        elif run.report.whole and run.passed:
            for test in opaque:  # more is known now than an exit code
                last.pop(test, None)
            opaque.clear()
    at_start = base if base is not None else {test: state for test, (_, state) in last.items()}
    stale = {test for test in opaque if runs[last[test][0]].seq <= turn}
    red = {test: runs[at] for test, (at, state) in last.items() if state == "red" and test not in stale}
    was_red = dict.fromkeys([*(test for test, state in at_start.items() if state == "red"), *red_in_turn])
    wavering = [test for test, epoch in _find_wavering(runs, epochs).items() if test in was_red or epoch == epochs[-1]]
    return TestOutcomes(
        at_start,
        last,
        tuple(test for test in touched if test in last),
        red,
        tuple(test for test in was_red if test in last and test not in commands),
        tuple(test for test in was_red if test in touched and test in commands),
        _find_vanished(red, runs),
        _find_unsettled_flaky(wavering, was_red, standing),
        tuple(_find_retried(runs, last)),
    )


def _tests_by_state(run: TestRunRecord, healed: set[str]) -> Iterator[tuple[TestState, Sequence[str]]]:
    yield "red", run.red
    yield "green", (*run.green, *sorted(healed))
    yield "skipped", run.skipped


def _files_loaded_again(run: TestRunRecord, unloaded: set[str]) -> set[str]:
    """Files that could not be loaded once, of which tests ran now: they are never reported as green themselves."""
    if not unloaded:
        return set()
    files = {file_of_test(test) for test in run.test_ids if leaf_name(test)}
    return (unloaded & files).difference(run.test_ids)


def _find_vanished(red: Mapping[str, TestRunRecord], runs: Sequence[TestRunRecord]) -> dict[str, int]:
    """The red tests that a later whole run, which passed, knows nothing of."""
    if not red:
        return {}
    whole: dict[tuple[str, ...], int] = {}
    for run in runs:
        if run.report.whole and run.passed and _is_complete(run):
            whole.update((key, run.seq) for key in _run_keys(run))
            whole.update(((run.report.runner, file_of_test(test)), run.seq) for test in run.test_ids)
    found = {}
    for test, run in red.items():
        keys = (*_run_keys(run), (run.report.runner, file_of_test(test)))
        if run.total and (seq := max(whole.get(key, 0) for key in keys)) > run.seq:
            found[test] = seq
    return found


def _run_keys(run: TestRunRecord) -> Iterator[tuple[str, ...]]:
    """What makes two runs such that the later, if it is whole, holds the tests of the earlier."""
    report = run.report
    yield (report.runner, report.folder, report.command)
    if report.folder and report.ecosystem:
        yield ("project", report.ecosystem, report.folder)


def _find_wavering(runs: Sequence[TestRunRecord], epochs: Sequence[int]) -> dict[str, int]:
    """The tests that failed and passed on the same files, each with the last epoch in which it did."""
    ends: dict[tuple[int, str], tuple[set[str], set[str]]] = {}
    found: dict[str, int] = {}
    for run, epoch in zip(runs, epochs, strict=True):
        if run.report.verdict not in ("passed", "failed", "run_failed"):
            continue
        red, green = ends.setdefault((epoch, run.report.runner), (set(), set()))
        red.update(run.red)
        green.update(run.green)
        # By our own repeating: what the runner itself ran again, and let pass, is not red.
        at_times = (case.id for case in run.report.cases if case.outcome in FAILED_OUTCOMES and _is_mixed(case))
        found.update(dict.fromkeys(at_times, epoch))
    for (epoch, _), (red, green) in ends.items():
        found.update((test, max(epoch, found.get(test, 0))) for test in sorted(red & green))
    return found


def _is_mixed(case: TestCase) -> bool:
    return 0 < case.failures < case.runs


def _find_unsettled_flaky(
    wavering: Collection[str], was_red: Collection[str], standing: Sequence[TestRunRecord]
) -> tuple[str, ...]:
    """Those of the wavering tests that are not green by two runs on the files as they are now.

    So is one that was red in this turn, and that the runner itself had to run again.
    """
    told = [case.id for run in standing for case in run.report.cases if case.outcome == "passed" and _is_mixed(case)]
    green = dict.fromkeys((*wavering, *(test for test in told if test in was_red)), 0)
    for run in standing:
        for test in green:
            green[test] = 0 if test in run.red else green[test] + run.count_green(test)
    return tuple(test for test, count in green.items() if count < _ENOUGH_GREEN)


def _find_retried(runs: Sequence[TestRunRecord], last: Mapping[str, tuple[int, TestState]]) -> Iterator[str]:
    for at, run in enumerate(runs):
        for case in run.report.cases:
            if case.outcome == "passed" and _is_mixed(case) and last[case.id][0] == at:
                yield case.id


def find_lost_and_skipped(
    runs: Sequence[TestRunRecord], outcomes: TestOutcomes, *, turn: int, first_edit: int
) -> Iterator[tuple[str, Literal["deleted", "skipped"]]]:
    """The tests that ran when the turn began and no longer do, by the runs."""
    for test in outcomes.touched:
        if outcomes.last[test][1] == "skipped" and outcomes.at_turn_start.get(test, "skipped") != "skipped":
            yield test, "skipped"
    whole = [run for run in runs if run.report.whole and _is_complete(run)]
    earlier: dict[tuple[str, str, str], TestRunRecord] = {}
    later: dict[tuple[str, str, str], TestRunRecord] = {}
    for run in whole:
        key = (run.report.runner, run.report.folder, run.report.command)
        if run.seq <= first_edit or key not in earlier:
            earlier[key] = run
        elif run.seq > turn and run.report.verdict == "passed":  # a failed one may have stopped at its first failure
            later[key] = run
    for key, run in later.items():
        yield from ((test, "deleted") for test in _missing(earlier[key], run))


def _is_complete(run: TestRunRecord) -> bool:
    return 0 < run.total < _MOST_CASES and run.report.verdict in ("passed", "failed")


def _missing(earlier: TestRunRecord, later: TestRunRecord) -> Iterator[str]:
    """The tests that are not in the later run, and have no new ones in their stead (as parameters that changed do)."""
    old, new = dict.fromkeys(earlier.test_ids), set(map(without_line_number, later.test_ids))
    instead: dict[str, int] = {}
    for test in later.test_ids:
        if test not in old and "[" in test:
            base = test.partition("[")[0]
            instead[base] = instead.get(base, 0) + 1
    for test in old:
        base = test.partition("[")[0]
        if without_line_number(test) in new or not leaf_name(test):
            continue
        if instead.get(base, 0) > 0:
            instead[base] -= 1
        else:
            yield test
