"""The workspace that snapshots are taken of: what stands where, and the git that looks at it."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.workspace.checkpoint.ignore_rules import Ignores
from kimi_agent.workspace.checkpoint.store import SETTINGS, Store
from kimi_agent.workspace.checkpoint.values import Limits
from kimi_agent.workspace.git.command import Git
from kimi_agent.workspace.git.folder import Repository, repository


@dataclass(frozen=True)
class Ground:
    """What is taken, where to, and how much of it; `home` is the user's home folder."""

    workspace: Path
    store: Store
    environ: Mapping[str, str]
    limits: Limits
    private: tuple[Path, ...]
    ignores: Ignores
    home: str

    def repository(self) -> Repository | None:
        """The user's repository that the workspace is part of: not one that ignores the whole workspace."""
        own = repository(self.workspace, home=self.home)
        if own is None or own.top == self.workspace:
            return own
        said = self.git(own, settings={}).run("check-ignore", "--no-index", "--", ".", ok=(0, 1))
        return None if said else own

    def git(self, own: Repository | None, *, settings: Mapping[str, str], index: Path | None = None) -> Git:
        """A git on the store; with an index of its own for each place that the workspace may have in a repository."""
        return Git(
            self.workspace,
            git_dir=self.store.folder,
            index=index or self.store.index(self.prefix(own)),
            top=own.top if own else self.workspace,
            environ=self.environ,
            settings={**SETTINGS, **settings},
        )

    def prefix(self, own: Repository | None) -> str:
        """Where the workspace lies in the user's repository: "" at its top, else "folder/"."""
        relative = str(self.workspace.relative_to(own.top)) if own else "."
        return "" if relative == "." else relative + "/"

    def lstat(self, path: str) -> os.stat_result | None:
        """What stands at a path of the workspace, None for nothing and where that cannot be told."""
        with contextlib.suppress(OSError):
            return os.lstat(os.path.join(self.workspace, path))
        return None

    def hidden(self, path: str) -> bool:
        """Whether it cannot be told what stands at a path of the workspace."""
        try:
            os.lstat(os.path.join(self.workspace, path))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return False

    def inside(self, path: str) -> bool:
        """Whether no link leads there."""
        folder = os.path.join(self.workspace, os.path.dirname(path)).rstrip("/")
        return os.path.realpath(folder) == folder

    @property
    def closed(self) -> tuple[str, ...]:
        """Our own folders, as far as they lie in the workspace."""
        inside = (folder for folder in self.private if folder.is_relative_to(self.workspace))
        return tuple(f"{folder.relative_to(self.workspace)}/" for folder in inside)

    def spelled(self, spelling: str) -> str | None:
        """Any spelling of a path as one from the workspace on, None for what is not below it.

        What leads there is followed, what stands there is not: a link stays one.
        """
        if "\0" in spelling or not encodable(spelling):
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


def encodable(path: str) -> bool:
    """Whether a file can have this name: not with half a surrogate pair, not empty."""
    try:
        return bool(os.fsencode(path))
    except UnicodeEncodeError:
        return False
