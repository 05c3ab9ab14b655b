"""Current records: which records of a log still count after its rewinds and their undos. Pure."""

from typing import Literal

from kimi_agent.log.events import Rewound, Said, Stamped


class CurrentRecords:
    """The records that still count in the conversation; `add` them in the order of the log.

    With `of="files"` it is the rewinds of files that count, not those of the chat. `rewinds` are those in effect, with
    their seq: each took back the records from its `to` on, up to itself. An undo puts the rewinds in effect that its
    rewind found; once something is said, what was taken back before stays so. For example, `Rewound(to=5)` as record 9
    takes back 5 to 8, and a `Rewound(undoes=9)` as record 10 gives them back.
    """

    def __init__(self, *, of: Literal["chat", "files"] = "chat") -> None:
        self.rewinds: tuple[tuple[int, Rewound], ...] = ()
        self._not_ours = "code" if of == "chat" else "chat"
        self._undoable: dict[int, tuple[tuple[int, Rewound], ...]] = {}

    def add(self, stamped: Stamped) -> None:
        """Take one record in."""
        match stamped.event:
            case Said():
                self._undoable.clear()
            case Rewound(what=what, undoes=undoes) as rewound if what != self._not_ours:
                then = self._undoable.get(undoes) if undoes else (*self.rewinds, (stamped.seq, rewound))
                if then is not None:
                    self._undoable[stamped.seq], self.rewinds = self.rewinds, then

    def is_current(self, seq: int) -> bool:
        """Whether no rewind in effect took record `seq` back."""
        return not any(rewound.to <= seq < at for at, rewound in self.rewinds)
