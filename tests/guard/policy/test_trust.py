"""Trust of a project's folder: its exact content, one workspace, a file that survives writers and damage."""

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kimi_agent.errors import UserError
from kimi_agent.guard.policy.trust import TrustStore, fingerprint_folder
from tests.golden_texts import Golden


@pytest.fixture
def project(workspace: Path) -> Path:
    folder = workspace / ".kimi-agent"
    (folder / "tools").mkdir(parents=True)
    (folder / "tools" / "a.py").write_text("x = 1\n")
    (folder / "config.toml").write_text("")
    return folder


@pytest.fixture
def trust(tmp_path: Path) -> TrustStore:
    return TrustStore(tmp_path / "state" / "trust.json", home=tmp_path / "home")


def test_the_same_content_has_the_same_fingerprint_anywhere(project: Path, tmp_path: Path) -> None:
    first = fingerprint_folder(project)
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-R", project, copy], check=True)
    os.chmod(copy / "config.toml", 0o664)
    os.utime(copy / "config.toml", (0, 0))
    assert fingerprint_folder(copy) == first
    assert len(first) == 64


def test_no_folder_has_no_fingerprint(tmp_path: Path) -> None:
    assert fingerprint_folder(tmp_path / "none") == ""
    assert fingerprint_folder(Path("a\0b")) == ""


def _content(folder: Path) -> None:
    (folder / "tools" / "a.py").write_text("x = 2\n")


def _bit(folder: Path) -> None:
    os.chmod(folder / "tools" / "a.py", 0o755)


def _name(folder: Path) -> None:
    (folder / "tools" / "a.py").rename(folder / "tools" / "b.py")


def _bytecode(folder: Path) -> None:
    (folder / "tools" / "__pycache__").mkdir()
    (folder / "tools" / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"planted")


def _link(folder: Path) -> None:
    (folder / "tools" / "c.py").symlink_to("a.py")


def _empty_folder(folder: Path) -> None:
    (folder / "tools" / "new").mkdir()


def _moved_border(folder: Path) -> None:
    (folder / "config.toml").write_text("x = 1\n")
    (folder / "tools" / "a.py").write_text("")


def _hidden(folder: Path) -> None:
    (folder / "tools" / ".x").write_text("")


@pytest.mark.parametrize(
    "change", [_content, _bit, _name, _bytecode, _link, _empty_folder, _moved_border, _hidden], ids=lambda f: f.__name__
)
def test_every_change_changes_the_fingerprint(change: object, project: Path) -> None:
    before = fingerprint_folder(project)
    assert callable(change)
    change(project)
    assert fingerprint_folder(project) != before


def test_names_and_contents_do_not_run_into_each_other(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (one / "a").write_text("1")
    (one / "b").write_text("")
    (other / "a").write_text("1bfile")
    assert fingerprint_folder(one) != fingerprint_folder(other)


def test_a_link_within_the_folder_is_held_to_its_target(project: Path) -> None:
    link = project / "tools" / "c.py"
    link.symlink_to("a.py")
    before = fingerprint_folder(project)
    link.unlink()
    link.symlink_to("../config.toml")
    assert fingerprint_folder(project) != before


@pytest.mark.parametrize("target", ["/etc/hostname", "../../elsewhere.py", "../..", "../../.kimi-agent-2/x"])
def test_a_link_out_of_the_folder_cannot_be_trusted(target: str, project: Path) -> None:
    (project / "tools" / "c.py").symlink_to(target)
    with pytest.raises(UserError, match="leads out of"):
        fingerprint_folder(project)


def test_the_folder_itself_may_not_be_a_link(project: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(project)
    with pytest.raises(UserError, match="not a plain folder"):
        fingerprint_folder(link)
    with pytest.raises(UserError, match="not a plain folder"):
        fingerprint_folder(project / "config.toml")


def test_a_pipe_or_socket_is_refused_without_waiting(project: Path) -> None:
    os.mkfifo(project / "tools" / "pipe.py")
    with pytest.raises(UserError, match="not a regular file"):
        fingerprint_folder(project)
    (project / "tools" / "pipe.py").unlink()
    here = Path.cwd()
    os.chdir(project)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("s")
    finally:
        os.chdir(here)
    with pytest.raises(UserError, match="not a regular file"):
        fingerprint_folder(project)


def test_too_much_is_refused_with_the_limit(project: Path) -> None:
    with (project / "big").open("wb") as file:
        file.truncate(21_000_000)
    with pytest.raises(UserError, match="more than 20 MB"):
        fingerprint_folder(project)
    (project / "big").unlink()
    for number in range(2_001):
        (project / f"{number}").touch()
    with pytest.raises(UserError, match="more than 2,000 files"):
        fingerprint_folder(project)


def test_endless_depth_is_refused(project: Path) -> None:
    (project / "/".join(["d"] * 30)).mkdir(parents=True)
    with pytest.raises(UserError, match="folders deep"):
        fingerprint_folder(project)


def test_strange_names_are_hashed_as_bytes(project: Path) -> None:
    before = fingerprint_folder(project)
    Path(os.fsdecode(os.fsencode(project) + b"/\xff\n.py")).touch()
    assert fingerprint_folder(project) != before


def test_trust_holds_for_this_content_in_this_workspace(project: Path, trust: TrustStore, workspace: Path) -> None:
    content = fingerprint_folder(project)
    assert not trust.is_trusted(workspace, content)
    trust.trust(workspace, content)
    assert trust.is_trusted(workspace, content)
    assert not trust.is_trusted(workspace, "0" * 64)
    assert not trust.is_trusted(workspace, "")
    assert not trust.is_trusted(workspace.parent, content)
    assert not trust.is_trusted(workspace / "inner", content)
    assert not trust.is_trusted(workspace.with_name(workspace.name + "-2"), content)


def test_a_changed_tool_is_asked_about_again_and_the_old_one_is_still_known(
    project: Path, trust: TrustStore, workspace: Path
) -> None:
    first = fingerprint_folder(project)
    trust.trust(workspace, first)
    _content(project)
    assert not trust.is_trusted(workspace, fingerprint_folder(project))
    trust.trust(workspace, fingerprint_folder(project))
    assert trust.is_trusted(workspace, first)


def test_the_real_path_is_the_key(project: Path, trust: TrustStore, workspace: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(workspace)
    trust.trust(link, fingerprint_folder(project))
    assert trust.is_trusted(workspace, fingerprint_folder(project))


def test_home_itself_is_never_trusted(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    store = tmp_path / "state" / "trust.json"
    trust = TrustStore(store, home=home)
    with pytest.raises(UserError, match="home folder"):
        trust.trust(home, "f")
    TrustStore(store, home=tmp_path / "other").trust(home, "f")
    assert not trust.is_trusted(home, "f")


def test_the_file_is_private(trust: TrustStore, workspace: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        trust.trust(workspace, "f")
    finally:
        os.umask(before)
    state = tmp_path / "state"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [state, *state.iterdir()]}
    assert modes == {"state": 0o700, "trust.json": 0o600, "trust.json.lock": 0o600}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"x"',
        "null",
        '{"trusted": []}',
        '{"trusted": {"a": "f"}}',
        '{"trusted": {"a": [1]}}',
        "[" * 99_999,
    ],
)
def test_a_damaged_file_trusts_nothing_says_so_and_can_be_written_again(
    text: str, trust: TrustStore, workspace: Path, tmp_path: Path
) -> None:
    trust.trust(workspace, "f")
    (tmp_path / "state" / "trust.json").write_text(text)
    assert not trust.is_trusted(workspace, "f")
    assert "(it is damaged)" in trust.problem()
    trust.trust(workspace, "g")
    assert trust.is_trusted(workspace, "g")
    assert trust.problem() == ""


def test_a_damaged_file_is_named_with_what_follows_from_it(
    trust: TrustStore, workspace: Path, tmp_path: Path, golden: Golden
) -> None:
    trust.trust(workspace, "f")
    (tmp_path / "state" / "trust.json").write_text("{")
    golden(trust.problem(), TMP=str(tmp_path))


def test_a_file_that_others_may_write_trusts_nothing(trust: TrustStore, workspace: Path, tmp_path: Path) -> None:
    trust.trust(workspace, "f")
    os.chmod(tmp_path / "state" / "trust.json", 0o622)
    assert not trust.is_trusted(workspace, "f")
    assert "only you may write" in trust.problem()


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_something_else_in_its_place_trusts_nothing(
    kind: str, trust: TrustStore, workspace: Path, tmp_path: Path
) -> None:
    store = tmp_path / "state" / "trust.json"
    store.parent.mkdir()
    if kind == "folder":
        store.mkdir()
    elif kind == "pipe":
        os.mkfifo(store, 0o600)
    else:
        planted = tmp_path / "planted.json"
        planted.write_text(json.dumps({"trusted": {str(workspace): ["f"]}}))
        store.symlink_to(planted)
    assert not trust.is_trusted(workspace, "f")
    assert trust.problem()


def test_a_state_folder_that_cannot_be_made_is_one_sentence(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    trust = TrustStore(tmp_path / "state" / "trust.json", home=tmp_path)
    with pytest.raises(UserError, match="trust was not kept"):
        trust.trust(workspace, "f")
    assert not trust.is_trusted(workspace, "f")


def test_a_name_that_is_no_text_is_kept(trust: TrustStore, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    trust.trust(folder, "f")
    assert trust.is_trusted(folder, "f")


def test_only_the_newest_twenty_are_kept(trust: TrustStore, workspace: Path) -> None:
    for number in range(25):
        trust.trust(workspace, str(number))
    assert [trust.is_trusted(workspace, str(number)) for number in range(25)] == [False] * 5 + [True] * 20


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from kimi_agent.guard.policy.trust import TrustStore\n"
        "trust = TrustStore(Path(sys.argv[1]), home=Path('/nobody'))\n"
        "for number in range(15): trust.trust(Path('/w') / sys.argv[2] / str(number), 'f')"
    )
    store = tmp_path / "state" / "trust.json"
    root = Path(__file__).resolve().parents[3]
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(store), str(number)], cwd=root) for number in range(4)
    ]
    assert [writer.wait() for writer in writers] == [0] * 4
    trust = TrustStore(store, home=tmp_path)
    assert all(trust.is_trusted(Path(f"/w/{a}/{b}"), "f") for a in range(4) for b in range(15))
    assert sorted(path.name for path in store.parent.iterdir()) == ["trust.json", "trust.json.lock"]
