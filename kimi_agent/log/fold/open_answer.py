"""The open answer: an assistant message whose calls do not all have their result yet."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kimi_agent.log.events import CallStarted
from kimi_agent.log.fold.unanswered_calls import UnansweredCall, describe_interruption
from kimi_agent.log.messages import Call, ToolReturn

ChangedByCall = Mapping[tuple[int, int], Sequence[str]]
"""The files that differ since a call began, by its (answer, index); a call that is missing was not looked at."""


@dataclass
class OpenAnswer:
    """The calls of the answer `seq`: results join the messages in the order of the calls, `placed` of them did."""

    seq: int
    calls: tuple[Call, ...]
    started: dict[int, CallStarted] = field(default_factory=dict)
    results: dict[int, ToolReturn] = field(default_factory=dict)
    placed: int = 0

    @property
    def open_calls(self) -> tuple[UnansweredCall, ...]:
        """Those that nobody answered yet."""
        return tuple(
            UnansweredCall(self.seq, index, call, self.started.get(index))
            for index, call in enumerate(self.calls)
            if index >= self.placed and index not in self.results
        )

    def take(self, index: int, content: str) -> bool:
        """Take a result in; False where no such call waits for one."""
        if index in self.results or not self.placed <= index < len(self.calls):
            return False
        call = self.calls[index]
        self.results[index] = ToolReturn(call.id, call.name, content)
        return True

    def ready(self) -> Iterator[tuple[ToolReturn, tuple[int, int]]]:
        """The results that can join now, each with its place: one that came early waits for those before it."""
        while self.placed in self.results:
            self.placed += 1
            yield self.results.pop(self.placed - 1), (self.seq, self.placed - 1)

    def remaining_results(self, changed: ChangedByCall) -> Iterator[tuple[ToolReturn, tuple[int, int]]]:
        """The results that still have to join, those of unanswered calls made up."""
        for index, call in enumerate(self.calls):
            if index >= self.placed:
                why = describe_interruption(self.started.get(index), changed.get((self.seq, index)))
                yield self.results.get(index) or ToolReturn(call.id, call.name, why), (self.seq, index)
