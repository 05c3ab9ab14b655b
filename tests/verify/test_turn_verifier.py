"""The harness's own word at the end of a turn, whatever the model says."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from kimi_agent.guard.tool_wrappers.approval import refuse_all
from kimi_agent.guard.tool_wrappers.snapshots import SnapshotWrapper
from kimi_agent.log.events import Event, Judged, TurnEnded
from kimi_agent.log.messages import user_message
from kimi_agent.log.views import Evidence
from kimi_agent.tool import Context, Tool
from kimi_agent.verify.proof import OwnerOf
from kimi_agent.verify.turn_verifier import AfterTurnHook, TurnVerifier
from kimi_agent.workspace.checkpoint import Checkpoints
from kimi_agent.workspace.testrun.commands_and_reports import Owner
from tests.scripted_model import Scripted, Step, agent_on, calls, says

RED = "def test_it():\n    assert 1 == 2\n"
GREEN = "def test_it():\n    assert 1 == 1\n"
Open = Callable[..., TurnVerifier]


@pytest.fixture
async def witness(
    tool: Callable[[str], Tool], context: Context, workspace: Path, tmp_path: Path
) -> AsyncIterator[Open]:
    opened: list[Checkpoints] = []

    def make(
        *steps: Step, endings: Sequence[AfterTurnHook] = (), owners: Callable[[], OwnerOf] = lambda: lambda path: None
    ) -> TurnVerifier:
        checkpoints = Checkpoints(workspace, tmp_path / "kept", environ=os.environ)
        opened.append(checkpoints)
        keeping: list[SnapshotWrapper] = []
        agent = agent_on(
            Scripted(*steps),
            [tool(name) for name in ("write_file", "run_tests", "shell", "read_file")],
            context,
            tmp_path / "session",
            wrappers=[lambda each: keeping[0].wrap(each)],
        )
        none = refuse_all("nobody")
        keeping.append(SnapshotWrapper(checkpoints, agent.session.emit, none, lambda *_: (), lambda _: "", "S"))
        return TurnVerifier(agent, checkpoints, endings, owners=owners)

    yield make
    for each in opened:
        each.close()


def events(witness: TurnVerifier) -> list[Event]:
    return [each.event for each in witness.agent.session.events()]


def judged(witness: TurnVerifier) -> list[Evidence]:
    return [each.evidence for each in events(witness) if isinstance(each, Judged)]


async def test_a_turn_without_changes_is_not_judged(witness: Open) -> None:
    one = witness(calls(("read_file", {"path": "a"})), calls(("shell", {"command": "true"})), says("All tests pass."))
    await one.run_turn(user_message("look"))
    assert judged(one) == []


async def test_a_model_that_claims_green_without_a_run_is_contradicted(witness: Open) -> None:
    one = witness(calls(("write_file", {"path": "a.py", "content": "x = 1\n"})), says("Done, all tests pass!"))
    await one.run_turn(user_message("do it"))
    (evidence,) = judged(one)
    assert (evidence.verdict, evidence.files) == ("no_tests", ("a.py",))
    assert isinstance(events(one)[-2], TurnEnded)


@pytest.mark.long
async def test_red_edit_green_is_verified_and_an_edit_after_it_is_not(witness: Open) -> None:
    tests = ("run_tests", {"targets": ["test_a.py"]})
    one = witness(
        calls(("write_file", {"path": "test_a.py", "content": RED})),
        calls(tests),
        calls(("shell", {"command": f"printf '{GREEN}' > test_a.py"})),
        calls(tests),
        says("Mended."),
        calls(("shell", {"command": "echo '# more' >> test_a.py; echo x > b.py"})),
        says("All is well."),
    )
    await one.run_turn(user_message("mend it"))
    await one.run_turn(user_message("and more"))
    first, second = judged(one)
    assert (first.verdict, first.passed, first.fixed) == ("verified", 1, ("test_a.py::test_it",))
    assert (second.verdict, second.files) == ("no_tests", ("b.py", "test_a.py"))


async def test_a_changed_file_is_asked_whose_tests_it_needs(witness: Open) -> None:
    """The lookup is made anew for each turn, for the turn may have made a project."""
    made: list[str] = []

    def owners() -> OwnerOf:
        made.append("lookup")
        return lambda path: Owner("Go", ".") if path.endswith(".go") else None

    command = {"command": "sh check.sh"}
    one = witness(
        calls(("write_file", {"path": "check.sh", "content": "exit 0\n"})),
        calls(("write_file", {"path": "a.go", "content": "package a\n"})),
        calls(("run_tests", command)),
        says("done"),
        calls(("write_file", {"path": "b.md", "content": "x"})), says("done"),
        owners=owners,
    )  # fmt: skip
    await one.run_turn(user_message("go"))
    await one.run_turn(user_message("and more"))
    assert [each.verdict for each in judged(one)] == ["not_verified", "no_tests"]
    assert made == ["lookup", "lookup"]


async def test_endings_follow_a_turn_that_changed_files_or_ran_tests(witness: Open) -> None:
    heard: list[str] = []

    async def ending(evidence: Evidence) -> None:
        heard.append(evidence.verdict)

    one = witness(
        says("hello"),
        calls(("shell", {"command": "echo x > a"})), says("done"),
        endings=[ending],
    )  # fmt: skip
    await one.run_turn(user_message("try"))
    await one.run_turn(user_message("go"))
    assert heard == ["no_tests"]
