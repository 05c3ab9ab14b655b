"""Call plan: what one tool call would do, resolved before it is judged: files by their real path, exact commands.

Policy, rules, snapshots, the question on the screen, the log and the runner all take this one value; between a
person's yes and the run it is made again and compared, and another plan asks again.
"""

from dataclasses import dataclass, field
from typing import Literal

from kimi_agent.log.events import Effect

CommandSource = Literal["model", "repository", "settings", "runner"]
"""Who wrote a command: the model, a text of the repository (AGENTS.md), the person's settings, or a row of our table
of test runners."""


@dataclass(frozen=True)
class PlannedPath:
    """A file or folder that a call reads or writes.

    `path` is where it lies: absolute, no link left in it. `names` are the absolute names that lead there by a link
    (the link's own place and what follows it), for rules that were written on such a name.
    """

    path: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlannedCommand:
    """A shell text that a call runs, as a person would type it, and the real folder that it starts in."""

    text: str
    folder: str
    source: CommandSource = "model"


@dataclass(frozen=True)
class CallPlan:
    """What a call of `tool` would do. Equal plans do the same on equal files.

    `paths` are what an edit writes, or what a reading tool reads; `commands` what it runs.
    """

    tool: str
    effect: Effect
    paths: tuple[PlannedPath, ...] = ()
    commands: tuple[PlannedCommand, ...] = field(default=())
