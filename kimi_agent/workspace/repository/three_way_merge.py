"""Puts the agent's changes to a file onto what HEAD (or the index) holds, as a three-way merge."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kimi_agent.workspace.git.command import Git, GitFailed
from kimi_agent.workspace.repository.agent_changes import Change
from kimi_agent.workspace.repository.blob_writer import LINK, Content, Entry, Shelf, blob_id


@dataclass(frozen=True)
class StoredChange:
    """A change as git would store it; `between` as in `Change`."""

    before: Entry | None
    after: Entry | None
    between: tuple[str, ...]


class Overlap(Exception):
    """The agent's change cannot be told from the person's own."""


class Merging:
    """Merges by way of git, with a shelf for what has to be stored."""

    def __init__(self, git: Git, shelf: Shelf) -> None:
        self._git = git
        self._shelf = shelf

    def onto(self, ours: Entry | None, changes: Sequence[StoredChange]) -> Entry | None:
        """`ours` with the changes; None where the file is then gone. Raises Overlap."""
        for change in changes:
            ours = self._one(ours, change)
        return ours

    def _one(self, ours: Entry | None, change: StoredChange) -> Entry | None:
        before, after = change.before, change.after
        if ours == before or (ours.id if ours else "") in change.between:
            return after
        if ours == after or before == after:
            return ours
        if ours is None or before is None or after is None:
            raise Overlap
        mode = after.mode if before.mode != after.mode else ours.mode
        if before.id == after.id or ours.id == after.id:
            return Entry(mode, ours.id)
        if ours.id == before.id:
            return Entry(mode, after.id)
        if LINK in (ours.mode, before.mode, after.mode):
            raise Overlap
        return Entry(mode, self._merged(ours.id, before.id, after.id))

    def _merged(self, *ids: str) -> str:
        ours, before, after = self._shelf.read(*ids)
        if _is_crlf(before) and b"\r" not in ours:  # the file had been converted when it was checked out
            before, after = before.replace(b"\r\n", b"\n"), after.replace(b"\r\n", b"\n")
            if ours == before:
                return self._shelf.blob(after)
        folder = self._shelf.folder()
        names = [folder / name for name in ("ours", "before", "after")]
        for name, data in zip(names, (ours, before, after), strict=True):
            name.write_bytes(data)
        try:
            merged = self._git.run("merge-file", "-p", "-q", *map(os.fspath, names))
        except GitFailed as error:  # the number of conflicts, or 255 for what is no text
            raise Overlap from error
        return self._shelf.blob(merged)


def stored(
    shelf: Shelf, head: Mapping[str, Entry], chains: Mapping[str, Sequence[Change]], width: int
) -> tuple[dict[str, list[StoredChange]], set[str]]:
    """The changes as git would store them, and the paths that cannot be stored here.

    Each round takes one change of every path, because one path can be laid out but once.
    """
    found: dict[str, list[StoredChange]] = {path: [] for path in chains}
    barred: set[str] = set()
    for number in range(max(map(len, chains.values()), default=0)):
        changes = {path: chain[number] for path, chain in chains.items() if number < len(chain)}
        known = {path: _unchanged(head.get(path), change.before, width) for path, change in changes.items()}
        befores = shelf.store({path: change.before for path, change in changes.items() if known[path] is None})
        afters = shelf.store({path: change.after for path, change in changes.items()})
        for path, change in changes.items():
            entry = StoredChange(known[path] or befores[path], afters[path], change.between)
            ends = (entry.before, change.before), (entry.after, change.after)
            if any((stored is None) != (content is None) for stored, content in ends):
                barred.add(path)
            found[path].append(entry)
    return {path: chain for path, chain in found.items() if path not in barred}, barred


def _unchanged(head: Entry | None, before: Content | None, width: int) -> Entry | None:
    """The entry of a file that the person had not touched: its very bytes are in HEAD."""
    if head is None or before is None or blob_id(before.data, width) != head.id:
        return None
    if (before.mode == 0) != (head.mode == LINK):
        return None
    return head if before.mode == 0 else replace(head, mode="100755" if before.mode & 0o100 else "100644")


def _is_crlf(data: bytes) -> bool:
    return b"\r\n" in data and data.count(b"\n") == data.count(b"\r\n") and b"\0" not in data
