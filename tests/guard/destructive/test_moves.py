"""Moves of which undo holds one end only, in a real repository (undo.md F2)."""

import subprocess
from pathlib import Path

import pytest

from kimi_agent.guard.destructive.losses import find_losses


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    place = tmp_path / "app"
    for name in ("a.txt", "new/b.txt", "s/my.key", "s/c.txt", "p/__pycache__/x.pyc", "p/m.py", "sub/x.txt", ".env"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("x")
    (place / ".gitignore").write_text("*.key\n.env*\n__pycache__/\n")
    for command in ("init -q", "init -q sub", "add a.txt s/c.txt p/m.py"):
        subprocess.run(["git", *command.split()], cwd=place, check=True, capture_output=True)
    return place


def moved(repository: Path, text: str) -> list[tuple[str, bool, tuple[str, ...]]]:
    found = find_losses(text, home=repository.parent / "home", workspace=repository)
    return [(loss.what, loss.covered, loss.paths) for loss in found]


ONE_END = "(undo could bring back one end of the move only)"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("mv .git .git.bak", f"moves .git, a repository with its history {ONE_END}"),
        ("mv .git .git.bak && git init -q", f"moves .git, a repository with its history {ONE_END}"),
        ("git mv .git x", f"moves .git, a repository with its history {ONE_END}"),
        ("mv sub/.git sub/git-backup", f"moves sub/.git, a repository with its history {ONE_END}"),
        ("mv sub elsewhere", f"moves sub/.git, a repository with its history {ONE_END}"),
        ("cd sub && mv .git x", f"moves sub/.git, a repository with its history {ONE_END}"),
        ("mv -t /tmp s", f"moves s/my.key, ignored by git {ONE_END}"),
        ("mv s s2", f"moves s/my.key, ignored by git {ONE_END}"),
        ("sh -c 'mv s s2'", f"moves s/my.key, ignored by git {ONE_END}"),
        ("mv .env /tmp/x", f"moves .env, ignored by git {ONE_END}"),
    ],
)
def test_a_move_that_could_be_half_undone_is_asked_about(repository: Path, text: str, what: str) -> None:
    assert moved(repository, text) == [(what, False, ())]


def test_an_ignored_file_that_is_named_is_kept(repository: Path) -> None:
    assert moved(repository, "mv .env .env.old") == [("moves .env, ignored by git", True, (".env",))]


@pytest.mark.parametrize(
    "text", ["mv a.txt b.txt", "mv new old", "mv p q", "git mv s/c.txt d", "mv a.txt new s/c.txt p"]
)
def test_moves_of_tracked_and_untracked_files_stay_silent(repository: Path, text: str) -> None:
    assert moved(repository, text) == []


def test_what_is_named_is_listed_also_where_a_build_would_make_it_again(repository: Path) -> None:
    (repository / "i.log").write_text("x")
    assert moved(repository, "rm i.log") == [("deletes files", True, ("i.log",))]
    assert moved(repository, "rm -r p/__pycache__ dist") == [("deletes files", True, ("p/__pycache__", "dist"))]
