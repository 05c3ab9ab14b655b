"""The rewinder: plans a rewind and does it, files through snapshots, chat through a `Rewound` in the log.

A snapshot of the present files is taken first and named in that event, so that what is overwritten can come back.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

from msgspec import structs

from kimi_agent.errors import ToolError, UserError
from kimi_agent.log.events import Checkpoint, Rewound, Stamped
from kimi_agent.log.fold.conversation import fold_conversation
from kimi_agent.log.store.session import Session
from kimi_agent.printable import escape_path, list_paths
from kimi_agent.rewind.file_plan.authorship import Authorship, SnapshotAccess
from kimi_agent.rewind.file_plan.file_inspector import FileInspector, FilesNow
from kimi_agent.rewind.file_plan.folder_modes import describe_folder_modes
from kimi_agent.rewind.file_plan.plan_files import FilePlan, RewindBlocked, leave_paths
from kimi_agent.rewind.preview_diffs import describe_mode_changes, describe_split_links, preview_diffs
from kimi_agent.rewind.restore_note import RestoreNote
from kimi_agent.rewind.rewind_plan import ConflictChoice, RewindOutcome, RewindPlan, RewindScope, RewindTurn
from kimi_agent.rewind.rewindable_turns import RewindHistory
from kimi_agent.rewind.tree_changes import TreeChange, read_tree_changes
from kimi_agent.workspace.checkpoint import PathChange, SnapshotError
from kimi_agent.workspace.checkpoint.restore import made_readable, restore_files
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.transaction.commit_options import Recording

MAX_LOGGED_MISSED = 20
MAX_LOGGED_PATHS = 1_000
"""A rewind of more files than these names none of them in the log, if it was one of all files."""


@dataclass(frozen=True)
class _LogReading:
    """The content of the log: the turns and rewinds not taken back, and the tree changes."""

    history: RewindHistory
    spans: list[TreeChange]


class Rewinder:
    """Takes a session, and the files it changed, back to a turn and forward again. One at a time, between turns."""

    def __init__(self, session: Session, checkpoints: SnapshotAccess, files: Files) -> None:
        self._session = session
        self._checkpoints = checkpoints
        self._files = files
        self._inspector = FileInspector(checkpoints, files, session.folder)
        self._changed: dict[int, tuple[str, ...]] = {}

    def turns(self) -> list[RewindTurn]:
        """The turns that are not taken back, in order. Blocking: it compares trees that it has not seen yet."""
        read = self._read()
        current = [span for span in read.spans if read.history.is_current(span.seq)]
        ends = [*(turn.seq for turn in read.history.turns[1:]), read.history.last + 1]
        return [
            RewindTurn(number, turn.seq, turn.prompt, turn.at, self._files_of(current, turn.seq, end))
            for number, (turn, end) in enumerate(zip(read.history.turns, ends, strict=False), 1)
        ]

    async def plan(self, to: int, what: RewindScope = "both", *, paths: Sequence[str] = ()) -> RewindPlan:
        """What going back to just before record `to` would do; with `paths` only these files go.

        Raises UserError where `to` is no record of the conversation, or the snapshots do not hold what is needed.
        """
        read = await asyncio.to_thread(self._read)
        if paths:
            what = "code"
        if not 1 < to <= read.history.last:
            raise UserError(f"There is no record {to} in this session; it has {read.history.last}.")
        if what != "code" and not read.history.is_current(to):
            raise UserError("That turn was taken back already; /redo brings it back.", 1)
        return await asyncio.to_thread(self._plan, read, RewindPlan(to, what, paths=tuple(map(self._relative, paths))))

    async def plan_undo(self) -> RewindPlan:
        """Plan taking back the last turn that still counts, chat and files. Raises UserError where there is none."""
        read = await asyncio.to_thread(self._read)
        if not read.history.turns:
            raise UserError("There is nothing to undo: no turn stands.", 1)
        return await asyncio.to_thread(self._plan, read, RewindPlan(read.history.turns[-1].seq, "both"))

    async def plan_redo(self) -> RewindPlan:
        """Plan taking the last rewind back. Raises UserError where there is none, or a message came since."""
        read = await asyncio.to_thread(self._read)
        if not read.history.rewinds:
            raise UserError("There is nothing to redo: nothing was taken back since the last words.", 1)
        seq, last = read.history.rewinds[-1]
        return await asyncio.to_thread(self._plan, read, RewindPlan(seq, last.what, undoes=seq))

    async def carry_out(
        self, plan: RewindPlan, *, yours: ConflictChoice = "refuse", unsure: bool = False
    ) -> RewindOutcome:
        """Do what was planned, all of it or nothing, also when the task is cancelled meanwhile.

        `yours` says what becomes of the files in `plan.yours`; those in `plan.unsure` go back only if `unsure` says so,
        or all are to be overwritten. Raises UserError where `yours` are to be refused, where files changed since the
        plan was made, or where something fails; then nothing has changed.
        """
        work = asyncio.create_task(self._carry_out(plan, yours, unsure=unsure or yours == "overwrite"))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            raise

    async def _carry_out(self, plan: RewindPlan, yours: ConflictChoice, *, unsure: bool) -> RewindOutcome:
        read = await asyncio.to_thread(self._read)
        if plan.undoes and all(seq != plan.undoes for seq, _ in read.history.rewinds):
            raise UserError("That cannot be brought back any more: something was said since.", 1)
        prompt = "" if plan.undoes else next((turn.prompt for turn in read.history.turns if turn.seq == plan.to), "")
        changes, kept, restored = tuple[PathChange, ...](), tuple[str, ...](), False
        if plan.what != "chat":
            closed = await asyncio.to_thread(self._inspector.find_closed, _spans(read, plan))
            with made_readable(self._files.root, closed) as opened:
                files_now = await asyncio.to_thread(self._inspect_files, read, plan)
                await asyncio.to_thread(self._check_unchanged, plan, files_now)
                changes, kept = _choose_changes(files_now.file_plan, yours, unsure=unsure)
                if changes or files_now.folders:
                    few = plan.what == "code" and len(changes) <= MAX_LOGGED_PATHS
                    paths = tuple(each.path for each in changes) if kept or plan.paths or few else ()
                    await self._restore(files_now, changes, Rewound(plan.to, plan.what, "", "", paths, plan.undoes))
                    opened.update(each.path for each in changes)
                    restored = True
        if plan.what != "code" and not restored:
            self._session.emit(Rewound(plan.to, plan.what, undoes=plan.undoes))
        if plan.what != "code" or restored:
            await self._update_seen_files(plan.what, changes)
        return RewindOutcome(len(changes), kept, prompt if plan.what != "code" else "")

    async def _restore(self, files_now: FilesNow, changes: Sequence[PathChange], rewound: Rewound) -> None:
        """Restore the files, and record that. Raises UserError; then they are as they were."""
        rewound = structs.replace(rewound, was=files_now.now.tree)

        def record() -> None:
            self._session.emit(structs.replace(rewound, tree=self._checkpoint_after(files_now, changes).tree))

        recording = Recording(RestoreNote(self._session.id, rewound).encode(), record)
        # Else, after a kill, the log would take what the next start finishes for somebody else's doing.
        now = files_now.now
        self._session.emit(Checkpoint(now.tree, "before", missed=now.missed[:MAX_LOGGED_MISSED], unkept=now.unkept))
        restore = partial(restore_files, changes, self._checkpoints.content, self._files)
        try:
            await asyncio.to_thread(
                restore,
                recording,
                folder_mode=partial(self._checkpoints.folder_mode, files_now.file_plan.target),
                folder_changes=files_now.folders,
                stood_empty=files_now.stood_empty,
            )
        except (ToolError, UserError) as error:
            self._session.emit(await asyncio.to_thread(self._checkpoint_after, files_now))
            text = error.text if isinstance(error, ToolError) else error
            raise UserError(f"The files were not restored: {text}", 1) from error

    def _checkpoint_after(self, files_now: FilesNow, restored: Sequence[PathChange] = ()) -> Checkpoint:
        """A snapshot that holds also those of the `restored` files that a rule ignores: redo has to know of them."""
        try:
            now = self._checkpoints.take(files_now.also, newly_ignored=True)
            if fresh := {each.path for each in restored if each.before is None}:
                fresh.difference_update(each.path for each in self._checkpoints.changes(files_now.now.tree, now.tree))
                also = (*files_now.also, *self._checkpoints.held_ignored(now.tree), *fresh)
                now = self._checkpoints.take(also, newly_ignored=True) if fresh else now
        except SnapshotError as error:
            return Checkpoint("", "after", failed=str(error))
        return Checkpoint(now.tree, "after", missed=now.missed[:MAX_LOGGED_MISSED])

    async def _update_seen_files(self, what: RewindScope, changes: Sequence[PathChange]) -> None:
        """Set the seen files to what the conversation now holds; after a rewind of files alone, only their hashes."""
        seen_files = self._files.seen_files
        if what != "code":
            await asyncio.to_thread(seen_files.rebuild, self._session.events())
            return
        seen = (each.path for each in changes if seen_files.known(each.path) is not None)
        known = [os.path.join(self._files.root, path) for path in seen]
        for found in await asyncio.to_thread(self._files.fingerprints, known):
            seen_files.record(found.path, found.sha256)

    def _read(self) -> _LogReading:
        history = RewindHistory()
        return _LogReading(history, read_tree_changes(history.pass_through(self._session.events())))

    def _plan(self, read: _LogReading, plan: RewindPlan) -> RewindPlan:
        if plan.what != "code" and not plan.undoes:
            plan = replace(plan, lost_messages=self._count_lost(plan.to))
        if plan.what == "chat":
            return plan
        with made_readable(self._files.root, self._inspector.find_closed(_spans(read, plan))):
            files_now = self._inspect_files(read, plan)
        file_plan = files_now.file_plan
        changes = file_plan.all
        notes = (
            *file_plan.notes,
            *describe_mode_changes(changes),
            *describe_folder_modes(files_now.folders),
            *describe_split_links(changes, self._files.root),
        )
        if not changes and not notes:
            notes = ("no file is different from then",)
        diff = preview_diffs(changes, self._checkpoints.content)
        yours, unsure = (tuple(each.path for each in group) for group in (file_plan.yours, file_plan.unsure))
        return replace(plan, diff=diff, yours=yours, unsure=unsure, notes=notes, now=files_now.now.tree)

    def _inspect_files(self, read: _LogReading, plan: RewindPlan) -> FilesNow:
        """Take a snapshot of the files, and plan the way back. Raises UserError."""
        try:
            return self._inspector.inspect(_spans(read, plan), plan.paths)
        except RewindBlocked as error:
            raise self._blocked_error(error, read) from error

    def _blocked_error(self, error: RewindBlocked, read: _LogReading) -> UserError:
        turns = read.history.turns
        late = next((number for number, turn in enumerate(turns, 1) if turn.seq > error.seq), 0)
        at = sum(turn.seq <= error.seq for turn in turns)
        works = f"going back to turn {late} or later works" if late else "what comes after it works"
        why = str(error).rstrip(".")
        return UserError(f"The files cannot go back past turn {at}: {why}; {works}, and the chat alone (chat) does.", 1)

    def _check_unchanged(self, plan: RewindPlan, files_now: FilesNow) -> None:
        """Raise UserError where a file that the person looked at is another one now."""
        if plan.now == files_now.now.tree:
            return
        file_plan = files_now.file_plan
        shown = {each.path for each in file_plan.all} | {each.path for each in plan.diff}
        changes = self._checkpoints.changes(plan.now, files_now.now.tree) if plan.now else ()
        other = [each.path for each in changes if each.path in shown]
        if other or not plan.now:
            raise UserError(f"{list_paths(other) or 'Files'} changed since this was shown; look at it again.", 1)

    def _count_lost(self, to: int) -> int:
        conversation = self._session.conversation
        left = conversation.length_before(to)
        if left is None:
            back = Stamped(self._session.agent, to, 0.0, Rewound(to, "chat"))
            left = len(fold_conversation(lambda: chain(self._session.events(), [back]), keep_replaced=True).messages())
        return max(0, len(conversation.messages()) - left)

    def _files_of(self, spans: Sequence[TreeChange], first: int, end: int) -> tuple[str, ...]:
        """The files that the calls of a turn changed, as far as that is still known."""
        found: set[str] = set()
        for span in spans:
            if first <= span.seq < end and not span.rewind and span.answer and span.before and span.after:
                found.update(self._changed_by(span))
        return tuple(sorted(found))

    def _changed_by(self, span: TreeChange) -> tuple[str, ...]:
        if span.seq not in self._changed:
            try:
                changes = Authorship(self._checkpoints).of(span)
            except SnapshotError:
                return ()
            self._changed[span.seq] = tuple(each.change.path for each in changes if each.author != "other")
        return self._changed[span.seq]

    def _relative(self, spelling: str) -> str:
        """A path as trees spell it. Raises UserError for one that lies outside."""
        root = str(self._files.root)
        for base in (str(self._files.cwd), root):
            path = os.path.relpath(os.path.join(base, spelling), root)
            exists = os.path.lexists(os.path.join(root, path))
            if path != ".." and not path.startswith("../") and (base == root or exists):
                return "" if path == "." else path
        raise UserError(f"{escape_path(spelling)} lies outside the workspace {escape_path(root)}.")


def _choose_changes(
    file_plan: FilePlan, yours: ConflictChoice, *, unsure: bool
) -> tuple[tuple[PathChange, ...], tuple[str, ...]]:
    """The changes to make, and the paths that are left. Raises UserError where `yours` are to be refused."""
    if yours == "refuse" and file_plan.yours:
        theirs = list_paths([each.path for each in file_plan.yours])
        raise UserError(f"{theirs} changed since by you or another program: keep them, or overwrite them?", 1)
    left = set[str]() if unsure else {each.path for each in file_plan.unsure}
    if yours == "keep":
        left |= {each.path for each in file_plan.yours}
    going, kept = leave_paths(file_plan, left)
    return going.all, kept


def _spans(read: _LogReading, plan: RewindPlan) -> list[TreeChange]:
    """The tree changes that the plan takes back."""
    return [span for span in read.spans if span.seq >= plan.to]
