"""The conversation fold: the messages that the model reads, computed from the log one record at a time. Pure.

The list of messages only grows, and keeps the very same objects, until a `Compacted`, `Shortened`, `Restored` or
`Rewound`; so what was encoded for one request is a prefix of the next. A call that nobody answered is answered here:
its answer is closed by the next message, the end of the turn, a `Recovered` that names calls, a request that already
showed it as closed, or what makes another list. A `Rewound` can be undone until something new is said.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence

from kimi_agent.log.events import (
    CallStarted,
    Compacted,
    Noted,
    Opened,
    Partial,
    Queued,
    Recovered,
    Renamed,
    Requested,
    Restored,
    Returned,
    Rewound,
    Said,
    Shortened,
    Spent,
    Stamped,
    TurnEnded,
)
from kimi_agent.log.fold.open_answer import ChangedByCall, OpenAnswer
from kimi_agent.log.fold.rewindable import CutPoint, MessageOrigin, RewindableState
from kimi_agent.log.fold.unanswered_calls import UnansweredCall
from kimi_agent.log.messages import Assistant, Message, Usage, User, user_message
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
    messages here are wrong. Fold the whole log anew with `keep_replaced=True`, then call `drop_replaced`
    (`fold_conversation` does both).
    """

    def __init__(self, *, keep_replaced: bool = False) -> None:
        self.needs_refold = False
        self.turns = 0
        self.steps = 0
        self.last_usage: Usage | None = None
        self.last: TurnEnded | None = None
        self.noted = ""
        self._keep_replaced = keep_replaced
        self._now = RewindableState()
        self._stood: dict[int, RewindableState] = {}
        self._answer: OpenAnswer | None = None
        self._partial: Partial | None = None
        self._partial_seq = 0
        self._told = Usage()
        self._spent: Usage | None = None
        self._usd: float | None = 0.0
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

    @property
    def usage(self) -> Usage:
        """All that the session itself used. A log of before `Spent` was written tells only what its answers used."""
        return self._told if self._spent is None else self._spent

    @property
    def usd(self) -> float | None:
        """What that cost; None where a price is not known."""
        return self._usd if self._spent is not None or self._told == Usage() else None

    def messages(self) -> list[Message]:
        """What the next request holds; open calls are answered as they would be if nothing more came."""
        if self._answer is None:
            return list(self._now.messages)
        return [*self._now.messages, *(message for message, _ in self._answer.remaining_results({}))]

    def origins(self) -> list[MessageOrigin]:
        """Where each of `messages()` comes from: (answer, index) of a result, else (seq of its record, -1)."""
        if self._answer is None:
            return list(self._now.origins)
        return [*self._now.origins, *(place for _, place in self._answer.remaining_results({}))]

    @property
    def marks(self) -> Sequence[CutPoint]:
        """Where the messages can be cut: a `Compacted` through a mark's seq replaces its length of messages."""
        return tuple(self._now.marks)

    @property
    def replaced(self) -> tuple[int, ...]:
        """The compactions and shortenings that stand, by their seq; a `Restored` takes the last one back."""
        return tuple(each.seq for each in self._now.replaced)

    @property
    def open_calls(self) -> tuple[UnansweredCall, ...]:
        """The calls of the last answer that have no result yet."""
        return () if self._answer is None else self._answer.open_calls

    @property
    def queued(self) -> tuple[tuple[int, User], ...]:
        """What the person typed that has not joined yet: the seq of each `Queued`, and its message."""
        return tuple(self._now.queued.items())

    @property
    def taken_back(self) -> tuple[Rewound, ...]:
        """The rewinds of files alone since the last turn ended: the messages still report changes that are gone."""
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
                    self._partial, self._partial_seq = partial, stamped.seq
            case Queued(message):
                self._now.queued[stamped.seq] = message
            case Compacted(through, summary):
                self._close()
                self._now.compact(stamped.seq, through, user_message(_SUMMARY + summary), keep=self._keep_replaced)
            case Shortened(results):
                self._close()
                self._now.shorten(stamped.seq, results, keep=self._keep_replaced)
            case Restored(compaction):
                self._close()
                whole = self._now.restore(stamped.seq, compaction, keep=self._keep_replaced)
                self.needs_refold = self.needs_refold or not whole
            case Spent(usage=usage, usd=usd):
                self._spent = usage + (self._spent or Usage())
                if self._usd is not None and usage != Usage():
                    self._usd = None if usd is None else self._usd + usd
            case Opened(forked_from=source) if source:  # which paid for all that was copied from it
                self._told, self._spent, self._usd = Usage(), None, 0.0
            case Rewound() as rewound:
                self._rewind(stamped.seq, rewound)
            case Renamed(title):
                self._now.title, self._renamed = one_line(title), True
            case Noted(text):
                self.noted = text
        self._seq = max(self._seq, stamped.seq)

    def drop_replaced(self) -> None:
        """Drop the replaced messages that were kept, and keep none from here on."""
        self._keep_replaced = False
        self._now.drop_replaced()

    def _said(self, seq: int, event: Said) -> None:
        self._close()
        self._stood.clear()
        message = event.message
        if event.usage is not None:
            self._told += event.usage
            self.last_usage = event.usage
        if isinstance(message, User):
            self._keep_partial()
            self._now.queued.pop(event.queued, None)
            if not event.queued:
                self.turns += 1
                self._now.turns.append(seq)
            self._name_after(seq, message)
            self._place(seq, message, seq)
            return
        self.steps += 1
        self._partial = None
        # The server refuses an empty answer for ever after, so it must never join.
        if message.calls:
            self._now.join(message, (seq, -1))
            self._answer = OpenAnswer(seq, message.calls)
        elif message.text.strip():
            self._place(seq, message, seq)

    def _place(self, seq: int, message: Message, origin: int) -> None:
        self._now.join(message, (origin, -1))
        self._now.mark(seq)

    def _name_after(self, seq: int, message: User) -> None:
        lines = map(one_line, message.text[:_SEARCHED_CHARS].splitlines())
        first = next((line for line in lines if line), "")
        if first and not self._now.first_text:
            self._now.first_text = seq
            if not self._renamed:
                self._now.title = first if len(first) <= _TITLE_CHARS else first[: _TITLE_CHARS - 1] + "…"

    def _returned(self, seq: int, event: Returned) -> None:
        answer = self._answer
        if answer is None or event.answer != answer.seq or not answer.take(event.index, event.result.content):
            return
        if isinstance(event.result.view, PlanView):
            self._now.plan = event.result.view
        for result, place in answer.ready():
            self._now.join(result, place)
        if answer.placed == len(answer.calls):
            self._answer = None
            self._now.mark(seq)

    def _close(self, changed: ChangedByCall | None = None) -> None:
        """Answer what nobody answered; it reads as of the record before, so that a rewind to this one keeps it."""
        answer, self._answer = self._answer, None
        if answer is not None:
            for result, place in answer.remaining_results(changed or {}):
                self._now.join(result, place)
            self._now.mark(self._seq)

    def _keep_partial(self) -> None:
        partial, self._partial = self._partial, None
        if partial is not None and partial.text.strip():
            why = partial.why or "it was interrupted"
            text = f"{partial.text}\n\n[the answer broke off: {why}]"
            self._place(self._seq, Assistant(text, partial.reasoning or None), self._partial_seq)

    def _rewind(self, seq: int, event: Rewound) -> None:
        if event.what == "code":
            if self._now.taken_back.pop(event.undoes, None) is None:
                self._now.taken_back[seq] = event
            return
        self._close()
        self._keep_partial()
        if not event.undoes:
            then = self._now.state_before(event.to, renamed=self._renamed)
            self.needs_refold = self.needs_refold or then is None
        elif (stood := self._stood.get(event.undoes)) is not None:
            then = stood.copy()
            then.queued |= {at: message for at, message in self._now.queued.items() if at > event.undoes}
            then.title = self._now.title if self._renamed else then.title
        else:
            then = None  # something was said since
        if then is not None:
            self._stood[seq], self._now = self._now, then


def fold_messages(log: Iterable[Stamped]) -> list[Message]:
    """What the next request holds after this log."""
    return fold_conversation(lambda: log, keep_replaced=True).messages()


def fold_conversation(read: Callable[[], Iterable[Stamped]], *, keep_replaced: bool = False) -> Conversation:
    """The fold of what `read` gives; it is read twice where something that was replaced came back."""
    fold = Conversation(keep_replaced=keep_replaced)
    for stamped in read():
        fold.add(stamped)
    if fold.needs_refold and not keep_replaced:
        fold = fold_conversation(read, keep_replaced=True)
        fold.drop_replaced()
    return fold
