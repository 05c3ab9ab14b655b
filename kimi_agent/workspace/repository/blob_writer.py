"""A blob writer: stores a file's content as git would, with the repository's line endings and encoding.

Git itself converts, in a work tree that holds only these files, so the attributes that count are those of HEAD (and
those among the files). It works on the objects of the user's repository through a private git folder, so nothing of
that repository's configuration counts. Filter programs never run: paths that have one are reported instead.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.workspace.git.command import Git, decode_line, join_nul_paths
from kimi_agent.workspace.paths import parent_folders

SYMLINK_MODE, GITLINK_MODE, TREE_MODE = "120000", "160000", "040000"
_MAX_COMMAND_BYTES = 60_000
"""Bytes of paths in one command: far below any system's limit."""


@dataclass(frozen=True)
class FileContent:
    """A file's bytes (of a link: the target) and permission bits (0 for a link)."""

    data: bytes
    mode: int = 0o644


@dataclass(frozen=True)
class GitEntry:
    """An entry of a git tree or index: its mode in octal, and the id of the blob."""

    mode: str
    id: str


def read_tree_entries(git: Git, tree: str, paths: Iterable[str]) -> dict[str, GitEntry]:
    """The entries of `tree` at these paths (from its top), where it has one."""
    found: dict[str, GitEntry] = {}
    for some in _chunks(sorted(set(paths))):
        found |= _entries(git.run("ls-tree", "-z", "--full-tree", tree, "--", *some), id_at=2)
    return found


def attribute_files(paths: Iterable[str]) -> set[str]:
    """The files that may hold the attributes of these paths."""
    return {".gitattributes"} | {f"{folder}/.gitattributes" for path in paths for folder in parent_folders(path)}


class BlobWriter:
    """Stores contents as git would, by way of `scratch`, a folder of our own.

    `git` is as `open_git_on_objects` gives it; `known` is what HEAD holds at the paths and at the attributes
    above them: by it git decides on line endings.
    """

    def __init__(self, git: Git, scratch: Path, known: Mapping[str, GitEntry]) -> None:
        self._git = git
        self._scratch = scratch
        self._known = known
        self._count = 0

    def store(self, files: Mapping[str, FileContent | None]) -> dict[str, GitEntry | None]:
        """Store these files; returns their entries, None for one that does not exist.

        None too for one that only a filter program could store (git-lfs), or that another of the files obstructs.
        """
        folder, written = self.folder(), set[str]()
        # Links go last: nothing is ever written through one.
        for path, content in sorted(files.items(), key=lambda item: item[1] is not None and item[1].mode == 0):
            if content is not None and _write(folder / path, content):
                written.add(path)
        if not written:
            return dict.fromkeys(files)
        env = {"GIT_WORK_TREE": str(folder), "GIT_INDEX_FILE": str(self._scratch / f"{folder.name}.index")}
        if self._known:
            self._git.run("update-index", "-z", "--index-info", stdin=index_info_lines(self._known), env=env)
        names = join_nul_paths(sorted(written))
        self._git.run("update-index", "-z", "--add", "--replace", "--stdin", stdin=names, env=env)
        # A pathspec can name attributes, so one command lists the entries that no filter would convert.
        unfiltered = ("--", ":(attr:!filter)", ":(attr:-filter)")
        output = self._git.run("ls-files", "--stage", "-z", *unfiltered, env={**env, "GIT_LITERAL_PATHSPECS": "0"})
        entries = _entries(output, id_at=1)
        return {path: entries.get(path) if path in written else None for path in files}

    def blob(self, data: bytes) -> str:
        """Store exactly these bytes; returns their id."""
        return decode_line(self._git.run("hash-object", "-w", "--stdin", stdin=data))

    def read(self, *ids: str) -> list[bytes]:
        """Read the bytes of blobs."""
        output = self._git.run("cat-file", "--batch", stdin="".join(f"{id}\n" for id in ids).encode())
        found, at = [], 0
        for _ in ids:
            start = output.index(b"\n", at) + 1
            size = int(output[at:start].split()[2])
            found.append(output[start : start + size])
            at = start + size + 1
        return found

    def folder(self) -> Path:
        """Make a new empty folder."""
        self._count += 1
        made = self._scratch / str(self._count)
        made.mkdir()
        return made


def _entries(output: bytes, *, id_at: int) -> dict[str, GitEntry]:
    """The entries that git listed with -z: a mode and two more fields (the id is one of them), a tab, the path."""
    rows = (record.partition(b"\t") for record in output.split(b"\0")[:-1])
    fields = ((about.decode("ascii").split(), path) for about, _, path in rows)
    return {os.fsdecode(path): GitEntry(about[0], about[id_at]) for about, path in fields}


def index_info_lines(entries: Mapping[str, GitEntry | None], width: int = 40) -> bytes:
    """The input of `update-index -z --index-info`; None removes a path. Removals go first: they make room."""
    gone = [("0", "0" * width, path) for path, entry in entries.items() if entry is None]
    there = [(entry.mode, entry.id, path) for path, entry in entries.items() if entry and entry.mode != TREE_MODE]
    return b"".join(f"{mode} {id}\t".encode() + os.fsencode(path) + b"\0" for mode, id, path in (*gone, *there))


def _write(path: Path, content: FileContent) -> bool:
    """Write one file; False where another of the files obstructs it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if content.mode == 0:
            path.symlink_to(os.fsdecode(content.data))
            return True
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content.data)
        path.chmod(0o700 if content.mode & 0o111 else 0o600)
    except OSError:
        return False
    return True


def _chunks(paths: Sequence[str]) -> Iterator[list[str]]:
    some: list[str] = []
    size = 0
    for path in paths:
        size += len(os.fsencode(path)) + 1
        if some and size > _MAX_COMMAND_BYTES:
            yield some
            some, size = [], len(os.fsencode(path)) + 1
        some.append(path)
    if some:
        yield some
