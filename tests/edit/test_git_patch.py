"""Patches for `git apply`: what git makes of them is byte for byte what they were made from."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimi_agent.edit.rendering.git_patch import Side, git_patch

FILE, PROGRAM, LINK = "100644", "100755", "120000"
NAMES = [b"a.txt", b"d/a b.txt", b'q"u\\o\n.txt', b"esc\x1b[31m", b"bad\xff", "ümlaut \u2028".encode(), b"[/b]"]


def stand(root: Path, path: bytes, side: Side | None) -> None:
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


def what_stands(root: Path, path: bytes) -> Side | None:
    where = os.path.join(os.fsencode(root), path)
    if os.path.islink(where):
        return Side(LINK, os.readlink(where))
    if not os.path.exists(where):
        return None
    with open(where, "rb") as file:
        return Side(PROGRAM if os.access(where, os.X_OK) else FILE, file.read())


def applied(root: Path, patch: bytes) -> None:
    command = ("git", "-c", "core.autocrlf=false", "apply", "--whitespace=nowarn", "-")
    done = subprocess.run(command, cwd=root, input=patch, capture_output=True, check=False)
    assert done.returncode == 0, (done.stderr, patch)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Side(FILE, b"a\r\nb\r\n"), Side(FILE, b"a\r\nB\r\nc\n")),
        (Side(FILE, b"caf\xe9\n"), Side(PROGRAM, b"caf\xe9\nmore")),
        (Side(FILE, b"same\n"), Side(PROGRAM, b"same\n")),
        (Side(FILE, b"\0" + bytes(range(256)) * 9), Side(FILE, b"\1\0")),
        (None, Side(FILE, b"")),
        (Side(FILE, b""), None),
        (None, Side(LINK, b"there")),
        (Side(LINK, b"there"), Side(FILE, b"now a file\n")),
        (Side(FILE, b"x"), Side(FILE, b"x\n")),
        (Side(FILE, "a\u2028b\x0cc\x85\n".encode()), Side(FILE, b"a\x0bb\n")),
        (Side(FILE, b"%d\n" * 5_000), Side(FILE, b"%d\n" * 4_000 + b"x" * 300_000)),
    ],
)
def test_git_makes_of_the_patch_what_it_was_made_from(tmp_path: Path, before: Side | None, after: Side | None) -> None:
    for path in NAMES:
        stand(tmp_path, path, before)
    applied(tmp_path, b"".join(git_patch(path, before, after) for path in NAMES))
    assert [what_stands(tmp_path, path) for path in NAMES] == [after] * len(NAMES)


_BYTES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\r", b"\xff", b" ", b"\n"]), max_size=30).map(b"".join)


@settings(max_examples=25, deadline=None)
@given(_BYTES, _BYTES)
def test_any_two_texts(tmp_path_factory: pytest.TempPathFactory, old: bytes, new: bytes) -> None:
    root = tmp_path_factory.mktemp("any")
    stand(root, b"f", Side(FILE, old))
    if old != new:
        applied(root, git_patch(b"f", Side(FILE, old), Side(FILE, new)))
    assert what_stands(root, b"f") == Side(FILE, new)
