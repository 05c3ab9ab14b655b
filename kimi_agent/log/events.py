"""Events of a session, as frozen values in the past tense: everything that can happen.

Durable events are appended to the session's file; fleeting ones only reach the listeners. Numbers: `answer` is the
`seq` of the `Said` event that holds the assistant message, `index` the place of a call in it, so that (answer,
index) names a call for ever; wire ids do not (Kimi starts them again at 0 in each answer).
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from kimi_agent.log.event_parts import Fingerprint, OpenCall, Short
from kimi_agent.log.messages import Assistant, Usage, User
from kimi_agent.log.questions import Decision, Question
from kimi_agent.log.views import Evidence, Result

Effect = Literal["read", "write", "execute", "network"]
Status = Literal["done", "failed", "blocked", "step_limit", "budget", "time_limit", "refused", "interrupted"]


class Opened(msgspec.Struct, frozen=True, tag="Opened"):
    """The first record: who, where, with what. `system` is the system prompt as sent, once per session."""

    session: str
    workspace: str
    model: str
    version: str
    system: str = ""
    forked_from: str = ""


class Said(msgspec.Struct, frozen=True, tag="Said"):
    """A message joined the conversation. `queued` is the seq of the `Queued` event it came from, else 0."""

    message: User | Assistant
    usage: Usage | None = None
    finish: str = ""
    queued: int = 0


class Requested(msgspec.Struct, frozen=True, tag="Requested"):
    """A request is on its way, with so many messages; a cap or the guard against loops may still keep it back.

    `head` is a fingerprint (hex) of the system prompt and the tools, which come before the messages.
    """

    model: str
    messages: int
    head: str = ""


class Partial(msgspec.Struct, frozen=True, tag="Partial"):
    """What had been streamed when an answer broke off. Never holds calls: half a call is never history.

    `retried` says that it is asked for again; what comes then replaces this one.
    """

    text: str
    reasoning: str = ""
    why: str = ""
    retried: bool = False


class CallStarted(msgspec.Struct, frozen=True, tag="CallStarted"):
    """Written before the effect, with what the named paths held then.

    `commands` are those that the call runs and that its arguments do not name (AGENTS.md's test command).
    """

    answer: int
    index: int
    name: str
    effect: Effect
    before: tuple[Fingerprint, ...] = ()
    commands: tuple[str, ...] = ()


class Returned(msgspec.Struct, frozen=True, tag="Returned"):
    """Written after the effect."""

    answer: int
    index: int
    result: Result
    duration_s: float = 0.0


class Asked(msgspec.Struct, frozen=True, tag="Asked"):
    question: Question


class Answered(msgspec.Struct, frozen=True, tag="Answered"):
    question: Question
    decision: Decision


class Seen(msgspec.Struct, frozen=True, tag="Seen"):
    """The model saw (or wrote) a file: `ranges` are first and last lines shown, () for a hash without text.

    `whole` says that every line was shown or written by us.
    """

    path: str
    sha256: str
    ranges: tuple[tuple[int, int], ...] = ()
    whole: bool = False
    by: Literal["read", "write"] = "read"


class Noted(msgspec.Struct, frozen=True, tag="Noted"):
    """A note is at the tail of the requests from here on ("" ends it)."""

    text: str


class Queued(msgspec.Struct, frozen=True, tag="Queued"):
    """The person typed this while a turn ran; it joins at the next step."""

    message: User


class Checkpoint(msgspec.Struct, frozen=True, tag="Checkpoint"):
    """The tree of the workspace was kept, before or after the call (answer, index), under the name `tree`.

    `missed`: paths too big to keep (at most 20); `unkept`: see `Snapshot`; `failed`: why nothing was (`tree` is "").
    `apart`: what was written apart from all else that the call did, perhaps by somebody else (None: nobody looked).
    """

    tree: str
    when: Literal["before", "after"] = "before"
    answer: int = 0
    index: int = 0
    missed: tuple[str, ...] = ()
    failed: str = ""
    unkept: str = ""
    apart: tuple[str, ...] | None = None


class Compacted(msgspec.Struct, frozen=True, tag="Compacted"):
    """Everything up to and with record `through` reads as this summary from here on.

    `why`: the window was nearly full, the server reported that it is over, or a person asked (with this `focus`).
    `messages` is how many were replaced; tokens are those of the whole request, estimated.
    """

    through: int
    summary: str
    why: Literal["window", "overflow", "asked"] = "window"
    messages: int = 0
    tokens_before: int = 0
    tokens_after: int = 0
    focus: str = ""


class Shortened(msgspec.Struct, frozen=True, tag="Shortened"):
    """Stale results were shortened to make room, without asking the model; tokens are those of the whole request."""

    results: tuple[Short, ...]
    tokens_before: int = 0
    tokens_after: int = 0


class Restored(msgspec.Struct, frozen=True, tag="Restored"):
    """The `Compacted` or `Shortened` of seq `compaction` was taken back: what it replaced reads as before."""

    compaction: int


class Dispatched(msgspec.Struct, frozen=True, tag="Dispatched"):
    """A request of about `input` tokens went out; `usd` is their price uncached (None: not known)."""

    model: str
    input: int
    usd: float | None = None
    purpose: Literal["answer", "compaction", "wrap_up"] = "answer"


class Unanswered(msgspec.Struct, frozen=True, tag="Unanswered"):
    """The request that went out last got no word of an answer: it was refused or never arrived, and costs nothing."""


class Spent(msgspec.Struct, frozen=True, tag="Spent"):
    """One request was paid for, whatever came of it; `usd` is None where the model's price is not known.

    `estimated` says that the server reported no usage. `due` is how many of the input tokens the provider's cache could
    have held; where clearly fewer were, `miss` says why.
    """

    model: str
    usage: Usage
    usd: float | None = None
    purpose: Literal["answer", "compaction", "wrap_up"] = "answer"
    due: int = 0
    miss: str = ""
    estimated: bool = False


class Rewound(msgspec.Struct, frozen=True, tag="Rewound"):
    """The conversation (and, by `what`, the files) went back to just before record `to`.

    `was` and `tree` name the tree before and after the files went back ("" where none did); `paths` those that went,
    where not all did. With `undoes` it takes an earlier Rewound of that seq back: all is again as before that one.
    """

    to: int
    what: Literal["chat", "code", "both"] = "both"
    was: str = ""
    tree: str = ""
    paths: tuple[str, ...] = ()
    undoes: int = 0


class Judged(msgspec.Struct, frozen=True, tag="Judged"):
    """What the harness itself found proven at the end of a turn that changed files."""

    evidence: Evidence


class Committed(msgspec.Struct, frozen=True, tag="Committed"):
    """The harness committed what the agent had changed by then, and nothing else."""

    commit: str
    branch: str
    files: tuple[str, ...] = ()


class Renamed(msgspec.Struct, frozen=True, tag="Renamed"):
    title: str


class TurnEnded(msgspec.Struct, frozen=True, tag="TurnEnded"):
    """The prompt is back. `text` says why where the status alone does not; a one-shot run ends with `exit_code`."""

    status: Status
    steps: int
    text: str = ""
    exit_code: int = 0


class Recovered(msgspec.Struct, frozen=True, tag="Recovered"):
    """Damage was repaired: bytes of a torn record cut off, bad records skipped, open calls answered."""

    cut_bytes: int = 0
    bad_records: int = 0
    calls: tuple[OpenCall, ...] = ()


class TextDelta(msgspec.Struct, frozen=True, tag="TextDelta"):
    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, tag="ReasoningDelta"):
    text: str
    field: str = "reasoning_content"


class CallDelta(msgspec.Struct, frozen=True, tag="CallDelta"):
    """A fragment of call `index`: id and name come once (else ""), `arguments` is to be appended."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Progress(msgspec.Struct, frozen=True, tag="Progress"):
    """A running call has something to show."""

    answer: int
    index: int
    text: str


class Retrying(msgspec.Struct, frozen=True, tag="Retrying"):
    """The attempt failed, the next one starts in `wait_s` seconds. What it had streamed is void, unless `kept`.

    `kept`: its text and reasoning stay, the next attempt goes on behind them (its calls are void in any case).
    """

    why: str
    wait_s: float
    attempt: int
    kept: bool = False


class Notice(msgspec.Struct, frozen=True, tag="Notice"):
    """A sentence of the harness to the person; `wait_s` is how long the next request is held back, if that is known."""

    text: str
    wait_s: float = 0.0


class Published(msgspec.Struct, frozen=True, tag="Published"):
    """What else came of --commit and --pr: the address of the pull request, or in one sentence what went wrong."""

    pull_request: str = ""
    error: str = ""


# A row for each would make a page of what is read as one line.
Durable = (
    Opened | Said | Requested | Partial | CallStarted | Returned | Asked | Answered | Seen | Noted | Queued | Checkpoint
    | Compacted | Shortened | Restored | Dispatched | Unanswered | Spent | Rewound | Judged | Committed | Renamed
    | TurnEnded | Recovered
)  # fmt: skip
Fleeting = TextDelta | ReasoningDelta | CallDelta | Progress | Retrying | Notice | Published
Event = Durable | Fleeting


class Stamped(msgspec.Struct, frozen=True):
    """An event with its place: agent path, seq (0 for a fleeting one), Unix time in seconds."""

    agent: str
    seq: int
    at: float
    event: Event


Listener = Callable[[Stamped], None]
Emit = Callable[[Event], Stamped]
