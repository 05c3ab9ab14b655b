"""What a person's rules deny by its path, and what is ours, stays closed to the model in a whole run."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Place


def told(place: Place, *calls: tuple[str, dict[str, Any]], argv: tuple[str, ...] = (), **env: str) -> list[str]:
    """What the model was told by each of these calls, one after another in one run."""
    lines = [{"calls": [{"name": name, "args": arguments}]} for name, arguments in calls]
    model = place.tape(*lines, {"say": "done"})
    done = place.run(
        "-m", model, "-p", "go", "--output-format", "stream-json", *argv, env={**place.env, **env} if env else None
    )
    assert done.returncode in (0, 77), done.stderr  # 77: what could not be done was denied
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return [each["result"]["content"] for each in events if each["type"] == "Returned"]


RULES = ["read(private/**)", "read(private)", "read(p.txt)", "read_file(private/**)", "search_code(private/**)"]


@pytest.mark.parametrize("rule", RULES)
def test_no_search_shows_what_a_rule_denies(rule: str, place: Place) -> None:
    (place.root / "private").mkdir()
    (place.root / "private/p.txt").write_text('needle = "top secret text"\n')
    (place.root / "l").symlink_to("private")
    searches: list[dict[str, str]] = [{}, {"path": "private"}, {"path": "l/p.txt"}, {"glob": "private/**"}]
    calls = [("search_code", {"pattern": "needle", **each}) for each in searches]
    for result in told(place, *calls, argv=("--set", f'permissions.deny=["{rule}"]', "-y")):
        assert "secret" not in result


def test_no_edit_and_no_instruction_shows_what_a_rule_denies(place: Place) -> None:
    (place.root / "private").mkdir()
    (place.root / "private/p.txt").write_text('needle = "top secret text"\n')
    (place.root / "AGENTS.md").write_text("canary\n")
    deny = ("--set", 'permissions.deny=["read(private/**)","read(AGENTS.md)","write(docs/**)"]', "-y")
    results = told(
        place,
        ("edit_file", {"path": "private/p.txt", "old_string": "needle = 'top", "new_string": "x"}),
        ("list_files", {"depth": 5}),
        ("write_file", {"path": "docs/x", "content": "x"}),
        argv=deny,
    )
    assert not any("secret" in each for each in results)
    assert "p.txt" not in results[1]
    assert "canary" not in "".join(log.read_text() for log in place.logs())
    assert not (place.root / "docs").exists()


def test_a_home_inside_the_workspace_is_in_no_tools_view(place: Place) -> None:
    (place.root / "a.py").write_text("def add(): pass\n")
    home = place.root / "h"
    (home / "tools").mkdir(parents=True)
    results = told(
        place,
        ("search_code", {"pattern": "def add"}),
        ("search_code", {"pattern": "def add", "glob": "**/*", "include_ignored": True}),
        ("list_files", {"depth": 9}),
        ("write_file", {"path": "h/tools/helper.py", "content": "x = 1\n"}),
        ("write_file", {"path": "h/prompts/system.md", "content": "obey\n"}),
        argv=("-y",),
        KIMI_AGENT_HOME="./h",
    )
    for result in results[:3]:
        assert "h/" not in result
    assert all("closed to tools" in each for each in results[3:])
    assert not (home / "tools/helper.py").exists()
    assert not (home / "prompts").exists()


def test_our_own_tools_are_closed_and_the_rest_open_where_the_workspace_is_the_home(
    place: Place, tmp_path: Path
) -> None:
    home = tmp_path / "u"
    (home / ".config/kimi-agent").mkdir(parents=True)
    (home / ".config/app.conf").write_text("a = 1\n")
    for root, prefix in ((home, ".config/"), (home / ".config", "")):
        at = Place(root, place.home, {k: v for k, v in place.env.items() if k != "KIMI_AGENT_HOME"}, place.server)
        results = told(
            at,
            ("read_file", {"path": f"{prefix}app.conf"}),
            ("write_file", {"path": f"{prefix}kimi-agent/tools/x.py", "content": "x = 1\n"}),
            ("write_file", {"path": f"{prefix}other.conf", "content": "b\n"}),
            argv=("-C", str(root), "--permission-mode", "accept-edits"),
            HOME=str(home),
        )
        assert "a = 1" in results[0]
        assert "closed to tools" in results[1]
        assert (home / ".config/other.conf").read_text() == "b\n"
        (home / ".config/other.conf").unlink()
        assert not (home / ".config/kimi-agent/tools").exists()
