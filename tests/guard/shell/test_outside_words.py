"""Words that lead out of the workspace, as the command would open them, links first."""

import shlex
from pathlib import Path

import pytest

from kimi_agent.guard.shell.outside_words import find_outside_words


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A workspace with folders and links in it; beside it `outside`."""
    workspace = tmp_path.resolve() / "ws"
    (workspace / "sub" / "deep").mkdir(parents=True)
    outside = workspace.parent / "outside"
    outside.mkdir()
    (outside / "f").write_text("x")
    (workspace / "out").symlink_to(outside)
    (workspace / "file").symlink_to(outside / "f")
    (workspace / "deep").symlink_to("sub/deep")
    (workspace / "nowhere").symlink_to(outside / "notyet")
    return workspace


def outside(place: Path, command: str, folder: str = ".") -> list[str]:
    words = tuple(shlex.split(command))
    return find_outside_words(words, folder=place / folder, roots=[str(place)], home=str(place.parent / "home"))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("git diff /dev/null /outside/f", ["/outside/f"]),
        ("git diff a ../f", ["../f"]),
        ("cat ../f", ["../f"]),
        ("sort ../f", ["../f"]),
        ("grep -r W ..", [".."]),
        ("find ..", [".."]),
        ("find / -name x", ["/"]),
        ("curl file:///outside/f", ["file:///outside/f"]),
        ("curl FILE:/outside/f", ["FILE:/outside/f"]),
        ("curl file:///%6futside/f", ["file:///%6futside/f"]),
        ("pytest /outside/test_o.py", ["/outside/test_o.py"]),
        ("pytest ../test_o.py::test_a", ["../test_o.py::test_a"]),
        ("pytest --junitxml=/out/x", ["--junitxml=/out/x"]),
        ("pytest --ignore ../x", ["../x"]),
        ("mypy --html-report /out", ["/out"]),
        ("ruff check -o/out/x", ["-o/out/x"]),
        ("gcc -I/out -I../x -Iinc a.c", ["-I/out", "-I../x"]),
        ("gcc -Wl,-rpath,/out a.c", ["-Wl,-rpath,/out"]),
        ("npm test --prefix /out", ["/out"]),
        ("uniq a ../written", ["../written"]),
        ("git blame --contents /out/f a", ["/out/f"]),
        ("git add --pathspec-from-file=/out/f", ["--pathspec-from-file=/out/f"]),
        ("git push ../other main", ["../other"]),
        ("git clone file:///out/x", ["file:///out/x"]),
        ("git clone http://h/x ../y", ["../y"]),
        ("grep -f ../words x", ["../words"]),
        ("grep x -e y /out/f", ["/out/f"]),
        ("grep /out/f -e y", ["/out/f"]),
        ("sed -n 1p ../f", ["../f"]),
        ("cat '~/x'", ["~/x"]),
        ("cat '~root/x'", ["~root/x"]),
        ("deploy @/out/f", ["@/out/f"]),
        ("deploy x=@/out/f", ["x=@/out/f"]),
        ("java -cp lib:/out x", ["lib:/out"]),
        ("timeout 5 cat ../f", ["../f"]),
        ("uv run pytest ../f", ["../f"]),
        ("python ../x.py", ["../x.py"]),
        ("python -m pytest ../f", ["../f"]),
        ("git bisect run ../x", ["../x"]),
        # Links, as the kernel follows them.
        ("cat file", ["file"]),
        ("cat out/f", ["out/f"]),
        ("cat deep/../../sub", []),
        ("cat deep/../../../x", ["deep/../../../x"]),
        ("cat out/../ws/sub", []),
        ("cat nowhere", ["nowhere"]),
        ("rm out/", ["out/"]),
    ],
)
def test_what_leads_outside_is_found(place: Path, command: str, words: list[str]) -> None:
    assert outside(place, command) == words


@pytest.mark.parametrize(
    "command",
    [
        "ls",
        "cat sub/x ./y sub/../z",
        "cat /dev/null",
        "git diff /dev/null sub/x",
        "grep -rn '/foo/' src",
        "grep -e ../x src",
        "rg '~/.config' src",
        "rg -g '../*' x",
        "sed -n '/a/p' f",
        "sed -E 's/../x/' f",
        "awk '/x/{print}' f",
        "jq '..' f",
        "tr / .",
        "cut -d/ -f2 f",
        "echo /etc/passwd",
        "find . -path './x/../y' -name '/z'",
        "git log a..b",
        "git log origin/main..HEAD -- sub",
        "git show HEAD:../x",
        "git commit -m '../x is gone: see /etc'",
        "git log --grep=/x/ --author=/y --format=../%h -S/z",
        "git log -L '/a/,/b/:f.py'",
        "curl https://h/../x",
        "curl -H 'Accept: /x' http://h",
        "go test -run '/x/../y' ./...",
        "pytest -k '/x' tests",
        "mypy --exclude '/x/' src",
        "npm test",
        "/usr/bin/git status",
    ],
)
def test_what_is_text_or_inside_is_no_way_out(place: Path, command: str) -> None:
    assert outside(place, command) == []


def test_paths_begin_in_the_folder_of_the_command(place: Path) -> None:
    assert outside(place, "cat ../x", "sub") == []
    assert outside(place, "cat ../../x", "sub") == ["../../x"]
    assert outside(place, f"cat {place}/x ../ws-2/x") == ["../ws-2/x"]
    assert outside(place, "cat f", "out") == ["f"]


def test_a_home_inside_of_the_roots_is_inside(place: Path) -> None:
    assert find_outside_words(("cat", "~/x"), folder=place, roots=[str(place)], home=str(place)) == []
    assert find_outside_words(("cat", "/a/b"), folder=place, roots=["/"], home="/x") == []


def test_a_word_that_is_no_path_is_outside(place: Path) -> None:
    assert find_outside_words(("cat", "a\0b"), folder=place, roots=[str(place)], home="/h") == ["a\0b"]
