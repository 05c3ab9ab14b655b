"""What a rule denies by its path, and what is ours, is held where a file is opened, searched and listed."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.layers import UserFolders, find_private_paths
from kimi_agent.tool import Context, Tool
from kimi_agent.workspace.file_change import FileChange
from kimi_agent.workspace.files.access_rules import AccessRules
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.search import python_grep
from kimi_agent.workspace.search.ripgrep import Ripgrep
from tests.builders import make_files, make_runner
from tests.golden_texts import Golden
from tests.tool_calls import run_tool

SLOW = (sys.executable, "-I", python_grep.__file__)


def lay(root: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def denying(root: Path, *names: str, rule: str = "read(private/**)") -> Callable[[str], str]:
    """The denial of these files and folders of the workspace."""
    denied = [str(root / name) for name in names]
    return lambda path: rule if any(path == each or path.startswith(f"{each}/") for each in denied) else ""


def confined(context: Context, tmp_path: Path, access: AccessRules, engine: tuple[str, ...] = ()) -> Context:
    """The context with these rules."""
    files = make_files(context.files.root, tmp_path / "state", home=tmp_path / "home", access=access)
    return replace(context, files=files, ripgrep=Ripgrep(files, context.runner, engine=engine))


@pytest.fixture
def guarded(context: Context, workspace: Path, tmp_path: Path) -> Context:
    """A workspace whose private/ may not be read, and whose fixed/ may not be written."""
    lay(workspace, private__p_txt='needle = "top secret"\n', private__in__q="needle\n", a_py="needle\n", fixed__f="x\n")
    access = AccessRules(
        denied_reading=denying(workspace, "private"),
        denied_writing=denying(workspace, "fixed", rule="write(fixed/**)"),
    )
    return confined(context, tmp_path, access)


async def call(tool: Callable[[str], Tool], context: Context, name: str, **arguments: object) -> str:
    """What the model is told, whether it worked or not."""
    try:
        return (await run_tool(tool(name), context, json.dumps(arguments))).content
    except ToolError as error:
        return f"{error.code}: {error.text} | {error.next_step}"


@pytest.mark.parametrize("arguments", [{}, {"glob": "private/**"}, {"glob": "*.txt"}, {"mode": "files"}, {"before": 3}])
@pytest.mark.parametrize("engine", [(), SLOW])
async def test_a_search_counts_what_a_rule_denies_and_shows_nothing_of_it(
    arguments: dict[str, object],
    engine: tuple[str, ...],
    guarded: Context,
    tmp_path: Path,
    tool: Callable[[str], Tool],
) -> None:
    context = confined(guarded, tmp_path, guarded.files.access, engine)
    told = await call(tool, context, "search_code", pattern="needle", **arguments)
    assert "secret" not in told
    assert "p.txt" not in told
    assert "not shown: a rule of the user's denies it" in told


async def test_what_is_said_about_denied_files(
    guarded: Context, workspace: Path, tool: Callable[[str], Tool], golden: Golden
) -> None:
    (workspace / "door").symlink_to("private")
    edit = {"path": "private/p.txt", "old_string": "needle = 'top", "new_string": "x"}
    patch = "*** Begin Patch\n*** Update File: private/p.txt\n@@\n-needle = 'top\n+x\n*** End Patch"
    golden(
        await call(tool, guarded, "search_code", pattern="needle"),
        await call(tool, guarded, "search_code", pattern="needle", path="private"),
        await call(tool, guarded, "search_code", pattern="needle", path="door/p.txt"),
        await call(tool, guarded, "read_file", path="door/in/../p.txt"),
        await call(tool, guarded, "read_file", path="private/p.text"),
        await call(tool, guarded, "read_file", path="p.txt"),
        await call(tool, guarded, "edit_file", **edit),
        await call(tool, guarded, "apply_patch", patch=patch),
        await call(tool, guarded, "list_files", depth=5),
        await call(tool, guarded, "list_files", path="private"),
        await call(tool, guarded, "list_files", pattern="*.txt"),
        await call(tool, guarded, "write_file", path="fixed/new", content="x"),
        await call(tool, guarded, "write_file", path="door/new", content="x"),
    )
    assert sorted(os.listdir(workspace / "fixed")) == ["f"]


async def test_a_denied_file_is_listed_by_its_name_and_marked(
    context: Context, workspace: Path, tmp_path: Path, tool: Callable[[str], Tool]
) -> None:
    lay(workspace, a_txt="needle\n", b_txt="needle\n")
    access = AccessRules(denied_reading=denying(workspace, "a.txt", rule="read(a.txt)"))
    told = await call(tool, confined(context, tmp_path, access), "list_files")
    assert told.splitlines() == ["a.txt (a rule of the user's denies it)", "b.txt"]


async def test_a_commit_holds_a_denial_of_writing_whoever_asks_for_it(guarded: Context, workspace: Path) -> None:
    (workspace / "l").symlink_to("fixed")
    for path in ("fixed/f", "l/f", "./a/../fixed/f"):
        with pytest.raises(ToolError) as refused:
            guarded.files.commit([FileChange(path, None, b"y\n")])
        assert refused.value.code == "denied"
    assert (workspace / "fixed/f").read_text() == "x\n"


@pytest.mark.parametrize("engine", [(), SLOW])
async def test_our_own_folders_are_outside_of_every_view(
    engine: tuple[str, ...], context: Context, workspace: Path, tmp_path: Path, tool: Callable[[str], Tool]
) -> None:
    lay(workspace, h__state__sessions__main_jsonl="needle\n", h__tools__x_py="needle\n", src__a_py="needle\n")
    lay(workspace, **{"h[1]__x": "needle\n", "hh__y": "needle\n"})
    private = (str(workspace / "h"), str(workspace / "h[1]"))
    ours = confined(context, tmp_path, AccessRules(private=private), engine)
    for arguments in ({}, {"include_ignored": True}, {"glob": "**/*"}):
        told = await call(tool, ours, "search_code", pattern="needle", **arguments)
        assert told.splitlines()[:5] == ["hh/y:", "1:needle", "", "src/a.py:", "1:needle"]
        assert "h/" not in told.replace("hh/", "")
    assert (await call(tool, ours, "list_files", depth=9)).splitlines() == ["hh/", "hh/y", "src/", "src/a.py"]
    assert (await call(tool, ours, "list_files", pattern="*.jsonl")).startswith("no files match")
    assert "did you mean" not in await call(tool, ours, "read_file", path="main.json")
    assert [each.name for each in ours.files.list(".")] == ["hh", "src"]
    for path in ("h/tools/x.py", "h/tools/new.py", "h/prompts/system.md", "h/config.toml"):
        assert (await call(tool, ours, "write_file", path=path, content="x")).startswith("refused: ")


async def test_a_search_alone_can_be_denied(context: Context, workspace: Path, tmp_path: Path) -> None:
    lay(workspace, vendor__v="needle\n", a="needle\n")
    denied = denying(workspace, "vendor", rule="search_code(vendor/**)")
    ripgrep = Ripgrep(context.files, make_runner(workspace, tmp_path / "state"), denied=denied)
    found = await ripgrep.search("needle")
    assert ([hits.path for hits in found.hits], found.denied_matches, found.denied_files) == (["a"], 1, 1)
    assert context.files.read("vendor/v").data == b"needle\n"
    with pytest.raises(ToolError) as refused:
        await ripgrep.search("needle", path="vendor/v")
    assert refused.value.code == "denied"


def test_all_of_our_configuration_and_state_is_private(tmp_path: Path) -> None:
    folders = UserFolders(tmp_path, tmp_path / ".config/kimi-agent", tmp_path / ".local/state/kimi-agent")
    elsewhere = tmp_path / "dotfiles/x.py"
    lay(tmp_path, dotfiles__x_py="")
    (folders.config / "tools").mkdir(parents=True)
    (folders.config / "tools/x.py").symlink_to(elsewhere)
    expected = (str(folders.config), str(folders.state), str(elsewhere))
    assert find_private_paths(folders, tmp_path) == expected
    assert find_private_paths(folders, tmp_path / ".config") == expected


def test_a_workspace_in_our_configuration_folder_keeps_its_own_files(tmp_path: Path) -> None:
    folders = UserFolders(tmp_path, tmp_path, tmp_path / "state")
    files = make_files(tmp_path, tmp_path / "state", access=AccessRules(find_private_paths(folders, tmp_path)))
    files.commit([FileChange("src.py", None, b"x")])
    for path in ("config.toml", "tools/x.py", "runners/r.toml", "prompts/commands/c.md", "state/trust.json"):
        with pytest.raises(ToolError) as refused:
            files.commit([FileChange(path, None, b"x")])
        assert refused.value.code == "refused"


def test_a_worktree_of_ours_is_the_persons(tmp_path: Path) -> None:
    worktrees = tmp_path / "state/worktrees"
    workspace, other = worktrees / "key/one", worktrees / "key/two"
    lay(workspace, a="x")
    lay(other, b="x")
    access = AccessRules(private=(str(tmp_path / "state"),), worktrees=str(worktrees))
    files: Files = make_files(workspace, tmp_path / "state", access=access)
    assert files.read("a").data == b"x"
    for path in (str(other / "b"), "../../../trust.json"):
        with pytest.raises(ToolError) as refused:
            files.read(path)
        assert refused.value.code == "refused"
