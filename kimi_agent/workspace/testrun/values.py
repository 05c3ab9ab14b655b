"""The values that pass between finding, starting and reading a test run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kimi_agent.log.views import TestCase

Outcome = Literal["passed", "failed", "error", "skipped"]


@dataclass(frozen=True)
class Target:
    """One thing to run: a path (real, absolute, inside the workspace) and the node inside it ("Case::test_a")."""

    path: Path
    node: str = ""


@dataclass(frozen=True)
class Wish:
    """What is to be run: everything, or `targets`, of that what `name` selects."""

    targets: tuple[Target, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Launch:
    """A run that is ready to start. `argv` is real and whole; `shown` is it as a person would type it.

    `beside` are files (name -> text) that have to stand beside the report, such as a reporter of ours; `said` turns a
    line of the output into what a person is told while it runs, where the runner prints for programs.
    """

    runner: str
    evidence: str
    argv: tuple[str, ...]
    shown: str
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    said: Callable[[str], str] = str


@dataclass(frozen=True)
class Reading:
    """What a runner reported of itself.

    `broken` is the first error of a run that never came to its tests; `claim` is the runner's own last word where it
    has one ("none": it ran no test); `trouble` says what could not be read. `whole` is False where the report is
    missing or ends early; `by_exit` is True where nothing but the exit code is known. `log` is the output as a person
    would read it, where the runner printed for programs.
    """

    cases: tuple[TestCase, ...] = ()
    broken: str = ""
    running: str = ""
    claim: Literal["", "passed", "failed", "none"] = ""
    trouble: str = ""
    whole: bool = True
    by_exit: bool = False
    log: str = ""
