"""Ways back from a destructive command: what is kept before it runs, and the sentences on what comes back.

A sentence promises only what that very snapshot holds; what it does not hold is named.
"""

import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from kimi_agent.guard.destructive.command_table import Loss
from kimi_agent.guard.destructive.target_files import is_build_output
from kimi_agent.log.events import Checkpoint
from kimi_agent.printable import list_paths
from kimi_agent.workspace.checkpoint import Checkpoints, SnapshotError

MAX_BUILD_FILE_BYTES = 1_000_000
MAX_BUILD_BYTES = 10_000_000
"""Build output that git ignores is kept as far as a command names its files, each so small, in all not more."""

_LOST = ("some", "none")

ResolveRef = Callable[[str], str]
"""The commit that a ref names now, "" where there is none."""


def select_kept_paths(losses: Iterable[Loss], workspace: Path) -> list[str]:
    """The paths that the snapshot must hold too, ignored or not: all that are destroyed, less bulky build output.

    A folder such as `dist` or `node_modules` is made again by a build or an installation; a log that is named may not.
    """
    found: list[str] = []
    room = MAX_BUILD_BYTES
    for path in dict.fromkeys(path for loss in losses for path in loss.paths):
        if not is_build_output(path):
            found.append(path)
        elif (size := _file_bytes(workspace / path)) <= min(MAX_BUILD_FILE_BYTES, room):
            found.append(path)
            room -= size
    return found


def _file_bytes(path: Path) -> int:
    """The size of a file or link, a very big number for anything else."""
    try:
        seen = path.lstat()
    except OSError:
        return MAX_BUILD_BYTES + 1
    return seen.st_size if stat.S_ISREG(seen.st_mode) or stat.S_ISLNK(seen.st_mode) else MAX_BUILD_BYTES + 1


def find_unkept_losses(losses: Iterable[Loss], before: Checkpoint, missed: Sequence[str]) -> list[Loss]:
    """The losses that a snapshot would cover, but that it failed or `missed` what they may destroy."""
    covered = (loss for loss in losses if loss.covered and not loss.refs)
    return [loss for loss in covered if before.failed or (missed and _may_strike(loss, missed))]


def _may_strike(loss: Loss, missed: Sequence[str]) -> bool:
    named = [path for path in loss.paths if not is_build_output(path)]
    return not loss.exact or any(_overlap(path, other) for path in named for other in missed)


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def describe_ways_back(
    losses: Sequence[Loss], before: Checkpoint, checkpoints: Checkpoints, resolve_ref: ResolveRef, session: str
) -> list[str]:
    """Lines on how to bring back what the command is about to destroy, and what does not come back. Blocking."""
    lines = [
        f"To bring {ref.rpartition('/')[2]} back: {loss.restore.format(commit=commit)}"
        for loss in losses
        for ref in loss.refs
        if (commit := resolve_ref(ref))
    ]
    files = [loss for loss in losses if loss.covered and not loss.refs]
    if not files or not before.tree:
        return lines
    paths = sorted({path for loss in files for path in loss.paths})
    exact = all(loss.exact for loss in files)
    try:
        shares = {path: checkpoints.held_share(before.tree, path) for path in paths}
    except (SnapshotError, OSError):
        return lines
    back = [path for path, share in shares.items() if share in ("all", "some")]
    gone = [path if share == "none" else f"{path} (some of it)" for path, share in shares.items() if share in _LOST]
    if back or not exact:
        command = f"kimi-agent rewind {session} --to {before.tree[:12]} --what code"
        what = list_paths(back) if exact else "The files as they were before (not those that git ignores, unless named)"
        verb = "comes" if exact and len(back) == 1 else "come"
        lines.append(f"{what} {verb} back with /undo or: {command}")
    if not exact:
        gone += before.missed
    return [*lines, f"Not kept, so /undo does not bring back: {list_paths(gone)}"] if gone else lines
