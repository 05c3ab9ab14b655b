"""Git hooks folders: where git takes hooks from beside `.git/hooks`, by `core.hooksPath` of any configuration."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kimi_agent.errors import UserError
from kimi_agent.workspace.git.git_folder import find_repository, stat_key
from kimi_agent.workspace.process.launch import find_trusted_program
from kimi_agent.workspace.repository.user_git_config import read_user_config


def make_hooks_lookup(workspace: Path, environ: Mapping[str, str]) -> Callable[[], Sequence[str]]:
    """A function that gives the folders, absolute and resolved, read anew when a configuration file has changed.

    `git config` only reads: nothing of the repository runs. Where it fails no further folder is known.
    """
    known: tuple[object, tuple[str, ...]] = ((), ())

    def folders() -> Sequence[str]:
        nonlocal known
        home = environ.get("HOME", "")
        repository = find_repository(workspace)
        configs = [f"{home}/.gitconfig", f"{environ.get('XDG_CONFIG_HOME') or home + '/.config'}/git/config"]
        configs += [str(repository.common / "config")] if repository else []
        key = tuple(map(stat_key, configs))
        if key != known[0]:
            known = key, _read(workspace, environ, repository.top if repository else workspace)
        return known[1]

    return folders


def _read(workspace: Path, environ: Mapping[str, str], top: Path) -> tuple[str, ...]:
    git = find_trusted_program("git", path=environ.get("PATH", ""), root=workspace)
    if git is None:
        return ()
    try:
        found = read_user_config(git, workspace, environ, r"^core\.hookspath$")
    except UserError:
        return ()
    home = environ.get("HOME", "")
    paths = (home + each.value[1:] if each.value.startswith("~/") else each.value for each in found)
    return tuple(dict.fromkeys(os.path.realpath(os.path.join(top, path)) for path in paths if path))
