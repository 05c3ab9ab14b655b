"""ARCHITECTURE.md and the README's layout are true: their floors are the test's, and every path in them exists."""

import re
from pathlib import Path

from tests.architecture.program_modules import ROOT
from tests.architecture.test_floors_and_doors import FLOORS

MAP = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
LAYOUT = README.partition("\n## How the code is laid out\n")[2].partition("\n## ")[0]
# A path of this repository: with a folder, or a file by its ending. Not one of a person's own folders (`~/...`).
PATH = re.compile(r"(?<![\w~/.])(?:[a-z_]+/)+(?:[a-z_]+(?:\.\w+)?)?|(?<![\w~/.-])[a-z_]+\.(?:py|md|toml)\b")
FENCE = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")


def paths_in(text: str) -> set[str]:
    """What backquotes and the first words of fenced lines name as a path of the repository."""
    fenced = "".join(block for language, block in FENCE.findall(text) if not language)
    words = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    named = [match[0] for word in words if (match := PATH.fullmatch(word))]
    return {*named, *re.findall(rf"(?m)^(?: ?\d+  )?({PATH.pattern})", fenced)}


def missing(paths: set[str]) -> list[str]:
    return sorted(path for path in paths if not any((below / path).exists() for below in (ROOT, ROOT / "kimi_agent")))


def test_every_path_in_the_map_exists() -> None:
    assert len(paths_in(MAP)) > 50
    assert missing(paths_in(MAP)) == []


def test_every_path_in_the_readme_exists() -> None:
    ours = {path for path in paths_in(README) if path.startswith(("kimi_agent/", "tests/"))}
    assert len(ours) > 15
    assert missing(ours | paths_in(LAYOUT)) == []


def test_every_subfolder_named_beside_its_room_exists() -> None:
    rooms = re.findall(r"(?m)^ ?\d+  ([a-z_]+/) +(.*)$", MAP)
    inner = {f"{room}{name}" for room, text in rooms for name in re.findall(r"(?<![\w/])[a-z_]+/", text)}
    assert len(inner) > 20
    assert missing(inner) == []


def test_the_floors_of_the_map_are_those_that_the_test_holds() -> None:
    drawn = {(int(floor), name.rstrip("/")) for floor, name in re.findall(r"(?m)^ ?(\d+)  (\S+)", MAP)}
    held = [[path for name in names if (path := _path(name))] for names in FLOORS]
    assert drawn == {(number, path) for number, paths in enumerate(filter(None, held), 1) for path in paths}


def test_the_layout_in_the_readme_names_every_room() -> None:
    rooms = {f"kimi_agent/{path.parent.name}/" for path in (ROOT / "kimi_agent").glob("*/__init__.py")}
    assert rooms - paths_in(LAYOUT) == set()
    assert "ARCHITECTURE.md" in LAYOUT


def test_a_planted_stale_path_is_found() -> None:
    text = "`gone.py`, `log/gone/` and `log/` of `~/.config/x/` and CONFIG/config.toml\n"
    text += "```\n12  away/   x\nkimi_agent/off.py  y\n```\n```toml\nsome.py\n```\n"
    assert missing(paths_in(text)) == ["away/", "gone.py", "kimi_agent/off.py", "log/gone/"]


def _path(module: str) -> str:
    """Where a module is, below `kimi_agent`; "" where it is not there (yet)."""
    path = Path(*module.split(".")[1:])
    if (ROOT / "kimi_agent" / path).is_dir():
        return str(path)
    return f"{path}.py" if (ROOT / "kimi_agent" / f"{path}.py").exists() else ""
