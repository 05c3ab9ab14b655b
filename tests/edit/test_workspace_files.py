"""A plan meets a disk: one that moved on, and what is known of it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kimi_agent.edit import WorkspaceFiles, commit_plan, format_patch_result, make_diff_view, plan_patch
from kimi_agent.errors import ToolError
from kimi_agent.tool import Context, Tool
from kimi_agent.workspace.files.files import Files
from tests.tool_calls import run_tool

PATCH = """*** Begin Patch
*** Add File: new/n
+n
*** Update File: a
@@
-x
+y
*** End Patch
"""


async def test_a_file_that_changed_between_plan_and_commit_stops_all_of_it(context: Context, workspace: Path) -> None:
    (workspace / "a").write_text("x\n")
    change = plan_patch(PATCH, WorkspaceFiles(context.files))
    (workspace / "a").write_text("x\nmore\n")
    with pytest.raises(ToolError) as caught:
        commit_plan(change, context.files, around=2)
    assert caught.value.code == "stale"
    assert (workspace / "a").read_text() == "x\nmore\n"
    assert not (workspace / "new").exists()


async def test_what_was_written_and_shown_is_known(context: Context, workspace: Path) -> None:
    (workspace / "a").write_text("1\n2\n3\n4\nx\n6\n7\n8\n9\n")
    commit_plan(plan_patch(PATCH, WorkspaceFiles(context.files)), context.files, around=2)
    known = context.files.seen_files.known("a")
    assert known is not None
    assert (known.ranges, known.by, known.sha256) == (((3, 7),), "write", context.files.read("a").sha256)


async def test_names_are_read_from_the_workspace_though_the_shell_stands_elsewhere(
    context: Context, workspace: Path, tmp_path: Path
) -> None:
    (workspace / "sub").mkdir()
    (workspace / "a").write_text("x\n")
    (workspace / "sub/a").write_text("other\n")
    files = Files(
        workspace,
        outputs=context.files.outputs,
        seen_files=context.files.seen_files,
        home=tmp_path,
        cwd=workspace / "sub",
        journal=tmp_path / "journal",
    )
    commit_plan(plan_patch(PATCH.replace("File: a", "File: ../a"), WorkspaceFiles(files)), files, around=2)
    assert (workspace / "a").read_text() == "y\n"
    assert (workspace / "sub/a").read_text() == "other\n"
    assert (workspace / "sub/new/n").read_text() == "n\n"


async def test_names_that_are_no_text_are_told_as_text(context: Context, workspace: Path) -> None:
    patch = '--- /dev/null\n+++ "b/\\377\\001"\n@@ -0,0 +1 @@\n+x\n'
    change = plan_patch(patch, WorkspaceFiles(context.files))
    view = make_diff_view(change)
    for text in (format_patch_result(change, view), view.files[0].path):
        assert text.encode().isascii()
    with pytest.raises(ToolError) as caught:
        plan_patch(patch.replace("/dev/null", '"a/\\377"').replace("+x", "-\udc00"), WorkspaceFiles(context.files))
    assert str(caught.value).encode()


async def test_what_git_holds_may_be_deleted_unread(context: Context, workspace: Path, tmp_path: Path) -> None:
    asked: list[tuple[str, bytes]] = []

    def in_git(path: str, data: bytes) -> bool:
        asked.append((path, data))
        return path == "d/clean"

    files = Files(
        workspace,
        outputs=context.files.outputs,
        seen_files=context.files.seen_files,
        home=tmp_path,
        journal=tmp_path / "journal",
        in_git=in_git,
    )
    (workspace / "d").mkdir()
    (workspace / "d/clean").write_text("1\n")
    (workspace / "changed").write_text("2\n")
    commit_plan(
        plan_patch("*** Begin Patch\n*** Delete File: ./d/clean\n*** End Patch", WorkspaceFiles(files)), files, around=2
    )
    with pytest.raises(ToolError, match="unread"):
        plan_patch("*** Begin Patch\n*** Delete File: changed\n*** End Patch", WorkspaceFiles(files))
    assert asked == [("d/clean", b"1\n"), ("changed", b"2\n")]
    assert not (workspace / "d/clean").exists()
    assert (workspace / "changed").exists()


async def test_a_file_written_whole_is_told_to_be_broken_too(
    tool: Callable[[str], Tool], context: Context, workspace: Path
) -> None:
    write = tool("write_file")
    made = await run_tool(write, context, json.dumps({"path": "a.toml", "content": "a = 1\n"}))
    assert "Note" not in made.content
    broke = await run_tool(write, context, json.dumps({"path": "a.toml", "content": "a = \n", "overwrite": True}))
    assert "\nNote: a.toml no longer parses: line 1: Invalid value" in broke.content
    new = await run_tool(write, context, json.dumps({"path": "b.json", "content": "{"}))
    assert "\nNote: b.json does not parse: line 1: " in new.content
    assert (workspace / "a.toml").read_text() == "a = \n"
