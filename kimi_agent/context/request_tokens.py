"""Token estimator for requests: what the server counted last, plus an estimate of what was added since.

Texts are estimated by a simple rule, and corrected by a ratio that is learnt from every usage the server reports.
"""

import json
from itertools import accumulate, pairwise
from math import ceil

from kimi_agent.log.messages import Assistant, Message, Text, ToolReturn, Usage, User
from kimi_agent.model.protocol import Request, ToolSpec
from kimi_agent.model.text_tokens import TOKENS_PER_MEDIUM, estimate_tokens

TOKENS_PER_MESSAGE = 3
"""The framing of a message, in tokens."""
MIN_RATIO, MAX_RATIO = 0.7, 1.6
_NEWEST_WEIGHT = 0.3  # of the newest answer in the ratio
_MIN_PLAUSIBLE_SHARE = 0.1  # a usage below this share of the estimate counts something else than tokens


def estimate_message_tokens(message: Message) -> int:
    """An estimate for one message."""
    match message:
        case User(parts):
            return TOKENS_PER_MESSAGE + sum(
                estimate_tokens(part.text) if isinstance(part, Text) else TOKENS_PER_MEDIUM for part in parts
            )
        case ToolReturn(_, name, content):
            return TOKENS_PER_MESSAGE + estimate_tokens(name) + estimate_tokens(content)
        case Assistant(text, reasoning, calls):
            called = sum(
                TOKENS_PER_MESSAGE + estimate_tokens(call.name) + estimate_tokens(call.arguments) for call in calls
            )
            return TOKENS_PER_MESSAGE + estimate_tokens(text) + estimate_tokens(reasoning or "") + called


class TokenEstimator:
    """Measures the requests of one session; a step costs what it added. It must `forget` a list that is replaced."""

    def __init__(self) -> None:
        self.ratio = 1.0
        self._messages: list[Message] = []
        self._sums = [0]
        self._system = ""
        self._tools: tuple[ToolSpec, ...] = ()
        self._head = TOKENS_PER_MESSAGE
        self._covered = 0
        self._counted = 0

    def measure(self, request: Request) -> int:
        """The tokens of `request`: those that the server counted, and the estimate of what came behind them."""
        self._follow(request)
        total = self._head + self._sums[-1] + _estimate_tail(request)
        known = self._head + self._sums[self._covered] if self._covered else 0
        return self._counted + ceil(self.ratio * (total - known))

    def learn(self, request: Request, at: int, usage: Usage) -> None:
        """`usage` came with the answer that is message `at` of `request`; an implausible one is ignored."""
        self._follow(request)
        estimate = self._head + self._sums[at]
        if usage.input <= 0 or usage.input < _MIN_PLAUSIBLE_SHARE * estimate:
            return
        newest = usage.input / estimate
        self.ratio = min(MAX_RATIO, max(MIN_RATIO, (1 - _NEWEST_WEIGHT) * self.ratio + _NEWEST_WEIGHT * newest))
        self._covered, self._counted = at + 1, usage.input + usage.output

    def estimate_request(self, request: Request) -> int:
        """The estimate for a whole request that may never be sent."""
        self._know_head(request)
        messages = sum(map(estimate_message_tokens, request.messages))
        return ceil(self.ratio * (self._head + messages + _estimate_tail(request)))

    def estimate_text(self, text: str) -> int:
        """The estimate for a message of this text."""
        return ceil(self.ratio * (TOKENS_PER_MESSAGE + estimate_tokens(text)))

    def sizes(self, request: Request) -> list[int]:
        """The estimate for each message of `request`."""
        self._follow(request)
        return [ceil(self.ratio * (end - start)) for start, end in pairwise(self._sums)]

    def estimate_overhead(self, request: Request) -> int:
        """The estimate for all but the messages: the system prompt, the tools, the notes."""
        self._know_head(request)
        return ceil(self.ratio * (self._head + _estimate_tail(request)))

    def _know_head(self, request: Request) -> None:
        if request.system != self._system or request.tools != self._tools:
            self._system, self._tools = request.system, request.tools
            listed = [(each.name, each.description, dict(each.schema)) for each in request.tools]
            schemas = json.dumps(listed, ensure_ascii=False, separators=(",", ":"), default=str)
            self._head = TOKENS_PER_MESSAGE + estimate_tokens(request.system) + estimate_tokens(schemas)
            self._covered = self._counted = 0

    def forget(self) -> None:
        """The next request holds other messages; the ratio stays."""
        self._messages, self._sums = [], [0]
        self._covered = self._counted = 0

    def _follow(self, request: Request) -> None:
        """Know the messages of `request`. A session's list only grows, until it is forgotten: the last is enough."""
        self._know_head(request)
        messages, known = request.messages, len(self._messages)
        if known and not (known <= len(messages) and messages[known - 1] is self._messages[-1]):
            self.forget()
            known = 0
        added = messages[known:]
        self._messages += added
        self._sums += accumulate(map(estimate_message_tokens, added), initial=self._sums.pop())


def _estimate_tail(request: Request) -> int:
    """The estimate for what follows the messages in this request alone: notes and the partial answer."""
    notes = TOKENS_PER_MESSAGE + estimate_tokens("\n".join(request.notes)) if request.notes else 0
    return notes + (estimate_message_tokens(request.partial) if request.partial is not None else 0)
