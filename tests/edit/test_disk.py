"""A plan meets a disk that moved on."""

from pathlib import Path

import pytest

from kimi_agent.edit import Disk, carry_out, plan_patch
from kimi_agent.errors import ToolError
from kimi_agent.tool import Context

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
    change = plan_patch(PATCH, Disk(context.files))
    (workspace / "a").write_text("x\nmore\n")
    with pytest.raises(ToolError) as caught:
        carry_out(change, context.files, around=2)
    assert caught.value.code == "stale"
    assert (workspace / "a").read_text() == "x\nmore\n"
    assert not (workspace / "new").exists()


async def test_what_was_written_and_shown_is_known(context: Context, workspace: Path) -> None:
    (workspace / "a").write_text("1\n2\n3\n4\nx\n6\n7\n8\n9\n")
    carry_out(plan_patch(PATCH, Disk(context.files)), context.files, around=2)
    known = context.files.ledger.known("a")
    assert known is not None
    assert (known.ranges, known.by, known.sha256) == (((3, 7),), "write", context.files.read("a").sha256)


async def test_names_are_read_from_the_workspace_though_the_shell_stands_elsewhere(
    context: Context, workspace: Path
) -> None:
    (workspace / "sub").mkdir()
    (workspace / "a").write_text("x\n")
    (workspace / "sub/a").write_text("other\n")
    context.files.cwd = workspace / "sub"
    disk = Disk(context.files)
    found = disk.file("a")
    assert found is not None
    assert found.data == b"x\n"
