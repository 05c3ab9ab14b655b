"""Options of a file transaction beside its steps: folders that go with their last file, and who records it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Folders = Sequence[tuple[str, str]]
"""Folders as (root, relative), the upper ones first."""


@dataclass(frozen=True)
class Recording:
    """What `write` records elsewhere once all files are in place; after a kill the next start is given the `note`."""

    note: str
    write: Callable[[], None]


@dataclass(frozen=True)
class CommitOptions:
    """The folders `emptied` go too, if nothing is left in them; the `recording` comes before the journal goes."""

    emptied: Folders = ()
    recording: Recording | None = None


NO_OPTIONS = CommitOptions()
