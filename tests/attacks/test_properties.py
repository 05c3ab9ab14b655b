"""Random calls: what is opened was judged, a deny rule holds for every spelling, an offer covers its own call."""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kimi_agent.app.bootstrap import load_setup
from kimi_agent.app.open_agent import open_agent
from kimi_agent.call_plan import CallPlan
from kimi_agent.errors import ToolError, UserError
from kimi_agent.guard.policy.policy import PermissionMode, Policy, PolicyVerdict, Rules
from kimi_agent.guard.tool_wrappers.approval import refuse_all, wrap_with_approval
from kimi_agent.layers import Layer, built_in_root
from kimi_agent.log.events import Event, Returned, Stamped
from kimi_agent.log.messages import user_message
from kimi_agent.tool import Context, Tool
from kimi_agent.toolbox import load_tools
from kimi_agent.workspace.search.ripgrep import Ripgrep
from kimi_agent.workspace.testrun import ProjectTests
from tests.attacks.attack_case import Call
from tests.attacks.judging import Place, judge_command, make_place, suggest_offer
from tests.attacks.random_calls import FILE_CALLS, SPELLINGS, TREES, Contents, Tree, make_tree, needles
from tests.attacks.test_commands import TABLE
from tests.builders import make_files, make_runner
from tests.tool_calls import run_tool

HEALTH = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

SHELL_CALLS: st.SearchStrategy[Call] = st.builds(
    lambda folder: ("shell", {"command": "pwd -P; echo made > made", "cwd": folder}), SPELLINGS
)
TEST_CALLS: st.SearchStrategy[Call] = st.sampled_from([("run_tests", {}), ("run_tests", {"command": "touch made"})])
CALLS = st.lists(st.one_of(FILE_CALLS, FILE_CALLS, FILE_CALLS, SHELL_CALLS, TEST_CALLS), min_size=1, max_size=8)


class RecordingPolicy(Policy):
    """A policy that remembers what it was asked to judge."""

    def __init__(self, mode: PermissionMode, rules: Rules, *, workspace: Path, home: Path) -> None:
        super().__init__(mode, rules, workspace=workspace, home=home)
        self.judged: list[CallPlan] = []

    def judge(self, plan: CallPlan) -> PolicyVerdict:
        self.judged.append(plan)
        return super().judge(plan)


def emit_to_nobody(event: Event) -> Stamped:
    return Stamped("main", 0, 0.0, event)


def load_built_in_tools() -> dict[str, Tool]:
    tools, problems = load_tools([Layer("built-in", built_in_root())])
    assert problems == []
    return dict(tools)


TOOLS = load_built_in_tools()


async def hold_calls_to_their_plans(base: Path, tree: Tree, calls: Sequence[Call]) -> None:
    """Every file that a call shows or changes is one of those that were judged, or lies below one."""
    place = make_tree(base, tree)
    (place.workspace / "AGENTS.md").write_text("Test command: `touch made`\n")
    state = base / "state"
    files = make_files(place.workspace, state, home=place.home)
    runner = make_runner(place.workspace, state, outputs=files.outputs)
    tests = ProjectTests(files, runner, python=sys.executable)
    policy = RecordingPolicy("yolo", Rules.parse(), workspace=place.workspace, home=place.home)
    ctx = Context(files, runner, Ripgrep(files, runner), tests, "main", "1.0", lambda text: None)
    try:
        for name, arguments in calls:
            policy.judged.clear()
            before = Contents.read(place.home)
            gate = wrap_with_approval(TOOLS[name], policy=policy, ask=refuse_all("nobody"), emit=emit_to_nobody)
            try:
                shown = (await run_tool(gate, ctx, place.filled(json.dumps(arguments)))).content
            except ToolError as error:
                shown = str(error)
            changed = before.changed(Contents.read(place.home))
            if policy.judged:
                assert_within(policy.judged[-1], shown, changed, place, before)
            else:
                assert changed == set()  # a call that can't be planned comes to nothing
    finally:
        await runner.aclose()


def assert_within(plan: CallPlan, shown: str, changed: set[Path], place: Place, before: Contents) -> None:
    planned = {Path(each.path) for each in plan.paths}
    if plan.tool == "search_code" and not planned:
        planned = {place.workspace}  # a search of no place is one of all
    if plan.commands:
        (command,) = plan.commands
        made = {Path(command.folder) / "made"}
        assert changed <= made if "made" in command.text else changed == set()
        assert not shown.startswith("/") or shown.split("\n")[0] == command.folder
        return
    assert changed <= planned, plan
    for needle in (each for each in needles(place) if each in shown):
        holders = [
            path for path, data in before.files.items() if needle.encode() in data
        ]  # an earlier call may have moved it
        assert any(path == each or each in path.parents for path in holders for each in planned), plan


DENIED = ("private/**", "private", "private/", "{workspace}/private/**", "~/src/app/private/**", "./private/**")


async def run_denied(base: Path, place: Place, calls: Sequence[Call], glob: str) -> list[str]:
    """What the results of `calls` say in mode yolo, where reading and writing `glob` is denied.

    Empty where a rule that is not understood stopped the start.
    """
    agent_home, tape = base / "agent", base / "tape.jsonl"
    agent_home.mkdir()
    deny = [place.filled(f"{effect}({glob})") for effect in ("read", "write")]
    (agent_home / "config.toml").write_text(f"[permissions]\ndeny = {json.dumps(deny)}\n")
    lines = [{"calls": [{"name": name, "args": arguments}]} for name, arguments in calls]
    tape.write_text("".join(place.filled(json.dumps(line)) + "\n" for line in [*lines, {"say": "done"}]))
    environ = {"PATH": os.environ["PATH"], "HOME": str(place.home), "KIMI_AGENT_HOME": str(agent_home)}
    told: list[str] = []

    def hear(stamped: Stamped) -> None:
        if isinstance(stamped.event, Returned):
            told.append(stamped.event.result.content)

    sets = (f"model=tape:{tape}", "mode=yolo")
    setup = load_setup({}, sets=sets, directory=str(place.workspace), environ=environ, trust=False)
    try:
        opened = await open_agent(
            setup, lambda sessions, new: sessions.create(model=new.model, version="0"), refuse_all("nobody"), [hear]
        )
    except UserError:
        return []
    try:
        await opened.run_turn(user_message("go"))
    finally:
        await opened.aclose()
    assert told
    return told


async def hold_a_denial(base: Path, place: Place, calls: Sequence[Call], glob: str) -> None:
    """Nothing below private/ is shown or changed, by whatever name it is called."""
    private = (place.workspace / "private").resolve()
    before = Contents.read(private)
    told = await run_denied(base, place, calls, glob)
    assert before.changed(Contents.read(private)) == set()
    closed = {needle for needle, path in needles(place).items() if private in path.parents}
    assert not [needle for needle in closed if any(needle in text for text in told)]


@contextlib.contextmanager
def flipping(link: Path, *targets: str) -> Iterator[None]:
    """Until the block ends, `link` leads now here, now there: what was judged may be another file a moment later."""
    ended = threading.Event()
    beside = link.with_name(f".{link.name}-next")

    def flip() -> None:
        while not ended.is_set():
            for target in targets:
                beside.symlink_to(target)
                beside.replace(link)

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def check_plans(tree: Tree, calls: list[Call]) -> None:
    with tempfile.TemporaryDirectory() as base:
        asyncio.run(hold_calls_to_their_plans(Path(base), tree, calls))


def check_denial(tree: Tree, calls: list[Call], glob: str) -> None:
    with tempfile.TemporaryDirectory() as base:
        asyncio.run(hold_a_denial(Path(base), make_tree(Path(base), tree), calls, glob))


# Shrinking takes long: it is for the long run.
quick = settings(max_examples=15, deadline=None, database=None, suppress_health_check=HEALTH, phases=[Phase.generate])
thorough = settings(max_examples=600, deadline=None, database=None, suppress_health_check=HEALTH)
PLANNED = given(TREES, CALLS)
NOT_SHOWN = given(TREES, st.lists(FILE_CALLS, min_size=4, max_size=10), st.sampled_from(DENIED))

test_what_is_opened_was_judged = quick(PLANNED(check_plans))
test_a_denied_folder_is_denied_in_every_spelling = quick(NOT_SHOWN(check_denial))


@pytest.mark.attacks
@pytest.mark.timeout(900)
def test_what_is_opened_was_judged_in_many_trees() -> None:
    thorough(PLANNED(check_plans))()


@pytest.mark.attacks
@pytest.mark.timeout(900)
def test_a_denied_folder_is_denied_in_every_spelling_in_many_trees() -> None:
    thorough(NOT_SHOWN(check_denial))()


@pytest.mark.attacks
def test_p7_a_link_that_flips_while_calls_run_leads_nowhere_else(tmp_path: Path) -> None:
    place = make_tree(tmp_path, ({}, False))
    pairs = [
        (("write_file", {"path": f"d/f{n}.txt", "content": "new\n"}), ("read_file", {"path": "d/p.txt"}))
        for n in range(60)
    ]
    with flipping(place.workspace / "d", "docs", "private"):
        asyncio.run(hold_a_denial(tmp_path, place, [call for pair in pairs for call in pair], "private/**"))


def test_a_rule_that_is_offered_covers_the_very_call(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    for row in TABLE:
        command = place.filled(row.command)
        if offer := suggest_offer(command, place):
            assert judge_command(command, "ask", place, allow=[offer]) == "allow", (offer, command)


def test_a_rule_that_is_offered_covers_no_other_verdict_of_the_table(tmp_path: Path) -> None:
    """What is offered for everyday commands lets none of the commands through that are asked about or refused."""
    place = make_place(tmp_path)
    everyday = [row.command for row in TABLE if row.verdict == "allow" and not row.rule]
    offers = {offer for command in everyday if (offer := suggest_offer(place.filled(command), place))}
    hostile = [row for row in TABLE if row.verdict in ("ask", "deny", "held") and not row.rule.startswith("-")]
    # In another row the very same command may be asked about for want of a rule.
    hostile = [row for row in hostile if suggest_offer(place.filled(row.command), place) not in offers]
    through = [
        row.command
        for row in hostile
        if judge_command(place.filled(row.command), "ask", place, allow=sorted(offers)) == "allow"
    ]
    assert through == []
