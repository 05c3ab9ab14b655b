"""Output of the slash commands: the rows or the sentence that each shows, or the session to go on in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from kimi_agent.errors import UserError
from kimi_agent.faces.repl.repl_session import ReplSession
from kimi_agent.faces.sanitize import sanitize_line, wrap_line
from kimi_agent.faces.screen_protocol import KEY_HELP
from kimi_agent.faces.slash_commands import CYCLED_MODES, help_entries
from kimi_agent.faces.summary_lines import format_age, format_amount
from kimi_agent.faces.theme import Theme
from kimi_agent.log.messages import Usage

_MOST_SESSIONS = 20


def start_session_switch(current: ReplSession, name: str, rest: str) -> Awaitable[ReplSession] | None:
    """Open the session that /clear, /resume ID or /model NAME leads to; None for every other command."""
    match name:
        case "clear":
            return current.new_session()
        case "resume" if rest:
            return current.resume(_session_id(current, rest))
        case "model" if rest:
            return current.with_model(rest)
    return None


def greeting_rows(current: ReplSession, theme: Theme) -> list[str]:
    """Model, folder, branch and mode, as they are at the start."""
    branch = f" {theme('dim', f'({sanitize_line(current.branch, 60)})')}" if current.branch else ""
    between = theme.glyphs.between
    return [
        f"{theme('heading', 'kimi-agent')} {theme('dim', between)} {sanitize_line(current.model_name, 60)}",
        f"{sanitize_line(_tilde(current.workspace, current.environ), 200)}{branch}",
        theme("dim", f"mode {current.mode()} {between} ? for keys {between} /help for commands"),
    ]


def help_sheet_rows(current: ReplSession, theme: Theme, columns: int) -> list[str]:
    """Keys and commands; what is too long for its column goes on below."""
    rows = help_entries(current.commands, KEY_HELP)
    wide = min(32, max(len(left) for left, _ in rows))
    room = max(20, columns - wide - 4)
    sheet = []
    for left, right in rows:
        name = sanitize_line(left)
        first, *more = wrap_line(sanitize_line(right), room) or [""]
        if len(name) > wide:
            sheet.append(theme("cyan", name))
            name = ""
        sheet.append(f"{theme('cyan', name.ljust(wide))}  {first}".rstrip())
        sheet += [f"{'':{wide}}  {row}" for row in more]
    return sheet


def status_rows(current: ReplSession, theme: Theme, columns: int) -> list[str]:
    """Where we are and what it cost so far."""
    folder = _tilde(current.workspace, current.environ)
    usage = current.costs().usage if current.costs is not None else Usage()
    facts = (
        ("session", current.agent.session.id),
        ("model", current.model_name),
        ("folder", f"{folder} ({current.branch})" if current.branch else folder),
        ("mode", current.mode()),
        (
            "tokens",
            f"{format_amount(usage.input)} in ({format_amount(usage.cached)} cached), "
            f"{format_amount(usage.output)} out",
        ),
    )
    shown = []
    for name, value in facts:
        first, *more = wrap_line(sanitize_line(value), max(20, columns - 10))
        shown.append(f"{theme('cyan', f'{name:<8}')} {first}")
        shown += [f"{'':<8} {row}" for row in more]
    return shown


def saved_session_rows(current: ReplSession, theme: Theme, columns: int, now: float) -> list[str]:
    """The newest sessions of this folder, numbered; none where there are none."""
    return [
        f"{number:>3}  {format_age(now - each.at):>10}  {sanitize_line(each.title, max(10, columns - 40)) or '(empty)'}"
        f"  {theme('dim', sanitize_line(each.id))}"
        for number, each in enumerate(current.sessions()[:_MOST_SESSIONS], 1)
    ]


def show_or_set_mode(current: ReplSession, rest: str) -> str:
    """Show or change the mode; the sentence that says what it is now. Raises UserError."""
    if not rest:
        return f"The mode is {current.mode()}; Shift-Tab or /mode NAME changes it."
    current.set_mode(rest)
    return f"The mode is {current.mode()}."


def cycle_mode(current: ReplSession, said: Callable[[str], None]) -> None:
    """On to the next mode, round and round; from any other mode to the first. What keeps it from changing is `said`."""
    mode = current.mode()
    try:
        at = CYCLED_MODES.index(mode) + 1 if mode in CYCLED_MODES else 0
        current.set_mode(CYCLED_MODES[at % len(CYCLED_MODES)])
    except UserError as error:
        said(str(error))


def _session_id(current: ReplSession, rest: str) -> str:
    """What was typed, or the id behind the number of the list."""
    saved = current.sessions()[:_MOST_SESSIONS]
    return saved[int(rest) - 1].id if rest.isdecimal() and 0 < int(rest) <= len(saved) else rest


def _tilde(folder: Path, environ: Mapping[str, str]) -> str:
    home = environ.get("HOME", "")
    text = str(folder)
    return f"~{text[len(home) :]}" if home and home != "/" and (text == home or text.startswith(f"{home}/")) else text
