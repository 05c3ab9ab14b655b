"""A git commit of the agent's changes alone: the user's own edits, staged or not, stay as they are.

The commit is built beside the work tree, which is never written. Of a file that the user had edited too, only the
agent's change is merged into what HEAD holds; where the two overlap it is left out, and that is reported. Hooks,
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
# By path: what HEAD holds, what is to be put there (None: nothing), and the agent's changes.
_Held = Mapping[str, GitEntry]
_Entries = dict[str, GitEntry | None]
_Stored = Mapping[str, Sequence[StoredChange]]
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
        """The result in sentences, the outcome first."""
        count = format_count(len(self.files), "file")
        done = f"Committed {count} on {self.branch} as {self.commit[:10]}." if self.commit else "Nothing to commit."
        return done, *self.left_out, *self.notes


def commit_agent_changes(
    workspace: Path,
    changes: Sequence[AgentChange],
    context: CommitContext,
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
        state = head_state.read_head_state(git, workspace, home=home)
        if why := _bare_reason(state, values) or head_state.find_commit_obstacle(state.repository.git_dir):
            raise NotCommitted(why)
        who = user_git_config.find_identity(values, environ)
        with tempfile.TemporaryDirectory(prefix="kimi-agent-commit-", ignore_cleanup_errors=True) as scratch:
            settings = {key: value for key in _CONVERSIONS if (value := effective_value(values, key, *_SCOPES))}
            width = 64 if effective_value(values, "extensions.objectformat") == "sha256" else 40
            objects = open_git_on_objects(state.repository, Path(scratch), settings, environ, width=width)
            builder = _CommitBuilder(git, state, objects, Path(scratch), who)
            return builder.make(changes, context, branch, _notes(state, values, home))
    except GitFailed as error:
        why = error.stderr.strip().partition("\n")[0].removeprefix("fatal: ").removeprefix("error: ")
        raise NotCommitted(f"git says: {escape_path(why) or error.code}") from error
    except NotCommitted:
        raise
    except UserError as error:
        raise NotCommitted(f"{error}") from error


class _CommitBuilder:
    """Builds one commit from what HEAD and the index hold, in a scratch folder."""

    def __init__(self, git: Git, state: HeadState, objects: Git, scratch: Path, who: GitIdentity) -> None:
        self._git = git
        self._state = state
        self._objects = objects
        self._scratch = scratch
        self._who = who.environ()
        self._head = state.head or decode_line(objects.run("hash-object", "-t", "tree", "-w", "--stdin"))

    def make(
        self, changes: Sequence[AgentChange], context: CommitContext, branch: BranchChoice, notes: tuple[str, ...]
    ) -> CommitResult:
        target = self._choose_branch(branch, context)
        staged = self._staged()
        chains: dict[str, list[AgentChange]] = {}
        for change in changes:
            chains.setdefault(self._state.prefix + change.path, []).append(change)
        held = blob_writer.read_tree_entries(self._objects, self._head, _paths_to_read(chains))
        known = {path: entry for path, entry in held.items() if entry.mode not in (TREE_MODE, GITLINK_MODE)}
        for path in [path for path, chain in chains.items() if not self._shows(chain, known.get(path))]:
            del chains[path]
        omitted = find_exclusions(self._git, self._state.repository.top, chains, held, staged)
        for path in omitted:
            del chains[path]
        writer = BlobWriter(self._objects, self._scratch, known)
        stored, barred = store_changes(writer, known, chains, len(self._head))
        why = "only a filter program (such as git-lfs) could store it, or another file is in its place"
        omitted |= dict.fromkeys(barred, why)
        merger = ThreeWayMerger(self._objects, writer)
        entries = self._merge(merger, stored, known, omitted)
        left_out = tuple(f"Left out {escape_path(path)}: {why}." for path, why in sorted(omitted.items()))
        if not entries:
            return CommitResult("", self._state.branch, left_out=left_out)
        commit = self._create_commit(entries, known, context)
        notes += self._update_index(merger, entries, stored, staged)
        base = self._move_head(target, commit, f"kimi-agent: {subject_line(context.title)}")
        return CommitResult(commit, target.removeprefix(HEADS_PREFIX), base, tuple(sorted(entries)), left_out, notes)

    def _shows(self, chain: Sequence[AgentChange], held: GitEntry | None) -> bool:
        return any(change.shows(held.id if held else "", len(self._head)) for change in chain)

    def _choose_branch(self, branch: BranchChoice, context: CommitContext) -> str:
        """The branch that the commit goes to, in full."""
        state = self._state
        if state.ref and (not state.head or branch == "current" or state.branch.startswith(BRANCH_PREFIX)):
            return state.ref
        # Also what a remote holds under that name: there it could not be pushed.
        patterns = (HEADS_PREFIX + BRANCH_PREFIX.rstrip("/"), f"refs/remotes/*/{BRANCH_PREFIX}**")
        output = os.fsdecode(self._git.run("for-each-ref", "--format=%(refname)", *patterns))
        taken = [re.sub(r"^refs/remotes/[^/]+/", HEADS_PREFIX, ref) for ref in output.splitlines()]
        if HEADS_PREFIX + BRANCH_PREFIX.rstrip("/") in taken:
            raise NotCommitted("a branch called kimi-agent stands in the way of kimi-agent/...; rename it.")
        name = HEADS_PREFIX + BRANCH_PREFIX + commit_message.branch_slug(context.title, context.session)
        numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
        return next(each for each in (name, *numbered) if each not in taken)

    def _staged(self) -> _Entries:
        """The entries of the index where it differs from HEAD."""
        asked = ("--cached", "--raw", "-z", "--no-renames", "--full-index", "--ita-invisible-in-index")
        fields = self._git.run("diff-index", *asked, self._head, "--").split(b"\0")
        found: _Entries = {}
        for head, path in zip(fields[::2], fields[1::2], strict=False):
            _, mode, _, id, status = head.decode("ascii").split()
            if status == "U":
                shown = escape_path(os.fsdecode(path))
                raise NotCommitted(f"{shown} has conflicts that are not resolved; resolve them first.")
            found[os.fsdecode(path)] = None if status == "D" else GitEntry(mode, id)
        return found

    def _merge(self, merger: ThreeWayMerger, stored: _Stored, known: _Held, omitted: dict[str, str]) -> _Entries:
        """The entries of the commit at each path where it differs from HEAD."""
        found: _Entries = {}
        for path, chain in stored.items():
            try:
                entry = merger.onto(known.get(path), chain)
            except MergeConflict:
                mine = "is not in HEAD" if path not in known else "overlaps with the agent's change"
                omitted[path] = f"your own uncommitted work on it {mine}"
                continue
            if entry != known.get(path):
                found[path] = entry
        return found

    def _create_commit(self, entries: _Entries, known: _Held, context: CommitContext) -> str:
        env = {"GIT_INDEX_FILE": os.fspath(self._scratch / "commit.index")}
        if self._state.head:
            self._objects.run("read-tree", self._head, env=env)
        info = blob_writer.index_info_lines(entries, len(self._head))
        self._objects.run("update-index", "-z", "--index-info", stdin=info, env=env)
        tree = decode_line(self._objects.run("write-tree", "--missing-ok", env=env))
        files = [
            (path, "deleted" if entry is None else "changed" if path in known else "added")
            for path, entry in sorted(entries.items())
        ]
        parents = ("-p", self._state.head) if self._state.head else ()
        text = commit_message.write_commit_message(context, files).encode("utf-8", "replace")
        return decode_line(self._objects.run("commit-tree", tree, *parents, stdin=text, env=self._who))

    def _update_index(
        self, merger: ThreeWayMerger, entries: _Entries, stored: _Stored, staged: _Entries
    ) -> tuple[str, ...]:
        """Put the agent's changes into the person's index too, or it would stage their opposite; gives notes.

        This comes before HEAD moves: a crash between the two leaves the changes staged.
        """
        moved: _Entries = {}
        notes = []
        for path, entry in entries.items():
            try:
                moved[path] = merger.onto(staged[path], stored[path]) if path in staged else entry
            except MergeConflict:
                shown = escape_path(path)
                notes.append(f"What you have staged of {shown} is kept; it does not hold the agent's change.")
        self._git.run("update-index", "-z", "--index-info", stdin=blob_writer.index_info_lines(moved, len(self._head)))
        return tuple(notes)

    def _move_head(self, target: str, commit: str, why: str) -> str:
        """Put the commit on its branch, and HEAD there; gives the branch that HEAD was on, if another."""
        state, none = self._state, "0" * len(self._head)
        if target == state.ref:
            self._git.run("update-ref", "-m", why, target, commit, state.head or none, env=self._who)
            return ""
        if self._git.head_ref() != state.ref:
            raise NotCommitted("another branch was checked out meanwhile; the changes are staged there.")
        self._git.run("update-ref", "-m", why, target, commit, none, env=self._who)
        self._git.run("symbolic-ref", "-m", why, "HEAD", target, env=self._who)
        return state.branch


def _paths_to_read(paths: Mapping[str, object]) -> set[str]:
    """The paths, the folders above them, and the files that may hold their attributes."""
    folders = {folder for path in paths for folder in parent_folders(path)}
    return {*paths, *folders, *blob_writer.attribute_files(paths)}


def _bare_reason(state: HeadState, values: Sequence[ConfigValue]) -> str:
    linked = state.repository.git_dir != state.repository.common
    bare = effective_value(values, "core.bare", "local") == "true"
    return "this repository is a bare one, without files of its own." if bare and not linked else ""


def _notes(state: HeadState, values: Sequence[ConfigValue], home: str) -> tuple[str, ...]:
    """Sentences about what an ordinary `git commit` would have done besides."""
    given = effective_value(values, "core.hookspath", *_SCOPES)
    own = state.repository
    folder = own.top / given.replace("~", home, 1) if given else own.common / "hooks"
    hooks = [name for name in _HOOKS if os.access(folder / name, os.X_OK)]
    notes = [f"The hooks did not run: {', '.join(hooks)}."] if hooks else []
    if effective_value(values, "commit.gpgsign").lower() in ("true", "yes", "on", "1"):
        notes.append("The commit is not signed, though commit.gpgSign is set.")
    return tuple(notes)
