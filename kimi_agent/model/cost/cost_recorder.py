"""Cost recorder: a model wrapper that logs each request's cost and watches that the provider's cache holds.

Each attempt is one durable `Dispatched` as it goes out, so that one whose process is killed is not forgotten. One that
was answered at all is a `Spent`, also where it broke off: its tokens are then estimated, and none of them counts as
cached, so that the bill is never above what is reported. So is one that was cancelled, before its first word too: it
may have arrived. Any other attempt without a first word was refused or never arrived: it is `Unanswered`, and costs
nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import is_
from typing import Literal

import msgspec
from msgspec import structs

from kimi_agent.log import events
from kimi_agent.log.messages import Media, Message, Usage, User
from kimi_agent.model.cost.prices import Price
from kimi_agent.model.protocol import (
    Delta,
    Model,
    Request,
    ToolSpec,
    WrappedModel,
    closing_stream,
    fingerprint_prompt_head,
)
from kimi_agent.model.text_tokens import TOKENS_PER_MEDIUM, estimate_tokens

MIN_CACHEABLE_TOKENS = 256
"""Tokens that a prompt must exceed to be cached at all."""
MIN_HIT_RATIO = 0.8
"""The share of what was due from which on the cache held; the provider caches in blocks."""
TOLERATED_MISS_TOKENS = 1_024
"""Tokens that may be missing without a word."""
CACHE_IDLE_S = 300.0
"""How long a provider may be expected to keep a prompt that nobody asks for."""

OTHER_MODEL = "another model"
OTHER_TOOLS = "the tool list changed"
OTHER_SYSTEM = "the system prompt changed"
HISTORY_EDITED = "the history was edited"
PROVIDER_DROPPED_CACHE = "the provider did not keep it"


@dataclass(frozen=True)
class LastRequest:
    """The agent's previous request, as the log has it: `at` (Unix) its answer ended, `input` tokens went in.

    `edited` says what happened to the conversation since: some of it was changed, or all of it was replaced.
    """

    model: str
    head: str
    messages: int
    input: int
    at: float
    edited: Literal["", "some", "all"] = ""


def find_last_request(log: Iterable[events.Stamped]) -> LastRequest | None:
    """The last request in one agent's log; None where the log says too little to expect anything cached."""
    asked: events.Requested | None = None
    last: LastRequest | None = None
    for stamped in log:
        match stamped.event:
            case events.Requested() as requested:
                asked = requested
            case events.Spent(usage=usage, purpose="answer" | "wrap_up", estimated=estimated) if (
                asked is not None and asked.head and (usage.output or not estimated)
            ):
                last = LastRequest(asked.model, asked.head, asked.messages, usage.input, stamped.at)
            case events.Compacted() if last is not None:
                last = replace(last, edited="all")
            case events.Shortened() | events.Restored() | events.Rewound(what="chat" | "both") if (
                last is not None and not last.edited
            ):
                last = replace(last, edited="some")
    return last


def wrap_with_cost_recorder(
    model: Model, *, price: Price | None, emit: events.Emit, clock: Callable[[], float], last: LastRequest | None = None
) -> Model:
    """`model`, each attempt of which emits a `Dispatched`, then a `Spent` or `Unanswered`. `clock` is Unix time.

    One recorder is for one agent, whose log `emit` writes; `last` is that agent's request before these (after a resume,
    or on another model).
    """
    return WrappedModel(model, _CostRecorder(model, price, emit, clock, last).stream)


@dataclass
class _CostRecorder:
    model: Model
    price: Price | None
    emit: events.Emit
    clock: Callable[[], float]
    last: LastRequest | None
    sent: Request | None = None
    """The last request itself, where this process sent it: it says more than its fingerprint in the log."""

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The deltas of the attempt; the `Spent` comes before its end, or before what it raises."""
        began_at = self.clock()
        output, cancelled = _AttemptOutput(), False
        request = replace(request, tokens=request.tokens or estimate_request_tokens(request))
        usd = None if self.price is None else self.price.worst(request.tokens, 0)
        self.emit(events.Dispatched(self.model.name, request.tokens, usd, request.purpose))
        try:
            async with closing_stream(self.model.stream(request)) as deltas:
                async for delta in deltas:
                    output.note(delta)
                    yield delta
        except (asyncio.CancelledError, GeneratorExit):
            cancelled = True  # it may have arrived: as after a kill, that counts
            raise
        finally:
            if output.anything or cancelled:
                self._spend(request, output, began_at)
            else:
                self.emit(events.Unanswered())

    def _spend(self, request: Request, output: "_AttemptOutput", began_at: float) -> None:
        reported = output.usage if output.usage is not None and output.usage.input else None
        usage = reported or structs.replace(output.usage or output.estimated(), input=request.tokens)
        due, miss = (0, "") if reported is None else self._cache(request, usage, began_at)
        if (
            output.anything and request.purpose != "compaction"
        ):  # which is not part of the conversation: the next answer follows the last
            self.last = LastRequest(self.model.name, "", len(request.messages), usage.input, self.clock())
            self.sent = request
        usd = None if self.price is None else self.price.usd(usage)
        self.emit(events.Spent(self.model.name, usage, usd, request.purpose, due, miss, estimated=reported is None))

    def _cache(self, request: Request, usage: Usage, began_at: float) -> tuple[int, str]:
        """How many tokens could have come from the cache, and why clearly fewer did ("" where they did)."""
        last = self.last
        if last is None or last.input <= MIN_CACHEABLE_TOKENS:
            return 0, ""
        why, common = self._difference(last, request)
        if request.purpose == "compaction" and why:
            return 0, ""  # a conversation of its own
        due = min(usage.input, last.input if common is None else common)
        if usage.cached >= MIN_HIT_RATIO * due or due - usage.cached <= TOLERATED_MISS_TOKENS:
            return due, ""
        idle_s = began_at - last.at
        return due, why or (f"idle for {idle_s / 60:.0f} min" if idle_s > CACHE_IDLE_S else PROVIDER_DROPPED_CACHE)

    def _difference(self, last: LastRequest, request: Request) -> tuple[str, int | None]:
        """Why this request does not begin with the last one ("" where it does).

        Where all of the conversation was replaced to make room, that is no miss: the number is then the tokens that
        both requests have in common.
        """
        if last.model != self.model.name:
            return OTHER_MODEL, None
        if why := self._other_head(last, request):
            return why, None
        if self.sent is None:
            replaced = last.edited == "all"
            edited = bool(last.edited) or len(request.messages) < last.messages
        else:
            edited = not _begins_with(request.messages, self.sent.messages)
            replaced = edited and not _begins_with(request.messages, self.sent.messages[:1])
        if replaced:
            return "", estimate_head_tokens(request.system, request.tools)
        return (HISTORY_EDITED if edited else ""), None

    def _other_head(self, last: LastRequest, request: Request) -> str:
        sent = self.sent
        if sent is None:
            # The log only shows that it is another one; a session keeps its system prompt, so it is the tools.
            return "" if last.head == fingerprint_prompt_head(request.system, request.tools) else OTHER_TOOLS
        if sent.tools is not request.tools and sent.tools != request.tools:
            return OTHER_TOOLS
        return "" if sent.system == request.system else OTHER_SYSTEM


@dataclass
class _AttemptOutput:
    """The output of one attempt: whether any came, the usage if it was reported, an estimated size if not."""

    anything: bool = False
    usage: Usage | None = None
    _text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)

    def estimated(self) -> Usage:
        """An estimate of what came out; nothing is known of the input."""
        output = estimate_tokens("".join((*self._text, *self._reasoning)))
        return Usage(output=output, reasoning=estimate_tokens("".join(self._reasoning)))

    def note(self, delta: Delta) -> None:
        self.anything = True
        match delta:
            case Usage(input, output) if input > 0 or output > 0:  # some servers send one of zeros
                self.usage = delta
            case events.TextDelta(text):
                self._text.append(text)
            case events.ReasoningDelta(text):
                self._reasoning.append(text)
            case events.CallDelta(name=name, arguments=arguments):
                self._text += name, arguments


def estimate_request_tokens(request: Request) -> int:
    """An estimate of a request's input that nobody measured, on the high side: a cap must hold without a number."""
    content = [list(request.messages), request.notes, request.partial]
    users = (message for message in request.messages if isinstance(message, User))
    media = sum(isinstance(part, Media) for user in users for part in user.parts)
    head = estimate_head_tokens(request.system, request.tools)
    return head + len(msgspec.json.encode(content)) // 3 + media * TOKENS_PER_MEDIUM


def estimate_head_tokens(system: str, tools: Sequence[ToolSpec]) -> int:
    """An estimate of the tokens before the messages, on the low side: so much both requests surely share."""
    head = [system, *([tool.name, tool.description, tool.schema] for tool in tools)]
    return len(msgspec.json.encode(head)) // 4


def _begins_with(messages: Sequence[Message], beginning: Sequence[Message]) -> bool:
    """Whether `messages` start with `beginning`. The fold keeps its objects, so that looking at thousands is quick."""
    if len(messages) < len(beginning):
        return False
    return all(map(is_, beginning, messages)) or list(messages[: len(beginning)]) == list(beginning)
