"""Parser of simple shell commands: one command, all of whose words are plain to see, or `ComplexCommand`.

This only decides between "a rule may answer" and "a person must": it is no wall. Whatever is not surely plain is
complex. `shlex` would not do: it reads `git log`, a newline and `rm x` as one command of four words, bash runs two.
"""

import re
import unicodedata
from dataclasses import dataclass

MAX_SIMPLE_CHARS = 4_000
MAX_BLANKS = 16
"""A longer run of blanks may push what follows off the screen of the person who is asked."""


@dataclass(frozen=True)
class SimpleCommand:
    """One command; `words` are exactly what the shell would pass, the command's name first."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class ComplexCommand:
    """Anything else; `why` names the first thing that is not plain."""

    why: str


# Outside quotes: no operator, expansion, glob, brace, quote or blank. `~` and `#` are plain within a word only.
# No possessive quantifiers: with them Python 3.11.2 (Debian 12) took `<` and backticks for plain.
_WORD = re.compile(r"""(?:[A-Za-z0-9_./,:+@%=^~#!\u0080-\U0010ffff-]|'[^']*'|"[^"$`\\]*")+""")
_NAME = re.compile(r"[A-Za-z0-9_./+-]+")
_RESERVED = frozenset(
    {"if", "then", "else", "elif", "fi", "case", "esac", "for", "select", "while", "until", "do", "done"}
    | {"in", "function", "time", "coproc"}
)
_SPECIAL = {
    **dict.fromkeys(";&|", "an operator"),
    **dict.fromkeys("<>", "a redirection"),
    **dict.fromkeys("()", "a subshell or function"),
    **dict.fromkeys("$`", "an expansion"),
    **dict.fromkeys("*?[]", "a file pattern"),
    **dict.fromkeys("{}", "a brace"),
    "\\": "a backslash",
    "'": "an open quote",
    '"': "double quotes that hold an expansion, a backslash or no end",
}
# Letters and marks that draw nothing: two commands that look alike would not be alike.
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")


def parse_simple_command(text: str) -> SimpleCommand | ComplexCommand:
    """The words of `text` if bash and sh surely run it as one simple command with just these words."""
    odd = _disqualify(text)
    if odd:
        return ComplexCommand(odd)
    words: list[str] = []
    at = 0
    while at < len(text):
        if text[at] == " ":
            at += 1
            continue
        match = _WORD.match(text, at)
        if match is None:
            return ComplexCommand(f"{_SPECIAL.get(text[at], 'a special character')} ({text[at]})")
        raw, at = match[0], match.end()
        if raw[0] == "#":
            return ComplexCommand("a comment (#)")
        if raw[0] == "~" or "=~" in raw or ":~" in raw:
            return ComplexCommand("an expansion (~)")
        if not words and not _NAME.fullmatch(raw):
            why = "an assignment before the command" if "=" in raw else "a command name that is not plain"
            return ComplexCommand(why)
        words.append(_unquoted(raw))
    if not words:
        return ComplexCommand("no command")
    if words[0] in _RESERVED:
        return ComplexCommand(f"a word of the shell's own ({words[0]})")
    return SimpleCommand(tuple(words))


def _disqualify(text: str) -> str:
    """Why `text` is not even looked at word by word; "" if it may be."""
    if len(text) > MAX_SIMPLE_CHARS:
        return f"more than {MAX_SIMPLE_CHARS:,} characters"
    if "\n" in text or "\r" in text:
        return "a line break"
    if " " * MAX_BLANKS in text:
        return "a long run of blanks"
    for char in text:
        if " " <= char <= "~":
            continue
        if ord(char) < 128:
            return f"a control character (U+{ord(char):04X})"
        if unicodedata.category(char)[0] not in "LMN" or _INVISIBLE.match(char):
            return f"a special character (U+{ord(char):04X})"
    return ""


def _unquoted(raw: str) -> str:
    """The value of a word made of plain characters and whole quoted pieces."""
    return re.sub(r"""'([^']*)'|"([^"]*)\"""", lambda piece: piece[1] or piece[2] or "", raw)
