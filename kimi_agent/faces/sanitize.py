"""Sanitizer for text of models, tools and files: makes visible what could control or deceive a terminal.

Each character is judged by itself and its direct neighbours. What a terminal would obey or hide is shown instead:
control characters as their pictures (`␛[2J`), bidi and invisible ones by number (`\\u202e`).
"""

import re

_SUSPECT = re.compile(
    "\r\n|[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad"
    "\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\\ufeff"
    "\\uffa0\\ufff0-\\ufffb\\ud800-\\udfff\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff]"
)
# Invisible characters that carry meaning between their own kind, and nothing but tricks elsewhere: the joiners of emoji
# and of Arabic and Indic words, the word breaks of Thai, Lao, Burmese and Khmer, the variants of Han characters.
_JOINED = re.compile(
    "[^\\x00-\\xbf\\u034f\\u061c\\u115f\\u1160\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]"
)
_BREAKLESS = re.compile("[\\u0e00-\\u0eff\\u1000-\\u109f\\u1780-\\u17ff]")
_VARIED = re.compile("[\\u3400-\\u9fff\\uf900-\\ufaff\\U00020000-\\U0003ffff]")
_PRESENTED = re.compile("[0-9#*]|[^\\x00-\\xbf]")
_LINE_BREAKS = re.compile("[\n\t]")
_RUN = re.compile(r"\n(?:[ \t]*\n){3,}|[ \t]{16,}")


def _harmless(found: str, before: str, after: str) -> bool:
    """Whether an invisible character does its lawful work between its neighbours."""
    if found in "\u200c\u200d":
        return bool(_JOINED.match(before) and _JOINED.match(after))
    if found == "\u200b":
        return bool(_BREAKLESS.match(before) and _BREAKLESS.match(after))
    if found in "\ufe0e\ufe0f":
        return bool(_PRESENTED.match(before))
    if "\ufe00" <= found <= "\ufe0d" or "\U000e0100" <= found <= "\U000e01ef":
        return bool(_VARIED.match(before))
    return False


def _picture(match: re.Match[str]) -> str:
    found = match.group()
    if found == "\r\n":
        return "\n"
    text, at = match.string, match.start()
    if _harmless(found, text[at - 1 : at], text[at + 1 : at + 2]):
        return found
    code = ord(found)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def sanitize(text: str) -> str:
    """`text` with everything visible that a terminal would obey or hide; newlines and tabs stay, CRLF becomes LF."""
    return _SUSPECT.sub(_picture, text)


def sanitize_line(text: str, cells: int = 0) -> str:
    """`sanitize` on one line: newlines become `↵`, tabs a space; what exceeds `cells` cells (0: no limit) is cut."""
    if cells and len(text) > 8 * cells:  # a megabyte on one line is not worth looking at
        text = text[: 8 * cells]
    line = _LINE_BREAKS.sub(lambda found: "↵" if found.group() == "\n" else " ", sanitize(text))
    return truncate(line, cells) if cells else line


def count_escaped(text: str) -> int:
    """How many characters of `text` `sanitize` has to show in another way (CRLF aside)."""
    return sum(_picture(found) not in ("\n", found.group()) for found in _SUSPECT.finditer(text))


def collapse_blanks(text: str) -> str:
    """`text` with long runs of blanks or empty lines counted, not drawn, so that none pushes a part out of sight."""
    return _RUN.sub(_counted, text)


def _counted(match: re.Match[str]) -> str:
    run = match.group()
    if run[0] == "\n":
        return f"\n⟨{run.count(chr(10)) - 1} empty lines⟩\n"
    return f"⟨{len(run)} blanks⟩"


def cell_width(text: str) -> int:
    """How many terminal cells a clean `text` on one line takes."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    return max(0, wcswidth(text))


def truncate(line: str, cells: int) -> str:
    """A clean one-line text in at most `cells` cells, the last of them `…` where something is missing."""
    if cell_width(line) <= cells:
        return line
    return _fitting(line, max(0, cells - 1))[0] + "…"


def wrap_line(line: str, cells: int, *, words: bool = True) -> list[str]:
    """A clean one-line text as rows of at most `cells` cells.

    With `words` they are broken at blanks where there are any, and that blank is left out; else nothing is left out.
    """
    rows: list[str] = []
    rest = line
    cells = max(2, cells)
    while cell_width(rest) > cells:
        row, left = _fitting(rest, cells)
        blank = row.rfind(" ") if words else -1
        if blank > cells // 2 and not left.startswith(" "):
            row, left = row[:blank], row[blank + 1 :] + left
        rows.append(row)
        rest = left.removeprefix(" ") if words else left
    return [*rows, rest]


def _fitting(line: str, cells: int) -> tuple[str, str]:
    """The longest head of `line` in `cells` cells, and the rest; a character is never parted from what joins it."""
    if line.isascii():
        return line[:cells], line[cells:]
    from wcwidth import iter_graphemes, wcswidth

    used = at = 0
    for cluster in iter_graphemes(line):
        size = max(0, wcswidth(cluster))
        if used + size > cells:
            break
        used += size
        at += len(cluster)
    return line[:at], line[at:]
