"""Changed so far: the files that differ from the first snapshot of the turn that is running."""

import asyncio
from collections.abc import Sequence

from kimi_agent.errors import UserError
from kimi_agent.log.events import Checkpoint, Said, Stamped
from kimi_agent.log.messages import User
from kimi_agent.workspace.checkpoint import Checkpoints, SnapshotError


class ChangedSoFar:
    """A listener that keeps the first snapshot of a turn, and asks for what is different now."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self._start = ""

    def hear(self, stamped: Stamped) -> None:
        """Listen to the session's log."""
        match stamped.event:
            case Said(User(), queued=0) if stamped.agent == "main":
                self._start = ""
            case Checkpoint(when="before", tree=tree) if not self._start:
                self._start = tree
            case _:
                pass

    async def paths(self) -> Sequence[str]:
        """The changed files (relative, with slashes); () where nothing was changed, or no snapshot says it."""
        return await asyncio.to_thread(self._compare) if self._start else ()

    def _compare(self) -> Sequence[str]:
        try:
            now = self._checkpoints.take().tree
            return [each.path for each in self._checkpoints.changes(self._start, now)]
        except (SnapshotError, UserError):
            return ()
