"""Worktrees of their own: made, opened again, listed, and never removed with work in them."""

import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kimi_agent.errors import UserError
from kimi_agent.workspace.worktrees.names import check_worktree_name
from kimi_agent.workspace.worktrees.worktree import Worktree, WorktreeNotRemoved
from kimi_agent.workspace.worktrees.worktrees import Worktrees
from tests.golden_texts import Golden
from tests.workspace.own_repository import OwnRepository, own_repository


@pytest.fixture
def own(tmp_path: Path) -> OwnRepository:
    own = own_repository(tmp_path)
    own.commit({"a": "a\n", "sub/b": "b\n", ".gitignore": "*.o\n"})
    return own


def worktrees(own: OwnRepository, at: str | Path = "") -> Worktrees:
    return Worktrees(own.root / at, own.home / "state" / "worktrees", environ=own.environ)


def make(own: OwnRepository, name: str, at: str | Path = "") -> Worktree:
    return worktrees(own, at).make(name, now=lambda: 1_700_000_000.0, rng=random.Random(1))


def test_a_work_tree_is_made_from_head_and_opened_again(own: OwnRepository, golden: Golden) -> None:
    own.write("a", "not committed\n")
    own.write("new", "n")

    made = make(own, "fix-1", at="sub")

    assert made == Worktree(
        worktrees(own).folder / "fix-1",
        "kimi-agent/fix-1",
        "fix-1",
        worktrees(own).folder / "fix-1" / "sub",
        made.notes,
    )
    golden(*made.notes, ROOT=str(own.root))
    assert (made.path / "a").read_text() == "a\n"
    assert own.git("status", "--porcelain").split("\n") == [" M a", "?? new"]
    (made.path / "a").write_text("work\n")
    # Also from within, and as deep as the caller stands.
    assert make(own, "fix-1", at=made.path) == Worktree(made.path, "kimi-agent/fix-1", "fix-1", made.path)
    assert (made.path / "a").read_text() == "work\n"

    other = make(own, "")
    assert other.name.startswith("111")
    assert other.branch == f"kimi-agent/{other.name}"


def refusal(own: OwnRepository, kind: type[UserError] = WorktreeNotRemoved, at: str | Path = "") -> str:
    """The sentence with which the worktree fix is not removed."""
    with pytest.raises(kind) as refused:
        worktrees(own, at=at).remove("fix")
    return str(refused.value)


def test_work_is_never_dropped_unless_forced(own: OwnRepository, golden: Golden) -> None:
    made = make(own, "fix")
    (made.path / "x.o").write_text("ignored")
    (made.path / "sub" / "new\x1b[2J").write_text("n")
    own.git("commit", "--allow-empty", "-qm", "half \x1b[2J done", at=made.path)

    commit = own.git("rev-parse", "--short", "HEAD", at=made.path)
    refusals = [refusal(own)]
    (made.path / "sub" / "new\x1b[2J").unlink()
    [listed] = worktrees(own).list()
    assert (listed.ahead, listed.work.dirty, listed.merged, listed.branch) == (1, (), False, "kimi-agent/fix")
    refusals.append(refusal(own))
    own.git("worktree", "lock", "--reason", "on a stick", str(made.path))
    own.git("merge", "-q", "kimi-agent/fix")
    refusals.append(refusal(own))
    own.git("worktree", "unlock", str(made.path))
    refusals.append(refusal(own, UserError, at=made.path))
    (made.path / "x.o").unlink()

    assert worktrees(own).remove("fix").merged

    assert not made.path.exists()
    assert own.git("branch", "--list", "--format=%(refname:short)") == "main"
    golden(*refusals, refusal(own, UserError), COMMIT=commit)


@pytest.mark.long
def test_another_branch_that_was_checked_out_in_it_stays(own: OwnRepository) -> None:
    made = make(own, "wip")
    (made.path / "a").write_text("dirty")
    own.git("switch", "-q", "-c", "elsewhere", at=made.path)
    assert worktrees(own).list()[0].branch == "elsewhere"
    worktrees(own).remove("wip", force=True)
    assert own.git("branch", "--list", "--format=%(refname:short)").split() == ["elsewhere", "main"]


@pytest.mark.long
def test_a_folder_that_was_removed_by_hand_stands_again_with_its_commits(own: OwnRepository) -> None:
    made = make(own, "fix")
    own.git("commit", "--allow-empty", "-qm", "done", at=made.path)
    tip = own.git("rev-parse", "HEAD", at=made.path)
    shutil.rmtree(made.path)

    [listed] = worktrees(own).list()
    assert (listed.gone, listed.ahead) == (True, 1)
    with pytest.raises(WorktreeNotRemoved):
        worktrees(own).remove("fix")
    again = make(own, "fix")
    assert (again.notes, own.git("rev-parse", "HEAD", at=again.path)) == (
        ("It goes on with the branch kimi-agent/fix, which was there.",),
        tip,
    )
    shutil.rmtree(made.path)
    worktrees(own).remove("fix", force=True)
    assert own.git("worktree", "list").count("\n") == 0
    made.path.mkdir()
    (made.path / "precious").write_text("p")
    with pytest.raises(UserError, match="is in the way"):
        make(own, "fix")
    with pytest.raises(UserError, match="git knows of no worktree at"):
        worktrees(own).remove("fix", force=True)


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/b", "-f", ".hidden", "a..b", "a\n", "x.lock", "ü", "n" * 65, "a b", "x.", "a\0"]
)
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="A worktree cannot be called"):
        check_worktree_name(name)


@pytest.mark.long
def test_two_at_once_get_one_work_tree_by_name_and_two_without(own: OwnRepository) -> None:
    with ThreadPoolExecutor(2) as pool:
        named = list(pool.map(lambda _: make(own, "same"), range(2)))
        made_up = list(pool.map(lambda _: make(own, ""), range(2)))
    assert len({each.path for each in named}) == 1
    assert len({each.path for each in made_up}) == 2


def test_nothing_of_the_repository_runs(own: OwnRepository, golden: Golden) -> None:
    own.commit({".gitattributes": "*.big filter=lfs\n", "photo.big": "pointer\n"})
    ran = own.home / "ran"
    for key in ("core.fsmonitor", "filter.lfs.smudge", "filter.lfs.clean", "filter.lfs.process"):
        own.git("config", key, f"touch '{ran}'; cat")
    own.git("config", "filter.lfs.required", "true")
    hook = own.root / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{ran}'\n")
    hook.chmod(0o755)

    made = make(own, "fix")

    golden(*made.notes)
    assert (made.path / "photo.big").read_text() == "pointer\n"
    assert not ran.exists()
    own.git("config", "extensions.worktreeConfig", "true")
    own.git("config", "--worktree", "filter.lfs.clean", f"touch '{ran}'; cat", at=made.path)
    ran.unlink(missing_ok=True)  # plain git, just now, went by what is set here
    (made.path / "photo.big").touch()
    assert worktrees(own).list()[0].work.dirty == ()
    worktrees(own).remove("fix")
    assert not ran.exists()


def test_without_a_commit_or_a_repository_the_mend_is_named(tmp_path: Path) -> None:
    own = own_repository(tmp_path)
    with pytest.raises(UserError, match="There is no commit yet"):
        make(own, "x")
    with pytest.raises(UserError, match="There is no git repository at"):
        worktrees(own, at=own.home)
    with pytest.raises(UserError, match="A worktree cannot be called"):
        make(own, "../x")
