"""A git object reader for a snapshot store: blobs, trees and sizes, by two long-lived `git cat-file` processes."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kimi_agent.workspace.checkpoint.snapshot_values import SnapshotGone
from kimi_agent.workspace.checkpoint.store import SnapshotStore
from kimi_agent.workspace.git.command import GitProcess
from kimi_agent.workspace.git_object_id import object_id

FOLDER_BITS, LINK_BITS = 0o040000, 0o120000  # git's modes of tree entries that are no regular files
_MAX_NAMES = 400  # in one request: fewer bytes than a pipe holds


@dataclass(frozen=True)
class RawTreeEntry:
    """One entry of a git tree."""

    mode: int
    name: bytes
    id: str


class ObjectReader:
    """Reads objects by name. `close()` ends the processes behind it; they start again when needed."""

    def __init__(self, store: SnapshotStore, environ: Mapping[str, str]) -> None:
        self._store = store
        self._environ = environ
        self._running: dict[str, GitProcess] = {}

    def close(self) -> None:
        """End the processes."""
        running, self._running = self._running, {}
        for process in running.values():
            process.close()

    def get(self, name: str) -> tuple[str, bytes]:
        """Kind and content of an object. Raises SnapshotError if it is gone or damaged."""
        kind, size = self._query("--batch", [name])[0]
        if kind:
            out = self._running["--batch"].pipes[1]
            data = out.read(size)
            out.read(1)
            if object_id(kind, size, [data]) == name:
                return kind, data
            self.close()
        raise SnapshotGone(name)

    def blob(self, name: str) -> bytes:
        """The content of a blob. Raises SnapshotError."""
        kind, data = self.get(name)
        if kind != "blob":
            raise SnapshotGone(name)
        return data

    def sizes(self, names: Sequence[str]) -> list[int]:
        """The sizes of objects in bytes. Raises SnapshotError if one is gone."""
        batches = (names[at : at + _MAX_NAMES] for at in range(0, len(names), _MAX_NAMES))
        found = [answer for batch in batches for answer in self._query("--batch-check", batch)]
        for name, (kind, _) in zip(names, found, strict=True):
            if not kind:
                raise SnapshotGone(name)
        return [size for _, size in found]

    def has(self, name: str) -> bool:
        """Whether there is such an object."""
        return bool(self._query("--batch-check", [name])[0][0])

    def entries(self, tree: str) -> list[RawTreeEntry]:
        """The entries of a git tree. Raises SnapshotError."""
        kind, data = self.get(tree)
        if kind != "tree":
            raise SnapshotGone(tree)
        entries, at = [], 0
        while at < len(data):
            end = data.index(b"\0", at)
            mode, _, name = data[at:end].partition(b" ")
            entries.append(RawTreeEntry(int(mode, 8), name, data[end + 1 : end + 21].hex()))
            at = end + 21
        return entries

    def entry_at(self, tree: str, path: bytes) -> RawTreeEntry | None:
        """The entry at `path` below `tree`, unless it is a folder."""
        *folders, last = path.split(b"/")
        for name in folders:
            found = next((entry for entry in self.entries(tree) if entry.name == name), None)
            if found is None or found.mode != FOLDER_BITS:
                return None
            tree = found.id
        return next((entry for entry in self.entries(tree) if entry.name == last and entry.mode != FOLDER_BITS), None)

    def _query(self, how: str, names: Sequence[str], *, again: bool = True) -> list[tuple[str, int]]:
        """Kind and size of each object, ("", 0) for a missing one. With `--batch` only one may be named at a time."""
        if how not in self._running:
            self._running[how] = self._store.git(self._environ).start("cat-file", how)
        put, out = self._running[how].pipes
        answers: list[list[bytes]] = [[]]
        with contextlib.suppress(OSError):
            put.write("".join(f"{name}\n" for name in names).encode("ascii"))
            put.flush()
            answers = [out.readline().split() for _ in names]
        if not all(answers):  # it died, or was killed
            self.close()
            if again:
                return self._query(how, names, again=False)
            raise SnapshotGone(names[0])
        return [(words[1].decode(), int(words[2])) if len(words) == 3 else ("", 0) for words in answers]
