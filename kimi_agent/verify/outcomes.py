"""Test outcomes over the runs of a session: which tests were fixed, broken, flaky, or are gone."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kimi_agent.verify.run_history import TestRunRecord

TestState = Literal["red", "green", "skipped"]

_MOST_CASES = 20_000  # a report of so many may have left some out
_SEPARATOR = re.compile(r"::| > ")


@dataclass(frozen=True)
class TestOutcomes:
    """The state of each test, by its id, as of the last run that it took part in.

    `at_turn_start` gives the states when the turn began: before its first edit, or when they first ran in it. `red`
    gives the run in which a test was red, where no later run had it otherwise, or gone.
    """

    at_turn_start: Mapping[str, TestState]
    last: Mapping[str, tuple[int, TestState]]
    touched: tuple[str, ...]
    red: Mapping[str, TestRunRecord]
    flaky: tuple[str, ...]

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


def file_of_test(test: str) -> str:
    """The path that a test's id begins with, if it is one."""
    return _SEPARATOR.split(test, maxsplit=1)[0]


def leaf_name(test: str) -> str:
    """The name of the test itself, without parameters and subtests; "" where the id names a file alone."""
    file, *inner = _SEPARATOR.split(test.partition("[")[0] if "::" in test else test)
    leaf = inner[-1] if inner else ""
    return leaf.partition("/")[0] if file.endswith(".go") else leaf


def track_outcomes(runs: Sequence[TestRunRecord], *, turn: int, first_edit: int, epochs: Sequence[int]) -> TestOutcomes:
    """Fold the runs in their order. Runs of one epoch ran on the same files, so what differs in them is no edit."""
    last: dict[str, tuple[int, TestState]] = {}
    base: dict[str, TestState] | None = None
    touched: dict[str, None] = {}
    unloaded: set[str] = set()
    opaque: set[str] = set()
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
        unloaded = (unloaded - healed) | {test for test in run.red if not run.only_exit_code and not leaf_name(test)}
        if run.only_exit_code:
            opaque.update(run.red)
        elif run.report.whole and run.report.verdict == "passed":
            for test in opaque:  # more is known now than an exit code
                last.pop(test, None)
            opaque.clear()
    stale = {test for test in opaque if runs[last[test][0]].seq <= turn}
    red = {test: runs[at] for test, (at, state) in last.items() if state == "red" and test not in stale}
    return TestOutcomes(
        base if base is not None else {test: state for test, (_, state) in last.items()},
        last,
        tuple(test for test in touched if test in last),
        _drop_removed_tests(red, runs),
        _flaky(runs, epochs),
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


def _drop_removed_tests(red: Mapping[str, TestRunRecord], runs: Sequence[TestRunRecord]) -> dict[str, TestRunRecord]:
    """Without the tests that a later whole run, which passed, knows nothing of."""
    if not red:
        return {}
    whole: dict[tuple[str, str], int] = {}
    for run in runs:
        if run.report.whole and run.report.verdict == "passed" and _is_complete(run):
            runner = run.report.runner
            whole[runner, run.report.command] = run.seq
            whole.update(((runner, file_of_test(test)), run.seq) for test in run.test_ids)
    found = {}
    for test, run in red.items():
        keys = ((run.report.runner, run.report.command), (run.report.runner, file_of_test(test)))
        if all(whole.get(key, 0) < run.seq for key in keys):
            found[test] = run
    return found


def _flaky(runs: Sequence[TestRunRecord], epochs: Sequence[int]) -> tuple[str, ...]:
    """The tests that failed and passed on the files on which the last run ran."""
    ends: dict[str, tuple[set[str], set[str]]] = {}
    found: dict[str, None] = {}
    for run, epoch in zip(runs, epochs, strict=True):
        if epoch != epochs[-1] or run.report.verdict not in ("passed", "failed"):
            continue
        red, green = ends.setdefault(run.report.runner, (set(), set()))
        red.update(run.red)
        green.update(run.green)
        found.update(dict.fromkeys(case.id for case in run.report.cases if 0 < case.failures < case.runs))
    for red, green in ends.values():
        found.update(dict.fromkeys(sorted(red & green)))
    return tuple(found)


def find_lost_and_skipped(
    runs: Sequence[TestRunRecord], outcomes: TestOutcomes, *, turn: int, first_edit: int
) -> Iterator[tuple[str, Literal["deleted", "skipped"]]]:
    """The tests that ran when the turn began and no longer do, by the runs."""
    for test in outcomes.touched:
        if outcomes.last[test][1] == "skipped" and outcomes.at_turn_start.get(test, "skipped") != "skipped":
            yield test, "skipped"
    whole = [run for run in runs if run.report.whole and _is_complete(run)]
    earlier: dict[tuple[str, str], TestRunRecord] = {}
    later: dict[tuple[str, str], TestRunRecord] = {}
    for run in whole:
        key = (run.report.runner, run.report.command)
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
    old, new = dict.fromkeys(earlier.test_ids), set(later.test_ids)
    instead: dict[str, int] = {}
    for test in later.test_ids:
        if test not in old and "[" in test:
            base = test.partition("[")[0]
            instead[base] = instead.get(base, 0) + 1
    for test in old:
        base = test.partition("[")[0]
        if test in new or not leaf_name(test):
            continue
        if instead.get(base, 0) > 0:
            instead[base] -= 1
        else:
            yield test
