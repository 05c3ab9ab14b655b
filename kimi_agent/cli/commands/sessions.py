"""`kimi-agent sessions`: list, show, search, export and remove saved sessions."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from kimi_agent.cli.commands.workspace import Directory, setup_in
from kimi_agent.errors import UserError
from kimi_agent.faces.sanitize import sanitize, sanitize_line, wrap_line
from kimi_agent.faces.screen.terminal import terminal_columns
from kimi_agent.log.readers.search_query import parse_query
from kimi_agent.log.readers.search_sessions import SearchHit
from kimi_agent.log.readers.summary import SessionSummary
from kimi_agent.printable import format_count, format_time

sessions_app = typer.Typer(help="List, show, search, export and remove saved sessions.", no_args_is_help=True)
SessionId = Annotated[str, Argument(metavar="ID", help="A session's id, its beginning, its title, or 'last'.")]


@sessions_app.command("list")
def list_sessions(
    directory: Directory = "",
    everything: Annotated[bool, Option("--all", help="Those of every workspace.")] = False,
    as_json: Annotated[bool, Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """The sessions of this workspace, the last used first."""
    sessions = setup_in(directory).sessions
    found = sessions.list_all() if everything else sessions.list()
    for each in found:
        typer.echo(json.dumps(_fields(each)) if as_json else _line(each, with_workspace=everything))
    if not found and not as_json:
        typer.echo("No sessions here yet; --all lists those of every workspace.", err=True)


def _fields(each: SessionSummary) -> dict[str, object]:
    return {
        "id": each.id,
        "title": each.title,
        "workspace": each.workspace,
        "model": each.model,
        "started": each.started,
        "last_used": each.last_used,
        "turns": each.turns,
        "bytes": each.size_bytes,
        "in_use_by": each.in_use.pid if each.in_use else None,
        "forked_from": each.forked_from,
        "damaged": each.damaged or None,
    }


def _line(each: SessionSummary, *, with_workspace: bool) -> str:
    size = f"{each.size_bytes:,} bytes" if each.damaged else format_count(each.turns, "turn")
    busy = f"  in use by pid {each.in_use.pid}" if each.in_use else ""
    where = f"  {sanitize_line(each.workspace or each.folder.parent.name)}" if with_workspace else ""
    title = f"{each.label}: {each.damaged}" if each.damaged else each.label
    row = f"{format_time(each.last_used)}  {size:>9}  {sanitize_line(title)}"
    return f"{sanitize_line(each.id)}  {row}{where}{busy}"


@sessions_app.command("show")
def show_session(id: SessionId, directory: Directory = "") -> None:
    """Print what was said and done."""
    typer.echo(sanitize(setup_in(directory).sessions.export(id, "brief")))


@sessions_app.command("search")
def search_sessions(
    words: Annotated[list[str], Argument(metavar="WORDS...", help='All must occur; "a phrase"; /regex/.')],
    directory: Directory = "",
    everything: Annotated[bool, Option("--all", help="In the sessions of every workspace.")] = False,
    as_json: Annotated[bool, Option("--json", help="One JSON object a line.")] = False,
    limit: Annotated[int, Option("--limit", metavar="N", help="Most hits.", min=1)] = 20,
) -> None:
    """Find words in all that was ever said and done, the newest first; case does not count."""
    query = parse_query(" ".join(map(_quoted, words)))
    if query.pattern is None and not query.phrases:
        raise UserError("There is nothing to search for; give some words.")
    shown = 0
    for session, found, total in setup_in(directory).sessions.search(query, everything=everything, most=limit):
        shown += len(found)
        rows = (
            map(json.dumps, _hits(session, found)) if as_json else _rows(session, found, total, everything=everything)
        )
        typer.echo("\n".join(rows))
    if as_json:
        return
    if not shown:
        more = "" if everything else "; --all looks at those of every workspace"
        typer.echo(f"No session here holds {sanitize_line(str(query))}{more}.", err=True)
    elif shown == limit:
        typer.echo(f"The newest {limit} hits; --limit N shows more.", err=True)


def _quoted(word: str) -> str:
    """An argument of several words was quoted for the shell, so it is a phrase."""
    is_phrase = len(word.split()) > 1 and '"' not in word and not word.startswith("/")
    return f'"{word}"' if is_phrase else word


def _hits(session: SessionSummary, found: Sequence[SearchHit]) -> list[dict[str, object]]:
    return [
        {
            "session": session.id,
            "title": session.title,
            "workspace": session.workspace,
            "agent": each.agent,
            "turn": each.turn,
            "place": each.place,
            "kind": each.kind,
            "at": each.at,
            "excerpt": each.excerpt,
        }
        for each in found
    ]


def _rows(session: SessionSummary, found: Sequence[SearchHit], total: int, *, everything: bool) -> list[str]:
    rows = [_line(session, with_workspace=everything)]
    for each in found:
        agent = "" if each.agent == "main" else f" ({sanitize_line(each.agent)})"
        text = f"{sanitize_line(each.kind)}: {sanitize_line(each.excerpt)}"
        rows += _wrap_hanging(f"  turn {each.turn}{agent}  {format_time(each.at)}  {text}")
    if total > len(found):
        rows.append(f"  {total - len(found):,} more")
    return rows


def _wrap_hanging(row: str) -> list[str]:
    """A row as it fits on the terminal, broken at blanks; whole where a program reads it."""
    if not sys.stdout.isatty():
        return [row]
    inset = " " * 4
    first, *more = wrap_line(row, terminal_columns() - 1 - len(inset))
    return [first, *(inset + each for each in more)]


@sessions_app.command("export")
def export_session(
    id: SessionId,
    directory: Directory = "",
    form: Annotated[str, Option("--format", help="markdown or json (every record).")] = "markdown",
    to: Annotated[str, Option("-o", "--output", metavar="FILE", help="Write to a file.")] = "",
) -> None:
    """Write a session out as one text."""
    if form not in ("markdown", "json"):
        raise UserError(f"--format is markdown or json; not {form!r}.")
    text = setup_in(directory).sessions.export(id, "json" if form == "json" else "markdown")
    if not to:
        typer.echo(text)
        return
    try:
        Path(to).write_text(text + "\n", "utf-8")
    except OSError as error:
        raise UserError(f"Cannot write {to}: {error.strerror}.", 1) from error


@sessions_app.command("rm")
def remove_sessions(
    ids: Annotated[list[str], Argument(metavar="ID...", help="Sessions to delete.")], directory: Directory = ""
) -> None:
    """Delete sessions with all that was kept beside them."""
    sessions = setup_in(directory).sessions
    for id in [sessions.find(word).id for word in ids]:
        removed = sessions.remove(id)
        typer.echo(f"removed {sanitize_line(removed.id)}  {sanitize_line(removed.label)}")
