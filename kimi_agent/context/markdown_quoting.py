"""Markdown quoting of untrusted text on one line: names, commands and messages are data there, nothing else."""

import re

from kimi_agent.printable import one_line

_TICKS = re.compile("`+")


def to_code_span(text: str, most: int) -> str:
    """`text` on one line between backticks, more of them than stand anywhere in it."""
    line = one_line(text, most) or " "
    fence = "`" * (max(map(len, _TICKS.findall(line)), default=0) + 1)
    # A space keeps backticks at the ends apart from the fence; Markdown takes it away again.
    return f"{fence} {line} {fence}" if line[0] == "`" or line[-1] == "`" else f"{fence}{line}{fence}"
