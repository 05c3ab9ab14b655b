"""Views of tool results for a person: a closed union of plain data, drawn by the faces.

A view holds no markup and no escape sequences of ours; its texts are raw and are sanitised where they are drawn.
"""

from typing import Literal

import msgspec


class TextView(msgspec.Struct, frozen=True, tag="text"):
    """Plain text, "" where it is what the model read; `title` is shown on the line of the call, such as "120 lines"."""

    text: str
    title: str = ""


class FileDiff(msgspec.Struct, frozen=True):
    """What happened to one file. `change` is M, A, D or R; `diff` is a unified diff (capped), `old_path` for R."""

    path: str
    change: Literal["M", "A", "D", "R"]
    added: int
    removed: int
    diff: str
    old_path: str = ""


class DiffView(msgspec.Struct, frozen=True, tag="diff"):
    """Edits to files, as done or as asked for."""

    files: tuple[FileDiff, ...]


class OutputView(msgspec.Struct, frozen=True, tag="output"):
    """A process that ran and the end of its output, or (exit_code None, duration_s 0.0) one that is to be run.

    `lines` counts all that it printed; `text` may hold only its beginning and end."""

    command: str
    text: str = ""
    exit_code: int | None = None
    duration_s: float = 0.0
    cwd: str = ""
    lines: int = 0


class MatchesView(msgspec.Struct, frozen=True, tag="matches"):
    """Hits of a search: how many in how many files; the hits themselves are what the model read."""

    pattern: str
    matches: int
    files: int


FAILED_OUTCOMES = ("failed", "error")


class TestCase(msgspec.Struct, frozen=True):
    """One test's outcome. `id` can be given to the runner again; `detail` is at most 15 lines.

    `new` and `fixed` compare with its last run in this session: it fails now and did not, or the other way round. Of a
    test that ran several times in one run (repeated by us, or by the runner itself: reruns, retries), `runs` says how
    often it ran and `failures` how often it failed. One that the runner let pass in the end is `passed`.
    """

    __test__ = False  # pytest collects classes by this name

    id: str
    outcome: Literal["passed", "failed", "error", "skipped"]
    place: str = ""
    message: str = ""
    detail: str = ""
    new: bool = False
    fixed: bool = False
    runs: int = 1
    failures: int = 0


RunVerdict = Literal["passed", "failed", "run_failed", "none_ran", "broken", "timed_out"]


class TestReport(msgspec.Struct, frozen=True, tag="tests"):
    """One run of a repository's tests, as the harness read it (never as a model reported it).

    `verdict`: `passed` and `failed` come from parsed results; `run_failed` means that every test passed and the run
    failed all the same (a coverage limit, a hook, an unhandled rejection); `none_ran` is its own outcome, not success;
    `broken` means that it stopped before its tests were through; `timed_out` that it was killed. `trouble` is why, in
    the runner's own last words where it has some. `exit_code` is None after a kill.

    `tree` names the files that it ran on (see `Checkpoint`), "" where they could not be kept; `whole` says that nothing
    narrowed it to some of the tests; `repeats` how often it ran. `folder` (relative to the workspace, "." for its top,
    "" in logs of older builds) and `ecosystem` ("" for a task or script of the project's own, which may test anything)
    say which files it can prove. `unrun` names what belongs to the tests asked for and could not be run, with the
    reason. A joint run of several projects holds their reports as `parts`.
    """

    __test__ = False

    verdict: RunVerdict
    runner: str
    evidence: str
    command: str
    exit_code: int | None
    duration_s: float
    cases: tuple[TestCase, ...] = ()
    running: str = ""
    log: str = ""
    trouble: str = ""
    tree: str = ""
    whole: bool = False
    repeats: int = 1
    folder: str = ""
    ecosystem: str = ""
    unrun: tuple[str, ...] = ()
    parts: tuple["TestReport", ...] = ()

    def count(self, outcome: str) -> int:
        """How many cases ended with `outcome`."""
        return sum(case.outcome == outcome for case in self.cases)


class PlanItem(msgspec.Struct, frozen=True):
    """One step of a plan."""

    step: str
    status: Literal["pending", "in_progress", "done"]


class PlanView(msgspec.Struct, frozen=True, tag="plan"):
    """The plan as it is now."""

    items: tuple[PlanItem, ...]


class Weakened(msgspec.Struct, frozen=True):
    """A test that proves less than it did before the turn; `test` is its id, or its name in the file `path`."""

    path: str
    test: str
    how: Literal["deleted", "skipped", "fewer assertions", "expectation changed"]


class RunCounts(msgspec.Struct, frozen=True):
    """One run of those that a verdict rests on: what ran where, how it ended, and how many tests it told of."""

    runner: str
    command: str
    folder: str
    outcome: RunVerdict
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    trouble: str = ""


class Evidence(msgspec.Struct, frozen=True):
    """What is proven at the end of a turn, as the harness read it from the log and the files.

    `files` changed in this turn, `changed_since` after the last test run (both capped at 200). `last` is that run, its
    passing cases left out; `passed`, `failed` and `skipped` count the tests of all runs on the files as they are now,
    and `runs` names them where they are several. `fixed` went from red to green, `broke` from green to red, `still_red`
    were red when last run and not run again since. `flaky` failed and passed on the same files; `retried` passed only
    when the runner itself ran them again. `renamed` holds (old id, new id) of tests that were red under their old name.
    `scope` says what a run that was not whole was narrowed to, or whose command it was; `trouble` why it is not known
    whether files changed; `unproven` which other rules of proof do not hold, each as a sentence.
    """

    verdict: Literal["verified", "not_verified", "no_tests", "none_needed"]
    tree: str = ""
    files: tuple[str, ...] = ()
    changed_since: tuple[str, ...] = ()
    last: TestReport | None = None
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    fixed: tuple[str, ...] = ()
    broke: tuple[str, ...] = ()
    still_red: tuple[str, ...] = ()
    weakened: tuple[Weakened, ...] = ()
    flaky: tuple[str, ...] = ()
    scope: str = ""
    trouble: str = ""
    unproven: tuple[str, ...] = ()
    retried: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    runs: tuple[RunCounts, ...] = ()

    @property
    def is_green(self) -> bool:
        """Whether a run verified what changed, or nothing needed proof and no test is red."""
        if self.verdict != "none_needed":
            return self.verdict == "verified"
        good = self.last is None or self.last.verdict == "passed"
        return good and not (self.still_red or self.flaky or self.unproven)


View = TextView | DiffView | OutputView | MatchesView | TestReport | PlanView


class Result(msgspec.Struct, frozen=True):
    """Both sides of a tool's result: `content` for the model, `view` for a person.

    `code` is the error code of a failed result (see `errors.ErrorCode`), else "".
    """

    content: str
    view: View | None = None
    failed: bool = False
    code: str = ""
