"""What a call of run_tests starts, as a value."""

from dataclasses import dataclass, field
from pathlib import Path

from kimi_agent.workspace.testrun.projects.project_folder import Folder
from kimi_agent.workspace.testrun.runner import Read
from kimi_agent.workspace.testrun.values import Launch, Wish

OF_CALL = "command of this call"


@dataclass(frozen=True)
class Plan:
    """What is to be started, where, and how it is read. `whole` says that nothing narrows it to some of the tests."""

    launch: Launch
    read: Read
    folder: Folder
    wish: Wish = field(default_factory=Wish)
    whole: bool = False


@dataclass(frozen=True)
class Worked:
    """A command of an earlier call; `parsed` says that single tests were read from its run."""

    command: str
    folder: Path
    parsed: bool
