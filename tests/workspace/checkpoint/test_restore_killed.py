"""After a kill at any system call of a restore, the next start brings the tree to old or new, never between."""

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.workspace.checkpoint.restore import restore_files
from kimi_agent.workspace.checkpoint.snapshot_values import FolderModeChange
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.transaction.syscalls import FileSyscalls
from tests.workspace.checkpoint.test_restore import BY, SWAPS, changes, contents, restore
from tests.workspace.fault_injection import (
    FOREVER,
    Killed,
    Run,
    Tree,
    WatchedSyscalls,
    assert_old_then_new,
    fail_then_kill,
    journals,
    kill_here,
    open_files,
    read_tree,
    run_as_script,
    survives_here,
    survives_in_child,
    write_tree,
)


def restore_swap(folder: Path, name: str, at: int, run: Run) -> bool:
    """Restore, killed at call `at`; True if it lived to the end."""
    old, new = ({**tree, **BY} for tree in SWAPS[name])
    write_tree(open_files(folder).root, old)
    return run(at, lambda syscalls: restore(open_files(folder, syscalls), old, new))


def start(folder: Path, at: int = FOREVER) -> bool:
    """Start again, killed at call `at`; True if it lived to the end."""

    def recover(syscalls: FileSyscalls) -> None:
        notes = open_files(folder, syscalls).recover()
        assert not any("somebody else" in note for note in notes)

    return survives_here(at, recover)


def is_new(folder: Path, name: str) -> bool:
    """Whether the tree is new; it must be that or old, and no other name may be left anywhere."""
    old, new = (dict(sorted({**tree, **BY}.items())) for tree in SWAPS[name])
    found = read_tree(folder / "a workspace")
    assert found in (old, new)
    assert journals(folder) == []
    return found == new


def points(base: Path, name: str, run: Run, every: int) -> Iterator[tuple[int, Path]]:
    """Kill a restore at every so many calls, until one lives."""
    for at in range(0, FOREVER, every):
        folder = base / f"{name} {at}"
        lived = restore_swap(folder, name, at, run)
        yield at, folder
        if lived:
            assert is_new(folder, name)
            return


def sweep(base: Path, name: str, run: Run, every: int) -> Iterator[bool]:
    for _, folder in points(base, name, run, every):
        start(folder)
        yield is_new(folder, name)


def sweep_in_children(base: str, name: str, every: int) -> Iterator[bool]:
    return sweep(Path(base), name, survives_in_child, every)


def judge(sides: list[bool], every: int) -> None:
    assert_old_then_new(sides)
    assert len(sides) * every > 10


def test_a_kill_at_a_sample_of_calls_leaves_old_or_new_after_the_next_start(tmp_path: Path) -> None:
    judge(list(sweep(tmp_path, "all at once", survives_here, 8)), 8)


def test_a_real_kill_does_the_same(tmp_path: Path) -> None:
    judge(run_as_script(sweep_in_children, tmp_path, "all at once", 41), 41)


@pytest.mark.parametrize("name", [name for name in SWAPS if name != "all at once"])
def test_every_kind_of_swap_holds_at_a_sample_of_calls(tmp_path: Path, name: str) -> None:
    judge(list(sweep(tmp_path, name, survives_here, 7)), 7)


@pytest.mark.long
@pytest.mark.parametrize("name", SWAPS)
def test_a_kill_at_any_call_leaves_old_or_new_after_the_next_start(tmp_path: Path, name: str) -> None:
    judge(list(sweep(tmp_path, name, survives_here, 1)), 1)


@pytest.mark.long
def test_a_real_kill_at_any_call_does_the_same(tmp_path: Path) -> None:
    judge(run_as_script(sweep_in_children, tmp_path, "all at once", 1), 1)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "starts"), [("all at once", 1), ("a folder becomes a file", 2), ("one mode", 2)])
def test_starts_that_are_killed_too_change_nothing_about_that(tmp_path: Path, name: str, starts: int) -> None:
    # Behind each kill each number of calls that a start may live for: the product is what takes long.
    for at, first in points(tmp_path, name, survives_here, 7 if name == "all at once" else 2):
        new = None
        for last in range(0, FOREVER, 3):
            folder = first if last == 0 else tmp_path / f"{name} {at} {last}"
            if last:
                restore_swap(folder, name, at, survives_here)
            through = True
            for _ in range(starts):
                through = start(folder, last)
            start(folder)
            found = is_new(folder, name)
            assert new in (None, found), (at, last)
            new = found
            if through:
                break


FOLDERS: tuple[Tree, Tree] = ({"d/f": "644 old", "gone/g": "644 g"}, {"d/f": "644 new", "e/h": "600 h"})


def folder_modes(root: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in sorted(root.iterdir())}


def restore_with_modes(files: Files) -> None:
    old, new = FOLDERS
    change = FolderModeChange("d", 0o700, 0o555)
    restore_files(changes(old, new), contents(new), files, folder_mode={"e": 0o2750}.get, folder_changes=[change])


@pytest.mark.parametrize("error", [None, 5], ids=["killed", "failed"])
def test_the_modes_of_folders_are_old_or_new_with_their_files(tmp_path: Path, error: int | None) -> None:
    sides = []
    for at in range(FOREVER):
        folder = tmp_path / str(at)
        root = open_files(folder).root
        write_tree(root, FOLDERS[0])
        (root / "d").chmod(0o700)
        old = folder_modes(root)

        def befall(number: int, name: str, at: int = at) -> None:
            if error and number == at:
                raise OSError(error, "Input/output error")
            if not error and number >= at:
                kill_here()

        syscalls = WatchedSyscalls(befall)
        with contextlib.suppress(Killed, ToolError):
            restore_with_modes(open_files(folder, syscalls))
        start(folder)
        is_new = read_tree(root) == FOLDERS[1]
        assert is_new or read_tree(root) == FOLDERS[0]
        # A mode that could not be set fails nothing.
        lenient = error and syscalls._names[at : at + 1] in (["chmod"], ["folder"])
        assert lenient or folder_modes(root) == ({"d": 0o555, "e": 0o2750} if is_new else old), at
        assert journals(folder) == []
        sides.append(is_new)
        if len(syscalls._names) <= at:
            break
    if not error:
        assert_old_then_new(sides)
    assert len(sides) > 60


def undone(base: Path, name: str, call: str, *, ats: range, lasts: range) -> None:
    old, new = ({**tree, **BY} for tree in SWAPS[name])
    for at in ats:
        reached = False
        for last in lasts:
            folder = base / f"{call} {at} {last}"
            write_tree(open_files(folder).root, old)
            died = True
            try:
                restore(open_files(folder, WatchedSyscalls(fail_then_kill(call, at, last))), old, new)
            except Killed:
                reached = True
            except ToolError:
                reached, died = True, False
            start(folder)
            is_new(folder, name)
            if not died:
                break
        if not reached:
            return


def test_a_kill_while_an_error_is_undone_leaves_old_or_new(tmp_path: Path) -> None:
    undone(tmp_path, "a folder becomes a file", "rename", ats=range(1, 9, 3), lasts=range(0, 60, 4))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SWAPS)
@pytest.mark.parametrize("call", ["rename", "link", "rmdir", "mkdir", "symlink", "open", "folder"])
def test_the_same_for_an_error_of_each_kind_of_call(tmp_path: Path, name: str, call: str) -> None:
    undone(tmp_path, name, call, ats=range(1, 40, 5), lasts=range(0, 90, 5))
