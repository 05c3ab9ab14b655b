"""Patch values (sections of files, their hunks, their lines), and the parser that takes V4A or unified diff.

Which dialect was meant is read from the text, never asked of the caller: models mix them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from kimi_agent.errors import ToolError

V4A_EXAMPLE = "*** Begin Patch\n*** Update File: path\n@@ def name\n context\n-old\n+new\n*** End Patch"
UNIFIED_EXAMPLE = "--- a/path\n+++ b/path\n@@ -1,2 +1,2 @@\n context\n-old\n+new"


@dataclass(frozen=True)
class HunkLine:
    """One line of a hunk: `op` is " ", "-" or "+"; `bare` says that it stands without a newline at the file's end."""

    op: str
    text: str
    number: int
    bare: bool = False


@dataclass(frozen=True)
class Hunk:
    """Lines that stand together. `at` is its line in the patch, `anchors` the texts of its `@@` lines.

    `declared` is where it says it begins (0-based line of the old file), None where it does not say or its counts
    were wrong (`numbered` still tells that it tried); `at_end` pins it to the end of the file. `literal` says that it
    shows carriage returns; then they are compared and written as they stand.
    """

    number: int
    at: int
    lines: tuple[HunkLine, ...]
    anchors: tuple[str, ...] = ()
    declared: int | None = None
    numbered: bool = False
    at_end: bool = False
    literal: bool = False

    @cached_property
    def old(self) -> tuple[str, ...]:
        """What must stand in the file."""
        return tuple(line.text for line in self.lines if line.op != "+")

    @cached_property
    def new(self) -> tuple[str, ...]:
        """What stands there afterwards."""
        return tuple(line.text for line in self.lines if line.op != "-")

    @cached_property
    def head(self) -> int:
        """How many context lines come first."""
        return next((place for place, line in enumerate(self.lines) if line.op != " "), len(self.lines))

    @cached_property
    def tail(self) -> int:
        """How many context lines come last (those of a hunk without changes all come first)."""
        return next((place for place, line in enumerate(reversed(self.lines)) if line.op != " "), 0)

    def without_blank_tail(self) -> "Hunk":
        """Without blank context lines at its end: they may only separate it from the next header."""
        kept = len(self.lines)
        while kept and self.lines[kept - 1].op == " " and not self.lines[kept - 1].text.strip("\r"):
            kept -= 1
        return self if kept == len(self.lines) else replace(self, lines=self.lines[:kept])


@dataclass(frozen=True)
class PatchSection:
    """What is to happen to one file. `paths` are its possible spellings, the likeliest first.

    `create` makes it of the + lines of its hunk, `delete` removes it (with a hunk: only if that is all it holds),
    `update` changes it, moves it to `move_to` and gives it `mode` (0o644 or 0o755) where these are set. `at_once` says
    that the file is meant as it was before the patch, so that files can change places: the renames of git.
    """

    action: Literal["create", "update", "delete"]
    paths: tuple[str, ...]
    at: int
    hunks: tuple[Hunk, ...] = ()
    move_to: str = ""
    mode: int | None = None
    at_once: bool = False


def parse_patch(patch: str) -> tuple[PatchSection, ...]:
    """The sections of `patch`, V4A or unified diff.

    Raises ToolError: no_patch where it is neither, parse with the line at fault, truncated where its end is cut off.
    """
    from kimi_agent.edit.parsing import unified, v4a

    lines, closed = unwrap_patch(patch)
    begin = v4a.find_v4a_begin(lines)
    if begin is not None and not unified.has_header_before(lines, begin):
        if v4a.has_v4a_sections(lines, begin) or not unified.has_header_before(lines, len(lines)):
            return v4a.parse_v4a(lines, begin, whole=closed or patch.endswith("\n"))
        closed = closed or any(line.strip() == v4a.END for line in lines)
        lines = ["" if line.strip() in v4a.V4A_MARKERS else line for line in lines]
    if unified.has_header_before(lines, len(lines)):
        return unified.parse_unified_diff(lines, whole=closed or patch.endswith("\n"))
    raise ToolError(
        "no_patch",
        "this is neither a V4A patch nor a unified diff; nothing was changed",
        f"send one of these forms:\n{V4A_EXAMPLE}\nor\n{UNIFIED_EXAMPLE}",
    )


MAX_WRAPS = 4  # a heredoc in a fence, and the same once more
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1\s*$")


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


def patch_syntax_error(number: int, line: str, expected: str, example: str) -> ToolError:
    """The error for line `number` (0-based) of a patch, with what may stand there."""
    shown = line if len(line) <= 120 else line[:119] + "…"
    return ToolError(
        "parse",
        f"line {number + 1} of the patch: {shown!r}; {expected}. Nothing was changed",
        f"the smallest valid form:\n{example}",
    )


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
