"""Fixtures that more than one room uses: built-in tools, and a Context of real capabilities."""

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kimi_agent.layers import Layer, built_in_root
from kimi_agent.tool import Context, Tool
from kimi_agent.toolbox import load_tools
from kimi_agent.workspace.search.ripgrep import Ripgrep
from kimi_agent.workspace.testrun import ProjectTests
from tests.builders import make_files, make_runner
from tests.golden_texts import Golden, read_golden, write_golden


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def tool() -> Callable[[str], Tool]:
    """The built-in tool of a name, loaded as the program loads it."""
    tools, problems = load_tools([Layer("built-in", built_in_root())])
    assert problems == []
    return tools.__getitem__


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An empty workspace; `tmp_path` around it is outside."""
    folder = tmp_path / "work space"
    folder.mkdir()
    return folder.resolve()


@pytest.fixture
async def context(workspace: Path, tmp_path: Path) -> AsyncIterator[Context]:
    """Real capabilities on `workspace`; the seen files are reported to nobody."""
    state = tmp_path / "state"
    files = make_files(workspace, state, home=tmp_path / "home")
    runner = make_runner(workspace, state, outputs=files.outputs)
    yield Context(
        files=files,
        runner=runner,
        ripgrep=Ripgrep(files, runner),
        testrun=ProjectTests(files, runner, python=sys.executable),
        agent="main",
        call_id="1.0",
        progress=lambda text: None,
    )
    await runner.aclose()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="write the golden files anew")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that compare with golden texts are those that `make golden` runs."""
    for item in items:
        if "golden" in getattr(item, "fixturenames", ()):
            item.add_marker("golden")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compare texts with the section of this test in tests/golden/ROOM.md.

    Named ones are what differs from run to run: `golden(text, COMMIT=commit)` compares with COMMIT in its place.
    """
    room, *file = request.path.relative_to(Path(__file__).parent).parts
    test = f"{'/'.join(file)}::{request.node.name}"

    def compare(*texts: str, **names: str) -> None:
        text = "\n".join(texts)
        for name, value in names.items():
            text = text.replace(value, name)
        if request.config.getoption("--golden"):
            write_golden(room, test, text)
        assert text == read_golden(room).get(test), "read the change, then: make golden"

    return compare
