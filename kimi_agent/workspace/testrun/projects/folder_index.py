"""Folder index: the names in a workspace's folders, each listed once, bounded, and never through a link."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

MAX_WALKED_FOLDERS, MAX_WALKED_NAMES, MAX_WALK_DEPTH = 4_000, 60_000, 6
"""Of one walk. Measured: 60,000 names in 4,000 folders take 0.1 s, of which all of a detection may take 0.3 s."""
_GENERATED_FOLDERS = re.compile(
    r"node_modules|__pycache__|venv|env|build|dist|site-packages|target|vendor|third_party|_build|deps|bower_components|"
    r"coverage|htmlcov|obj|Pods|DerivedData|.*\.egg-info"
)
Names = tuple[tuple[str, ...], tuple[str, ...]]
"""The files (links to something among them) and the folders (no links) of one folder, sorted."""
_NOTHING: Names = ((), ())


class FolderIndex:
    """The folders below `root`, relative to it with slashes ("" for the root itself), listed when first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed: dict[str, Names] = {}
        self._walked: dict[str, tuple[str, ...]] = {}

    def names(self, folder: str) -> Names:
        """What is in a folder; nothing where it can't be listed."""
        if folder not in self._listed:
            self._listed[folder] = _list_names(self.root / folder)
        return self._listed[folder]

    def walk(self, folder: str = "") -> tuple[str, ...]:
        """`folder` and the folders below it that may hold sources, nearest first; within the bounds of one walk.

        Left out are hidden and generated folders, virtual environments, and other repositories in this one.
        """
        if folder not in self._walked:
            self._walked[folder] = tuple(self._breadth_first(folder))
        return self._walked[folder]

    def find_files(
        self, pattern: re.Pattern[str], folder: str, most_folders: int, without: tuple[str, ...] = ()
    ) -> Iterator[str]:
        """The files below `folder` whose name `pattern` matches whole, relative to it, nearest first.

        The folders `without` are left out, with all that is below them.
        """
        start = f"{folder}/" if folder else ""
        left_out = tuple(f"{each}/" for each in without)
        for each in self.walk(folder)[:most_folders]:
            if left_out and f"{each}/".startswith(left_out):
                continue
            below = each.removeprefix(start) if each != folder else ""
            for name in self.names(each)[0]:
                if pattern.fullmatch(name):
                    yield f"{below}/{name}" if below else name

    def _breadth_first(self, start: str) -> Iterator[str]:
        level, seen, listed, depth = [start], 0, 0, 0
        while level and depth <= MAX_WALK_DEPTH:
            deeper: list[str] = []
            for folder in level:
                files, folders = self.names(folder)
                if folder != start and (".git" in files or ".git" in folders or "pyvenv.cfg" in files):
                    continue
                yield folder
                seen, listed = seen + 1, listed + len(files) + len(folders)
                if seen >= MAX_WALKED_FOLDERS or listed >= MAX_WALKED_NAMES:
                    return
                deeper += [f"{folder}/{name}" if folder else name for name in folders if _holds_sources(name)]
            level, depth = deeper, depth + 1


def _list_names(path: Path) -> Names:
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
                    files.append(entry.name)
    except OSError:
        return _NOTHING
    return tuple(sorted(files)), tuple(sorted(folders))


def _holds_sources(name: str) -> bool:
    return not name.startswith(".") and not _GENERATED_FOLDERS.fullmatch(name)
