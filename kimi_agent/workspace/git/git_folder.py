"""The git folder of a repository: found and read without running git, or made empty."""

import os
from dataclasses import dataclass
from pathlib import Path

_HEAD_MAX = 4096


@dataclass(frozen=True)
class Repository:
    """A user's repository: the work tree's `top`, its git folder, and the git folder that worktrees share."""

    top: Path
    git_dir: Path
    common: Path


def find_repository(workspace: Path, *, home: str = "") -> Repository | None:
    """The repository at or above `workspace`, found without running git; a repository of the whole home is none."""
    for folder in (workspace, *workspace.parents):
        if home and str(folder) == home:
            return None
        if found := repository_at(folder):
            return found
    return None


def repository_at(folder: Path) -> Repository | None:
    """The repository whose work tree has its top just at `folder`."""
    dot_git = folder / ".git"
    named = _line(dot_git).removeprefix("gitdir: ") if dot_git.is_file() else ""
    git_dir = folder / named if named else dot_git
    if not (git_dir / "HEAD").is_file():
        return None
    common = _line(git_dir / "commondir")
    return Repository(folder, git_dir, git_dir / common if common else git_dir)


def has_other_repository(folder: Path, workspace: Path) -> bool:
    """Whether git, started in `folder` of `workspace`, finds a repository below the workspace's top: a nested one, or
    one that is planted bare. Both are real paths."""
    if not folder.is_relative_to(workspace):
        return True
    for each in (folder, *folder.parents):
        if each == workspace:
            return False
        if os.path.lexists(each / ".git") or looks_like_git_folder(each):
            return True
    return False


def looks_like_git_folder(folder: Path) -> bool:
    """Whether `folder` itself is laid out like a git folder."""
    return all(os.path.lexists(folder / name) for name in ("HEAD", "objects", "refs"))


def make_bare_repository(folder: Path) -> None:
    """Make an empty private repository: no template, so no hooks."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("objects/info", "objects/pack", "refs", "info"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = false\n", "ascii")
    # Last: what has a HEAD is a repository.
    (folder / "HEAD").write_text("ref: refs/heads/none\n", "ascii")


def current_branch(workspace: Path) -> str:
    """The checked-out branch, the first 7 digits of a detached commit, or "" where `workspace` is no top of one.

    Without running git: nothing of a stranger's repository may run before trust.
    """
    own = repository_at(workspace)
    head = os.fsencode(_line(own.git_dir / "HEAD")).decode("utf-8", "replace") if own else ""
    if head.startswith("ref: "):
        return head.removeprefix("ref: ").removeprefix("refs/heads/")
    return head[:7] if len(head) >= 40 else ""


def stat_key(path: Path | str) -> tuple[int, ...]:
    """A key that changes when the file does (inode, size, mtime, ctime); () where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return os.fsdecode(file.read(_HEAD_MAX).strip())
    except OSError:
        return ""
