"""Paths that are never committed (secrets, ignored files, nested repositories), with the reason for the user."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kimi_agent.workspace.git.command import Git, join_nul_paths, split_nul_paths
from kimi_agent.workspace.paths import find_protected_folder, is_sensitive, parent_folders
from kimi_agent.workspace.repository.blob_writer import GITLINK_MODE, GitEntry


def find_exclusions(
    git: Git, top: Path, paths: Iterable[str], held: Mapping[str, GitEntry], staged: Mapping[str, object]
) -> dict[str, str]:
    """Find the paths to leave out, with the reason for each.

    `held` is what HEAD holds at the paths and above them, `staged` where the index differs.
    """
    found, new = {}, []
    for path in paths:
        if why := _misplaced(top, path, held):
            found[path] = why
        elif path in held or path in staged:
            continue
        elif is_sensitive(path):
            found[path] = "its name says that a secret is inside"
        else:
            new.append(path)
    return found | dict.fromkeys(_ignored(git, top, new), "git ignores it")


def _misplaced(top: Path, path: str, held: Mapping[str, GitEntry]) -> str:
    if any(find_protected_folder(part) == "git" or part in ("", ".", "..") for part in path.split("/")):
        return "no repository may hold such a path"
    above = [*parent_folders(path)]
    if any(_is_repository(top, folder, held) for folder in (*above, path)):
        return "it lies in a repository of its own"
    return "a link stands above it" if any((top / folder).is_symlink() for folder in above) else ""


def _is_repository(top: Path, folder: str, held: Mapping[str, GitEntry]) -> bool:
    entry = held.get(folder)
    return (entry is not None and entry.mode == GITLINK_MODE) or os.path.lexists(top / folder / ".git")


def _ignored(git: Git, top: Path, paths: Sequence[str]) -> set[str]:
    names = join_nul_paths(os.fspath(top / path) for path in paths)
    if not names:
        return set()
    # This command knows no literal pathspecs; absolute paths have no magic.
    output = git.run("check-ignore", "-z", "--stdin", stdin=names, ok=(0, 1), env={"GIT_LITERAL_PATHSPECS": "0"})
    return {os.path.relpath(name, top) for name in split_nul_paths(output)}
