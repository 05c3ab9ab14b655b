"""File modes of a snapshot: all permission bits of each file and folder, of which git itself keeps only one x bit."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from kimi_agent.workspace.paths import parent_folders

LINK_PLACEHOLDER = -1
"""Stands for the mode of a link, which has no permission bits."""

_PLAIN = (0o644, 0o755)


class FileModes:
    """Permission bits (07777) by path, LINK_PLACEHOLDER for a link; stored as a blob, the same one for equal trees.

    The blob names the modes of most files, with and without x, and the path of every file with another one: so it is
    small, and seldom changes whatever the umask. Bits above 0777 (setuid, setgid, sticky) stand under "/PATH", the mode
    of most folders under "/", and of each folder with another one under "PATH/": a build that does not know of these
    takes them for files that are not there.
    """

    def __init__(self, modes: Iterable[tuple[str, int]] = ()) -> None:
        self._of: dict[str, int] = {}
        self._paths: dict[int, set[str]] = {}
        self._files_in: Counter[str] = Counter()
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
        self._files_in[path.rpartition("/")[0]] += 1

    def drop(self, path: str) -> None:
        """Forget `path`."""
        if (mode := self._of.pop(path, None)) is not None:
            self._paths[mode].discard(path)
            folder = path.rpartition("/")[0]
            self._files_in[folder] -= 1
            if not self._files_in[folder]:
                del self._files_in[folder]

    def folders(self) -> set[str]:
        """The folders that a file lies in or below, but for the top."""
        found = set(self._files_in)
        for folder in self._files_in:
            found.update(parent_folders(folder))
        return found - {""}

    def blob(self, folders: Mapping[str, int]) -> bytes:
        """The bytes that `StoredModes` reads back, with the modes of these `folders`."""
        usual = [self._usual(executable) for executable in (False, True)]
        rare = self._paths.keys() - {LINK_PLACEHOLDER, *usual}
        rows = [(path, mode & 0o777) for mode in rare for path in self._paths[mode]]
        rows += [(f"/{path}", mode) for mode in rare if mode > 0o777 for path in self._paths[mode]]
        counts = Counter(folders.values())
        usual_folder = min(counts, key=lambda mode: (-counts[mode], mode), default=0)
        rows += [("/", usual_folder)] if folders else []
        rows += [(f"{path}/", mode) for path, mode in folders.items() if mode != usual_folder]
        odd = sorted((path.encode("utf-8", "surrogateescape"), mode) for path, mode in rows)
        return b"%o %o\n" % (usual[0], usual[1]) + b"".join(b"%o %s\0" % (mode, path) for path, mode in odd)

    def _usual(self, executable: bool) -> int:
        fitting = (mode for mode in self._paths if 0 <= mode <= 0o777 and is_executable(mode) == executable)
        counts = ((-len(self._paths[mode]), mode) for mode in fitting if self._paths[mode])
        return min(counts, default=(0, _PLAIN[executable]))[1]


class StoredModes:
    """The permission bits of a stored tree, from the blob that `FileModes.blob` made.

    `odd` are files with another mode than the usual one, `folders` such folders; `usual_folder` is None where an older
    build kept no modes of folders.
    """

    def __init__(self, blob: bytes) -> None:
        head, _, rest = blob.partition(b"\n")
        plain, executable = head.split()
        self.usual = (int(plain, 8), int(executable, 8))
        self.odd: dict[bytes, int] = {}
        self.folders: dict[bytes, int] = {}
        self.usual_folder: int | None = None
        special: dict[bytes, int] = {}
        for row in rest.split(b"\0")[:-1]:
            mode, _, path = row.partition(b" ")
            if path == b"/":
                self.usual_folder = int(mode, 8)
            elif path.startswith(b"/"):
                special[path[1:]] = int(mode, 8)
            elif path.endswith(b"/"):
                self.folders[path[:-1]] = int(mode, 8)
            else:
                self.odd[path] = int(mode, 8)
        self.odd |= special

    def of(self, path: bytes, git_mode: int) -> int:
        """The permission bits of the regular file at `path`, given git's mode of it."""
        return self.odd.get(path, self.usual[is_executable(git_mode)])

    def of_folder(self, path: bytes) -> int | None:
        """The permission bits of the folder at `path`, which must be in the tree; None where they were not kept."""
        return self.folders.get(path, self.usual_folder)


def is_executable(mode: int) -> bool:
    """Whether git would call a file of this mode executable."""
    return bool(mode & 0o100)
