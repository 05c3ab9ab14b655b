"""Folder listings and path kinds as values, and the refusals that follow from them."""

import difflib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kimi_agent.errors import ToolError
from kimi_agent.printable import escape_path
from kimi_agent.workspace.paths import ResolvedPath

PathKind = Literal["file", "directory", "missing", "other"]

MAX_SIMILAR_ENTRIES = 5_000  # entries looked at for a similar name
SKIPPED_FOLDERS = frozenset({".git", "node_modules", "__pycache__", ".venv", "venv"})


@dataclass(frozen=True)
class FolderEntry:
    """One name in a folder; `size` in bytes, `mtime` in Unix seconds. A link is not followed."""

    name: str
    kind: Literal["file", "directory", "link", "other"]
    size: int
    mtime: float


def path_kind(resolved: ResolvedPath) -> PathKind:
    """The kind of what is at a resolved path."""
    return "missing" if resolved.stat is None else _mode_kind(resolved.stat.st_mode)


def folder_entry(entry: "os.DirEntry[str]") -> FolderEntry:
    """A directory entry as a value; what vanishes or may not be looked at has size 0."""
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return FolderEntry(entry.name, "other", 0, 0.0)
    kind = "link" if stat.S_ISLNK(found.st_mode) else _mode_kind(found.st_mode)
    return FolderEntry(entry.name, kind, found.st_size, found.st_mtime)


def _mode_kind(mode: int) -> Literal["file", "directory", "other"]:
    return "file" if stat.S_ISREG(mode) else "directory" if stat.S_ISDIR(mode) else "other"


def find_similar_paths(root: str, spelling: str, most: int, *, shown: Callable[[str], bool]) -> list[str]:
    """Paths below `root` whose last names are like that of `spelling`, best first; looks at a bounded number.

    What is not to be `shown` (by its absolute path) is not looked into, nor named.
    """
    names = difflib.SequenceMatcher(None, "", spelling.rstrip("/").rpartition("/")[2].casefold())
    paths = difflib.SequenceMatcher(None, "", spelling)
    near: dict[str, float] = {}
    seen = 0
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in set(folders) - SKIPPED_FOLDERS if shown(os.path.join(folder, name)))
        seen += len(files) + len(folders)
        for name in (*files, *folders):
            names.set_seq1(name.casefold())
            if names.real_quick_ratio() > 0.6 and names.quick_ratio() > 0.6 and names.ratio() > 0.6:
                path = os.path.join(folder, name)
                if not shown(path):
                    continue
                relative = os.path.relpath(path, root)
                paths.set_seq1(relative)
                near[relative] = names.ratio() + paths.ratio()
        if seen > MAX_SIMILAR_ENTRIES:
            break
    return sorted(near, key=lambda path: (-near[path], path))[:most]


def not_a_file_error(spelling: str, mode: int) -> ToolError:
    """The refusal of what is no file: opening a pipe or a device may wait for ever."""
    if stat.S_ISDIR(mode):
        return ToolError("not_regular", f"{escape_path(spelling)} is a folder", "use list_files")
    what = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
    return ToolError("not_regular", f"{escape_path(spelling)} is {what}, not an ordinary file", "leave it alone")


def cannot_read_error(path: str, error: OSError) -> ToolError:
    """The error for a read that the system refused."""
    return ToolError("io", f"cannot read {escape_path(path)}: {error.strerror}")
