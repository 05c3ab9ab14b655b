"""The note of a restore, kept in its journal: the `Rewound` that its session lacks if the process is killed."""

from collections.abc import Iterable

import msgspec

from kimi_agent.log.events import Checkpoint, Rewound, Stamped


class RestoreNote(msgspec.Struct, frozen=True):
    """The id of the session, and its event but for the tree that the files are afterwards."""

    session: str
    event: Rewound

    def encode(self) -> str:
        """The text that `decode_restore_note` reads."""
        return msgspec.json.encode(self).decode()


def decode_restore_note(text: str) -> RestoreNote | None:
    """The note of that text; None for what is none, as of another version."""
    try:
        return msgspec.json.decode(text, type=RestoreNote)
    except msgspec.DecodeError:
        return None


def is_unrecorded(log: Iterable[Stamped], event: Rewound) -> bool:
    """Whether the log ends in this restore having begun: nothing says yet what became of it."""
    begun = False
    for stamped in log:
        match stamped.event:
            case Checkpoint(tree, "before", 0):
                begun = tree == event.was
            case Checkpoint() | Rewound():
                begun = False
            case _:
                pass
    return begun
