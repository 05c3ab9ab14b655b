"""Changes of many files are made whole or not at all."""

import contextlib
import errno
import hashlib
import os
import stat
import threading
from pathlib import Path

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.workspace.file_change import FileChange
from tests.golden_texts import Golden
from tests.workspace.fault_injection import WatchedSyscalls, journals, open_files


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)


def tree(root: Path) -> dict[str, object]:
    """Everything below `root` that a failed commit must leave as it was."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        stat_ = path.lstat()
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_dir():
            found[name] = "folder"
        else:
            found[name] = (path.read_bytes(), stat_.st_mode, stat_.st_mtime_ns, stat_.st_ino, stat_.st_nlink)
    return found


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def prepared(root: Path) -> list[FileChange]:
    """A tree, and a commit of every kind of change to it."""
    write(root / "a.py", b"old a\n", 0o755)
    write(root / "sub/b.py", b"old b\n")
    write(root / "gone.py", b"going\n")
    write(root / "bystander", b"by\n", 0o600)
    return [
        FileChange("a.py", sha(b"old a\n"), b"new a\n"),
        FileChange("deep/er/new.py", None, b"fresh\n"),
        FileChange("gone.py", sha(b"going\n"), None),
        FileChange("sub/b.py", sha(b"old b\n"), b"new b\n"),
        FileChange("moved.py", None, b"going\n", 0o640),
    ]


NEW = {
    "a.py": b"new a\n",
    "bystander": b"by\n",
    "deep/er/new.py": b"fresh\n",
    "moved.py": b"going\n",
    "sub/b.py": b"new b\n",
}


def test_all_changes_of_a_commit_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    files = open_files(tmp_path)
    changes = prepared(files.root)
    assert files.commit(changes) == []
    assert contents(files.root) == NEW
    assert stat.S_IMODE((files.root / "a.py").stat().st_mode) == 0o755
    assert stat.S_IMODE((files.root / "moved.py").stat().st_mode) == 0o640
    assert all((files.root / name).stat().st_nlink == 1 for name in NEW)
    assert journals(tmp_path) == []


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    files = open_files(tmp_path)
    old = os.umask(0o027)
    try:
        files.commit([FileChange("x", None, b"")])
    finally:
        os.umask(old)
    assert stat.S_IMODE((files.root / "x").stat().st_mode) == 0o640


def test_the_ledger_knows_what_was_written_and_what_was_deleted(tmp_path: Path) -> None:
    files = open_files(tmp_path)
    files.commit(prepared(files.root))
    written = files.seen_files.known("a.py")
    deleted = files.seen_files.known("gone.py")
    assert written is not None
    assert (written.sha256, written.whole, written.by) == (sha(b"new a\n"), True, "write")
    assert deleted is not None
    assert deleted.sha256 == ""
    assert files.changed() == []


@pytest.mark.long
def test_an_interrupt_at_any_system_call_leaves_old_or_new_after_the_next_start(tmp_path: Path) -> None:
    for at in range(500):

        def interrupt(number: int, name: str, at: int = at) -> None:
            if number == at:
                raise KeyboardInterrupt

        folder, syscalls = tmp_path / str(at), WatchedSyscalls(interrupt)
        files = open_files(folder, syscalls)
        changes = prepared(files.root)
        before = tree(files.root)
        with contextlib.suppress(KeyboardInterrupt):
            files.commit(changes)
        open_files(folder).recover()
        whole = contents(files.root) == NEW
        assert whole or tree(files.root) == before, (at, syscalls._names)
        assert journals(folder) == [], (at, syscalls._names)
        if len(syscalls._names) <= at:
            assert whole
            assert at > 50
            return
    raise AssertionError("the commit has no end")


def test_a_disk_that_dies_for_good_is_mended_by_the_next_start(tmp_path: Path) -> None:
    for at in range(500):
        names: list[str] = []

        def fail(number: int, name: str, at: int = at, names: list[str] = names) -> None:
            names.append(name)
            if number >= at:
                raise OSError(errno.EIO, "Input/output error")

        folder = tmp_path / str(at)
        files = open_files(folder, WatchedSyscalls(fail))
        changes = prepared(files.root)
        old = contents(files.root)
        try:
            files.commit(changes)
        except ToolError:
            open_files(folder).recover()
            assert contents(files.root) in (old, NEW), (at, names)
            assert not (files.root / "deep").exists() or contents(files.root) == NEW, (at, names)
        else:
            open_files(folder).recover()
            assert contents(files.root) == NEW, (at, names)
        assert journals(folder) == [], (at, names)
        if len(names) <= at:
            return
    raise AssertionError("the commit has no end")


def test_an_undo_that_fails_names_the_state_of_each_path(tmp_path: Path, golden: Golden) -> None:
    renames = 0

    def fail(number: int, name: str) -> None:
        nonlocal renames
        renames += name == "rename"
        if renames >= 2 and name == "rename":
            raise OSError(errno.EIO, "Input/output error")

    files = open_files(tmp_path, WatchedSyscalls(fail))
    write(files.root / "a", b"1")
    write(files.root / "b", b"2")
    with pytest.raises(ToolError) as caught:
        files.commit([FileChange("a", sha(b"1"), b"one"), FileChange("b", sha(b"2"), b"two")])
    assert caught.value.code == "io"
    assert "\na: Input/output error" in str(caught.value)
    golden(str(caught.value), *open_files(tmp_path).recover())
    assert contents(files.root) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("changes", [1, 2])
def test_a_file_that_changed_since_it_was_read_is_stale(tmp_path: Path, changes: int) -> None:
    files = open_files(tmp_path)
    write(files.root / "a", b"mine")
    write(files.root / "b", b"theirs")
    commit = [FileChange("a", sha(b"mine"), b"x"), FileChange("b", sha(b"what I read"), b"y")][-changes:]
    before = tree(files.root)
    with pytest.raises(ToolError, match=r"^Error \[stale\]: b changed on disk") as caught:
        files.commit(commit)
    assert caught.value.code == "stale"
    assert tree(files.root) == before


def test_a_write_of_somebody_else_during_the_commit_is_not_lost(tmp_path: Path) -> None:
    root = tmp_path / "a workspace"

    def intrude(number: int, name: str) -> None:
        if name == "rename" and (root / "b").read_bytes() == b"2":
            (root / "b").write_bytes(b"by somebody else")

    files = open_files(tmp_path, WatchedSyscalls(intrude))
    write(root / "a", b"1")
    write(root / "b", b"2")
    with pytest.raises(ToolError, match="stale"):
        files.commit([FileChange("a", sha(b"1"), b"one"), FileChange("b", sha(b"2"), b"two")])
    assert contents(root) == {"a": b"1", "b": b"by somebody else"}


def test_a_file_that_appears_during_the_commit_is_not_run_over(tmp_path: Path) -> None:
    root = tmp_path / "a workspace"

    def intrude(number: int, name: str) -> None:
        if name == "link":
            (root / "new").write_bytes(b"theirs")

    files = open_files(tmp_path, WatchedSyscalls(intrude))
    with pytest.raises(ToolError, match="exists"):
        files.commit([FileChange("new", None, b"mine")])
    assert contents(root) == {"new": b"theirs"}


def test_a_file_system_without_hard_links_serves_too(tmp_path: Path) -> None:
    def refuse(number: int, name: str) -> None:
        if name == "link":
            raise OSError(errno.EPERM, "Operation not permitted")

    files = open_files(tmp_path, WatchedSyscalls(refuse))
    files.commit(prepared(files.root))
    assert contents(files.root) == NEW


def test_without_hard_links_a_late_fault_still_restores_the_old_bytes_and_times(tmp_path: Path) -> None:
    renames = 0

    def fail(number: int, name: str) -> None:
        nonlocal renames
        if name == "link":
            raise OSError(errno.EPERM, "Operation not permitted")
        renames += name == "rename"
        if renames == 3 and name == "rename":
            raise OSError(errno.EIO, "Input/output error")

    files = open_files(tmp_path, WatchedSyscalls(fail))
    changes = prepared(files.root)
    before = {path: value[:3] for path, value in tree(files.root).items() if isinstance(value, tuple)}
    with pytest.raises(ToolError, match="rolled back, nothing changed"):
        files.commit(changes)
    assert files.seen_files.known("a.py") is None
    assert {path: value[:3] for path, value in tree(files.root).items() if isinstance(value, tuple)} == before


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    files = open_files(tmp_path)
    write(files.root / "real/a", b"1")
    (files.root / "link").symlink_to(files.root / "real/a")
    files.commit([FileChange("link", sha(b"1"), b"2")])
    assert (files.root / "link").is_symlink()
    assert (files.root / "real/a").read_bytes() == b"2"


def test_a_hard_link_to_a_file_outside_is_split_with_a_note(tmp_path: Path, golden: Golden) -> None:
    files = open_files(tmp_path)
    write(tmp_path / "outside", b"1")
    os.link(tmp_path / "outside", files.root / "h")
    golden(*files.commit([FileChange("h", sha(b"1"), b"2")]))
    assert (tmp_path / "outside").read_bytes() == b"1"
    assert (files.root / "h").read_bytes() == b"2"


def test_extended_attributes_are_kept(tmp_path: Path) -> None:
    files = open_files(tmp_path)
    write(files.root / "a", b"1")
    try:
        os.setxattr(files.root / "a", "user.note", b"kept")
    except (OSError, AttributeError):
        pytest.skip("no extended attributes here")
    files.commit([FileChange("a", sha(b"1"), b"2")])
    assert os.getxattr(files.root / "a", "user.note") == b"kept"


def test_setuid_does_not_outlive_the_content_it_was_given_to(tmp_path: Path) -> None:
    files = open_files(tmp_path)
    write(files.root / "a", b"1", 0o4755)
    files.commit([FileChange("a", sha(b"1"), b"2")])
    assert stat.S_IMODE((files.root / "a").stat().st_mode) == 0o755
    with pytest.raises(ToolError, match="only permission bits"):
        files.commit([FileChange("b", None, b"2", 0o4755)])


def test_what_stands_there_must_be_as_the_change_says(tmp_path: Path) -> None:
    files = open_files(tmp_path)
    write(files.root / "a", b"1")
    (files.root / "folder").mkdir()
    table = [
        (FileChange("a", None, b"2"), "exists"),
        (FileChange("b", sha(b"1"), b"2"), "missing"),
        (FileChange("nowhere/b", sha(b"1"), None), "missing"),
        (FileChange("a/b", None, b"2"), "not_regular"),
        (FileChange("folder", None, b"2"), "not_regular"),
        (FileChange("folder", sha(b"1"), None), "not_regular"),
        (FileChange("folder/", None, b"2"), "not_regular"),
        (FileChange(".", None, b"2"), "not_regular"),
    ]
    before = tree(files.root)
    for change, code in table:
        with pytest.raises(ToolError) as caught:
            files.commit([change])
        assert caught.value.code == code, change
    with pytest.raises(ToolError, match="changed twice"):
        files.commit([FileChange("a", sha(b"1"), b"2"), FileChange("./a", sha(b"1"), b"3")])
    assert tree(files.root) == before


def test_commits_of_two_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    files = open_files(tmp_path)
    failures: list[BaseException] = []

    def work(name: str) -> None:
        before: bytes | None = None
        try:
            for number in range(30):
                data = f"{name} {number}".encode()
                files.commit([FileChange(name, sha(before) if before is not None else None, data)])
                files.recover()
                before = data
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert contents(files.root) == {"a": b"a 29", "b": b"b 29"}
