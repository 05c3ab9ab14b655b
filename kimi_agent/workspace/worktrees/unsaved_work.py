"""Unsaved work of a work tree: what would go with its folder, as it lies there and not by `git status` alone."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from kimi_agent.printable import format_count
from kimi_agent.workspace.checkpoint.ignore_rules import ALWAYS_IGNORED, CACHE_TAG_NAME, is_cache_tag
from kimi_agent.workspace.git.command import Git, GitFailed, GitMissing, join_nul_paths, split_nul_paths
from kimi_agent.workspace.git.git_folder import Repository, repository_at
from kimi_agent.workspace.worktrees.reflog_commits import find_lost_commits, read_reflog

_UNDER_WAY = (
    *(
        ("rebase-merge", "a rebase"),
        ("rebase-apply", "a rebase"),
        ("MERGE_HEAD", "a merge"),
        ("REVERT_HEAD", "a revert"),
    ),
    *(("CHERRY_PICK_HEAD", "a cherry-pick"), ("sequencer", "a cherry-pick"), ("BISECT_LOG", "a bisect")),
)
_MOST_DEEP = 8
"""So deep repositories lie in each other before one is no longer looked into, and counts as work."""


@dataclass(frozen=True)
class UnsavedWork:
    """What nothing but this folder holds, as paths below it.

    `dirty` is uncommitted, marks that hide an edit from git notwithstanding; `ignored` files and folders that are no
    litter of builds and tests; `nested` repositories with work of their own, each with what that is; `unreadable`
    folders that could not be looked into; `under_way` what git was in the middle of ("a rebase", ""); `trouble` why git
    could not tell any of this, "" where it could.
    """

    dirty: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    under_way: str = ""
    trouble: str = ""


def find_unsaved_work(own: Repository, *, environ: Mapping[str, str], depth: int = 0) -> UnsavedWork:
    """Look at everything below the top of a work tree. Raises GitFailed and GitMissing."""
    git = Git(own.top, environ=environ)
    repositories, unreadable = _walk(own.top)
    described = ((path, _describe_nested(own, found, environ, depth)) for path, found in repositories.items())
    nested = [f"{path} ({work})" for path, work in described if work]
    return UnsavedWork(
        # An untracked repository ends in a slash there, and was looked into.
        dirty=tuple(path for path in _dirty(git, own) if path[:-1] not in repositories or path[-1] != "/"),
        ignored=_ignored(git, own.top, repositories),
        nested=(*nested, *_hidden_submodules(own, repositories.values())),
        unreadable=tuple(unreadable),
        under_way=next((what for name, what in _UNDER_WAY if (own.git_dir / name).exists()), ""),
    )


def list_dirty(git: Git, env: Mapping[str, str] = {}) -> tuple[str, ...]:
    """The paths with uncommitted work, untracked files among them; ignored files are none. Raises GitFailed."""
    # Not into submodules: there git would go by their own configuration.
    asked = ("--porcelain", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=dirty")
    return tuple(os.fsdecode(row[3:]) for row in git.run("status", *asked, env=env).split(b"\0") if row)


def _dirty(git: Git, own: Repository) -> tuple[str, ...]:
    """As `list_dirty`, but each file is read: no mark, no time and no size that the index notes hides an edit.

    A copy of the index is asked, so that theirs keeps its marks.
    """
    if not (own.git_dir / "index").is_file():
        return list_dirty(git)
    rows = git.run("ls-files", "-v", "-z").split(b"\0")
    # A lower-case mark is for assume-unchanged, S for skip-worktree; what is not there is no work.
    marked = [os.fsdecode(row[2:]) for row in rows if row[:1].islower() or row[:1] == b"S"]
    there = [path for path in marked if os.path.lexists(own.top / path)]
    with tempfile.TemporaryDirectory(prefix="kimi-agent-") as name:
        index = Path(name) / "index"
        variables = {"GIT_INDEX_FILE": str(index)}
        shutil.copyfile(own.git_dir / "index", index)
        for flag in ("--no-skip-worktree", "--no-assume-unchanged") if there else ():
            git.run("update-index", flag, "-z", "--stdin", stdin=join_nul_paths(there), env=variables)
        # To an index of 1970 every file may have changed since, so git compares their contents.
        os.utime(index, (1, 1))
        return list_dirty(git, variables)


def _ignored(git: Git, top: Path, repositories: Iterable[str]) -> tuple[str, ...]:
    """The ignored files, and the folders of which everything is ignored ("build/"), but for what is all litter."""
    asked = ("--others", "--ignored", "--exclude-standard", "--directory", "-z")
    found, skipped, within = list[str](), set(repositories), "/"
    for path in sorted(split_nul_paths(git.run("ls-files", *asked))):
        if path.startswith(within):  # git lists a folder of nothing but ignored files, and these too
            continue
        is_folder = path.endswith("/")
        if _is_litter(path.rstrip("/").rpartition("/")[2], is_folder=is_folder) or path.rstrip("/") in skipped:
            continue
        if not is_folder or _holds_files(top, path.rstrip("/"), skipped):
            found.append(path)
            within = path if is_folder else within
    return tuple(found)


def _holds_files(top: Path, path: str, skipped: set[str]) -> bool:
    """Whether a folder holds anything but litter and repositories, which are looked into by themselves."""
    for root, folders, files in os.walk(top / path):
        if CACHE_TAG_NAME in files and is_cache_tag(os.path.join(root, CACHE_TAG_NAME)):
            folders.clear()
            continue
        below = os.path.relpath(root, top)
        links = any(Path(root, name).is_symlink() for name in folders)
        if links or any(not _is_litter(name, is_folder=False) for name in files):
            return True
        folders[:] = [
            name for name in folders if not _is_litter(name, is_folder=True) and f"{below}/{name}" not in skipped
        ]
    return False


def _is_litter(name: str, *, is_folder: bool) -> bool:
    """Whether builds and tests leave files or folders of this name behind, so that they come back by themselves."""
    return any(
        fnmatchcase(name, pattern.rstrip("/")) for pattern in ALWAYS_IGNORED if is_folder or not pattern.endswith("/")
    )


def _walk(top: Path) -> tuple[dict[str, Repository | None], list[str]]:
    """The topmost repositories below `top` by path (None: one without a HEAD), and folders that cannot be read."""
    found: dict[str, Repository | None] = {}
    closed: list[str] = []

    def note(error: OSError) -> None:
        closed.append(os.path.relpath(error.filename, top))

    for root, folders, files in os.walk(top, onerror=note):
        if root == str(top):
            folders[:] = [name for name in folders if name != ".git"]
        elif ".git" in folders or ".git" in files:
            found[os.path.relpath(root, top)] = repository_at(Path(root))
            folders.clear()
    return found, closed


def _describe_nested(outer: Repository, inner: Repository | None, environ: Mapping[str, str], depth: int) -> str:
    """What work a repository within another holds, "" for none."""
    if inner is None or depth >= _MOST_DEEP:
        return "it cannot be looked into"
    try:
        commits = _lost_with(outer, inner, environ)
        work = find_unsaved_work(inner, environ=environ, depth=depth + 1)
    except (GitFailed, GitMissing, OSError):
        return "it cannot be looked into"
    files = len(work.dirty) + len(work.ignored) + len(work.unreadable)
    parts = [
        *([format_count(len(commits), "commit")] if commits else []),
        *([format_count(files, "file")] if files else []),
        *([work.under_way] if work.under_way else []),
        *work.nested,
    ]
    return ", ".join(parts)


def _lost_with(outer: Repository, inner: Repository, environ: Mapping[str, str]) -> list[str]:
    """The commits that go with an inner repository: those that no remote of it has, as far as is known here.

    Where its git folder lies elsewhere (it is a work tree of another repository), only what no ref there holds.
    """
    git = Git(inner.top, environ=environ)
    reflog = read_reflog(inner.git_dir / "logs" / "HEAD")
    tips = [git.resolve("HEAD^{commit}")]
    common = Path(os.path.realpath(inner.common))
    goes = any(common.is_relative_to(os.path.realpath(folder)) for folder in (outer.top, outer.git_dir))
    if not goes:
        return find_lost_commits(git, tips, reflog, ("--branches", "--remotes", "--tags"))
    listed = git.run("for-each-ref", "--format=%(objectname) %(refname)").decode("utf-8", "replace").splitlines()
    tips += [row.partition(" ")[0] for row in listed if not row.partition(" ")[2].startswith("refs/remotes/")]
    for log in sorted((common / "logs").rglob("*")):
        if log.is_file() and "remotes" not in log.relative_to(common).parts:
            reflog += read_reflog(log)
    return find_lost_commits(git, tips, reflog, ("--remotes",))


def _hidden_submodules(own: Repository, seen: Iterable[Repository | None]) -> list[str]:
    """The submodules whose git folder lies with this work tree, but that are not checked out in it."""
    modules = own.git_dir / "modules"
    known = {os.path.realpath(each.git_dir) for each in seen if each is not None}
    found = []
    for root, folders, files in os.walk(modules):
        if "HEAD" in files and "objects" in folders:
            folders.clear()  # the submodules in it are looked for from it
            if os.path.realpath(root) not in known:
                found.append(f"submodule {os.path.relpath(root, modules)} (it is not checked out)")
    return sorted(found)
