"""Turns and rewinds of a log that still count (none taken back), folded one record at a time. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kimi_agent.log.events import Rewound, Said, Stamped
from kimi_agent.log.messages import User


@dataclass(frozen=True)
class TurnStart:
    """The prompt that a turn began with."""

    seq: int
    at: float
    prompt: str


@dataclass(frozen=True)
class _SavedState:
    turns: list[TurnStart]
    gone: list[tuple[int, int]]


class RewindHistory:
    """`turns` that are not taken back, `rewinds` that can be undone, and `gone`: records out of the conversation.

    `gone` holds first and (excluded) last records, `last` is the last record of all.
    """

    def __init__(self) -> None:
        self.turns: list[TurnStart] = []
        self.rewinds: list[tuple[int, Rewound]] = []
        self.gone: list[tuple[int, int]] = []
        self.last = 0
        self._stood: dict[int, _SavedState] = {}

    def pass_through(self, log: Iterable[Stamped]) -> Iterator[Stamped]:
        """Pass the records through, adding each."""
        for stamped in log:
            self.add(stamped)
            yield stamped

    def add(self, stamped: Stamped) -> None:
        """Fold one record."""
        self.last = max(self.last, stamped.seq)
        match stamped.event:
            case Said(message, queued=queued):
                self.rewinds.clear()
                self._stood.clear()
                if isinstance(message, User) and not queued:
                    self.turns.append(TurnStart(stamped.seq, stamped.at, message.text))
            case Rewound(undoes=undoes) as rewound if undoes:
                self.rewinds = [each for each in self.rewinds if each[0] != undoes]
                stood = self._stood.get(undoes)
                if stood is not None and rewound.what != "code":
                    self.turns, self.gone = list(stood.turns), list(stood.gone)
            case Rewound(to, what) as rewound:
                self.rewinds.append((stamped.seq, rewound))
                if what != "code":
                    self._stood[stamped.seq] = _SavedState(self.turns, self.gone)
                    self.turns = [turn for turn in self.turns if turn.seq < to]
                    self.gone = [*self.gone, (to, stamped.seq)]
            case _:
                pass

    def is_current(self, seq: int) -> bool:
        """Whether the record is still part of the conversation."""
        return 0 < seq <= self.last and not any(first <= seq < end for first, end in self.gone)
