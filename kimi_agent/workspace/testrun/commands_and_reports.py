"""Test run values: what to run, the command that runs it, and the report that was parsed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kimi_agent.log.views import TestCase

TestOutcome = Literal["passed", "failed", "error", "skipped"]


@dataclass(frozen=True)
class Target:
    """One thing to run: a path (real, absolute, inside the workspace) and the node inside it ("Case::test_a")."""

    path: Path
    node: str = ""


@dataclass(frozen=True)
class Owner:
    """Whose tests a file needs: those of an ecosystem ("" for any) in a folder (relative, "." for the top)."""

    ecosystem: str
    folder: str


@dataclass(frozen=True)
class TestSelection:
    """The tests to run: all of them, or those of `targets`; of these, those whose name contains `name`."""

    __test__ = False  # pytest collects classes by this name

    targets: tuple[Target, ...] = ()
    name: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether all tests are to run."""
        return not (self.targets or self.name)


@dataclass(frozen=True)
class TestCommand:
    """A test command that is ready to start. `argv` is what is started; `shown` is it as a person would type it.

    `extra_files` (name -> text) are written beside the report, such as a reporter of ours. `show_line` turns a line of
    the output into what the person sees while it runs, where the runner prints for programs (`go test -json`).
    """

    __test__ = False  # pytest collects classes by this name

    runner: str
    evidence: str
    argv: tuple[str, ...]
    shown: str
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    extra_files: Mapping[str, str] = field(default_factory=dict)
    show_line: Callable[[str], str] = str


@dataclass(frozen=True)
class ParsedReport:
    """What a test runner reported, parsed.

    `fatal_error` is the first error of a run that never came to its tests; `stated_result` is the runner's own verdict
    where it prints one ("none": it ran no test); `trouble` says what could not be read, and why the run failed where
    its tests did not. `is_complete` is False where the report is missing or ends early; `by_exit_code` is True where
    nothing but the exit code is known. `running` names tests that began and were not reported to have ended. `log` is
    the output as a person would read it, where the runner printed for programs.

    `announced` is how many tests the runner itself says there are (collected, planned, or counted in its summary; None
    where it says nothing), `ended` how many were reported to have ended, counted as the runner counts, before cases of
    one id are merged (None: as many as `cases`). Fewer ended than announced is a run that was cut short. `unrun` names
    tests that belong to the run and that the runner did not reach, such as files its discovery does not look at.
    """

    cases: tuple[TestCase, ...] = ()
    fatal_error: str = ""
    running: str = ""
    stated_result: Literal["", "passed", "failed", "none"] = ""
    trouble: str = ""
    is_complete: bool = True
    by_exit_code: bool = False
    log: str = ""
    announced: int | None = None
    ended: int | None = None
    unrun: tuple[str, ...] = ()
