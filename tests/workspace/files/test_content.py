"""Reading, listing, and noticing what changed."""

import hashlib
import os
from pathlib import Path

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.log.event_parts import Fingerprint
from kimi_agent.log.events import Seen
from kimi_agent.workspace.files.files import Files
from tests.builders import make_files


def made(tmp_path: Path) -> Files:
    root = tmp_path / "ws"
    root.mkdir(exist_ok=True)
    return make_files(root, tmp_path / "state")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_read_gives_bytes_hash_and_mode(tmp_path: Path) -> None:
    files = made(tmp_path)
    (files.root / "a").write_bytes(b"\xff\r\n")
    (files.root / "a").chmod(0o750)
    got = files.read("a")
    assert (got.data, got.sha256, got.mode) == (b"\xff\r\n", sha(b"\xff\r\n"), 0o750)


def test_a_missing_file_is_answered_with_similar_names(tmp_path: Path) -> None:
    files = made(tmp_path)
    (files.root / "src/pkg").mkdir(parents=True)
    (files.root / "src/pkg/reader.py").write_text("")
    (files.root / "src/writer.py").write_text("")
    (files.root / "src/unrelated.toml").write_text("")
    with pytest.raises(ToolError, match=r"there is no src/raeder.py\nNext: did you mean src/pkg/reader.py") as caught:
        files.read("src/raeder.py")
    assert caught.value.code == "missing"
    assert "unrelated" not in str(caught.value)


def test_a_folder_is_listed_without_following_its_links(tmp_path: Path) -> None:
    files = made(tmp_path)
    (files.root / "d").mkdir()
    (files.root / "f").write_text("1234")
    (files.root / "l").symlink_to("/etc")
    os.mkfifo(files.root / "p")
    assert [(e.name, e.kind, e.size) for e in files.list(".") if e.kind == "file"] == [("f", "file", 4)]
    assert [(e.name, e.kind) for e in files.list(".")] == [
        ("d", "directory"),
        ("f", "file"),
        ("l", "link"),
        ("p", "other"),
    ]
    with pytest.raises(ToolError, match="is not a folder"):
        files.list("f")
    with pytest.raises(ToolError, match="there is no"):
        files.list("nowhere")


def test_names_that_are_no_utf8_are_listed_and_read(tmp_path: Path) -> None:
    files = made(tmp_path)
    name = os.fsdecode(b"caf\xe9.txt")
    (files.root / name).write_text("x")
    assert [entry.name for entry in files.list(".")] == [name]
    assert files.read(name).data == b"x"


def test_kinds(tmp_path: Path) -> None:
    files = made(tmp_path)
    (files.root / "f").write_text("")
    (files.root / "l").symlink_to("f")
    assert [files.kind(name) for name in ("f", "l", ".", "nowhere", "f/below")] == [
        "file",
        "file",
        "directory",
        "missing",
        "missing",
    ]


def test_fingerprints_never_raise(tmp_path: Path) -> None:
    files = made(tmp_path)
    (files.root / "a").write_text("x")
    (tmp_path / "outside").write_text("x")
    names = ["./a", "nowhere", ".", "../outside", "a\0", ""]
    assert files.fingerprints(names) == (
        Fingerprint("a", sha(b"x")),
        Fingerprint("nowhere", ""),
        Fingerprint(".", ""),
        Fingerprint(str(tmp_path / "outside"), ""),
        Fingerprint("a\0", ""),
        Fingerprint("", ""),
    )


def test_changed_names_what_is_no_longer_as_the_ledger_knows_it(tmp_path: Path) -> None:
    files = made(tmp_path)
    for name in ("same", "touched", "edited", "sneaky", "deleted", "replaced"):
        (files.root / name).write_bytes(b"12")
        files.seen_files.record(name, sha(b"12"), stat=os.stat(files.root / name))
    files.seen_files.record("absent", "")
    files.seen_files.record("back", "")
    files.seen_files.record("output:12", sha(b"12"))
    before = os.stat(files.root / "sneaky")
    os.utime(files.root / "touched")
    (files.root / "edited").write_bytes(b"123")
    (files.root / "sneaky").write_bytes(b"21")
    os.utime(files.root / "sneaky", ns=(before.st_atime_ns, before.st_mtime_ns))
    (files.root / "deleted").unlink()
    (files.root / "replaced").unlink()
    (files.root / "replaced").symlink_to("/etc/passwd")
    (files.root / "back").write_bytes(b"")
    assert files.changed() == ["edited", "sneaky", "deleted", "replaced", "back"]
    assert files.changed() == ["edited", "sneaky", "deleted", "replaced", "back"]


def test_changed_works_after_a_resume_without_any_stat(tmp_path: Path) -> None:
    files = made(tmp_path)
    (files.root / "a").write_bytes(b"a")
    (files.root / "b").write_bytes(b"b")
    files.seen_files.apply(Seen("a", sha(b"a"), whole=True))
    files.seen_files.apply(Seen("b", sha(b"older"), whole=True))
    assert files.changed() == ["b"]
