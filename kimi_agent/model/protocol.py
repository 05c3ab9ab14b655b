"""Model protocol: a name, a window, and a stream of deltas; the agent loop knows no more of a model.

Every provider, wrapper, tape and test double is a `Model`. A stream either ends normally, after a `Finish`, or
raises a `ModelError`; a `Retrying` in it voids what came before it, unless it says that its words are kept.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from kimi_agent.log.events import CallDelta, ReasoningDelta, Retrying, TextDelta
from kimi_agent.log.messages import Assistant, Message, Usage

DEFAULT_OUTPUT_TOKENS = 32_768
"""Tokens of an answer where nobody says: the documented default of kimi-k2.6, which also counts for its rate limits."""
WRAP_UP_OUTPUT_TOKENS = 8_192
"""Tokens of the one answer that only says how far the work came."""

Sleep = Callable[[float], Awaitable[None]]
"""Waits for so many seconds."""
UnixClock = Callable[[], float]
"""Unix time in seconds."""


class Finish(msgspec.Struct, frozen=True):
    """The answer is complete; `reason` is the wire's word: stop, tool_calls, length, content_filter, or unknown."""

    reason: str


Delta = TextDelta | ReasoningDelta | CallDelta | Usage | Retrying | Finish


@dataclass(frozen=True)
class ToolSpec:
    """A tool as the model reads it; `schema` is a JSON object schema within Moonshot's subset."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """All that one answer depends on.

    `messages` only grows within a session, so that what was encoded for one request is a prefix of the next; `notes`
    are added behind it for this request alone. `session` and `agent` name the cache key and the tape's route.

    `purpose` says what is paid for. `partial` is the start of the answer, to be gone on with: the deltas are then what
    comes behind it. `tools_off` forbids calls while the tools stay listed (the cached prefix is kept). `max_output`
    caps this answer (tokens, reasoning included); `tokens` is the estimated size of the input, 0 where not known.
    """

    system: str
    tools: tuple[ToolSpec, ...]
    messages: Sequence[Message]
    notes: tuple[str, ...] = ()
    session: str = ""
    agent: str = "main"
    purpose: Literal["answer", "compaction", "wrap_up"] = "answer"
    partial: Assistant | None = None
    tools_off: bool = False
    max_output: int | None = None
    tokens: int = 0


def fingerprint_prompt_head(system: str, tools: Sequence[ToolSpec]) -> str:
    """A fingerprint (12 hex digits) of what comes before the messages: where it changes, no cached prefix holds."""
    head = [system, *([tool.name, tool.description, tool.schema] for tool in tools)]
    return hashlib.sha256(msgspec.json.encode(head)).hexdigest()[:12]


class Model(Protocol):
    """Something that answers requests. `window` is in tokens, input and output together."""

    @property
    def name(self) -> str: ...

    @property
    def window(self) -> int: ...

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The deltas of one answer. Raises Unavailable, Refused or TooLong."""

    async def aclose(self) -> None:
        """Close its connections."""


@asynccontextmanager
async def closing_stream(deltas: AsyncIterator[Delta]) -> AsyncIterator[AsyncIterator[Delta]]:
    """`deltas`, closed at the end of the block: else its connection is kept until the garbage collector comes."""
    try:
        yield deltas
    finally:
        if isinstance(deltas, AsyncGenerator):
            await deltas.aclose()


@dataclass(frozen=True)
class WrappedModel:
    """`model` with another stream around its own; every model wrapper is one."""

    model: Model
    stream: Callable[[Request], AsyncIterator[Delta]]

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def window(self) -> int:
        return self.model.window

    async def aclose(self) -> None:
        await self.model.aclose()
