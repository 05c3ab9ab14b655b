"""The standalone patch engine for other programs: it needs a folder and a patch, no person and no session."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from kimi_agent.edit.files_adapter import WorkspaceFiles, commit_plan
from kimi_agent.edit.planning.file_state import FileState
from kimi_agent.edit.planning.plan_patch import plan_patch
from kimi_agent.edit.rendering.diff_view import make_diff_view
from kimi_agent.edit.rendering.result_text import format_patch_result
from kimi_agent.errors import NeedsConsent, ToolError
from kimi_agent.log.views import FileDiff
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.files.outputs import Outputs
from kimi_agent.workspace.files.seen_files import SeenFiles


class EditError(ToolError):
    """Why a patch was not applied. `str(error)` is what a model would read; `code` is one of a closed set."""


@dataclass(frozen=True)
class PatchReport:
    """What a patch did; `str(report)` is the text that a model would read.

    Each file has its path (below the root), `change` ("M", "A", "D", or "R" from `old_path`), the counts `added` and
    `removed`, and its diff. `notes` name each tolerance that was needed and each file that no longer parses.
    """

    files: tuple[FileDiff, ...]
    notes: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return self.text


def apply(root: Path, patch: str, *, journal: Path | None = None) -> PatchReport:
    """Apply `patch` (V4A or unified diff) to the files below `root`: all of it, or nothing and an EditError.

    The patch is the only authority: what it deletes, moves or names is not asked about, secret-looking names included.
    It never leads out of `root`, nor into a `.git` or `.kimi-agent` folder. Safe against a kill: a private folder
    `journal` (default: one per user in the system's temporary folder) says what is under way, and the next call on the
    same root finishes that or takes it back before it does anything else. Nothing of ours is left in `root`.
    """
    with _one_error():
        files = _files(root, journal or _journal())
        recovered = files.recover()
        change = plan_patch(patch, _Everything(files))
        notes = [*recovered, *commit_plan(change, files, around=0)]
        view = make_diff_view(change)
        file_notes = (f"{done.path}: {note}" for done in change.files for note in done.notes)
        return PatchReport(view.files, (*file_notes, *notes), format_patch_result(change, view, notes))


class _Everything(WorkspaceFiles):
    """A view that knows every file whole: there is no model that could have missed something."""

    def name(self, spelling: str, /) -> str:
        if spelling == "~" or spelling.startswith("~/"):
            text = f"{spelling} leads to a home folder, outside of the tree that is patched; nothing was written"
            raise ToolError("outside", text, "name files of the tree")
        return super().name(spelling)

    def file(self, name: str, /) -> FileState | None:
        try:
            found = super().file(name)
        except NeedsConsent as error:
            self._files.allow_reading(error.path)
            found = super().file(name)
        return replace(found, seen=found.sha256, whole=True) if found else None


def _files(root: Path, journal: Path) -> Files:
    mend = "give the folder that the patch's paths start at"
    if not root.exists():
        raise ToolError("missing", f"there is no folder {str(root)!r}", mend)
    if not root.is_dir():
        raise ToolError("not_regular", f"{str(root)!r} is no folder", mend)
    return Files(
        root,
        outputs=Outputs(journal / "outputs"),  # never made: nothing is kept
        seen_files=SeenFiles(lambda seen: None),
        home=root,  # never asked for, see `_Everything.name`
        journal=journal,
    )


def _journal() -> Path:
    """A folder that only this user can write: recovery does what a journal says, so it is never read from the tree."""
    import tempfile  # brings a dozen modules that nothing else here needs

    folder = Path(tempfile.gettempdir(), f"kimi-agent-edit-{os.geteuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        why = f"{folder} is not private to this user"
        raise ToolError("io", why, "pass journal=, a folder that only you can write")
    return folder


@contextmanager
def _one_error() -> Iterator[None]:
    """Whatever bad input and a bad disk lead to becomes an EditError."""
    try:
        yield
    except ToolError as error:
        raise EditError(error.code, error.text, error.next_step) from error
    except OSError as error:
        why = f"{error.filename or 'the tree'}: {error.strerror or error}; nothing was changed"
        raise EditError("io", why) from error
