"""`kimi-agent worktrees`: what is shown, and that work in use or unmerged stays."""

import json
import os
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kimi_agent.cli.commands.worktrees import worktrees_app
from kimi_agent.errors import UserError
from kimi_agent.log.sessions import Sessions
from kimi_agent.workspace.worktrees.worktree import WorktreeNotRemoved
from kimi_agent.workspace.worktrees.worktrees import Worktrees
from tests.cli.conftest import Place
from tests.golden_texts import Golden
from tests.workspace.own_repository import OwnRepository, own_repository


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OwnRepository:
    own = own_repository(tmp_path)
    own.commit({"a": "a\n"})
    monkeypatch.setenv("HOME", str(own.home))
    monkeypatch.setenv("KIMI_AGENT_HOME", str(own.home / "kimi"))
    return own


def run(own: OwnRepository, *args: str) -> str:
    done = CliRunner().invoke(worktrees_app, [*args, "-C", str(own.root)])
    if done.exception is not None:
        raise done.exception
    return done.output


def test_without_a_command_they_are_listed(own: OwnRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own.root)
    assert CliRunner().invoke(worktrees_app, []).output == run(own, "list")


def test_worktrees_are_listed_and_removed(own: OwnRepository, golden: Golden) -> None:
    said = [run(own, "list")]
    state = own.home / "kimi" / "state"
    worktrees = Worktrees(own.root, state / "worktrees", environ=dict(os.environ))
    made = worktrees.make("fix", now=lambda: 0.0, rng=random.Random(1))
    own.git("commit", "--quiet", "--allow-empty", "--message", "done", at=made.path)
    (made.path / "a").write_text("b\n")

    [row] = [json.loads(line) for line in run(own, "list", "--json").splitlines()]
    commit = own.git("rev-parse", "--short", "HEAD", at=made.path)
    assert row == {
        "name": "fix",
        "branch": "kimi-agent/fix",
        "path": str(made.path),
        "ahead": 1,
        "unmerged": [f"{commit} done"],
        "dirty": ["a"],
        "ignored": [],
        "nested": [],
        "under_way": None,
        "trouble": None,
        "cut_off": False,
        "merged": False,
        "gone": False,
        "locked": None,
    }
    said.append(run(own, "list"))
    with pytest.raises(WorktreeNotRemoved):
        run(own, "rm", "fix")
    session = Sessions(state, made.path, now=lambda: 1.0, rng=random.Random(1)).create(model="m", version="1")
    with pytest.raises(UserError, match="in use") as used:
        run(own, "rm", "--force", "fix")
    session.close()
    said += [str(used.value), run(own, "rm", "--force", "fix")]
    golden(*map(str.rstrip, said), PATH=str(made.path), PID=f"pid {os.getpid()}")
    with pytest.raises(UserError, match="cannot be called"):
        run(own, "rm", "../..")


def test_what_lies_in_a_worktree_of_a_session_is_its_own_to_change_and_no_more(place: Place) -> None:
    own = own_repository(place.home)
    own.commit({"a": "a\n"})
    beside = place.home / "state" / "MARK"
    model = place.tape(
        {
            "calls": [
                {"name": "edit_file", "args": {"path": "a", "old_string": "a", "new_string": "b"}},
                {"name": "shell", "args": {"command": "echo hi > m.txt"}},
                {"name": "shell", "args": {"command": f"touch {beside}"}},
            ]
        },
        {"say": "Done."},
    )
    done = place.run("-y", "-w", "fix", "-m", model, "-p", "go", "--output-format", "json", cwd=own.root)
    result = json.loads(done.stdout)
    assert [each["tool"] for each in result["denials"]] == ["shell"], done.stderr
    assert (sorted(result["files_changed"]), beside.exists()) == (["a", "m.txt"], False)
