"""Hunk builder that both patch dialects share: `@@` lines, hunks, and the error for a line out of place."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kimi_agent.edit.patch import Hunk, HunkLine
from kimi_agent.errors import ToolError

V4A_EXAMPLE = "*** Begin Patch\n*** Update File: path\n@@ def name\n context\n-old\n+new\n*** End Patch"
UNIFIED_EXAMPLE = "--- a/path\n+++ b/path\n@@ -1,2 +1,2 @@\n context\n-old\n+new"


def patch_syntax_error(number: int, line: str, expected: str, example: str) -> ToolError:
    """The error for line `number` (0-based) of a patch, with what may stand there."""
    shown = line if len(line) <= 120 else line[:119] + "…"
    why = f"line {number + 1} of the patch: {shown!r}; {expected}. Nothing was changed"
    mend = f"the smallest valid form:\n{example}"
    return ToolError("parse", why, mend)


_NUMBERS = re.compile(r"@@+ *-(\d{1,9})(?:,(\d{1,9}))? +\+(\d{1,9})(?:,(\d{1,9}))?\s*(?:@@.*)?$")


@dataclass(frozen=True)
class HunkHeader:
    """A line that starts with @@: its numbers (old start, old count, new count), or its text."""

    start: int = 0
    old: int = 0
    new: int = 0
    numbered: bool = False
    anchor: str = ""


def parse_hunk_header(line: str) -> HunkHeader:
    """Read an @@ line."""
    found = _NUMBERS.match(line)
    if found:
        return HunkHeader(int(found[1]), int(found[2] or 1), int(found[4] or 1), numbered=True)
    text = line.rstrip().lstrip("@").removeprefix(" ").removesuffix("@@").rstrip()
    return HunkHeader(anchor="" if text.strip() in ("", "...", "…") else text)


def build_hunk(
    number: int,
    at: int,
    lines: Sequence[HunkLine],
    head: HunkHeader,
    *,
    anchors: Sequence[str] = (),
    at_end: bool = False,
) -> Hunk:
    """A hunk of what was read. It says where it begins only if it has as many lines as its header counts."""
    old = sum(line.op != "+" for line in lines)
    counted = head.numbered and old == head.old and sum(line.op != "-" for line in lines) == head.new
    start = max(0, head.start - 1) if old else head.start
    return Hunk(
        number,
        at,
        tuple(lines),
        tuple(anchors),
        start if counted else None,
        numbered=head.numbered,
        at_end=at_end or any(line.bare for line in lines),
        literal=any(line.text.endswith("\r") for line in lines),
    )
