"""Folder modes in a file transaction: opened for their owner while it works, set at its end, put back if it fails.

Every function may be interrupted and called again, and passes over a folder whose mode somebody else has set since. A
mode that may not be set (another owner's folder) is left: it fails no transaction.
"""

import contextlib
import os
import stat
from collections.abc import Iterable

from kimi_agent.workspace.transaction.journal import FolderMode
from kimi_agent.workspace.transaction.syscalls import FileSyscalls

_OWNER = 0o700


def open_folder_modes(modes: Iterable[FolderMode], syscalls: FileSyscalls) -> None:
    """Give the folders that are there their new mode, and all rights to their owner."""
    for each in sorted(modes, key=_depth):
        if each.before is not None:
            _change(each, (each.before,), each.after | _OWNER, syscalls)


def set_folder_modes(modes: Iterable[FolderMode], syscalls: FileSyscalls) -> None:
    """Give all of the folders their new mode, also those that were made; the lower ones first."""
    for each in sorted(modes, key=_depth, reverse=True):
        _change(each, None if each.before is None else (each.before, each.after | _OWNER), each.after, syscalls)


def put_back_folder_modes(modes: Iterable[FolderMode], syscalls: FileSyscalls) -> None:
    """Give the folders that were there the mode that they had."""
    for each in sorted(modes, key=_depth, reverse=True):
        if each.before is not None:
            _change(each, (each.after, each.after | _OWNER), each.before, syscalls)


def _depth(each: FolderMode) -> int:
    return each.relative.count("/")


def _change(each: FolderMode, only_from: tuple[int, ...] | None, mode: int, syscalls: FileSyscalls) -> None:
    with contextlib.suppress(OSError):
        folder = syscalls.folder(each.root, each.relative)
        try:
            found = stat.S_IMODE(os.fstat(folder).st_mode)
            if found != mode and (only_from is None or found in only_from):
                syscalls.chmod(folder, mode)
        finally:
            os.close(folder)
