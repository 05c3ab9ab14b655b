"""Files are brought to what a snapshot holds: exactly, all or none, and nothing else is touched."""

import errno
import hashlib
import os
import stat
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.workspace.checkpoint.restore import restore_files
from kimi_agent.workspace.checkpoint.snapshot_values import PathChange, SnapshotError, TreeEntry
from kimi_agent.workspace.files.files import Files
from tests.workspace.fault_injection import Tree, WatchedSyscalls, journals, open_files, read_tree, write_tree


def blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data), usedforsecurity=False).hexdigest()


def kept(what: str) -> tuple[TreeEntry, bytes]:
    if what.startswith("-> "):
        data = what[3:].encode()
        return TreeEntry("link", 0, len(data), blob(data)), data
    mode, _, text = what.partition(" ")
    return TreeEntry("file", int(mode, 8), len(text), blob(text.encode())), text.encode()


def touched(path: Path) -> tuple[int, ...]:
    """What differs once somebody wrote the file or its inode; reading it leaves this as it is."""
    found = path.stat()
    return found.st_ino, found.st_mode, found.st_mtime_ns, found.st_ctime_ns


def changes(old: Tree, new: Tree) -> list[PathChange]:
    paths = sorted({*old, *new})
    found = [PathChange(path, side(old, path), side(new, path)) for path in paths]
    return [each for each in found if each.before != each.after]


def side(tree: Tree, path: str) -> TreeEntry | None:
    return kept(tree[path])[0] if path in tree else None


def contents(*trees: Tree) -> Callable[[TreeEntry], bytes]:
    held = dict(kept(what) for tree in trees for what in tree.values())
    return held.__getitem__


def restore(files: Files, old: Tree, new: Tree) -> None:
    restore_files(changes(old, new), contents(new), files)


BY = {"bystander": "644 by", "also/by": "-> ../bystander"}
SWAPS: dict[str, tuple[Tree, Tree]] = {
    "contents and modes": ({"a": "644 old", "b": "600 b", "c": "755 c"}, {"a": "644 new", "b": "640 b", "c": "600 d"}),
    "one mode": ({"a": "644 a"}, {"a": "755 a"}),
    "come and go": ({"gone": "644 x", "deep/er/gone": "644 y"}, {"new": "600 n", "far/off/new": "755 m"}),
    "a file becomes a link": ({"a": "644 a", "b": "600 b"}, {"a": "-> b", "b": "600 b"}),
    "a link becomes a file": ({"a": "-> nowhere"}, {"a": "600 a"}),
    "links come, go and turn": ({"a": "-> b", "c": "-> d"}, {"a": "-> x/y", "e": "-> /etc"}),
    "a file becomes a folder": ({"p": "640 file"}, {"p/x": "644 x", "p/q/y": "600 y", "p/l": "-> x"}),
    "a folder becomes a file": ({"p/x": "644 x", "p/q/y": "600 y", "p/l": "-> x"}, {"p": "640 file"}),
    "a link becomes a folder": ({"p": "-> other", "other/z": "644 z"}, {"p/x": "644 x", "other/z": "644 z"}),
    "a folder becomes a link": ({"p/x": "644 x", "other/z": "644 z"}, {"p": "-> other", "other/z": "644 z"}),
    "deep swaps of both kinds": (
        {"a/b/c": "644 1", "a/b/d/e": "600 2", "f": "644 3", "g/h": "-> i"},
        {"a/b": "755 4", "f/g/h": "644 5", "f/i": "644 6", "g/h/i": "600 7"},
    ),
    "all at once": (
        {"a": "644 old", "go/ne": "644 x", "p": "640 file", "d/x": "644 x", "d/y/z": "644 z", "l": "-> a"},
        {"a": "600 new", "p/x": "644 x", "d": "-> a", "l": "644 l", "n/ew": "755 n"},
    ),
}
each_swap = pytest.mark.parametrize("name", SWAPS)


@each_swap
def test_every_path_becomes_what_the_snapshot_holds_and_nothing_else_changes(tmp_path: Path, name: str) -> None:
    files = open_files(tmp_path)
    old, new = SWAPS[name]
    write_tree(files.root, {**old, **BY})
    by = touched(files.root / "bystander")
    restore(files, old, new)
    assert read_tree(files.root) == dict(sorted({**new, **BY}.items()))
    assert touched(files.root / "bystander") == by
    assert journals(tmp_path) == []
    restore(files, new, old)
    assert read_tree(files.root) == dict(sorted({**old, **BY}.items()))


def faulted(tmp_path: Path, name: str, at: int, error: OSError, no_links: bool) -> bool:
    """Restore with `error` at call `at` (perhaps without hard links); True once that is beyond the end."""
    ended = True

    def fail(number: int, called: str) -> None:
        nonlocal ended
        if number == at:
            ended = False
            raise error
        if no_links and called == "link":
            raise OSError(errno.EPERM, "Operation not permitted")

    folder = tmp_path / f"{name} {at} {no_links}"
    files = open_files(folder, WatchedSyscalls(fail))
    old, new = ({**tree, **BY} for tree in SWAPS[name])
    write_tree(files.root, old)
    try:
        restore(files, old, new)
    except ToolError:
        assert read_tree(files.root) == dict(sorted(old.items())), at
    else:
        open_files(folder).recover()  # sweeps what a fault after the last rename left
        assert read_tree(files.root) == dict(sorted(new.items())), at
    assert journals(folder) == [], at
    return ended


@pytest.mark.parametrize(("no_links", "every"), [(False, 4), (True, 7)])
def test_a_fault_at_a_sample_of_calls_leaves_everything_as_it_was(tmp_path: Path, no_links: bool, every: int) -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    for at in range(0, 1000, every):
        if faulted(tmp_path, "all at once", at, error, no_links):
            assert at > 80
            return
    raise AssertionError("the restore has no end")


@pytest.mark.long
@each_swap
def test_a_fault_at_any_system_call_of_any_swap(tmp_path: Path, name: str) -> None:
    for no_links in (False, True):
        for at in range(1000):
            if faulted(tmp_path, name, at, OSError(errno.EIO, "Input/output error"), no_links):
                break
        else:
            raise AssertionError("the restore has no end")


@pytest.mark.parametrize(
    ("path", "now", "code"),
    [
        ("a", "644 mine now", "stale"),
        ("a", "600 old", "stale"),
        ("a", "-> old", "not_regular"),
        ("a", "", "missing"),
        ("gone", "644 mine", "stale"),
        ("new", "644 mine", "exists"),
        ("l", "-> b", "stale"),
        ("l", "644 a", "not_regular"),
    ],
)
def test_a_file_that_is_not_as_the_plan_saw_it_stops_all(tmp_path: Path, path: str, now: str, code: str) -> None:
    files = open_files(tmp_path)
    old = {"a": "644 old", "b": "644 b", "gone": "644 x", "l": "-> a"}
    new = {"a": "644 new", "b": "644 c", "new": "644 n", "l": "-> c"}
    write_tree(files.root, old)
    (files.root / path).unlink(missing_ok=True)
    if now:
        write_tree(files.root, {path: now})
    before = read_tree(files.root)
    with pytest.raises(ToolError) as caught:
        restore(files, old, new)
    assert caught.value.code == code
    assert read_tree(files.root) == before
    assert journals(tmp_path) == []


def test_a_folder_with_a_file_of_somebody_else_does_not_give_way(tmp_path: Path) -> None:
    files = open_files(tmp_path)
    write_tree(files.root, {"p/x": "644 x", "p/q/mine": "600 mine"})
    with pytest.raises(ToolError, match="holds p/q/mine, which stays"):
        restore(files, {"p/x": "644 x"}, {"p": "644 p"})
    assert read_tree(files.root) == {"p/q/mine": "600 mine", "p/x": "644 x"}


def test_empty_folders_give_way_and_come_back_with_their_modes_when_it_fails(tmp_path: Path) -> None:
    def fail(number: int, name: str) -> None:
        if fails and name == "link":
            raise OSError(errno.EIO, "Input/output error")

    fails = True
    files = open_files(tmp_path, WatchedSyscalls(fail))
    (files.root / "p/empty/er").mkdir(parents=True)
    (files.root / "p").chmod(0o750)
    (files.root / "p/empty/er").chmod(0o700)
    with pytest.raises(ToolError):
        restore(files, {}, {"p": "644 p"})
    assert stat.S_IMODE((files.root / "p/empty/er").stat().st_mode) == 0o700
    assert stat.S_IMODE((files.root / "p").stat().st_mode) == 0o750
    fails = False
    restore(files, {}, {"p": "644 p"})
    assert read_tree(files.root) == {"p": "644 p"}


def test_a_file_that_comes_into_a_cleared_folder_meanwhile_stops_all(tmp_path: Path) -> None:
    def intrude(number: int, name: str) -> None:
        if name == "rename" and not (root / "p/mine").exists():
            (root / "p/mine").write_text("mine")

    files = open_files(tmp_path, WatchedSyscalls(intrude))
    root = files.root
    write_tree(root, {"p/x": "600 x", "p/y": "640 y"})
    with pytest.raises(ToolError):
        restore(files, {"p/x": "600 x", "p/y": "640 y"}, {"p": "644 p"})
    assert {path: what.partition(" ")[2] for path, what in read_tree(root).items()} == {
        "p/mine": "mine",
        "p/x": "x",
        "p/y": "y",
    }


def test_folders_that_it_empties_go_others_stay(tmp_path: Path) -> None:
    files = open_files(tmp_path, cwd="")
    write_tree(files.root, {"a/b/c/x": "644 x", "a/keep": "644 k", "d/y": "644 y", "e/f/z": "644 z"})
    (files.root / "was empty").mkdir()
    (files.root / "d/empty").mkdir()
    there = open_files(tmp_path, cwd="e/f")
    restore(there, {"a/b/c/x": "644 x", "d/y": "644 y", "e/f/z": "644 z"}, {})
    assert read_tree(files.root) == {"a/keep": "644 k", "d/empty": "folder", "e/f": "folder", "was empty": "folder"}


def test_only_one_content_is_held_at_a_time(tmp_path: Path) -> None:
    files = open_files(tmp_path)
    size, texts = 2_000_000, [str(number) for number in range(24)]
    kepts = [TreeEntry("file", 0o644, size, blob(text[0].encode() * size)) for text in texts]
    wanted = [PathChange(f"big/{text}", None, each) for text, each in zip(texts, kepts, strict=True)]
    by = {each.id: text[0].encode() for text, each in zip(texts, kepts, strict=True)}
    tracemalloc.start()
    restore_files(wanted, lambda each: by[each.id] * size, files)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * size
    assert all((files.root / each.path).stat().st_size == size for each in wanted)


def test_a_kept_content_that_is_gone_or_damaged_stops_all(tmp_path: Path) -> None:
    def gone(each: TreeEntry) -> bytes:
        raise SnapshotError("it was tidied away")

    files = open_files(tmp_path)
    old, new = {"a": "644 a", "b": "644 b"}, {"a": "644 x", "b": "644 y", "c/d": "644 z"}
    write_tree(files.root, old)
    with pytest.raises(SnapshotError):
        restore_files(changes(old, new), gone, files)
    with pytest.raises(ToolError, match="damaged"):
        restore_files(changes(old, new), lambda each: b"other", files)
    assert read_tree(files.root) == old
    assert journals(tmp_path) == []


@pytest.mark.parametrize(
    "path", ["../out", "a/../../out", "/out", "a//b", "a/./b", "", "a\0b", ".git/hooks/x", ".GIT/x"]
)
def test_no_path_leads_out_or_into_git(tmp_path: Path, path: str) -> None:
    files = open_files(tmp_path)
    new = {path: "644 x"}
    with pytest.raises(ToolError) as caught:
        restore(files, {}, new)
    assert caught.value.code in ("outside", "git_internal")
    assert read_tree(files.root) == {}
    assert not (tmp_path / "out").exists()


def test_a_link_on_the_way_is_not_followed(tmp_path: Path) -> None:
    files = open_files(tmp_path)
    write_tree(tmp_path / "outside", {"x": "644 theirs"})
    (files.root / "d").symlink_to(tmp_path / "outside")
    for old, new in (({}, {"d/new": "644 n"}), ({"d/x": "644 theirs"}, {}), ({"d/x": "644 theirs"}, {"d/x": "644 n"})):
        with pytest.raises(ToolError):
            restore(files, old, new)
    assert read_tree(tmp_path / "outside") == {"x": "644 theirs"}


def test_modes_are_exact_whatever_the_umask(tmp_path: Path) -> None:
    files = open_files(tmp_path)
    before = os.umask(0o077)
    try:
        restore(files, {}, {"a": "666 a", "b": "751 b", "c": "400 c"})
    finally:
        os.umask(before)
    assert read_tree(files.root) == {"a": "666 a", "b": "751 b", "c": "400 c"}


def test_a_name_that_is_no_text_is_restored_too(tmp_path: Path) -> None:
    files = open_files(tmp_path)
    name = os.fsdecode(b"caf\xe9 \n")
    try:
        write_tree(files.root, {name: "644 a"})
    except OSError:
        pytest.skip("the file system wants UTF-8")
    restore(files, {name: "644 a"}, {name: "600 b", f"{name}2/x": "644 y"})
    assert read_tree(files.root) == {name: "600 b", f"{name}2/x": "644 y"}


def test_many_files_are_restored_in_one_go(tmp_path: Path) -> None:
    files = open_files(tmp_path)
    old = {f"src/{number % 7}/{number}": "644 x" for number in range(150)}
    new = {f"src/{number % 7}/{number}": "600 y" for number in range(0, 300, 2)}
    write_tree(files.root, old)
    restore(files, old, new)
    assert read_tree(files.root) == dict(sorted(new.items()))


def test_a_hard_link_outside_keeps_its_bytes(tmp_path: Path) -> None:
    files = open_files(tmp_path)
    (tmp_path / "outside").write_text("old")
    os.link(tmp_path / "outside", files.root / "h")
    restore(files, {"h": "644 old"}, {"h": "644 new"})
    assert (tmp_path / "outside").read_text() == "old"
    assert read_tree(files.root) == {"h": "644 new"}
