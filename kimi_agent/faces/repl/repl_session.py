"""REPL session: what the REPL needs of an open agent and of the program, as values and callables."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kimi_agent.faces.repl.compact_command import CompactionActions
from kimi_agent.faces.repl.rewind_commands import DiffSource, RewindPlanner
from kimi_agent.faces.screen.approvals import AskProxy
from kimi_agent.log.events import Listener, TurnEnded
from kimi_agent.log.messages import Message, User

if TYPE_CHECKING:  # the first prompt does not wait for this
    from kimi_agent.model.cost.caps import BudgetState


class MessageSource(Protocol):
    """The conversation as the REPL reads it."""

    def messages(self) -> Sequence[Message]: ...


class SessionHandle(Protocol):
    """A session as the REPL uses it: it reports what happens to its listeners."""

    @property
    def id(self) -> str: ...

    @property
    def conversation(self) -> MessageSource: ...

    def listen(self, listener: Listener, /) -> object: ...


class AgentHandle(Protocol):
    """An agent as the REPL uses it. A turn is cancelled by cancelling its task; it may end in a ModelError."""

    @property
    def session(self) -> SessionHandle: ...

    async def run_turn(self, prompt: User, /) -> TurnEnded: ...

    def queue(self, message: User, /) -> object: ...


@dataclass(frozen=True)
class SavedSession:
    """A line of /resume: `at` is the Unix time of its last record."""

    id: str
    title: str
    at: float


@dataclass(frozen=True)
class ReplSession:
    """An open session with its agent, and what the REPL can do with them.

    `new_session`, `resume` and `with_model` open another one and close this one; when they raise UserError (or
    ModelError), this one is as it was. `aclose` closes the session that the REPL ends in.
    `commands` are prompt files by name. `resume_with` is the command that resumes a session, but for its id.
    `rewinder`, `diff`, `compaction` and `costs` are None as long as there is nothing to look at. `window` is in
    tokens, `count_used_tokens` says how much of it the conversation takes; `cost_label` gives the cost in short.

    A session with `open_real` is a placeholder: the real one is opened as soon as the prompt is on the screen, and what
    that raises ends the REPL. What is typed meanwhile waits for it.
    """

    agent: AgentHandle
    asker: AskProxy
    model_name: str
    workspace: Path
    branch: str
    mode: Callable[[], str]
    set_mode: Callable[[str], None]
    sessions: Callable[[], Sequence[SavedSession]]
    new_session: Callable[[], Awaitable["ReplSession"]]
    resume: Callable[[str], Awaitable["ReplSession"]]
    with_model: Callable[[str], Awaitable["ReplSession"]]
    aclose: Callable[[], Awaitable[None]]
    history_file: Path
    environ: Mapping[str, str]
    notices: Sequence[str] = ()
    commands: Mapping[str, str] = field(default_factory=dict)
    resume_with: str = "kimi-agent -r"
    rewinder: RewindPlanner | None = None
    diff: DiffSource | None = None
    compaction: CompactionActions | None = None
    costs: Callable[[], "BudgetState"] | None = None
    window: int = 0
    count_used_tokens: Callable[[], int] = int
    cost_label: Callable[[], str] = str
    first_message: str = ""
    open_real: Callable[[], Awaitable["ReplSession"]] | None = None
