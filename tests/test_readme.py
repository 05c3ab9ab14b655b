"""The README is true: its examples load, its settings exist, its commands are ours."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from kimi_agent.cli.commands.completion import command_tree, list_flags
from kimi_agent.cli.commands.main import commands_app
from kimi_agent.cli.run import flags
from kimi_agent.config import load_config
from kimi_agent.layers import Layer
from kimi_agent.tool import Context
from kimi_agent.toolbox import load_tools

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


async def test_the_example_tool_loads_and_works(context: Context, tmp_path: Path) -> None:
    folder = tmp_path / "layer" / "tools"
    folder.mkdir(parents=True)
    (example,) = [block for block in blocks("python") if "@tool" in block]
    (folder / "count_lines.py").write_text(example)
    tools, problems = load_tools([Layer("user", folder.parent)])
    assert problems == []
    (context.files.root / "a.txt").write_text("one\ntwo\n")
    assert (await tools["count_lines"].run(context, '{"path": "a.txt"}')).content == "2"


def test_the_example_of_the_patch_engine_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = [block for block in blocks("python") if "edit import" in block]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "a.txt").write_text("one\ntwo\n")
    patch = "*** Begin Patch\n*** Update File: a.txt\n@@\n-two\n+2\n*** End Patch\n"
    for _ in range(2):
        exec(example, {"patch": patch})
    assert (tmp_path / "repository" / "a.txt").read_text() == "one\n2\n"
    applied, refused = capsys.readouterr().out.split("Error", 1)
    assert applied.startswith("Applied to 1 file")
    assert "already" in refused


def test_the_example_settings_are_settings(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(blocks("toml")[0])
    found = load_config(tmp_path / "config.toml", None, {}, {}, ())
    assert found.texts("permissions.deny") == ("shell(curl)",)


def test_every_command_line_uses_flags_and_commands_that_exist() -> None:
    commands = command_tree(flags.run_app, commands_app)
    known = {spelling for spelling, _ in list_flags(typer.main.get_command(flags.run_app))}
    lines = re.findall(r"`(kimi-agent [^`]*)`", README) + re.findall(r"(?m)\| (kimi-agent .*)$", README)
    assert len(lines) > 7
    for line in lines:
        words = [word for word in shlex.split(line.replace("'", ""))[1:] if word != "|"]
        if words and words[0] in commands:
            continue
        assert all(word.split("=")[0] in known for word in words if word.startswith("-")), line


def test_every_target_of_the_makefile_that_it_names_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make ([a-z]+)`?", README):
        if target not in ("it",):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
