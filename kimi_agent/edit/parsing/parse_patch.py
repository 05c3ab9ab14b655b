"""Patch parser: reads V4A or unified diff, whatever it was sent in.

Which dialect was meant is read from the text, never asked of the caller: models mix them.
"""

import re

from kimi_agent.edit.parsing import unified, v4a
from kimi_agent.edit.parsing.hunks import UNIFIED_EXAMPLE, V4A_EXAMPLE
from kimi_agent.edit.patch import PatchSection
from kimi_agent.errors import ToolError

MAX_WRAPS = 4  # a heredoc in a fence, and the same once more
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1\s*$")


def parse_patch(patch: str) -> tuple[PatchSection, ...]:
    """The sections of `patch`, V4A or unified diff.

    Raises ToolError: no_patch where it is neither, parse with the line at fault, truncated where its end is cut off.
    """
    lines, closed = unwrap_patch(patch)
    begin = v4a.find_v4a_begin(lines)
    if begin is not None and not unified.has_header_before(lines, begin):
        if v4a.has_v4a_sections(lines, begin) or not unified.has_header_before(lines, len(lines)):
            return v4a.parse_v4a(lines, begin, whole=closed or patch.endswith("\n"))
        closed = closed or any(line.strip() == v4a.END for line in lines)
        lines = ["" if line.strip() in v4a.V4A_MARKERS else line for line in lines]
    if unified.has_header_before(lines, len(lines)):
        return unified.parse_unified_diff(lines, whole=closed or patch.endswith("\n"))
    why = "this is neither a V4A patch nor a unified diff; nothing was changed"
    mend = f"send one of these forms:\n{V4A_EXAMPLE}\nor\n{UNIFIED_EXAMPLE}"
    raise ToolError("no_patch", why, mend)


def unwrap_patch(patch: str) -> tuple[list[str], bool]:
    """The lines of a patch without what it was sent in, and whether that closing fence or heredoc word was there."""
    lines = patch.split("\n")
    if not lines[-1]:
        lines.pop()
    for depth in range(MAX_WRAPS):
        lines[:1] = [line.removeprefix("\ufeff") for line in lines[:1]]
        if lines and all(line.endswith("\r") for line in (lines[:-1] or lines)):
            lines = [line.removesuffix("\r") for line in lines]
        inside = _unwrapped(lines)
        if inside is None:
            return lines, depth > 0
        lines = inside
    return lines, True


def _unwrapped(lines: list[str]) -> list[str] | None:
    """What a fence or heredoc around the patch holds, None where there is none."""
    last = next((place for place in reversed(range(len(lines))) if lines[place].strip()), -1)
    for place, line in enumerate(lines[: max(0, last)]):
        heredoc = _HEREDOC.search(line)
        fence = line.strip().startswith("```")
        word = "```" if fence else heredoc[2] if heredoc else ""
        if word and lines[last].strip() == word:
            return lines[place + 1 : last]
        if line.strip() and not fence and line[:1] in "*-+@":
            break
    return None
