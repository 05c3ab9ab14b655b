"""search_code, as the model sees it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kimi_agent.errors import NeedsConsent
from kimi_agent.log.views import MatchesView
from kimi_agent.tool import Context, Tool
from tests.golden_texts import Golden
from tests.tool_calls import parse_call, preview_tool, run_tool


async def search(tool: Callable[[str], Tool], ctx: Context, **arguments: object) -> str:
    return (await run_tool(tool("search_code"), ctx, json.dumps(arguments))).content


@pytest.fixture
def project(workspace: Path) -> Path:
    (workspace / "src").mkdir()
    (workspace / "src" / "a.py").write_text("import os\n\ndef hit():\n    pass\n\n\nhit()\n")
    (workspace / "b.py").write_text("from a import hit\n")
    (workspace / ".gitignore").write_text("build/\n")
    (workspace / "build").mkdir()
    (workspace / "build" / "c.py").write_text("generated\n")
    return workspace


async def test_content_has_headings_numbers_and_totals(
    golden: Golden, tool: Callable[[str], Tool], context: Context, project: Path
) -> None:
    result = await run_tool(tool("search_code"), context, json.dumps({"pattern": "hit"}))
    golden(result.content)
    assert result.view == MatchesView("hit", 3, 2)


async def test_context_lines_have_a_dash_and_gaps_are_marked(
    golden: Golden, tool: Callable[[str], Tool], context: Context, project: Path
) -> None:
    shown = await search(tool, context, pattern="hit\\(", path="src", context=1, before=0)
    golden(shown)


async def test_a_page_says_how_to_go_on(
    golden: Golden, tool: Callable[[str], Tool], context: Context, project: Path
) -> None:
    pages = [await search(tool, context, pattern="hit", **page) for page in ({"limit": 2}, {"limit": 2, "offset": 2})]
    golden(*pages, await search(tool, context, pattern="hit", offset=9))


async def test_files_and_counts(golden: Golden, tool: Callable[[str], Tool], context: Context, project: Path) -> None:
    files = await search(tool, context, pattern="hit", mode="files")
    golden(files, await search(tool, context, pattern="hit", mode="count", limit=1))


async def test_no_match_says_what_was_searched(
    golden: Golden, tool: Callable[[str], Tool], context: Context, project: Path
) -> None:
    absent = await search(tool, context, pattern="absent", path="src")
    ignored = await search(tool, context, pattern="generated")
    golden(absent, ignored, await search(tool, context, pattern="hit", glob="*.rs"))


async def test_secrets_are_counted_not_shown(
    golden: Golden, tool: Callable[[str], Tool], context: Context, project: Path
) -> None:
    (project / ".env").write_text("KEY=sk-canary\n")
    shown = await search(tool, context, pattern="canary")
    assert "sk-" not in shown
    golden(shown)


async def test_a_place_outside_is_for_a_person_to_allow(tool: Callable[[str], Tool], context: Context) -> None:
    with pytest.raises(NeedsConsent):
        await search(tool, context, pattern="root", path="/etc")


async def test_what_could_not_be_searched_is_in_the_result(
    golden: Golden, tool: Callable[[str], Tool], context: Context, project: Path
) -> None:
    (project / "many").write_text("x\n" * 250_000)
    shown = await search(tool, context, pattern="x", limit=1)
    golden(*(line for line in shown.splitlines() if line.startswith("Note:")))


async def test_the_preview_names_pattern_and_place(
    golden: Golden, tool: Callable[[str], Tool], context: Context, project: Path
) -> None:
    shown = await preview_tool(
        tool("search_code"), context, json.dumps({"pattern": "a b", "path": "src", "case": "ignore"})
    )
    golden(shown.title)


def test_it_reads_and_names_its_path(tool: Callable[[str], Tool]) -> None:
    assert tool("search_code").effect == "read"
    assert parse_call(tool("search_code"), json.dumps({"pattern": "x", "path": "src"})).paths == ("src",)
