"""Turn verifier: runs a turn, judges what its test runs prove, then runs the hooks (such as a commit)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from kimi_agent.agent import Agent
from kimi_agent.log.events import Checkpoint, Judged, Returned, Rewound, Stamped, TurnEnded
from kimi_agent.log.messages import User
from kimi_agent.log.views import DiffView, Evidence, TestReport
from kimi_agent.workspace.checkpoint import Checkpoints, SnapshotError

if TYPE_CHECKING:
    from kimi_agent.verify.proof import OwnerOf

AfterTurnHook = Callable[[Evidence], Awaitable[object]]
"""What follows a turn that changed files or ran tests, such as a commit."""
MAX_TEST_FILE_BYTES = 1_000_000


class TurnVerifier:
    """An agent whose turns end with a verdict: a `Judged` event after each that changed files or ran tests.

    `owners` gives after each turn what says which project's tests a file belongs to; without it any run proves any.
    """

    def __init__(
        self,
        agent: Agent,
        checkpoints: Checkpoints,
        hooks: Sequence[AfterTurnHook] = (),
        *,
        owners: "Callable[[], OwnerOf]" = lambda: lambda path: None,
    ) -> None:
        self.agent = agent
        self._checkpoints = checkpoints
        self._hooks = hooks
        self._owners = owners
        self._busy = False
        agent.session.listen(self._hear)

    async def run_turn(self, prompt: User) -> TurnEnded:
        """A turn of the agent, and what follows it; an interrupted one is not judged."""
        self._busy = False
        ended = await self.agent.run_unverified_turn(prompt)
        if self._busy:
            evidence = await asyncio.to_thread(
                lambda: verify_log(self.agent.session.events(), self._checkpoints, owner=self._owners())
            )
            if evidence.verdict != "none_needed" or evidence.last is not None:
                self.agent.session.emit(Judged(evidence))
                for hook in self._hooks:
                    await hook(evidence)
        return ended

    def _hear(self, stamped: Stamped) -> None:
        match stamped.event:
            case Checkpoint(when="after") | Rewound():
                self._busy = True
            case Checkpoint(failed=failed) if failed:
                self._busy = True
            case Returned(result=result) if isinstance(result.view, TestReport | DiffView):
                self._busy = True
            case _:
                pass


def verify_log(log: Iterable[Stamped], checkpoints: Checkpoints, *, owner: "OwnerOf" = lambda path: None) -> Evidence:
    """The evidence at the end of `log` about the files as they are now; for `owner` see `judge_turn`. Blocking."""
    from kimi_agent.verify.evidence import judge_turn  # not needed before a turn has ended

    try:
        now = checkpoints.take().tree
    except SnapshotError:
        now = ""

    def changed(old: str, new: str) -> list[str]:
        return [each.path for each in checkpoints.changes(old, new)]

    def text(tree: str, path: str) -> str | None:
        """A file of a tree, for reading tests in it; None where there is none, or none that a test file would be."""
        kept = checkpoints.entry_at(tree, path)
        if kept is None or kept.kind != "file" or kept.size > MAX_TEST_FILE_BYTES:
            return None
        return checkpoints.content(kept).decode("utf-8", "replace")

    return judge_turn(log, now=now, changed=changed, text=text, apart=checkpoints.held_ignored, owner=owner)
