"""Carry out the slash commands: each gives the rows that a person sees, or the home to go on in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from kimi_agent.errors import UserError
from kimi_agent.faces.repl.repl_session import ReplHome
from kimi_agent.faces.sanitize import clean_line, wrap
from kimi_agent.faces.screen_protocol import KEYS
from kimi_agent.faces.slash_commands import MODES, help_rows
from kimi_agent.faces.summary_lines import amount
from kimi_agent.faces.theme import Ink
from kimi_agent.log.messages import Usage

_MOST_SESSIONS = 20


def opening(home: ReplHome, name: str, rest: str) -> Awaitable[ReplHome] | None:
    """The home that /clear, /resume ID or /model NAME leads to; None for every other command."""
    match name:
        case "clear":
            return home.fresh()
        case "resume" if rest:
            return home.resume(_session_id(home, rest))
        case "model" if rest:
            return home.with_model(rest)
    return None


def greeting(home: ReplHome, ink: Ink) -> list[str]:
    """Model, folder, branch and mode, as they are at the start."""
    branch = f" {ink('dim', f'({clean_line(home.branch, 60)})')}" if home.branch else ""
    between = ink.glyphs.between
    return [
        f"{ink('heading', 'kimi-agent')} {ink('dim', between)} {clean_line(home.model_name, 60)}",
        f"{clean_line(_tilde(home.workspace, home.environ), 200)}{branch}",
        ink("dim", f"mode {home.mode()} {between} ? for keys {between} /help for commands"),
    ]


def help_sheet(home: ReplHome, ink: Ink, columns: int) -> list[str]:
    """Keys and commands; what is too long for its column goes on below."""
    rows = help_rows(home.commands, KEYS)
    wide = min(32, max(len(left) for left, _ in rows))
    room = max(20, columns - wide - 4)
    sheet = []
    for left, right in rows:
        name = clean_line(left)
        first, *more = wrap(clean_line(right), room) or [""]
        if len(name) > wide:
            sheet.append(ink("cyan", name))
            name = ""
        sheet.append(f"{ink('cyan', name.ljust(wide))}  {first}".rstrip())
        sheet += [f"{'':{wide}}  {row}" for row in more]
    return sheet


def status(home: ReplHome, ink: Ink, columns: int) -> list[str]:
    """Where we are and what it cost so far."""
    place = _tilde(home.workspace, home.environ)
    usage = home.costs().usage if home.costs is not None else Usage()
    facts = (
        ("session", home.agent.session.id),
        ("model", home.model_name),
        ("folder", f"{place} ({home.branch})" if home.branch else place),
        ("mode", home.mode()),
        ("tokens", f"{amount(usage.input)} in ({amount(usage.cached)} cached), {amount(usage.output)} out"),
    )
    shown = []
    for name, value in facts:
        first, *more = wrap(clean_line(value), max(20, columns - 10))
        shown.append(f"{ink('cyan', f'{name:<8}')} {first}")
        shown += [f"{'':<8} {row}" for row in more]
    return shown


def saved_sessions(home: ReplHome, ink: Ink, columns: int, now: float) -> list[str]:
    """The newest sessions of this folder, numbered; none where there are none."""
    return [
        f"{number:>3}  {ago(now - each.at):>10}  {clean_line(each.title, max(10, columns - 40)) or '(empty)'}"
        f"  {ink('dim', clean_line(each.id))}"
        for number, each in enumerate(home.sessions()[:_MOST_SESSIONS], 1)
    ]


def mode(home: ReplHome, rest: str) -> str:
    """Show or change the mode; the sentence that says what it is now. Raises UserError."""
    if not rest:
        return f"The mode is {home.mode()}; Shift-Tab or /mode NAME changes it."
    home.set_mode(rest)
    return f"The mode is {home.mode()}."


def next_mode(home: ReplHome, said: Callable[[str], None]) -> None:
    """On to the next mode, round and round; from any other mode to the first. What keeps it from changing is `said`."""
    current = home.mode()
    try:
        home.set_mode(MODES[(MODES.index(current) + 1) % len(MODES)] if current in MODES else MODES[0])
    except UserError as error:
        said(str(error))


def _session_id(home: ReplHome, rest: str) -> str:
    """What was typed, or the id behind the number of the list."""
    saved = home.sessions()[:_MOST_SESSIONS]
    return saved[int(rest) - 1].id if rest.isdecimal() and 0 < int(rest) <= len(saved) else rest


def _tilde(folder: Path, environ: Mapping[str, str]) -> str:
    home = environ.get("HOME", "")
    text = str(folder)
    return f"~{text[len(home) :]}" if home and home != "/" and (text == home or text.startswith(f"{home}/")) else text


def ago(seconds_ago: float) -> str:
    """How long since, in its largest unit."""
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds_ago >= size:
            return f"{int(seconds_ago // size)} {word} ago"
    return "now"
