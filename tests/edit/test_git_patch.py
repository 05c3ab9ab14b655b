"""Patches for `git apply`: what git makes of them is byte for byte what they were made from."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimi_agent.edit.rendering.git_patch import FileVersion, format_git_patch

FILE, PROGRAM, LINK = "100644", "100755", "120000"
NAMES = [b"a.txt", b"d/a b.txt", b'q"u\\o\n.txt', b"esc\x1b[31m", b"bad\xff", "ümlaut \u2028".encode(), b"[/b]"]


def stand(root: Path, path: bytes, side: FileVersion | None) -> None:
    if side is None:
        return
    where = os.path.join(os.fsencode(root), path)
    os.makedirs(os.path.dirname(where), exist_ok=True)
    if side.mode == LINK:
        os.symlink(side.data, where)
        return
    with open(where, "wb") as file:
        file.write(side.data)
    os.chmod(where, int(side.mode[3:], 8))


def what_stands(root: Path, path: bytes) -> FileVersion | None:
    where = os.path.join(os.fsencode(root), path)
    if os.path.islink(where):
        return FileVersion(LINK, os.readlink(where))
    if not os.path.exists(where):
        return None
    with open(where, "rb") as file:
        return FileVersion(PROGRAM if os.access(where, os.X_OK) else FILE, file.read())


def applied(root: Path, patch: bytes) -> None:
    command = ("git", "-c", "core.autocrlf=false", "apply", "--whitespace=nowarn", "-")
    done = subprocess.run(command, cwd=root, input=patch, capture_output=True, check=False)
    assert done.returncode == 0, (done.stderr, patch)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (FileVersion(FILE, b"a\r\nb\r\n"), FileVersion(FILE, b"a\r\nB\r\nc\n")),
        (FileVersion(FILE, b"caf\xe9\n"), FileVersion(PROGRAM, b"caf\xe9\nmore")),
        (FileVersion(FILE, b"same\n"), FileVersion(PROGRAM, b"same\n")),
        (FileVersion(FILE, b"\0" + bytes(range(256)) * 9), FileVersion(FILE, b"\1\0")),
        (None, FileVersion(FILE, b"")),
        (FileVersion(FILE, b""), None),
        (None, FileVersion(LINK, b"there")),
        (FileVersion(LINK, b"there"), FileVersion(FILE, b"now a file\n")),
        (FileVersion(FILE, b"x"), FileVersion(FILE, b"x\n")),
        (FileVersion(FILE, "a\u2028b\x0cc\x85\n".encode()), FileVersion(FILE, b"a\x0bb\n")),
        (FileVersion(FILE, b"%d\n" * 5_000), FileVersion(FILE, b"%d\n" * 4_000 + b"x" * 300_000)),
    ],
)
def test_git_makes_of_the_patch_what_it_was_made_from(
    tmp_path: Path, before: FileVersion | None, after: FileVersion | None
) -> None:
    for path in NAMES:
        stand(tmp_path, path, before)
    applied(tmp_path, b"".join(format_git_patch(path, before, after) for path in NAMES))
    assert [what_stands(tmp_path, path) for path in NAMES] == [after] * len(NAMES)


_BYTES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\r", b"\xff", b" ", b"\n"]), max_size=30).map(b"".join)


@settings(max_examples=25, deadline=None)
@given(_BYTES, _BYTES)
def test_any_two_texts(tmp_path_factory: pytest.TempPathFactory, old: bytes, new: bytes) -> None:
    root = tmp_path_factory.mktemp("any")
    stand(root, b"f", FileVersion(FILE, old))
    if old != new:
        applied(root, format_git_patch(b"f", FileVersion(FILE, old), FileVersion(FILE, new)))
    assert what_stands(root, b"f") == FileVersion(FILE, new)
