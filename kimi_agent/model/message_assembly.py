"""Message assembly: joins streamed deltas into one assistant message."""

from dataclasses import dataclass, field

from kimi_agent.log.events import CallDelta, ReasoningDelta, Retrying, TextDelta
from kimi_agent.log.messages import Assistant, Call
from kimi_agent.model.protocol import Delta


@dataclass
class _AssembledCall:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class Assembly:
    """The answer streamed so far; usage and finish are for others to keep.

    A `Retrying` voids it, or only its calls where text and reasoning are kept: the answer then goes on behind them.
    """

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._field = ""
        self._calls: dict[int, _AssembledCall] = {}

    def add(self, delta: Delta) -> None:
        """Join one delta to what is there."""
        match delta:
            case TextDelta(text):
                self._text.append(text)
            case ReasoningDelta(text, field):
                if not any(self._reasoning):
                    self._field = field
                self._reasoning.append(text)
            case CallDelta(index, wire_id, name, arguments):
                call = self._calls.setdefault(index, _AssembledCall())
                call.id = call.id or wire_id
                call.name = call.name or name
                call.arguments.append(arguments)
            case Retrying(kept=True):
                self._calls.clear()
            case Retrying():
                self._start()

    @property
    def text(self) -> str:
        """The visible text so far."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str | None:
        """The reasoning so far: None where none came, "" where an empty one did."""
        return "".join(self._reasoning) if self._reasoning else None

    def assistant(self) -> Assistant:
        """The whole answer, its calls in the model's order; arguments stay the raw text, parseable or not."""
        calls = tuple(Call(call.id, call.name, "".join(call.arguments)) for _, call in sorted(self._calls.items()))
        return Assistant(self.text, self.reasoning, calls, self._field or "reasoning_content")
