"""What the agent itself changed, read from the snapshots before and after each of its calls."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from kimi_agent.errors import UserError
from kimi_agent.workspace.repository.blob_writer import Content, blob_id

if TYPE_CHECKING:
    from kimi_agent.workspace.checkpoint import Checkpoints, Kept

MOST_FILES, MOST_BYTES = 5_000, 200_000_000
_T = TypeVar("_T")


@dataclass(frozen=True)
class Change:
    """What the agent made of a file; None where there was, or is, none. Paths start at the workspace.

    `between` names the blobs that stood there in the meantime ("" for no file): HEAD may hold one of them, where some
    of the work was committed before.
    """

    path: str
    before: Content | None
    after: Content | None
    between: tuple[str, ...] = ()

    def shows(self, held: str, width: int) -> bool:
        """Whether it could change a HEAD that holds the blob `held` ("" for none)."""
        after = blob_id(self.after.data, width) if self.after else ""
        return self.before != self.after or (held in self.between and held != after)


def chained(steps: Iterable[tuple[str, _T | None, _T | None]]) -> dict[str, list[list[_T | None]]]:
    """For each path the states that followed on one another, in order.

    Between two such chains somebody else has changed the file.
    """
    found: dict[str, list[list[_T | None]]] = {}
    for path, before, after in steps:
        chains = found.setdefault(path, [])
        if chains and chains[-1][-1] == before:
            chains[-1].append(after)
        else:
            chains.append([before, after])
    return found


def agent_changes(checkpoints: "Checkpoints", spans: Iterable[tuple[str, str]]) -> list[Change]:
    """The changes between the trees (before, after) of each span, in order; blocking.

    Raises UserError for a tree that is gone, and where there is more than anybody would commit at once.
    """
    steps = (
        (change.path, change.before, change.after)
        for before, after in spans
        if before != after
        for change in checkpoints.changes(before, after)
    )
    chains = chained(steps)
    ends = [kept for each in chains.values() for states in each for kept in (states[0], states[-1]) if kept is not None]
    size = sum(kept.size for kept in ends)
    if len(chains) > MOST_FILES or size > 2 * MOST_BYTES:
        raise UserError(
            f"The agent changed {len(chains):,} files ({size // 2_000_000:,} MB): too much to commit unasked; look at"
            " git status, and commit yourself.",
            1,
        )

    def content(kept: "Kept | None") -> Content | None:
        return None if kept is None else Content(checkpoints.content(kept), 0 if kept.kind == "link" else kept.mode)

    return [
        Change(path, content(states[0]), content(states[-1]), tuple(kept.id if kept else "" for kept in states[1:-1]))
        for path, each in chains.items()
        for states in each
    ]
