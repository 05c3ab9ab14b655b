"""diff, rewind, blame, evidence, and the flags about proof and commits, on the whole program."""

import json
import re
import subprocess

import pytest

from kimi_agent.cli.commands.main import run_command
from kimi_agent.errors import UserError
from tests.cli.conftest import Place

RED = "from a import f\n\n\ndef test_f():\n    assert f() == 2\n"
MEND = {"name": "shell", "args": {"command": "sed -i 's/1/2/' a.py; echo note > new.txt"}}
TESTS = {"name": "run_tests", "args": {}}
JSON = ("--output-format", "json")


@pytest.fixture
def repository(place: Place) -> Place:
    (place.root / "a.py").write_text("def f():\n    return 1\n")
    (place.root / "test_a.py").write_text(RED)
    return place


@pytest.mark.long
def test_a_session_is_shown_blamed_taken_back_and_brought_back(repository: Place) -> None:
    model = repository.tape({"calls": [MEND]}, {"say": "I mended f."}, {"calls": [MEND]}, {"say": "Nothing more."})
    assert repository.run("-m", model, "-y", "-p", "mend f").returncode == 0
    patch = repository.run("diff").stdout
    assert "--- a/a.py\n+++ b/a.py\n" in patch
    assert "-    return 1\n+    return 2\n" in patch
    assert "--- /dev/null\n+++ b/new.txt\n" in patch
    assert repository.run("diff", "turn", "1").stdout == patch
    blamed = repository.run("blame", "a.py:2").stdout
    assert "prompt  mend f" in blamed
    assert "turn 1" in blamed
    assert "never changed by a call" in repository.run("blame", "a.py:1").stdout

    asked = repository.run("rewind", "last", "--to", "1")
    assert (asked.returncode, "There is no terminal to ask on; -y goes on" in asked.stderr) == (2, True)
    gone = repository.run("rewind", "last", "--to", "1", "-y")
    assert (gone.returncode, "2 files restored" in gone.stderr) == (0, True)
    assert (repository.root / "a.py").read_text() == "def f():\n    return 1\n"
    assert not (repository.root / "new.txt").exists()
    back = repository.run("rewind", "last", "--redo", "--yes")
    assert (back.returncode, "Back again" in back.stderr) == (0, False), back.stderr
    same = repository.run("rewind", "last", "--to", "1", "--file", "nofile", "-y")
    assert (same.returncode, same.stderr) == (0, "Nothing was changed: no such file is different from then.\n")
    assert (repository.root / "new.txt").read_text() == "note\n"
    (repository.root / "a.py").write_text("mine\n")
    mine = repository.run("rewind", "last", "--to", "1", "-y")
    assert (mine.returncode, "say --yours keep or --yours overwrite" in mine.stderr) == (1, True)
    kept = repository.run("rewind", "last", "--to", "1", "-y", "--yours", "keep", "--what", "code")
    assert (kept.returncode, "left as they are: a.py" in kept.stderr) == (0, True)
    assert (repository.root / "a.py").read_text() == "mine\n"


@pytest.mark.long
def test_the_piped_diff_is_a_patch_that_git_applies(repository: Place) -> None:
    (repository.root / "crlf.txt").write_bytes(b"a\r\nb\r\n")
    change = "printf 'c\\r\\n' >> crlf.txt; chmod +x a.py; printf '\\0' > 'b in.dat'; touch empty"
    model = repository.tape({"calls": [{"name": "shell", "args": {"command": change}}]}, {"say": "Done."})
    assert repository.run("-m", model, "-y", "-p", "go").returncode == 0
    patch = repository.run("diff").stdout
    assert repository.run("rewind", "last", "--to", "1", "-y").returncode == 0
    done = subprocess.run(("git", "apply", "-"), cwd=repository.root, input=patch.encode(), check=False)
    assert done.returncode == 0
    assert (repository.root / "crlf.txt").read_bytes() == b"a\r\nb\r\nc\r\n"
    assert (repository.root / "b in.dat").read_bytes() == b"\0"
    assert (repository.root / "a.py").stat().st_mode & 0o100
    assert (repository.root / "empty").exists()


def test_what_is_asked_in_every_mode_does_not_advise_the_mode_that_is_on(repository: Place) -> None:
    model = repository.tape(
        {"calls": [{"name": "shell", "args": {"command": "git push --force origin main"}}]}, {"say": "No."}
    )
    done = repository.run("-m", model, "-y", "-p", "push")
    assert (done.returncode, "asked about in every mode, -y too" in done.stderr) == (77, True)
    assert "run again with -y" not in done.stderr


def test_what_cannot_be_is_one_sentence(repository: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.run("-m", repository.tape({"say": "hello"}), "-p", "hi")
    monkeypatch.setenv("KIMI_AGENT_HOME", str(repository.home))
    monkeypatch.chdir(repository.root)
    for words, said in (
        ("diff yesterday", "A diff is of: turn N, session, or since-green"),
        ("diff turn 7", "There is no turn 7"),
        ("diff since-green", "No test run has passed"),
        ("rewind last", "Say where to go: --to N"),
        ("rewind last --to 9", "There is no turn and no kept tree '9' in this session; it has 1 turn."),
        ("rewind last --to 1 --what chat --file a.py", "leave out --redo and --what chat"),
        ("evidence --md --json", "Say --md or --json, not both."),
        ("rewind last --to 1 --what all", "--what is one of chat, code, both"),
        ("rewind last --redo", "nothing to redo"),
        ("blame a.py", "PATH:LINE"),
        ("blame a.py:99", "there is no line 99"),
        ("blame nofile:1", "Cannot read nofile"),
        ("blame ../../etc/passwd:1", "lies outside the workspace"),
        ("evidence last", "nothing to prove"),
        ("evidence nosuch", "there is no session"),
    ):
        with pytest.raises(UserError, match=re.escape(said)):
            run_command(words.split())


@pytest.mark.long
def test_red_to_green_is_verified_and_its_evidence_can_be_had(repository: Place) -> None:
    model = repository.tape({"calls": [TESTS]}, {"calls": [MEND]}, {"calls": [TESTS]}, {"say": "All tests pass."})
    done = repository.run("-m", model, "-y", "--require-green", "-p", "mend f", *JSON)
    result = json.loads(done.stdout)
    assert (done.returncode, result["status"], result["tests"]["verdict"]) == (0, "done", "verified")
    assert result["tests"]["fixed"] == ["test_a.py::test_f"]
    assert result["files_changed"] == ["a.py", "new.txt"]
    assert "verified: 1 passed; test_a.py::test_f red -> green" in repository.run("evidence").stdout
    assert "### Evidence" in repository.run("evidence", "--md").stdout
    (repository.root / "a.py").write_text("def f():\n    return 3\n")
    by_hand = repository.run("evidence", "last", "--json").stdout
    assert (json.loads(by_hand)["verdict"], json.loads(by_hand)["changed_since"]) == ("not_verified", ["a.py"])
    assert "NOT verified: 1 file changed since the last run (a.py)" in repository.run("evidence").stdout
    repository.run("rewind", "last", "--to", "1", "-y", "--yours", "overwrite")
    assert "no file is different from before" in repository.run("evidence").stdout


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(({"calls": [MEND]}, {"say": "All tests pass."}), id="never run"),
        pytest.param(
            ({"calls": [TESTS]}, {"calls": [MEND]}, {"say": "All tests pass."}),
            id="edited after",
            marks=pytest.mark.long,
        ),
        pytest.param(({"calls": [TESTS]}, {"say": "All tests pass."}), id="nothing done", marks=pytest.mark.long),
    ],
)
def test_a_lying_model_ends_with_4(repository: Place, steps: tuple[dict[str, object], ...]) -> None:
    done = repository.run("-m", repository.tape(*steps), "-y", "--require-green", "-p", "mend f")
    assert done.returncode == 4
    assert done.stdout == "All tests pass.\n"
    assert "NOT verified: " in done.stderr or "tests: 1 failed" in done.stderr


def test_nothing_changed_is_green(repository: Place) -> None:
    assert repository.run("-m", repository.tape({"say": "It is 1."}), "--require-green", "-p", "f?").returncode == 0


def git(place: Place, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(("git", *who, *words), cwd=place.root, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_verified_turn_is_committed_and_only_what_the_agent_changed(repository: Place) -> None:
    git(repository, "init", "-q", "-b", "main")
    git(repository, "config", "user.name", "me")
    git(repository, "config", "user.email", "me@example.org")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "begin")
    (repository.root / "mine.txt").write_text("not for the agent\n")
    model = repository.tape(
        {"calls": [MEND]}, {"say": "Not run."}, {"calls": [TESTS]}, {"say": "Green."}, {"calls": [MEND]}
    )
    lines = [json.dumps({"type": "user", "text": text}) for text in ("mend f", "and now test it")]
    done = repository.run(
        "-m", model, "-y", "--commit", "--input-format", "stream-json", stdin="\n".join(lines).encode()
    )
    assert done.returncode == 0, done.stderr
    assert git(repository, "show", "--format=%s", "--name-only").split("\n")[:4] == ["mend f", "", "a.py", "new.txt"]
    assert git(repository, "rev-parse", "--abbrev-ref", "HEAD").startswith("kimi-agent/mend-f")
    assert git(repository, "status", "--short") == "?? mine.txt\n"


def test_a_rewind_that_is_told_what_to_do_with_my_changes_shows_what_it_will_do(repository: Place) -> None:
    model = repository.tape({"calls": [MEND]}, {"say": "I mended f."})
    assert repository.run("-m", model, "-y", "-p", "mend f").returncode == 0
    (repository.root / "a.py").write_text("mine\n")
    kept = repository.run("rewind", "last", "--to", "1", "-y", "--yours", "keep", "--what", "code")
    session = repository.logs()[0].parent.name
    assert kept.stderr.splitlines() == [
        "Take back 1 file?",
        "The diff shows what would happen to the files now.",
        "Also changed by you or another program since: a.py; they stay as they are (--yours keep).",
        f"1 file restored; left as they are: a.py. Back again: kimi-agent rewind {session} --redo",
    ]
    assert "a.py" not in kept.stdout
    (repository.root / "new.txt").write_text("mine too\n")
    nothing = repository.run("rewind", "last", "--to", "1", "-y", "--yours", "keep", "--what", "code", "--file", "a.py")
    assert nothing.stderr.splitlines()[-1] == "0 files restored; left as they are: a.py."
    over = repository.run("rewind", "last", "--to", "1", "-y", "--yours", "overwrite", "--file", "a.py")
    assert "a.py; they go back too (--yours overwrite)." in over.stderr
    assert (repository.root / "a.py").read_text() == "def f():\n    return 1\n"
