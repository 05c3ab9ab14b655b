"""Preconditions of a file transaction: each path must be as its entry says, and no folder may be in the way."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from operator import attrgetter

from kimi_agent.errors import ToolError
from kimi_agent.workspace.paths import parent_folders
from kimi_agent.workspace.transaction import content_id, recovery
from kimi_agent.workspace.transaction.journal import JournalEntry
from kimi_agent.workspace.transaction.syscalls import FileSyscalls

_WRITTEN_STATE = attrgetter("st_ino", "st_mode", "st_size", "st_mtime_ns")


def check_before_state(entry: JournalEntry, syscalls: FileSyscalls) -> os.stat_result | None:
    """The stat of the file at `entry`, None for nothing. Raises ToolError where it is not as `entry.before` says."""
    fits = False
    try:
        with recovery.open_folder(syscalls, entry.root, entry.folder) as folder:
            found = content_id.lstat_at(folder, entry.name)
            expected = stat.S_ISLNK if content_id.is_link_id(entry.before) else stat.S_ISREG
            regular = found is not None and expected(found.st_mode)
            if regular and entry.before is not None:
                fits = content_id.path_matches(folder, entry.name, entry.before)
    except (FileNotFoundError, NotADirectoryError):
        found, regular = None, False
    except OSError as error:
        raise rolled_back_error(error, entry.shown) from error
    if found is None:
        if entry.before is not None:
            raise ToolError("missing", f"{entry.shown} is gone; nothing was written", "look at its folder again")
        return None
    if not regular:
        raise ToolError("not_regular", f"{entry.shown} is not an ordinary file; nothing was written")
    if entry.before is None:
        raise already_exists_error(entry.shown)
    if not fits:
        raise changed_on_disk_error(entry.shown)
    return found


def find_missing_folders(entry: JournalEntry, syscalls: FileSyscalls) -> Iterator[tuple[str, str]]:
    """Find the folders above `entry` that must be made (root, relative), the upper ones first. Raises ToolError."""
    for relative in parent_folders(entry.path):
        try:
            os.close(syscalls.folder(entry.root, relative))
        except FileNotFoundError:
            yield entry.root, relative
        except NotADirectoryError as error:
            text = f"{relative} is a file, so {entry.shown} cannot lie in it; nothing was written"
            raise ToolError("not_regular", text, "choose another path") from error
        except OSError as error:
            raise rolled_back_error(error, entry.shown) from error


def find_folders_to_clear(
    coming: Sequence[JournalEntry], entries: Sequence[JournalEntry], syscalls: FileSyscalls
) -> tuple[tuple[str, str, int], ...]:
    """Find the folders in the place of `coming` files, with those below (root, relative, mode), the upper ones first.

    Raises ToolError where such a folder holds more than what `entries` delete.
    """
    going = {(entry.root, entry.path) for entry in entries if entry.after is None}
    found: list[tuple[str, str, int]] = []
    for entry in coming:
        try:
            folder = syscalls.folder(entry.root, entry.path)
        except OSError:
            continue  # no folder
        try:
            found += _walk(folder, entry.root, entry.path, going)
        finally:
            os.close(folder)
    return tuple(found)


def _walk(folder: int, root: str, path: str, going: set[tuple[str, str]]) -> Iterator[tuple[str, str, int]]:
    yield root, path, stat.S_IMODE(os.fstat(folder).st_mode)
    with os.scandir(folder) as entries:
        found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_folder in found:
        below = f"{path}/{name}"
        if is_folder:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                yield from _walk(fd, root, below, going)
            finally:
                os.close(fd)
        elif (root, below) not in going:
            text = f"{path} is to be a file again, but the folder there holds {below}, which stays; nothing was written"
            raise ToolError("exists", text, "move it away first")


def is_same_file(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether nobody wrote the file in between (our own links and renames change only its ctime)."""
    return bool(_WRITTEN_STATE(one) == _WRITTEN_STATE(other))


@contextlib.contextmanager
def os_error_as_tool_error(shown: str) -> Iterator[None]:
    """Turn an OSError at `shown` into a ToolError for the model, which is raised once all is undone."""
    try:
        yield
    except OSError as error:
        raise rolled_back_error(error, shown) from error


def rolled_back_error(error: OSError, shown: str) -> ToolError:
    """The error for a failed system call: the path, and what the system reported."""
    name = errno.errorcode.get(error.errno or 0, "")
    return ToolError("io", f"{shown}: {error.strerror} ({name}); rolled back, nothing changed")


def already_exists_error(shown: str) -> ToolError:
    """The error for something in the place of a new file."""
    return ToolError("exists", f"{shown} exists already; nothing was written", "read it, then change it")


def changed_on_disk_error(shown: str) -> ToolError:
    """The error for a file that somebody else wrote."""
    return ToolError("stale", f"{shown} changed on disk since it was read; nothing was written", "read it again")
