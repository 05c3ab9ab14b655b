"""The commands beside a run: sessions, stats, config, the mock server, the demo, completion scripts."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from kimi_agent.app.bootstrap import prepare
from kimi_agent.cli.commands import sessions, stats
from kimi_agent.cli.commands.changes import add_to
from kimi_agent.cli.commands.completion import SHELLS, script, tree
from kimi_agent.cli.commands.worktrees import app as worktrees_app
from kimi_agent.config import SETTINGS
from kimi_agent.faces.sanitize import clean_line
from kimi_agent.layers import PROJECT_FOLDER
from kimi_agent.model.tape.moonshot_rules import WINDOW

_HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings=_HELP,
)
config_app = typer.Typer(help="Where settings are, and what they are.", no_args_is_help=True)
app.add_typer(sessions.app, name="sessions")
app.add_typer(config_app, name="config")
app.add_typer(worktrees_app, name="worktrees")

add_to(app)
stats.add_to(app)
Directory = Annotated[str, typer.Option("-C", "--cd", metavar="DIR", help="The workspace (default: here).")]


def run_command(argv: Sequence[str]) -> int:
    """Parse and run one command; typer ends with SystemExit, whose code is the answer."""
    try:
        app(args=list(argv), prog_name="kimi-agent")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


@config_app.command("path")
def config_path(directory: Directory = "") -> None:
    """The files that settings are read from, and the folders in use."""
    setup = prepare({}, sets=(), directory=directory, environ=os.environ, trust=False)
    typer.echo(f"settings  {setup.places.config / 'config.toml'}")
    typer.echo(f"project   {setup.workspace / PROJECT_FOLDER / 'config.toml'}")
    typer.echo(f"state     {setup.places.state}")


@config_app.command("show")
def config_show(
    directory: Directory = "",
    sets: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As for a run.")] = None,
) -> None:
    """Every setting, its value, and where it came from."""
    setup = prepare({}, sets=sets or (), directory=directory, environ=os.environ, trust=False)
    for key in SETTINGS:
        value = setup.config.values[key]
        shown = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
        typer.echo(f"{key} = {clean_line(shown)}  # {clean_line(setup.config.sources[key])}: {SETTINGS[key].meaning}")
    for notice in setup.notices:
        typer.echo(clean_line(notice), err=True)
    from kimi_agent.app.parts import policy_of

    policy_of(setup)


@app.command()
def mock(
    tape: Annotated[Path, typer.Argument(metavar="TAPE", help="The scripted answers, JSON lines.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 0,
    save: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep every request body there.")] = None,
    window: Annotated[int, typer.Option(metavar="N", help="Tokens that it takes, input and output.", min=1)] = WINDOW,
) -> None:
    """Serve a tape as a Kimi-compatible endpoint; the first line printed holds its base URL."""
    from kimi_agent.model.mock_server import run_mock

    run_mock(tape, out=sys.stdout, host=host, port=port, save=save, window=window)


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the repository and name it.")] = False,
    tape: Annotated[Path | None, typer.Option(metavar="FILE", help="Play another tape.")] = None,
) -> None:
    """Watch a bug in a small repository being found and fixed; needs no key."""
    from kimi_agent.demo import run_demo

    raise typer.Exit(run_demo(keep=keep, tape=tape, stream=sys.stdout.isatty()))


@app.command()
def completion(shell: Annotated[str, typer.Argument(metavar="|".join(SHELLS), help="Your shell.")]) -> None:
    """Print a completion script, for example for ~/.bashrc."""
    from kimi_agent.cli.run import flags

    typer.echo(script(shell, tree(flags.app, app)))
