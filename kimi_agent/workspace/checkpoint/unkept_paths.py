"""Unkept paths of a snapshot: lists what stands in the workspace beside what is kept, ignored or not.

Git lists it without reading rules or the insides of folders that hold nothing kept. An ignored folder, a cache and a
repository's own folder stay one name; another folder of unkept files is looked into, for a file that is made in it
later is kept, and must not be taken for one that stood there.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kimi_agent.workspace.checkpoint.ignore_rules import CACHE_TAG_NAME, is_cache_tag, is_litter
from kimi_agent.workspace.checkpoint.snapshot_values import UnkeptPaths
from kimi_agent.workspace.git.command import Git, join_nul_paths, split_nul_paths
from kimi_agent.workspace.git.git_folder import looks_like_git_folder

MAX_LISTED = 10_000
"""Beyond so many files in folders that are looked into, a folder is one name again."""


class UnkeptLister:
    """Lists unkept paths of a workspace; remembers which folders are ignored while no rule changes."""

    def __init__(self) -> None:
        self._rules: tuple[object, ...] = ()
        self._ignored: dict[str, bool] = {}

    def list(self, git: Git, root: Path, unlisted: Iterable[str], rules: tuple[object, ...]) -> UnkeptPaths:
        """The paths, from git's listing of what is beside the index. Raises GitFailed."""
        if rules != self._rules:
            self._rules, self._ignored = rules, {}
        names = [name for name in unlisted if not is_litter(name)]
        folders = [name for name in names if name.endswith("/")]
        self._look_up(git, [folder for folder in folders if folder not in self._ignored])
        files, empty = {name for name in names if not name.endswith("/")}, set[str]()
        for folder in sorted(folders):
            if not self._ignored[folder]:
                _look_into(root, folder, files, empty)
            elif _is_empty(root, folder):
                empty.add(folder)
            else:
                files.add(folder)
        return UnkeptPaths(frozenset(files), frozenset(empty))

    def _look_up(self, git: Git, folders: Sequence[str]) -> None:
        """Ask git which of the folders a rule ignores."""
        if not folders:
            return
        asked = join_nul_paths("./" + folder.rstrip("/") for folder in folders)
        found = git.run("check-ignore", "--no-index", "-z", "--stdin", stdin=asked, ok=(0, 1))
        ignored = {path.removeprefix("./") + "/" for path in split_nul_paths(found)}
        self._ignored |= {folder: folder in ignored for folder in folders}


def _look_into(root: Path, top: str, files: set[str], empty: set[str]) -> None:
    """Add the files below the folder `top` ("a/"), folders that stay one name, and those without anything in them."""
    todo = [top]
    while todo:
        folder = todo.pop()
        try:
            found = _entries(root, folder)
        except OSError:  # closed to us, or gone: whatever is in it
            files.add(folder)
            continue
        if not found:
            empty.add(folder)
        elif len(files) > MAX_LISTED or _is_one_name(root, folder, found):
            files.add(folder)
        else:
            todo += (f"{folder}{name}/" for name, is_folder in found.items() if is_folder and name != ".git")
            files |= {folder + name for name, is_folder in found.items() if not is_folder and not is_litter(name)}


def _is_one_name(root: Path, folder: str, found: Mapping[str, bool]) -> bool:
    """Whether all that is in it belongs to a cache, or to a repository (`.git` under another name)."""
    if CACHE_TAG_NAME in found and is_cache_tag(str(root / folder / CACHE_TAG_NAME)):
        return True
    return "HEAD" in found and looks_like_git_folder(root / folder)


def _is_empty(root: Path, top: str) -> bool:
    """Whether there is no file in a folder, nor in those below it."""
    todo = [top]
    while todo:
        folder = todo.pop()
        try:
            found = _entries(root, folder)
        except OSError:
            return False
        if not all(found.values()):
            return False
        todo += (f"{folder}{name}/" for name in found)
    return True


def _entries(root: Path, folder: str) -> dict[str, bool]:
    """The names in a folder, and whether they are folders themselves. Raises OSError."""
    with os.scandir(root / folder) as entries:
        return {each.name: each.is_dir(follow_symlinks=False) for each in sorted(entries, key=lambda each: each.name)}
