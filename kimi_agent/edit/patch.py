"""Patch values: the sections of files, their hunks, their lines."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal


@dataclass(frozen=True)
class HunkLine:
    """One line of a hunk: `op` is " ", "-" or "+"; `bare` says that it has no newline, at the file's end."""

    op: str
    text: str
    number: int
    bare: bool = False


@dataclass(frozen=True)
class Hunk:
    """Lines that stand together. `at` is its line in the patch, `anchors` the texts of its `@@` lines.

    `declared` is where its header says it begins (0-based line of the old file), None without numbers or with wrong
    counts (`numbered`: it has numbers, right or wrong); `at_end` fixes it to the end of the file. With `literal` its
    carriage returns are part of its lines, compared and written as they are.
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
