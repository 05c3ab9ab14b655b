"""`kimi-agent sessions search` and `show`."""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from kimi_agent.cli.commands.main import run_command
from kimi_agent.errors import UserError
from kimi_agent.log.events import Compacted, Durable, Restored, Returned, Said, Spent
from kimi_agent.log.messages import Assistant, Call, Usage, user_message
from kimi_agent.log.sessions import Sessions
from kimi_agent.log.views import Result
from tests.faces.terminal_driver import Terminal
from tests.golden_texts import Golden

BEGAN = 1_795_307_680
Run = Callable[..., tuple[int, str, str]]
TALK: tuple[Durable, ...] = (
    Said(user_message("fix \x1b[2Jthe parser")),
    Said(Assistant("Let me look.", None, (Call("x:0", "shell", '{"command":"ls"}'),))),
    Returned(3, 0, Result("parser.py\nthe whole output")),
    Said(Assistant("Fixed.")),
    Compacted(5, "\n".join(f"point {n}" for n in range(1, 31)), "asked", 4, 9_000, 1_000, "the parser"),
    Restored(6),
    Spent("kimi-k2.6", Usage(9_000, 50, 8_000), 0.0123),
)


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    workspace = tmp_path / "work space"
    workspace.mkdir()
    ticks = count(BEGAN)
    return Sessions(tmp_path / "home" / "state", workspace, now=lambda: float(next(ticks)), rng=random.Random(1))


@pytest.fixture
def run(sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("KIMI_AGENT_HOME", str(tmp_path / "home"))
    session = sessions.create(model="kimi-k2.6", version="0.1")
    for event in TALK:
        session.emit(event)
    session.close()

    def call(*argv: str) -> tuple[int, str, str]:
        code = run_command(["sessions", *argv, "-C", str(sessions.workspace)])
        return code, *capsys.readouterr()

    return call


def test_words_are_found_by_session_turn_and_excerpt(run: Run) -> None:
    code, out, err = run("search", "PARSER")
    head, first, second = out.splitlines()
    assert (code, err) == (0, "")
    assert head.endswith("     1 turn  fix [2Jthe parser")
    assert first.startswith("  turn 1  2026-11-2")
    assert first.endswith("  result of shell: parser.py the whole output")
    assert second.endswith("  user: fix ␛[2Jthe parser")


def test_a_quoted_argument_is_a_phrase(run: Run, golden: Golden) -> None:
    assert "user: fix" in run("search", "the parser")[1]
    assert run("search", "parser the fix")[:2] == (0, "")
    assert "user: fix" in run("search", "parser", "the", "fix")[1]
    golden(*(run("search", "nowhere", *more)[2].rstrip() for more in ((), ("--all",))))
    with pytest.raises(UserError, match="nothing to search for"):
        run("search", '""')


def test_programs_get_one_object_a_hit(run: Run, sessions: Sessions) -> None:
    rows = [json.loads(line) for line in run("search", "parser", "--json", "--all", "--limit", "1")[1].splitlines()]
    assert rows == [
        {
            "session": sessions.list()[0].id,
            "title": "fix [2Jthe parser",
            "workspace": str(sessions.workspace),
            "agent": "main",
            "turn": 1,
            "place": "3.0",
            "kind": "result of shell",
            "at": 1_795_307_685.0,
            "excerpt": "parser.py the whole output",
        }
    ]
    assert run("search", "parser", "--limit", "1")[2] == "The newest 1 hits; --limit N shows more.\n"
    assert run("search", "nowhere", "--json") == (0, "", "")


def test_show_holds_compactions_and_cost_and_export_the_whole_summary(
    run: Run, sessions: Sessions, golden: Golden
) -> None:
    shown = run("show", "last")[1]
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(BEGAN))
    golden(shown.rstrip(), ID=sessions.list()[0].id, WORKSPACE=str(sessions.workspace), DAY=day)
    exported = run("export", "last")[1]
    assert ("point 9" in shown, "point 30" in exported) == (False, True)


def test_on_a_terminal_a_long_hit_is_broken_at_blanks(run: Run, sessions: Sessions, tmp_path: Path) -> None:
    program = (sys.executable, "-m", "kimi_agent", "sessions", "search", "output", "-C", str(sessions.workspace))
    screen = Terminal(tmp_path, program=program, columns=64, KIMI_AGENT_HOME=os.environ["KIMI_AGENT_HOME"])
    assert screen.end() == 0
    assert "  result of shell: parser.py the\n    whole output\n" in screen.shown()
