"""Protected paths, which no command may remove: the machine's folders, the home, the workspace and their parents.

For example `rm -rf ~/"$X"`: the word expands to the home folder and something unknown below it, and the home folder
must stay.
"""

import os
import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from kimi_agent.guard.shell.expansion import (
    PathParts,
    ShellState,
    WordValue,
    join_parts,
    resolve_places,
    split_path,
    takes_all,
    unescape_pattern,
    without_patterns,
)
from kimi_agent.guard.shell.mounts import find_mounted


@dataclass(frozen=True)
class ForbiddenEffect:
    """Why a command is not to run; `certain` is False where only its run would show what it does."""

    why: str
    certain: bool


def check_removal(
    value: WordValue, state: ShellState, *, workspace_too: bool = True, follow_last: bool = False
) -> ForbiddenEffect | None:
    """What would be lost if the tree at `value` went; None if nothing that must stay.

    Without `workspace_too` the workspace itself may be meant (to change modes in it is everyday work). `follow_last`
    says that a link at the path itself is followed too.
    """
    if state.mounts is not None:
        return _check_in_container(value, state, workspace_too=workspace_too)
    if value.starts_unknown:
        shown = unescape_pattern(value.text) or "an expansion"
        return ForbiddenEffect(f"what it removes is only known when it runs ({shown})", certain=False)
    sure = not value.has_unknown and len(state.cwds) == 1
    for cwd in state.cwds:
        for place in resolve_places(value.text, cwd, state, follow_last=follow_last):
            if forbidden := _loss(place, state, workspace_too=workspace_too):
                return ForbiddenEffect(forbidden.why, forbidden.certain and sure)
    return None


def _check_in_container(value: WordValue, state: ShellState, *, workspace_too: bool) -> ForbiddenEffect | None:
    """What would be lost on this machine: only what is mounted at the path, above or below it."""
    here = replace(state, mounts=None)
    for text in dict.fromkeys(find_mounted(value, state)):
        if forbidden := check_removal(text, here, workspace_too=workspace_too):
            return forbidden
    return None


_TOP = (
    *("bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "media", "mnt", "opt", "proc", "root", "run"),
    *("sbin", "srv", "sys", "usr", "var", "System", "Library", "Applications", "Users", "Volumes", "private"),
)
_USR = frozenset({"bin", "sbin", "lib", "lib64", "local", "share", "include", "libexec"})


def _loss(parts: PathParts | None, state: ShellState, *, workspace_too: bool) -> ForbiddenEffect | None:
    """Why `parts` must stay; None if it need not."""
    if parts is None:
        return ForbiddenEffect("it would remove all of a folder that is only known when it runs", certain=False)
    contents = bool(parts) and takes_all(parts[-1])
    parts = without_patterns(parts)
    homes, workspaces = _spellings(state.home), _spellings(state.workspace)
    shown = join_parts(parts)
    why = ""
    if not parts:
        why = "it would remove / and everything below it"
    elif any(_same(parts, home) for home in homes):
        why = "it would remove the home folder"
    elif any(_same(parts, workspace) for workspace in workspaces):
        why = "it would remove the workspace itself" if workspace_too else ""
    elif any(_same(parts, home[: len(parts)]) for home in homes):
        why = f"it would remove {shown}, in which the home folder lies"
    elif any(_same(parts, workspace[: len(parts)]) for workspace in workspaces):
        why = f"it would remove {shown}, in which the workspace lies"
    elif workspace_too and any(_same(parts, (*workspace, ".git")) for workspace in workspaces):
        return ForbiddenEffect("it would remove .git, the history of the workspace", certain=False)
    elif len(parts) == 1 and not (contents and parts[0] == "tmp"):
        why = f"it would remove {shown}, a folder at the top of this machine"
        return ForbiddenEffect(why, certain=any(_name_fits(name, parts[0]) for name in _TOP))
    elif len(parts) == 2 and (parts[0] in {"home", "Users"} or (parts[0] == "usr" and parts[1] in _USR)):
        why = f"it would remove {shown}, which others need"
    return ForbiddenEffect(why, certain=True) if why else None


def _spellings(folder: Path) -> tuple[PathParts, ...]:
    """A folder of ours as it is named, and as its links lead."""
    return tuple(dict.fromkeys((split_path(folder), split_path(Path(os.path.realpath(folder))))))


def _same(pattern: PathParts, path: PathParts) -> bool:
    """Whether `pattern` may stand for `path` (both in the notation of fnmatch; `path` is literal)."""
    plain = [re.sub(r"\[(.)\]", r"\1", name) for name in path]
    return len(pattern) == len(path) and all(map(_name_fits, plain, pattern))


def _name_fits(name: str, pattern: str) -> bool:
    hidden = name.startswith(".") and pattern[0] in "*?["  # a shell's pattern passes over hidden names
    return not hidden and fnmatchcase(name, pattern)
