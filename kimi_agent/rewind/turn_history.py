"""Which turns and rewinds of a log stand: a pure reading, one record at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kimi_agent.log.events import Rewound, Said, Stamped
from kimi_agent.log.messages import User


@dataclass(frozen=True)
class Start:
    """The prompt that a turn began with."""

    seq: int
    at: float
    prompt: str


@dataclass(frozen=True)
class _Stood:
    turns: list[Start]
    gone: list[tuple[int, int]]


class History:
    """`turns` stand; `rewinds` can be undone, the last one first; `gone` are records that left the conversation.

    `gone` holds first and (excluded) last records, `last` is the last record of all.
    """

    def __init__(self) -> None:
        self.turns: list[Start] = []
        self.rewinds: list[tuple[int, Rewound]] = []
        self.gone: list[tuple[int, int]] = []
        self.last = 0
        self._stood: dict[int, _Stood] = {}

    def noting(self, log: Iterable[Stamped]) -> Iterator[Stamped]:
        """The records as they come, each taken in."""
        for stamped in log:
            self.add(stamped)
            yield stamped

    def add(self, stamped: Stamped) -> None:
        """Take one record in."""
        self.last = max(self.last, stamped.seq)
        match stamped.event:
            case Said(message, queued=queued):
                self.rewinds.clear()
                self._stood.clear()
                if isinstance(message, User) and not queued:
                    self.turns.append(Start(stamped.seq, stamped.at, message.text))
            case Rewound(undoes=undoes) as rewound if undoes:
                self.rewinds = [each for each in self.rewinds if each[0] != undoes]
                stood = self._stood.get(undoes)
                if stood is not None and rewound.what != "code":
                    self.turns, self.gone = list(stood.turns), list(stood.gone)
            case Rewound(to, what) as rewound:
                self.rewinds.append((stamped.seq, rewound))
                if what != "code":
                    self._stood[stamped.seq] = _Stood(self.turns, self.gone)
                    self.turns = [turn for turn in self.turns if turn.seq < to]
                    self.gone = [*self.gone, (to, stamped.seq)]
            case _:
                pass

    def stands(self, seq: int) -> bool:
        """Whether the record is still part of the conversation."""
        return 0 < seq <= self.last and not any(first <= seq < end for first, end in self.gone)
