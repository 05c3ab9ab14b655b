"""A three-way merge of the agent's changes to a file into what HEAD (or the index) holds."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kimi_agent.workspace.git.command import Git, GitFailed
from kimi_agent.workspace.git_object_id import blob_id
from kimi_agent.workspace.repository.agent_changes import AgentChange
from kimi_agent.workspace.repository.blob_writer import SYMLINK_MODE, BlobWriter, FileContent, GitEntry


@dataclass(frozen=True)
class StoredChange:
    """A change as git would store it; `between` as in `AgentChange`."""

    before: GitEntry | None
    after: GitEntry | None
    between: tuple[str, ...]


class MergeConflict(Exception):
    """The agent's change overlaps with the user's own, so they cannot be separated."""


class ThreeWayMerger:
    """Merges with `git merge-file`; `writer` stores the results as blobs."""

    def __init__(self, git: Git, writer: BlobWriter) -> None:
        self._git = git
        self._writer = writer

    def onto(self, ours: GitEntry | None, changes: Sequence[StoredChange]) -> GitEntry | None:
        """Merge the changes into `ours`; None where the file is then gone. Raises MergeConflict."""
        for change in changes:
            ours = self._one(ours, change)
        return ours

    def _one(self, ours: GitEntry | None, change: StoredChange) -> GitEntry | None:
        before, after = change.before, change.after
        if ours == before or (ours.id if ours else "") in change.between:
            return after
        if ours == after or before == after:
            return ours
        if ours is None or before is None or after is None:
            raise MergeConflict
        mode = after.mode if before.mode != after.mode else ours.mode
        if before.id == after.id or ours.id == after.id:
            return GitEntry(mode, ours.id)
        if ours.id == before.id:
            return GitEntry(mode, after.id)
        if SYMLINK_MODE in (ours.mode, before.mode, after.mode):
            raise MergeConflict
        return GitEntry(mode, self._merged(ours.id, before.id, after.id))

    def _merged(self, *ids: str) -> str:
        ours, before, after = self._writer.read(*ids)
        if _is_crlf(before) and b"\r" not in ours:  # the file had been converted when it was checked out
            before, after = before.replace(b"\r\n", b"\n"), after.replace(b"\r\n", b"\n")
            if ours == before:
                return self._writer.blob(after)
        folder = self._writer.folder()
        files = {folder / "ours": ours, folder / "before": before, folder / "after": after}
        for path, data in files.items():
            path.write_bytes(data)
        try:
            merged = self._git.run("merge-file", "-p", "-q", *map(os.fspath, files))
        except GitFailed as error:  # the number of conflicts, or 255 for what is no text
            raise MergeConflict from error
        return self._writer.blob(merged)


def store_changes(
    writer: BlobWriter, head: Mapping[str, GitEntry], chains: Mapping[str, Sequence[AgentChange]], width: int
) -> tuple[dict[str, list[StoredChange]], set[str]]:
    """Store the changes as git would; returns them, and the paths that cannot be stored here.

    Each round takes one change of every path, because a path can be written only once at a time.
    """
    found: dict[str, list[StoredChange]] = {path: [] for path in chains}
    barred: set[str] = set()
    for number in range(max(map(len, chains.values()), default=0)):
        changes = {path: chain[number] for path, chain in chains.items() if number < len(chain)}
        known = {path: _unchanged(head.get(path), change.before, width) for path, change in changes.items()}
        befores = writer.store({path: change.before for path, change in changes.items() if known[path] is None})
        afters = writer.store({path: change.after for path, change in changes.items()})
        for path, change in changes.items():
            entry = StoredChange(known[path] or befores[path], afters[path], change.between)
            ends = (entry.before, change.before), (entry.after, change.after)
            if any((stored is None) != (content is None) for stored, content in ends):
                barred.add(path)
            found[path].append(entry)
    return {path: chain for path, chain in found.items() if path not in barred}, barred


def _unchanged(head: GitEntry | None, before: FileContent | None, width: int) -> GitEntry | None:
    """The entry of a file that the person had not touched, because HEAD has exactly its bytes; else None."""
    if head is None or before is None or blob_id(before.data, width) != head.id:
        return None
    if (before.mode == 0) != (head.mode == SYMLINK_MODE):
        return None
    return head if before.mode == 0 else replace(head, mode="100755" if before.mode & 0o100 else "100644")


def _is_crlf(data: bytes) -> bool:
    return b"\r\n" in data and data.count(b"\n") == data.count(b"\r\n") and b"\0" not in data
