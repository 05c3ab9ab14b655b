"""The result object: one, last, in every run that asks for it, and of one mind with the exit code and the stderr."""

import json
import os
import resource
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import PROGRAM, Place

WRITES = {"calls": [{"name": "write_file", "args": {"path": "a.py", "content": "x = 1\n"}}]}
SLEEPS = {"calls": [{"name": "shell", "args": {"command": "sleep 300"}}]}
NOT_EXPECTED = {"expect": {"last_contains": "something else"}, "say": "never"}
HI = {"say": "Hi."}


def results(text: str, form: str) -> list[dict[str, Any]]:
    """The result objects of a run's output, the last line of which has to be one."""
    lines = [json.loads(line) for line in text.splitlines()]
    assert form == "json" or lines[-1]["type"] == "result"
    return [line for line in lines if form == "json" or line["type"] == "result"]


@pytest.mark.parametrize("form", ["json", "stream-json"])
@pytest.mark.parametrize(
    ("code", "argv", "lines", "words"),
    [
        (0, ["go"], [HI], ""),
        (1, ["go"], [NOT_EXPECTED], "line 1"),
        (1, ["go", "-o", "/no/such/folder/x"], [HI], "/no/such/folder/x"),
        (2, ["go", "--bogus"], [HI], "--bogus"),
        (2, ["go", "-c", "-r", "x"], [HI], "either -c or -r"),
        (2, ["go", "-c"], [HI], "session"),
        (2, ["go", "-r"], [HI], "-r"),
        (2, ["go", "-r", "nosuch"], [HI], "no session"),
        (2, ["go", "-y", "--permission-mode", "ask"], [HI], "either -y or"),
        (2, ["go", "--permission-mode", "wild"], [HI], "wild"),
        (2, ["go", "--max-budget-usd=-1"], [HI], "--max-budget-usd"),
        (2, ["go", "--max-budget-usd", "x"], [HI], "--max-budget-usd"),
        (2, ["go", "--max-steps", "0"], [HI], "--max-steps"),
        (2, ["go", "--timeout", "abc"], [HI], "--timeout"),
        (2, ["go", "--fork-session"], [HI], "--fork-session"),
        (2, ["go", "--input-format", "xml"], [HI], "--input-format"),
        (2, ["go", "-C", "/no/such/folder"], [HI], "no folder"),
        (2, ["go", "-m"], [], "-m"),
        (4, ["go", "-y", "--require-green"], [WRITES, HI], "--require-green"),
        (53, ["go", "-y", "--max-steps", "1"], [WRITES, {"say": "never"}], "--max-steps"),
        (54, ["go", "--max-budget-usd", "1"], [HI], "--max-tokens"),
        (55, ["go", "-y", "--timeout", "1s"], [{"if": {"note_contains": "time"}, "say": "No."}, SLEEPS], "--timeout"),
        (65, ["-p", ""], [HI], "empty"),
        (65, ["--input-format", "stream-json"], [HI], "No message came"),
        (77, ["go"], [WRITES, {"say": "I could not."}], "-y"),
        (78, ["go", "--set", "modle=x"], [HI], "did you mean"),
        (78, ["go", "--set", "commit.branch=x"], [HI], "commit.branch"),
    ],
)
def test_every_end_has_one_result_that_agrees_with_the_exit_code(
    place: Place, form: str, code: int, argv: list[str], lines: list[dict[str, Any]], words: str
) -> None:
    done = place.run("--output-format", form, "-m", place.tape(*lines), *argv)
    (result,) = results(done.stdout, form)
    assert (done.returncode, result["exit_code"]) == (code, code), done.stderr
    assert (result["error"] is None, result["status"] == "done") == (code == 0, code == 0)
    if code:
        assert result["error"]["code"] == code
        assert words in result["error"]["message"]
    assert (result["session_id"] != "") == result["saved"] == (place.logs() != [])
    assert "Traceback" not in done.stderr


def test_a_usage_error_by_the_command_itself_has_its_result_too(place: Place) -> None:
    done = place.launch("-p", "go", "--bogus", "--output-format", "json")
    (result,) = results(done.stdout, "json")
    assert (done.returncode, result["exit_code"]) == (2, 2)
    assert done.stderr == f"kimi-agent: {result['error']['message']}\n"


def test_help_and_version_are_no_runs(place: Place) -> None:
    for flag in ("--help", "--version"):
        done = place.run(flag, "--output-format", "json")
        assert (done.returncode, done.stderr, "{" in done.stdout) == (0, "", False)


@pytest.mark.parametrize("name", ["sessions", "stats", "diff", "demo", "mock", "completion"])
def test_a_prompt_of_one_word_that_is_a_command_is_the_prompt_after_p(place: Place, name: str) -> None:
    model = place.tape({"expect": {"last_contains": name}, "say": "Hi."})
    done = place.run("-m", model, "--output-format", "json", "-p", name)
    assert (done.returncode, json.loads(done.stdout)["answer"]) == (0, "Hi.")


def test_no_message_at_all_names_no_session_and_keeps_none(place: Place) -> None:
    done = place.run("-m", place.tape(HI), "--input-format", "stream-json", "--output-format", "json", stdin=b"\n")
    result = json.loads(done.stdout)
    assert (done.returncode, result["session_id"], place.logs()) == (65, "", [])
    assert '{"type": "user"' in result["error"]["message"]


def test_a_session_that_was_resumed_for_nothing_is_still_named(place: Place) -> None:
    first = json.loads(place.run("-m", place.tape(HI), "-p", "go", "--output-format", "json").stdout)
    done = place.run("-c", "-m", place.tape(HI), "--input-format", "stream-json", "--output-format", "json")
    result = json.loads(done.stdout)
    assert (done.returncode, result["session_id"], result["saved"]) == (65, first["session_id"], True)


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize("form", ["text", "json", "stream-json"])
def test_a_session_that_cannot_be_saved_is_said_in_every_format(place: Place, form: str, quiet: bool) -> None:
    (place.home / "state").write_text("a file where the folder should be")
    done = place.run("-m", place.tape(HI), "-p", "go", "--output-format", form, *(["-q"] if quiet else []))
    assert done.returncode == 0, done.stderr
    said = form == "text" or not quiet  # with -q a program reads it in the result; text has no other place
    assert ("session not being saved" in done.stderr, "could not be saved" in done.stderr) == (said, said)
    if form != "text":
        (result,) = results(done.stdout, form)
        assert (result["saved"], result["status"]) == (False, "done")
        assert any("session not being saved" in text for text in result["notices"])
        assert any("could not be saved" in text for text in result["notices"])


@pytest.mark.parametrize("form", ["json", pytest.param("text", marks=pytest.mark.long)])
def test_a_disk_that_is_full_in_the_middle_is_said(place: Place, form: str) -> None:
    """A limit on the size of files stands for the disk: the log takes the start of the session, and no more."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))

    argv = [*PROGRAM, "-m", place.tape({"say": "word " * 5_000}), "-p", "go", "--output-format", form]
    done = subprocess.run(
        argv, cwd=place.root, env=place.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        preexec_fn=limit,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "session not being saved: File too large" in done.stderr
    if form == "json":
        result = json.loads(done.stdout)
        assert (result["saved"], len(result["answer"])) == (False, 25_000)
        assert any("File too large" in text for text in result["notices"])


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("closed", [True, False])
def test_only_a_session_that_was_saved_is_said_to_keep_the_answer(place: Place, *, saved: bool, closed: bool) -> None:
    if not saved:
        (place.home / "state").write_text("a file where the folder should be")
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "wb") as full:
        argv = [*PROGRAM, "-m", place.tape(HI), "-p", "go", "--output-format", "json"]
        done = subprocess.run(
            argv, cwd=place.root, env=place.env, stdin=subprocess.DEVNULL, stdout=writer if closed else full,
            stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    os.close(writer)
    assert ("was closed" if closed else "could not be written") in done.stderr
    assert ("keeps it" in done.stderr) == saved


def test_what_a_start_has_to_say_is_a_notice_too(place: Place) -> None:
    (place.root / ".kimi-agent" / "tools").mkdir(parents=True)
    (place.root / ".kimi-agent" / "tools" / "spy.py").write_text("raise RuntimeError\n")
    done = place.run("-m", place.tape(HI), "-p", "go", "--output-format", "stream-json")
    (result,) = results(done.stdout, "stream-json")
    heard = [line["text"] for line in map(json.loads, done.stdout.splitlines()) if line["type"] == "Notice"]
    assert result["notices"] == heard
    assert any("not trusted" in text for text in heard)
    assert "not trusted" in done.stderr


def test_an_answers_file_that_cannot_be_written_still_leaves_the_answer(place: Place) -> None:
    done = place.run("-m", place.tape(HI), "-p", "go", "-o", "/no/such/folder/x")
    assert (done.returncode, done.stdout) == (1, "Hi.\n")
    assert "/no/such/folder/x" in done.stderr


def test_an_answers_file_that_nobody_reads_is_no_trap(place: Place) -> None:
    fifo = place.home / "fifo"
    os.mkfifo(fifo)
    child = place.start(["-m", place.tape(HI), "-p", "go", "-o", str(fifo), "--output-format", "json"])
    out, err = child.communicate(timeout=30)
    result = json.loads(out)
    assert (child.returncode, result["exit_code"], result["answer"]) == (1, 1, "Hi."), err
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_tiny_cap_is_said_in_numbers(place: Place) -> None:
    flags = ("--max-budget-usd", "0.0004", "--set", "price.input=1", "--set", "price.output=4")
    done = place.run("-m", place.tape(HI), "-p", "go", "--output-format", "json", *flags)
    message = json.loads(done.stdout)["error"]["message"]
    assert "$0.00 of the $0.0004 of this run are spent" in message
    assert "under" not in message


# What came of --commit


def git(root: Path, *argv: str) -> str:
    environ = {"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *argv], cwd=root, env=environ, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(place: Place) -> Place:
    """A repository with one commit and a test that passes."""
    place.env["GIT_CONFIG_NOSYSTEM"] = "1"
    for key, value in (("user.name", "A"), ("user.email", "a@example.com")):
        place.env[f"GIT_AUTHOR_{key[5:].upper()}"] = place.env[f"GIT_COMMITTER_{key[5:].upper()}"] = value
    (place.root / "test_a.py").write_text("def test_a():\n    assert True\n")
    git(place.root, "init", "-q", "-b", "main")
    git(place.root, "add", ".")
    git(place.root, "-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-q", "-m", "first")
    return place


TESTED = {"calls": [{"name": "run_tests", "args": {}}]}


def test_a_commit_is_in_the_result(repository: Place) -> None:
    model = repository.tape(WRITES, TESTED, {"say": "Done."})
    done = repository.run("-y", "--commit", "-m", model, "-p", "write a.py", "--output-format", "json")
    result = json.loads(done.stdout)
    commit = result["commit"]
    assert (commit["files"], commit["error"], commit["pull_request"]) == (["a.py"], None, None), done.stderr
    assert git(repository.root, "rev-parse", commit["branch"]) == commit["sha"]
    assert "Committed 1 file" in done.stderr


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_commit_that_could_not_be_made_is_said_in_both(repository: Place, form: str) -> None:
    (repository.root / ".git" / "index.lock").write_text("")
    model = repository.tape(WRITES, TESTED, {"say": "Done."})
    done = repository.run("-y", "--commit", "-m", model, "-p", "write a.py", "--output-format", form)
    assert "Nothing was committed" in done.stderr
    if form == "json":
        commit = json.loads(done.stdout)["commit"]
        assert (commit["sha"], commit["branch"], commit["files"]) == (None, None, [])
        assert "index.lock" in commit["error"]


def test_a_turn_that_is_not_verified_says_in_the_result_that_it_was_not_committed(repository: Place) -> None:
    model = repository.tape(WRITES, {"say": "Done."})
    done = repository.run("-y", "--commit", "-m", model, "-p", "write a.py", "--output-format", "json")
    assert json.loads(done.stdout)["commit"]["error"] == "Not committed: the turn is not verified."


def test_a_pull_request_that_was_not_opened_leaves_the_commit_in_the_result(repository: Place) -> None:
    model = repository.tape(WRITES, TESTED, {"say": "Done."})
    done = repository.run("-y", "--commit", "--pr", "-m", model, "-p", "write a.py", "--output-format", "json")
    commit = json.loads(done.stdout)["commit"]
    assert (bool(commit["sha"]), commit["pull_request"], bool(commit["error"])) == (True, None, True), done.stderr


def test_a_run_without_commit_has_none(place: Place) -> None:
    done = place.run("-m", place.tape(HI), "-p", "go", "--output-format", "json")
    assert json.loads(done.stdout)["commit"] is None


@pytest.mark.parametrize("rule", ["shell(gh)", "shell(git push)", "network", "pull_request"])
def test_a_pull_request_is_judged_by_its_commands(repository: Place, rule: str, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gh").write_text(f"#!/bin/sh\ntouch '{tmp_path}/opened'\n")
    (programs / "gh").chmod(0o755)
    git(repository.root, "remote", "add", "origin", "https://github.com/somebody/something.git")
    env = repository.env | {"PATH": f"{programs}:{repository.env['PATH']}"}
    argv = ("-y", "--commit", "--pr", "-m", repository.tape(WRITES, TESTED, {"say": "Done."}), "-p", "write a.py")
    done = repository.run(*argv, "--set", f'permissions.deny=["{rule}"]', "--output-format", "json", env=env)
    commit = json.loads(done.stdout)["commit"]
    assert (commit["pull_request"], "No pull request was opened" in commit["error"]) == (None, True), done.stderr
    assert not (tmp_path / "opened").exists()
