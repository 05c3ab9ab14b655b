"""Printable text: foreign texts and paths on one line, counts with their noun, times, for messages and lists."""

import time
from collections.abc import Callable, Sequence


def one_line(text: str, max_chars: int = 0, *, instead: str = " ") -> str:
    """`text` on one line: blanks joined, `instead` for what does not print, cut to `max_chars` (0: whole)."""
    if max_chars:
        text = text[: 40 * max_chars]  # a megabyte need not be looked at
    if not text.isprintable():
        text = "".join(char if char.isprintable() or char.isspace() else instead for char in text)
    text = " ".join(text.split())
    return text if not max_chars or len(text) <= max_chars else f"{text[: max_chars - 1]}…"


def escape_path(path: str, max_chars: int = 300) -> str:
    """`path` for a sentence: unprintable characters as escapes, cut when it is very long."""
    shown = _escape(path[:max_chars])
    return shown if len(path) <= max_chars else shown + "…"


def escape_name(path: str) -> str:
    """`path` for a list, never cut: as `escape_path`, but bytes that are no UTF-8 are shown as such (`\\xff`)."""
    return _escape(path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


def format_count(number: int, one: str, many: str = "") -> str:
    """`1 match`, `1,200 matches`; `many` is needed only where it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def format_time(at: float) -> str:
    """A Unix time as local date and minute: `2026-11-30 16:05`."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def join_some(names: Sequence[str], most: int, draw: Callable[[str], str] = str) -> str:
    """`a, b and 1,200 more`: the first `most` of `names`, each as `draw` shows it, and how many are left out."""
    left_out = len(names) - most
    return ", ".join(map(draw, names[:most])) + (f" and {left_out:,} more" if left_out > 0 else "")


def list_paths(paths: Sequence[str], most: int = 10) -> str:
    """The first of `paths` for a sentence, and how many more there are: `a.py, b.py and 3 more`."""
    return join_some(paths, most, escape_path)


def _escape(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
