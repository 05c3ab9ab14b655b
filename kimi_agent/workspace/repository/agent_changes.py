"""Changes by the agent alone, joined from those of each of its calls."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from kimi_agent.errors import UserError
from kimi_agent.workspace.git_object_id import blob_id
from kimi_agent.workspace.repository.blob_writer import FileContent

if TYPE_CHECKING:
    from kimi_agent.workspace.checkpoint import Checkpoints, PathChange, TreeEntry

MAX_COMMIT_FILES, MAX_COMMIT_BYTES = 5_000, 200_000_000
_T = TypeVar("_T")


@dataclass(frozen=True)
class AgentChange:
    """A file before and after the agent's work; None where there was, or is, none. Paths start at the workspace.

    `between` names the blobs that were there in the meantime ("" for no file): HEAD may hold one of them, where some
    of the work was committed before.
    """

    path: str
    before: FileContent | None
    after: FileContent | None
    between: tuple[str, ...] = ()

    def shows(self, held: str, width: int) -> bool:
        """Whether it could change a HEAD that holds the blob `held` ("" for none)."""
        after = blob_id(self.after.data, width) if self.after else ""
        return self.before != self.after or (held in self.between and held != after)


def chain_states(steps: Iterable[tuple[str, _T | None, _T | None]]) -> dict[str, list[list[_T | None]]]:
    """Chain the states of each path: (a to b), (b to c) is one chain [a, b, c].

    Between two chains of a path somebody else has changed the file.
    """
    found: dict[str, list[list[_T | None]]] = {}
    for path, before, after in steps:
        chains = found.setdefault(path, [])
        if chains and chains[-1][-1] == before:
            chains[-1].append(after)
        else:
            chains.append([before, after])
    return found


def find_agent_changes(checkpoints: "Checkpoints", changes: Iterable["PathChange"]) -> list[AgentChange]:
    """Join the changes that calls made, in order, and read their contents; blocking.

    Raises UserError for a snapshot that is gone, and where there is more than anybody would commit at once.
    """
    chains = chain_states((change.path, change.before, change.after) for change in changes)
    ends = [kept for each in chains.values() for states in each for kept in (states[0], states[-1]) if kept is not None]
    size = sum(kept.size for kept in ends)
    if len(chains) > MAX_COMMIT_FILES or size > 2 * MAX_COMMIT_BYTES:
        much = f"The agent changed {len(chains):,} files ({size // 2_000_000:,} MB)"
        raise UserError(f"{much}: too much to commit unasked; look at git status, and commit yourself.", 1)

    def content(kept: "TreeEntry | None") -> FileContent | None:
        return None if kept is None else FileContent(checkpoints.content(kept), 0 if kept.kind == "link" else kept.mode)

    def agent_change(path: str, states: Sequence["TreeEntry | None"]) -> AgentChange:
        between = tuple(kept.id if kept else "" for kept in states[1:-1])
        return AgentChange(path, content(states[0]), content(states[-1]), between)

    return [agent_change(path, states) for path, each in chains.items() for states in each]
