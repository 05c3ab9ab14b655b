"""`kimi-agent worktrees`: list and remove the git worktrees that runs with -w were given."""

import json
import os
from dataclasses import replace
from typing import Annotated

import typer
from typer import Argument, Option

from kimi_agent.app.bootstrap import Setup
from kimi_agent.cli.commands.workspace import Directory, setup_in
from kimi_agent.errors import UserError
from kimi_agent.faces.sanitize import sanitize_line
from kimi_agent.printable import format_count
from kimi_agent.workspace.worktrees.worktree import ListedWorktree
from kimi_agent.workspace.worktrees.worktrees import Worktrees

worktrees_app = typer.Typer(help="List and remove the git worktrees made by -w.", invoke_without_command=True)


@worktrees_app.callback()
def _bare(context: typer.Context) -> None:
    """List and remove the git worktrees made by -w; without a command they are listed."""
    if context.invoked_subcommand is None:
        list_worktrees()


@worktrees_app.command("list")
def list_worktrees(
    directory: Directory = "",
    as_json: Annotated[bool, Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """The worktrees of this repository, and what work is in them."""
    found = _worktrees(setup_in(directory)).list()
    for each in found:
        typer.echo(json.dumps(_fields(each)) if as_json else _line(each))
    if not found and not as_json:
        typer.echo("No worktrees of this repository yet; kimi-agent -w makes one.", err=True)


@worktrees_app.command("rm")
def remove_worktrees(
    names: Annotated[list[str], Argument(metavar="NAME...", help="Worktrees to remove, with their branches.")],
    directory: Directory = "",
    force: Annotated[bool, Option("--force", help="Drop uncommitted and unmerged work too.")] = False,
) -> None:
    """Remove worktrees; one with work that nothing else holds stays unless forced."""
    setup = setup_in(directory)
    worktrees = _worktrees(setup)
    for name in names:
        _refuse_busy(setup, worktrees, name)
        removed = worktrees.remove(name, force=force)
        typer.echo(f"removed {removed.name}  {sanitize_line(str(removed.path))}")


def _worktrees(setup: Setup) -> Worktrees:
    return Worktrees(setup.workspace, setup.user_folders.state / "worktrees", environ=os.environ)


def _refuse_busy(setup: Setup, worktrees: Worktrees, name: str) -> None:
    """Raises UserError where a session is open in that worktree: its files would be taken from under it."""
    for folder in worktrees.workspaces(name):
        for session in replace(setup, workspace=folder).sessions.list():
            if session.in_use:
                raise UserError(
                    f"The worktree {name} is in use by pid {session.in_use.pid}; end that session first.", 1
                )


def _fields(each: ListedWorktree) -> dict[str, object]:
    return {
        "name": each.name,
        "branch": each.branch or None,
        "path": str(each.path),
        "ahead": each.ahead,
        "unmerged": list(each.unmerged),
        "dirty": list(each.work.dirty),
        "ignored": list(each.work.ignored),
        "nested": list(each.work.nested),
        "under_way": each.work.under_way or None,
        "trouble": each.work.trouble or None,
        "cut_off": each.cut_off,
        "merged": each.merged,
        "gone": each.gone,
        "locked": each.locked or None,
    }


def _line(each: ListedWorktree) -> str:
    work = [
        *(["folder gone"] if each.gone else []),
        *(["cut off from git"] if each.cut_off else []),
        format_count(each.ahead, "unmerged commit") if each.ahead else "merged",
        *(["not readable"] if each.work.trouble else []),
        *([each.work.under_way] if each.work.under_way else []),
        *([format_count(len(each.work.dirty), "uncommitted file")] if each.work.dirty else []),
        *([format_count(len(each.work.ignored), "ignored file")] if each.work.ignored else []),
        *([format_count(len(each.work.nested), "repository", "repositories")] if each.work.nested else []),
        *(["locked"] if each.locked else []),
    ]
    branch = sanitize_line(each.branch or "(no branch)")
    return f"{each.name}  {branch}  {', '.join(work)}  {sanitize_line(str(each.path))}"
