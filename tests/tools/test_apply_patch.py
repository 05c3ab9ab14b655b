"""apply_patch on a real workspace: what it writes, what it answers, and that an error leaves everything as it was."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.log.views import DiffView, FileDiff, Result
from kimi_agent.tool import Context, Tool
from tests.golden_texts import Golden
from tests.tool_calls import plan_tool, preview_tool, run_tool

Load = Callable[[str], Tool]


def patch(*lines: str) -> str:
    return json.dumps({"patch": "\n".join(["*** Begin Patch", *lines, "*** End Patch"])})


async def refused(call: Tool, context: Context, raw: str) -> ToolError:
    with pytest.raises(ToolError) as caught:
        await run_tool(call, context, raw)
    return caught.value


def snapshot(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Every file with its inode, mode, mtime and bytes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        stat = path.lstat()
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path.relative_to(folder))] = (
            stat.st_ino,
            stat.st_mode,
            0 if path.is_dir() else stat.st_mtime_ns,
            data,
        )
    return found


async def test_a_patch_adds_changes_moves_and_deletes_in_one_go(
    golden: Golden, tool: Load, context: Context, workspace: Path
) -> None:
    (workspace / "src").mkdir()
    (workspace / "src/a.py").write_text("def f():\n    return 1\n\ndef g():\n    return 2\n")
    (workspace / "old.txt").write_text("one\ntwo\n")
    (workspace / "gone").write_text("x\n")
    (workspace / "old.txt").chmod(0o750)
    for path in ("old.txt", "gone"):
        context.files.seen_files.record(path, context.files.read(path).sha256, whole=True)
    result = await run_tool(tool("apply_patch"),
        context,
        patch(
            "*** Update File: src/a.py", "@@ def g():", "-    return 2", "+    return 3",
            "*** Add File: deep/er/new.txt", "+hello",
            "*** Update File: old.txt", "*** Move to: kept.txt", "@@", "-two", "+TWO",
            "*** Delete File: gone",
        ),
    )  # fmt: skip
    assert (workspace / "src/a.py").read_text() == "def f():\n    return 1\n\ndef g():\n    return 3\n"
    assert (workspace / "deep/er/new.txt").read_text() == "hello\n"
    assert (workspace / "kept.txt").read_text() == "one\nTWO\n"
    assert (workspace / "kept.txt").stat().st_mode & 0o777 == 0o750
    assert sorted(os.listdir(workspace)) == ["deep", "kept.txt", "src"]
    golden(result.content)
    assert result == Result(
        result.content,
        DiffView(
            (
                FileDiff(
                    "src/a.py",
                    "M",
                    1,
                    1,
                    "@@ -2,4 +2,4 @@\n     return 1\n \n def g():\n-    return 2\n+    return 3",
                ),
                FileDiff("deep/er/new.txt", "A", 1, 0, "@@ -0,0 +1,1 @@\n+hello"),
                FileDiff("kept.txt", "R", 1, 1, "@@ -1,2 +1,2 @@\n one\n-two\n+TWO", "old.txt"),
                FileDiff("gone", "D", 0, 1, "@@ -1,1 +0,0 @@\n-x"),
            )
        ),
    )


async def test_the_preview_is_the_diff_that_is_then_written(
    golden: Golden, tool: Load, context: Context, workspace: Path
) -> None:
    (workspace / "a").write_text("x\n")
    before = snapshot(workspace)
    raw = patch("*** Update File: a", "@@", "-x", "+y", "*** Add File: b", "+z")
    preview = await preview_tool(tool("apply_patch"), context, raw)
    assert snapshot(workspace) == before
    golden(preview.title)
    assert preview.view == (await run_tool(tool("apply_patch"), context, raw)).view


async def test_all_errors_are_told_at_once_and_nothing_is_touched(
    golden: Golden, tool: Load, context: Context, workspace: Path
) -> None:
    (workspace / "a.py").write_text(
        "class A:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 1\n"
    )
    (workspace / "b").write_text("one\ntwo\nthree\nfour\n")
    (workspace / "dir").mkdir()
    (workspace / "dir/c.txt").write_text("")
    before = snapshot(workspace)
    error = await refused(
        tool("apply_patch"),
        context,
        patch(
            "*** Update File: a.py", "@@", "-        return 1", "+        return 2",
            "*** Update File: b", "@@", " one", " two", "-drei", "@@", "-four",
            "*** Update File: c.txt", "@@", "-x",
            "*** Add File: new", "+x",
            "*** Add File: b", "+x",
        ),
    )  # fmt: skip
    assert snapshot(workspace) == before
    assert error.code == "ambiguous"
    golden(str(error))


async def test_blanks_that_differ_are_made_visible(
    golden: Golden, tool: Load, context: Context, workspace: Path
) -> None:
    (workspace / "a").write_text("k\n\tx  = 1\n")
    error = await refused(tool("apply_patch"), context, patch("*** Update File: a", "@@", " k", "-    x = 1", "+y"))
    assert error.code == "not_found"
    golden(str(error))


async def test_an_unknown_anchor_is_answered_with_the_closest(
    golden: Golden, tool: Load, context: Context, workspace: Path
) -> None:
    (workspace / "a.py").write_text("def compute_total():\n    return 1\n")
    error = await refused(
        tool("apply_patch"), context, patch("*** Update File: a.py", "@@ def compute_totals():", "-    return 1")
    )
    assert error.code == "anchor_not_found"
    golden(error.text)


@pytest.mark.parametrize(
    "path", ["../out", "{outside}/out", "link/out", "dangling", "sub/../../out", "/dev/full", "~/out"]
)
async def test_no_path_leads_out_of_the_workspace(
    path: str, tool: Load, context: Context, workspace: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x\n")
    (workspace / "sub").mkdir()
    (workspace / "link").symlink_to(outside)
    (workspace / "dangling").symlink_to(outside / "not yet")
    (workspace / "fine").write_text("x\n")
    path = path.format(outside=outside)
    before = snapshot(tmp_path)
    kept = path.replace("/out", "/kept").replace("dangling", "link/kept")
    context.files.seen_files.record("fine", context.files.read("fine").sha256, whole=True)
    for lines in (
        [f"*** Add File: {path}", "+x"],
        [f"*** Update File: {kept}", "@@", "-x", "+y"],
        [f"*** Delete File: {kept}"],
        ["*** Update File: fine", f"*** Move to: {path}"],
    ):
        error = await refused(tool("apply_patch"), context, patch("*** Add File: beside", "+x", *lines))
        assert error.code in ("outside", "not_regular", "missing", "exists"), lines
        assert snapshot(tmp_path) == before


@pytest.mark.parametrize("path", [".git/hooks/x", ".GIT/config", "sub/.git./config", ".g\u200cit/config", "a\0b"])
async def test_git_internals_and_impossible_names_are_refused(
    path: str, tool: Load, context: Context, workspace: Path
) -> None:
    (workspace / ".git/hooks").mkdir(parents=True)
    before = snapshot(workspace)
    error = await refused(tool("apply_patch"), context, patch(f"*** Add File: {path}", "+x"))
    assert error.code in ("git_internal", "bad_arguments")
    assert snapshot(workspace) == before


async def test_a_link_inside_keeps_being_a_link(tool: Load, context: Context, workspace: Path) -> None:
    (workspace / "real").write_text("x\ny\n")
    (workspace / "link").symlink_to("real")
    lines = ["*** Update File: link", "@@", "-x", "+X", "*** Update File: real", "@@", "-y", "+Y"]
    await run_tool(tool("apply_patch"), context, patch(*lines))
    assert (workspace / "link").is_symlink()
    assert (workspace / "real").read_text() == "X\nY\n"


async def test_what_was_not_read_whole_is_not_deleted_or_moved(tool: Load, context: Context, workspace: Path) -> None:
    (workspace / "a").write_text("x\ny\n")
    call = tool("apply_patch")
    assert (await refused(call, context, patch("*** Delete File: a"))).code == "unread"
    context.files.seen_files.record("a", context.files.read("a").sha256, ranges=[(1, 1)])
    assert (await refused(call, context, patch("*** Update File: a", "*** Move to: b"))).code == "unread"
    context.files.seen_files.record("a", context.files.read("a").sha256, whole=True)
    (workspace / "a").write_text("somebody else\n")
    assert (await refused(call, context, patch("*** Delete File: a"))).code == "stale"
    assert (workspace / "a").read_text() == "somebody else\n"


async def test_a_file_that_changed_since_it_was_seen_needs_hunks_that_prove_themselves(
    golden: Golden, tool: Load, context: Context, workspace: Path
) -> None:
    (workspace / "a").write_text("x\ny\n")
    context.files.seen_files.record("a", context.files.read("a").sha256, whole=True)
    (workspace / "a").write_text("x\nx\ny\n")
    call = tool("apply_patch")
    assert (await refused(call, context, patch("*** Update File: a", "@@", "+end"))).code == "stale"
    by_number = patch("*** Update File: a", "@@ -2 +2 @@", "-x", "+z")
    assert (await refused(call, context, by_number)).code == "stale"
    result = await run_tool(call, context, patch("*** Update File: a", "@@", "-y", "+Y"))
    golden(result.content)
    await run_tool(call, context, by_number)  # what we wrote ourselves is known
    assert (workspace / "a").read_text() == "x\nz\nY\n"


async def test_the_execute_bit_comes_and_goes_with_git_modes(
    golden: Golden, tool: Load, context: Context, workspace: Path
) -> None:
    (workspace / "a").write_text("x\n")
    (workspace / "a").chmod(0o640)
    head = "diff --git a/a b/a\nold mode 100644\nnew mode 100755\n"
    result = await run_tool(tool("apply_patch"), context, json.dumps({"patch": head}))
    assert (workspace / "a").stat().st_mode & 0o777 == 0o750
    golden(result.content)
    new = "diff --git a/n b/n\nnew file mode 100755\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+#!/bin/sh\n"
    await run_tool(tool("apply_patch"), context, json.dumps({"patch": new}))
    assert (workspace / "n").stat().st_mode & 0o777 == 0o755


async def test_tolerances_are_told(golden: Golden, tool: Load, context: Context, workspace: Path) -> None:
    (workspace / "a").write_bytes(b"\xef\xbb\xbfa\r\nb\r\n")
    (workspace / "b").write_text("".join(f"{number}\n" for number in range(1, 60)))
    shifted = "--- a/b\n+++ b/b\n@@ -3 +3 @@\n-40\n+x\n"
    ends = patch("*** Update File: a", "@@", "-b", "+B")
    anywhere = patch("*** Update File: b", "@@", "+end")
    patches = (json.dumps({"patch": shifted}), ends, anywhere)
    golden(*[(await run_tool(tool("apply_patch"), context, each)).content for each in patches])
    assert (workspace / "a").read_bytes() == b"\xef\xbb\xbfa\r\nB\r\n"
    rows = (workspace / "b").read_text().splitlines()
    assert (rows[39], rows[-1]) == ("x", "end")


async def test_places_of_an_earlier_section_are_shown_where_they_are_in_the_end(
    golden: Golden, tool: Load, context: Context, workspace: Path
) -> None:
    (workspace / "a").write_text("1\n2\n3\n4\n5\n6\n7\n8\n9\n")
    lines = ["*** Update File: a", "@@", "-9", "+nine", "*** Update File: a", "@@", "+zero", "+half", " 1"]
    content = (await run_tool(tool("apply_patch"), context, patch(*lines))).content
    golden(content)
    assert (workspace / "a").read_text().split() == ["zero", "half", *"12345678", "nine"]


async def test_a_long_result_is_capped(golden: Golden, tool: Load, context: Context, workspace: Path) -> None:
    (workspace / "a").write_text("".join(f"line {number} {'x' * 300}\n" for number in range(400)))
    hunks = [row for number in range(0, 400, 7) for row in ("@@", f"-line {number} {'x' * 300}", f"+new {number}")]
    result = await run_tool(tool("apply_patch"), context, patch("*** Update File: a", *hunks))
    assert len(result.content) <= 4_000
    golden(result.content.splitlines()[-1])


async def test_its_plan_names_the_files_that_it_changes(tool: Load, context: Context, workspace: Path) -> None:
    (workspace / "a").write_text("x\n")
    (workspace / "d").write_text("y\n")
    await run_tool(tool("read_file"), context, '{"path": "a"}')
    await run_tool(tool("read_file"), context, '{"path": "d"}')
    raw = patch("*** Update File: a", "*** Move to: b", "@@", "-x", "+z", "*** Add File: c", "*** Delete File: d")
    plan = await plan_tool(tool("apply_patch"), context, raw)
    assert sorted(each.path for each in plan.paths) == [str(workspace / name) for name in "abcd"]


async def test_a_patch_is_planned_for_the_file_it_changes_however_it_is_spelled(
    tool: Load, context: Context, workspace: Path
) -> None:
    (workspace / "src").mkdir()
    (workspace / "src/a.py").write_text("x = 1\n")
    await run_tool(tool("read_file"), context, '{"path": "src/a.py"}')
    for one, other in (("a", "b"), ("i", "w"), ("c", "w"), ("o", "i")):
        diff = f"--- {one}/src/a.py\n+++ {other}/src/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
        plan = await plan_tool(tool("apply_patch"), context, json.dumps({"patch": diff}))
        assert [each.path for each in plan.paths] == [str(workspace / "src/a.py")]
    with pytest.raises(ToolError, match="no_patch"):
        await plan_tool(tool("apply_patch"), context, json.dumps({"patch": "?"}))


async def test_its_words_are_few(tool: Load) -> None:
    call = tool("apply_patch")
    assert len(call.description) + len(json.dumps(call.schema)) <= 1_100
    assert call.effect == "write"
