"""Index of the turns that a person can rewind to, and of the rewinds that can be undone. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kimi_agent.log.events import Rewound, Said, Stamped
from kimi_agent.log.fold.current_records import CurrentRecords
from kimi_agent.log.messages import User


@dataclass(frozen=True)
class TurnStart:
    """The prompt that a turn began with."""

    seq: int
    at: float
    prompt: str


class RewindHistory:
    """`turns` that are not taken back, and `rewinds` (of chat or files) that can be undone; `last` is the last record.

    `add` the records in the order of the log.
    """

    def __init__(self) -> None:
        self.rewinds: list[tuple[int, Rewound]] = []
        self.last = 0
        self._turns: list[TurnStart] = []
        self._current = CurrentRecords()

    @property
    def turns(self) -> list[TurnStart]:
        return [turn for turn in self._turns if self._current.is_current(turn.seq)]

    def pass_through(self, log: Iterable[Stamped]) -> Iterator[Stamped]:
        """Pass the records through, adding each."""
        for stamped in log:
            self.add(stamped)
            yield stamped

    def add(self, stamped: Stamped) -> None:
        """Fold one record."""
        self.last = max(self.last, stamped.seq)
        self._current.add(stamped)
        match stamped.event:
            case Said(message, queued=queued):
                self.rewinds.clear()
                if isinstance(message, User) and not queued:
                    self._turns.append(TurnStart(stamped.seq, stamped.at, message.text))
            case Rewound(undoes=undoes) if undoes:
                self.rewinds = [each for each in self.rewinds if each[0] != undoes]
            case Rewound() as rewound:
                self.rewinds.append((stamped.seq, rewound))
            case _:
                pass

    def is_current(self, seq: int) -> bool:
        """Whether the record is still part of the conversation."""
        return 0 < seq <= self.last and self._current.is_current(seq)
