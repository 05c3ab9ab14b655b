"""Terminal theme: a few text styles as escape sequences, and the glyphs; both plain where that is wanted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Style = Literal["bold", "dim", "red", "green", "yellow", "blue", "magenta", "cyan", "strong", "heading", "link"]

# The sixteen colours that every theme defines, light or dark; no backgrounds.
SGR_CODES: Mapping[str, str] = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "strong": "1;31",
    "heading": "1;36",
    "link": "4;34",
}


@dataclass(frozen=True)
class Glyphs:
    """The signs that we draw, by what they mean."""

    dot: str = "●"
    under: str = "└"
    prompt: str = "›"
    more: str = "…"
    good: str = "✓"
    bad: str = "✗"
    todo: str = "☐"
    doing: str = "▸"
    bar: str = "│"
    rule: str = "─"
    between: str = "·"
    spinner: str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


ASCII_GLYPHS = Glyphs("*", "|", ">", "...", "+", "x", "[ ]", "[>]", "|", "-", "-", "|/-\\")


@dataclass(frozen=True)
class Theme:
    """Draws words in a style, or plainly where `colour` is off (then no escape sequence is written at all)."""

    colour: bool = True
    glyphs: Glyphs = Glyphs()

    def __call__(self, style: Style, text: str) -> str:
        if not self.colour or not text:
            return text
        return f"\x1b[{SGR_CODES[style]}m{text}\x1b[0m"


def choose_theme(environ: Mapping[str, str], encoding: str) -> Theme:
    """The theme that suits a terminal: plain for NO_COLOR and TERM=dumb, ASCII for an encoding without our signs."""
    plain = bool(environ.get("NO_COLOR")) or environ.get("TERM", "dumb") in ("dumb", "")
    try:
        "●✓▸…⠋".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return Theme(not plain, ASCII_GLYPHS)
    return Theme(not plain)
