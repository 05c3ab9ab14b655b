"""What a test runner is to us, as a value: how it is recognised, started and read."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from kimi_agent.workspace.process.runner import Runner
from kimi_agent.workspace.testrun.projects.interpreter import Interpreters
from kimi_agent.workspace.testrun.projects.project_folder import Folder
from kimi_agent.workspace.testrun.values import Launch, Reading, Wish

# What a shell answers for a command that could not be started.
NOT_STARTED = (126, 127)


@dataclass(frozen=True)
class Bench:
    """What a row needs to start a runner: which programs there are, and where a report may be written.

    `report` is a free name in a temporary folder of this run alone; further files may be put beside it.
    """

    runner: Runner
    interpreters: Interpreters
    report: Path


@dataclass(frozen=True)
class Ran:
    """What is left of a run: its exit code (None after a kill), the lines it printed, its report; `wish` is what was
    asked of it."""

    exit_code: int | None
    lines: Iterable[str]
    report: Path
    root: Path
    folder: Folder
    wish: Wish = field(default_factory=Wish)


Read = Callable[[Ran], Reading]


@dataclass(frozen=True)
class Row:
    """One runner. `evidence` gives "" where nothing speaks for it; `launch` None where it cannot run what is wished.

    `suffixes` end the names of the files that are its ecosystem's own: another one's runner is not given them.
    """

    runner: str
    ecosystem: str
    evidence: Callable[[Folder], str]
    launch: Callable[[Folder, Wish, str, Bench], Awaitable[Launch | None]]
    read: Read
    suffixes: tuple[str, ...] = ()


def read_exit(ran: Ran) -> Reading:
    """The exit code is all that is known: no cases."""
    if ran.exit_code in NOT_STARTED:
        return Reading(broken=f"the command could not be started (exit {ran.exit_code})")
    return Reading(claim="passed" if ran.exit_code == 0 else "failed", by_exit=True)
