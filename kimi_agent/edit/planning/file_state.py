"""File states that a plan reads, and the errors for files that are missing, changed, or not read by the model.

It also says what a plan must know before a file vanishes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kimi_agent.errors import ToolError
from kimi_agent.printable import escape_path


@dataclass(frozen=True)
class FileState:
    """A file as it is. `seen` is the hash that the model last saw (None: never met), `whole` whether it saw it all.

    `in_git` says, when it is asked, whether the user's git holds this very content.
    """

    path: str
    data: bytes
    sha256: str
    mode: int = 0o644
    seen: str | None = None
    whole: bool = False
    in_git: Callable[[], bool] = lambda: False

    @property
    def changed(self) -> bool:
        """Whether somebody else wrote it since the model saw it."""
        return self.seen is not None and self.seen != self.sha256


class FileView(Protocol):
    """What a plan may know of the disk. All three may raise ToolError."""

    def name(self, spelling: str, /) -> str:
        """The one spelling that every other spelling of a path becomes."""

    def file(self, name: str, /) -> FileState | None:
        """The file of that name, None where nothing stands."""

    def similar(self, name: str, /) -> Sequence[str]:
        """A few existing paths that may have been meant."""


def unknown_encoding_error(name: str, char: str) -> ToolError:
    """The error for a character beyond ASCII in an edit of a file whose encoding is not known."""
    why = f"{escape_path(name)} is not UTF-8, so {char!r} of your text cannot be compared with its bytes"
    mend = "keep to ASCII lines, or convert the file first, by shell: iconv -f ENCODING -t UTF-8"
    return ToolError("encoding", why, mend)


def require_known(name: str, disk: FileState | None) -> bool:
    """What vanishes must have been seen as it is; an empty file, or one not yet on disk, needs no proof.

    False where it was not seen, but git can bring it back. Raises ToolError (stale, unread).
    """
    if disk is None or not disk.data:
        return True
    if disk.changed:
        raise stale_file_error(name, "so it cannot be deleted or moved")
    if disk.seen is None or not disk.whole:
        if disk.in_git():
            return False
        text = f"{escape_path(name)} was not read whole, so it cannot be deleted or moved"
        raise ToolError("unread", text, f"read all of it first: read_file(path={escape_path(name)!r})")
    return True


def missing_file_error(name: str, view: FileView, next_step: str) -> ToolError:
    """The error for a file that is not there, with those that may have been meant."""
    similar = ", ".join(escape_path(path) for path in view.similar(name)[:3])
    hint = f"; similar: {similar}" if similar else ""
    return ToolError("missing", f"there is no file {escape_path(name)}{hint}", next_step)


def stale_file_error(name: str, why: str, line: int = 0) -> ToolError:
    """The error for a file that somebody else changed since the model saw it; `line` is where to look again."""
    offset = f", offset={max(1, line - 20)}" if line > 20 else ""
    why = f"{escape_path(name)} changed on disk since you last saw it, by somebody else, {why}"
    mend = f"read it again: read_file(path={escape_path(name)!r}{offset}), then send hunks with context lines"
    return ToolError("stale", why, mend)
