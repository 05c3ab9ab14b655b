"""The edit plan: what becomes of each file, for the workspace to commit and for results and previews to show."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from kimi_agent.edit.planning.file_state import FileState
from kimi_agent.edit.planning.syntax_check import find_new_syntax_error
from kimi_agent.edit.planning.write_hunks import ChangedSpan
from kimi_agent.workspace.file_change import FileChange


@dataclass(frozen=True)
class FileResult:
    """What happens to one file: M, A, D or R (from `old_path`). `how` says how an old_string was made to fit."""

    path: str
    change: Literal["M", "A", "D", "R"]
    before: bytes | None
    after: bytes | None
    old_path: str = ""
    spots: tuple[ChangedSpan, ...] = ()
    notes: tuple[str, ...] = ()
    how: str = ""


@dataclass(frozen=True)
class EditPlan:
    """A plan: the `changes` that `Files.commit` is to write, and the same `files` as results and previews show them."""

    changes: tuple[FileChange, ...]
    files: tuple[FileResult, ...]


@dataclass
class FileDraft:
    """One path while the plan is made: the file on the disk, and its content after the sections so far."""

    disk: FileState | None
    data: bytes | None
    mode: int | None = None
    origin: str = ""
    spots: tuple[ChangedSpan, ...] = ()
    notes: tuple[str, ...] = ()
    failed: bool = False

    @property
    def untouched(self) -> bool:
        """Whether the file stands there as it did before the patch."""
        return self.disk is not None and self.data is self.disk.data and not self.origin and self.mode is None


def make_file_result(name: str, now: FileDraft, files: Mapping[str, FileDraft]) -> FileResult | None:
    before = now.disk.data if now.disk else None
    if now.data is None:
        return FileResult(name, "D", before, None, notes=now.notes) if before is not None else None
    if now.origin and now.origin != name:
        source = files[now.origin].disk
        old = source.data if source else None
        return _with_syntax_note(FileResult(name, "R", old, now.data, now.origin, now.spots, now.notes))
    if before is None:
        return _with_syntax_note(FileResult(name, "A", None, now.data, spots=now.spots, notes=now.notes))
    notes = now.notes
    if now.mode is not None and now.disk is not None and now.mode != now.disk.mode:
        notes = (*notes, f"mode {now.mode:04o}")
    elif before == now.data:
        notes = (*notes, "nothing changed in it")
    return _with_syntax_note(FileResult(name, "M", before, now.data, spots=now.spots, notes=notes))


def _with_syntax_note(done: FileResult) -> FileResult:
    """The same with a note where its syntax broke."""
    wrong = find_new_syntax_error(done.path, done.before, done.after or b"", old_path=done.old_path)
    return replace(done, notes=(*done.notes, wrong)) if wrong else done


def make_file_change(name: str, now: FileDraft) -> FileChange | None:
    if now.disk is None:
        return None if now.data is None else FileChange(name, None, now.data, now.mode)
    mode = now.mode if now.mode != now.disk.mode else None
    if now.data == now.disk.data and mode is None:
        return None
    return FileChange(name, now.disk.sha256, now.data, mode if now.data is not None else None)
