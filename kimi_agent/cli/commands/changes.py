"""Commands about what a session changed: diff, rewind, blame, evidence."""

import asyncio
import os
import re
import sys
from collections.abc import Sequence
from typing import Annotated, get_args

import typer
from typer import Argument, Option

from kimi_agent.app.bootstrap import Setup
from kimi_agent.cli.commands.workspace import Directory, setup_in
from kimi_agent.errors import NeedsConsent, ToolError, UserError
from kimi_agent.faces.sanitize import sanitize, sanitize_line
from kimi_agent.faces.screen.terminal import terminal_columns
from kimi_agent.log.events import Checkpoint, Judged, Stamped
from kimi_agent.log.questions import Decision, Question
from kimi_agent.log.views import Evidence, FileDiff
from kimi_agent.printable import format_count, format_time
from kimi_agent.rewind.rewind_plan import ConflictChoice, RewindScope, RewindTurn

SessionOption = Annotated[str, Option("-s", "--session", metavar="ID", help="Which session (default: the newest).")]
_TREE = re.compile(r"[0-9a-f]{7,40}")


def show_diff(
    scope: Annotated[
        list[str] | None, Argument(metavar="[turn N|session|since-green]", help="What to compare.")
    ] = None,
    session: SessionOption = "last",
    directory: Directory = "",
) -> None:
    """What a session changed in the files: drawn on a terminal, else a patch for git apply."""
    from kimi_agent.app.factories import make_checkpoints
    from kimi_agent.rewind.session_diff import draw_changes, find_changes, git_patches, parse_diff_scope

    setup = setup_in(directory)
    checkpoints = make_checkpoints(setup)
    asked = setup.sessions.log(session), checkpoints, parse_diff_scope(" ".join(scope or ()))
    if sys.stdout.isatty():
        drawn = draw_changes(*asked)
        _print_diff(drawn)
        empty = not drawn
    else:
        found = find_changes(*asked)
        for patch in git_patches(found, checkpoints):
            sys.stdout.buffer.write(patch)
        sys.stdout.buffer.flush()
        empty = not found
    if empty:
        typer.echo("Nothing was changed.", err=True)


def rewind_session(
    id: Annotated[str, Argument(metavar="ID", help="A session's id, its beginning, its title, or 'last'.")],
    to: Annotated[str, Option("--to", metavar="N", help="Back to before turn N, or to a kept tree.")] = "",
    redo: Annotated[bool, Option("--redo", help="Bring back what the last rewind took.")] = False,
    what: Annotated[str, Option(metavar="WHAT", help="chat, code or both.")] = "both",
    path: Annotated[list[str] | None, Option("--file", metavar="FILE", help="Only this file.")] = None,
    yours: Annotated[str, Option(metavar="keep|overwrite", help="What to do with files that you changed since.")] = "",
    yes: Annotated[bool, Option("-y", "--yes", help="Do not ask.")] = False,
    directory: Directory = "",
) -> None:
    """Take back what a session did from a turn on: chat, files, or both. The files as they are now are kept first."""
    if bool(to) == redo:
        raise UserError("Say where to go: --to N (before turn N), or --redo.")
    choice: ConflictChoice | None = next((each for each in get_args(ConflictChoice)[1:] if each == yours), None)
    if yours and choice is None:
        raise UserError(f"--yours is keep or overwrite; not {yours!r}.")
    scopes: tuple[RewindScope, ...] = get_args(RewindScope)
    scope = next((each for each in scopes if each == what), None)
    if scope is None:
        raise UserError(f"--what is one of {', '.join(scopes)}; not {what!r}.")
    if path and (redo or scope == "chat"):
        raise UserError("--file goes with --to and files alone: leave out --redo and --what chat.")
    raise typer.Exit(asyncio.run(_rewind(setup_in(directory), id, to, scope, paths=path or (), yours=choice, yes=yes)))


async def _rewind(
    setup: Setup, id: str, to: str, what: RewindScope, *, paths: Sequence[str], yours: ConflictChoice | None, yes: bool
) -> int:
    from kimi_agent.app.crash_recovery import recover_files
    from kimi_agent.app.factories import make_checkpoints, make_files_and_runner
    from kimi_agent.faces.repl.rewind_commands import confirm_and_rewind, join_paths
    from kimi_agent.rewind.rewinder import Rewinder
    from kimi_agent.workspace.files.access_rules import AccessRules

    checkpoints = make_checkpoints(setup)
    for notice in recover_files(setup.user_folders.state / "journal", setup.sessions, checkpoints):
        typer.echo(sanitize_line(notice), err=True)
    session = setup.sessions.resume(id)
    try:
        files, runner = make_files_and_runner(setup, session, AccessRules())  # it is the person who goes back
        rewinder = Rewinder(session, checkpoints, files)
        if to:
            seq = _find_seq(rewinder.turns(), session.take_past(), to)
            plan = await rewinder.plan(seq, "code" if paths else what, paths=paths)
        else:
            plan = await rewinder.plan_redo()
        if paths and not plan.diff:
            typer.echo("Nothing was changed: no such file is different from then.", err=True)
            return 0

        shown = False

        async def ask_on_lines(question: Question) -> Decision:
            nonlocal shown
            if shown:  # about the files that a command or the person wrote
                typer.echo(sanitize(question.title), err=True)
                return Decision(allowed=not yes and _ask_yes_no())
            shown = True
            _print_diff([each for each in plan.diff if yours != "keep" or each.path not in plan.yours])
            typer.echo(sanitize("\n".join(filter(None, (question.title, question.why)))), err=True)
            if plan.yours and not yours:
                raise UserError(
                    f"{join_paths(plan.yours)} changed since by you or another program: "
                    "say --yours keep or --yours overwrite.",
                    1,
                )
            return Decision(allowed=yes or _ask_yes_no())

        done = await confirm_and_rewind(
            "rewind" if to else "redo", plan, rewinder, ask_on_lines, yours=yours, most_files=len(plan.diff)
        )
        if done is None:
            typer.echo("Nothing was changed.", err=True)
            return 1
        kept = f"; left as they are: {join_paths(done.kept)}" if done.kept else ""
        if not set(plan.unsure).isdisjoint(done.kept):
            kept += " (written while a command ran, perhaps by you; --yours overwrite takes them back too)"
        changed = done.restored or plan.what != "code"
        again = f" Back again: kimi-agent rewind {session.id} --redo" if to and changed else ""
        typer.echo(f"{format_count(done.restored, 'file')} restored{kept}.{again}", err=True)
        await runner.aclose()
        return 0
    except ToolError as error:
        raise UserError(f"{error.text}; nothing was changed.", 1) from error
    finally:
        session.close()


def _find_seq(turns: Sequence[RewindTurn], log: Sequence[Stamped], to: str) -> int:
    if to.isdecimal() and (found := next((turn.seq for turn in turns if turn.number == int(to)), None)):
        return found
    if _TREE.fullmatch(to):
        kept = [each.seq for each in log if isinstance(each.event, Checkpoint) and each.event.tree.startswith(to)]
        if kept:
            return kept[0]
    number = format_count(len(turns), "turn")
    raise UserError(f"There is no turn and no kept tree {to[:50]!r} in this session; it has {number}.")


def _ask_yes_no() -> bool:
    if not sys.stdin.isatty():
        raise UserError("There is no terminal to ask on; -y goes on without asking.")
    sys.stderr.write("Go on? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def show_blame(
    place: Annotated[str, Argument(metavar="PATH:LINE", help="A line of a file as it is now.")],
    directory: Directory = "",
) -> None:
    """Which session, turn, prompt and call wrote a line."""
    from kimi_agent.app.factories import make_checkpoints
    from kimi_agent.rewind.blame import blame_line, parse_line_reference
    from kimi_agent.workspace.checkpoint import SnapshotError

    setup = setup_in(directory)
    path, number = parse_line_reference(place)
    shown, text = _read_current_file(setup, path)
    checkpoints = make_checkpoints(setup)

    def text_in(tree: str, path: str) -> str | None:
        try:
            data = checkpoints.read(tree, path)
        except SnapshotError:  # it was tidied away
            return None
        return None if data is None else data.decode("utf-8", "surrogateescape")

    sessions = setup.sessions
    logs = (list(sessions.log(each.id)) for each in sessions.list() if not each.damaged)
    found = blame_line(shown, number, text, logs, text_in)
    typer.echo(f"{sanitize_line(shown)}:{number}: {sanitize_line(found.line)}")
    if found.author is None:
        typer.echo(f"  {found.why}")
        return
    author = found.author
    typer.echo(f"  session {author.session}, turn {author.turn}, {format_time(author.at)}")
    typer.echo(f"  prompt  {sanitize_line(author.prompt, 200)}")
    if author.call is not None:
        from kimi_agent.faces.summary_lines import call_line

        typer.echo(f"  call    {sanitize_line(call_line(author.call, 200))}")


def _read_current_file(setup: Setup, path: str) -> tuple[str, str]:
    """The file's name in the workspace, and its text. Raises UserError; no link leads out, no pipe is waited for."""
    from kimi_agent.log.events import Seen
    from kimi_agent.workspace.files.files import Files
    from kimi_agent.workspace.files.outputs import Outputs
    from kimi_agent.workspace.files.seen_files import SeenFiles

    def nobody(_: Seen) -> None:
        return None

    root, home, cwd = setup.workspace, setup.user_folders.home, setup.cwd
    files = Files(root, outputs=Outputs(root), seen_files=SeenFiles(nobody), home=home, cwd=cwd, journal=root)
    try:
        found = files.read(path)
    except NeedsConsent as error:
        if error.code != "sensitive":
            raise UserError(f"{path} lies outside the workspace {root}.") from error
        files.allow_reading(error.path)  # it is the person who asks
        found = files.read(path)
    except ToolError as error:
        raise UserError(f"Cannot read {path}: {error.text}.", 1) from error
    return found.path, found.data.decode("utf-8", "surrogateescape")


def show_evidence(
    id: Annotated[str, Argument(metavar="[ID]", help="A session (default: the newest).")] = "last",
    markdown: Annotated[bool, Option("--md", help="As a block for a pull request.")] = False,
    as_json: Annotated[bool, Option("--json", help="As one JSON object.")] = False,
    directory: Directory = "",
) -> None:
    """What the test runs of a session prove about the files as they are now."""
    import json

    from kimi_agent.faces.evidence_text import evidence_json, evidence_markdown, evidence_text

    if as_json and markdown:
        raise UserError("Say --md or --json, not both.")
    setup = setup_in(directory)
    found = setup.sessions.find(id)
    proof = _judge_again(setup, found.id)
    if as_json:
        typer.echo(json.dumps(evidence_json(proof)))
    elif markdown:
        typer.echo(evidence_markdown(proof, session=found.id, model=found.model))
    else:
        typer.echo(evidence_text(proof) or "no file is different from before the last turn that changed or tested any")


def _judge_again(setup: Setup, id: str) -> Evidence:
    """The last turn that was judged, judged again on the files as they are now: they may have changed since.

    Raises UserError where nothing was ever changed or run in the session.
    """
    from kimi_agent.app.factories import make_checkpoints, make_owner_lookup_outside
    from kimi_agent.verify.turn_verifier import verify_log

    log = list(setup.sessions.log(id))
    end = max((at for at, each in enumerate(log, 1) if isinstance(each.event, Judged)), default=0)
    if not end:
        raise UserError(f"No turn of session {id} changed files or ran tests, so there is nothing to prove.", 1)
    return verify_log(log[:end], make_checkpoints(setup), owner=make_owner_lookup_outside(setup))


def _print_diff(files: Sequence[FileDiff]) -> None:
    if not sys.stdout.isatty():
        typer.echo("".join(map(_patch, files)), nl=False)
        return
    from kimi_agent.faces.render.view_rows import diff_rows
    from kimi_agent.faces.theme import choose_theme

    theme = choose_theme(os.environ, sys.stdout.encoding or "utf-8")
    for row in diff_rows(files, theme, terminal_columns() - 1, whole=False):
        typer.echo(row, color=True)


def _patch(file: FileDiff) -> str:
    """A file's diff as other programs read it; one without lines is named alone."""
    if not file.diff.startswith("@@"):
        return f"# {sanitize_line(file.path)}: {sanitize_line(file.diff) or file.change}\n"
    old = "/dev/null" if file.change == "A" else f"a/{file.old_path or file.path}"
    new = "/dev/null" if file.change == "D" else f"b/{file.path}"
    return f"--- {sanitize_line(old)}\n+++ {sanitize_line(new)}\n{sanitize(file.diff)}\n"
