"""Checked-out branch, read without running git: before trust no code of the repository may run."""

from pathlib import Path

_HEAD_MAX = 4096


def current_branch(workspace: Path) -> str:
    """The checked-out branch, the first 7 digits of a detached commit, or "" where there is no repository."""
    head = _read(_git_folder(workspace / ".git") / "HEAD")
    if head.startswith("ref: "):
        return head.removeprefix("ref: ").removeprefix("refs/heads/")
    return head[:7] if len(head) >= 40 else ""


def _git_folder(dot_git: Path) -> Path:
    """`.git` itself, or, in a worktree or submodule, the folder that the file `.git` names."""
    named = _read(dot_git).removeprefix("gitdir: ") if dot_git.is_file() else ""
    return dot_git.parent / named if named else dot_git


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_MAX).decode("utf-8", "replace").strip()
    except OSError:
        return ""
