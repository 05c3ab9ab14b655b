"""A command that is interrupted: the model is told which files it changed, not which it changed some time before."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from kimi_agent.app.bootstrap import load_setup
from kimi_agent.app.interrupted_calls import InterruptedCalls
from kimi_agent.app.open_agent import OpenAgent, open_agent
from kimi_agent.guard.tool_wrappers.approval import refuse_all
from kimi_agent.log.event_parts import OpenCall
from kimi_agent.log.events import CallStarted, Checkpoint, Opened, Stamped
from kimi_agent.log.fold.unanswered_calls import UnansweredCall
from kimi_agent.log.messages import Call, ToolReturn, user_message
from kimi_agent.log.sessions import Sessions
from kimi_agent.log.store.session import Session

UNTIL_STOPPED = "; touch .begun; sleep 97"
EARLIER = (
    ("write_file", {"path": "new.txt", "content": "x\n"}),
    ("shell", {"command": "rm new.txt"}),
)
EDITS = "echo start > started.txt; sed -i 's/1/2/' calc.py"


async def start(home: Path, *calls: tuple[str, dict[str, Any]]) -> OpenAgent:
    workspace = home / "workspace"
    workspace.mkdir(exist_ok=True)
    (workspace / ".gitignore").write_text(".begun\n")
    (workspace / "calc.py").write_text("print(1)\n")
    lines = [{"calls": [{"name": name, "args": arguments}]} for name, arguments in calls]
    (home / "tape.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (*lines, {"say": "Stopped."})))
    environ = {**os.environ, "KIMI_AGENT_HOME": str(home / "home")}
    sets = (f"model=tape:{home / 'tape.jsonl'}", "mode=yolo")
    setup = load_setup({}, sets=sets, directory=str(workspace), environ=environ, trust=False)

    def create(sessions: Sessions, opened: Opened) -> Session:
        return sessions.create(model=opened.model, version=opened.version, system=opened.system)

    return await open_agent(setup, create, refuse_all("nobody"), [])


async def told_of_interrupted(agent: OpenAgent, workspace: Path) -> str:
    """Cancel the turn once the last command has begun; what the model will read of it."""
    turn = asyncio.ensure_future(agent.run_turn(user_message("go")))
    async with asyncio.timeout(60):
        while not (workspace / ".begun").exists():
            await asyncio.sleep(0.02)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    last = agent.session.conversation.messages()[-1]
    assert isinstance(last, ToolReturn)
    return last.content


@pytest.mark.parametrize(
    ("command", "changed"),
    [(EDITS, "calc.py, started.txt"), ("echo back > new.txt; rm calc.py", "calc.py, new.txt"), ("true", "")],
)
async def test_the_model_reads_which_files_the_command_changed(tmp_path: Path, command: str, changed: str) -> None:
    agent = await start(tmp_path, *EARLIER, ("shell", {"command": command + UNTIL_STOPPED}))
    try:
        told = await told_of_interrupted(agent, tmp_path / "workspace")
    finally:
        await agent.aclose()
    files = [line for line in told.splitlines() if line.startswith("Files that changed")]
    assert files == ([f"Files that changed since it began: {changed}"] if changed else [])


async def test_an_edit_that_is_interrupted_is_judged_by_the_files_it_names(tmp_path: Path) -> None:
    """Also by one that git ignores, which no snapshot of other calls holds."""
    agent = await start(tmp_path)
    interrupted = InterruptedCalls(agent.checkpoints, agent.files)
    (tmp_path / "workspace" / ".begun").write_text("ignored")
    started = CallStarted(3, 0, "write_file", "write", agent.files.fingerprints([".begun", "calc.py"]))
    (tmp_path / "workspace" / ".begun").write_text("written")
    try:
        assert interrupted.settle([UnansweredCall(3, 0, Call("f:0", "write_file", "{}"), started)]) == (
            OpenCall(3, 0, (".begun",)),
        )
    finally:
        await agent.aclose()


async def test_nothing_is_said_of_a_command_whose_snapshots_are_missing(tmp_path: Path) -> None:
    agent = await start(tmp_path)
    interrupted = InterruptedCalls(agent.checkpoints, agent.files)
    call = UnansweredCall(3, 0, Call("f:0", "shell", "{}"), CallStarted(3, 0, "shell", "execute"))
    gone = "0" * 40
    try:
        for events in ((), (Checkpoint(gone, "before", 3, 0),), (Checkpoint("", "before", 3, 0, failed="full"),)):
            for event in (*events, Checkpoint(gone, "after", 3, 1)):
                interrupted.hear(Stamped("main", 5, 0.0, event))
            assert interrupted.settle([call]) == (OpenCall(3, 0),)
        interrupted.hear(Stamped("main", 6, 0.0, Checkpoint(gone[:-1] + "1", "after", 3, 0)))
        assert interrupted.settle([call]) == (OpenCall(3, 0),)
    finally:
        await agent.aclose()
