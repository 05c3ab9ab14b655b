"""Where things are looked for: the person's folders, the workspace, the layers."""

from pathlib import Path

import pytest

from kimi_agent.app.bootstrap import find_workspace
from kimi_agent.errors import UserError
from kimi_agent.layers import Layer, built_in_root, find_layer_files, find_user_folders, list_layers


def test_xdg_is_honoured_and_relative_values_are_not() -> None:
    assert find_user_folders({"HOME": "/h"}).config == Path("/h/.config/kimi-agent")
    assert find_user_folders({"HOME": "/h", "XDG_CONFIG_HOME": "/x"}).config == Path("/x/kimi-agent")
    assert find_user_folders({"HOME": "/h", "XDG_STATE_HOME": "rel"}).state == Path("/h/.local/state/kimi-agent")


def test_one_variable_moves_everything() -> None:
    found = find_user_folders({"HOME": "/h", "KIMI_AGENT_HOME": "/k"})
    assert (found.config, found.state, found.home) == (Path("/k"), Path("/k/state"), Path("/h"))


def test_the_workspace_is_the_git_top_level_unless_that_is_home(tmp_path: Path) -> None:
    home, repo = tmp_path / "home", tmp_path / "home" / "repo"
    (repo / "sub").mkdir(parents=True)
    assert find_workspace("", repo / "sub", home) == ((repo / "sub").resolve(), (repo / "sub").resolve())
    (home / ".git").mkdir()
    assert find_workspace("", repo / "sub", home)[0] == (repo / "sub").resolve()
    (repo / ".git").write_text("gitdir: elsewhere\n")
    assert find_workspace("", repo / "sub", home) == (repo.resolve(), (repo / "sub").resolve())
    assert find_workspace(str(repo / "sub"), repo, home)[0] == (repo / "sub").resolve()


def test_a_start_through_a_symlink_is_the_same_workspace(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert find_workspace("", tmp_path / "link", tmp_path / "h") == find_workspace(
        "", tmp_path / "real", tmp_path / "h"
    )


@pytest.mark.parametrize("given", ["/no/such", "file.txt"])
def test_a_folder_that_is_none_is_refused(tmp_path: Path, given: str) -> None:
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(UserError, match="There is no folder"):
        find_workspace(given, tmp_path, tmp_path)


def test_a_later_layer_wins_a_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "prompts").mkdir(parents=True)
        (tmp_path / name / "prompts" / "system.md").write_text(name)
    (tmp_path / "one" / "prompts" / "compact.md").write_text("one")
    found = find_layer_files([Layer("built-in", tmp_path / "one"), Layer("user", tmp_path / "two")], "prompts", ".md")
    assert {name: path.read_text() for name, path in found.items()} == {"system": "two", "compact": "one"}


def test_the_project_is_a_layer_only_when_given() -> None:
    assert [layer.name for layer in list_layers(Path("/u"), None)] == ["built-in", "user"]
    assert [layer.name for layer in list_layers(Path("/u"), Path("/p"))] == ["built-in", "user", "project"]
    assert (built_in_root() / "prompts" / "system.md").is_file()
