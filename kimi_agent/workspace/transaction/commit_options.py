"""Options of a file transaction beside its steps: folders that go with their last file, and who records it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kimi_agent.workspace.transaction.journal import FolderMode

Folders = Sequence[tuple[str, str]]
"""Folders as (root, relative), the upper ones first."""


@dataclass(frozen=True)
class Recording:
    """What `write` records elsewhere once all files are in place; after a kill the next start is given the `note`."""

    note: str
    write: Callable[[], None]


@dataclass(frozen=True)
class CommitOptions:
    """The folders `emptied` go too, if nothing is left in them; the `recording` comes before the journal goes.

    Of `modes` those of folders that are made or that are there hold, as far as they may be set.
    """

    emptied: Folders = ()
    recording: Recording | None = None
    modes: Sequence[FolderMode] = ()


NO_OPTIONS = CommitOptions()
