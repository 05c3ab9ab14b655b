"""The README is true: it names every flag, command and setting, and none that there is not; its examples load."""

import re
import shlex
from pathlib import Path

import pytest

from kimi_agent.cli.commands.completion import list_flags
from kimi_agent.config import SETTINGS, load_config
from kimi_agent.faces.slash_commands import SLASH_COMMANDS
from kimi_agent.guard.policy.rules import check_rule, parse_rule
from kimi_agent.layers import Layer, built_in_root
from kimi_agent.toolbox import load_tools
from tests.readme_text import README, README_FILE, WRITTEN, blocks, commands, written_parts

ROOT = README_FILE.parent
WORDS = re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```$", "", README))
"""What stands in backquotes."""


@pytest.mark.golden
def test_what_the_code_writes_stands_in_the_readme(request: pytest.FixtureRequest) -> None:
    parts = written_parts()
    now = README_FILE.read_text("utf-8")
    right = WRITTEN.sub(lambda found: found["title"] + found[2] + parts[found["title"]], now)
    if request.config.getoption("--golden"):
        README_FILE.write_text(right, "utf-8")
    assert README_FILE.read_text("utf-8") == right, "read the change, then: make golden"
    assert [found["title"] for found in WRITTEN.finditer(right)] == list(parts)


def test_the_example_of_the_patch_engine_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = blocks("python", "edit import")
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
    tools = load_tools([Layer("built-in", built_in_root())])[0]
    for example in blocks("toml", "[permissions]"):
        (tmp_path / "config.toml").write_text(example)
        found = load_config(tmp_path / "config.toml", None, {}, {}, ())
        rules = found.texts("permissions.allow") + found.texts("permissions.deny")
        assert "shell(curl)" in rules
        for rule in rules:
            check_rule(parse_rule(rule), tools)


def test_every_command_line_uses_flags_and_commands_that_exist() -> None:
    lines = [word for word in WORDS if word.startswith("kimi-agent ")]
    lines += re.findall(r"(?m)(?:^\$|\|) (kimi-agent .*)$", README)
    assert len(lines) > 40
    for line in lines:
        words = [word for word in shlex.split(re.sub(r"['\[\]\\]", "", line))[1:] if word not in ("|", "<")]
        path = " ".join(words[:2]) if " ".join(words[:2]) in commands() else (words or [""])[0]
        known = {spelling for spelling, _ in list_flags(commands().get(path, commands()[""]))} | {"--help"}
        assert {word.split("=")[0] for word in words if word.startswith("-")} - known == set(), line


def test_every_flag_slash_command_and_setting_that_it_names_exists() -> None:
    known = {spelling for command in commands().values() for spelling, _ in list_flags(command)}
    flags = {part for word in WORDS if word.startswith("-") for part in re.split(r"[ ,/=]+", word) if part[:1] == "-"}
    known |= {word for each in SLASH_COMMANDS for word in re.split(r"[][|]", each.takes)}  # /compact --preview
    assert flags - known - {"--help"} == set()
    slashes = {word.split()[0].rstrip(",") for word in WORDS if re.match(r"/[a-z]+(?![\w/])", word)}
    assert slashes - {f"/{name}" for each in SLASH_COMMANDS for name in (each.name, *each.aliases)} == {"/explain"}
    groups = {key.partition(".")[0] for key in SETTINGS if "." in key}
    settings = {word for word in WORDS if re.fullmatch(rf"(?:{'|'.join(groups)})\.\w+", word)}
    assert settings - set(SETTINGS) == set()
    assert {word.strip("[]") for word in WORDS if re.fullmatch(r"\[[a-z]+\]", word)} <= groups


def test_every_target_of_the_makefile_that_it_names_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"(?:`|\$ )make ([a-z]+)", README)
    assert len(targets) > 3
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
