"""kimi-agent stats, on logs that real sessions wrote."""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from kimi_agent.cli.commands.stats import stats
from kimi_agent.errors import UserError
from kimi_agent.log.events import Spent
from kimi_agent.log.messages import Usage
from kimi_agent.log.sessions import Sessions
from tests.golden_texts import Golden

Run = Callable[..., list[str]]
NOON = time.mktime((2026, 11, 20, 12, 0, 0, 0, 0, -1))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command; gives the lines of stdout, or raises what it raised."""
    monkeypatch.setenv("KIMI_AGENT_HOME", str(tmp_path / "home"))

    def given(*argv: str) -> list[str]:
        app = typer.Typer()
        app.command()(stats)
        done = CliRunner().invoke(app, list(argv))
        if isinstance(done.exception, UserError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout.splitlines()

    return given


def pay(home: Path, workspace: str, *spent: Spent, at: float = NOON) -> str:
    """A session of `workspace` that paid for these requests at that time."""
    sessions = Sessions(home / "state", Path(workspace), now=lambda: at, rng=random.Random(workspace))
    session = sessions.create(model="kimi-k2.6", version="0.1")
    for each in spent:
        session.emit(each)
    session.close()
    return session.id


@pytest.fixture
def paid(tmp_path: Path) -> tuple[str, ...]:
    """Three sessions of two projects on three days, one with a model without a price."""
    home = tmp_path / "home"
    day = 86_400
    return (
        pay(home, "/srv/ä b", Spent("kimi-k2.6", Usage(10_000, 1_000, 8_000, 400), 0.5), at=NOON - 40 * day),
        pay(
            home,
            "/srv/ä b",
            Spent("kimi-k2.6", Usage(10_000, 1_000, 8_000, 400), 0.25),
            Spent("kimi-k3", Usage(20_000, 500, 0, 0), 0.75, "compaction", estimated=True),
            at=NOON - day,
        ),
        pay(home, "/srv/漢字", Spent("gpt-x", Usage(1_500_000, 500, 750_000, 0), None)),
    )


def test_the_table_is_by_project_the_dearest_first(run: Run, paid: tuple[str, ...], golden: Golden) -> None:
    golden(*run("--since", "all"))


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("model", ["kimi-k2.6", "kimi-k3", "gpt-x"]),
        ("day", ["2026-10-11", "2026-11-19", "2026-11-20"]),
    ],
)
def test_it_can_be_grouped_by_model_and_by_day(run: Run, paid: tuple[str, ...], by: str, names: list[str]) -> None:
    rows = run("--since", "all", "--by", by)
    assert [row.split()[0] for row in rows[:5]] == [by, *names, "total"]


def test_it_can_be_grouped_by_session(run: Run, paid: tuple[str, ...]) -> None:
    rows = run("--since", "all", "--by", "session")
    assert [row.split()[0] for row in rows[1:4]] == [paid[1], paid[0], paid[2]]


def test_json_is_an_object_a_line_and_the_sum_last(run: Run, paid: tuple[str, ...]) -> None:
    *groups, total = (json.loads(row) for row in run("--since", "2026-11-19", "--json"))
    assert groups == [
        {
            "project": "/srv/ä b",
            "requests": 2,
            "input_tokens": 30_000,
            "cached_tokens": 8_000,
            "output_tokens": 1_500,
            "reasoning_tokens": 400,
            "cache_hit_rate": 0.8,
            "usd": 1.0,
            "unpriced_requests": 0,
            "estimated_requests": 1,
        },
        {
            "project": "/srv/漢字",
            "requests": 1,
            "input_tokens": 1_500_000,
            "cached_tokens": 750_000,
            "output_tokens": 500,
            "reasoning_tokens": 0,
            "cache_hit_rate": 0.5,
            "usd": None,
            "unpriced_requests": 1,
            "estimated_requests": 0,
        },
    ]
    assert (total["total"], total["requests"], total["usd"]) == (True, 3, 1.0)
    assert total["since"] == time.mktime((2026, 11, 19, 0, 0, 0, 0, 0, -1))


@pytest.mark.parametrize(("since", "found"), [("24h", 0), ("1d", 0), ("1w", 1), ("today", 0), ("999999w", 1)])
def test_since_is_counted_from_now(run: Run, tmp_path: Path, since: str, found: int) -> None:
    pay(tmp_path / "home", "/w", Spent("kimi-k2.6", Usage(1), 0.5), at=time.time() - 2 * 86_400)
    assert json.loads(run("--since", since, "--json")[-1])["requests"] == found


def test_where_nothing_was_spent_that_is_said_on_stderr(run: Run) -> None:
    assert run() == []
    assert json.loads(run("--json")[0])["usd"] == 0.0


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--since", "yesterday"], "--since is a span such as 7d"),
        (["--since", "2026-13-01"], "not '2026-13-01'"),
        (["--since", "9" * 400 + "d"], "not '999"),
        (["--since", ""], "not ''"),
        (["--by", "\x1b[2J"], "--by is one of project, model, day, session; not '\\x1b[2J'"),
    ],
)
def test_a_bad_word_gets_one_sentence(run: Run, argv: list[str], words: str) -> None:
    with pytest.raises(UserError) as error:
        run(*argv)
    assert words in str(error.value)


def test_names_cannot_reach_the_terminal(run: Run, tmp_path: Path) -> None:
    pay(tmp_path / "home", "/w", Spent("kimi\x1b[2J\u202e\n", Usage(1), 0.5))
    assert "\x1b" not in "".join(run("--since", "all", "--by", "model"))
