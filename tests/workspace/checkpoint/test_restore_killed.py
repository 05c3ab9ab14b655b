"""After a kill at any system call of a restore, the next start brings the tree to old or new, never between."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.workspace.confined_open import ConfinedOpener
from kimi_agent.workspace.transaction.syscalls import FileSyscalls
from tests.workspace.checkpoint.test_restore import BY, SWAPS, go, lay, opened, stands

FOREVER = 10**6


class Killed(BaseException):
    """Stands for a kill within one process: it comes at every further call, so no handler can do anything."""


def gone() -> None:
    raise Killed


def killed() -> None:
    os._exit(9)


class Dying(FileSyscalls):
    """Real system calls (without the wait for the disk) until the one numbered `last`; it and all after it `end`."""

    def __init__(self, last: int, end: Callable[[], None]) -> None:
        super().__init__(ConfinedOpener())
        self._left = last
        self._end = end

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name.startswith("_"):
            return value
        if self._left == 0:
            self._end()
        self._left -= 1
        return (lambda *nothing: None) if name.startswith("sync") else value


def restored(folder: Path, name: str, at: int, end: Callable[[], None] = gone) -> bool:
    """Restore, killed at call `at`; True if it lived to the end."""
    old, new = ({**tree, **BY} for tree in SWAPS[name])
    lay(opened(folder).root, old)
    try:
        go(opened(folder, Dying(at, end)), old, new)
    except Killed:
        return False
    return True


def in_child(folder: Path, name: str, at: int) -> bool:
    child = os.fork()
    if child == 0:
        try:
            restored(folder, name, at, killed)
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), code
    return code == 0


def recovered(folder: Path, at: int = FOREVER) -> bool:
    """Start again, killed at call `at`; True if it lived to the end."""
    try:
        notes = opened(folder, Dying(at, gone)).recover()
    except Killed:
        return False
    assert not any("somebody else" in note for note in notes)
    return True


def judged(folder: Path, name: str) -> bool:
    """Whether the tree is new; it must be that or old, and no other name may be left anywhere."""
    old, new = (dict(sorted({**tree, **BY}.items())) for tree in SWAPS[name])
    found = stands(folder / "a workspace")
    assert found in (old, new)
    assert list((folder / "state").rglob("*.journal")) == []
    return found == new


def points(base: Path, name: str, restore: Callable[[Path, str, int], bool], every: int) -> Iterator[tuple[int, Path]]:
    """Kill a restore at every so many calls, until one lives."""
    for at in range(0, FOREVER, every):
        folder = base / f"{name} {at}"
        folder.mkdir()
        lived = restore(folder, name, at)
        yield at, folder
        if lived:
            assert judged(folder, name)
            return


def swept(base: Path, name: str, restore: Callable[[Path, str, int], bool], every: int) -> None:
    seen = []
    for _, folder in points(base, name, restore, every):
        recovered(folder)
        seen.append(judged(folder, name))
    assert seen[0] is False
    assert seen[-1] is True
    assert seen == sorted(seen), "once it is new it stays new"
    assert len(seen) * every > 10


def test_a_kill_at_a_sample_of_calls_leaves_old_or_new_after_the_next_start(tmp_path: Path) -> None:
    swept(tmp_path, "all at once", restored, 8)


def test_a_real_kill_does_the_same(tmp_path: Path) -> None:
    swept(tmp_path, "all at once", in_child, 41)


@pytest.mark.parametrize("name", [name for name in SWAPS if name != "all at once"])
def test_every_kind_of_swap_holds_at_a_sample_of_calls(tmp_path: Path, name: str) -> None:
    swept(tmp_path, name, restored, 7)


@pytest.mark.long
@pytest.mark.parametrize("name", SWAPS)
def test_a_kill_at_any_call_leaves_old_or_new_after_the_next_start(tmp_path: Path, name: str) -> None:
    swept(tmp_path, name, restored, 1)


@pytest.mark.long
def test_a_real_kill_at_any_call_does_the_same(tmp_path: Path) -> None:
    swept(tmp_path, "all at once", in_child, 1)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "starts"), [("all at once", 1), ("a folder becomes a file", 2), ("one mode", 2)])
def test_starts_that_are_killed_too_change_nothing_about_that(tmp_path: Path, name: str, starts: int) -> None:
    # Behind each kill each number of calls that a start may live for: the product is what takes long.
    for at, first in points(tmp_path, name, restored, 7 if name == "all at once" else 2):
        new = None
        for last in range(0, FOREVER, 3):
            folder = first if last == 0 else tmp_path / f"{name} {at} {last}"
            if last:
                folder.mkdir()
                restored(folder, name, at)
            through = True
            for _ in range(starts):
                through = recovered(folder, last)
            recovered(folder)
            found = judged(folder, name)
            assert new in (None, found), (at, last)
            new = found
            if through:
                break


class Failing(Dying):
    """Its `at`-th call to `call` fails; from then on it lives for `last` calls more."""

    def __init__(self, call: str, at: int, last: int) -> None:
        super().__init__(FOREVER, gone)
        self._call = call
        self._at = at
        self._last = last

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name == self._call:
            self._at -= 1
            if self._at == 0:
                self._left = self._last
                raise OSError(5, "Input/output error")
        return super().__getattribute__(name)


def undone(base: Path, name: str, call: str, *, ats: range, lasts: range) -> None:
    old, new = ({**tree, **BY} for tree in SWAPS[name])
    for at in ats:
        reached = False
        for last in lasts:
            folder = base / f"{call} {at} {last}"
            folder.mkdir()
            lay(opened(folder).root, old)
            died = True
            try:
                go(opened(folder, Failing(call, at, last)), old, new)
            except Killed:
                reached = True
            except ToolError:
                reached, died = True, False
            recovered(folder)
            judged(folder, name)
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
