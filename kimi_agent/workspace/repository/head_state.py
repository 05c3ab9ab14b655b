"""The HEAD of a repository: its commit, its branch, and what forbids to commit just now."""

import os
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.errors import UserError
from kimi_agent.workspace.git.command import Git
from kimi_agent.workspace.git.git_folder import Repository, find_repository

BRANCH_PREFIX = "kimi-agent/"
"""The prefix of every branch that this program makes."""
HEADS_PREFIX = "refs/heads/"
_UNFINISHED_OPERATIONS = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or git am",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "sequencer": "a cherry-pick or revert",
    "BISECT_LOG": "a bisect",
}


@dataclass(frozen=True)
class HeadState:
    """A repository, its HEAD, and the workspace in it: `prefix` is "" or "sub/".

    `ref` is the checked-out branch in full ("" for a detached HEAD), `head` its commit ("" before the first one).
    """

    repository: Repository
    prefix: str
    ref: str
    head: str

    @property
    def branch(self) -> str:
        """The short name of the branch, "" for a detached HEAD."""
        return self.ref.removeprefix(HEADS_PREFIX)


def read_head_state(git: Git, workspace: Path, *, home: str) -> HeadState:
    """Read the HEAD of the repository at `workspace`, with that workspace's `git`. Raises UserError for none."""
    real = Path(os.path.realpath(workspace))
    found = find_repository(real, home=os.path.realpath(home) if home else "")
    if found is None:
        raise UserError(f"There is no git repository at {workspace}; git init makes one.", 1)
    relative = real.relative_to(found.top).as_posix()
    prefix = "" if relative == "." else f"{relative}/"
    return HeadState(found, prefix, git.head_ref(), git.resolve("HEAD^{commit}"))


def find_commit_obstacle(git_dir: Path) -> str:
    """Find what forbids to commit just now, as a sentence; "" for nothing."""
    for name, what in _UNFINISHED_OPERATIONS.items():
        if os.path.lexists(git_dir / name):
            return f"{what} is under way in this repository; finish or abort it first."
    if os.path.lexists(git_dir / "index.lock"):
        return f"another git is at work here; if it has died, remove {git_dir / 'index.lock'}."
    return ""
