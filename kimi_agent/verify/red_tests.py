"""Red tests of a turn accounted for: green now, renamed, or weakened, hidden and deleted, in any language."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from kimi_agent.log.views import Weakened
from kimi_agent.verify.import_reach import is_document
from kimi_agent.verify.outcomes import TestOutcomes, find_lost_and_skipped
from kimi_agent.verify.run_history import TestRunHistory, TestRunRecord
from kimi_agent.verify.test_config import find_steering_files, is_check_script, is_test_config, scripts_of
from kimi_agent.verify.test_ids import (
    TestNames,
    file_of_test,
    is_group_name,
    is_hook,
    leaf_name,
    without_line_number,
)
from kimi_agent.verify.tree_reader import TreeReader
from kimi_agent.verify.turn_changes import MAX_COMPARED_FILES, TurnChanges
from kimi_agent.verify.weakened.language_patterns import find_language

MAX_EVIDENCE_IDS = 1_000
_EXPECTED_RESULTS = re.compile(r"(?:^|/)(?:__snapshots__|snapshots|testdata|fixtures|golden|expected|approved)/")
_EXPECTED_RESULT_FILE = re.compile(r".*\.(?:snap|ambr|golden|approved\.\w+|expected|out)(?:\.new)?")


@dataclass(frozen=True)
class RedAccount:
    """What became of the tests that were red in a turn.

    `weakened` are all tests that prove less than before; `unaccounted` those that were red and of which nothing shows
    that they were mended; `renamed` gives the new id of one that ran under another name; `still_red` were not run
    again.
    """

    weakened: tuple[Weakened, ...] = ()
    unaccounted: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    still_red: tuple[str, ...] = ()


class RedTestAccountant:
    """Accounts for the red tests of one turn, by its runs and its files."""

    def __init__(self, past: TestRunHistory, changes: TurnChanges, trees: TreeReader, outcomes: TestOutcomes) -> None:
        from kimi_agent.verify.weakened import compare  # not needed before a turn has ended

        self._past, self._changes, self._trees, self._outcomes = past, changes, trees, outcomes
        self._compare = compare
        self._names: dict[tuple[str, str], TestNames] = {}
        files = changes.files if changes.start and trees.now else ()
        paths = [path for path in files if compare.may_hold_tests(path)][:MAX_COMPARED_FILES]
        texts = ((path, trees.text(changes.start, path), trees.text(trees.now, path)) for path in paths)
        self._compared = compare.compare_test_files(texts)
        self._moved = {_split(old): _split(new) for old, new in self._compared.moved.items()}
        self._moved_names = TestNames(self._moved)
        self._weakened_names = _names_of(self._compared.weakened)

    def account(self, last: TestRunRecord | None) -> RedAccount:
        """The account. `last` is the run that decides, whose failures are reported by themselves."""
        outcomes = self._outcomes
        renamed = dict(self._renamed())
        weakened = [*self._with_ids(), *self._told_by_runs()]
        weakened += self._expectations_changed(_names_of(weakened))
        known = _names_of(weakened)
        still_red: list[str] = []
        unaccounted: dict[str, None] = {}
        for test, run in outcomes.red.items():
            if last is not None and run.seq == last.seq:
                continue
            if test in renamed:
                if outcomes.state(renamed[test]) != "green":
                    unaccounted[test] = None
            elif test not in outcomes.vanished and not self._is_gone(test, run):
                still_red.append(test)
            elif self._counts_as_lost(test, run):
                unaccounted[test] = None
                if known.find(test) is None and (leaf_name(test) or not known.has_file(test)):
                    weakened.append(Weakened(file_of_test(test), test, self._how_lost(test)))
        for test in outcomes.red_in_turn:
            if known.find(test):
                unaccounted[test] = None
        for command in outcomes.red_commands:
            if outcomes.state(command) == "green" and self._may_hide_what_failed(command, weakened):
                unaccounted[command] = None
        return RedAccount(tuple(weakened[:MAX_EVIDENCE_IDS]), tuple(unaccounted), renamed, tuple(still_red))

    def _may_hide_what_failed(self, command: str, weakened: Sequence[Weakened]) -> bool:
        """Whether what failed by an exit code alone may be a test that proves less, or no longer runs."""
        files = self._changes.files
        if weakened or any(map(is_test_config, files)) or (files and self._only_tests_changed(or_checks=True)):
            return True
        runs = (run for run in reversed(self._past.runs) if run.report.command == command)
        return any(self._steers(path) for path in find_steering_files(next(runs).report, files))

    def _steers(self, path: str) -> bool:
        """Whether a change of a file that says what commands do is one of what they do."""
        old, new = (self._trees.text(tree, path) for tree in self._both_trees)
        return not path.endswith(".json") or scripts_of(old) != scripts_of(new)

    def _renamed(self) -> Iterator[tuple[str, str]]:
        """The tests that were red and ran again under a new name, or in another file, with the same body."""
        red = [test for test in self._outcomes.red_in_turn if self._outcomes.state(test) == "red"]
        if not red:
            return
        targets = TestNames(self._moved.values())
        by_target: dict[tuple[str, str], list[str]] = {}
        by_line: dict[str, str] = {}
        for test in self._outcomes.touched:
            if targets and (found := targets.find(test)):
                by_target.setdefault(found, []).append(test)
            by_line[without_line_number(test)] = test
        for test in red:
            place = self._moved_names.find(test)
            ids = by_target.get(self._moved[place], []) if place else [by_line.get(without_line_number(test), test)]
            parameters = test.partition("[")[1:] if test.endswith("]") else ()
            for other in ids:
                if other != test and (not parameters or other.partition("[")[1:] == parameters):
                    yield test, other
                    break

    def _with_ids(self) -> Iterator[Weakened]:
        """The weakened tests of the files, each by its id of the runs where one of them is meant."""
        if not self._compared.weakened:
            return
        paths = dict.fromkeys(each.path for each in self._compared.weakened)
        names = TestNames(
            (path, name) for path in paths for tree in self._both_trees for name in self._names_in(tree, path) or ()
        )
        ids: dict[tuple[str, str], list[str]] = {}
        for test in self._outcomes.last:
            if found := names.find(test):
                ids.setdefault(found, []).append(test)
        for each in self._compared.weakened:
            of = ids.get((each.path, each.test.removeprefix(f"{each.path}::")), ())
            yield Weakened(each.path, of[0], each.how) if len(of) == 1 else each

    def _told_by_runs(self) -> Iterator[Weakened]:
        """The tests that ran before and no longer do, which no comparison of the files shows."""
        past = self._past
        lost = find_lost_and_skipped(past.runs, self._outcomes, turn=past.turn, first_edit=self._changes.first_edit)
        for test, how in lost:
            if self._is_hook(test) or self._moved_names.find(test) or self._weakened_names.find(test):
                continue
            if how == "skipped":
                yield Weakened(file_of_test(test), test, "skipped")
            elif self._was_there(test):
                yield Weakened(file_of_test(test), test, self._how_lost(test))

    @property
    def _both_trees(self) -> tuple[str, str]:
        return self._changes.start, self._trees.now

    def _was_there(self, test: str) -> bool:
        """Whether a lost test was still there when the turn began: else a person deleted it between two turns."""
        if self._outcomes.ran_since(test, self._past.runs, self._past.turn):
            return True
        return self._is_named(self._changes.start, test) is not False

    def _counts_as_lost(self, test: str, run: TestRunRecord) -> bool:
        """Whether the loss of a red test has to be answered for: it was lost in this turn, and is no mended hook."""
        if self._outcomes.vanished.get(test, self._past.turn + 1) <= self._past.turn or not self._was_there(test):
            return False
        if not leaf_name(test):  # a file, package or program as a whole, of which nothing ran again
            return self._held_tests(run.before, file_of_test(test))
        return not (self._is_hook(test) and test in self._outcomes.vanished)

    def _held_tests(self, tree: str, file: str) -> bool:
        """Whether a test file held any: what could not be loaded may be a module of helpers that holds none."""
        text = self._trees.text(tree, file)
        if text is None or self._compare.read_test_file(file, text) is None:
            return True
        return bool(self._names_in(tree, file))

    def _is_hook(self, test: str) -> bool:
        """Whether an id is that of a hook, and not of a test whose name sounds like one."""
        return is_hook(test) and not any(self._is_named(tree, test) for tree in self._both_trees)

    def _how_lost(self, test: str) -> Literal["deleted", "skipped"]:
        """Where its file still holds the test, something keeps it from running; of its parameters nothing is known."""
        named = test.endswith(leaf_name(test)) and self._is_named(self._trees.now, test)
        return "skipped" if named else "deleted"

    def _is_gone(self, test: str, run: TestRunRecord) -> bool:
        """Whether a test that was red is no longer there to be run."""
        if self._moved_names.find(test) or not self._trees.now:
            return False
        if not leaf_name(test):
            file = file_of_test(test)
            there = self._trees.text(run.before or self._changes.start, file) is not None
            return there and self._trees.text(self._trees.now, file) is None
        existed = self._is_named(run.before or self._changes.start, test)
        return bool(existed) and not self._is_named(self._trees.now, test)

    def _is_named(self, tree: str, test: str) -> bool | None:
        """Whether the file that an id names holds its name; None where the tree has no such file."""
        file = file_of_test(test)
        text = self._trees.text(tree, file)
        if text is None:
            return None
        if names := self._test_names(tree, file):
            return names.find(test) is not None
        words = re.findall(r"\w+", leaf_name(test))
        return bool(words) and words[-1] in text

    def _names_in(self, tree: str, path: str) -> tuple[str, ...]:
        """The names of the tests that a file holds; none where it is not there, or not of a language that is read."""
        text = self._trees.text(tree, path)
        parsed = self._compare.read_test_file(path, text) if text is not None else None
        return tuple(parsed.tests) if parsed is not None else ()

    def _test_names(self, tree: str, path: str) -> TestNames:
        if (tree, path) not in self._names:
            plain = (name for name in self._names_in(tree, path) if not is_group_name(name))
            self._names[tree, path] = TestNames((path, name) for name in plain)
        return self._names[tree, path]

    def _expectations_changed(self, known: TestNames) -> list[Weakened]:
        """The red tests that are green because of nothing but another expectation: no other code was changed."""
        green = (test for test in self._red_before() if self._outcomes.state(test) == "green")
        mended = dict.fromkeys(green)
        if not mended or not self._only_tests_changed():
            return []
        different = self._compared.expectation_changed
        if any(test in mended for test in self._outcomes.red_commands):  # which test failed is not known
            return [Weakened(path, f"{path}::{name}", "expectation changed") for path, name in different]
        changed = TestNames(different)
        results = any(_holds_expected_results(path) for path in self._changes.files)
        return [
            Weakened(file_of_test(test), test, "expectation changed")
            for test in mended
            if (results or changed.find(test)) and not known.find(test)
        ]

    def _red_before(self) -> Iterator[str]:
        yield from self._outcomes.red_in_turn
        yield from self._outcomes.red_commands

    def _only_tests_changed(self, *, or_checks: bool = False) -> bool:
        """Whether the turn changed only tests (`or_checks`: and check scripts), what they expect, and documents."""
        if not (self._changes.start and self._trees.now and self._changes.all_known):
            return False
        return all(
            is_document(path) or self._is_of_tests_alone(path) or (or_checks and is_check_script(path))
            for path in self._changes.files
        )

    def _is_of_tests_alone(self, path: str) -> bool:
        if _holds_expected_results(path) or self._compare.is_test_file(path):
            return True
        if not self._compare.may_hold_tests(path):
            return False
        before, after = self._trees.text(self._changes.start, path), self._trees.text(self._trees.now, path)
        return (
            before is not None and after is not None and not self._compare.is_changed_outside_tests(path, before, after)
        )


def _holds_expected_results(path: str) -> bool:
    """Whether a file is a snapshot, or other data that tests are held against."""
    name = PurePosixPath(path).name
    if find_language(path) is not None:
        return False
    return bool(_EXPECTED_RESULT_FILE.fullmatch(name)) or bool(_EXPECTED_RESULTS.search(path))


def _names_of(weakened: Iterable[Weakened]) -> TestNames:
    """The (path, name) of weakened tests, by their ids or by the names that their files give them."""
    return TestNames((each.path, each.test.removeprefix(f"{each.path}::")) for each in weakened)


def _split(place: str) -> tuple[str, str]:
    path, _, name = place.partition("::")
    return path, name
