"""No spelling, link or race leads a write out of the workspace, or a read without a person's consent."""

import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kimi_agent.errors import NeedsConsent, ToolError
from kimi_agent.workspace.confined_open import ConfinedOpener
from kimi_agent.workspace.file_change import FileChange
from kimi_agent.workspace.files.access_rules import AccessRules
from kimi_agent.workspace.files.files import Files
from tests.builders import make_files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A workspace `app` beside `app-secret`, with a home above both."""
    (tmp_path / "app/sub").mkdir(parents=True)
    (tmp_path / "app/in.txt").write_text("in\n")
    (tmp_path / "app-secret").mkdir()
    (tmp_path / "app-secret/k").write_text("canary")
    return open_at(tmp_path)


def open_at(tmp_path: Path, cwd: str = "", added: tuple[Path, ...] = ()) -> Files:
    state = tmp_path / "state"
    return make_files(
        tmp_path / "app",
        state,
        cwd=tmp_path / "app" / cwd,
        added=added,
        access=AccessRules(private=(str(state.resolve()),)),
    )


def code_of_write(files: Files, path: str) -> str:
    with pytest.raises(ToolError) as caught:
        files.commit([FileChange(path, None, b"x")])
    return caught.value.code


def refusal_of_read(files: Files, path: str) -> ToolError:
    with pytest.raises(ToolError) as caught:
        files.read(path)
    return caught.value


@pytest.mark.parametrize(
    "spelling", ["in.txt", "./in.txt", "sub/../in.txt", "~/app/in.txt", "{root}/in.txt", "sub/..//in.txt"]
)
def test_any_spelling_that_resolves_inside_is_taken(files: Files, spelling: str) -> None:
    got = files.read(spelling.format(root=files.root))
    assert (got.path, got.data) == ("in.txt", b"in\n")


@pytest.mark.parametrize(
    "spelling", ["../app-secret/k", "{out}/k", "~/app-secret/k", "link", "d/k", "sub/up/../app-secret/k"]
)
def test_what_leads_outside_is_asked_for_reading_and_refused_for_writing(
    files: Files, tmp_path: Path, spelling: str
) -> None:
    out = tmp_path / "app-secret"
    (files.root / "link").symlink_to(out / "k")
    (files.root / "d").symlink_to(out)
    (files.root / "sub/up").symlink_to("..")
    spelling = spelling.format(out=out)
    refusal = refusal_of_read(files, spelling)
    assert isinstance(refusal, NeedsConsent)
    assert (refusal.code, refusal.path) == ("outside", str(out / "k"))
    assert str(out / "k") in str(refusal)
    before = hashlib.sha256(b"canary").hexdigest()
    with pytest.raises(ToolError, match="outside of the workspace") as caught:
        files.commit([FileChange(spelling, before, b"x")])
    assert caught.value.code == "outside"
    assert (out / "k").read_text() == "canary"


def test_a_new_file_through_a_link_to_a_folder_outside_is_refused(files: Files, tmp_path: Path) -> None:
    (files.root / "d").symlink_to(tmp_path / "app-secret")
    assert code_of_write(files, "d/new.txt") == "outside"
    assert code_of_write(files, "d/deeper/new.txt") == "outside"
    assert sorted(os.listdir(tmp_path / "app-secret")) == ["k"]


def test_a_dangling_link_does_not_make_its_target_outside(files: Files, tmp_path: Path) -> None:
    (files.root / "link").symlink_to(tmp_path / "app-secret/notyet")
    assert code_of_write(files, "link") == "outside"
    assert not (tmp_path / "app-secret/notyet").exists()


def test_dots_after_a_link_mean_the_parent_of_its_target(files: Files, tmp_path: Path) -> None:
    (files.root / "deep/er").mkdir(parents=True)
    (files.root / "deep/x").write_text("by the kernel's way\n")
    (files.root / "x").write_text("by the letters\n")
    (files.root / "away").symlink_to("deep/er")
    assert files.read("away/../x").data == (files.root / "away/../x").read_bytes() == b"by the kernel's way\n"


def test_an_absolute_link_that_stays_inside_is_followed(files: Files) -> None:
    (files.root / "abs").symlink_to(files.root / "in.txt")
    assert files.read("abs").path == "in.txt"


def test_links_in_a_circle_are_refused(files: Files) -> None:
    (files.root / "a").symlink_to("b")
    (files.root / "b").symlink_to("a")
    assert refusal_of_read(files, "a").code == "not_regular"


@pytest.mark.parametrize("path", ["", "  ", "a\0b", "x" * 5000, "d/" * 3000, "y" * 256, "\ud800"])
def test_what_no_file_can_be_called_is_a_bad_argument(files: Files, path: str) -> None:
    assert refusal_of_read(files, path).code == "bad_arguments"
    assert code_of_write(files, path) == "bad_arguments"


@pytest.mark.parametrize(
    "path", ["/proc/self/environ", "/proc/self/root/etc/passwd", "/proc/self/cwd/in.txt", "/dev/fd/0", "/dev/stdin"]
)
def test_the_magic_of_proc_is_refused_even_with_consent(files: Files, path: str) -> None:
    files.allow_reading("/")
    assert refusal_of_read(files, path).code == "not_regular"


@pytest.fixture
def special(files: Files) -> Iterator[Files]:
    os.mkfifo(files.root / "pipe")
    (files.root / "zero").symlink_to("/dev/zero")
    here = Path.cwd()
    os.chdir(files.root)  # the address of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        yield files


def test_pipes_devices_and_sockets_are_refused_at_once(special: Files) -> None:
    special.allow_reading("/dev/zero")
    for name, what in (("pipe", "a pipe"), ("zero", "a device"), ("socket", "a socket"), ("sub", "a folder")):
        refusal = refusal_of_read(special, name)
        assert refusal.code == "not_regular"
        assert what in refusal.text
        assert special.fingerprints([name])[0].sha256 == ""
    assert code_of_write(special, "pipe") == "not_regular"
    assert special.kind("pipe") == "other"


def test_a_sparse_terabyte_is_refused_by_its_size(files: Files) -> None:
    with open(files.root / "big", "wb") as file:
        file.truncate(1 << 40)
    refusal = refusal_of_read(files, "big")
    assert "1,099,511,627,776 bytes" in refusal.text
    assert "read_file(offset, limit)" in refusal.next_step
    assert files.fingerprints(["big"])[0].sha256 == ""


@pytest.mark.parametrize(
    "path",
    [
        *(".git/config", ".GIT/hooks/x", ".git./config", ".g\u200cit/config", ".git /x", "sub/.git/x", ".git"),
        *("git~1/config", "hidden/config", ".git/../.git/x"),
    ],
)
def test_nothing_is_written_into_git(files: Files, path: str) -> None:
    (files.root / ".git").mkdir()
    (files.root / "hidden").symlink_to(".git")
    assert code_of_write(files, path) == "git_internal"
    assert os.listdir(files.root / ".git") == []


@pytest.mark.parametrize("path", [".kimi-agent/config.toml", ".Kimi-Agent/config", "sub/.kimi-agent/tools/x.py"])
def test_the_projects_own_folder_is_for_people_to_edit(files: Files, path: str) -> None:
    assert code_of_write(files, path) == "refused"
    assert not (files.root / ".kimi-agent").exists()


def test_names_that_only_begin_like_git_are_ordinary(files: Files) -> None:
    files.commit([FileChange(name, None, b"x") for name in (".gitignore", ".github/workflows/x.yml", "git/a", "x.git")])
    assert (files.root / ".github/workflows/x.yml").read_bytes() == b"x"


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".env.local",
        ".ENV",
        "id_ed25519",
        "server.pem",
        "tls.key",
        ".netrc",
        "credentials",
        ".docker/config.json",
    ],
)
def test_reading_a_secret_is_asked_until_that_very_path_is_allowed(files: Files, name: str) -> None:
    (files.root / name).parent.mkdir(exist_ok=True)
    (files.root / name).write_text("canary")
    refusal = refusal_of_read(files, name)
    assert isinstance(refusal, NeedsConsent)
    assert (refusal.code, refusal.path) == ("sensitive", str(files.root / name))
    files.allow_reading(str(files.root))
    assert refusal_of_read(files, name).code == "sensitive"
    files.allow_reading(refusal.path)
    assert files.read(name).data == b"canary"


def test_a_link_called_like_a_secret_is_asked_too(files: Files) -> None:
    (files.root / ".env").symlink_to("in.txt")
    assert refusal_of_read(files, ".env").code == "sensitive"


@pytest.mark.parametrize(
    "name", [".env.example", ".env.sample", ".env.template", "id_rsa.pub", "environment.py", "key.py"]
)
def test_names_that_only_look_like_secrets_are_read(files: Files, name: str) -> None:
    (files.root / name).write_text("x")
    assert files.read(name).data == b"x"


def test_an_allowed_folder_outside_is_read_and_still_not_written(files: Files, tmp_path: Path) -> None:
    files.allow_reading(str(tmp_path / "app-secret"))
    assert files.read("../app-secret/k").path == str(tmp_path / "app-secret/k")
    assert [entry.name for entry in files.list("../app-secret")] == ["k"]
    assert code_of_write(files, "../app-secret/new") == "outside"
    assert refusal_of_read(files, "../app-secret-2/k").code == "outside"


def test_an_added_folder_is_read_and_written(tmp_path: Path, files: Files) -> None:
    both = open_at(tmp_path, added=(tmp_path / "app-secret",))
    target = str(tmp_path / "app-secret/new")
    both.commit([FileChange(target, None, b"x")])
    assert both.read("../app-secret/new").path == target
    assert both.changed() == []
    assert both.fingerprints([target])[0].sha256 == hashlib.sha256(b"x").hexdigest()


def test_our_own_state_is_closed_even_with_consent(files: Files, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(exist_ok=True)
    (tmp_path / "state/log").write_text("x")
    files.allow_reading(str(tmp_path))
    assert refusal_of_read(files, "../state/log").code == "refused"


def test_outputs_are_read_by_name_and_other_ids_are_missing(files: Files) -> None:
    name = files.outputs.keep("a\nb\n")
    assert files.read(name).data == b"a\nb\n"
    assert files.shown(name) == name
    assert refusal_of_read(files, "output:nope").code == "missing"
    assert refusal_of_read(files, "output:../../etc/passwd").code == "missing"


def test_a_path_starts_at_the_cwd_or_else_at_the_workspace(files: Files, tmp_path: Path) -> None:
    (files.root / "sub/here").write_text("sub")
    (files.root / "here").write_text("top")
    below = open_at(tmp_path, cwd="sub")
    assert below.shown("here") == "sub/here"
    assert below.shown("in.txt") == "in.txt", "as a result spelled it"
    assert below.shown("sub/here") == "sub/here"
    assert below.shown("sub/new") == "sub/new"
    assert below.shown("new") == "sub/new"
    assert below.shown("fresh/new") == "sub/fresh/new"
    below.commit([FileChange(below.shown("new"), None, b"x")])
    assert (files.root / "sub/new").read_bytes() == b"x"


@pytest.mark.parametrize("openat2", [True, False])
def test_a_folder_that_flips_between_inside_and_outside_never_lets_a_file_out(tmp_path: Path, openat2: bool) -> None:
    root, out = tmp_path / "ws", tmp_path / "out"
    for folder in (root / "d", out, root / "inner"):
        folder.mkdir(parents=True)
    opener, stop = ConfinedOpener(openat2=openat2), threading.Event()

    def flip() -> None:
        while not stop.is_set():
            os.rename(root / "d", root / "real")
            os.symlink(out, root / "d")
            os.unlink(root / "d")
            os.rename(root / "real", root / "d")

    flipping = threading.Thread(target=flip)
    flipping.start()
    landed = 0
    try:
        number = 0
        while number < 2000 or not landed:
            number += 1
            try:
                fd = opener.open(str(root), f"d/f{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except OSError:
                continue
            os.close(fd)
            landed += 1
    finally:
        stop.set()
        flipping.join()
    assert os.listdir(out) == []
    assert landed == len(os.listdir(root / "d")) > 0


def test_writes_through_a_flipping_link_never_land_outside(tmp_path: Path, files: Files) -> None:
    out, inside = tmp_path / "app-secret", files.root / "inside"
    inside.mkdir()
    stop = threading.Event()

    def flip() -> None:
        for number in range(10**9):
            if stop.is_set():
                return
            os.symlink(out if number % 2 else inside, files.root / "next")
            os.rename(files.root / "next", files.root / "d")

    (files.root / "d").symlink_to(inside)
    flipping = threading.Thread(target=flip)
    flipping.start()
    codes = set()
    try:
        for number in range(60):
            try:
                files.commit([FileChange(f"d/f{number}", None, b"x")])
            except ToolError as refusal:
                codes.add(refusal.code)
    finally:
        stop.set()
        flipping.join()
    assert os.listdir(out) == ["k"]
    assert codes <= {"outside", "missing", "io"}


@pytest.mark.parametrize("openat2", [True, False])
def test_the_opener_follows_no_link_and_no_dots(tmp_path: Path, openat2: bool) -> None:
    (tmp_path / "ws/real").mkdir(parents=True)
    (tmp_path / "ws/real/f").write_text("x")
    (tmp_path / "ws/link").symlink_to("real")
    (tmp_path / "ws/file-link").symlink_to("real/f")
    opener, root = ConfinedOpener(openat2=openat2), str(tmp_path / "ws")
    os.close(opener.open(root, "real/f", os.O_RDONLY))
    os.close(opener.open(root, "", os.O_RDONLY | os.O_DIRECTORY))
    for path in ("link/f", "file-link", "real/../real/f", "../ws/real/f"):
        with pytest.raises(OSError, match=r"real|link|levels|resolved") as caught:
            opener.open(root, path, os.O_RDONLY)
        assert caught.value.errno in (40, 18, 62)
    with pytest.raises(FileNotFoundError):
        opener.open(root, "nowhere/f", os.O_RDONLY)
    with pytest.raises(NotADirectoryError):
        opener.open(root, "real/f/g", os.O_RDONLY)


@pytest.mark.parametrize("spelling", ["./~/g", "./~", "./output:1", "./output:1/g"])
def test_a_name_that_would_lead_elsewhere_is_shown_so_that_it_leads_back(files: Files, spelling: str) -> None:
    assert files.shown(spelling) == spelling
    assert files.shown(files.shown(spelling)) == spelling
