"""Snapshots give back just what stood on the disk, and name equal trees equally."""

import os
import shutil
import socket
import stat
import subprocess
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from kimi_agent.workspace.checkpoint import Checkpoints, PathChange, Snapshot, SnapshotError, SnapshotLimits, TreeEntry
from kimi_agent.workspace.checkpoint.file_modes import LINK_PLACEHOLDER, FileModes, StoredModes
from kimi_agent.workspace.git_object_id import blob_id
from tests.golden_texts import Golden
from tests.workspace.checkpoint.snapshot_trees import held, on_disk

ROOT = os.geteuid() == 0


class Open(Protocol):
    def __call__(
        self,
        store: str = "store",
        *,
        limits: SnapshotLimits = ...,
        clock: Callable[[], float] = ...,
        at: Path | None = ...,
    ) -> Checkpoints: ...


def git(folder: Path, *args: str) -> str:
    """The user's own git."""
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always")
    return subprocess.run(["git", *who, *args], cwd=folder, env=env, check=True, capture_output=True, text=True).stdout


def paths(checkpoints: Checkpoints, old: Snapshot, new: Snapshot) -> list[str]:
    return [change.path for change in checkpoints.changes(old.tree, new.tree)]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    home.mkdir()
    return {"HOME": str(home), "PATH": os.environ["PATH"]}


@pytest.fixture
def opened(workspace: Path, tmp_path: Path, environ: dict[str, str]) -> Open:
    def checkpoints(
        store: str = "store",
        *,
        limits: SnapshotLimits = SnapshotLimits(),  # noqa: B008  (a frozen value)
        clock: Callable[[], float] = time.time,
        at: Path | None = None,
    ) -> Checkpoints:
        folder = tmp_path / "sta te" / store
        return Checkpoints(at or workspace, folder, environ=environ, limits=limits, clock=clock)

    return checkpoints


def test_bytes_names_modes_and_links_come_back_whatever_the_attributes_say(workspace: Path, opened: Open) -> None:
    root = os.fsencode(workspace)
    (workspace / ".gitattributes").write_text(
        "* text=auto eol=lf\n*.id ident\n*.u16 text working-tree-encoding=UTF-16\n*.f filter=none\n[attr]m text\n"
    )
    names = (
        b"-dash",
        b"new\nline",
        b"\x1b[31mred",
        b"not utf-8 \xff\xfe",
        b'qu"ote',
        b" blank ",
        b":(top)x",
        b"*",
        b"\\",
    )
    for odd in names:
        with open(os.path.join(root, odd), "wb") as file:
            file.write(b"one\r\ntwo\n" + odd)
    for name, data in {
        "a.id": b"$Id$\r\n",
        "b.u16": b"no utf-16",
        "c.f": b"x",
        "empty": b"",
        "zero": b"\0" * 9,
    }.items():
        (workspace / name).write_bytes(data)
    for mode in (0o600, 0o640, 0o664, 0o444, 0o755, 0o700, 0o750, 0o711):
        (workspace / f"m{mode:o}").write_text("x")
        (workspace / f"m{mode:o}").chmod(mode)
    deep = workspace.joinpath(*["d"] * 200)
    deep.mkdir(parents=True)
    (deep / "f").write_text("deep")
    for name, target in {"l": "empty", "dangling": "no\nwhere", "out": "/etc", "folder": "d"}.items():
        (workspace / name).symlink_to(target)
    (workspace / "nothing in it").mkdir()
    checkpoints = opened()
    taken = checkpoints.take()
    assert taken.missed == ()
    assert held(checkpoints, taken.tree) == on_disk(workspace)
    assert checkpoints.entry_at(taken.tree, "m640") == TreeEntry("file", 0o640, 1, blob_id(b"x"))
    assert checkpoints.read(taken.tree, "new\nline") == b"one\r\ntwo\nnew\nline"
    assert checkpoints.read(taken.tree, "dangling") == b"no\nwhere"
    for nothing in ("d", "missing", "empty/x", "", "d/d/x", "lone \ud800", "a\0b", "../x"):
        assert checkpoints.entry_at(taken.tree, nothing) is None
    for path in workspace.iterdir():
        if path.is_file() and not path.is_symlink():
            os.utime(path, (1, 1))
    assert opened("another").take() == taken
    assert checkpoints.take() == taken
    assert stat.S_IMODE((workspace.parent / "sta te" / "store").stat().st_mode) == 0o700
    checkpoints.close()


def test_every_change_gives_another_tree_and_its_undoing_the_old_one(workspace: Path, opened: Open) -> None:
    (workspace / "d").mkdir()
    for name in ("a", "d/b", "d/c"):
        (workspace / name).write_text(name)
    checkpoints = opened()
    first = checkpoints.take()

    def step(change: Callable[[], object], undo: Callable[[], object]) -> list[str]:
        change()
        then = checkpoints.take()
        assert held(checkpoints, then.tree) == on_disk(workspace)
        undo()
        assert checkpoints.take() == first
        return paths(checkpoints, first, then)

    a, d, away = workspace / "a", workspace / "d", workspace.parent / "away"

    def again() -> None:
        a.write_text("a")

    def back() -> None:
        d.unlink()
        away.rename(d)

    def forged() -> None:
        """Within one second, of the same size, with the old times: only the ctime tells."""
        times = a.stat()
        a.write_text("A")
        os.utime(a, ns=(times.st_atime_ns, times.st_mtime_ns))

    def to_link() -> None:
        d.rename(away)
        d.symlink_to(away)

    def to_file() -> None:
        d.rename(away)
        d.write_text("")

    def to_folder() -> None:
        a.unlink()
        a.mkdir()
        (a / "x").write_text("")

    def from_folder() -> None:
        shutil.rmtree(a)
        a.write_text("a")

    def to_pipe() -> None:
        a.unlink()
        os.mkfifo(a)

    def from_pipe() -> None:
        a.unlink()
        a.write_text("a")

    assert step(forged, again) == ["a"]
    assert step(lambda: a.chmod(0o600), lambda: a.chmod(0o644)) == ["a"]
    assert step(lambda: a.chmod(0o755), lambda: a.chmod(0o644)) == ["a"]
    assert step(lambda: (workspace / "new").write_text(""), lambda: (workspace / "new").unlink()) == ["new"]
    assert step(a.unlink, again) == ["a"]
    assert step(to_link, back) == ["d", "d/b", "d/c"]
    assert step(to_file, back) == ["d", "d/b", "d/c"]
    assert step(to_folder, from_folder) == ["a", "a/x"]
    assert step(to_pipe, from_pipe) == ["a"]
    checkpoints.close()


def test_a_change_says_what_stood_there_before_and_after(workspace: Path, opened: Open) -> None:
    (workspace / "a").write_text("one")
    (workspace / "b").write_text("two")
    checkpoints = opened()
    first = checkpoints.take()
    (workspace / "a").unlink()
    (workspace / "b").chmod(0o600)
    (workspace / "c").symlink_to("b")
    second = checkpoints.take()
    two = blob_id(b"two")
    assert checkpoints.changes(first.tree, second.tree) == (
        PathChange("a", TreeEntry("file", 0o644, 3, blob_id(b"one")), None),
        PathChange("b", TreeEntry("file", 0o644, 3, two), TreeEntry("file", 0o600, 3, two)),
        PathChange("c", None, TreeEntry("link", 0, 1, blob_id(b"b"))),
    )
    assert checkpoints.changes(second.tree, second.tree) == ()
    assert checkpoints.changes("", "") == ()
    assert [change.after for change in checkpoints.changes(second.tree, "")] == [None, None]
    checkpoints.close()


def test_what_git_would_ignore_is_left_out_unless_it_is_tracked(
    workspace: Path, opened: Open, environ: dict[str, str]
) -> None:
    git(workspace, "init", "-q")
    for name in ("by-gitignore", "by-exclude", "by-global", "forced", "kept"):
        (workspace / name).write_text(name)
    for name in (
        "__pycache__/x.pyc",
        "node_modules/m/i.js",
        ".venv/bin/python",
        "sub/.pytest_cache/v",
        "target/debug/x",
    ):
        (workspace / name).parent.mkdir(parents=True)
        (workspace / name).write_text("litter")
    (workspace / "target" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n# cargo\n")
    (workspace / ".gitignore").write_text("by-gitignore\nforced\n")
    (workspace / ".git" / "info" / "exclude").write_text("by-exclude")
    home = Path(environ["HOME"])
    (home / ".gitconfig").write_text("[core]\n\texcludesFile = ~/my ignores\n")
    (home / "my ignores").write_text("by-global\n")
    git(workspace, "add", "-f", "forced")
    checkpoints = opened()
    first = checkpoints.take()
    assert sorted(held(checkpoints, first.tree)) == [".gitignore", "forced", "kept"]
    assert first.missed == ()
    # Every rule counts at once, whichever file it stands in, also for what was kept before.
    (workspace / ".gitignore").write_text("kept\n")
    (workspace / ".git" / "info" / "exclude").write_text("")
    (home / "my ignores").write_text("")
    git(workspace, "rm", "-q", "--cached", "forced")
    second = checkpoints.take()
    assert sorted(held(checkpoints, second.tree)) == [".gitignore", "by-exclude", "by-gitignore", "by-global", "forced"]
    assert opened("another").take() == second
    git(workspace, "add", "-f", "kept")
    assert sorted(held(checkpoints, checkpoints.take().tree))[-1] == "kept"
    # A rule that ignores itself is no change that anybody would see.
    (workspace / "quiet").mkdir()
    (workspace / "quiet" / "x").write_text("x")
    assert checkpoints.read(checkpoints.take().tree, "quiet/x") == b"x"
    (workspace / "quiet" / ".gitignore").write_text("*\n")
    third = checkpoints.take()
    assert checkpoints.read(third.tree, "quiet/x") is None
    assert opened("third").take() == third
    checkpoints.close()


def test_repositories_inside_are_kept_as_files(workspace: Path, opened: Open, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init", "-q")
    (library / "lib.c").write_text("int x;\n")
    git(library, "add", "-A")
    git(library, "commit", "-qm", "x")
    git(workspace, "init", "-q")
    git(workspace, "submodule", "--quiet", "add", str(library), "sub")
    nested = workspace / "vendor" / "nested"
    (nested / "deeper").mkdir(parents=True)
    (workspace / "only git").mkdir()
    for folder in (nested, nested / "deeper", workspace / "only git"):
        git(folder, "init", "-q")
    (nested / ".gitignore").write_text("*.o\n")
    for name in ("n.c", "n.o", "deeper/d.c"):
        (nested / name).write_text(name)
    checkpoints = opened()
    first = checkpoints.take()
    expected = [".gitmodules", "sub/lib.c", "vendor/nested/.gitignore", "vendor/nested/deeper/d.c", "vendor/nested/n.c"]
    assert sorted(held(checkpoints, first.tree)) == expected
    assert checkpoints.take() == first
    (nested / "n.c").write_text("changed")
    (workspace / "sub" / "lib.c").unlink()
    second = checkpoints.take()
    assert paths(checkpoints, first, second) == ["sub/lib.c", "vendor/nested/n.c"]
    assert opened("another").take() == second
    assert git(workspace, "status", "--porcelain").splitlines()[0] == "A  .gitmodules"
    checkpoints.close()


def test_a_workspace_below_the_top_of_its_repository_and_a_worktree(
    workspace: Path, opened: Open, tmp_path: Path
) -> None:
    git(workspace, "init", "-q")
    (workspace / ".gitignore").write_text("/part/secret\n*.log\n")
    part = workspace / "part"
    (part / "sub").mkdir(parents=True)
    for name in ("secret", "x.log", "forced.log", "sub/y"):
        (part / name).write_text(name)
    git(workspace, "add", "-f", "part/forced.log")
    git(workspace, "commit", "-qm", "x")
    checkpoints = opened(at=part)
    taken = checkpoints.take()
    assert sorted(held(checkpoints, taken.tree)) == ["forced.log", "sub/y"]
    assert checkpoints.take() == taken
    (part / "sub" / "y").unlink()
    (part / "forced.log").unlink()
    assert held(checkpoints, checkpoints.take().tree) == {}
    (part / "sub" / "x").write_text("")
    # Where the repository ignores the whole workspace, its rules would leave nothing to go back to.
    (part / "new").write_text("")
    (workspace / ".gitignore").write_text("part/\n")
    assert sorted(held(checkpoints, checkpoints.take().tree)) == ["new", "secret", "sub/x", "x.log"]
    (workspace / ".gitignore").write_text("*.log\n")
    assert sorted(held(checkpoints, checkpoints.take().tree)) == ["new", "secret", "sub/x"]
    checkpoints.close()
    git(workspace, "worktree", "add", "-q", str(tmp_path / "tree"))
    (tmp_path / "tree" / "part" / "new").write_text("")
    other = opened("tree", at=tmp_path / "tree")
    assert sorted(held(other, other.take().tree)) == ["part/forced.log", "part/new"]
    other.close()


def test_what_cannot_be_kept_is_missed_and_nothing_is_claimed_of_it(workspace: Path, opened: Open) -> None:
    (workspace / "grows").write_text("small")
    (workspace / "closed").write_text("x")
    (workspace / "closed").chmod(0)
    (workspace / ".GIT").mkdir()
    (workspace / ".GIT" / "x").write_text("")
    (workspace / "a").mkdir()
    (workspace / "a" / ".gitmodules").symlink_to("x")
    checkpoints = opened(limits=SnapshotLimits(max_file_bytes=100))
    first = checkpoints.take()
    never = (".GIT/x", "a/.gitmodules", *(() if ROOT else ("closed",)))
    assert first.missed == never
    (workspace / "grows").write_text("b" * 101)
    (workspace / "other").write_text("")
    second = checkpoints.take()
    assert second.missed == tuple(sorted((*never, "grows")))
    assert second.tree != first.tree
    assert checkpoints.missed(second.tree) == second.missed
    assert checkpoints.read(second.tree, "grows") is None
    assert paths(checkpoints, first, second) == ["other"]
    assert paths(checkpoints, second, first) == ["other"]
    (workspace / "grows").write_text("b" * 100)
    third = checkpoints.take()
    assert third.missed == never
    assert paths(checkpoints, first, third) == ["grows", "other"]
    checkpoints.close()


def test_pipes_sockets_and_empty_folders_are_nothing(workspace: Path, opened: Open) -> None:
    checkpoints = opened()
    empty = checkpoints.take()
    (workspace / "folder").mkdir()
    os.mkfifo(workspace / "pipe")
    place = os.getcwd()
    os.chdir(workspace)  # a socket's path may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind("socket")
            assert checkpoints.take() == empty
    finally:
        os.chdir(place)
    assert checkpoints.changes("", empty.tree) == ()
    assert checkpoints.has(empty.tree)
    checkpoints.close()


def test_over_the_limits_there_is_no_snapshot_but_one_sentence(workspace: Path, opened: Open, golden: Golden) -> None:
    for name in "abcd":
        (workspace / name).write_text(name * 10)
    with pytest.raises(SnapshotError) as large:
        opened("bytes", limits=SnapshotLimits(max_total_bytes=39)).take()
    few = opened("few", limits=SnapshotLimits(max_files=3))
    with pytest.raises(SnapshotError) as many:
        few.take()
    golden(str(large.value), str(many.value))
    (workspace / "a").unlink()
    few.take()
    (workspace / "b").unlink()
    (workspace / "a").write_text("")
    few.take()
    (workspace / "b").write_text("")
    with pytest.raises(SnapshotError, match="more than 3 files"):
        few.take()


def test_ignored_files_are_kept_once_when_asked_for(workspace: Path, opened: Open) -> None:
    (workspace / ".gitignore").write_text(".env\nbuild/\n")
    (workspace / ".env").write_text("KEY=1")
    (workspace / "build" / "deep").mkdir(parents=True)
    (workspace / "build" / "deep" / "x").write_text("x")
    (workspace / "build" / "link").symlink_to("deep")
    (workspace / "plain").write_text("p")
    checkpoints = opened()
    plain = checkpoints.take()
    also = [".env", "build/", "plain", "missing", str(workspace / "build"), "../outside", "lone \ud800", "a\0b"]
    before = checkpoints.take(also)
    assert before.missed == (r"'a\x00b'", r"'lone \ud800'", "../outside")
    assert checkpoints.requested_ignored(before.tree) == (".env", "build", "missing", "plain")
    assert sorted(held(checkpoints, before.tree)) == [".env", ".gitignore", "build/deep/x", "build/link", "plain"]
    # A tree that was not asked cannot tell whether they still stand there: it must not look like a deletion.
    assert checkpoints.take() == plain
    assert paths(checkpoints, before, plain) == []
    assert paths(checkpoints, plain, before) == []
    (workspace / ".env").unlink()
    (workspace / "plain").unlink()
    after = checkpoints.take(checkpoints.requested_ignored(before.tree))
    assert paths(checkpoints, before, after) == [".env", "plain"]
    assert paths(checkpoints, before, checkpoints.take()) == ["plain"]
    assert checkpoints.read(before.tree, ".env") == b"KEY=1"
    checkpoints.close()


def test_several_processes_and_threads_may_take_at_once(workspace: Path, opened: Open) -> None:
    (workspace / "a").write_text("a")
    both = [opened(), opened()]
    first = both[0].take()
    taken: list[Snapshot] = []
    threads = [threading.Thread(target=lambda c=c: taken.append(c.take())) for c in (*both, both[0])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken == [first] * 3
    (workspace / "a").write_text("b")
    second = both[1].take()
    assert both[0].take() == second
    assert both[0].read(first.tree, "a") == b"a"


def test_what_a_killed_process_left_stops_nothing(workspace: Path, opened: Open, tmp_path: Path) -> None:
    store = tmp_path / "sta te" / "store"
    (workspace / "a").write_text("a")
    checkpoints = opened()
    first = checkpoints.take()
    (store / "index.lock").write_bytes(b"half")
    (store / "lock").write_bytes(b"in use\n")
    with (store / "trees").open("ab") as roots:
        roots.write(b"1234567.1 4b8")
    assert opened().take() == first
    assert opened().has(first.tree)
    index = (store / "index").read_bytes()
    for broken in (index[:20], index[:-30], b"", b"\0" * len(index)):
        (store / "index").write_bytes(broken)
        assert checkpoints.take() == first
        checkpoints.close()
    # Objects that are gone are reported; the next snapshot is whole all the same.
    shutil.rmtree(store / "objects")
    (store / "objects").mkdir()
    assert not opened().has(first.tree)
    with pytest.raises(SnapshotError, match="is no longer kept, or is damaged"):
        opened().read(first.tree, "a")
    (workspace / "b").write_text("b")
    second = checkpoints.take()
    assert held(checkpoints, second.tree) == on_disk(workspace)
    shutil.rmtree(store)
    assert checkpoints.take() == second
    assert checkpoints.has(second.tree)
    checkpoints.close()


def test_a_damaged_object_is_reported(workspace: Path, opened: Open, tmp_path: Path) -> None:
    (workspace / "a").write_text("a")
    checkpoints = opened()
    taken = checkpoints.take()
    kept = checkpoints.entry_at(taken.tree, "a")
    assert kept
    path = tmp_path / "sta te" / "store" / "objects" / kept.id[:2] / kept.id[2:]
    path.chmod(0o600)
    for damage in (b"", zlib.compress(b"blob 1\0b"), zlib.compress(b"tree 0\0"), b"no zlib"):
        path.write_bytes(damage)
        checkpoints.close()
        with pytest.raises(SnapshotError, match="is no longer kept, or is damaged"):
            checkpoints.content(kept)
    assert checkpoints.entry_at(taken.tree, "missing") is None
    checkpoints.close()


def test_old_snapshots_go_by_age_and_by_bytes_and_the_rest_reads_well(
    workspace: Path, opened: Open, tmp_path: Path
) -> None:
    day, now = 86_400.0, 1_800_000_000.0
    checkpoints = opened(clock=lambda: now)
    taken = []
    for _ in range(6):
        (workspace / "big").write_bytes(os.urandom(200_000))
        (workspace / "same").write_text("same")
        taken.append(checkpoints.take())
        now += day
    states = {each.tree: held(checkpoints, each.tree) for each in taken}
    assert checkpoints.collect(keep_days=30, max_bytes=10_000_000) == 0
    left = tmp_path / "sta te" / "store" / "objects" / "pack" / "tmp_pack_left"
    left.write_bytes(b"x" * 100_000)
    assert checkpoints.collect(keep_days=30, max_bytes=10_000_000) >= 100_000
    now += day
    assert checkpoints.collect(keep_days=4.5, max_bytes=10_000_000) > 500_000
    assert [checkpoints.has(each.tree) for each in taken] == [False, False, False, True, True, True]
    assert checkpoints.collect(keep_days=4.5, max_bytes=10_000_000) == 0
    before = checkpoints.store_bytes
    freed = checkpoints.collect(keep_days=4.5, max_bytes=450_000)
    assert (checkpoints.store_bytes, freed > 200_000) == (before - freed, True)
    assert [checkpoints.has(each.tree) for each in taken] == [False, False, False, False, False, True]
    now += 1000 * day
    checkpoints.collect(keep_days=1, max_bytes=1)
    assert held(checkpoints, taken[5].tree) == states[taken[5].tree] == on_disk(workspace)
    with pytest.raises(SnapshotError, match="no longer kept"):
        checkpoints.changes(taken[0].tree, taken[5].tree)
    assert checkpoints.take() == taken[5]
    (workspace / "big").write_text("small")
    assert held(checkpoints, checkpoints.take().tree) == on_disk(workspace)
    checkpoints.close()


def test_a_collection_of_one_process_takes_nothing_from_another(workspace: Path, opened: Open) -> None:
    now = 1_800_000_000.0
    one, other = opened(clock=lambda: now), opened(clock=lambda: now)
    (workspace / "a").write_text("a")
    (workspace / ".gitignore").write_text("ignored\n")
    (workspace / "ignored").write_text("i")
    first = one.take()
    now += 10 * 86_400
    other.take(["ignored"])
    other.collect(keep_days=1, max_bytes=10_000_000)
    assert not other.has(first.tree)
    assert one.take() == first  # its memory says that nothing changed, and the tree is made anew
    assert one.has(first.tree)
    assert sorted(held(one, first.tree)) == [".gitignore", "a"]
    one.close()
    other.close()


def test_where_no_snapshot_can_be_one_sentence_says_why(
    workspace: Path, tmp_path: Path, environ: dict[str, str], opened: Open, golden: Golden
) -> None:
    def refusal(root: Path, store: Path, **more: str) -> str:
        with pytest.raises(SnapshotError) as refused:
            Checkpoints(root, store, environ={**environ, **more}).take()
        assert refused.value.exit_code == 1
        return str(refused.value)

    refusals = [
        refusal(root, tmp_path / "s") for root in (Path(environ["HOME"]), Path("/"), tmp_path, tmp_path / "gone")
    ]
    (tmp_path / "file").write_text("")
    refusals += [refusal(workspace, tmp_path / "file"), refusal(workspace, tmp_path / "file" / "s")]
    golden(*refusals, TMP=str(tmp_path))
    for tree in ("0" * 40, "f" * 40, "no tree", "HEAD", "0" * 39 + "\n"):
        with pytest.raises(SnapshotError, match="no longer kept"):
            opened().changes("", tree)
        assert not opened().has(tree)
    assert opened().store_bytes == 0 or not (tmp_path / "s").exists()
    assert opened("never").collect(keep_days=1, max_bytes=1) == 0


def test_a_store_inside_the_workspace_is_not_part_of_it(workspace: Path, environ: dict[str, str]) -> None:
    (workspace / "a").write_text("a")
    ours = workspace / "sta te*"
    ours.mkdir()
    (ours / "log").write_text("x")
    (workspace / ".gitignore").write_text("!*\n")
    checkpoints = Checkpoints(workspace, ours / "store", environ=environ, private=[ours])
    taken = checkpoints.take()
    assert sorted(held(checkpoints, taken.tree)) == [".gitignore", "a"]
    (ours / "log").write_text("more")
    assert checkpoints.take() == taken
    checkpoints.close()


def test_the_modes_of_equal_trees_are_equal_whatever_the_order() -> None:
    modes = {"a": 0o600, "b": 0o600, "c": 0o644, "x": 0o755, "y": 0o777, "l": LINK_PLACEHOLDER, "zero": 0}
    one, other = FileModes(modes.items()), FileModes()
    for path in reversed(modes):
        other.put(path, 0o644)
        other.put(path, modes[path])
    other.put("gone", 0o604)
    other.drop("gone")
    other.drop("never there")
    assert one.blob({}) == other.blob({}) == b"600 755\n644 c\x00777 y\x000 zero\x00"
    read = StoredModes(one.blob({}))
    git_modes = {path: 0o100755 if mode & 0o100 else 0o100644 for path, mode in modes.items()}
    assert {path: read.of(path.encode(), git_modes[path]) for path in modes if path != "l"} == {
        path: mode for path, mode in modes.items() if path != "l"
    }
    assert FileModes().blob({}) == b"644 755\n"


def test_bits_above_0777_and_modes_of_folders_stand_where_an_older_build_sees_no_file() -> None:
    """It reads a row's path, and passes over one that its tree does not hold: none begins or ends with a slash."""
    modes = FileModes({"d/a": 0o644, "d/e/b": 0o4755, "c": 0o644, "x": 0o755}.items())
    assert modes.folders() == {"d", "d/e"}
    blob = modes.blob({"d": 0o755, "d/e": 0o1777})
    assert blob == b"644 755\n755 /\x004755 /d/e/b\x001777 d/e/\x00755 d/e/b\x00"
    read = StoredModes(blob)
    assert [read.of(path, 0o100755) for path in (b"d/e/b", b"x")] == [0o4755, 0o755]
    assert [read.of_folder(path) for path in (b"d", b"d/e")] == [0o755, 0o1777]
    older = StoredModes(b"644 755\n600 a\0")
    assert (older.of(b"a", 0o100644), older.of_folder(b"d")) == (0o600, None)
    modes.drop("d/e/b")
    assert modes.folders() == {"d"}


def test_a_change_of_what_most_files_have_is_a_change_of_each(workspace: Path, opened: Open) -> None:
    for name in "abc":
        (workspace / name).write_text(name)
    checkpoints = opened()
    first = checkpoints.take()
    for name in "ab":
        (workspace / name).chmod(0o600)
    second = checkpoints.take()
    assert paths(checkpoints, first, second) == ["a", "b"]
    assert held(checkpoints, second.tree) == on_disk(workspace)
    checkpoints.close()


@pytest.mark.parametrize("lost", ["emptied", "removed"])
def test_objects_that_a_crash_of_the_machine_took_are_kept_anew(
    lost: str, workspace: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    store = tmp_path / "store"
    (workspace / "a").write_text("precious")
    first = Checkpoints(workspace, store, environ=environ)
    tree = first.take().tree
    first.close()
    if lost == "removed":
        shutil.rmtree(store / "objects")
    for each in (store / "objects").rglob("*"):
        if each.is_file():
            each.chmod(0o600)
            each.write_bytes(b"")
    later = Checkpoints(workspace, store, environ=environ)
    assert later.take().tree == tree
    assert later.read(tree, "a") == b"precious"
    later.close()
