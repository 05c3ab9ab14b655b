"""The source tree of snapshots: the workspace, the stat of its paths, and the git that compares it."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.workspace.checkpoint.ignore_rules import IgnoreRules
from kimi_agent.workspace.checkpoint.snapshot_values import SnapshotLimits
from kimi_agent.workspace.checkpoint.store import STORE_GIT_SETTINGS, SnapshotStore
from kimi_agent.workspace.git.command import Git
from kimi_agent.workspace.git.git_folder import Repository, find_repository


@dataclass(frozen=True)
class SourceTree:
    """The workspace to take snapshots of, the store for them, and the limits; `home` is the user's home folder."""

    workspace: Path
    store: SnapshotStore
    environ: Mapping[str, str]
    limits: SnapshotLimits
    private: tuple[Path, ...]
    ignores: IgnoreRules
    home: str

    def repository(self) -> Repository | None:
        """The user's repository that the workspace is part of: not one that ignores the whole workspace."""
        own = find_repository(self.workspace, home=self.home)
        if own is None or own.top == self.workspace:
            return own
        ignored = self.git(own, settings={}).run("check-ignore", "--no-index", "--", ".", ok=(0, 1))
        return None if ignored else own

    def git(self, own: Repository | None, *, settings: Mapping[str, str], index: Path | None = None) -> Git:
        """A git on the store; with an index of its own for each place that the workspace may have in a repository."""
        return Git(
            self.workspace,
            git_dir=self.store.folder,
            index=index or self.store.index(self.prefix(own)),
            top=own.top if own else self.workspace,
            environ=self.environ,
            settings={**STORE_GIT_SETTINGS, **settings},
        )

    def prefix(self, own: Repository | None) -> str:
        """The path of the workspace in the user's repository: "" at its top, else "folder/"."""
        relative = str(self.workspace.relative_to(own.top)) if own else "."
        return "" if relative == "." else relative + "/"

    def lstat(self, path: str) -> os.stat_result | None:
        """The stat of a path of the workspace, None for nothing there and where the system gives none."""
        with contextlib.suppress(OSError):
            return os.lstat(os.path.join(self.workspace, path))
        return None

    def hidden(self, path: str) -> bool:
        """Whether the system refuses to say what is at a path of the workspace (as in a folder without x)."""
        try:
            os.lstat(os.path.join(self.workspace, path))
        except OSError as error:
            return not isinstance(error, FileNotFoundError | NotADirectoryError)
        return False

    def inside(self, path: str) -> bool:
        """Whether the folder of `path` is reached without a link."""
        folder = os.path.join(self.workspace, os.path.dirname(path)).rstrip("/")
        return os.path.realpath(folder) == folder

    @property
    def closed(self) -> tuple[str, ...]:
        """Our own folders, as far as they lie in the workspace."""
        inside = (folder for folder in self.private if folder.is_relative_to(self.workspace))
        return tuple(f"{folder.relative_to(self.workspace)}/" for folder in inside)

    def relative_path(self, spelling: str) -> str | None:
        """The path relative to the workspace for any spelling of it, None for what is not below it.

        Links in the folders above are followed, a link at the path itself is not.
        """
        if "\0" in spelling or not is_encodable(spelling):
            return None
        whole = os.path.normpath(os.path.join(self.workspace, spelling))
        whole = os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))
        path = os.path.relpath(whole, self.workspace)
        return None if path in (".", "..") or path.startswith("../") else path

    def files(self, path: str) -> Iterator[str]:
        """`path` itself, or all files below it; links are not followed, and no repository's own folder is entered."""
        whole = self.workspace / path
        if whole.is_symlink() or not whole.is_dir():
            yield path
            return
        for folder, folders, files in os.walk(whole):
            folders[:] = [name for name in folders if name.lower() != ".git"]
            links = [name for name in folders if Path(folder, name).is_symlink()]
            below = os.path.normpath(os.path.join(path, os.path.relpath(folder, whole)))
            yield from (os.path.join(below, name) for name in (*files, *links))


def is_encodable(path: str) -> bool:
    """Whether a file can have this name: not with half a surrogate pair, not empty."""
    try:
        return bool(os.fsencode(path))
    except UnicodeEncodeError:
        return False
