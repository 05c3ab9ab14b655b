"""A session that is resumed: its log is read once, and all who need to know it are fed from that."""

import os
from pathlib import Path

import pytest

from kimi_agent.app.bootstrap import load_setup
from kimi_agent.app.open_agent import open_agent
from kimi_agent.guard.tool_wrappers.approval import refuse_all
from kimi_agent.log.events import Durable, Opened, Returned, Rewound, Said, Seen, Spent
from kimi_agent.log.messages import Usage, user_message
from kimi_agent.log.sessions import Sessions
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import Result, TestCase, TestReport

RED = TestReport("failed", "pytest", "", "pytest", 1, 0.1, (TestCase("t.py::a", "failed"),))
PAST: tuple[Durable, ...] = (
    Said(user_message("look at a.py")),  # 2
    Spent("kimi", Usage(900, 40, 800), 0.25),
    Seen("a.py", "a" * 64, ((1, 20),), whole=True),
    Returned(0, 0, Result("red", RED)),
    Said(user_message("and at b.py")),  # 6
    Seen("b.py", "b" * 64, ((1, 20),), whole=True),
    Rewound(6, "chat"),
)


async def test_what_a_resumed_session_knew_comes_from_one_reading_of_its_log(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (tmp_path / "tape.jsonl").write_text('{"say": "hi"}\n')
    environ = {**os.environ, "KIMI_AGENT_HOME": str(tmp_path / "home")}
    sets = (f"model=tape:{tmp_path / 'tape.jsonl'}",)
    setup = load_setup({}, sets=sets, directory=str(workspace), environ=environ, trust=False)
    with_past = setup.sessions.create(model="kimi", version="0.1")
    for event in PAST:
        with_past.emit(event)
    with_past.close()

    def resume_and_empty_the_file(sessions: Sessions, opened: Opened) -> Session:
        session = sessions.resume("last")
        os.truncate(session.path, 0)  # who reads it again finds nothing
        return session

    home = await open_agent(setup, resume_and_empty_the_file, refuse_all("nobody"), [])
    try:
        assert list(home.files.seen_files.paths()) == ["a.py"]
        assert home.cost().spent["session"].usd == pytest.approx(0.25)
        assert home.notices == ("The last turn never came to its end; say 'continue' to go on with it.",)
        assert home.agent.session.take_past() == []
    finally:
        await home.aclose()
