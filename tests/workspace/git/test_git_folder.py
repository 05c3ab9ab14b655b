"""A repository's folder, read without running git."""

from pathlib import Path

import pytest

from kimi_agent.workspace.git.git_folder import current_branch
from kimi_agent.workspace.git_object_id import blob_id

COMMIT = b"da39a3ee5e6b4b0d3255bfef95601890afd80709\n"


@pytest.mark.parametrize(
    ("head", "branch"),
    [
        (b"ref: refs/heads/main\n", "main"),
        (b"ref: refs/heads/fix/issue-42\n", "fix/issue-42"),
        (b"ref: refs/heads/gr\xfc\xdfe\n", "gr\ufffd\ufffde"),  # shown on a screen, so no half surrogate pairs
        (COMMIT, "da39a3e"),
        (b"nonsense\n", ""),
    ],
)
def test_the_branch_is_read_from_head(tmp_path: Path, head: bytes, branch: str) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_bytes(head)
    assert current_branch(tmp_path) == branch


def test_a_worktree_names_its_git_folder_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "main/.git/worktrees/one").mkdir(parents=True)
    (tmp_path / "main/.git/worktrees/one/HEAD").write_text("ref: refs/heads/one\n")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/.git").write_text("gitdir: ../main/.git/worktrees/one\n")
    assert current_branch(tmp_path / "tree") == "one"


def test_without_a_repository_there_is_no_branch(tmp_path: Path) -> None:
    assert current_branch(tmp_path) == ""


def test_a_blob_has_the_id_that_git_gives_it() -> None:
    # printf hello | git hash-object --stdin, in a repository of SHA-1 and in one of SHA-256
    assert blob_id(b"hello") == "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"
    assert blob_id(b"hello", 64) == "8aec4e4876f854f688d0ebfc8f37598f38e5fd6903cccc850ca36591175aeb60"
