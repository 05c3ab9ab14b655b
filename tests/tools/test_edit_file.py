"""edit_file on a real workspace: what it writes and what it answers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kimi_agent.errors import NeedsConsent, ToolError
from kimi_agent.log.views import DiffView, FileDiff, Result
from kimi_agent.tool import Context, Tool
from tests.golden_texts import Golden
from tests.tool_calls import preview_tool, run_tool

Load = Callable[[str], Tool]


def edit(old: str, new: str, path: str = "a.py", **more: object) -> str:
    return json.dumps({"path": path, "old_string": old, "new_string": new, **more})


async def refused(call: Tool, context: Context, raw: str) -> ToolError:
    with pytest.raises(ToolError) as caught:
        await run_tool(call, context, raw)
    return caught.value


async def test_the_answer_shows_the_new_lines_with_numbers(
    golden: Golden, tool: Load, context: Context, workspace: Path
) -> None:
    (workspace / "a.py").write_text("".join(f"{n}\n" for n in range(1, 13)))
    (workspace / "a.py").chmod(0o755)
    result = await run_tool(tool("edit_file"), context, edit("6\n7\n", "six\nnull\nseven\n"))
    golden(result.content)
    assert result == Result(
        result.content,
        DiffView(
            (FileDiff("a.py", "M", 3, 2, "@@ -3,8 +3,9 @@\n 3\n 4\n 5\n-6\n-7\n+six\n+null\n+seven\n 8\n 9\n 10"),)
        ),
    )
    assert (workspace / "a.py").stat().st_mode & 0o777 == 0o755
    known = context.files.seen_files.known("a.py")
    assert known is not None
    assert (known.sha256, known.by) == (context.files.read("a.py").sha256, "write")


async def test_the_preview_writes_nothing(tool: Load, context: Context, workspace: Path) -> None:
    (workspace / "a.py").write_text("x\n")
    preview = await preview_tool(tool("edit_file"), context, edit("x", "y"))
    assert (preview.title, (workspace / "a.py").read_text()) == ("edit a.py", "x\n")
    assert preview.view == (await run_tool(tool("edit_file"), context, edit("x", "y"))).view


async def test_replace_all_names_every_place(golden: Golden, tool: Load, context: Context, workspace: Path) -> None:
    (workspace / "a.py").write_text("x\ny\nx\nx x\n")
    result = await run_tool(tool("edit_file"), context, edit("x", "z", replace_all=True))
    golden(result.content)
    assert (workspace / "a.py").read_text() == "z\ny\nz\nz z\n"


async def test_a_text_that_is_not_unique_is_answered_with_lines_and_longer_texts(
    golden: Golden, tool: Load, context: Context, workspace: Path
) -> None:
    before = "def f():\n    x = 1\n    return x\n\ndef g():\n    x = 1\n    return x\n"
    (workspace / "a.py").write_text(before)
    error = await refused(tool("edit_file"), context, edit("    return x", "    return 2"))
    assert error.code == "ambiguous"
    golden(str(error))
    assert (workspace / "a.py").read_text() == before


async def test_a_text_that_is_not_there_is_answered_with_the_line_that_differs(
    golden: Golden, tool: Load, context: Context, workspace: Path
) -> None:
    (workspace / "a.py").write_text("def f():\n    x = 1\n    return x\n")
    error = await refused(tool("edit_file"), context, edit("def f():\n    x = 2\n    return x", "?"))
    assert error.code == "not_found"
    golden(error.text)


async def test_escapes_that_should_have_been_characters_are_told_not_guessed(
    tool: Load, context: Context, workspace: Path
) -> None:
    (workspace / "a.py").write_text("a\nb\n")
    error = await refused(tool("edit_file"), context, edit("a\\nb", "c"))
    assert "backslash escapes" in error.text
    assert (workspace / "a.py").read_text() == "a\nb\n"


async def test_repairs_are_told(golden: Golden, tool: Load, context: Context, workspace: Path) -> None:
    (workspace / "a.py").write_bytes(b"a\r\nb\r\n")
    result = await run_tool(tool("edit_file"), context, edit("1\ta\n2\tb", "c"))
    golden(result.content)
    assert (workspace / "a.py").read_bytes() == b"c\r\n"


async def test_a_changed_file_is_edited_where_the_text_proves_itself(
    golden: Golden, tool: Load, context: Context, workspace: Path
) -> None:
    (workspace / "a.py").write_text("x\ny\n")
    context.files.seen_files.record("a.py", context.files.read("a.py").sha256, whole=True)
    (workspace / "a.py").write_text("x\nz\n")
    assert (await refused(tool("edit_file"), context, edit("x", "q", replace_all=True))).code == "stale"
    result = await run_tool(tool("edit_file"), context, edit("x", "q"))
    golden(result.content)
    assert (workspace / "a.py").read_text() == "q\nz\n"


async def test_where_nothing_can_be_edited_it_says_so(
    golden: Golden, tool: Load, context: Context, workspace: Path, tmp_path: Path
) -> None:
    (workspace / "lib").mkdir()
    (workspace / "lib/abc.py").write_text("x\n")
    (workspace / ".env").write_text("KEY=1\n")
    (tmp_path / "out").write_text("x\n")
    call = tool("edit_file")
    missing = await refused(call, context, edit("x", "y", "abc.py"))
    assert missing.code == "missing"
    golden(missing.text)
    assert (await refused(call, context, edit("x", "y", "lib"))).code == "not_regular"
    assert (await refused(call, context, edit("x", "y", "../out"))).code == "outside"
    assert (await refused(call, context, edit("x", "y", "output:a1"))).code == "refused"
    assert isinstance(await refused(call, context, edit("1", "2", ".env")), NeedsConsent)


async def test_a_path_is_meant_from_the_workspace_wherever_the_shell_stands(
    tool: Load, context: Context, workspace: Path
) -> None:
    (workspace / "a.py").write_text("x\n")
    await run_tool(tool("edit_file"), context, edit("x", "y", str(workspace / "a.py")))
    await run_tool(tool("edit_file"), context, edit("y", "z", "./b/../a.py"))
    assert (workspace / "a.py").read_text() == "z\n"


async def test_its_words_are_few(tool: Load) -> None:
    call = tool("edit_file")
    assert len(call.description) + len(json.dumps(call.schema)) <= 800
    assert call.effect == "write"
