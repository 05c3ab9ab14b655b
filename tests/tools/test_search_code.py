"""search_code, as the model sees it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kimi_agent.errors import NeedsConsent
from kimi_agent.log.views import MatchesView
from kimi_agent.tool import Context, Tool
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
    tool: Callable[[str], Tool], context: Context, project: Path
) -> None:
    result = await run_tool(tool("search_code"), context, json.dumps({"pattern": "hit"}))
    assert result.content == (
        "b.py:\n1:from a import hit\n\nsrc/a.py:\n3:def hit():\n7:hit()\n\n[3 matches in 2 files; 3 files searched]"
    )
    assert result.view == MatchesView("hit", 3, 2)


async def test_context_lines_have_a_dash_and_gaps_are_marked(
    tool: Callable[[str], Tool], context: Context, project: Path
) -> None:
    shown = await search(tool, context, pattern="hit\\(", path="src", context=1, before=0)
    assert shown == "src/a.py:\n3:def hit():\n4-    pass\n--\n7:hit()\n\n[2 matches in 1 file; 1 file searched]"


async def test_a_page_says_how_to_go_on(tool: Callable[[str], Tool], context: Context, project: Path) -> None:
    assert (await search(tool, context, pattern="hit", limit=2)).endswith(
        "[matches 1-2 of 3 in 2 files; 3 files searched; continue with offset=2]"
    )
    assert (await search(tool, context, pattern="hit", limit=2, offset=2)).endswith(
        "[matches 3-3 of 3 in 2 files; 3 files searched]"
    )
    assert await search(tool, context, pattern="hit", offset=9) == "[nothing at this offset: 3 matches in 2 files]"


async def test_files_and_counts(tool: Callable[[str], Tool], context: Context, project: Path) -> None:
    assert await search(tool, context, pattern="hit", mode="files") == (
        "src/a.py\nb.py\n[3 matches in 2 files; 3 files searched]"
    )
    assert await search(tool, context, pattern="hit", mode="count", limit=1) == (
        "2\tsrc/a.py\n[files 1-1 of 2; 3 matches; 3 files searched; continue with offset=1]"
    )


async def test_no_match_says_what_was_searched(tool: Callable[[str], Tool], context: Context, project: Path) -> None:
    assert await search(tool, context, pattern="absent", path="src") == "No matches in src (1 file)."
    assert await search(tool, context, pattern="generated") == (
        "No matches in . (3 files).\n1 match in ignored files (include_ignored=true)."
    )
    assert await search(tool, context, pattern="hit", glob="*.rs") == (
        "No matches in . (0 files).\nNo file was searched: look at path, glob and type."
    )


async def test_secrets_are_counted_not_shown(tool: Callable[[str], Tool], context: Context, project: Path) -> None:
    (project / ".env").write_text("KEY=sk-canary\n")
    shown = await search(tool, context, pattern="canary")
    assert "sk-" not in shown
    assert shown.endswith("Note: 1 match not shown in files that may hold secrets: .env")


async def test_a_place_outside_is_for_a_person_to_allow(tool: Callable[[str], Tool], context: Context) -> None:
    with pytest.raises(NeedsConsent):
        await search(tool, context, pattern="root", path="/etc")


async def test_what_could_not_be_searched_is_in_the_result(
    tool: Callable[[str], Tool], context: Context, project: Path
) -> None:
    (project / "many").write_text("x\n" * 250_000)
    shown = await search(tool, context, pattern="x", limit=1)
    assert "Note: PARTIAL, stopped after 200,000 matches" in shown


async def test_the_preview_names_pattern_and_place(
    tool: Callable[[str], Tool], context: Context, project: Path
) -> None:
    shown = await preview_tool(
        tool("search_code"), context, json.dumps({"pattern": "a b", "path": "src", "case": "ignore"})
    )
    assert shown.title == "search_code 'a b' in src"


def test_it_reads_and_names_its_path(tool: Callable[[str], Tool]) -> None:
    assert tool("search_code").effect == "read"
    assert parse_call(tool("search_code"), json.dumps({"pattern": "x", "path": "src"})).paths == ("src",)
