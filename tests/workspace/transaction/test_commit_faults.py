"""A commit of every kind of change, with a fault or a death at each system call, short writes, and a full disk."""

import errno
import hashlib
import os
import random
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.workspace.file_change import FileChange
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.transaction.syscalls import FileSyscalls
from tests.builders import make_files
from tests.workspace.fault_injection import (
    Killed,
    WatchedSyscalls,
    assert_old_then_new,
    fork,
    journals,
    kill_here,
    kill_process,
    open_files,
    run_as_script,
)

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)
LATE = ("mkdir", "rmdir", "link", "rename", "unlink", "write", "chmod", "like", "sync", "mark", "remove")
LONG_AGO_NS = 946_684_800_123_456_789


@dataclass(frozen=True)
class Fault:
    """What befalls call number `at`: `error` is an errno, None a death; `late`: the call takes effect before that."""

    at: int
    error: int | None
    late: bool = False


def faulty(faults: Sequence[Fault] = (), chunk: int = 1 << 30) -> WatchedSyscalls:
    """System calls of which some fail; writes put out `chunk` bytes at most."""
    by_number = {fault.at: fault for fault in faults}

    def before(number: int, name: str) -> None:
        fault = by_number.get(number)
        if fault is not None and not (fault.late and name in LATE):
            befall(fault)

    def after(number: int, name: str) -> None:
        if number in by_number:
            befall(by_number[number])

    return WatchedSyscalls(before, after, chunk)


def befall(fault: Fault) -> None:
    if fault.error is None:
        kill_process()
    raise OSError(fault.error, os.strerror(fault.error))


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def prepare(base: Path) -> list[FileChange]:
    """A tree under `base`, and a commit of every kind of change to it."""
    root = base / "a workspace"
    for name, data, mode in (
        ("run.sh", b"old run\n", 0o755),
        ("sub/real.py", b"old real\n", 0o644),
        ("twin.py", b"old twin\n", 0o640),
        ("gone.py", b"going\n", 0o644),
        ("moved/away.py", b"moving\n", 0o600),
        ("mode.sh", b"same\n", 0o644),
        ("empty", b"", 0o444),
        ("by/stander", b"by\n", 0o600),
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)
    (root / "link.py").symlink_to("sub/real.py")
    os.link(root / "twin.py", base / "other twin")
    os.link(root / "gone.py", base / "other gone")
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    return [
        FileChange("run.sh", sha(b"old run\n"), b"new run\n" * 40),
        FileChange("link.py", sha(b"old real\n"), b"new real\n"),
        FileChange("new/folder/deep.py", None, b"fresh\n"),
        FileChange("new/folder/tool.sh", None, b"tool\n", 0o755),
        FileChange("twin.py", sha(b"old twin\n"), b"new twin\n"),
        FileChange("gone.py", sha(b"going\n"), None),
        FileChange("moved/away.py", sha(b"moving\n"), None),
        FileChange("moved/here.py", None, b"moving\n", 0o600),
        FileChange("mode.sh", sha(b"same\n"), b"same\n", 0o755),
        FileChange("empty", sha(b""), b"no more\n"),
    ]


SINGLES = (0, 1, 2, 5)  # of the changes above: updates, a creation, a deletion, each a commit of its own

Tree = dict[str, tuple[Any, ...]]


def tree(base: Path) -> Tree:
    """All that can be seen of the tree: what each name is, its bytes, mode and time, and which names are one file."""
    found: Tree = {}
    names: dict[int, list[str]] = {}
    for path in sorted((*(base / "a workspace").rglob("*"), base / "other twin", base / "other gone")):
        name, seen = str(path.relative_to(base)), path.lstat()
        if stat.S_ISLNK(seen.st_mode):
            found[name] = ("link", os.readlink(path))
        elif stat.S_ISDIR(seen.st_mode):
            found[name] = ("folder", stat.S_IMODE(seen.st_mode))
        else:
            names.setdefault(seen.st_ino, []).append(name)
            found[name] = ("file", path.read_bytes(), stat.S_IMODE(seen.st_mode), seen.st_mtime_ns, seen.st_nlink)
    return found | {f"one file: {', '.join(each)}": () for each in names.values() if len(each) > 1}


def without_times(found: Tree) -> dict[str, Any]:
    """The same without the times, which a commit sets."""
    return {name: (*seen[:3], *seen[4:]) for name, seen in found.items()}


@dataclass(frozen=True)
class Tried:
    """One commit in a folder of its own: what its tree was before it, and must be once it holds."""

    base: Path
    changes: list[FileChange]
    old: Tree

    def commit(self, syscalls: FileSyscalls) -> ToolError | None:
        return self.commit_to(open_files(self.base, syscalls))

    def commit_whole(self, syscalls: FileSyscalls) -> None:
        assert self.commit(syscalls) is None

    def commit_to(self, files: Files) -> ToolError | None:
        try:
            files.commit(self.changes)
        except ToolError as error:
            return error
        return None


def ready(base: Path, which: Sequence[int] = ()) -> Tried:
    base.mkdir(parents=True)
    changes = prepare(base)
    return Tried(base, [changes[at] for at in which] or changes, tree(base))


def undisturbed(base: Path, which: Sequence[int] = ()) -> tuple[dict[str, Any], list[str]]:
    """The tree after the commit, and the names of its calls."""
    tried, syscalls = ready(base, which), faulty()
    assert tried.commit(syscalls) is None
    assert journals(base) == []
    return without_times(tree(base)), syscalls._names


def check(tried: Tried, new: dict[str, Any], faults: Sequence[Fault], chunk: int = 1 << 30) -> bool:
    """A commit under `faults`: as it was at once, or done and without a trace after the next start."""
    error = tried.commit(faulty(faults, chunk))
    if error is not None:
        assert error.code == "io", (faults, error)
        assert tree(tried.base) == tried.old, faults
        assert journals(tried.base) == [], faults
        return False
    open_files(tried.base).recover()  # a fault after the commit held leaves at most a second name
    assert without_times(tree(tried.base)) == new, faults
    assert journals(tried.base) == [], faults
    return True


def test_a_commit_of_every_kind_of_change_is_what_its_changes_say(tmp_path: Path) -> None:
    new, names = undisturbed(tmp_path / "x")
    root = "a workspace/"
    assert new[root + "run.sh"] == ("file", b"new run\n" * 40, 0o755, 1)
    assert new[root + "link.py"] == ("link", "sub/real.py")
    assert new[root + "sub/real.py"] == ("file", b"new real\n", 0o644, 1)
    assert new[root + "new/folder/tool.sh"] == ("file", b"tool\n", 0o755, 1)
    assert new[root + "twin.py"] == ("file", b"new twin\n", 0o640, 1)
    assert new["other twin"] == ("file", b"old twin\n", 0o640, 1)
    assert new["other gone"] == ("file", b"going\n", 0o644, 1)
    assert new[root + "moved/here.py"] == ("file", b"moving\n", 0o600, 1)
    assert new[root + "mode.sh"] == ("file", b"same\n", 0o755, 1)
    assert new[root + "empty"] == ("file", b"no more\n", 0o444, 1)
    assert root + "gone.py" not in new
    assert not any(".kimi-agent-" in name for name in new)
    assert set(LATE) - {"rmdir"} <= set(names)


def test_a_fault_at_a_call_leaves_bytes_modes_times_and_links_as_they_were(tmp_path: Path) -> None:
    new, names = undisturbed(tmp_path / "whole")
    held = []
    for at in range(0, len(names), 4):  # every call has its turn below
        fault = Fault(at, ERRORS[at % 3], late=at % 2 == 1)
        held.append(check(ready(tmp_path / str(at)), new, [fault]))
    # Once the last file is in its place the commit holds, whatever fails after that.
    assert held == sorted(held)
    assert 15 < held.index(True) < len(held)


@pytest.mark.long
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    ("which", "late"), [((), False), ((), True), *(((each,), False) for each in SINGLES)]
)  # a single file has no second name: what its one rename did before it failed can't be taken back
def test_each_error_at_each_call(tmp_path: Path, which: tuple[int, ...], error: int, late: bool) -> None:
    new, names = undisturbed(tmp_path / "whole", which)
    for at in range(len(names)):
        check(ready(tmp_path / str(at), which), new, [Fault(at, error, late)])


def test_short_writes_are_carried_on_and_a_fault_between_them_is_undone(tmp_path: Path) -> None:
    new, _ = undisturbed(tmp_path / "whole")
    names: list[str] = []
    for chunk in (1, 7):
        tried, syscalls = ready(tmp_path / f"{chunk}"), faulty(chunk=chunk)
        assert tried.commit(syscalls) is None
        assert without_times(tree(tried.base)) == new
        names = names or syscalls._names
    writes = [at for at, name in enumerate(names) if name == "write"]
    assert len(writes) > 300
    for at in writes[1::40]:
        assert not check(ready(tmp_path / f"at {at}"), new, [Fault(at, errno.ENOSPC)], chunk=1)


def failing(*calls: tuple[str, int]) -> WatchedSyscalls:
    """System calls of which these fail (0: this one does not), each the first of its name after the one before it."""
    left = list(calls)

    def before(number: int, name: str) -> None:
        if left and name == left[0][0]:
            error = left.pop(0)[1]
            if error:
                raise OSError(error, os.strerror(error))

    return WatchedSyscalls(before)


@pytest.mark.parametrize(
    "calls",
    [
        # Marked ready, but that may not have reached the disk; then a temporary name stays.
        (("mark", 0), ("sync", errno.ENOSPC), ("unlink", errno.EACCES)),
        # A folder that was made stays, though nothing is in it.
        (("link", errno.EIO), ("rmdir", errno.EACCES)),
        (("rename", errno.EIO), ("rmdir", errno.EROFS)),
        (("write", errno.ENOSPC), ("remove", errno.EIO)),
        (("rename", errno.EIO), ("remove", errno.EIO)),
    ],
)
def test_what_a_second_fault_leaves_is_tidied_up_at_the_next_start(
    tmp_path: Path, calls: tuple[tuple[str, int], ...]
) -> None:
    tried = ready(base := tmp_path / "x")
    assert tried.commit(failing(*calls)) is not None
    open_files(base).recover()
    assert tree(base) == tried.old
    assert journals(base) == []


def test_a_journal_that_could_not_be_removed_does_not_take_back_what_is_written_later(tmp_path: Path) -> None:
    tried = ready(base := tmp_path / "x")
    assert tried.commit(failing(("rename", errno.EIO), ("remove", errno.EIO))) is not None
    assert len(journals(base)) == 1
    assert tried.commit(faulty()) is None  # the same again, and this time it works
    stands = tree(base)
    open_files(base).recover()
    assert (tree(base), journals(base)) == (stands, [])


def test_a_finished_commit_whose_journal_stays_is_not_finished_again(tmp_path: Path) -> None:
    tried = ready(base := tmp_path / "x")
    with pytest.raises(Killed):
        tried.commit(dying_once_ready())
    open_files(base, failing(("remove", errno.EIO))).recover()
    (base / "a workspace" / "gone.py").write_bytes(b"going\n")  # the person puts it back
    open_files(base).recover()
    assert (base / "a workspace" / "gone.py").exists()
    assert journals(base) == []


def dying_once_ready() -> WatchedSyscalls:
    names: list[str] = []

    def before(number: int, name: str) -> None:
        if "mark" in names and name == "rename":
            names.append("dead")
        if "dead" in names:
            kill_here()
        names.append(name)

    return WatchedSyscalls(before)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_two_faults_in_one_commit_end_old_or_new_after_the_next_start(tmp_path: Path) -> None:
    """The second may fall into the undoing of the first: then the next start has to bring the tree to one side."""
    new, names = undisturbed(tmp_path / "whole")
    dice = random.Random(3)
    at_once = 0
    for number in range(1_500):
        first = dice.randrange(len(names))
        second = min(first + 1 + int(dice.expovariate(1 / 12)), len(names) + 20)
        faults = [Fault(at, dice.choice(ERRORS), dice.random() < 0.3) for at in (first, second)]
        tried = ready(tmp_path / str(number))
        error = tried.commit(faulty(faults))
        at_once += error is not None and tree(tried.base) == tried.old
        open_files(tried.base).recover()
        if error is None:
            assert without_times(tree(tried.base)) == new, faults
        else:
            assert tree(tried.base) == tried.old, (faults, error)
        assert journals(tried.base) == [], faults
    assert at_once > 500


# -- deaths ----------------------------------------------------------------------------------------------------------


def die(base: str, which: Sequence[int], late: bool, chunk: int, stride: int) -> Iterator[dict[str, Any]]:
    """Commits that die at every `stride`th call, each followed by a start; what stands then, until one lives."""
    lived, at = False, 0
    while not lived:
        tried = ready(Path(base) / str(at), which)
        lived = fork(partial(tried.commit_whole, faulty([Fault(at, None, late)], chunk)))
        open_files(tried.base).recover()
        found = tree(tried.base)
        yield {"at": at, "lived": lived, "old": found == tried.old, "new": _shape(found), "left": journals(tried.base)}
        at += stride


def _shape(found: Tree) -> str:
    return sha(repr(sorted(without_times(found).items())).encode())


def judge(base: Path, which: Sequence[int], *, late: bool, chunk: int = 1 << 30, stride: int = 1) -> int:
    new, names = undisturbed(base / "whole", which)
    rows = run_as_script(die, base, which, late, chunk, stride)
    wanted = sha(repr(sorted(new.items())).encode())
    sides = []
    for row in rows:
        assert row["left"] == [], row
        assert row["old"] or row["new"] == wanted, row
        sides.append(not row["old"])
    assert_old_then_new(sides)
    assert rows[-1]["lived"]
    assert len(rows) * stride >= len(names)
    return len(rows)


def test_a_death_at_a_call_is_old_or_new_after_the_next_start(tmp_path: Path) -> None:
    assert judge(tmp_path, (), late=False, stride=5) > 25


@pytest.mark.long
@pytest.mark.parametrize("which", [(), *((each,) for each in SINGLES), (1, 2), (5, 4)])
@pytest.mark.parametrize(("late", "chunk"), [(False, 1 << 30), (False, 50), (True, 1 << 30)])
def test_a_death_before_or_after_each_call_or_amid_a_write(
    tmp_path: Path, which: tuple[int, ...], late: bool, chunk: int
) -> None:
    judge(tmp_path, which, late=late, chunk=chunk)


# -- a disk that is really full --------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("only root may mount a file system that is small enough to fill")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.long
@pytest.mark.parametrize("journal_too", [False, True])
def test_a_disk_that_is_full_changes_nothing(small_disk: Path, tmp_path: Path, journal_too: bool) -> None:
    root = small_disk / "ws"
    root.mkdir()
    files = make_files(root, tmp_path, journal=(small_disk if journal_too else tmp_path) / "journal")
    page = os.sysconf("SC_PAGE_SIZE")
    old = {f"f{number}": bytes([65 + number]) * page for number in range(4)}
    for name, data in old.items():
        (root / name).write_bytes(data)
    changes = [FileChange(name, sha(data), data * 3) for name, data in old.items()]
    changes.append(FileChange("new/deep", None, b"x" * page * 2))

    def stands() -> dict[str, tuple[bytes, int]]:
        return {
            str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }

    before = stands()
    ballast = small_disk / "ballast"
    attempt = Tried(small_disk, changes, {})
    refused = 0
    fill(ballast, small_disk, 0)
    while (error := attempt.commit_to(files)) is not None:
        assert (error.code, "ENOSPC" in str(error)) == ("io", True)
        assert stands() == before, refused
        assert not (root / "new").exists()
        assert not list(small_disk.rglob("*.journal"))
        refused += 1
        fill(ballast, small_disk, refused * page)
    assert refused > 5
    assert {name: data for name, (data, _) in stands().items()} == {
        **{name: data * 3 for name, data in old.items()},
        "new/deep": b"x" * page * 2,
    }


def fill(ballast: Path, disk: Path, free: int) -> None:
    """Take all of the disk but `free` bytes."""
    ballast.unlink(missing_ok=True)
    seen = os.statvfs(disk)
    ballast.write_bytes(b"\0" * max(0, seen.f_bavail * seen.f_frsize - free))
