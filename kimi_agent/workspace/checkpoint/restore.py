"""Bringing files to what a snapshot holds: only those that differ, all or none, also when the process is killed.

Each path must still be exactly as the plan saw it. Nothing else is touched, and no git runs here.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from kimi_agent.errors import ToolError
from kimi_agent.workspace.checkpoint.values import Kept, PathChange
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.paths import guard, named
from kimi_agent.workspace.transaction.commit import Step
from kimi_agent.workspace.transaction.content_id import file_word, link_word
from kimi_agent.workspace.transaction.file_folder_swaps import parents
from kimi_agent.workspace.transaction.journal import Entry


def restore(changes: Iterable[PathChange], content: Callable[[Kept], bytes], files: Files) -> None:
    """Bring each path from its `before` to its `after`, all or none; folders that this empties go too.

    `content` is asked for one file at a time. Raises ToolError (stale, exists, missing, not_regular, io), or what
    `content` raises; then nothing has changed. Blocking.
    """
    root = str(files.root)
    steps = [_step(root, change, content) for change in changes if change.before != change.after]
    if steps:
        files.carry_out(steps, emptied=[(root, folder) for folder in _emptied(steps, _kept_open(files))])


def _step(root: str, change: PathChange, content: Callable[[Kept], bytes]) -> Step:
    _confined(change.path)
    folder, _, name = change.path.rpartition("/")
    entry = Entry(root, folder, name, named(change.path), _word(change.before), _word(change.after))
    if change.after is None:
        return Step(entry, None, None)
    mode = change.after.mode if change.after.kind == "file" else None
    return Step(entry, None, mode, load=partial(content, change.after), over_folder=True)


def _confined(path: str) -> None:
    """Refuse what no snapshot of ours can hold. Raises ToolError."""
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise ToolError("outside", f"{named(path)} is no path inside the workspace; nothing was changed")
    if any(guard(part) == "git" for part in parts):
        raise ToolError("git_internal", f"{named(path)} lies in .git; nothing was changed")


def _word(kept: Kept | None) -> str | None:
    if kept is None:
        return None
    return link_word(kept.id) if kept.kind == "link" else file_word(kept.mode, kept.id)


def _emptied(steps: Sequence[Step], stays: set[str]) -> list[str]:
    """The folders that lose a file and perhaps their last, the upper ones first."""
    found = {above for each in steps if each.deletes for above in parents(each.entry.path)}
    return sorted(found - stays, key=lambda folder: (folder.count("/"), folder))


def _kept_open(files: Files) -> set[str]:
    """The folder that commands start in, and those above it: they stay, empty or not."""
    here = os.path.relpath(files.cwd, files.root)
    return {here, *parents(here)}
