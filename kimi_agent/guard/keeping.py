"""The tool wrapper that keeps the files as they are around every call that may change them, so that it can be undone.

It stands between the approval and the effect: what is asked about is not kept yet, what runs is. A command that would
destroy what a snapshot holds says in its result how to bring it back; one whose files could not be kept is asked about
once more, in every mode.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from kimi_agent.errors import ToolError
from kimi_agent.guard.destructive import Loss
from kimi_agent.log.events import Answered, Ask, Asked, Checkpoint, Emit, Notice, Question
from kimi_agent.log.views import Result
from kimi_agent.tool import Context, Tool
from kimi_agent.workspace.checkpoint import Checkpoints, Unkept

MOST_MISSED = 20
MOST_FAILURES = 3
"""Snapshots that fail in a row before no more are tried: on a tree that is too big each try costs seconds."""
_INTERRUPTED_S = 0.2
_PATIENCE_S = 2.0

Losses = Callable[[Tool, Context, str], Sequence[Loss]]
"""What the command of a call would destroy; none for a call without a command."""
Kept = Callable[[str], str]
"""The commit that a ref names now, "" where there is none."""


@dataclass
class Keeping:
    """The snapshots of one session. `session` is its id, for the line that says how to go back."""

    checkpoints: Checkpoints
    emit: Emit
    ask: Ask
    losses: Losses
    commit_of: Kept
    session: str
    _failures: int = field(default=0, init=False)
    _told: str = field(default="", init=False)

    def around(self, tool: Tool) -> Tool:
        """`tool` between two snapshots; one that only reads as it is."""
        if tool.effect == "read":
            return tool

        async def run(ctx: Context, raw: str) -> Result:
            losses = self.losses(tool, ctx, raw)
            also = [path for loss in losses for path in loss.paths]
            before = await self._keep(ctx, also)
            if losses and (before.failed or before.missed):
                await self._risk(tool, losses, before, ctx, raw)
            back = await asyncio.to_thread(self._ways_back, losses, before)
            try:
                result = await tool.run(ctx, raw)
            except asyncio.CancelledError:
                with contextlib.suppress(TimeoutError):  # then the next snapshot closes it
                    await asyncio.wait_for(self._compare(ctx, before, also), _INTERRUPTED_S)
                raise
            except BaseException:
                await self._compare(ctx, before, also)
                raise
            await self._compare(ctx, before, also)
            return replace(result, content="\n".join([result.content, *back])) if back else result

        return tool.wrapped(run)

    async def _keep(self, ctx: Context, also: Sequence[str]) -> Checkpoint:
        """Take the snapshot before a call, and tell of it."""
        kept = await self._take(ctx, also)
        self.emit(kept)
        if kept.failed and kept.failed != self._told:
            self._told = kept.failed
            self.emit(Notice(f"The files could not be kept, so this step cannot be undone: {kept.failed}"))
        return kept

    async def _take(self, ctx: Context, also: Sequence[str]) -> Checkpoint:
        answer, index = ctx.place
        if self._failures >= MOST_FAILURES:
            return Checkpoint("", "before", answer, index, failed=self._told)
        taking = asyncio.ensure_future(asyncio.to_thread(self.checkpoints.take, also))
        try:
            done, _ = await asyncio.wait([taking], timeout=_PATIENCE_S)
            if not done:
                self.emit(
                    Notice("Keeping the files as they are, so that this can be undone; the first time takes long.")
                )
            found = await taking
        except Unkept as error:
            self._failures += 1
            return Checkpoint("", "before", answer, index, failed=str(error))
        self._failures = 0
        return Checkpoint(found.tree, "before", answer, index, found.missed[:MOST_MISSED])

    async def _compare(self, ctx: Context, before: Checkpoint, also: Sequence[str]) -> None:
        """Take the snapshot after a call; it is told of where something is different now."""
        if before.failed:
            return
        after = await self._take(ctx, also)  # the same, or the trees could not be compared
        if after.tree != before.tree:
            self.emit(replace(after, when="after"))

    async def _risk(self, tool: Tool, losses: Sequence[Loss], before: Checkpoint, ctx: Context, raw: str) -> None:
        """Ask whether a command may destroy what could not be kept. Raises ToolError after a no."""
        what = "; ".join(loss.what for loss in losses)
        why = before.failed or f"too big to be kept: {', '.join(before.missed)}"
        shown = await tool.preview(ctx, raw)
        question = Question(tool.name, shown.title, shown.view, f"it {what}, which could not be undone ({why})")
        self.emit(Asked(question))
        decision = await self.ask(question)
        self.emit(Answered(question, decision))
        if not decision.allowed:
            raise ToolError(
                "denied",
                f"not run: it {what}, and the files could not be kept first ({why})",
                "do it in a way that loses nothing, or tell the user what you need",
            )

    def _ways_back(self, losses: Sequence[Loss], before: Checkpoint) -> list[str]:
        """How to bring back what the command is about to destroy."""
        lines = [
            f"To bring {ref.rpartition('/')[2]} back: {loss.restore.format(commit=commit)}"
            for loss in losses
            for ref in loss.refs
            if (commit := self.commit_of(ref))
        ]
        if any(not loss.refs for loss in losses) and before.tree:
            name = f"kimi-agent rewind {self.session} --to {before.tree[:12]} --what code"
            lines.append(
                f"The files as they were before this ran are kept; the user brings them back with /undo or: {name}"
            )
        return lines
