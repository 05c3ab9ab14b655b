"""File/folder swaps: the order of moves in a transaction where a file replaces a folder, or a folder a file.

Temporary and second names lie beside their file, except where its folder is made or removed within the commit: then
they lie beside the uppermost path that is swapped.
"""

from collections.abc import Sequence
from dataclasses import replace

from kimi_agent.workspace.paths import parent_folders
from kimi_agent.workspace.transaction.journal import JournalEntry

RootedPath = tuple[str, str]
"""A root, and a path below it."""


def find_swapped(entries: Sequence[JournalEntry]) -> set[RootedPath]:
    """Find the paths that are a file before the commit and a folder after it, or the reverse."""
    files = {(entry.root, entry.path) for entry in entries}
    return files & {(entry.root, above) for entry in entries for above in parent_folders(entry.path)}


def topmost_swap(entry: JournalEntry, among: set[RootedPath]) -> str | None:
    """The uppermost of the swapped paths at or above `entry`."""
    if not among:
        return None
    return next((path for path in (*parent_folders(entry.path), entry.path) if (entry.root, path) in among), None)


def assign_stage_folders(entries: Sequence[JournalEntry]) -> tuple[JournalEntry, ...]:
    """Give each entry under a swapped path the folder (`stage`) in which its other names lie."""
    among = find_swapped(entries)
    tops = ((entry, topmost_swap(entry, among)) for entry in entries)
    return tuple(entry if top is None else replace(entry, stage=top.rpartition("/")[0]) for entry, top in tops)


def find_late_folders(entries: Sequence[JournalEntry]) -> tuple[RootedPath, ...]:
    """The folders that can only be made once a file has gone, the upper ones first."""
    among = find_swapped(entries)
    found: dict[RootedPath, None] = {}
    for entry in entries:
        path = topmost_swap(entry, among)
        if path is not None and entry.after is not None and path != entry.path:
            parts = [each for each in parent_folders(entry.path) if len(each) >= len(path)]
            found.update(dict.fromkeys((entry.root, each) for each in parts))
    return tuple(found)


def order_moves(entries: Sequence[JournalEntry]) -> tuple[list[int], list[int], list[int]]:
    """The order of a transaction, as indices: deletes that make room; files put in place; all other deletes."""
    among = find_swapped(entries)
    room, puts, deletes = list[int](), list[int](), list[int]()
    for index, entry in enumerate(entries):
        if entry.after is not None:
            puts.append(index)
        elif topmost_swap(entry, among) is not None:
            room.append(index)
        else:
            deletes.append(index)
    return room, puts, deletes
