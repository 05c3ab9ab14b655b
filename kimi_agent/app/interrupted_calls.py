"""Interrupted calls: which files each one changed, by the snapshots before and after it."""

from collections.abc import Sequence

from kimi_agent.log.event_parts import OpenCall
from kimi_agent.log.events import Checkpoint, Stamped
from kimi_agent.log.fold.unanswered_calls import UnansweredCall, settle_calls
from kimi_agent.workspace.checkpoint import Checkpoints, SnapshotError
from kimi_agent.workspace.files.files import Files

CallPlace = tuple[int, int]
"""The record of the answer that makes a call, and the index of the call in it."""


class InterruptedCalls:
    """Settles interrupted calls; it listens to the session, and keeps the trees around the last call alone.

    A call that names its files (an edit) is judged by their fingerprints, which also know files that no snapshot
    holds. A command names none: it is judged by its two snapshots, and nothing is said of it where one is missing.
    """

    def __init__(self, checkpoints: Checkpoints, files: Files) -> None:
        self._checkpoints = checkpoints
        self._files = files
        self._place: CallPlace = (0, 0)
        self._before = self._after = ""

    def hear(self, stamped: Stamped) -> None:
        """Note the trees around a call."""
        match stamped.event:
            case Checkpoint(tree, "before", answer, index):
                self._place, self._before, self._after = (answer, index), tree, ""
            case Checkpoint(tree, "after", answer, index) if (answer, index) == self._place:
                self._after = tree
            case _:
                pass

    def settle(self, calls: Sequence[UnansweredCall]) -> tuple[OpenCall, ...]:
        """Each call that was started, with the files that differ from what they were when it began. Blocking."""
        named = {(each.answer, each.index) for each in calls if each.started is not None and each.started.before}
        return tuple(
            each if (place := (each.answer, each.index)) in named else OpenCall(*place, self._between(place))
            for each in settle_calls(calls, self._files.fingerprints)
        )

    def _between(self, place: CallPlace) -> tuple[str, ...]:
        if place != self._place or not self._before or not self._after:
            return ()
        try:
            return tuple(each.path for each in self._checkpoints.changes(self._before, self._after))
        except SnapshotError:
            return ()
