"""What the REPL needs of the house, as values and callables."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kimi_agent.faces.repl.compact_command import Compacting
from kimi_agent.faces.repl.rewind_commands import Differing, Rewinding
from kimi_agent.faces.screen.approvals import Asker
from kimi_agent.log.events import Listener, TurnEnded
from kimi_agent.log.messages import Message, User

if TYPE_CHECKING:  # the first prompt does not wait for this
    from kimi_agent.model.cost.caps import State


class Messages(Protocol):
    """The conversation as the REPL reads it."""

    def messages(self) -> Sequence[Message]: ...


class Told(Protocol):
    """A session: it tells its listeners what happens."""

    @property
    def id(self) -> str: ...

    @property
    def conversation(self) -> Messages: ...

    def listen(self, listener: Listener, /) -> object: ...


class Conversing(Protocol):
    """An agent. A turn is cancelled by cancelling its task; it may end in a ModelError."""

    @property
    def session(self) -> Told: ...

    async def run_turn(self, prompt: User, /) -> TurnEnded: ...

    def queue(self, message: User, /) -> object: ...


@dataclass(frozen=True)
class SavedSession:
    """A line of /resume: `at` is the Unix time of its last record."""

    id: str
    title: str
    at: float


@dataclass(frozen=True)
class ReplHome:
    """What the REPL needs of the house.

    `fresh`, `resume` and `with_model` open another home and close this one; when they raise UserError (or ModelError),
    this one is as it was. `aclose` ends the home that the REPL ends in. `commands` are prompt files by name.
    `resume_with` is the command that resumes a session, but for its id.
    `rewinding`, `differing`, `compacting` and `costs` are None as long as there is nothing to look at. `window` is in
    tokens, `used` measures what the conversation takes of it; `cost` says in few words what the session cost.

    A home with `opening` is only the hall: the real one is opened as soon as the prompt is on the screen, and what
    that raises ends the REPL. What is typed meanwhile waits for it.
    """

    agent: Conversing
    asker: Asker
    model_name: str
    workspace: Path
    branch: str
    mode: Callable[[], str]
    set_mode: Callable[[str], None]
    sessions: Callable[[], Sequence[SavedSession]]
    fresh: Callable[[], Awaitable["ReplHome"]]
    resume: Callable[[str], Awaitable["ReplHome"]]
    with_model: Callable[[str], Awaitable["ReplHome"]]
    aclose: Callable[[], Awaitable[None]]
    history_file: Path
    environ: Mapping[str, str]
    notices: Sequence[str] = ()
    commands: Mapping[str, str] = field(default_factory=dict)
    resume_with: str = "kimi-agent -r"
    rewinding: Rewinding | None = None
    differing: Differing | None = None
    compacting: Compacting | None = None
    costs: Callable[[], "State"] | None = None
    window: int = 0
    used: Callable[[], int] = int
    cost: Callable[[], str] = str
    first_message: str = ""
    opening: Callable[[], Awaitable["ReplHome"]] | None = None
