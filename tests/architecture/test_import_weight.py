"""Weight of a start: no start loads a library that it does not need."""

import subprocess
import sys
import textwrap
from pathlib import Path

from tests.architecture.program_modules import ROOT


def loaded_after(code: str) -> set[str]:
    """The names in sys.modules after `code` ran in a fresh interpreter."""
    script = textwrap.dedent(code) + "\nimport sys as _s\n_s.__stdout__.write('\\nMODULES ' + ' '.join(_s.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=50, cwd=ROOT)
    assert "MODULES " in done.stdout, done.stderr
    return {name.split(".")[0] for name in done.stdout.rpartition("MODULES ")[2].split()}


HEAVY = {
    "openai",
    "httpx2",
    "rich",
    "prompt_toolkit",
    "git",
    "typer",
    "pydantic",
    "pytest",
    "markdown_it",
    "mcp",
    "tree_sitter",
    "acp",
}


def test_version_loads_nothing_heavy() -> None:
    after = loaded_after("from kimi_agent.cli import main\nimport sys\nsys.argv = ['kimi-agent', '--version']\nmain()")
    assert after & (HEAVY | {"asyncio", "msgspec", "json"}) == set()


def test_the_first_prompt_waits_for_prompt_toolkit_alone(tmp_path: Path) -> None:
    code = f"""
    import os
    os.environ["KIMI_AGENT_HOME"] = {str(tmp_path)!r}
    from kimi_agent.cli.run.interactive import _SessionSwitcher
    from kimi_agent.cli.run.options import RunOptions
    from kimi_agent.cli.run.setup import open_workspace
    from kimi_agent.cli.signals import SignalWatchdog
    from kimi_agent.faces.repl import repl
    from kimi_agent.faces.screen import screen
    from kimi_agent.faces.screen import input_history
    options = RunOptions(directory={str(tmp_path)!r})
    _SessionSwitcher(open_workspace(options, trust=False), options, SignalWatchdog()).placeholder()
    """
    after = loaded_after(code)
    assert after & HEAVY == {"prompt_toolkit"}


def test_a_one_shot_on_a_tape_loads_no_screen_and_no_wire(tmp_path: Path) -> None:
    (tmp_path / "tape.jsonl").write_text('{"say": "hi"}\n')
    code = f"""
    import os, sys
    os.environ["KIMI_AGENT_HOME"] = {str(tmp_path)!r}
    os.chdir({str(tmp_path)!r})
    sys.argv = ["kimi-agent", "-q", "-m", "tape:tape.jsonl", "-p", "go"]
    from kimi_agent.cli import main
    assert main() == 0
    """
    after = loaded_after(code)
    assert after & HEAVY == {"typer", "pydantic"}  # typer checks a flag's value with pydantic
