"""Closing lines reader: what a test runner's last lines say where nothing but its exit code is known. Pure."""

import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

from kimi_agent.workspace.testrun.reports.closing_line_table import CLOSING_LINES, Says
from kimi_agent.workspace.testrun.reports.failure_excerpt import MAX_EXCERPT_LINE_CHARS, strip_escapes

MAX_CLOSING_LINES = 40
"""A summary stands at the end; what tests print stands before it."""


@dataclass(frozen=True)
class ClosingLines:
    """What was said last: that something failed, that nothing ran, that something passed; "" for what was not."""

    failed: str = ""
    nothing_ran: str = ""
    passed: str = ""


def read_closing_lines(lines: Iterable[str]) -> ClosingLines:
    """What the last `MAX_CLOSING_LINES` lines that are not blank say, by the table of the runners' summaries.

    Of several runs in one (a chain, a workspace) that one failed counts, whatever the others say; that nothing ran
    counts only where no other says that something passed.
    """
    last: deque[str] = deque(maxlen=MAX_CLOSING_LINES)
    # What a carriage return overwrites is not seen by a person either.
    seen = (strip_escapes(line.rstrip("\r\n").rpartition("\r")[2]).rstrip() for line in lines)
    last.extend(line[:MAX_EXCERPT_LINE_CHARS] for line in seen if line)
    text = "\n".join(last)
    passed = _last_line("passed", text)
    return ClosingLines(_last_line("failed", text), "" if passed else _last_line("nothing ran", text), passed)


def _last_line(says: Says, text: str) -> str:
    last = deque(re.finditer(_ANY_OF[says], text, re.MULTILINE), maxlen=1)
    return last[0][0].replace("\n", ", ").strip() if last else ""


def _any_of(says: Says) -> str:
    """All rows of one kind as one expression: a hundred on their own take ten times as long."""
    # A group's name may stand in an expression only once.
    patterns = (
        re.sub(r"\(\?P(<|=)(\w+)", rf"(?P\g<1>\g<2>_{number}", row.pattern)
        for number, row in enumerate(CLOSING_LINES)
        if row.says == says
    )
    return f"^(?:{'|'.join(f'(?:{each})' for each in patterns)})$"


_ANY_OF: Mapping[Says, str] = {says: _any_of(says) for says in get_args(Says)}
