"""The snapshot tool wrapper: it keeps the files before and after each call that may change them, for undo.

It is between the approval and the effect: nothing is kept for a call that is only asked about. A command that
would destroy what a snapshot holds says in its result how to bring it back; one whose files could not be kept is
asked about once more, in every mode.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from kimi_agent.call_plan import CallPlan
from kimi_agent.errors import ToolError
from kimi_agent.guard.destructive.command_table import Loss
from kimi_agent.guard.tool_wrappers.ways_back import (
    ResolveRef,
    describe_ways_back,
    find_unkept_losses,
    select_kept_paths,
)
from kimi_agent.guard.tool_wrappers.write_times import LONG_S, find_apart, read_write_times
from kimi_agent.log.ask_person import ask_person
from kimi_agent.log.events import Checkpoint, Emit, Notice
from kimi_agent.log.questions import Ask, Question
from kimi_agent.log.views import Result
from kimi_agent.tool import Context, ParsedCall, Tool
from kimi_agent.workspace.checkpoint import Checkpoints, Snapshot, SnapshotError

MAX_MISSED_PATHS = 20
MAX_APART_PATHS = 1_000
MAX_SNAPSHOT_FAILURES = 3
"""Snapshots that fail in a row before no more are tried: on a tree that is too big each try costs seconds."""
_INTERRUPTED_S = 1.0
"""How long an interrupted call waits for the snapshot after it, by which the model is told what it changed."""
_PATIENCE_S = 2.0

FindLosses = Callable[[CallPlan], Sequence[Loss]]
"""What the commands of a call would destroy; none for a call without a command."""


@dataclass
class SnapshotWrapper:
    """The snapshots of one session. `session` is its id, for the line that says how to go back.

    `clock` gives Unix seconds, by the clock that files are stamped with.
    """

    checkpoints: Checkpoints
    emit: Emit
    ask: Ask
    find_losses: FindLosses
    resolve_ref: ResolveRef
    session: str
    clock: Callable[[], float] = time.time
    _failures: int = field(default=0, init=False)
    _reported: str = field(default="", init=False)
    _closing: "asyncio.Task[None] | None" = field(default=None, init=False)

    def wrap(self, tool: Tool) -> Tool:
        """`tool` between two snapshots; one that only reads as it is."""
        if tool.effect == "read":
            return tool

        async def run(ctx: Context, call: ParsedCall) -> Result:
            plan = ctx.plan or await tool.plan(ctx, call)
            losses = self.find_losses(plan)
            also = [*select_kept_paths(losses, ctx.files.root), *_written(ctx, plan)]
            before, missed = await self._keep(ctx, also)
            if unkept := find_unkept_losses(losses, before, missed):
                await self._risk(ctx, call, unkept, before)
            back = await asyncio.to_thread(
                describe_ways_back, losses, before, self.checkpoints, self.resolve_ref, self.session
            )
            began = self.clock()
            try:
                result = await tool.run(ctx, call)
            except asyncio.CancelledError:
                # A slow one goes on behind our back: what the person does next is not to be taken for the call's doing.
                self._closing = asyncio.ensure_future(self._compare(ctx, before, also, began, interrupted=True))
                self._closing.add_done_callback(lambda task: task.cancelled() or task.exception())
                await asyncio.wait([self._closing], timeout=_INTERRUPTED_S)
                raise
            except BaseException:
                await self._compare(ctx, before, also, began)
                raise
            await self._compare(ctx, before, also, began)
            if back:
                self.emit(Notice("\n".join(back)))  # the person does not read what the model reads
            return replace(result, content="\n".join([result.content, *back])) if back else result

        return tool.wrapped(run)

    async def _keep(self, ctx: Context, also: Sequence[str]) -> tuple[Checkpoint, tuple[str, ...]]:
        """Take the snapshot before a call and emit it; also returns all the paths that it missed."""
        if self._closing is not None:
            await asyncio.wait([self._closing])
            self._closing = None
        kept, missed = await self._take(ctx, also)
        self.emit(kept)
        if kept.failed and kept.failed != self._reported:
            self._reported = kept.failed
            self.emit(Notice(f"The files could not be kept, so this step cannot be undone: {kept.failed}"))
        return kept, missed

    async def _take(
        self, ctx: Context, also: Sequence[str], *, newly_ignored: bool = False
    ) -> tuple[Checkpoint, tuple[str, ...]]:
        answer, index = ctx.place
        if self._failures >= MAX_SNAPSHOT_FAILURES:
            return Checkpoint("", "before", answer, index, failed=self._reported), ()
        try:
            found = await self._snapshot(also, newly_ignored=newly_ignored)
        except SnapshotError as error:
            self._failures += 1
            return Checkpoint("", "before", answer, index, failed=str(error)), ()
        self._failures = 0
        missed = found.missed[:MAX_MISSED_PATHS]
        return Checkpoint(found.tree, "before", answer, index, missed, unkept=found.unkept), found.missed

    async def _snapshot(self, also: Sequence[str], *, newly_ignored: bool) -> Snapshot:
        """Take one, or, where it cannot hold the ignored files too, one without them. Raises SnapshotError."""
        taking = asyncio.ensure_future(asyncio.to_thread(self._taken, also, newly_ignored=newly_ignored))
        done, _ = await asyncio.wait([taking], timeout=_PATIENCE_S)
        if not done:
            self.emit(Notice("Keeping the files as they are, so that this can be undone; the first time takes long."))
        return await taking

    def _taken(self, also: Sequence[str], *, newly_ignored: bool) -> Snapshot:
        try:
            return self.checkpoints.take(also, newly_ignored=newly_ignored)
        except SnapshotError:
            if not also:
                raise
            plain = self.checkpoints.take()
            return Snapshot(plain.tree, tuple(dict.fromkeys((*also, *plain.missed))), plain.unkept)

    async def _compare(
        self, ctx: Context, before: Checkpoint, also: Sequence[str], began: float, *, interrupted: bool = False
    ) -> None:
        """Take the snapshot after a call, and emit it if something is different now.

        After an `interrupted` one in any case: else nobody could tell "nothing changed" from "not looked yet".
        """
        if before.failed:
            return
        ended = self.clock()
        after, _ = await self._take(ctx, also, newly_ignored=True)  # the same, or the trees could not be compared
        if interrupted or after.tree != before.tree:
            apart = await asyncio.to_thread(self._find_apart, ctx, before, after, began, ended)
            self.emit(replace(after, when="after", unkept="", apart=apart))

    def _find_apart(
        self, ctx: Context, before: Checkpoint, after: Checkpoint, began: float, ended: float
    ) -> tuple[str, ...] | None:
        """What was written apart from the call (see `Checkpoint`), while it ran or the snapshot after it was taken."""
        if self.clock() - began < LONG_S:
            return ()
        try:
            changes = self.checkpoints.changes(before.tree, after.tree) if after.tree else ()
            apart = find_apart(read_write_times(ctx.files.root, changes), began, ended)
        except (SnapshotError, OSError):
            return None
        return apart if len(apart) <= MAX_APART_PATHS else None

    async def _risk(self, ctx: Context, call: ParsedCall, losses: Sequence[Loss], before: Checkpoint) -> None:
        """Ask whether a command may destroy what could not be kept. Raises ToolError after a no."""
        what = "; ".join(loss.what for loss in losses)
        why = before.failed or f"too big to be kept: {', '.join(before.missed)}"
        shown = await call.tool.preview(ctx, call)
        question = Question(call.tool.name, shown.title, shown.view, f"it {what}, which could not be undone ({why})")
        decision = await ask_person(question, self.ask, self.emit)
        if not decision.allowed:
            text = f"not run: it {what}, and the files could not be kept first ({why})"
            raise ToolError("denied", text, "do it in a way that loses nothing, or tell the user what you need")


def _written(ctx: Context, plan: CallPlan) -> list[str]:
    """The files of the workspace that an edit writes: git may ignore them, and then only this keeps them."""
    root = str(ctx.files.root).rstrip("/") + "/"
    return [each.path for each in plan.paths if plan.effect == "write" and each.path.startswith(root)]
