"""What of a conversation stands, and after which record: enough to go back, and forward again."""

from bisect import bisect_left
from dataclasses import dataclass, field, replace

from kimi_agent.log.events import Rewound
from kimi_agent.log.messages import Message, User
from kimi_agent.log.views import PlanView


@dataclass(frozen=True)
class Mark:
    """After record `seq` the list held `length` messages, every call among them answered, and this plan stood."""

    seq: int
    length: int
    plan: PlanView | None


@dataclass(frozen=True)
class Before:
    """What stood before the compaction `seq`."""

    seq: int
    messages: list[Message]
    marks: list[Mark]


@dataclass
class Standing:
    """All that a rewind takes back; its lists grow until then, and are left as they are from then on.

    `turns` are the records of the prompts, `first_text` the one that the title was made of, `taken_back` the rewinds of
    files alone since the last turn ended.
    """

    messages: list[Message] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    before: list[Before] = field(default_factory=list)
    compacted_at: int = 0
    turns: list[int] = field(default_factory=list)
    plan: PlanView | None = None
    queued: dict[int, User] = field(default_factory=dict)
    taken_back: dict[int, Rewound] = field(default_factory=dict)
    first_text: int = 0
    title: str = ""

    def place(self, seq: int, *messages: Message) -> None:
        """The messages join with record `seq`; every call is answered now."""
        self.messages.extend(messages)
        self.marks.append(Mark(seq, len(self.messages), self.plan))

    def compact(self, seq: int, through: int, summary: Message, *, keep: bool) -> None:
        """Replace what stood with record `through` (and `keep` it, to go back there); a summary of nothing is none."""
        covered = max((mark.length for mark in self.marks if mark.seq <= through), default=0)
        if not covered:
            return
        if keep:
            self.before.append(Before(seq, self.messages, self.marks))
        self.compacted_at = seq
        later = [Mark(mark.seq, mark.length - covered + 1, mark.plan) for mark in self.marks if mark.seq > through]
        self.messages = [summary, *self.messages[covered:]]
        self.marks = [Mark(through, 1, self.plan), *later]

    def length_before(self, to: int) -> int | None:
        """How many messages stand just before record `to`; None where a compaction replaced what would tell."""
        if self.compacted_at >= to:
            return None
        at = bisect_left(self.marks, to, key=lambda mark: mark.seq)
        return self.marks[at - 1].length if at else 0

    def back(self, to: int, *, renamed: bool) -> "Standing | None":
        """What stood just before record `to`; None where a compaction replaced it and nothing was kept."""
        before, messages, marks, compacted_at = list(self.before), self.messages, self.marks, self.compacted_at
        while before and before[-1].seq >= to:
            last = before.pop()
            messages, marks = last.messages, last.marks
            compacted_at = before[-1].seq if before else 0
        if compacted_at >= to:
            return None
        kept = [mark for mark in marks if mark.seq < to]
        unnamed = self.first_text >= to
        return Standing(
            messages[: kept[-1].length if kept else 0],
            kept,
            before,
            compacted_at,
            self.turns[: bisect_left(self.turns, to)],
            kept[-1].plan if kept else None,
            {seq: message for seq, message in self.queued.items() if seq < to},
            {seq: event for seq, event in self.taken_back.items() if event.to < to},
            0 if unnamed else self.first_text,
            "" if unnamed and not renamed else self.title,
        )

    def again(self) -> "Standing":
        """The same, to grow on its own: a rewind may be undone twice."""
        return replace(
            self,
            messages=list(self.messages),
            marks=list(self.marks),
            before=list(self.before),
            turns=list(self.turns),
            queued=dict(self.queued),
            taken_back=dict(self.taken_back),
        )
