"""What "don't ask again" offers covers the very call, and no rule for a command's name more than it says."""

import shlex
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kimi_agent.call_plan import CallPlan, PlannedCommand
from kimi_agent.guard.policy.offers import MAX_RULE_CHARS, OFFERED_PREFIXES, suggest_rule
from kimi_agent.guard.policy.policy import Policy, Rules
from kimi_agent.guard.policy.rules import parse_rule
from kimi_agent.tool import Context, Field, tool


@tool(effect="execute", paths=lambda _: ())
async def shell(
    ctx: Context, command: Annotated[str, Field("Command.")], cwd: Annotated[str, Field("Folder.")] = ""
) -> str:
    """Run."""
    return command


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tables: a verdict changes nothing."""
    folder = tmp_path_factory.mktemp("around").resolve() / "ws"
    folder.mkdir()
    (folder.parent / "outside").mkdir()
    (folder / "out").symlink_to(folder.parent / "outside")
    return folder


def judged(workspace: Path, command: str, *rules: str) -> tuple[str, str]:
    """The kind of verdict and the rule that is offered."""
    policy = Policy("ask", Rules.parse(rules), workspace=workspace, home=Path("/home/me"))
    plan = CallPlan("shell", "execute", commands=(PlannedCommand(command, str(workspace)),))
    verdict = policy.judge(plan)
    return verdict.kind, verdict.rule


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        ("ls .env", "shell(=ls .env)"),
        ("ls -a .env", "shell(=ls -a .env)"),
        ("git show HEAD:.env", "shell(=git show HEAD:.env)"),
        ("git add .env", "shell(=git add .env)"),
        ("find . -name .env", "shell(=find . -name .env)"),
        ("pytest credentials", "shell(=pytest credentials)"),
        ("git log -- .npmrc", "shell(=git log -- .npmrc)"),
        ("git diff ../f", "shell(=git diff ../f)"),
        ("ls out", "shell(=ls out)"),
        ("pytest --junitxml=j.xml", "shell(=pytest --junitxml=j.xml)"),
        ("python -m pytest -p evil", "shell(=python -m pytest -p evil)"),
        ("uv run pytest -x", "shell(uv run pytest)"),
        ("uv run pytest -p evil", "shell(=uv run pytest -p evil)"),
        ("ruff check --fix", "shell(=ruff check --fix)"),
        ("ruff check src", "shell(ruff check)"),
        ("git log --oneline -5", "shell(git log)"),
    ],
)
def test_an_offer_is_allowed_from_then_on(command: str, rule: str, workspace: Path) -> None:
    assert judged(workspace, command) == ("ask", rule)
    assert judged(workspace, command, rule)[0] == "allow"


@pytest.mark.parametrize("words", [("=-x",), ("-x",), ("a", "b" * MAX_RULE_CHARS), ("a", "é"), ("a", "b\nc"), ("",)])
def test_nothing_is_offered_where_no_rule_would_hold(words: tuple[str, ...]) -> None:
    assert suggest_rule(words) == ""


# R7: each under a rule for its first word or two, which speaks for nothing of this.
MORE_THAN_IT_SAYS = [
    "npm test --script-shell=./evil.sh",
    "npm test --prefix /outside/pkg",
    "npm test -- --config ../x",
    "pytest /outside/test_o.py",
    "pytest ../test_o.py::test_x",
    "make 'SHELL = ./evil'",
    "make ' SHELL=./evil'",
    "make -j2 'SHELL  := ./evil'",
    "make '.SHELLFLAGS=-c \"touch MARK\" x'",
    "pytest --junitxml=/out/j.xml",
    "pytest --log-file=/out/l",
    "pytest --debug=/out/d",
    "uniq a ../written",
    "uniq a written",
    "xxd a ../written2",
    "ruff check -o /outside/x",
    "ruff check --fix",
    "ruff check --add-noqa",
    "tsc --outDir /outside",
    "mypy --html-report /outside",
    "mypy @args.txt",
    "go test -coverprofile=/outside/x",
    "go test -c -outputdir /outside",
    "cargo clippy --fix",
    "cargo build --artifact-dir /outside",
    "git diff /dev/null /outside/f",
    "git diff a ../f",
    "git blame --contents /outside/f a.txt",
    "git add --pathspec-from-file=/outside/f",
    "cat ../f",
    "cat out/f",
    "sort ../f",
    "grep -r W ..",
    "find ..",
    "curl file:///outside/f",
    "head -n 1 /etc/hosts",
]


@pytest.mark.parametrize("command", MORE_THAN_IT_SAYS)
def test_a_rule_for_the_first_words_leaves_the_rest_to_a_person(command: str, workspace: Path) -> None:
    words = shlex.split(command)
    rules = [f"shell({words[0]})"]
    if words[1][0] not in "-./@ " and words[0] in {"npm", "ruff", "go", "cargo", "git"}:
        rules.append(f"shell({words[0]} {words[1]})")
    kind, offer = judged(workspace, command, *rules)
    assert kind == "ask"
    assert offer in ("", f"shell(={shlex.join(words)})")


WORD = st.one_of(
    st.sampled_from([".env", "../x", "/etc/x", "-x", "--fix", "-p", "@x", "a=b", "src", "--", "*", "~", "out/f"]),
    st.text("abc-=./~@:+ '\"", min_size=0, max_size=6),
)
COMMAND = st.tuples(
    st.one_of(st.sampled_from(sorted(OFFERED_PREFIXES)), st.tuples(st.sampled_from(["cat", "make", "x", "=y", "env"]))),
    st.lists(WORD, max_size=4),
).map(lambda parts: (*parts[0], *parts[1]))


@given(COMMAND)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_is_offered_covers_the_call(workspace: Path, words: tuple[str, ...]) -> None:
    command = shlex.join(words)
    _, offer = judged(workspace, command)
    if offer:
        assert judged(workspace, command, offer)[0] == "allow"


@given(COMMAND)
def test_an_offered_rule_can_be_read_again(words: tuple[str, ...]) -> None:
    if offer := suggest_rule(words):
        rule = parse_rule(offer)
        assert rule.words in (words, words[: len(rule.words)])
