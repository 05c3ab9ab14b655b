"""Candidate places of a hunk while it is being placed: where it may go, or why it cannot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kimi_agent.edit.patch import Hunk
from kimi_agent.edit.placing.indent import IndentChange
from kimi_agent.errors import ErrorCode

MAX_PLACES_NAMED = 100  # of an unplaced hunk


@dataclass(frozen=True)
class UnplacedHunk:
    """A hunk that has no place, or several (the first `places` of `count`), or collides with another (`rival`).

    `anchor` is the text that was sought and, where it only stands `above` the hunk before, that line.
    """

    hunk: Hunk
    code: ErrorCode
    places: tuple[int, ...] = ()
    count: int = 0
    anchor: str = ""
    above: int | None = None
    rival: int = 0


@dataclass
class HunkCandidates:
    """A hunk while it is placed: the places where it may still go, or why there is none (`unplaced`)."""

    hunk: Hunk
    places: Sequence[int] = ()
    proved: bool = True
    notes: tuple[str, ...] = ()
    unplaced: UnplacedHunk | None = None
    anchor: str = ""
    indents: Mapping[int, IndentChange] = field(default_factory=dict)

    def mark_unplaced(self, code: ErrorCode, places: Sequence[int] = (), above: int | None = None) -> None:
        """Note why it cannot be placed."""
        self.unplaced = UnplacedHunk(self.hunk, code, tuple(places[:MAX_PLACES_NAMED]), len(places), self.anchor, above)
