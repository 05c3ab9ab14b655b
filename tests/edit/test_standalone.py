"""`kimi_agent.edit.apply` on a real folder: what it does, what it refuses, and that an error leaves all as it was."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.edit import EditError, PatchReport, apply
from kimi_agent.log.views import FileDiff
from tests.edit.example_counts import effort, examples
from tests.edit.random_texts import NOISE
from tests.edit.table_rows import diff, renamed, update, v4a


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "the root"
    folder.mkdir()
    return folder


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    folder = tmp_path / "journal"
    folder.mkdir(mode=0o700)
    return folder


def snapshot(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Every path with its inode, mode, mtime (of a file) and bytes or target."""
    found: dict[str, tuple[int, int, int, bytes]] = {}
    for path in sorted(folder.rglob("*")):
        told = path.lstat()
        regular = stat.S_ISREG(told.st_mode)
        data = path.read_bytes() if regular else os.fsencode(os.readlink(path)) if path.is_symlink() else b""
        found[str(path.relative_to(folder))] = (told.st_ino, told.st_mode, told.st_mtime_ns if regular else 0, data)
    return found


def test_it_says_what_it_did(root: Path, journal: Path) -> None:
    (root / "a.py").write_text("x = 1 \ny = 2\n")
    (root / "old").write_text("1\n")
    (root / "gone").write_text("1\n2\n")
    patch = v4a("*** Update File: a.py", "@@", " x = 1", "-y = 2", "+y = (", "*** Delete File: gone",
                "*** Update File: old", "*** Move to: d/new", "*** Add File: n", "+x")  # fmt: skip
    report = apply(root, patch, journal=journal)
    kept = "a.py: hunk 1: trailing blanks ignored on 1 line (kept the file's)"
    assert report == PatchReport(
        (
            FileDiff("a.py", "M", 1, 1, "@@ -1,2 +1,2 @@\n x = 1 \n-y = 2\n+y = ("),
            FileDiff("gone", "D", 0, 2, "@@ -1,2 +0,0 @@\n-1\n-2"),
            FileDiff("d/new", "R", 0, 0, "", "old"),
            FileDiff("n", "A", 1, 0, "@@ -0,0 +1,1 @@\n+x"),
        ),
        (kept, f"a.py: {report.notes[1].removeprefix('a.py: ')}"),
        report.text,
    )
    assert report.notes[1].startswith("a.py: no longer parses: line 2: ")
    assert str(report).startswith(
        "Applied to 4 files.\nM a.py +1 -1 (hunk at 2)\nD gone -2\nR old → d/new +0 -0\nA n +1\n"
    )
    assert {path: told[3] for path, told in snapshot(root).items()} == {
        "a.py": b"x = 1 \ny = (\n", "d": b"", "d/new": b"1\n", "n": b"x\n"
    }  # fmt: skip
    assert os.listdir(journal) == []


def test_nobody_is_asked_for_what_a_patch_names_deletes_or_moves(root: Path, journal: Path) -> None:
    for name in (".env", "id_rsa", "server.pem", "unread"):
        (root / name).write_text("a\n")
    patch = v4a("*** Update File: .env", "@@", "-a", "+b", "*** Delete File: id_rsa", "*** Delete File: unread",
                "*** Update File: server.pem", "*** Move to: client.pem")  # fmt: skip
    apply(root, patch, journal=journal)
    assert {path.name: path.read_text() for path in root.iterdir()} == {".env": "b\n", "client.pem": "a\n"}


def test_files_change_places_with_their_modes(root: Path, journal: Path) -> None:
    (root / "a").write_text("1\n")
    (root / "b").write_text("2\n")
    (root / "b").chmod(0o755)
    apply(root, renamed("a", "b") + renamed("b", "a", "@@ -1 +1 @@", "-2", "+two"), journal=journal)
    found = {path.name: (path.read_text(), path.stat().st_mode & 0o777) for path in root.iterdir()}
    assert found == {"a": ("two\n", 0o755), "b": ("1\n", 0o644 & ~umask())}


def umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


OUTSIDE = ["../out/f", "../out/../out/f", "{out}/f", "link/f", "deep/link/f", "d/../../out/f", "dangling", "~/f", "~"]
INTERNAL = [
    ".git/config",
    ".GIT/config",
    "sub/.git/hooks/x",
    "d/../.git/config",
    ".git",
    ".g\u200cit/config",
    "togit/config",
]
IMPOSSIBLE = ["a\0b", "/", ".", "d", "d/", "x" * 300, "a/" * 3000 + "a", "\udcff\ud800", "loop/f", "output:1", "fifo"]


@pytest.mark.parametrize("path", [*OUTSIDE, *INTERNAL, *IMPOSSIBLE], ids=lambda path: ascii(path)[:40])
def test_a_path_that_leads_out_or_cannot_be_refuses_the_whole_patch(
    path: str, root: Path, journal: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for folder in (out, root / "d", root / "deep", root / ".git", root / "sub/.git/hooks"):
        folder.mkdir(parents=True)
    for file in (out / "f", root / "fine", root / ".git/config"):
        file.write_text("x\n")
    (root / "link").symlink_to(out)
    (root / "deep/link").symlink_to("../../out")
    (root / "dangling").symlink_to(out / "not yet")
    (root / "togit").symlink_to(".git")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    before = snapshot(tmp_path)
    path = path.format(out=out)
    for lines in (
        [f"*** Add File: {path}", "+x"],
        [f"*** Update File: {path}", "@@", "-x", "+y"],
        [f"*** Delete File: {path}"],
        ["*** Update File: fine", f"*** Move to: {path}"],
        ["*** Update File: fine", f"*** Move to: {path}", "@@", "-x", "+y"],
    ):
        with pytest.raises(EditError) as caught:
            apply(root, v4a("*** Add File: beside", "+x", *lines), journal=journal)
        assert str(caught.value).encode("utf-8", "strict")
        assert snapshot(tmp_path) == before, lines


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        (diff("@@ -1 +1 @@", "-x", "+y", path="a") + diff("@@ -1 +1 @@", "-z", "+y", path="b"), "not_found"),
        (v4a("*** Add File: d/n", "+x", "*** Update File: b", "@@", "-z"), "not_found"),
        (v4a("*** Update File: a", "@@", "-x", "+y", "*** Add File: b/c", "+x"), "not_regular"),
        ("diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n"
         + diff("@@ -0,0 +1 @@", "+x", path="l/passwd"), "not_regular"),
        (v4a("*** Delete File: folder"), "not_regular"),
        ("", "no_patch"),
        ("x" * 100_000, "no_patch"),
    ],
    ids=["second file", "new folder", "file as folder", "through a new link", "a folder", "nothing", "noise"],
)  # fmt: skip
def test_what_fails_leaves_every_byte_inode_and_time(patch: str, code: str, root: Path, journal: Path) -> None:
    (root / "a").write_text("x\n")
    (root / "b").write_text("x\n")
    (root / "folder").mkdir()
    before = snapshot(root)
    with pytest.raises(EditError) as caught:
        apply(root, patch, journal=journal)
    assert caught.value.code == code
    assert snapshot(root) == before
    assert os.listdir(journal) == []


def test_a_root_that_is_none_is_refused(root: Path, journal: Path) -> None:
    (root / "file").write_text("")
    for bad, code in (("missing", "missing"), ("file", "not_regular"), ("a\0b", "missing"), ("\ud800", "missing")):
        with pytest.raises(EditError) as caught:
            apply(root / bad, update("@@", "-x"), journal=journal)
        assert caught.value.code == code


def test_a_root_may_be_a_link_and_the_folder_we_are_in(
    root: Path, journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").symlink_to(root)
    apply(tmp_path / "other", v4a("*** Add File: a", "+1"), journal=journal)
    monkeypatch.chdir(root)
    apply(Path(), update("@@", "-1", "+2"), journal=journal)
    assert (root / "a").read_text() == "2\n"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_one_line_is_edited_and_no_other_byte(end: str, last: bool, mark: bytes, root: Path, journal: Path) -> None:
    text = end.join(["\tone", "two \r", "\u2028three\x0c", "four", "", "five"]) + end * last
    (root / "a").write_bytes(mark + text.encode())
    apply(root, update("@@", "-four", "+4"), journal=journal)
    assert (root / "a").read_bytes() == mark + text.replace("four", "4").encode()


def test_a_line_of_two_megabytes_and_bytes_of_no_encoding_stay(root: Path, journal: Path) -> None:
    data = b"x" * 2_000_000 + b"\n\xff\xfe\x80 = 1\nb\n"
    (root / "a").write_bytes(data)
    apply(root, update("@@", "-b", "+c"), journal=journal)
    assert (root / "a").read_bytes() == data[:-2] + b"c\n"
    with pytest.raises(EditError) as caught:
        apply(root, update("@@", "-c", "+ö"), journal=journal)
    assert caught.value.code == "encoding"


def test_a_file_too_big_to_take_at_once_is_refused(root: Path, journal: Path) -> None:
    with (root / "a").open("wb") as file:
        file.truncate(300_000_000)
    with pytest.raises(EditError) as caught:
        apply(root, update("@@", "-b", "+c"), journal=journal)
    assert caught.value.code == "failed"
    assert (root / "a").stat().st_size == 300_000_000


def test_a_disk_that_refuses_is_an_edit_error(root: Path, journal: Path) -> None:
    (journal / "file").write_text("")
    with pytest.raises(EditError) as caught:
        apply(root, v4a("*** Add File: a", "+1"), journal=journal / "file")
    assert caught.value.code == "io"
    assert os.listdir(root) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from kimi_agent.workspace.transaction import syscalls

real, left = os.rename, [int(sys.argv[3])]
def rename(*args, **more):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return real(*args, **more)

os.rename = rename
from kimi_agent.edit import apply
apply(Path(sys.argv[1]), sys.stdin.read())
"""


def test_what_a_kill_left_is_settled_by_the_next_call(root: Path, tmp_path: Path) -> None:
    (root / "a").write_text("1\n")
    (root / "b").write_text("1\n")
    (tmp_path / "tmp").mkdir()
    patch = update("@@", "-1", "+2") + update("@@", "-1", "+2", path="b")
    environ = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(Path(__file__).parents[2])}
    killed = subprocess.run(
        [sys.executable, "-P", "-c", KILLED, root, "x", "1"], input=patch.encode(), env=environ, timeout=50
    )
    assert killed.returncode == -signal.SIGKILL
    (journal,) = (tmp_path / "tmp").iterdir()
    assert (journal.stat().st_mode & 0o777, len(os.listdir(journal))) == (0o700, 1)
    report = apply(root, v4a("*** Add File: c", "+3"), journal=journal)
    assert "finished a change that was cut short: a, b" in report.notes[-1]
    assert {path.name: path.read_text() for path in root.iterdir()} == {"a": "2\n", "b": "2\n", "c": "3\n"}
    assert os.listdir(journal) == []


def test_a_journal_of_its_own_is_private(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    apply(root, v4a("*** Add File: a", "+1"))
    folder = tmp_path / f"kimi-agent-edit-{os.geteuid()}"
    assert (folder.stat().st_mode & 0o777, os.listdir(folder)) == (0o700, [])
    folder.chmod(0o777)
    with pytest.raises(EditError, match="is not private to this user"):
        apply(root, v4a("*** Add File: b", "+1"))
    folder.rmdir()
    folder.symlink_to(root)
    with pytest.raises(EditError, match="is not private to this user"):
        apply(root, v4a("*** Add File: b", "+1"))
    assert os.listdir(root) == ["a"]


PARTS = st.sampled_from(["..", ".", "", "a", "d", "link", "up", "dangling", ".git", ".GIT", "~", "f", "\0", "é", "new"])
PATHS = st.lists(PARTS, min_size=1, max_size=6).map("/".join)


@examples(25, 1_500)
def test_no_path_escapes(count: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("paths")
    root, out, journal = place / "root", place / "out", place / "journal"
    for folder in (root / "d/d", root / ".git", out):
        folder.mkdir(parents=True)
    (out / "f").write_text("x\n")
    (root / ".git/f").write_text("x\n")
    for folder in (root, root / "d", root / "d/d"):
        (folder / "link").symlink_to(out)
        (folder / "up").symlink_to("..")
        (folder / "dangling").symlink_to(out / "new")
    before = {**snapshot(out), **snapshot(root / ".git")}

    @effort(count)
    @given(path=PATHS, absolute=st.booleans(), move=st.booleans())
    def holds(path: str, absolute: bool, move: bool) -> None:
        (root / "from").write_text("x\n")
        path = f"{place}/{path}" if absolute else path
        head = ["*** Update File: from", f"*** Move to: {path}"] if move else [f"*** Add File: {path}", "+x"]
        try:
            report = apply(root, v4a(*head), journal=journal)
        except EditError:
            assert (root / "from").read_text() == "x\n"
        else:
            (root / report.files[0].path).unlink()
        assert {**snapshot(out), **snapshot(root / ".git")} == before
        assert sorted(os.listdir(place)) == ["journal", "out", "root"] or not journal.exists()

    holds()


@examples(25, 1_500)
def test_whatever_is_sent_to_a_real_folder_is_done_or_leaves_it_as_it_was(
    count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("noise")
    root, journal = place / "root", place / "journal"
    root.mkdir()

    @effort(count)
    @given(lines=st.lists(NOISE, max_size=16), end=st.sampled_from(["\n", "\r\n", ""]))
    def holds(lines: list[str], end: str) -> None:
        (root / "f").write_text("a\nb\n")
        before = snapshot(root)
        try:
            text = str(apply(root, (end or "\n").join(lines) + end, journal=journal))
        except EditError as error:
            text = f"{error}"
            assert snapshot(root) == before
        assert text.startswith(("Applied to ", "Error ["))
        after = snapshot(root)
        assert [path for path in after if "kimi-agent" in path] == []
        assert not journal.exists() or os.listdir(journal) == []
        for path in sorted(root.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    holds()
