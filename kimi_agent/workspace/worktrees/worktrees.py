"""Git worktrees for sessions: made on a new branch, listed, and removed only when nothing would be lost.

They lie in `base/KEY/NAME`, where KEY names the repository; its other worktrees are not ours and are left alone.
"""

import contextlib
import fcntl
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from kimi_agent.errors import UserError
from kimi_agent.layers import workspace_key
from kimi_agent.printable import escape_path, format_count
from kimi_agent.workspace.git.command import Git, GitFailed, split_nul_paths
from kimi_agent.workspace.git.git_folder import Repository, find_repository, repository_at
from kimi_agent.workspace.repository.head_state import BRANCH_PREFIX, HEADS_PREFIX
from kimi_agent.workspace.worktrees.names import check_worktree_name, generate_worktree_names
from kimi_agent.workspace.worktrees.reflog_commits import find_lost_commits, read_reflog, read_worktree_refs
from kimi_agent.workspace.worktrees.unsaved_work import UnsavedWork, find_unsaved_work, list_dirty
from kimi_agent.workspace.worktrees.worktree import ListedWorktree, Worktree, WorktreeNotRemoved, describe_losses


class Worktrees:
    """The worktrees of one repository that this program made; blocking."""

    def __init__(self, workspace: Path, base: Path, *, environ: Mapping[str, str]) -> None:
        """`workspace` may lie in any worktree of the repository. Raises UserError where there is none."""
        real = Path(os.path.realpath(workspace))
        home = environ.get("HOME", "")
        own = find_repository(real, home=os.path.realpath(home) if home else "")
        if own is None:
            raise UserError(f"There is no git repository at {workspace}; a worktree needs one (git init).", 1)
        common = Path(os.path.realpath(own.common))
        self._common = common
        self._prefix = real.relative_to(own.top)
        self._top = own.top
        self._environ = environ
        # In the main worktree, if there is one: git still works there when a linked one is removed.
        main = common.parent if common.name == ".git" else own.top
        self._git = Git(main, environ=environ)
        self.folder = Path(os.path.realpath(base)) / workspace_key(main if common.name == ".git" else common)

    def make(self, name: str, *, now: Callable[[], float], rng: random.Random) -> Worktree:
        """Make a worktree on the branch kimi-agent/NAME from HEAD, or open the one that exists. Raises UserError.

        Without a name one is made up.
        """
        if name:
            check_worktree_name(name)
        with self._locked():
            registered = self._registered()
            name = name or next(each for each in generate_worktree_names(now, rng) if self._is_free(each))
            path = self.folder / name
            exists = path in registered and _exists_on_disk(path)
            return self._open(path, () if exists else self._create(path, again=path in registered))

    def workspaces(self, name: str) -> tuple[Path, ...]:
        """The folders in which a session of that worktree may work."""
        folder = self.folder / check_worktree_name(name)
        return folder, folder / self._prefix

    def list(self) -> list[ListedWorktree]:
        """The worktrees that exist, by name."""
        return [self._listed(path, entry) for path, entry in sorted(self._registered().items())]

    def remove(self, name: str, *, force: bool = False) -> ListedWorktree:
        """Remove a worktree and its branch; gives what it was.

        Raises WorktreeNotRemoved where work would be lost and `force` is not given, UserError where there is none.
        """
        with self._locked():
            path = self.folder / check_worktree_name(name)
            entry = self._registered().get(path)
            if entry is None:
                raise UserError(self._unknown(path), 1)
            if self._top == path:
                raise UserError(f"You are in the worktree {name}; leave it first.", 1)
            found = self._listed(path, entry)
            if found.cut_off:  # git would not remove it either
                why = "its .git no longer leads to this repository; look what it holds, and remove it by hand"
                raise WorktreeNotRemoved(f"The worktree {name} was not removed: {why}.")
            if not force and (why := describe_losses(found)):
                losses = f"The worktree {name} was not removed: {why}."
                raise WorktreeNotRemoved(f"{losses} --force removes it all the same.")
            try:
                # Without --force git would look at it by itself, and run what its own config.worktree names.
                self._git.run("worktree", "remove", "--force", "--force", str(path))
                self._drop_branch(name)
            except GitFailed as error:
                raise UserError(f"The worktree {name} could not be removed: {_git_message(error)}.", 1) from error
            return found

    def _unknown(self, path: Path) -> str:
        if os.path.lexists(path):
            return f"git knows of no worktree at {path} (any more); look what it holds, and remove it by hand."
        there = ", ".join(each.name for each in sorted(self._registered())) or "none"
        return f"There is no worktree {path.name!r} of this repository; there are: {there}."

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time makes or removes worktrees of this repository."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise UserError(f"Worktrees cannot be kept in {self.folder}: {error.strerror}.", 1) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _is_free(self, name: str) -> bool:
        ref = f"{HEADS_PREFIX}{BRANCH_PREFIX}{name}"
        return not self._git.resolve(ref) and not os.path.lexists(self.folder / name)

    def _create(self, path: Path, *, again: bool) -> tuple[str, ...]:
        """Make it; gives notes. With `again` git still remembers it, but its folder was removed by hand."""
        branch = BRANCH_PREFIX + path.name
        known = self._git.resolve(f"{HEADS_PREFIX}{branch}^{{commit}}")
        head = Git(self._top, environ=self._environ).resolve("HEAD^{commit}")
        if not head and not known:
            raise UserError("There is no commit yet that a worktree could start from; make one first.", 1)
        if os.path.lexists(path) and not again and (not path.is_dir() or any(path.iterdir())):
            raise UserError(f"{path} is in the way: look what it holds, then remove it, or choose another name.", 1)
        words = (str(path), branch) if known else ("-b", branch, str(path), head)
        try:
            self._git.run("worktree", "add", *(["--force"] if again else []), *words)
        except GitFailed as error:
            raise UserError(f"The worktree {path.name} could not be made: {_git_message(error)}.", 1) from error
        return self._notes(branch if known else "", path)

    def _open(self, path: Path, notes: tuple[str, ...]) -> Worktree:
        branch = Git(path, environ=self._environ).head_ref().removeprefix(HEADS_PREFIX)
        workspace = path / self._prefix
        return Worktree(path, branch, path.name, workspace if workspace.is_dir() else path, notes)

    def _notes(self, taken_up: str, path: Path) -> tuple[str, ...]:
        notes = [f"It goes on with the branch {taken_up}, which was there."] if taken_up else []
        if dirty := list_dirty(Git(self._top, environ=self._environ)):
            notes.append(f"Uncommitted work on {format_count(len(dirty), 'file')} stays behind in {self._top}.")
        if filtered := _files_with_filters(Git(path, environ=self._environ)):
            shown = ", ".join(map(escape_path, filtered[:3])) + (" ..." if len(filtered) > 3 else "")
            notes.append(f"Filters (git-lfs and the like) did not run: {shown} stand as they are stored.")
        return tuple(notes)

    def _registered(self) -> dict[Path, dict[str, str]]:
        """The worktrees in our folder that git knows, with the fields that it lists."""
        found = {}
        for block in os.fsdecode(self._git.run("worktree", "list", "--porcelain")).split("\n\n"):
            entry = {key: value for key, _, value in (row.partition(" ") for row in block.split("\n")) if key}
            path = Path(entry.get("worktree", "/"))
            if path.parent == self.folder:
                found[path] = entry
        return found

    def _listed(self, path: Path, entry: Mapping[str, str]) -> ListedWorktree:
        """What is there. Raises UserError where git cannot tell which commits would be lost."""
        own, admin = repository_at(path), self._admin_folders(path)
        if own is not None and os.path.realpath(own.git_dir) not in map(os.path.realpath, admin):
            own = None  # its .git leads elsewhere
        try:
            lost = self._lost_commits(path.name, entry.get("HEAD", ""), admin)
        except GitFailed as error:
            raise UserError(f"The commits of {path.name} cannot be looked at: {_git_message(error)}.", 1) from error
        return ListedWorktree(
            path.name,
            path,
            entry.get("branch", "").removeprefix(HEADS_PREFIX),
            len(lost),
            lost[:20],
            self._work(own) if own else UnsavedWork(),
            gone=not os.path.lexists(path),
            cut_off=own is None and os.path.lexists(path),
            locked=entry.get("locked", "") or ("yes" if "locked" in entry else ""),
        )

    def _work(self, own: Repository) -> UnsavedWork:
        try:
            return find_unsaved_work(own, environ=self._environ)
        except GitFailed as error:
            return UnsavedWork(trouble=_git_message(error))

    def _lost_commits(self, name: str, head: str, admin: Sequence[Path]) -> tuple[str, ...]:
        """The commits that would be lost with the worktree, its branch, and the reflogs of both; the newest first."""
        branch = BRANCH_PREFIX + name
        others = (f"--exclude={branch}", "--branches", "--remotes", "--tags")
        reflog = read_reflog(self._common / "logs" / HEADS_PREFIX / branch)
        for folder in admin:
            reflog += read_worktree_refs(folder) + read_reflog(folder / "logs" / "HEAD")
        return tuple(find_lost_commits(self._git, [head, self._git.resolve(HEADS_PREFIX + branch)], reflog, others))

    def _admin_folders(self, path: Path) -> tuple[Path, ...]:
        """The folder in which git keeps what it knows of the worktree at `path`; it goes with it."""
        links = (self._common / "worktrees").glob("*/gitdir")
        return tuple(link.parent for link in links if _read_link(link) == str(path / ".git"))

    def _drop_branch(self, name: str) -> None:
        ref = HEADS_PREFIX + BRANCH_PREFIX + name
        tip = self._git.resolve(ref)
        listed = os.fsdecode(self._git.run("worktree", "list", "--porcelain")).split("\n")
        if tip and f"branch {ref}" not in listed:
            self._git.run("update-ref", "-d", ref, tip)
            self._git.run("config", "--remove-section", f"branch.{BRANCH_PREFIX}{name}", ok=(0, 128))


def _read_link(file: Path) -> str:
    try:
        return os.fsdecode(file.read_bytes().strip())
    except OSError:
        return ""


def _exists_on_disk(path: Path) -> bool:
    return (path / ".git").is_file()


def _files_with_filters(git: Git) -> list[str]:
    """The files that a filter program would have changed at the checkout."""
    outside = (":(exclude,attr:!filter)", ":(exclude,attr:-filter)")
    return split_nul_paths(git.run("ls-files", "-z", "--", *outside, env={"GIT_LITERAL_PATHSPECS": "0"}))


def _git_message(error: GitFailed) -> str:
    lines = [row for row in error.stderr.splitlines() if row.startswith(("fatal: ", "error: "))]
    why = lines[0].partition(": ")[2] if lines else error.stderr.strip().partition("\n")[0]
    return f"git says: {escape_path(why) or error.code}"
