"""Starts that nobody wants: each ends in a defined way, with one sentence, and nothing is lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Place

starts_it = pytest.mark.long  # starts the program by its command, for what a shell or a person rarely does


def git(folder: Path, *argv: str) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", *argv], cwd=folder, env=env, check=True, capture_output=True)


def shell(place: Place, script: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """A shell script in the workspace; `k` in it is the program."""
    values = {**place.env, "PY": sys.executable, **env}
    return subprocess.run(
        ["/bin/bash", "-c", 'k() { "$PY" -P -m kimi_agent "$@"; }; ' + script],
        cwd=place.root, env=values, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50,
        start_new_session=True, check=False,
    )  # fmt: skip


def assert_plain(done: "subprocess.CompletedProcess[str]", exit_code: int = 0) -> None:
    assert done.returncode == exit_code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_no_git_repository(place: Place) -> None:
    done = place.run("-m", place.tape({"say": "ok"}), "-p", "go", "--output-format", "json")
    assert_plain(done)
    assert json.loads(place.logs()[0].read_text("utf-8").split("\n")[0])["event"]["workspace"] == str(place.root)


def test_in_a_repositorys_subfolder_the_top_level_is_the_workspace(place: Place) -> None:
    git(place.root, "init", "-q")
    (place.root / "deep" / "er").mkdir(parents=True)
    done = place.run("-m", place.tape({"say": "ok"}), "-p", "go", cwd=place.root / "deep" / "er")
    assert_plain(done)
    assert json.loads(place.logs()[0].read_text("utf-8").split("\n")[0])["event"]["workspace"] == str(place.root)


def test_a_bare_repository(place: Place) -> None:
    git(place.root, "init", "-q", "--bare")
    model = place.tape({"calls": [{"name": "list_files", "args": {}}]}, {"say": "{{result|HEAD}}"})
    done = place.run("-m", model, "-p", "go")
    assert_plain(done)
    assert done.stdout == "HEAD\n"


def test_git_is_missing(place: Place, tmp_path: Path) -> None:
    git(place.root, "init", "-q")
    (tmp_path / "bin").mkdir()
    model = place.tape({"calls": [{"name": "search_code", "args": {"pattern": "x"}}]}, {"say": "ok"})
    assert_plain(place.run("-m", model, "-p", "go", env={**place.env, "PATH": str(tmp_path / "bin")}))


@starts_it
def test_the_current_folder_is_gone(place: Place, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = shell(place, f'cd "{gone}" && rmdir "{gone}" && k -m "{place.tape({"say": "x"})}" -p go')
    assert_plain(done, 2)
    assert "The current folder is gone" in done.stderr


def test_home_is_unset(place: Place) -> None:
    env = {key: value for key, value in place.env.items() if key != "HOME"}
    assert_plain(place.run("-m", place.tape({"say": "ok"}), "-p", "go", env=env))


@pytest.mark.parametrize("state", ["/proc/nowhere", "/dev/null/x"])
def test_a_state_folder_that_cannot_be_written_stops_nothing(place: Place, tmp_path: Path, state: str) -> None:
    model = place.tape({"calls": [{"name": "list_files", "args": {}}]}, {"say": "ok"})
    done = place.run("-m", model, "-p", "go", env={**place.env, "KIMI_AGENT_HOME": state})
    assert_plain(done)
    assert done.stdout == "ok\n"
    assert done.stderr.count("not being saved") == 1


def test_a_read_only_workspace_can_be_talked_about(place: Place) -> None:
    (place.root / "a.txt").write_text("here\n")
    place.root.chmod(0o555)
    model = place.tape({"calls": [{"name": "read_file", "args": {"path": "a.txt"}}]}, {"say": "{{result|here}}"})
    done = place.run("-m", model, "-p", "go")
    place.root.chmod(0o755)
    assert_plain(done)
    assert done.stdout == "here\n"


@starts_it
def test_300_mb_piped_in_are_kept_and_named_not_sent(place: Place) -> None:
    model = place.tape(
        {
            "expect": {"last_contains": ["output:stdin", "first line", "bytes left out"]},
            "calls": [{"name": "read_file", "args": {"path": "output:stdin", "limit": 1}}],
        },
        {"expect": {"last_contains": "first line"}, "say": "ok"},
    )
    script = f'(echo first line; head -c 300000000 /dev/zero | tr "\\0" "x") | k -m "{model}" -p "what is it?"'
    done = shell(place, script)
    assert_plain(done)
    assert done.stdout == "ok\n"


@starts_it
def test_a_300_mb_file_is_read_a_page_at_a_time(place: Place) -> None:
    with (place.root / "big.txt").open("wb") as file:
        for _ in range(300):
            file.write(b"a line of text\n" * 66_666)
    model = place.tape(
        {"calls": [{"name": "read_file", "args": {"path": "big.txt", "offset": 10_000_000, "limit": 1}}]},
        {"expect": {"last_contains": "10000000\ta line of text"}, "say": "ok"},
    )
    assert_plain(place.run("-m", model, "-p", "go"))


@starts_it
def test_a_pipe_that_never_closes_does_not_hold_up_a_prompt(place: Place) -> None:
    read, write = os.pipe()
    child = place.start(["-m", place.tape({"say": "ok"}), "-p", "go"], stdin=read)
    out, err = child.communicate(timeout=30)
    os.close(read)
    os.close(write)
    assert (child.returncode, out) == (0, b"ok\n"), err


@starts_it
def test_stdin_is_closed(place: Place) -> None:
    done = shell(place, f'k -m "{place.tape({"say": "ok"})}" -p go <&-')
    assert_plain(done)
    assert_plain(shell(place, f'k -m "{place.tape({"say": "ok"})}" <&-'), 65)


@starts_it
def test_stdout_is_closed_early(place: Place) -> None:
    model = place.tape({"say": "line\n" * 50_000})
    done = shell(place, f'k -m "{model}" -p go | head -1; exit ${{PIPESTATUS[0]}}')
    assert_plain(done)
    assert done.stdout == "line\n"
    assert "sessions show" in done.stderr or "session" in done.stderr
    assert len(place.logs()) == 1


@starts_it
def test_stream_json_into_a_closed_pipe_ends(place: Place) -> None:
    model = place.tape({"say": "word " * 20_000, "pace": {"chunk": 100}})
    done = shell(
        place, f'k -m "{model}" -p go --output-format stream-json | head -1 >/dev/null; exit ${{PIPESTATUS[0]}}'
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@starts_it
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has this device")
@pytest.mark.parametrize("form", ["text", "json"])
def test_stdout_is_a_full_disk(place: Place, form: str) -> None:
    done = shell(place, f'k -m "{place.tape({"say": "the answer"})}" -p go --output-format {form} > /dev/full')
    assert_plain(done, 1)
    assert "No space left" in done.stderr
    assert "the answer" in place.run("sessions", "show", "last").stdout


@starts_it
def test_stderr_is_closed(place: Place) -> None:
    model = place.tape({"calls": [{"name": "list_files", "args": {}}]}, {"say": "ok"})
    done = shell(place, f'k -m "{model}" -p go 2>&-')
    assert (done.returncode, done.stdout) == (0, "ok\n")


def test_the_log_may_vanish_in_the_middle(place: Place) -> None:
    state = place.home / "state"
    (place.root / "tidy.sh").write_text(f"rm -rf '{state}/sessions'\n")  # said in the call itself it is refused
    model = place.tape({"calls": [{"name": "shell", "args": {"command": "sh tidy.sh"}}]}, {"say": "still here"})
    done = place.run("-m", model, "-y", "-p", "go")
    assert_plain(done)
    assert done.stdout == "still here\n"
    assert len(place.logs()) == 1


@starts_it
def test_arguments_that_are_not_utf8(place: Place) -> None:
    done = shell(place, f"k -m \"{place.tape({'say': 'ok'})}\" -p $'caf\\xe9'")
    assert_plain(done)


def test_a_workspace_whose_name_is_not_utf8(place: Place, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    done = place.run("-m", place.tape({"say": "ok"}), "-p", "go", cwd=os.fsdecode(folder))
    assert_plain(done)
    shutil.rmtree(folder)


@starts_it
def test_two_at_once_in_one_workspace(place: Place) -> None:
    model = place.tape({"say": "ok"})
    both = [place.start(["-m", model, "-p", "go"]) for _ in range(2)]
    assert [child.communicate(timeout=30)[0] for child in both] == [b"ok\n", b"ok\n"]
    assert len(place.logs()) == 2
