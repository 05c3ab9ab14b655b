"""list_files shows the tree as git sees it, and finds files by name."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kimi_agent.tool import Context, NeedsConsent, Tool, ToolError
from tests.golden_texts import Golden
from tests.tool_calls import run_tool


@pytest.fixture
def tree(workspace: Path) -> Path:
    python = ("src/a.py", "src/pkg/b.py", "src/pkg/deep/c.py", "src/pkg/deep/d.py")
    for name in ("README.md", *python, "build/out.o", "notes.log", ".hidden/x"):
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (workspace / ".gitignore").write_text("build/\n*.log\n")
    subprocess.run(["git", "init", "-q", str(workspace)], check=True)
    return workspace


@pytest.fixture
def listed(tool: Callable[[str], Tool], context: Context) -> Callable[..., Any]:
    async def call(**arguments: Any) -> str:
        return (await run_tool(tool("list_files"), context, json.dumps(arguments))).content

    return call


async def test_folders_come_first_and_ignored_files_not_at_all(listed: Any, tree: Path) -> None:
    assert (await listed()).splitlines() == [
        ".hidden/",
        ".hidden/x",
        "src/",
        "src/pkg/ (3 files)",
        "src/a.py",
        ".gitignore",
        "README.md",
    ]


async def test_depth_and_ignored_files_can_be_asked_for(listed: Any, tree: Path) -> None:
    assert "src/pkg/deep/c.py" in await listed(depth=4)
    rows = (await listed(depth=1, include_ignored=True)).splitlines()
    assert rows == [".hidden/ (1 files)", "build/ (1 files)", "src/ (4 files)", ".gitignore", "README.md", "notes.log"]


async def test_a_pattern_finds_files_of_every_level_newest_first(golden: Golden, listed: Any, tree: Path) -> None:
    for age, name in enumerate(("src/pkg/b.py", "src/pkg/deep/d.py", "src/a.py", "src/pkg/deep/c.py")):
        os.utime(tree / name, (1_000_000 - age, 1_000_000 - age))
    assert (await listed(pattern="*.py")).splitlines() == [
        "src/pkg/b.py",
        "src/pkg/deep/d.py",
        "src/a.py",
        "src/pkg/deep/c.py",
    ]
    assert (await listed(path="src", pattern="pkg/*.py")) == "src/pkg/b.py"
    golden(await listed(path="src/pkg", pattern="*.py", limit=1))


async def test_a_pattern_does_not_bring_ignored_files_back(golden: Golden, listed: Any, tree: Path) -> None:
    golden(await listed(pattern="*.log"))
    assert await listed(pattern="*.log", include_ignored=True) == "notes.log"


async def test_the_limit_counts_what_is_left_out(golden: Golden, listed: Any, tree: Path) -> None:
    golden(await listed(limit=2))


async def test_big_files_have_their_size_and_hostile_names_stay_on_their_line(listed: Any, workspace: Path) -> None:
    (workspace / "big").write_bytes(b"x" * 1_250_000)
    (workspace / "new\nline\x1b[2J").write_text("")
    (workspace / os.fsdecode(b"caf\xe9")).write_text("")
    text = await listed()
    assert text.splitlines() == ["big (1.2 MB)", "caf\\xe9", "new\\nline\\x1b[2J"]
    text.encode("utf-8")


async def test_an_empty_folder_says_so(golden: Golden, listed: Any, workspace: Path) -> None:
    (workspace / "empty").mkdir()
    golden(await listed(path="empty"))


@pytest.mark.parametrize(("path", "code"), [("nowhere", "missing"), ("README.md", "not_regular"), ("..", "outside")])
async def test_what_is_no_folder_here_is_an_error(listed: Any, tree: Path, path: str, code: str) -> None:
    with pytest.raises(ToolError) as caught:
        await listed(path=path)
    assert caught.value.code == code


async def test_a_folder_outside_is_listed_once_it_is_allowed(listed: Any, workspace: Path, context: Context) -> None:
    (workspace.parent / "other/sub").mkdir(parents=True)
    (workspace.parent / "other/sub/x").write_text("x")
    with pytest.raises(NeedsConsent) as caught:
        await listed(path="../other")
    context.files.allow_reading(caught.value.path)
    other = workspace.parent / "other"
    assert (await listed(path="../other")).splitlines() == [f"{other}/sub/", f"{other}/sub/x"]
