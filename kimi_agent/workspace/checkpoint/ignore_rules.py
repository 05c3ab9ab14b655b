"""Ignore rules of snapshots: the user's own, read as plain text without running git, and build litter."""

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from kimi_agent.workspace.git.command import Git, GitFailed
from kimi_agent.workspace.git.git_folder import Repository, stat_key

# What runs of programs and tests leave behind, whether or not the repository ignores it: it comes back by itself, and
# a tree that changes with every test run could not say that nothing changed since. A folder with a CACHEDIR.TAG
# (bford.info/cachedir: cargo's target, pytest's and mypy's caches) is left out too; see `is_cache_tag`.
ALWAYS_IGNORED = (
    *("__pycache__/", "*.pyc", "*.pyo", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".hypothesis/"),
    *(".coverage", ".coverage.*", ".tox/", ".nox/", ".venv/", "node_modules/", ".gradle/", ".DS_Store"),
)
CACHE_TAG_NAME = "CACHEDIR.TAG"
_LITTER_FOLDERS = frozenset(rule.rstrip("/") for rule in ALWAYS_IGNORED if rule.endswith("/"))
_LITTER_ENDS = (".pyc", ".pyo")
_LITTER_FILES = (".coverage", ".DS_Store")
_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
_MAX_EXCLUDE = 1_000_000


class IgnoreRules:
    """The rules for one work tree: litter, our own folders, the user's `info/exclude` and global ignore file.

    Git itself reads the `.gitignore` files. Nothing of a repository's configuration is read.
    """

    def __init__(self, folder: Path, *, environ: Mapping[str, str], private: Sequence[Path]) -> None:
        self._file = folder / "info" / "exclude"
        self._home = environ.get("HOME", "")
        self._config_home = environ.get("XDG_CONFIG_HOME") or f"{self._home}/.config"
        self._private = private
        self._configs: tuple[object, ...] = ()
        self._global = ""

    def write_rules(self, git: Git, top: Path, own: Repository | None) -> tuple[tuple[object, ...], str]:
        """Put the rules where the store's git reads them.

        Returns a key that changes whenever they do, and the path of the user's global ignore file.
        """
        private = filter(None, (_private_rule(folder, top) for folder in self._private))
        text = "\n".join([*ALWAYS_IGNORED, *private]).encode("utf-8", "surrogateescape") + b"\n"
        if own:
            with contextlib.suppress(OSError), (own.common / "info" / "exclude").open("rb") as file:
                text += file.read(_MAX_EXCLUDE)
        if not self._file.is_file() or self._file.read_bytes() != text:
            self._file.write_bytes(text)
        path = self.global_file(git)
        return (text, path, stat_key(path)), path

    def global_file(self, git: Git) -> str:
        """The ignore file for all repositories of the user: as their own git configuration names it, or the usual."""
        configs = [Path(self._config_home, "git", "config"), Path(self._home, ".gitconfig")]
        key = tuple(stat_key(path) for path in configs)
        if key != self._configs or not self._global:
            self._configs, self._global = key, f"{self._config_home}/git/ignore"
            for path in configs:
                if path.is_file():
                    self._global = _excludes_file(git, path) or self._global
        return self._global


def _excludes_file(git: Git, config: Path) -> str:
    """The ignore file that the user's own configuration names ("" for none); it is theirs, so includes count."""
    asked = ("config", "--file", str(config), "--includes", "--type=path", "-z", "--get", "core.excludesFile")
    try:
        return os.fsdecode(git.run(*asked, ok=(0, 1)).rstrip(b"\0"))
    except GitFailed:
        return ""


def is_litter(path: str) -> bool:
    """Whether `path` (of a folder with a "/" at the end, or a file) is build litter, or lies in it."""
    *folders, last = path.split("/")
    return (
        any(name in _LITTER_FOLDERS for name in folders)
        or last.endswith(_LITTER_ENDS)
        or last in _LITTER_FILES
        or last.startswith(".coverage.")
    )


def is_cache_tag(path: str) -> bool:
    """Whether the file there marks its folder as a cache."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False


def _private_rule(folder: Path, top: Path) -> str:
    """An ignore rule for a folder of ours, "" if it does not lie below `top`."""
    if not folder.is_relative_to(top) or folder == top:
        return ""
    return "/" + re.sub(r"([\\*?\[\] ])", r"\\\1", folder.relative_to(top).as_posix()) + "/"
