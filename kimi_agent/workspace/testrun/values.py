"""The values that pass between finding, starting and reading a test run."""

from collections.abc import Mapping
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
    """A run that is ready to start. `argv` is real and whole; `shown` is it as a person would type it."""

    runner: str
    evidence: str
    argv: tuple[str, ...]
    shown: str
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """What a runner reported of itself.

    `broken` is the first error of a run that never came to its tests; `claim` is the runner's own last word where it
    has one; `trouble` says what could not be read. `whole` is False where the report is missing or ends early;
    `by_exit` is True where nothing but the exit code is known.
    """

    cases: tuple[TestCase, ...] = ()
    broken: str = ""
    running: str = ""
    claim: Literal["", "passed", "failed"] = ""
    trouble: str = ""
    whole: bool = True
    by_exit: bool = False
