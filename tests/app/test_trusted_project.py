"""A project's folder is used as it was trusted: what changes between the yes and its loading is refused."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kimi_agent.app.bootstrap import Setup, load_setup
from kimi_agent.app.open_agent import open_agent
from kimi_agent.errors import UserError
from kimi_agent.guard.policy.trust import fingerprint_folder
from kimi_agent.guard.tool_wrappers.approval import refuse_all
from kimi_agent.log.events import Opened
from kimi_agent.log.sessions import Sessions
from kimi_agent.log.store.session import Session

Load = Callable[..., Setup]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace" / ".kimi-agent"
    (folder / "tools").mkdir(parents=True)
    (folder / "tools/x.py").write_text("X = 1\n")
    return folder


@pytest.fixture
def load(project: Path, tmp_path: Path) -> Load:
    tape = tmp_path / "tape.jsonl"
    tape.write_text('{"say": "hi"}\n')
    environ = {**os.environ, "KIMI_AGENT_HOME": str(tmp_path / "home")}

    def loaded(*, trust: bool = False, shown: str = "") -> Setup:
        workspace = str(project.parent)
        return load_setup(
            {}, sets=(f"model=tape:{tape}",), directory=workspace, environ=environ, trust=trust, shown=shown
        )

    return loaded


def new_session(sessions: Sessions, opened: Opened) -> Session:
    return sessions.create(model=opened.model, version=opened.version, system=opened.system)


def test_a_yes_is_for_the_content_that_was_shown(project: Path, load: Load) -> None:
    shown = load().project_content
    (project / "tools/x.py").write_text("X = 2\n")
    refused = load(trust=True, shown=shown)
    assert (refused.untrusted, refused.project_content) == (project, fingerprint_folder(project))
    assert load().untrusted == project
    assert load(trust=True, shown=refused.project_content).untrusted is None
    assert load().untrusted is None


async def test_what_changed_since_the_start_is_not_loaded(project: Path, load: Load, tmp_path: Path) -> None:
    setup = load(trust=True)
    (project / "tools/x.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'MARK')!r}).touch()\n")
    with pytest.raises(UserError) as refused:
        await open_agent(setup, new_session, refuse_all("nobody"), [])
    assert str(refused.value).startswith(f"{project} changed while it was read")
    assert not (tmp_path / "MARK").exists()


async def test_what_changes_while_it_is_loaded_is_refused(project: Path, load: Load, tmp_path: Path) -> None:
    late = f"import pathlib\npathlib.Path({str(project / 'prompts')!r}).mkdir()\n"
    (project / "tools/a.py").write_text(late)
    with pytest.raises(UserError) as refused:
        await open_agent(load(trust=True), new_session, refuse_all("nobody"), [])
    assert "start again" in str(refused.value)
