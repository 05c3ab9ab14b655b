"""Closing lines reader: what a test runner's last lines say where nothing but its exit code is known. Pure."""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

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
    found: dict[Says, str] = {}
    ends: dict[Says, int] = {}
    for row in CLOSING_LINES:
        for hit in re.finditer(rf"^(?:{row.pattern})$", text, re.MULTILINE):
            if hit.end() > ends.get(row.says, -1):
                ends[row.says] = hit.end()
                found[row.says] = hit[0].replace("\n", ", ").strip()
    passed = found.get("passed", "")
    return ClosingLines(found.get("failed", ""), "" if passed else found.get("nothing ran", ""), passed)
