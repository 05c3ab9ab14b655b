"""Subcommands beside a run: sessions, stats, worktrees, config, the mock server, the demo, completion scripts."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from kimi_agent.cli.commands import changes, sessions, stats
from kimi_agent.cli.commands.completion import COMPLETION_SHELLS, command_tree, completion_script
from kimi_agent.cli.commands.workspace import Directory, setup_in
from kimi_agent.cli.commands.worktrees import worktrees_app
from kimi_agent.config import DEFAULT_WINDOW_TOKENS, SETTINGS
from kimi_agent.faces.sanitize import sanitize_line
from kimi_agent.layers import PROJECT_FOLDER

_HELP = {"help_option_names": ["-h", "--help"]}
commands_app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings=_HELP,
)
config_app = typer.Typer(help="Where settings are, and what they are.", no_args_is_help=True)
commands_app.add_typer(sessions.sessions_app, name="sessions")
commands_app.add_typer(config_app, name="config")
commands_app.add_typer(worktrees_app, name="worktrees")

commands_app.command("diff")(changes.show_diff)
commands_app.command("rewind")(changes.rewind_session)
commands_app.command("blame")(changes.show_blame)
commands_app.command("evidence")(changes.show_evidence)
commands_app.command("stats")(stats.stats)


def run_command(argv: Sequence[str]) -> int:
    """Parse and run one command; typer ends with SystemExit, whose code is the answer."""
    try:
        commands_app(args=list(argv), prog_name="kimi-agent")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


@config_app.command("path")
def config_path(directory: Directory = "") -> None:
    """The files that settings are read from, and the folders in use."""
    setup = setup_in(directory)
    typer.echo(f"settings  {setup.user_folders.config / 'config.toml'}")
    typer.echo(f"project   {setup.workspace / PROJECT_FOLDER / 'config.toml'}")
    typer.echo(f"state     {setup.user_folders.state}")


@config_app.command("show")
def config_show(
    directory: Directory = "",
    sets: Annotated[list[str] | None, Option("--set", metavar="KEY=VALUE", help="As for a run.")] = None,
) -> None:
    """Every setting, its value, and where it came from."""
    setup = setup_in(directory, sets or ())
    for key in SETTINGS:
        value = setup.config.values[key]
        shown = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
        source = sanitize_line(setup.config.sources[key])
        typer.echo(f"{key} = {sanitize_line(shown)}  # {source}: {SETTINGS[key].meaning}")
    for notice in setup.notices:
        typer.echo(sanitize_line(notice), err=True)
    from kimi_agent.app.factories import make_policy
    from kimi_agent.toolbox import load_tools

    make_policy(setup, load_tools(setup.layers)[0])


@commands_app.command("mock")
def serve_mock(
    tape: Annotated[Path, Argument(metavar="TAPE", help="The scripted answers, JSON lines.")],
    host: Annotated[str, Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 0,
    save: Annotated[Path | None, Option(metavar="DIR", help="Keep every request body there.")] = None,
    window: Annotated[
        int, Option(metavar="N", help="Tokens that it takes, input and output.", min=1)
    ] = DEFAULT_WINDOW_TOKENS,
) -> None:
    """Serve a tape as a Kimi-compatible endpoint; the first line printed holds its base URL."""
    from kimi_agent.model.mock_server import serve_tape

    serve_tape(tape, out=sys.stdout, host=host, port=port, save=save, window=window)


@commands_app.command("demo")
def play_demo(
    keep: Annotated[bool, Option("--keep", help="Leave the repository and name it.")] = False,
    tape: Annotated[Path | None, Option(metavar="FILE", help="Play another tape.")] = None,
) -> None:
    """Watch a bug in a small repository being found and fixed; needs no key."""
    from kimi_agent.demo import run_demo

    raise typer.Exit(run_demo(keep=keep, tape=tape, stream=sys.stdout.isatty()))


@commands_app.command("completion")
def print_completion(
    shell: Annotated[str, Argument(metavar="|".join(COMPLETION_SHELLS), help="Your shell.")],
) -> None:
    """Print a completion script, for example for ~/.bashrc."""
    from kimi_agent.cli.run import flags

    typer.echo(completion_script(shell, command_tree(flags.run_app, commands_app)))
