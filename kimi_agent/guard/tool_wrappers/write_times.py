"""Write times of a call's changes: finds what was last written apart from all else that the call did.

No system says which process wrote a file, but a person saves one now and then, while a command writes when it begins,
in a row, or when it ends. So what lies apart from all of that may be the person's. In a call that writes nothing
between its ends, somebody else's file goes unnoticed for `LONG_S` in all, no longer than beside a short call.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from kimi_agent.workspace.checkpoint.snapshot_values import PathChange

LONG_S = 2.0
"""A call that ran so long, in seconds, leaves a person the time to save a file meanwhile."""
_END_S = LONG_S / 2
_GAP_S = 0.5
# What the kernel stamps a file with is a tick behind the clock: 4 ms, up to 10.
_TICK_S = 0.02


def read_write_times(root: Path, changes: Iterable[PathChange]) -> dict[str, float]:
    """When each changed path was last written (Unix seconds); of one that is gone, when its folder was.

    Blocking; nothing is read but the stat.
    """
    found: dict[str, float] = {}
    for change in changes:
        place = root / change.path
        if change.after is None:
            folder = next(each for each in place.parents if each.is_dir())
            found[change.path] = folder.stat().st_mtime
        else:
            try:
                found[change.path] = os.lstat(place).st_ctime
            except OSError:  # gone again since
                found[change.path] = float("inf")
    return found


def find_apart(times: Mapping[str, float], began: float, ended: float) -> tuple[str, ...]:
    """The paths last written apart from the beginning and the end of a call, and from its other writes; by name."""
    inside = sorted((time, path) for path, time in times.items() if began - _TICK_S <= time <= ended + _TICK_S)
    near = set[str]()
    for end, row in ((began, inside), (ended, inside[::-1])):
        at = end
        for time, path in row:
            if abs(time - end) > _END_S and abs(time - at) > _GAP_S:
                break
            near.add(path)
            at = time
    return tuple(sorted(times.keys() - near))
