"""What a worktree's removal would lose, as it lies there: what `git status` does not see."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from kimi_agent.workspace.worktrees.worktree import WorktreeNotRemoved
from kimi_agent.workspace.worktrees.worktrees import Worktrees
from tests.golden_texts import Golden
from tests.workspace.own_repository import OwnRepository, own_repository


class Tree:
    """The worktree "fix" of a person's repository."""

    def __init__(self, own: OwnRepository) -> None:
        self.own = own
        self.worktrees = Worktrees(own.root, own.home / "state" / "worktrees", environ=own.environ)
        self.path = self.worktrees.make("fix", now=lambda: 0.0, rng=random.Random(1)).path
        self.names = {"ROOT": str(own.root)}

    def git(self, *args: str, at: str = "", ok: bool = True) -> str:
        return self.own.git(*args, at=self.path / at, ok=ok)

    def write(self, path: str, content: str) -> None:
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def commit(self, subject: str, at: str = "") -> str:
        self.git("commit", "-q", "--allow-empty", "-m", subject, at=at)
        commit = self.git("rev-parse", "--short", "HEAD", at=at)
        self.names[f"COMMIT{len(self.names)}"] = commit
        return commit

    def repository(self, at: str) -> None:
        (self.path / at).mkdir(parents=True)
        self.git("init", "-q", at=at)

    def refusal(self) -> str:
        """The sentence with which it is not removed; it stands as it was."""
        before = sorted(self.path.rglob("*"))
        with pytest.raises(WorktreeNotRemoved) as refused:
            self.worktrees.remove("fix")
        assert sorted(self.path.rglob("*")) == before
        return str(refused.value)

    def is_removed(self) -> bool:
        self.worktrees.remove("fix")
        return not self.path.exists()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    own = own_repository(tmp_path)
    own.commit({"a": "a\n", "b": "b\n", ".gitignore": "*.env\nsecret/\n__pycache__/\nnode_modules/\ncache/\n"})
    return Tree(own)


def detached(tree: Tree) -> None:
    tree.git("checkout", "-q", "--detach")
    tree.commit("on no branch")
    tree.git("checkout", "-q", "kimi-agent/fix")


def reset_away(tree: Tree) -> None:
    tree.commit("thrown away")
    tree.git("reset", "-q", "--hard", "HEAD~1")


def a_branch_deleted(tree: Tree) -> None:
    tree.git("switch", "-q", "-c", "short-lived")
    tree.commit("of a branch that is gone")
    tree.git("switch", "-q", "kimi-agent/fix")
    tree.git("branch", "-q", "-D", "short-lived")


def a_ref_of_the_worktree(tree: Tree) -> None:
    tree.git("config", "core.logAllRefUpdates", "false")
    (Path(tree.git("rev-parse", "--git-dir")) / "logs" / "HEAD").unlink()
    tree.git("checkout", "-q", "--detach")
    tree.commit("kept by a ref of its own")
    tree.git("update-ref", "refs/worktree/mine", "HEAD")
    tree.git("checkout", "-q", "kimi-agent/fix")


def skip_worktree(tree: Tree) -> None:
    tree.git("update-index", "--skip-worktree", "a")
    tree.write("a", "hidden work\n")


def assume_unchanged(tree: Tree) -> None:
    tree.git("update-index", "--assume-unchanged", "a", "b")
    tree.write("b", "hidden work\n")


def same_size_and_time(tree: Tree) -> None:
    tree.git("config", "core.trustctime", "false")
    tree.git("config", "core.checkStat", "minimal")
    long_ago = 1_600_000_000, 1_600_000_000
    os.utime(tree.path / "a", long_ago)
    tree.git("status", "--porcelain")  # which notes the time in the index
    tree.write("a", "A\n")
    os.utime(tree.path / "a", long_ago)
    assert tree.git("status", "--porcelain") == ""


def ignored_file(tree: Tree) -> None:
    tree.write("x.env", "KEY=1\n")


def ignored_folder(tree: Tree) -> None:
    tree.write("secret/deep/notes.txt", "mine\n")
    tree.write("new/sub/x.env", "mine\n")
    tree.write("new/y.env", "mine\n")
    tree.write("secret/__pycache__/m.pyc", "")


def excluded_for_this_clone(tree: Tree) -> None:
    (tree.own.root / ".git/info/exclude").write_text("*.local\n")
    tree.write("my.local", "mine\n")


def nested_commits(tree: Tree) -> None:
    (tree.own.root / ".git/info/exclude").write_text("/tool/\n")
    tree.repository("tool")
    tree.commit("inner work", at="tool")


def nested_stash(tree: Tree) -> None:
    tree.git("clone", "-q", str(tree.own.root), "node_modules/tool")
    tree.write("node_modules/tool/a", "stashed\n")
    tree.git("stash", "-q", at="node_modules/tool")


def nested_edit(tree: Tree) -> None:
    tree.git("clone", "-q", str(tree.own.root), "tool")
    tree.write("tool/a", "changed\n")
    tree.repository("tool/deeper")
    tree.commit("far down", at="tool/deeper")


def submodule_commit(tree: Tree) -> None:
    add_submodule(tree)
    tree.commit("in the submodule", at="lib")


def submodule_put_away(tree: Tree) -> None:
    add_submodule(tree)
    tree.commit("in the submodule", at="lib")
    tree.git("submodule", "deinit", "-q", "--force", "lib")


def add_submodule(tree: Tree) -> None:
    other = own_repository(tree.own.home)
    other.commit({"l": "l\n"})
    tree.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.root), "lib")
    tree.git("commit", "-q", "-m", "lib")
    tree.own.git("merge", "-q", "kimi-agent/fix")


def a_merge_under_way(tree: Tree) -> None:
    conflict(tree)
    tree.git("merge", "-q", "other", ok=False)
    tree.git("checkout", "--ours", "a")


def a_rebase_under_way(tree: Tree) -> None:
    conflict(tree)
    tree.git("rebase", "-q", "other", ok=False)


def conflict(tree: Tree) -> None:
    tree.git("switch", "-q", "-c", "other")
    tree.write("a", "theirs\n")
    tree.git("commit", "-qam", "theirs")
    tree.git("switch", "-q", "kimi-agent/fix")
    tree.write("a", "ours\n")
    tree.git("commit", "-qam", "ours")
    tree.own.git("merge", "-q", "kimi-agent/fix")


def a_bisect_under_way(tree: Tree) -> None:
    tree.git("bisect", "start")


def a_broken_index(tree: Tree) -> None:
    git_dir = Path(tree.git("rev-parse", "--git-dir"))
    (git_dir / "index").write_bytes(b"no index")


def cut_off(tree: Tree) -> None:
    (tree.path / ".git").unlink()
    tree.write("a", "changed\n")


def led_elsewhere(tree: Tree) -> None:
    (tree.path / ".git").write_text(f"gitdir: {tree.own.root / '.git'}\n")


LOSSES = [
    *(
        detached,
        reset_away,
        a_branch_deleted,
        a_ref_of_the_worktree,
        skip_worktree,
        assume_unchanged,
        same_size_and_time,
        ignored_file,
    ),
    *(ignored_folder, excluded_for_this_clone, nested_commits, nested_stash, nested_edit, submodule_commit),
    *(
        submodule_put_away,
        a_merge_under_way,
        a_rebase_under_way,
        a_bisect_under_way,
        a_broken_index,
        cut_off,
        led_elsewhere,
    ),
]


@pytest.mark.parametrize("lose", LOSSES, ids=lambda lose: lose.__name__)
def test_what_status_does_not_see_keeps_a_worktree(tree: Tree, golden: Golden, lose: Callable[[Tree], None]) -> None:
    lose(tree)
    golden(tree.refusal(), **tree.names)


def test_what_has_no_work_in_it_is_removed(tree: Tree) -> None:
    tree.write("__pycache__/m.pyc", "")
    tree.write("node_modules/x/index.js", "")
    tree.write("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")
    tree.write("cache/big", "")
    (tree.path / "secret").mkdir()
    tree.git("update-index", "--assume-unchanged", "a")
    tree.git("update-index", "--skip-worktree", "b")
    (tree.path / "b").unlink()
    tree.git("clone", "-q", str(tree.own.root), "node_modules/clone")
    assert tree.is_removed()


def test_a_clone_without_work_is_removed_with_it(tree: Tree) -> None:
    tree.git("clone", "-q", str(tree.own.root), "clone")
    assert tree.is_removed()


def test_a_submodule_without_work_is_removed_with_it(tree: Tree) -> None:
    add_submodule(tree)
    assert tree.is_removed()


def test_commits_that_were_amended_rebased_or_merged_are_not_lost(tree: Tree) -> None:
    tree.write("a", "one\n")
    tree.git("commit", "-qam", "one")
    tree.write("a", "two\n")
    tree.git("commit", "-qa", "--amend", "-m", "another subject")
    tree.own.commit({"other": "o\n"})
    tree.git("rebase", "-q", "main")
    assert " 1 commit that nothing else holds: " in tree.refusal()
    tree.own.git("merge", "-q", "kimi-agent/fix")
    assert tree.is_removed()


def test_a_stash_of_the_repository_stays_with_it(tree: Tree) -> None:
    tree.write("a", "stashed\n")
    tree.git("stash", "-q")
    assert tree.is_removed()
    assert "stashed" in tree.own.git("stash", "show", "--patch")


def test_force_removes_it_all_the_same(tree: Tree) -> None:
    for lose in (detached, skip_worktree, ignored_folder, nested_commits):
        lose(tree)
    assert tree.worktrees.remove("fix", force=True).ahead == 1
    assert not tree.path.exists()


@pytest.mark.parametrize("cut", [cut_off, led_elsewhere])
def test_one_that_is_cut_off_from_git_is_not_even_removed_by_force(tree: Tree, cut: Callable[[Tree], None]) -> None:
    cut(tree)
    with pytest.raises(WorktreeNotRemoved, match=r"look what it holds, and remove it by hand"):
        tree.worktrees.remove("fix", force=True)
    assert (tree.path / "a").exists()


def test_nothing_of_an_inner_repository_runs(tree: Tree) -> None:
    ran = tree.own.home / "ran"
    tree.repository("tool")
    tree.commit("inner", at="tool")
    tree.write("tool/.gitattributes", "* filter=x diff=x\n")
    for key in (
        "core.fsmonitor",
        "filter.x.clean",
        "filter.x.process",
        "diff.x.textconv",
        "diff.external",
        "core.pager",
    ):
        tree.git("config", key, f"touch '{ran}'; cat", at="tool")
    ran.unlink(missing_ok=True)
    assert "tool (1 commit, 1 file)" in tree.refusal()
    assert not ran.exists()
