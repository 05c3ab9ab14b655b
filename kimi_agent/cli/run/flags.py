"""Command-line flags of a run: the typer command that turns them into RunOptions."""

import math
import re
from collections.abc import Sequence
from typing import Annotated, TypeVar

import typer
from typer import Argument, Option

from kimi_agent.cli.run.options import INPUT_FORMATS, OUTPUT_FORMATS, RunOptions
from kimi_agent.errors import UserError

EPILOG = (
    "Commands: sessions, stats, diff, rewind, blame, evidence, worktrees, config, mock, demo, completion ('kimi-agent "
    "COMMAND --help'). A first word that is none of them is the prompt; '--' makes any word the prompt. Text piped in "
    "joins it."
)
_Word = TypeVar("_Word", bound=str)
run_app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@run_app.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
def run_from_flags(
    prompt: Annotated[list[str] | None, Argument(help="What to do; without it you talk in a terminal.")] = None,
    one_shot: Annotated[bool, Option("-p", "--print", help="Answer once and exit.")] = False,
    go_on: Annotated[bool, Option("-c", "--continue", help="Go on with the newest session here.")] = False,
    resume: Annotated[
        str | None,
        Option("-r", "--resume", "-S", "--session", metavar="[ID]", help="Resume a session; bare: choose one."),
    ] = None,
    fork: Annotated[bool, Option("--fork-session", help="Resume into a copy.")] = False,
    directory: Annotated[str, Option("-C", "--cd", metavar="DIR", help="Work in this folder.")] = "",
    model: Annotated[
        str | None, Option("-m", "--model", metavar="MODEL", help="Model id, or tape:FILE for a scripted one.")
    ] = None,
    base_url: Annotated[str | None, Option("--base-url", metavar="URL", help="OpenAI-compatible endpoint.")] = None,
    mode: Annotated[
        str | None, Option("--permission-mode", metavar="MODE", help="ask, accept-edits, plan or yolo.")
    ] = None,
    yes: Annotated[
        bool, Option("-y", "--yolo", "--dangerously-skip-permissions", help="Allow edits and commands.")
    ] = False,
    worktree: Annotated[
        str | None,
        Option("-w", "--worktree", metavar="[NAME]", help="Work in a git worktree of its own; bare: a new one."),
    ] = None,
    require_green: Annotated[
        bool, Option("--require-green", help="Exit 4 unless a passing test run proves what was changed.")
    ] = False,
    commit: Annotated[bool, Option("--commit", help="Commit what a verified turn changed, on a branch.")] = False,
    pull_request: Annotated[
        bool, Option("--pr", help="With --commit: push the branch and open a pull request (gh).")
    ] = False,
    max_steps: Annotated[
        int | None, Option("--max-steps", "--max-turns", min=1, metavar="N", help="Model calls per turn.")
    ] = None,
    max_budget_usd: Annotated[
        float | None, Option("--max-budget-usd", metavar="USD", help="Dollars that this run may cost.")
    ] = None,
    max_tokens: Annotated[
        int | None, Option("--max-tokens", min=1, metavar="N", help="Tokens that this run may cost, in and out.")
    ] = None,
    timeout: Annotated[
        str | None, Option("--timeout", metavar="TIME", help="How long a turn may take: 90s, 10m, 2h.")
    ] = None,
    wait_for_quota: Annotated[
        bool, Option("--wait-for-quota", help="Wait for a rate or period limit to end, then go on.")
    ] = False,
    thinking: Annotated[bool | None, Option("--thinking/--no-thinking", help="Think before answering.")] = None,
    add_dir: Annotated[list[str] | None, Option("--add-dir", metavar="DIR", help="Another folder to work in.")] = None,
    output: Annotated[str, Option("--output-format", metavar="FORMAT", help="text, json or stream-json.")] = "text",
    input_: Annotated[str, Option("--input-format", metavar="FORMAT", help="text or stream-json.")] = "text",
    answer_file: Annotated[
        str, Option("-o", "--output-last-message", metavar="FILE", help="Write the answer there too.")
    ] = "",
    quiet: Annotated[bool, Option("-q", "--quiet", help="No progress on stderr.")] = False,
    trust: Annotated[bool, Option("--trust", help="Trust this project's .kimi-agent folder.")] = False,
    sets: Annotated[list[str] | None, Option("--set", metavar="KEY=VALUE", help="Set any setting.")] = None,
    debug: Annotated[bool, Option("--debug", help="Keep every event in a file; show tracebacks.")] = False,
    version: Annotated[bool, Option("--version", "-V", help="Show the version.")] = False,
) -> RunOptions:
    """A terminal coding agent for Kimi K2.6.

    Talk to it in a repository, pipe an issue into it, resume a session.
    """
    if version:
        from kimi_agent import __version__

        typer.echo(f"kimi-agent {__version__}")
        raise typer.Exit
    if yes and mode is not None:
        raise UserError("Give either -y or --permission-mode, not both.")
    if go_on and resume is not None:
        raise UserError("Give either -c or -r, not both.")
    words = " ".join(prompt or ())
    return RunOptions(
        prompt="" if words == "-" else words,
        one_shot=one_shot or output != "text" or input_ != "text" or words == "-",
        resume="last" if go_on else resume,
        fork=fork,
        directory=directory,
        worktree=worktree,
        settings={
            "model": model,
            "base_url": base_url,
            "mode": "yolo" if yes else mode,
            "max_steps": max_steps,
            "budget.run_usd": _amount(max_budget_usd),
            "budget.run_tokens": max_tokens,
            "timeout": None if timeout is None else _seconds(timeout),
            "retry.wait_for_quota": wait_for_quota or None,
            "require_green": require_green or None,
            "commit.auto": commit or pull_request or None,
            "commit.pull_request": pull_request or None,
            "thinking": thinking,
            "workspace.add_dirs": add_dir or None,
        },
        trust=trust,
        debug=debug,
        quiet=quiet,
        output=_choice("--output-format", output, OUTPUT_FORMATS),
        input=_choice("--input-format", input_, INPUT_FORMATS),
        answer_file=answer_file,
        sets=tuple(sets or ()),
    )


def parse_flags(argv: Sequence[str]) -> RunOptions | int:
    """The options that `argv` gives, or the exit code where it asked for help or the version. Raises UserError."""
    try:
        parsed = run_app(args=list(argv), prog_name="kimi-agent", standalone_mode=False)
    except typer.TyperException as error:  # typer's own words, as one of our sentences
        text = error.format_message().rstrip(".").replace("\n", " ")
        raise UserError(f"{text}; see kimi-agent --help.") from error
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    return parsed if isinstance(parsed, RunOptions) else int(parsed or 0)


def _choice(name: str, value: str, choices: tuple[_Word, ...]) -> _Word:
    for choice in choices:
        if value == choice:
            return choice
    raise UserError(f"{name} is one of {', '.join(choices)}; not {value!r}.")


def _seconds(text: str) -> int:
    """A time such as 90, 90s, 10m, 2h or 1h30m, in seconds. Raises UserError."""
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text.strip().lower())
    hours, minutes, seconds = (int(each or 0) for each in parts.groups()) if parts else (0, 0, 0)
    if total := hours * 3600 + minutes * 60 + seconds:
        return total
    raise UserError(f"--timeout is a time such as 90s, 10m or 1h30m; not {text!r}.")


def _amount(usd: float | None) -> float | None:
    if usd is not None and not 0 < usd < math.inf:
        raise UserError(f"--max-budget-usd is an amount above 0; not {usd:g}.")
    return usd
