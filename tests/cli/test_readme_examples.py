"""The README's examples of what a person adds, each by files in their own folder alone, in the real program."""

import asyncio
import json

from kimi_agent.model.mock_server import MockServer
from kimi_agent.model.tape.tape_format import Tape
from tests.cli.conftest import Place, Start
from tests.readme_text import blocks


def test_a_tool_of_ones_own(place: Place) -> None:
    (example,) = blocks("python", "@tool")
    (place.home / "tools").mkdir()
    (place.home / "tools" / "count_lines.py").write_text(example)
    (place.root / "a.txt").write_text("one\ntwo\n")
    model = place.tape(
        {"expect": {"has_tool": "count_lines"}, "calls": [{"name": "count_lines", "args": {"path": "a.txt"}}]},
        {"say": "It has {{result}} lines."},
    )
    done = place.run("-m", model, "-p", "how long is a.txt?")
    assert (done.returncode, done.stdout) == (0, "It has 2 lines.\n"), done.stderr


def test_a_slash_command_of_ones_own(place: Place, start: Start) -> None:
    (example,) = blocks("markdown", "$ARGUMENTS")
    (place.home / "prompts" / "commands").mkdir(parents=True)
    (place.home / "prompts" / "commands" / "explain.md").write_text(example)
    asked = example.replace("$ARGUMENTS", "src/x.py").strip()
    model = place.tape({"expect": {"last_contains": asked, "last_role": "user"}, "say": "Three things surprised me."})
    terminal = start("-m", model)
    terminal.ready("/help")
    terminal.press("/explain src/x.py\r")
    terminal.ready("Three things surprised me.")
    assert "/explain src/x.py" in terminal.shown()
    terminal.press("/exit\r")
    assert terminal.end() == 0


async def test_a_provider_of_ones_own(place: Place) -> None:
    (example,) = blocks("toml", "base_url")
    host, key = "https://llm.example.com/v1", "sk-example"
    place.env["HOME"] = str(place.home)
    (place.home / ".llm-example-key").write_text(f"{key}\n")
    assert host in example
    async with MockServer(Tape.of({"say": "Hello from here."}), key=key) as server:
        # What no test can have is the host and its model.
        config = example.replace(host, server.base_url).replace("example-coder", "kimi-k2.6")
        (place.home / "config.toml").write_text(config)
        done = await asyncio.to_thread(place.run, "-p", "hello")
    assert (done.returncode, done.stdout) == (0, "Hello from here.\n"), done.stderr
    (body,) = server.bodies
    assert json.loads(body)["messages"][-1] == {"role": "user", "content": "hello"}
