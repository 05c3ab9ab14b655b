"""What the model reads: a pure fold of the log, one record at a time.

The list of messages only grows, and keeps the very same objects, until a `Compacted` or a `Rewound`; so what was
encoded for one request is a prefix of the next. A call that nobody answered is answered here: its answer is closed by
the next message, the end of the turn, a `Recovered` that names calls, or a request that already showed it as closed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kimi_agent.log.events import (
    CallStarted,
    Compacted,
    Noted,
    Partial,
    Queued,
    Recovered,
    Renamed,
    Requested,
    Returned,
    Rewound,
    Said,
    Stamped,
    TurnEnded,
)
from kimi_agent.log.interrupted import Unanswered, interrupted
from kimi_agent.log.messages import Assistant, Call, Message, ToolReturn, Usage, User, said
from kimi_agent.log.views import PlanView

_SUMMARY = """\
[The conversation so far was replaced by this summary to make room. It is a record of what happened, not a new request.]

"""
_TITLE_CHARS = 60
_SEARCHED_CHARS = 2_000


@dataclass
class _Answer:
    """The calls of the last answer while not all of them have their result among the messages."""

    seq: int
    calls: tuple[Call, ...]
    started: dict[int, CallStarted] = field(default_factory=dict)
    results: dict[int, ToolReturn] = field(default_factory=dict)
    placed: int = 0


@dataclass(frozen=True)
class _Mark:
    """After record `seq` the list held `length` messages, every call among them answered, and this plan stood."""

    seq: int
    length: int
    plan: PlanView | None


@dataclass(frozen=True)
class _Before:
    """What stood before the compaction `seq`."""

    seq: int
    messages: list[Message]
    marks: list[_Mark]


class Conversation:
    """The fold; `add` each record in the order of the log.

    What a compaction replaced is let go, so that memory stays flat, unless `keep_replaced`. Then a `Rewound` to before
    a compaction leaves `behind` True: fold the log anew with `keep_replaced` to read it rightly.
    """

    def __init__(self, *, keep_replaced: bool = False) -> None:
        self.behind = False
        self.title = ""
        self.turns = 0
        self.steps = 0
        self.usage = Usage()
        self.last_usage: Usage | None = None
        self.last: TurnEnded | None = None
        self.plan: PlanView | None = None
        self.noted = ""
        self._keep_replaced = keep_replaced
        self._messages: list[Message] = []
        self._marks: list[_Mark] = []
        self._before: list[_Before] = []
        self._compacted_at = 0
        self._answer: _Answer | None = None
        self._partial: Partial | None = None
        self._queued: dict[int, User] = {}
        self._first_text = 0
        self._renamed = False
        self._seq = 0

    def messages(self) -> list[Message]:
        """What the next request holds; open calls are answered as they would be if nothing more came."""
        if self._answer is None:
            return list(self._messages)
        return self._messages + _rest_of(self._answer, {})

    @property
    def open_calls(self) -> tuple[Unanswered, ...]:
        """The calls of the last answer that have no result yet."""
        answer = self._answer
        if answer is None:
            return ()
        return tuple(
            Unanswered(answer.seq, index, call, answer.started.get(index))
            for index, call in enumerate(answer.calls)
            if index >= answer.placed and index not in answer.results
        )

    @property
    def queued(self) -> tuple[tuple[int, User], ...]:
        """What the person typed that has not joined yet: the seq of each `Queued`, and its message."""
        return tuple(self._queued.items())

    def add(self, stamped: Stamped) -> None:
        """Take one record in; what says nothing about the conversation changes nothing."""
        match stamped.event:
            case Said():
                self._said(stamped.seq, stamped.event)
            case CallStarted() as started:
                if self._answer is not None and started.answer == self._answer.seq:
                    self._answer.started[started.index] = started
            case Returned() as returned:
                self._returned(stamped.seq, returned)
            case Requested():
                self._close()
            case Recovered(calls=calls) if calls:
                self._close({(call.answer, call.index): call.changed for call in calls})
            case TurnEnded() as ended:
                self._close()
                self._keep_partial()
                self.last = ended
            case Partial() as partial:
                if partial.text.strip() or self._partial is None:
                    self._partial = partial
            case Queued(message):
                self._queued[stamped.seq] = message
            case Compacted(through, summary):
                self._compact(stamped.seq, through, summary)
            case Rewound(to, what) if what != "code":
                self._rewind(to)
            case Renamed(title):
                self.title, self._renamed = _on_one_line(title), True
            case Noted(text):
                self.noted = text
        self._seq = max(self._seq, stamped.seq)

    def _said(self, seq: int, event: Said) -> None:
        self._close()
        message = event.message
        if event.usage is not None:
            self.usage += event.usage
            self.last_usage = event.usage
        if isinstance(message, User):
            self._keep_partial()
            self._queued.pop(event.queued, None)
            self.turns += not event.queued
            self._name_after(seq, message)
            self._place(seq, message)
            return
        self.steps += 1
        self._partial = None
        # The server refuses an empty answer for ever after, so it must never join.
        if message.calls:
            self._messages.append(message)
            self._answer = _Answer(seq, message.calls)
        elif message.text.strip():
            self._place(seq, message)

    def _name_after(self, seq: int, message: User) -> None:
        lines = map(_on_one_line, message.text[:_SEARCHED_CHARS].splitlines())
        first = next((line for line in lines if line), "")
        if first and not self._first_text:
            self._first_text = seq
            if not self._renamed:
                self.title = first if len(first) <= _TITLE_CHARS else first[: _TITLE_CHARS - 1] + "…"

    def _place(self, seq: int, *messages: Message) -> None:
        self._messages.extend(messages)
        self._marks.append(_Mark(seq, len(self._messages), self.plan))

    def _returned(self, seq: int, event: Returned) -> None:
        answer, index = self._answer, event.index
        if answer is None or event.answer != answer.seq or index in answer.results:
            return
        if not answer.placed <= index < len(answer.calls):
            return
        call = answer.calls[index]
        answer.results[index] = ToolReturn(call.id, call.name, event.result.content)
        if isinstance(event.result.view, PlanView):
            self.plan = event.result.view
        # Results join in the order of the calls, so one that came early waits for those before it.
        while answer.placed in answer.results:
            self._messages.append(answer.results.pop(answer.placed))
            answer.placed += 1
        if answer.placed == len(answer.calls):
            self._answer = None
            self._place(seq)

    def _close(self, changed: Mapping[tuple[int, int], Sequence[str]] | None = None) -> None:
        """Answer what nobody answered; it reads as of the record before, so that a rewind to this one keeps it."""
        answer = self._answer
        if answer is None:
            return
        self._answer = None
        self._place(self._seq, *_rest_of(answer, changed or {}))

    def _keep_partial(self) -> None:
        partial, self._partial = self._partial, None
        if partial is not None and partial.text.strip():
            why = partial.why or "it was interrupted"
            text = f"{partial.text}\n\n[the answer broke off: {why}]"
            self._place(self._seq, Assistant(text, partial.reasoning or None))

    def _compact(self, seq: int, through: int, summary: str) -> None:
        self._close()
        covered = max((mark.length for mark in self._marks if mark.seq <= through), default=0)
        if not covered:
            return  # a summary of nothing replaces nothing
        if self._keep_replaced:
            self._before.append(_Before(seq, self._messages, self._marks))
        self._compacted_at = seq
        later = [_Mark(mark.seq, mark.length - covered + 1, mark.plan) for mark in self._marks if mark.seq > through]
        self._messages = [said(_SUMMARY + summary), *self._messages[covered:]]
        self._marks = [_Mark(through, 1, self.plan), *later]

    def _rewind(self, to: int) -> None:
        self._close()
        self._keep_partial()
        while self._before and self._before[-1].seq >= to:
            before = self._before.pop()
            self._messages, self._marks = before.messages, before.marks
            self._compacted_at = self._before[-1].seq if self._before else 0
        if self._compacted_at >= to:
            self.behind = True
            return
        kept = [mark for mark in self._marks if mark.seq < to]
        self._messages = self._messages[: kept[-1].length if kept else 0]
        self.plan = kept[-1].plan if kept else None
        self._marks = kept
        self._queued = {seq: message for seq, message in self._queued.items() if seq < to}
        if self._first_text >= to:
            self._first_text = 0
            self.title = self.title if self._renamed else ""


def _on_one_line(text: str) -> str:
    """A title stands in lists and messages, so it can hold nothing that moves a cursor."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _rest_of(answer: _Answer, changed: Mapping[tuple[int, int], Sequence[str]]) -> list[Message]:
    """The results that still have to join the messages, those of unanswered calls made up."""
    return [
        answer.results.get(index)
        or ToolReturn(call.id, call.name, interrupted(answer.started.get(index), changed.get((answer.seq, index))))
        for index, call in enumerate(answer.calls)
        if index >= answer.placed
    ]


def conversation(log: Iterable[Stamped]) -> list[Message]:
    """What the next request holds after this log."""
    return folded(lambda: log, keep_replaced=True).messages()


def folded(read: Callable[[], Iterable[Stamped]], *, keep_replaced: bool = False) -> Conversation:
    """The fold of what `read` gives; it is read twice where a rewind went behind a compaction."""
    fold = Conversation(keep_replaced=keep_replaced)
    for stamped in read():
        fold.add(stamped)
    return folded(read, keep_replaced=True) if fold.behind and not keep_replaced else fold
