"""File modes of a snapshot: the permission bits of each file, of which git itself keeps only one x bit."""

from collections.abc import Iterable, Iterator

LINK_PLACEHOLDER = -1
"""Stands for the mode of a link, which has no permission bits."""

_PLAIN = (0o644, 0o755)


class FileModes:
    """Permission bits by path, LINK_PLACEHOLDER for a link; stored as a blob, the same one for equal trees.

    The blob names the modes of most files, with and without x, and the path of every file with another one: so it is
    small, and seldom changes whatever the umask.
    """

    def __init__(self, modes: Iterable[tuple[str, int]] = ()) -> None:
        self._of: dict[str, int] = {}
        self._paths: dict[int, set[str]] = {}
        for path, mode in modes:
            self.put(path, mode)

    def __contains__(self, path: str) -> bool:
        return path in self._of

    def __len__(self) -> int:
        return len(self._of)

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def put(self, path: str, mode: int) -> None:
        """Set the mode of `path`."""
        if self._of.get(path) == mode:
            return
        self.drop(path)
        self._of[path] = mode
        self._paths.setdefault(mode, set()).add(path)

    def drop(self, path: str) -> None:
        """Forget `path`."""
        if (mode := self._of.pop(path, None)) is not None:
            self._paths[mode].discard(path)

    def blob(self) -> bytes:
        """The bytes that `StoredModes` reads back."""
        usual = [self._usual(executable) for executable in (False, True)]
        rare = self._paths.keys() - {LINK_PLACEHOLDER, *usual}
        odd = sorted((path.encode("utf-8", "surrogateescape"), mode) for mode in rare for path in self._paths[mode])
        return b"%o %o\n" % (usual[0], usual[1]) + b"".join(b"%o %s\0" % (mode, path) for path, mode in odd)

    def _usual(self, executable: bool) -> int:
        fitting = (mode for mode in self._paths if mode != LINK_PLACEHOLDER and is_executable(mode) == executable)
        counts = ((-len(self._paths[mode]), mode) for mode in fitting if self._paths[mode])
        return min(counts, default=(0, _PLAIN[executable]))[1]


class StoredModes:
    """The permission bits of a stored tree, from the blob that `FileModes.blob` made."""

    def __init__(self, blob: bytes) -> None:
        head, _, rest = blob.partition(b"\n")
        plain, executable = head.split()
        self.usual = (int(plain, 8), int(executable, 8))
        self.odd: dict[bytes, int] = {}
        for row in rest.split(b"\0")[:-1]:
            mode, _, path = row.partition(b" ")
            self.odd[path] = int(mode, 8)

    def of(self, path: bytes, git_mode: int) -> int:
        """The permission bits of the regular file at `path`, given git's mode of it."""
        return self.odd.get(path, self.usual[is_executable(git_mode)])


def is_executable(mode: int) -> bool:
    """Whether git would call a file of this mode executable."""
    return bool(mode & 0o100)
