"""What the model reads: a pure fold of the log, one record at a time.

The list of messages only grows, and keeps the very same objects, until a `Compacted` or a `Rewound`; so what was
encoded for one request is a prefix of the next. A call that nobody answered is answered here: its answer is closed by
the next message, the end of the turn, a `Recovered` that names calls, or a request that already showed it as closed.
A `Rewound` can be undone until something new is said.
"""

from bisect import bisect_right
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
from kimi_agent.log.standing import Standing
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


class Conversation:
    """The fold; `add` each record in the order of the log.

    What a compaction replaced is let go, so that memory stays flat, unless `keep_replaced`. Then a `Rewound` to before
    a compaction leaves `behind` True: fold the log anew with `keep_replaced` to read it rightly.
    """

    def __init__(self, *, keep_replaced: bool = False) -> None:
        self.behind = False
        self.turns = 0
        self.steps = 0
        self.usage = Usage()
        self.last_usage: Usage | None = None
        self.last: TurnEnded | None = None
        self.noted = ""
        self._keep_replaced = keep_replaced
        self._now = Standing()
        self._stood: dict[int, Standing] = {}
        self._answer: _Answer | None = None
        self._partial: Partial | None = None
        self._renamed = False
        self._seq = 0

    @property
    def title(self) -> str:
        """The conversation's name: the first words, or what it was renamed to."""
        return self._now.title

    @property
    def plan(self) -> PlanView | None:
        """The plan that stands."""
        return self._now.plan

    def messages(self) -> list[Message]:
        """What the next request holds; open calls are answered as they would be if nothing more came."""
        if self._answer is None:
            return list(self._now.messages)
        return self._now.messages + _rest_of(self._answer, {})

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
        return tuple(self._now.queued.items())

    @property
    def taken_back(self) -> tuple[Rewound, ...]:
        """The rewinds of files alone since the last turn ended: the messages tell of changes that are gone."""
        return tuple(self._now.taken_back.values())

    def turn_of(self, seq: int) -> int:
        """The number (from 1) of the turn, among those that stand, that record `seq` belongs to; 0 for none."""
        return bisect_right(self._now.turns, seq)

    def length_before(self, to: int) -> int | None:
        """How many messages stand after a rewind to `to`; None where a compaction replaced what would tell."""
        return self._now.length_before(to)

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
                self._now.taken_back.clear()
                self.last = ended
            case Partial() as partial:
                if partial.text.strip() or self._partial is None:
                    self._partial = partial
            case Queued(message):
                self._now.queued[stamped.seq] = message
            case Compacted(through, summary):
                self._close()
                self._now.compact(stamped.seq, through, said(_SUMMARY + summary), keep=self._keep_replaced)
            case Rewound() as rewound:
                self._rewind(stamped.seq, rewound)
            case Renamed(title):
                self._now.title, self._renamed = _on_one_line(title), True
            case Noted(text):
                self.noted = text
        self._seq = max(self._seq, stamped.seq)

    def _said(self, seq: int, event: Said) -> None:
        self._close()
        self._stood.clear()
        message = event.message
        if event.usage is not None:
            self.usage += event.usage
            self.last_usage = event.usage
        if isinstance(message, User):
            self._keep_partial()
            self._now.queued.pop(event.queued, None)
            if not event.queued:
                self.turns += 1
                self._now.turns.append(seq)
            self._name_after(seq, message)
            self._now.place(seq, message)
            return
        self.steps += 1
        self._partial = None
        # The server refuses an empty answer for ever after, so it must never join.
        if message.calls:
            self._now.messages.append(message)
            self._answer = _Answer(seq, message.calls)
        elif message.text.strip():
            self._now.place(seq, message)

    def _name_after(self, seq: int, message: User) -> None:
        lines = map(_on_one_line, message.text[:_SEARCHED_CHARS].splitlines())
        first = next((line for line in lines if line), "")
        if first and not self._now.first_text:
            self._now.first_text = seq
            if not self._renamed:
                self._now.title = first if len(first) <= _TITLE_CHARS else first[: _TITLE_CHARS - 1] + "…"

    def _returned(self, seq: int, event: Returned) -> None:
        answer, index = self._answer, event.index
        if answer is None or event.answer != answer.seq or index in answer.results:
            return
        if not answer.placed <= index < len(answer.calls):
            return
        call = answer.calls[index]
        answer.results[index] = ToolReturn(call.id, call.name, event.result.content)
        if isinstance(event.result.view, PlanView):
            self._now.plan = event.result.view
        # Results join in the order of the calls, so one that came early waits for those before it.
        while answer.placed in answer.results:
            self._now.messages.append(answer.results.pop(answer.placed))
            answer.placed += 1
        if answer.placed == len(answer.calls):
            self._answer = None
            self._now.place(seq)

    def _close(self, changed: Mapping[tuple[int, int], Sequence[str]] | None = None) -> None:
        """Answer what nobody answered; it reads as of the record before, so that a rewind to this one keeps it."""
        answer = self._answer
        if answer is None:
            return
        self._answer = None
        self._now.place(self._seq, *_rest_of(answer, changed or {}))

    def _keep_partial(self) -> None:
        partial, self._partial = self._partial, None
        if partial is not None and partial.text.strip():
            why = partial.why or "it was interrupted"
            text = f"{partial.text}\n\n[the answer broke off: {why}]"
            self._now.place(self._seq, Assistant(text, partial.reasoning or None))

    def _rewind(self, seq: int, event: Rewound) -> None:
        if event.what == "code":
            if self._now.taken_back.pop(event.undoes, None) is None:
                self._now.taken_back[seq] = event
            return
        self._close()
        self._keep_partial()
        if not event.undoes:
            then = self._now.back(event.to, renamed=self._renamed)
            self.behind = self.behind or then is None
        elif (stood := self._stood.get(event.undoes)) is not None:
            then = stood.again()
            then.queued |= {at: message for at, message in self._now.queued.items() if at > event.undoes}
            then.title = self._now.title if self._renamed else then.title
        else:
            then = None  # something was said since
        if then is not None:
            self._stood[seq], self._now = self._now, then


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
