"""Adapter from the workspace files to the patch engine: shows a plan the files as they are, and commits the plan."""

import os
from collections.abc import Sequence

from kimi_agent.edit.planning.edit_plan import EditPlan
from kimi_agent.edit.planning.file_state import FileState
from kimi_agent.edit.rendering.result_text import list_shown_ranges
from kimi_agent.errors import NeedsConsent, ToolError
from kimi_agent.workspace.files.files import Files


class WorkspaceFiles:
    """A `FileView` of the workspace as it is now."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def name(self, spelling: str, /) -> str:
        """The spelling that results and changes use. Raises ToolError for what can be no path."""
        if spelling.startswith("output:"):
            raise ToolError("refused", f"{spelling} is kept output and cannot be edited", "edit files of the workspace")
        return self._files.shown(spelling)

    def file(self, name: str, /) -> FileState | None:
        """The file, with what the model has seen of it. Raises ToolError, and NeedsConsent for a sensitive name."""
        path = os.path.join(self._files.root, name)  # a name starts at the root, wherever the cwd is
        if self._files.kind(path) == "missing":
            return None
        try:
            found = self._files.read(path)
        except NeedsConsent as error:
            if error.code == "sensitive":
                raise
            # Nobody is asked to allow reading what could not be written anyway.
            raise ToolError("outside", f"{error.text}; nothing was written", "edit files of the workspace") from None
        known = self._files.seen_files.known(name)
        return FileState(
            name,
            found.data,
            found.sha256,
            found.mode & 0o777,
            seen=known.sha256 if known else None,
            whole=bool(known and known.whole),
            in_git=lambda: self._files.in_git(name, found.data),
        )

    def similar(self, name: str, /) -> Sequence[str]:
        """A few paths like it."""
        return self._files.similar(name)


def commit_plan(change: EditPlan, files: Files, *, around: int) -> list[str]:
    """Commit the plan, all or nothing, and note what its result will show. Returns notes; raises ToolError."""
    notes = files.commit(change.changes)
    for done in change.files:
        known = files.seen_files.known(done.path)
        ranges = list_shown_ranges(done, around)
        if known and ranges:
            files.seen_files.record(done.path, known.sha256, ranges=ranges, by="write")
    return notes
