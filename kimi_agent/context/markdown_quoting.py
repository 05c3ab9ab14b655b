"""Markdown quoting of untrusted text on one line: names, commands and messages are data there, nothing else."""

import re

_TICKS = re.compile("`+")


def squeeze_to_line(text: str, most: int) -> str:
    """`text` on one line of at most `most` characters; what is not printable becomes a space."""
    text = text[: 4 * most]  # a megabyte need not be looked at
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def to_code_span(text: str, most: int) -> str:
    """`text` on one line between backticks, more of them than stand anywhere in it."""
    line = squeeze_to_line(text, most) or " "
    fence = "`" * (max(map(len, _TICKS.findall(line)), default=0) + 1)
    # A space keeps backticks at the ends apart from the fence; Markdown takes it away again.
    return f"{fence} {line} {fence}" if line[0] == "`" or line[-1] == "`" else f"{fence}{line}{fence}"
