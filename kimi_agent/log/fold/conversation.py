"""The conversation fold: the messages that the model reads, computed from the log one record at a time. Pure.

The list of messages only grows, and keeps the very same objects, until a `Compacted`, `Shortened`, `Restored` or
`Rewound`; so what was encoded for one request is a prefix of the next. A call without a result gets one made up here,
as soon as something follows that cannot come between a call and its result: the next message, the end of the turn, a
`Recovered` that names calls, a request, or what makes another list. A `Rewound` can be undone until something is said.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence

from kimi_agent.log import events
from kimi_agent.log.fold.open_answer import ChangedByCall, OpenAnswer
from kimi_agent.log.fold.rewindable import CutPoint, MessageOrigin, RewindableState
from kimi_agent.log.fold.unanswered_calls import UnansweredCall
from kimi_agent.log.messages import Assistant, Message, User, user_message
from kimi_agent.log.views import PlanView
from kimi_agent.printable import one_line

_SUMMARY = """\
[The conversation so far was replaced by this summary to make room. It is a record of what happened, not a new request.]

"""
_TITLE_CHARS = 60
_SEARCHED_CHARS = 2_000


class Conversation:
    """The conversation after the records added so far; `add` them in the order of the log.

    The messages that a compaction or a shortening replaced are dropped, so that memory stays flat, unless
    `keep_replaced`. A `Rewound` or a `Restored` may need dropped messages again: then `needs_refold` is True and the
    messages here are wrong. For example, `Compacted(through=9)` leaves a summary of records 2 to 9, and `Rewound(to=5)`
    asks for 2 to 4 themselves. Then fold the whole log anew with `keep_replaced=True`, and call `drop_replaced`
    (`fold_conversation` does both).
    """

    def __init__(self, *, keep_replaced: bool = False) -> None:
        self.needs_refold = False
        self.noted = ""
        self._keep_replaced = keep_replaced
        self._state = RewindableState()
        self._before_rewinds: dict[int, RewindableState] = {}
        self._answer: OpenAnswer | None = None
        self._partial: events.Partial | None = None
        self._partial_seq = 0
        self._renamed = False
        self._seq = 0

    @property
    def title(self) -> str:
        """The conversation's name: the first words, or what it was renamed to."""
        return self._state.title

    @property
    def plan(self) -> PlanView | None:
        """The plan in effect."""
        return self._state.plan

    def messages(self) -> list[Message]:
        """What the next request holds; open calls are answered as they would be if nothing more came."""
        if self._answer is None:
            return list(self._state.messages)
        return [*self._state.messages, *(message for message, _ in self._answer.remaining_results({}))]

    def origins(self) -> list[MessageOrigin]:
        """Where each of `messages()` comes from: (answer, index) of a result, else (seq of its record, -1)."""
        if self._answer is None:
            return list(self._state.origins)
        return [*self._state.origins, *(place for _, place in self._answer.remaining_results({}))]

    @property
    def marks(self) -> Sequence[CutPoint]:
        """Where the messages can be cut: a `Compacted` through a mark's seq replaces its length of messages."""
        return tuple(self._state.marks)

    @property
    def replaced(self) -> tuple[int, ...]:
        """The compactions and shortenings in effect, by their seq; a `Restored` takes the last one back."""
        return tuple(each.seq for each in self._state.replaced)

    @property
    def open_calls(self) -> tuple[UnansweredCall, ...]:
        """The calls of the last answer that have no result yet."""
        return () if self._answer is None else self._answer.open_calls

    @property
    def queued(self) -> tuple[tuple[int, User], ...]:
        """What the person typed that has not joined yet: the seq of each `Queued`, and its message."""
        return tuple(self._state.queued.items())

    @property
    def taken_back(self) -> tuple[events.Rewound, ...]:
        """The rewinds of files alone since the last turn ended: the messages still report changes that are gone."""
        return tuple(self._state.taken_back.values())

    def turn_of(self, seq: int) -> int:
        """The number (from 1) of the turn that record `seq` belongs to, rewound turns not counted; 0 for none."""
        return bisect_right(self._state.turns, seq)

    def length_before(self, to: int) -> int | None:
        """How many messages a rewind to `to` leaves; None where a compaction replaced what would show it."""
        return self._state.length_before(to)

    def add(self, stamped: events.Stamped) -> None:
        """Take one record in; what says nothing about the conversation changes nothing."""
        match stamped.event:
            case events.Said():
                self._said(stamped.seq, stamped.event)
            case events.CallStarted() as started:
                if self._answer is not None and started.answer == self._answer.seq:
                    self._answer.started[started.index] = started
            case events.Returned() as returned:
                self._returned(stamped.seq, returned)
            case events.Requested():
                self._close()
            case events.Recovered(calls=calls) if calls:
                self._close({(call.answer, call.index): call.changed for call in calls})
            case events.TurnEnded():
                self._close()
                self._keep_partial()
                self._state.taken_back.clear()
            case events.Partial() as partial:
                if partial.text.strip() or self._partial is None:
                    self._partial, self._partial_seq = partial, stamped.seq
            case events.Queued(message):
                self._state.queued[stamped.seq] = message
            case events.Compacted(through, summary):
                self._close()
                self._state.compact(stamped.seq, through, user_message(_SUMMARY + summary), keep=self._keep_replaced)
            case events.Shortened(results):
                self._close()
                self._state.shorten(stamped.seq, results, keep=self._keep_replaced)
            case events.Restored(compaction):
                self._close()
                whole = self._state.restore(stamped.seq, compaction, keep=self._keep_replaced)
                self.needs_refold = self.needs_refold or not whole
            case events.Rewound() as rewound:
                self._rewind(stamped.seq, rewound)
            case events.Renamed(title):
                self._state.title, self._renamed = one_line(title), True
            case events.Noted(text):
                self.noted = text
        self._seq = max(self._seq, stamped.seq)

    def drop_replaced(self) -> None:
        """Drop the replaced messages that were kept, and keep none from here on."""
        self._keep_replaced = False
        self._state.drop_replaced()

    def _said(self, seq: int, event: events.Said) -> None:
        self._close()
        self._before_rewinds.clear()
        message = event.message
        if isinstance(message, User):
            self._keep_partial()
            self._state.queued.pop(event.queued, None)
            if not event.queued:
                self._state.turns.append(seq)
            self._name_after(seq, message)
            self._place(seq, message, seq)
            return
        self._partial = None
        # The server refuses an empty answer for ever after, so it must never join.
        if message.calls:
            self._state.join(message, (seq, -1))
            self._answer = OpenAnswer(seq, message.calls)
        elif message.text.strip():
            self._place(seq, message, seq)

    def _place(self, seq: int, message: Message, origin: int) -> None:
        self._state.join(message, (origin, -1))
        self._state.mark(seq)

    def _name_after(self, seq: int, message: User) -> None:
        lines = map(one_line, message.text[:_SEARCHED_CHARS].splitlines())
        first = next((line for line in lines if line), "")
        if first and not self._state.first_text:
            self._state.first_text = seq
            if not self._renamed:
                self._state.title = first if len(first) <= _TITLE_CHARS else first[: _TITLE_CHARS - 1] + "…"

    def _returned(self, seq: int, event: events.Returned) -> None:
        answer = self._answer
        if answer is None or event.answer != answer.seq or not answer.take(event.index, event.result.content):
            return
        if isinstance(event.result.view, PlanView):
            self._state.plan = event.result.view
        for result, place in answer.ready():
            self._state.join(result, place)
        if answer.placed == len(answer.calls):
            self._answer = None
            self._state.mark(seq)

    def _close(self, changed: ChangedByCall | None = None) -> None:
        """Answer what nobody answered; it reads as of the record before, so that a rewind to this one keeps it."""
        answer, self._answer = self._answer, None
        if answer is not None:
            for result, place in answer.remaining_results(changed or {}):
                self._state.join(result, place)
            self._state.mark(self._seq)

    def _keep_partial(self) -> None:
        partial, self._partial = self._partial, None
        if partial is not None and partial.text.strip():
            why = partial.why or "it was interrupted"
            text = f"{partial.text}\n\n[the answer broke off: {why}]"
            self._place(self._seq, Assistant(text, partial.reasoning or None), self._partial_seq)

    def _rewind(self, seq: int, event: events.Rewound) -> None:
        if event.what == "code":
            if self._state.taken_back.pop(event.undoes, None) is None:
                self._state.taken_back[seq] = event
            return
        self._close()
        self._keep_partial()
        if not event.undoes:
            then = self._state.state_before(event.to, renamed=self._renamed)
            self.needs_refold = self.needs_refold or then is None
        elif (before := self._before_rewinds.get(event.undoes)) is not None:
            then = before.copy()
            then.queued |= {at: message for at, message in self._state.queued.items() if at > event.undoes}
            then.title = self._state.title if self._renamed else then.title
        else:
            then = None  # something was said since
        if then is not None:
            self._before_rewinds[seq], self._state = self._state, then


def fold_conversation(read: Callable[[], Iterable[events.Stamped]], *, keep_replaced: bool = False) -> Conversation:
    """The fold of what `read` gives; it is read twice where something that was replaced came back."""
    fold = Conversation(keep_replaced=keep_replaced)
    for stamped in read():
        fold.add(stamped)
    if fold.needs_refold and not keep_replaced:
        fold = fold_conversation(read, keep_replaced=True)
        fold.drop_replaced()
    return fold
