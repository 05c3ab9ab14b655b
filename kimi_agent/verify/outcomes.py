"""How each test fared over the runs of a session: what turned green, what turned red, what wavers, and what is gone."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kimi_agent.verify.run_history import Run

State = Literal["red", "green", "skipped"]

_MOST_CASES = 20_000
"""A report of so many cases may have left some out."""
_SEPARATOR = re.compile(r"::| > ")


@dataclass(frozen=True)
class Outcomes:
    """By test id, as of the last run that it took part in.

    `base` is how the tests stood when the turn began: before its first edit, or when they first ran in it. `red` gives
    the run that saw a test red, where none has seen it otherwise, or gone, since.
    """

    base: Mapping[str, State]
    last: Mapping[str, tuple[int, State]]
    touched: tuple[str, ...]
    red: Mapping[str, Run]
    flaky: tuple[str, ...]

    @property
    def fixed(self) -> tuple[str, ...]:
        """The tests that this turn turned from red to green."""
        return tuple(self._turned("red", "green"))

    @property
    def broke(self) -> tuple[str, ...]:
        """The tests that this turn turned from green to red."""
        return tuple(self._turned("green", "red"))

    def _turned(self, base: State, last: State) -> Iterator[str]:
        wavering = set(self.flaky)
        for test in self.touched:
            if self.base.get(test) == base and self.last[test][1] == last and test not in wavering:
                yield test


def file_of(test: str) -> str:
    """The path that a test's id begins with, if it is one."""
    return _SEPARATOR.split(test, maxsplit=1)[0]


def leaf_of(test: str) -> str:
    """The name of the test itself, without parameters and subtests; "" where the id names a file alone."""
    file, *inner = _SEPARATOR.split(test.partition("[")[0] if "::" in test else test)
    leaf = inner[-1] if inner else ""
    return leaf.partition("/")[0] if file.endswith(".go") else leaf


def follow(runs: Sequence[Run], *, turn: int, first_edit: int, epochs: Sequence[int]) -> Outcomes:
    """Read the runs in their order. Runs of one epoch ran on the same files, so what differs in them is not an edit."""
    last: dict[str, tuple[int, State]] = {}
    base: dict[str, State] | None = None
    touched: dict[str, None] = {}
    unloaded: set[str] = set()
    opaque: set[str] = set()
    for at, run in enumerate(runs):
        if base is None and run.seq > first_edit:
            base = {test: state for test, (_, state) in last.items()}
        healed = _loaded(run, unloaded)
        for state, tests in _states(run, healed):
            for test in tests:
                last[test] = (at, state)
                if base is not None:
                    base.setdefault(test, state)
        if run.seq > turn:
            touched.update(dict.fromkeys((*run.ids, *healed)))
        unloaded = (unloaded - healed) | {test for test in run.red if not run.opaque and not leaf_of(test)}
        if run.opaque:
            opaque.update(run.red)
        elif run.report.whole and run.report.verdict == "passed":
            for test in opaque:  # more is known now than an exit code
                last.pop(test, None)
            opaque.clear()
    stale = {test for test in opaque if runs[last[test][0]].seq <= turn}
    red = {test: runs[at] for test, (at, state) in last.items() if state == "red" and test not in stale}
    return Outcomes(
        base if base is not None else {test: state for test, (_, state) in last.items()},
        last,
        tuple(test for test in touched if test in last),
        _still_there(red, runs),
        _flaky(runs, epochs),
    )


def _states(run: Run, healed: set[str]) -> Iterator[tuple[State, Sequence[str]]]:
    yield "red", run.red
    yield "green", (*run.green, *sorted(healed))
    yield "skipped", run.skipped


def _loaded(run: Run, unloaded: set[str]) -> set[str]:
    """Files that could not be loaded once, of which tests ran now: they are never reported as green themselves."""
    if not unloaded:
        return set()
    return unloaded.intersection(file_of(test) for test in run.ids if leaf_of(test)).difference(run.ids)


def _still_there(red: Mapping[str, Run], runs: Sequence[Run]) -> dict[str, Run]:
    """Without the tests that a later whole run, which passed, knows nothing of."""
    if not red:
        return {}
    whole: dict[tuple[str, str], int] = {}
    for run in runs:
        if run.report.whole and run.report.verdict == "passed" and _is_complete(run):
            runner = run.report.runner
            whole[runner, run.report.command] = run.seq
            whole.update(((runner, file_of(test)), run.seq) for test in run.ids)
    found = {}
    for test, run in red.items():
        keys = ((run.report.runner, run.report.command), (run.report.runner, file_of(test)))
        if all(whole.get(key, 0) < run.seq for key in keys):
            found[test] = run
    return found


def _flaky(runs: Sequence[Run], epochs: Sequence[int]) -> tuple[str, ...]:
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


def lost_and_skipped(
    runs: Sequence[Run], outcomes: Outcomes, *, turn: int, first_edit: int
) -> Iterator[tuple[str, Literal["deleted", "skipped"]]]:
    """The tests that ran when the turn began and no longer do, as the runs tell it."""
    for test in outcomes.touched:
        if outcomes.last[test][1] == "skipped" and outcomes.base.get(test, "skipped") != "skipped":
            yield test, "skipped"
    whole = [run for run in runs if run.report.whole and _is_complete(run)]
    earlier: dict[tuple[str, str], Run] = {}
    later: dict[tuple[str, str], Run] = {}
    for run in whole:
        key = (run.report.runner, run.report.command)
        if run.seq <= first_edit or key not in earlier:
            earlier[key] = run
        elif run.seq > turn and run.report.verdict == "passed":  # a failed one may have stopped at its first failure
            later[key] = run
    for key, run in later.items():
        yield from ((test, "deleted") for test in _missing(earlier[key], run))


def _is_complete(run: Run) -> bool:
    return 0 < run.total < _MOST_CASES and run.report.verdict in ("passed", "failed")


def _missing(earlier: Run, later: Run) -> Iterator[str]:
    """The tests that are not in the later run, and have no new ones in their stead (as parameters that changed do)."""
    old, new = dict.fromkeys(earlier.ids), set(later.ids)
    instead: dict[str, int] = {}
    for test in later.ids:
        if test not in old and "[" in test:
            base = test.partition("[")[0]
            instead[base] = instead.get(base, 0) + 1
    for test in old:
        base = test.partition("[")[0]
        if test in new or not leaf_of(test):
            continue
        if instead.get(base, 0) > 0:
            instead[base] -= 1
        else:
            yield test
