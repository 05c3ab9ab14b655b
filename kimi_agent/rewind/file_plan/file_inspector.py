"""The file inspector of a rewind: takes a snapshot of the files as they are, and plans the way back from there.

The files that a rule ignores now are looked for too, and those that nobody may read.
"""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from kimi_agent.printable import list_paths
from kimi_agent.rewind.file_plan.authorship import Authorship, SnapshotAccess
from kimi_agent.rewind.file_plan.folder_modes import plan_folder_modes
from kimi_agent.rewind.file_plan.ignored_files import IgnoredFile, find_ignored_files
from kimi_agent.rewind.file_plan.plan_files import (
    FilePlan,
    FilesThere,
    RewindBlocked,
    last_lost_record,
    leave_paths,
    plan_files,
)
from kimi_agent.rewind.file_plan.uncovered import describe_uncovered
from kimi_agent.rewind.tree_changes import TreeChange, read_other_changes
from kimi_agent.workspace.checkpoint import Snapshot, SnapshotError, UnkeptPaths
from kimi_agent.workspace.checkpoint.restore import find_unrestorable
from kimi_agent.workspace.checkpoint.snapshot_values import FolderModeChange
from kimi_agent.workspace.files.files import Files


@dataclass(frozen=True)
class FilesNow:
    """A snapshot of the files now, and the plan from there; `also` are ignored files that have to be kept too.

    `stood_empty` are the folders that were there without a file, before what is taken back.
    """

    now: Snapshot
    also: tuple[str, ...]
    file_plan: FilePlan
    folders: tuple[FolderModeChange, ...] = ()
    stood_empty: Collection[str] = ()


@dataclass(frozen=True)
class FileInspector:
    """Looks at the files of a workspace for a rewind of the session in the folder `session`. Blocking."""

    checkpoints: SnapshotAccess
    files: Files
    session: Path

    def find_closed(self, spans: Sequence[TreeChange]) -> tuple[str, ...]:
        """What cannot be read now, and could be when the snapshot to go back to was taken. Raises SnapshotError."""
        if not spans or not spans[0].before or not (missed := self.checkpoints.take().missed):
            return ()
        try:
            return tuple(sorted(set(missed).difference(self.checkpoints.missed(spans[0].before))))
        except SnapshotError:
            return ()  # the plan will say so

    def inspect(self, spans: Sequence[TreeChange], paths: Sequence[str]) -> FilesNow:
        """Plan taking `spans` back, of all files or of these `paths` alone. Raises RewindBlocked, SnapshotError."""
        now = self.checkpoints.take()
        if not spans:
            return FilesNow(now, (), FilePlan(now.tree))
        ignored = self._find_ignored(spans)
        now_ignored = tuple(path for path in self._find_now_ignored(spans[0].before, now) if path not in ignored)
        if also := (*now_ignored, *ignored):
            now = self.checkpoints.take(also)
        wanted = partial(_is_asked_for, paths)
        then, there_now = (self._unkept(listing) for listing in (spans[0].unkept, now.unkept))
        authorship = Authorship(self.checkpoints, read_other_changes(self.session, spans[0].began))
        # Of these the target tells the state, though a rule ignored them later: there, or not there.
        known = frozenset(
            path for path, file in ignored.items() if not file.absent and then is not None and not then.stood(path)
        )
        unknown = {path: file for path, file in ignored.items() if path not in known}
        moved_in = self._moved_in(then, spans[0].began)
        there = FilesThere((*now_ignored, *known), unknown, then, self._exists, moved_in)
        plan = plan_files(spans, now, self.checkpoints, authorship, there, wanted=wanted, by_name=bool(paths))
        refused = find_unrestorable(plan.all, self.files)
        plan, left = leave_paths(plan, refused)
        deleted = [each.path for each in plan.all if each.after is None]
        named = {*now.missed, *left}  # there is a note about each
        uncovered = describe_uncovered(
            deleted, then, there_now, lambda path: wanted(path) and path not in named, self._exists
        )
        notes = [*plan.notes, *uncovered]
        for why in dict.fromkeys(refused.values()):
            notes.append(f"left, for {why}: {list_paths([path for path in left if refused.get(path) == why])}")
        folders = plan_folder_modes(spans, now.tree, self.checkpoints, wanted)
        return FilesNow(now, also, replace(plan, notes=tuple(notes)), folders, then.empty if then else ())

    def _moved_in(self, then: UnkeptPaths | None, began: float) -> Callable[[str], bool]:
        """A test whether a changed file may be one that stood there, unkept, and is gone: a move keeps the mtime.

        Of what such a file held no snapshot knows, so it may be the only copy.
        """
        if then is None or all(map(self._exists, then.files)):
            return lambda path: False

        def test(path: str) -> bool:
            try:
                return os.lstat(self.files.root / path).st_mtime < began
            except OSError:
                return False

        return test

    def _find_ignored(self, spans: Sequence[TreeChange]) -> dict[str, IgnoredFile]:
        """The ignored files that calls changed and snapshots were asked for. Raises RewindBlocked."""
        try:
            return find_ignored_files(spans, self.checkpoints)
        except SnapshotError as error:
            raise RewindBlocked(last_lost_record(spans, self.checkpoints), str(error)) from error

    def _find_now_ignored(self, target: str, now: Snapshot) -> tuple[str, ...]:
        """The files of the target that exist now, but are ignored: the snapshot must hold them all the same."""
        if not target:
            return ()
        try:
            changes = self.checkpoints.changes(now.tree, target)
        except SnapshotError:
            return ()  # the plan will say so
        return tuple(each.path for each in changes if each.before is None and self._is_file(each.path))

    def _unkept(self, listing: str) -> UnkeptPaths | None:
        try:
            return self.checkpoints.unkept(listing)
        except SnapshotError:
            return None

    def _exists(self, path: str) -> bool:
        return os.path.lexists(self.files.root / path)

    def _is_file(self, path: str) -> bool:
        """Whether there is a file or link at `path`, no link leading to it."""
        whole = self.files.root / path
        return (whole.is_symlink() or whole.is_file()) and os.path.realpath(whole.parent) == str(whole.parent)


def _is_asked_for(paths: Sequence[str], path: str) -> bool:
    return not paths or any(not each or path == each or path.startswith(each + "/") for each in paths)
