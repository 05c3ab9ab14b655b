"""Proof of a turn's files: whether the runs on the files as they are reach each of them and are whole enough. Pure."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from kimi_agent.printable import join_some
from kimi_agent.verify.import_reach import ImportReach, is_document
from kimi_agent.verify.run_history import TestRunRecord
from kimi_agent.verify.test_config import find_steering_files
from kimi_agent.verify.test_ids import file_of_test, is_file_of_id
from kimi_agent.workspace.testrun.choosing.project_map import ANY_ECOSYSTEM
from kimi_agent.workspace.testrun.commands_and_reports import Owner
from kimi_agent.workspace.testrun.proof_rules import NONE_LEFT_OUT, REACHED, SETTLED, WHOLE

OwnerOf = Callable[[str], Owner | None]
"""What a changed file (by its path in the workspace) belongs to; None where any run proves it."""

ONLY_EXIT_CODE_KNOWN = "only an exit code speaks for it, of a command that was never seen to fail"
_MOST_NAMED = 3


@dataclass(frozen=True)
class Breaches:
    """The rules of proof that do not hold, as sentences. `only_exit_code`: no more than that speaks for some file.

    `narrowed` is False where whole runs prove all of the files.
    """

    unproven: tuple[str, ...] = ()
    only_exit_code: bool = False
    narrowed: bool = False


class FileProof:
    """Judges `files` by the runs that passed on them as they are now.

    `history` are all runs of the session, `mended` the tests that were red in the turn.
    """

    def __init__(
        self,
        files: Sequence[str],
        history: Sequence[TestRunRecord],
        *,
        owner: OwnerOf,
        reach: ImportReach,
        mended: Collection[str],
        holds_tests: Callable[[str], bool] = lambda path: False,
    ) -> None:
        self._files = files
        self._history = history
        self._owner = owner
        self._reach = reach
        self._mended = frozenset(mended)
        self._holds_tests = holds_tests

    def judge(self, standing: Sequence[TestRunRecord]) -> Breaches:
        """What is missing for a proof by the runs that speak for the files as they are."""
        passed = [run for run in standing if run.passed]
        unreached: dict[str, list[str]] = {}
        narrowed: dict[str, list[TestRunRecord]] = {}
        left_out: dict[str, None] = {}
        only_exit_code, all_whole = False, bool(passed)
        # What did not pass in the last call is its verdict's own reason.
        last = [run for run in standing if run.seq == standing[-1].seq]
        said = [run for run in last if not run.passed and run.report.verdict != "none_ran"]
        for path in self._files if passed else ():
            reaching = [run for run in passed if self._reaches(run, path)]
            able = [run for run in reaching if not self.proves_nothing(run)]
            if any(covers_all_tests(run) and not self._left_out(run, path) for run in able):
                continue
            all_whole = False
            if not reaching and any(self._reaches(run, path) for run in said):
                continue
            if not reaching:
                unreached.setdefault(self._named_owner(path, passed), []).append(path)
            elif not able:
                only_exit_code = True
            elif missing := [each for run in able for each in self._left_out(run, path)]:
                left_out.update(dict.fromkeys(missing))
            elif not any(self._proves_narrowed(run, path) for run in able):
                narrowed[path] = able
        sentences = [*_unreached(unreached, passed), *_narrowed(narrowed)]
        if left_out:
            sentences.append(NONE_LEFT_OUT.said(tests=join_some(tuple(left_out), _MOST_NAMED, str)))
        return Breaches(tuple(sentences), only_exit_code, not all_whole)

    def proves_nothing(self, run: TestRunRecord) -> bool:
        """Whether a command of the model's own choice ended well and nothing says that it ever could have failed."""
        if not (
            run.only_exit_code and run.passed and (run.own_command or any(find_steering_files(run.report, self._files)))
        ):
            return False
        return not any(run.report.command in each.red for each in self._history)

    def _reaches(self, run: TestRunRecord, path: str) -> bool:
        owner, report = self._owner(path), run.report
        if owner is None:
            return True
        if not report.ecosystem:  # a task of the project's own, or a log of an older build, which has no folder either
            return _is_below(path, report.folder)
        return owner.ecosystem in (ANY_ECOSYSTEM, report.ecosystem) and report.folder == owner.folder

    def _named_owner(self, path: str, passed: Sequence[TestRunRecord]) -> str:
        owner = self._owner(path)
        if owner is None:
            return path
        if owner.ecosystem != ANY_ECOSYSTEM and all(run.report.ecosystem != owner.ecosystem for run in passed):
            return owner.ecosystem.lower()
        return "the top folder" if owner.folder == "." else owner.folder

    def _left_out(self, run: TestRunRecord, path: str) -> list[str]:
        """What the run could not run of its own project's tests, and that may be a test of the file."""
        named = [each for each in run.report.unrun if self._concerns(_path_of(each), path)]
        return [*named, path] if not named and self._passed_over(run, path) else named

    def _passed_over(self, run: TestRunRecord, path: str) -> bool:
        """Whether the file holds tests of its own, of which a run that names the files of its tests ran none."""
        suffix = PurePosixPath(path).suffix
        files = {file_of_test(test) for test in run.test_ids}
        if not any(file.endswith(suffix) for file in files) or not self._holds_tests(path):
            return False
        return not any(is_file_of_id(path, file) for file in files) and not self._reach.reaches(files, path)

    def _concerns(self, left_out: str, path: str) -> bool:
        if " " in left_out or _is_below(path, left_out):  # no path but a sentence, or the file's own folder
            return True
        is_file = "." in left_out.rpartition("/")[2]
        return is_file and (owner := self._owner(left_out)) is not None and owner == self._owner(path)

    def _proves_narrowed(self, run: TestRunRecord, path: str) -> bool:
        if is_document(path) or not self._mended.isdisjoint(run.green):
            return True
        return self._reach.reaches(map(file_of_test, run.green), path)


def covers_all_tests(run: TestRunRecord) -> bool:
    """Whether nothing narrowed a run to some of its project's tests; a command of the model's own has to be plain.

    What it could not run is another question: `unrun` names it.
    """
    if not run.own_command:
        return run.report.whole or (bool(run.report.unrun) and not run.scope)
    # Loading what reads commands takes time that a session without such a run shall not pay.
    from kimi_agent.workspace.testrun.choosing.given_command import may_run_subset

    return not may_run_subset(run.report.command)


def find_unsettled(
    runs: Sequence[TestRunRecord], *, turn: int, last: TestRunRecord | None
) -> tuple[TestRunRecord, ...]:
    """The runs of this turn that did not pass and that no later run made up for.

    A later run does if it passed and is of the same command in the same folder; or whole and of the same project; or
    narrowed, of the same runner, where all that failed were tests that were read one by one: each of those is asked
    about by itself. What was of the commands of the `last` call is reported with it.
    """
    failing = last is not None and last.call.verdict != "passed"
    reported = {_command_of(run) for run in runs if last is not None and failing and run.seq == last.seq}
    found = {}
    for at, run in enumerate(runs):
        key = _command_of(run)
        if run.seq <= turn or run.passed or key in reported or _hides_nothing(run):
            continue
        if not any(_settles(later, run) for later in runs[at + 1 :]):
            found[key] = run
    return tuple(found.values())


def unsettled_sentence(run: TestRunRecord) -> str:
    """What is reported of a run that nothing made up for."""
    how = {"none_ran": "ran no test", "timed_out": "timed out", "broken": "broke off"}
    command = run.report.command if run.report.folder in ("", ".") else f"{run.report.command} (in {run.report.folder})"
    return SETTLED.said(command=command, how=how.get(run.report.verdict, "failed"))


def _hides_nothing(run: TestRunRecord) -> bool:
    """Whether a run found no test where none may be: by a selection that fits none, or in a project without any."""
    if run.report.verdict != "none_ran":
        return False
    return run.call.verdict == "passed" or not (run.own_command or covers_all_tests(run))


def _command_of(run: TestRunRecord) -> tuple[str, str]:
    return run.report.folder, run.report.command


def _settles(later: TestRunRecord, run: TestRunRecord) -> bool:
    if not later.passed:
        return False
    if _command_of(later) == _command_of(run):
        return True
    new, old = later.report, run.report
    same_project = new.ecosystem == old.ecosystem and new.folder == old.folder
    if new.whole and (same_project or run.own_command):  # a command of the model's own never says that it is whole
        return True
    read_one_by_one = old.verdict == "failed" and not run.only_exit_code
    return read_one_by_one and same_project and new.runner == old.runner and later.own_command <= run.own_command


def _unreached(found: Mapping[str, Sequence[str]], passed: Sequence[TestRunRecord]) -> Iterator[str]:
    ran = dict.fromkeys(f"{run.report.runner}: {_passed_tests(run)}" for run in passed)
    for owner, paths in found.items():
        files = join_some(tuple(paths), _MOST_NAMED, str)
        yield REACHED.said(owner=owner, files=files, ran=join_some(tuple(ran), _MOST_NAMED, str))


def _passed_tests(run: TestRunRecord) -> str:
    return f"exit {run.report.exit_code}" if run.only_exit_code else f"{len(run.green):,} passed"


def _narrowed(found: Mapping[str, Sequence[TestRunRecord]]) -> Iterator[str]:
    if not found:
        return
    runs = dict.fromkeys(_shown_scope(run) for able in found.values() for run in able)
    files = join_some(tuple(found), _MOST_NAMED, str)
    yield WHOLE.said(scope=join_some(tuple(runs), _MOST_NAMED, str), files=files)


def _shown_scope(run: TestRunRecord) -> str:
    return run.scope.removeprefix("narrowed: ").removeprefix("command: ") or "a part of the tests"


def _path_of(left_out: str) -> str:
    """The path that the name of something left out begins with; its reason follows."""
    return re.split(r": | \(", left_out, maxsplit=1)[0].strip().rstrip("/")


def _is_below(path: str, folder: str) -> bool:
    return folder in ("", ".") or path == folder or path.startswith(f"{folder}/")
