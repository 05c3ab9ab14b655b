"""write_file makes new files, and writes over old ones only where nothing unseen is lost."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kimi_agent.log.views import DiffView, Result
from kimi_agent.tool import Context, NeedsConsent, Tool, ToolError
from tests.golden_texts import Golden
from tests.tool_calls import preview_tool, run_tool

Get = Callable[[str], Tool]


@pytest.fixture
def write(tool: Get, context: Context) -> Callable[..., Any]:
    async def call(path: str, content: str, **more: Any) -> Result:
        return await run_tool(tool("write_file"), context, json.dumps({"path": path, "content": content, **more}))

    return call


@pytest.fixture
def read(tool: Get, context: Context) -> Callable[[str], Any]:
    async def call(path: str) -> Result:
        return await run_tool(tool("read_file"), context, json.dumps({"path": path}))

    return call


async def refused(write: Any, path: str, content: str = "x\n", **more: Any) -> ToolError:
    with pytest.raises(ToolError) as caught:
        await write(path, content, **more)
    return caught.value


async def test_a_new_file_is_made_with_its_folders(
    golden: Golden, write: Any, workspace: Path, context: Context
) -> None:
    result = await write("deep/er/a.py", "one\ntwo")
    golden(result.content)
    assert (workspace / "deep/er/a.py").read_bytes() == b"one\ntwo"
    assert isinstance(result.view, DiffView)
    assert (result.view.files[0].change, result.view.files[0].added) == ("A", 2)
    known = context.files.seen_files.known("deep/er/a.py")
    assert known is not None
    assert (known.whole, known.by) == (True, "write")


async def test_the_preview_is_the_diff_and_writes_nothing(tool: Get, context: Context, workspace: Path) -> None:
    shown = await preview_tool(tool("write_file"), context, '{"path": "a", "content": "new\\n"}')
    assert shown.title == "create a"
    assert isinstance(shown.view, DiffView)
    assert "+new" in shown.view.files[0].diff
    assert list(workspace.iterdir()) == []


async def test_an_existing_file_needs_overwrite(write: Any, workspace: Path) -> None:
    (workspace / "a").write_text("old\n")
    error = await refused(write, "a")
    assert (error.code, "overwrite=true" in error.next_step) == ("exists", True)
    assert (workspace / "a").read_text() == "old\n"


async def test_overwriting_needs_a_whole_reading(write: Any, read: Any, workspace: Path) -> None:
    (workspace / "a").write_text("old\n" * 3000)
    assert (await refused(write, "a", overwrite=True)).code == "unread"
    await read("a")
    error = await refused(write, "a", overwrite=True)
    assert error.code == "unread"
    assert "read_file('a')" in error.next_step
    assert (workspace / "a").read_text() == "old\n" * 3000


async def test_what_changed_since_the_reading_is_stale(write: Any, read: Any, workspace: Path) -> None:
    (workspace / "a").write_text("old\n")
    await read("a")
    (workspace / "a").write_text("by the user\n")
    assert (await refused(write, "a", overwrite=True)).code == "stale"
    assert (workspace / "a").read_text() == "by the user\n"


async def test_overwriting_keeps_encoding_mark_line_ends_and_mode(
    golden: Golden, write: Any, read: Any, workspace: Path
) -> None:
    path = workspace / "a"
    path.write_bytes("\ufeffold\r\nก\r\n".encode("utf-16-le"))
    path.chmod(0o755)
    await read("a")
    result = await write("a", "new\nข\n", overwrite=True)
    golden(result.content)
    assert path.read_bytes() == "\ufeffnew\r\nข\r\n".encode("utf-16-le")
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


async def test_the_usual_line_end_wins_over_the_one_that_was_sent(write: Any, read: Any, workspace: Path) -> None:
    (workspace / "a").write_bytes(b"1\n2\n3\r\n")
    await read("a")
    await write("a", "1\r\n2\r\n", overwrite=True)
    assert (workspace / "a").read_bytes() == b"1\n2\n"


async def test_our_own_file_can_be_written_over_without_reading(golden: Golden, write: Any, workspace: Path) -> None:
    await write("a", "1\n")
    golden((await write("a", "2\n", overwrite=True)).content)
    assert (workspace / "a").read_text() == "2\n"
    assert (await refused(write, "a", "2\n", overwrite=True)).code == "noop"


async def test_a_character_that_the_encoding_lacks_is_refused(write: Any, read: Any, workspace: Path) -> None:
    (workspace / "a").write_bytes(b"caf\xe9\n")
    await read("a")
    assert (await refused(write, "a", "café\n", overwrite=True)).code == "encoding"
    assert (await refused(write, "b", "half \ud800\n")).code == "encoding"
    await write("a", "cafe\n", overwrite=True)
    assert (workspace / "a").read_bytes() == b"cafe\n"


@pytest.mark.parametrize(
    ("rules", "text", "path", "end"),
    [
        (".gitattributes", "* text=auto\n*.bat text eol=crlf\n", "run.bat", "\r\n"),
        (".gitattributes", "*.bat text eol=crlf\n", "run.sh", "\n"),
        (".gitattributes", "/win/** eol=crlf\n", "win/deep/x.txt", "\r\n"),
        (".editorconfig", "[*]\nend_of_line = lf\n[*.{cmd,bat}]\nend_of_line = CRLF\n", "d/run.bat", "\r\n"),
        ("d/.editorconfig", "[*]\nend_of_line = crlf\n", "x", "\n"),
        ("d/.editorconfig", "[*]\nend_of_line = crlf\n", "d/x", "\r\n"),
        (".editorconfig", "[{{{{{\n[*\nend_of_line=crlf\n", "x", "\n"),
    ],
)
async def test_new_files_follow_the_rules_of_the_repository(
    write: Any, workspace: Path, rules: str, text: str, path: str, end: str
) -> None:
    (workspace / rules).parent.mkdir(exist_ok=True)
    (workspace / rules).write_text(text)
    await write(path, "1\n2\n")
    assert (workspace / path).read_bytes() == f"1{end}2{end}".encode()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../x", "outside"),
        ("/etc/x", "outside"),
        (".GIT/hooks/pre-commit", "git_internal"),
        (".kimi-agent/config.toml", "refused"),
        ("folder", "not_regular"),
        ("file/below", "not_regular"),
        ("", "bad_arguments"),
        ("output:x", "refused"),
    ],
)
async def test_what_may_not_be_written_is_refused_before_anybody_is_asked(
    tool: Get, write: Any, context: Context, workspace: Path, path: str, code: str
) -> None:
    (workspace / "folder").mkdir()
    (workspace / "file").write_text("")
    assert (await refused(write, path)).code == code
    if path != "file/below":  # seen only when the folders are made
        with pytest.raises(ToolError):
            await preview_tool(tool("write_file"), context, json.dumps({"path": path, "content": "x"}))


async def test_a_secret_is_not_shown_in_a_diff_without_consent(write: Any, workspace: Path, context: Context) -> None:
    (workspace / ".env").write_text("KEY=canary\n")
    error = await refused(write, ".env", overwrite=True)
    assert isinstance(error, NeedsConsent)
    assert "canary" not in str(error)


async def test_a_hard_link_is_split_with_a_note(golden: Golden, write: Any, read: Any, workspace: Path) -> None:
    (workspace.parent / "outside").write_text("1\n")
    (workspace / "h").hardlink_to(workspace.parent / "outside")
    await read("h")
    golden((await write("h", "2\n", overwrite=True)).content)
    assert (workspace / "h").read_text() == "2\n"
    assert (workspace.parent / "outside").read_text() == "1\n"
