"""What stands in a folder, and what a snapshot holds, in one shape that can be compared."""

import os
import stat
from pathlib import Path

from kimi_agent.workspace.checkpoint import Checkpoints

State = dict[str, tuple[str, int, bytes]]


def on_disk(root: Path) -> State:
    """Every file and link below `root` but those in .git, as (kind, mode, content)."""
    found: State = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name != ".git"]
        for name in (*files, *(name for name in folders if os.path.islink(os.path.join(folder, name)))):
            path = os.path.join(folder, name)
            shown = os.path.relpath(path, root)
            if os.path.islink(path):
                found[shown] = ("link", 0, os.fsencode(os.readlink(path)))
            elif stat.S_ISREG(os.stat(path).st_mode):
                found[shown] = ("file", os.stat(path).st_mode & 0o777, Path(path).read_bytes())
    return found


def held(checkpoints: Checkpoints, tree: str) -> State:
    """All that a snapshot holds, read back."""
    return {
        change.path: (change.after.kind, change.after.mode, checkpoints.content(change.after))
        for change in checkpoints.changes("", tree)
        if change.after
    }
