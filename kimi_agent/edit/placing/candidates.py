"""A hunk on its way to its place: where it may go, and why it cannot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kimi_agent.edit.patch import Hunk
from kimi_agent.edit.placing.indent import Indent
from kimi_agent.errors import ErrorCode

MAX_PLACES = 100  # that a misfit names


@dataclass(frozen=True)
class Misfit:
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
class Search:
    """A hunk on its way: where it may go, and what is left of it."""

    hunk: Hunk
    places: Sequence[int] = ()
    proved: bool = True
    notes: tuple[str, ...] = ()
    misfit: Misfit | None = None
    anchor: str = ""
    indents: Mapping[int, Indent] = field(default_factory=dict)

    def fails(self, code: ErrorCode, places: Sequence[int] = (), above: int | None = None) -> None:
        """Note why it cannot be placed."""
        self.misfit = Misfit(self.hunk, code, tuple(places[:MAX_PLACES]), len(places), self.anchor, above)
