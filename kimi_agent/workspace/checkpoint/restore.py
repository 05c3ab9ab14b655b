"""Restore of files to a snapshot: only those that differ, all or none, also when the process is killed.

Each path must still be exactly as the plan saw it. Nothing else is touched, and no git runs here.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

from kimi_agent.errors import ToolError
from kimi_agent.printable import escape_path
from kimi_agent.workspace.checkpoint.snapshot_values import FolderModeChange, PathChange, TreeEntry
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.git.git_folder import looks_like_git_folder
from kimi_agent.workspace.paths import find_protected_folder, parent_folders
from kimi_agent.workspace.transaction.commit import CommitStep
from kimi_agent.workspace.transaction.commit_options import CommitOptions, Recording
from kimi_agent.workspace.transaction.content_id import file_content_id, link_content_id
from kimi_agent.workspace.transaction.journal import FolderMode, JournalEntry


def restore_files(
    changes: Iterable[PathChange],
    content: Callable[[TreeEntry], bytes],
    files: Files,
    recording: Recording | None = None,
    *,
    folder_mode: Callable[[str], int | None] = lambda path: None,
    folder_changes: Iterable[FolderModeChange] = (),
    stood_empty: Collection[str] = (),
) -> None:
    """Bring each path from its `before` to its `after`, all or none; folders that this empties go too.

    Those in `stood_empty` (with a "/" at the end), and what is above them, stay: they were there without a file.
    A folder that is made again gets the bits that `folder_mode` knows; those of others change by `folder_changes`.
    `content` is asked for one file at a time; `recording` is done once all is in place. Raises ToolError (stale,
    exists, missing, not_regular, io), or what `content` raises; then nothing has changed. Blocking.
    """
    root = str(files.root)
    steps = [_step(root, change, content) for change in changes if change.before != change.after]
    modes = [FolderMode(root, each.path, each.before, each.after) for each in folder_changes]
    modes += _made_folders(steps, root, folder_mode)
    if steps or modes:
        stay = {folder for path in stood_empty for folder in parent_folders(path)}
        emptied = [(root, folder) for folder in _emptied_folders(steps, files) if folder not in stay]
        files.commit_steps(steps, CommitOptions(emptied, recording, modes))


def find_unrestorable(changes: Iterable[PathChange], files: Files) -> dict[str, str]:
    """The paths that no restore can bring back as they are now, and why: the rest can go without them."""
    found: dict[str, str] = {}
    changes = list(changes)
    in_repository = cache(lambda folder: looks_like_git_folder(files.root / folder))
    going = {files.root / change.path for change in changes if change.after is None}
    for change in changes:
        try:
            _check_confined(change.path)
        except ToolError:
            found[change.path] = "no snapshot may hold such a name"
            continue
        place = files.root / change.path
        if change.after is None and any(map(in_repository, parent_folders(change.path))):
            # `.git` under another name, and tracked as if it were files: its old place cannot be restored.
            found[change.path] = "it belongs to a repository's own folder"
        elif _is_special(place):
            found[change.path] = "something else than a file is there"
        elif change.after is not None and _holds_others(place, going):
            found[change.path] = "a folder that holds something else is there"
        elif change.after is not None and _is_below_file(files.root, change.path, going):
            found[change.path] = "something that no snapshot holds is where its folder was"
        elif not os.access(_nearest_folder(place.parent), os.W_OK | os.X_OK):
            found[change.path] = "its folder is write-protected"
    return found


@contextlib.contextmanager
def made_readable(root: Path, paths: Iterable[str]) -> Iterator[set[str]]:
    """Let their owner read the files and folders `paths` meanwhile; yields a set for the paths that are restored.

    What is not among them has its mode again afterwards; a folder stays open for what was restored in it.
    """
    restored = set[str]()
    opened: dict[Path, tuple[int, int]] = {}
    try:
        for path in sorted(paths):
            place = root / path
            with contextlib.suppress(OSError):
                mode = os.lstat(place).st_mode
                needed = 0o700 if stat.S_ISDIR(mode) else 0o400
                if (stat.S_ISDIR(mode) or stat.S_ISREG(mode)) and mode & needed != needed:
                    place.chmod(stat.S_IMODE(mode) | needed)
                    opened[place] = stat.S_IMODE(mode), stat.S_IMODE(mode) | needed
        yield restored
    finally:
        stay = {root / folder for path in restored for folder in parent_folders(path)}
        for place, (mode, changed) in reversed([each for each in opened.items() if each[0] not in stay]):
            with contextlib.suppress(OSError):
                if stat.S_IMODE(os.lstat(place).st_mode) == changed:
                    place.chmod(mode)


def _step(root: str, change: PathChange, content: Callable[[TreeEntry], bytes]) -> CommitStep:
    _check_confined(change.path)
    folder, _, name = change.path.rpartition("/")
    before, after = _content_id(change.before), _content_id(change.after)
    entry = JournalEntry(root, folder, name, escape_path(change.path), before, after)
    if change.after is None:
        return CommitStep(entry, None, None)
    mode = change.after.mode if change.after.kind == "file" else None
    return CommitStep(entry, None, mode, load=partial(content, change.after), over_folder=True)


def _is_special(place: Path) -> bool:
    """Whether there is a pipe, a socket or a device."""
    try:
        mode = os.lstat(place).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode))


def _holds_others(place: Path, going: Collection[Path]) -> bool:
    """Whether there is a folder in which something would stay."""
    if not _is_folder(place):
        return False
    return any(Path(folder, name) not in going for folder, _, names in os.walk(place) for name in names)


def _is_below_file(root: Path, path: str, going: Collection[Path]) -> bool:
    """Whether something else than a folder is above the path, and stays."""
    above = [root / folder for folder in parent_folders(path)]
    return any(os.path.lexists(each) and not _is_folder(each) and each not in going for each in above)


def _is_folder(place: Path) -> bool:
    return place.is_dir() and not place.is_symlink()


def _nearest_folder(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def _check_confined(path: str) -> None:
    """Refuse a path that no snapshot of ours can hold. Raises ToolError."""
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise ToolError("outside", f"{escape_path(path)} is no path inside the workspace; nothing was changed")
    if any(find_protected_folder(part) == "git" for part in parts):
        raise ToolError("git_internal", f"{escape_path(path)} lies in .git; nothing was changed")


def _content_id(entry: TreeEntry | None) -> str | None:
    if entry is None:
        return None
    return link_content_id(entry.id) if entry.kind == "link" else file_content_id(entry.mode, entry.id)


def _made_folders(
    steps: Sequence[CommitStep], root: str, folder_mode: Callable[[str], int | None]
) -> Iterator[FolderMode]:
    """The folders that a file comes into and that are not there, as far as their bits are known."""
    for path in sorted({above for each in steps if not each.deletes for above in parent_folders(each.entry.path)}):
        whole = Path(root, path)
        if (whole.is_symlink() or not whole.is_dir()) and (mode := folder_mode(path)) is not None:
            yield FolderMode(root, path, None, mode)


def _emptied_folders(steps: Sequence[CommitStep], files: Files) -> list[str]:
    """The folders that lose a file, perhaps their last one, the upper ones first."""
    found = {above for each in steps if each.deletes for above in parent_folders(each.entry.path)}
    # The folder that commands start in, and those above it, stay, empty or not.
    here = os.path.relpath(files.cwd, files.root)
    return sorted(found - {here, *parent_folders(here)}, key=lambda folder: (folder.count("/"), folder))
