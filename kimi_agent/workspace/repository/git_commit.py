"""A git commit of the agent's changes alone: the user's own edits, staged or not, stay as they are.

The commit is built beside the work tree, which is never written. A file that the user had edited as well gets the
agent's change alone, merged into what HEAD holds; where the two overlap it is left out, and that is reported. Hooks,
filters and signing programs do not run.
"""

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kimi_agent.errors import UserError
from kimi_agent.printable import escape_path, format_count
from kimi_agent.workspace.git.command import Git, GitFailed, decode_line
from kimi_agent.workspace.paths import parent_folders
from kimi_agent.workspace.repository import blob_writer, commit_message, head_state, user_git_config
from kimi_agent.workspace.repository.agent_changes import AgentChange
from kimi_agent.workspace.repository.blob_writer import GITLINK_MODE, TREE_MODE, BlobWriter, GitEntry
from kimi_agent.workspace.repository.commit_exclusions import find_exclusions
from kimi_agent.workspace.repository.commit_message import CommitContext, subject_line
from kimi_agent.workspace.repository.head_state import BRANCH_PREFIX, HEADS_PREFIX, HeadState
from kimi_agent.workspace.repository.private_git_dir import open_git_on_objects
from kimi_agent.workspace.repository.three_way_merge import MergeConflict, StoredChange, ThreeWayMerger, store_changes
from kimi_agent.workspace.repository.user_git_config import ConfigScope, ConfigValue, GitIdentity, effective_value

BranchChoice = Literal["own", "current"]
_HOOKS = ("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit")
_CONVERSIONS = ("core.autocrlf", "core.eol", "core.filemode", "core.symlinks", "core.attributesfile")
_SCOPES: tuple[ConfigScope, ...] = ("system", "global", "local", "worktree")
_READ_KEYS = (
    r"^((user|author)\.(name|email)|commit\.gpgsign|extensions\.objectformat"
    r"|core\.(hookspath|bare|excludesfile|autocrlf|eol|filemode|symlinks|attributesfile))$"
)


class NotCommitted(UserError):
    """Nothing was committed; one sentence says why."""

    def __init__(self, why: str) -> None:
        super().__init__(f"Nothing was committed: {why}", 1)


@dataclass(frozen=True)
class CommitResult:
    """The result of a commit. `commit` is "" where nothing was left to commit; `base` the branch HEAD was on before.

    `left_out` and `notes` are sentences for the user.
    """

    commit: str
    branch: str
    base: str = ""
    files: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of it in sentences, the outcome first."""
        count = format_count(len(self.files), "file")
        done = f"Committed {count} on {self.branch} as {self.commit[:10]}." if self.commit else "Nothing to commit."
        return done, *self.left_out, *self.notes


def commit_agent_changes(
    workspace: Path,
    changes: Sequence[AgentChange],
    story: CommitContext,
    *,
    branch: BranchChoice = "own",
    environ: Mapping[str, str],
) -> CommitResult:
    """Commit the agent's `changes` (in the order they were made); blocking, about a quarter of a second.

    On a branch of ours, and with `branch` "current" on any, the commit goes there; else to a new branch kimi-agent/...,
    which is then checked out (the files stay as they are). Raises NotCommitted.
    """
    try:
        program = Git(workspace, environ=environ).program
        values = user_git_config.read_user_config(program, workspace, environ, _READ_KEYS)
        excludes = effective_value(values, "core.excludesfile", *_SCOPES)
        git = Git(workspace, environ=environ, settings={"core.excludesFile": excludes} if excludes else {})
        home = environ.get("HOME", "")
        place = head_state.read_head_state(git, workspace, home=home)
        if why := _bare_reason(place, values) or head_state.find_commit_obstacle(place.repository.git_dir):
            raise NotCommitted(why)
        who = user_git_config.find_identity(values, environ)
        with tempfile.TemporaryDirectory(prefix="kimi-agent-commit-", ignore_cleanup_errors=True) as scratch:
            settings = {key: value for key in _CONVERSIONS if (value := effective_value(values, key, *_SCOPES))}
            width = 64 if effective_value(values, "extensions.objectformat") == "sha256" else 40
            objects = open_git_on_objects(place.repository, Path(scratch), settings, environ, width=width)
            building = _CommitBuilder(git, place, objects, Path(scratch), who)
            return building.make(changes, story, branch, _notes(place, values, home))
    except GitFailed as error:
        why = error.stderr.strip().partition("\n")[0].removeprefix("fatal: ").removeprefix("error: ")
        raise NotCommitted(f"git says: {escape_path(why) or error.code}") from error
    except NotCommitted:
        raise
    except UserError as error:
        raise NotCommitted(f"{error}") from error


class _CommitBuilder:
    """Builds one commit from what HEAD and the index hold, in a scratch folder."""

    def __init__(self, git: Git, place: HeadState, objects: Git, scratch: Path, who: GitIdentity) -> None:
        self._git = git
        self._place = place
        self._objects = objects
        self._scratch = scratch
        self._who = who.environ()
        self._head = place.head or decode_line(objects.run("hash-object", "-t", "tree", "-w", "--stdin"))

    def make(
        self, changes: Sequence[AgentChange], story: CommitContext, branch: BranchChoice, notes: tuple[str, ...]
    ) -> CommitResult:
        target = self._target(branch, story)
        staged = self._staged()
        chains: dict[str, list[AgentChange]] = {}
        for change in changes:
            chains.setdefault(self._place.prefix + change.path, []).append(change)
        held = blob_writer.read_tree_entries(self._objects, self._head, _paths_to_read(chains))
        known = {path: entry for path, entry in held.items() if entry.mode not in (TREE_MODE, GITLINK_MODE)}
        for path in [path for path, chain in chains.items() if not self._shows(chain, known.get(path))]:
            del chains[path]
        omitted = find_exclusions(self._git, self._place.repository.top, chains, held, staged)
        for path in omitted:
            del chains[path]
        writer = BlobWriter(self._objects, self._scratch, known)
        pairs, barred = store_changes(writer, known, chains, len(self._head))
        why = "only a filter program (such as git-lfs) could store it, or another file is in its place"
        omitted |= dict.fromkeys(barred, why)
        merging = ThreeWayMerger(self._objects, writer)
        entries = self._merged(merging, pairs, known, omitted)
        left_out = tuple(f"Left out {escape_path(path)}: {why}." for path, why in sorted(omitted.items()))
        if not entries:
            return CommitResult("", self._place.branch, left_out=left_out)
        commit = self._built(entries, known, story)
        notes += self._index(merging, entries, pairs, staged)
        base = self._move(target, commit, f"kimi-agent: {subject_line(story.title)}")
        return CommitResult(commit, target.removeprefix(HEADS_PREFIX), base, tuple(sorted(entries)), left_out, notes)

    def _shows(self, chain: Sequence[AgentChange], held: GitEntry | None) -> bool:
        return any(change.shows(held.id if held else "", len(self._head)) for change in chain)

    def _target(self, branch: BranchChoice, story: CommitContext) -> str:
        """The branch that the commit goes to, in full."""
        place = self._place
        if place.ref and (not place.head or branch == "current" or place.branch.startswith(BRANCH_PREFIX)):
            return place.ref
        # Also what a remote holds under that name: there it could not be pushed.
        patterns = (HEADS_PREFIX + BRANCH_PREFIX.rstrip("/"), f"refs/remotes/*/{BRANCH_PREFIX}**")
        output = os.fsdecode(self._git.run("for-each-ref", "--format=%(refname)", *patterns))
        taken = [re.sub(r"^refs/remotes/[^/]+/", HEADS_PREFIX, ref) for ref in output.splitlines()]
        if HEADS_PREFIX + BRANCH_PREFIX.rstrip("/") in taken:
            raise NotCommitted("a branch called kimi-agent stands in the way of kimi-agent/...; rename it.")
        name = HEADS_PREFIX + BRANCH_PREFIX + commit_message.branch_slug(story.title, story.session)
        numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
        return next(each for each in (name, *numbered) if each not in taken)

    def _staged(self) -> dict[str, GitEntry | None]:
        """Where the index differs from HEAD, and what it holds there."""
        asked = ("--cached", "--raw", "-z", "--no-renames", "--full-index", "--ita-invisible-in-index")
        output = self._git.run("diff-index", *asked, self._head, "--")
        fields = output.split(b"\0")
        found: dict[str, GitEntry | None] = {}
        for about, path in zip(fields[::2], fields[1::2], strict=False):
            _, mode, _, id, status = about.decode("ascii").split()
            if status == "U":
                shown = escape_path(os.fsdecode(path))
                raise NotCommitted(f"{shown} has conflicts that are not resolved; resolve them first.")
            found[os.fsdecode(path)] = None if status == "D" else GitEntry(mode, id)
        return found

    def _merged(
        self,
        merging: ThreeWayMerger,
        pairs: Mapping[str, Sequence[StoredChange]],
        known: Mapping[str, GitEntry],
        omitted: dict[str, str],
    ) -> dict[str, GitEntry | None]:
        """What the commit holds at each path where it differs from HEAD."""
        found: dict[str, GitEntry | None] = {}
        for path, chain in pairs.items():
            try:
                entry = merging.onto(known.get(path), chain)
            except MergeConflict:
                mine = "is not in HEAD" if path not in known else "overlaps with the agent's change"
                omitted[path] = f"your own uncommitted work on it {mine}"
                continue
            if entry != known.get(path):
                found[path] = entry
        return found

    def _built(
        self, entries: Mapping[str, GitEntry | None], known: Mapping[str, GitEntry], story: CommitContext
    ) -> str:
        env = {"GIT_INDEX_FILE": os.fspath(self._scratch / "commit.index")}
        if self._place.head:
            self._objects.run("read-tree", self._head, env=env)
        info = blob_writer.index_info_lines(entries, len(self._head))
        self._objects.run("update-index", "-z", "--index-info", stdin=info, env=env)
        tree = decode_line(self._objects.run("write-tree", "--missing-ok", env=env))
        files = [
            (path, "deleted" if entry is None else "changed" if path in known else "added")
            for path, entry in sorted(entries.items())
        ]
        parents = ("-p", self._place.head) if self._place.head else ()
        text = commit_message.write_commit_message(story, files).encode("utf-8", "replace")
        return decode_line(self._objects.run("commit-tree", tree, *parents, stdin=text, env=self._who))

    def _index(
        self,
        merging: ThreeWayMerger,
        entries: Mapping[str, GitEntry | None],
        pairs: Mapping[str, Sequence[StoredChange]],
        staged: Mapping[str, GitEntry | None],
    ) -> tuple[str, ...]:
        """Give the person's index the agent's changes too, or it would stage their opposite.

        This comes before HEAD moves: cut off between the two, it leaves the changes staged.
        """
        moved: dict[str, GitEntry | None] = {}
        notes = []
        for path, entry in entries.items():
            try:
                moved[path] = merging.onto(staged[path], pairs[path]) if path in staged else entry
            except MergeConflict:
                shown = escape_path(path)
                notes.append(f"What you have staged of {shown} is kept; it does not hold the agent's change.")
        self._git.run("update-index", "-z", "--index-info", stdin=blob_writer.index_info_lines(moved, len(self._head)))
        return tuple(notes)

    def _move(self, target: str, commit: str, why: str) -> str:
        """Put the commit on its branch, and HEAD there; gives the branch that HEAD was on, if it is another."""
        place, none = self._place, "0" * len(self._head)
        if target == place.ref:
            self._git.run("update-ref", "-m", why, target, commit, place.head or none, env=self._who)
            return ""
        if self._git.head_ref() != place.ref:
            raise NotCommitted("another branch was checked out meanwhile; the changes are staged there.")
        self._git.run("update-ref", "-m", why, target, commit, none, env=self._who)
        self._git.run("symbolic-ref", "-m", why, "HEAD", target, env=self._who)
        return place.branch


def _paths_to_read(paths: Mapping[str, object]) -> set[str]:
    """The paths, the folders above them, and the attribute files that speak of them."""
    folders = {folder for path in paths for folder in parent_folders(path)}
    return {*paths, *folders, *blob_writer.attribute_files(paths)}


def _bare_reason(place: HeadState, values: Sequence[ConfigValue]) -> str:
    linked = place.repository.git_dir != place.repository.common
    bare = effective_value(values, "core.bare", "local") == "true"
    return "this repository is a bare one, without files of its own." if bare and not linked else ""


def _notes(place: HeadState, values: Sequence[ConfigValue], home: str) -> tuple[str, ...]:
    """What an ordinary `git commit` would have done besides."""
    given = effective_value(values, "core.hookspath", *_SCOPES)
    own = place.repository
    folder = own.top / given.replace("~", home, 1) if given else own.common / "hooks"
    hooks = [name for name in _HOOKS if os.access(folder / name, os.X_OK)]
    notes = [f"The hooks did not run: {', '.join(hooks)}."] if hooks else []
    if effective_value(values, "commit.gpgsign").lower() in ("true", "yes", "on", "1"):
        notes.append("The commit is not signed, though commit.gpgSign is set.")
    return tuple(notes)
