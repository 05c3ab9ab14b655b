"""Where a file takes the place of a folder, or a folder that of a file: what must then be done first, and from where.

Temporary and second names lie beside their file. They cannot where its folder comes or goes within the commit: then
they lie beside the uppermost path that is swapped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from kimi_agent.workspace.transaction.journal import Entry

Path = tuple[str, str]
"""A root and what lies below it."""


def swapped(entries: Sequence[Entry]) -> set[Path]:
    """The paths that are a file on one side of the commit and a folder on the other."""
    files = {(entry.root, entry.path) for entry in entries}
    return {(entry.root, above) for entry in entries for above in parents(entry.path) if (entry.root, above) in files}


def top(entry: Entry, among: set[Path]) -> str | None:
    """The uppermost of the swapped paths at or above `entry`."""
    if not among:
        return None
    return next((path for path in (*parents(entry.path), entry.path) if (entry.root, path) in among), None)


def staged(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries, those in the way of a swap with the folder in which their other names lie."""
    among = swapped(entries)
    tops = [top(entry, among) for entry in entries]
    return tuple(
        entry if path is None else replace(entry, stage=path.rpartition("/")[0])
        for entry, path in zip(entries, tops, strict=True)
    )


def late_folders(entries: Sequence[Entry]) -> tuple[Path, ...]:
    """The folders that can only be made once a file has gone, the upper ones first."""
    among = swapped(entries)
    found: dict[Path, None] = {}
    for entry in entries:
        path = top(entry, among)
        if path is not None and entry.after is not None and path != entry.path:
            parts = [each for each in parents(entry.path) if len(each) >= len(path)]
            found.update(dict.fromkeys((entry.root, each) for each in parts))
    return tuple(found)


def order(entries: Sequence[Entry]) -> tuple[list[int], list[int], list[int]]:
    """Three rounds of indices: the deletes that make room; what is put in place; all other deletes."""
    among = swapped(entries)
    room, puts, deletes = list[int](), list[int](), list[int]()
    for index, entry in enumerate(entries):
        if entry.after is not None:
            puts.append(index)
        elif top(entry, among) is not None:
            room.append(index)
        else:
            deletes.append(index)
    return room, puts, deletes


def parents(path: str) -> Iterator[str]:
    """The folders above a path, the upper ones first."""
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)
