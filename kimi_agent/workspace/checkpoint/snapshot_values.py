"""Values of a snapshot (entries, changes, limits), and its errors."""

from dataclasses import dataclass, field
from typing import Literal

from kimi_agent.errors import UserError
from kimi_agent.workspace.paths import parent_folders


class SnapshotError(UserError):
    """A snapshot could not be taken or read; the text is one sentence with a mend."""

    def __init__(self, text: str) -> None:
        super().__init__(text, 1)


class SnapshotGone(SnapshotError):
    """A tree or content is not, or no longer, in the store."""

    def __init__(self, name: str) -> None:
        gone = f"the snapshot {name[:12]!r} is no longer kept, or is damaged"
        super().__init__(f"{gone}: only newer ones can be gone back to")


@dataclass(frozen=True)
class SnapshotLimits:
    """Limits of what is kept: bytes of a single file, bytes that are new in one snapshot, and files in all.

    A file that is too big is left out and named in `missed`; past the other two there is no snapshot.
    """

    max_file_bytes: int = 20_000_000
    max_total_bytes: int = 1_000_000_000
    max_files: int = 200_000


@dataclass(frozen=True)
class TreeEntry:
    """A file or link in a tree: permission bits (0 for a link), size in bytes, and git's id of the content."""

    kind: Literal["file", "link"]
    mode: int
    size: int
    id: str


@dataclass(frozen=True)
class PathChange:
    """A path at which two trees differ; None is "nothing there"."""

    path: str
    before: TreeEntry | None
    after: TreeEntry | None


@dataclass(frozen=True)
class FolderModeChange:
    """A folder of both trees whose permission bits differ."""

    path: str
    before: int
    after: int


@dataclass(frozen=True)
class Snapshot:
    """The workspace at one moment: `tree` names its content, equal trees have equal names.

    `missed` are paths that exist and are not kept: too big, unreadable, or with a name that git cannot hold. `unkept`
    names the list of all that stood there and is not kept, for whatever reason (see `Checkpoints.unkept`): it lies
    beside the tree, so that a build's ignored output does not make another tree.
    """

    tree: str
    missed: tuple[str, ...] = ()
    unkept: str = field(default="", compare=False)


@dataclass(frozen=True)
class UnkeptPaths:
    """What stood in a workspace and is not in its tree: a path that is new to a later tree may be one of these.

    `files` are relative paths; one that ends in "/" stands for all below it (an ignored folder, a cache, a
    repository's own folder, one with very many files). `empty` are folders without a file, with a "/" at the end.
    """

    files: frozenset[str] = frozenset()
    empty: frozenset[str] = frozenset()

    def stood(self, path: str) -> bool:
        """Whether there may have been a file at `path`."""
        return path in self.files or any(folder + "/" in self.files for folder in parent_folders(path))
