"""Differences between the index of a snapshot store and the disk, found by a few git processes at once."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kimi_agent.workspace.checkpoint.ignore_rules import CACHE_TAG_NAME, is_cache_tag
from kimi_agent.workspace.git.command import Git, GitFailed, split_nul_paths
from kimi_agent.workspace.git.git_folder import looks_like_git_folder

_SEED = ".kimi-agent-seed"
_EMPTY_BLOB = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
_IGNORED = ("ls-files", "--cached", "--ignored", "--exclude-standard", "-z")
UNLISTED = ("ls-files", "--others", "--directory", "-z")
"""Git's listing of what is beside the index: it reads no rule, and no folder of which the index holds nothing."""
_CLOSED = re.compile(rb"^warning: could not open directory '(.*?)/?': ", re.MULTILINE)


@dataclass
class IndexDifferences:
    """How index and disk differ, as paths relative to the workspace.

    `changed` are in the index and (perhaps) different on the disk, `gone` are in the index and not on the disk,
    `fresh` are new, `ignored` are in the index though a rule ignores them now, `closed` are folders that cannot be
    read, `caches` are folders (ending in "/") with a cache tag, `repositories` those that are a repository's own
    (`.git` under another name). `unlisted` is what lies on the disk beside the index, ignored or not: files, and
    folders (ending in "/") of which the index holds nothing.
    """

    changed: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    fresh: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    caches: set[str] = field(default_factory=set)
    repositories: set[str] = field(default_factory=set)
    unlisted: tuple[str, ...] = ()


def find_index_differences(
    git: Git, root: Path, inherit: Sequence[int], known_ignored: Callable[[IndexDifferences], set[str] | None] | None
) -> IndexDifferences:
    """Compare the index with the disk, by three git processes at once. Raises GitFailed.

    `known_ignored` gives `ignored` where it is still known from last time (None where not): to match each file with
    each rule takes git longer than all the rest.
    """
    diff = git.start("diff-files", "--raw", "--relative", "--ignore-submodules=none", "-z", inherit=inherit)
    others = git.start("ls-files", "--others", "--exclude-standard", "-z", inherit=inherit)
    unlisted = git.start(*UNLISTED, inherit=inherit)
    ignored = None if known_ignored else git.start(*_IGNORED, inherit=inherit)
    found = IndexDifferences()
    # Read first: it prints the most, and may wait for a full pipe.
    fresh = split_nul_paths(others.finish())
    closed = (os.fsdecode(path) for path in _CLOSED.findall(others.stderr))
    found.closed = {path for path in closed if os.path.lexists(os.path.join(root, path))}
    rows = diff.finish().split(b"\0")
    for head, name in zip(rows[0:-1:2], rows[1::2], strict=True):
        (found.gone if head.endswith(b"D") else found.changed).add(os.fsdecode(name))
    found.unlisted = tuple(split_nul_paths(unlisted.finish()))
    found.fresh = set(_without_nested(git, fresh, inherit))
    for path in found.fresh | found.changed:
        folder, _, last = path.rpartition("/")
        if last == CACHE_TAG_NAME and folder and is_cache_tag(os.path.join(root, path)):
            found.caches.add(folder + "/")
        elif last == "HEAD" and folder and path in found.fresh and looks_like_git_folder(root / folder):
            found.repositories.add(folder + "/")
    known = known_ignored(found) if known_ignored else None
    if known is None:
        known = set(split_nul_paths((ignored or git.start(*_IGNORED, inherit=inherit)).finish()))
    found.ignored = known
    return found


def _without_nested(git: Git, others: list[str], inherit: Sequence[int]) -> list[str]:
    """The files among `others`, with those of nested repositories in place of their folders.

    Git lists a nested repository only as "folder/", unless its index holds something in there: so a seed is put into
    the index, git lists again, and the seed is removed. Once real files of it are kept this is no longer needed.
    """
    seeded: set[str] = set()
    while nested := {path for path in others if path.endswith("/")} - seeded:
        seeded |= nested
        _seed(git, nested, "100644", inherit)
        listing = git.start("ls-files", "--others", "--exclude-standard", "-z", inherit=inherit)
        others = split_nul_paths(listing.finish())
    if seeded:
        _seed(git, seeded, "0", inherit)
    return [path for path in others if not path.endswith("/")]


def _seed(git: Git, folders: set[str], mode: str, inherit: Sequence[int]) -> None:
    rows = b"".join(f"{mode} {_EMPTY_BLOB}\t".encode() + os.fsencode(path + _SEED) + b"\0" for path in sorted(folders))
    git.start("update-index", "--add", "--replace", "-z", "--index-info", inherit=inherit).finish(rows)


def tracked_but_ignored(git: Git) -> set[str]:
    """The files in the index of `git` (the user's own) that a rule ignores: they are kept all the same."""
    try:
        return set(split_nul_paths(git.run(*_IGNORED)))
    except GitFailed:
        return set()  # an index that our git cannot read: of SHA-256, or split
