"""Rewindable state of a conversation: its messages, and where they can be cut to go back and forward again."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from kimi_agent.log.event_parts import Short
from kimi_agent.log.events import Rewound
from kimi_agent.log.messages import Message, ToolReturn, User
from kimi_agent.log.views import PlanView

MessageOrigin = tuple[int, int]
"""Where a message comes from: (answer, index) of a call's result, else (seq of its record, -1)."""


@dataclass(frozen=True)
class CutPoint:
    """After record `seq` the list held `length` messages, every call among them answered, and this plan in effect."""

    seq: int
    length: int
    plan: PlanView | None


@dataclass(frozen=True)
class MessageReplacement:
    """A `Compacted` or `Shortened` in effect: it left `length` messages in place of `before` (None: dropped)."""

    seq: int
    length: int
    before: "MessageLists | None"


@dataclass
class MessageLists:
    """Messages with their origins and cut points. The lists grow, and are left alone once others replace them.

    `changed_at` is the record (a compaction, for example) that put these lists in place of others, `replaced` the
    compactions and shortenings in effect; the last one can be taken back.
    """

    messages: list[Message] = field(default_factory=list)
    origins: list[MessageOrigin] = field(default_factory=list)
    marks: list[CutPoint] = field(default_factory=list)
    replaced: list[MessageReplacement] = field(default_factory=list)
    changed_at: int = 0


@dataclass
class RewindableState(MessageLists):
    """What a rewind sets back: the messages, the plan, the title.

    `before` holds the lists that a record put others in place of, by its seq, as far as they were kept. `turns` are the
    records of the prompts, `first_text` the one that the title was made of, `taken_back` the rewinds of files alone
    since the last turn ended.
    """

    before: dict[int, MessageLists] = field(default_factory=dict)
    turns: list[int] = field(default_factory=list)
    plan: PlanView | None = None
    queued: dict[int, User] = field(default_factory=dict)
    taken_back: dict[int, Rewound] = field(default_factory=dict)
    first_text: int = 0
    title: str = ""

    def join(self, message: Message, origin: MessageOrigin) -> None:
        """Add a message behind the others."""
        self.messages.append(message)
        self.origins.append(origin)

    def mark(self, seq: int) -> None:
        """Note that the messages can be cut after record `seq`: every call is answered there."""
        if self.marks and self.marks[-1].seq == seq:
            self.marks.pop()
        self.marks.append(CutPoint(seq, len(self.messages), self.plan))

    def compact(self, seq: int, through: int, summary: Message, *, keep: bool) -> None:
        """Put `summary` in place of the messages up to record `through`, if there are any; `keep` says to keep them."""
        covered = next((mark for mark in reversed(self.marks) if mark.seq <= through), None)
        if covered is None or not covered.length:
            return
        before = self._change(seq, keep=keep)
        gone = covered.length
        later = [replace(mark, length=mark.length - gone + 1) for mark in self.marks if mark.seq > covered.seq]
        self.messages = [summary, *self.messages[gone:]]
        self.origins = [(seq, -1), *self.origins[gone:]]
        self.marks = [CutPoint(covered.seq, 1, self.plan), *later]
        self.replaced = [*self.replaced, MessageReplacement(seq, len(self.messages), before)]

    def shorten(self, seq: int, results: Iterable[Short], *, keep: bool) -> None:
        """Put their short texts in place of the results of these calls; a place without a result is passed over."""
        texts = {(short.answer, short.index): short.text for short in results if short.index >= 0}
        found = [(at, texts[origin]) for at, origin in enumerate(self.origins) if origin in texts]
        if not found:
            return
        before = self._change(seq, keep=keep)
        self.messages, self.marks, self.origins = list(self.messages), list(self.marks), list(self.origins)
        for at, text in found:
            old = self.messages[at]
            assert isinstance(old, ToolReturn)
            self.messages[at] = ToolReturn(old.call_id, old.name, text)
        self.replaced = [*self.replaced, MessageReplacement(seq, len(self.messages), before)]

    def restore(self, seq: int, compaction: int, *, keep: bool) -> bool:
        """Put back what record `compaction` replaced, before what was said since; only the last one can be put back.

        False where the messages were dropped.
        """
        if not self.replaced or self.replaced[-1].seq != compaction:
            return True
        *others, last = self.replaced
        if last.before is None:
            return False
        then, longer = last.before, len(last.before.messages) - last.length
        self._change(seq, keep=keep)
        since = self.marks[bisect_left(self.marks, last.seq, key=lambda mark: mark.seq) :]
        self.messages = [*then.messages, *self.messages[last.length :]]
        self.origins = [*then.origins, *self.origins[last.length :]]
        self.marks = [*then.marks, *(replace(mark, length=mark.length + longer) for mark in since)]
        self.replaced = others
        return True

    def _change(self, seq: int, *, keep: bool) -> MessageLists | None:
        """Note that record `seq` puts other lists in place of these; `keep` these, to go back there."""
        before = None
        if keep:
            before = MessageLists(self.messages, self.origins, self.marks, self.replaced, self.changed_at)
            self.before[seq] = before
        self.changed_at = seq
        return before

    def drop_replaced(self) -> None:
        """Drop the lists that were replaced."""
        self.before = {}
        self.replaced = [replace(each, before=None) for each in self.replaced]

    def length_before(self, to: int) -> int | None:
        """How many messages there were just before record `to`; None where they were replaced since."""
        if self.changed_at >= to:
            return None
        at = bisect_left(self.marks, to, key=lambda mark: mark.seq)
        return self.marks[at - 1].length if at else 0

    def state_before(self, to: int, *, renamed: bool) -> "RewindableState | None":
        """The state just before record `to`; None where it was replaced since and not kept."""
        # The first change at or behind `to` kept the lists that held just before it.
        then = next((lists for seq, lists in self.before.items() if seq >= to), self)
        if then.changed_at >= to:
            return None
        kept = [mark for mark in then.marks if mark.seq < to]
        length = kept[-1].length if kept else 0
        unnamed = self.first_text >= to
        return RewindableState(
            messages=then.messages[:length],
            origins=then.origins[:length],
            marks=kept,
            before={seq: lists for seq, lists in self.before.items() if seq < to},
            replaced=then.replaced,
            changed_at=then.changed_at,
            turns=self.turns[: bisect_left(self.turns, to)],
            plan=kept[-1].plan if kept else None,
            queued={seq: message for seq, message in self.queued.items() if seq < to},
            taken_back={seq: event for seq, event in self.taken_back.items() if event.to < to},
            first_text=0 if unnamed else self.first_text,
            title="" if unnamed and not renamed else self.title,
        )

    def copy(self) -> "RewindableState":
        """A copy that grows on its own: a rewind may be undone twice."""
        return replace(
            self,
            messages=list(self.messages),
            origins=list(self.origins),
            marks=list(self.marks),
            before=dict(self.before),
            turns=list(self.turns),
            queued=dict(self.queued),
            taken_back=dict(self.taken_back),
        )
