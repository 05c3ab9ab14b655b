"""Markdown stream: draws each block once, when it is finished, and shows the unfinished rest as plain text.

A top-level block is finished when the next one has begun, so nothing that was drawn ever changes; long fences are
drawn in pieces, with one state of the highlighter. A cheap look at each line says when a new block may have begun;
where one ends is decided by the parser alone. Text is sanitised line by line: a line is the unit that no delta can
tear.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kimi_agent.faces.render.highlight import Highlighter
from kimi_agent.faces.sanitize import sanitize
from kimi_agent.faces.theme import Theme

if TYPE_CHECKING:
    from kimi_agent.faces.render.markdown_block import MarkdownRenderer

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_ITEM = re.compile(r" {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)")
_FENCE_PIECE = 40
"""Lines of an open fence that are drawn together; a multi-line comment within a piece keeps its colour."""


@dataclass(frozen=True)
class RenderedBlock:
    """A finished part: its source, and the rows it was drawn as."""

    source: str
    rows: tuple[str, ...]


@dataclass
class _Fence:
    """The open top-level fence: its closing line, how far it is indented, its colours."""

    close: re.Pattern[str]
    indent: int
    colours: Highlighter


class MarkdownStream:
    """Takes the deltas of one text and gives its finished blocks; joined with `tail`, their sources are the whole text.

    `width` is asked when a block is drawn, in cells.
    """

    def __init__(self, theme: Theme, width: Callable[[], int]) -> None:
        self._theme = theme
        self._width = width
        self._rest: list[str] = []  # the deltas of the line that has no end yet
        self._lines: list[str] = []
        self._fence: _Fence | None = None
        self._patience = 0
        self._drawer: MarkdownRenderer | None = None
        self._begun = False

    @property
    def tail(self) -> str:
        """What is not finished yet, as clean text."""
        return "".join(self._lines) + sanitize("".join(self._rest))

    @property
    def in_code(self) -> bool:
        """Whether the text goes on within a fence."""
        return self._fence is not None

    def last(self, lines: int, characters: int) -> str:
        """The end of `tail`, at a cost that does not grow with it."""
        rest: list[str] = []
        missing = characters
        for piece in reversed(self._rest):
            if missing <= 0:
                break
            rest.append(piece)
            missing -= len(piece)
        return ("".join(self._lines[-lines:]) + sanitize("".join(reversed(rest))))[-characters:]

    def feed(self, text: str) -> list[RenderedBlock]:
        """The blocks that `text` has finished."""
        self._rest.append(text)
        if "\n" not in text:
            return []
        *complete, rest = "".join(self._rest).split("\n")
        self._rest = [rest]
        blocks: list[RenderedBlock] = []
        for line in complete:
            blocks += self._take(sanitize(line + "\n"))
        return blocks

    def finish(self) -> list[RenderedBlock]:
        """The blocks that were still open; the stream starts anew behind them."""
        rest = sanitize("".join(self._rest))
        blocks = self._take(rest) if rest else []
        if self._fence:
            blocks += self._fence_lines(len(self._lines))
        elif self._lines:
            blocks.append(self._draw(len(self._lines)))
        self._rest, self._fence, self._patience, self._begun = [], None, 0, False
        return blocks

    def _take(self, line: str) -> list[RenderedBlock]:
        if self._fence:
            return self._in_fence(line)
        may_begin = self._may_begin(line)
        self._lines.append(line)
        return self._split() if may_begin else []

    def _may_begin(self, line: str) -> bool:
        """Whether a new block may begin with this line, as far as it is worth asking the parser."""
        if not line.strip():
            return False
        if line[0] in "`~" and _FENCE.match(line):
            return True
        if not self._lines or len(self._lines) < self._patience:
            return False
        if line[0] == "#" or _FENCE.match(line):
            return True
        in_list = bool(_ITEM.match(self._lines[0]))
        return not self._lines[-1].strip() and not line[0].isspace() and not (in_list and _ITEM.match(line))

    def _split(self) -> list[RenderedBlock]:
        """Draw every block but the last, and enter a fence if the last line opened one."""
        starts = self._parser().starts("".join(self._lines))
        if not starts:
            return []
        at, kind, info = starts[-1]
        blocks: list[RenderedBlock] = []
        if at > 0:
            blocks.append(self._draw(at))
            self._patience = 0
        else:  # a long block with empty lines in it: ask again when it has doubled, so that the cost stays linear
            self._patience = 2 * len(self._lines)
        if kind == "fence" and len(self._lines) == 1:
            blocks += self._open_fence(self._lines.pop(), info)
        return blocks

    def _open_fence(self, line: str, info: str) -> list[RenderedBlock]:
        match = _FENCE.match(line)
        assert match is not None
        mark = match.group(1)
        close = re.compile(rf" {{0,3}}{re.escape(mark[0])}{{{len(mark)},}}[ \t]*$")
        language = info.split()[0] if info.split() else ""
        self._fence = _Fence(close, match.start(1), Highlighter(language, self._theme))
        return [RenderedBlock(line, self._spaced())]

    def _in_fence(self, line: str) -> list[RenderedBlock]:
        fence = self._fence
        assert fence is not None
        if fence.close.match(line):
            blocks = self._fence_lines(len(self._lines))
            self._fence = None
            return [*blocks, RenderedBlock(line, ())]
        self._lines.append(line)
        if len(self._lines) < _FENCE_PIECE:
            return []
        empty = [at for at, each in enumerate(self._lines, 1) if not each.strip()]
        return self._fence_lines(empty[-1] if empty else len(self._lines))

    def _fence_lines(self, count: int) -> list[RenderedBlock]:
        if not count or not self._fence:
            return []
        source = "".join(self._take_lines(count))
        indent = re.compile(f"(?m)^ {{0,{self._fence.indent}}}")
        code = indent.sub("", source).removesuffix("\n").expandtabs(4)
        return [RenderedBlock(source, tuple(f"  {row}".rstrip(" ") for row in self._fence.colours.lines(code)))]

    def _draw(self, count: int) -> RenderedBlock:
        source = "".join(self._take_lines(count))
        rows = self._parser().rows(source, self._width())
        return RenderedBlock(source, (*self._spaced(), *rows) if rows else ())

    def _take_lines(self, count: int) -> list[str]:
        taken, self._lines = self._lines[:count], self._lines[count:]
        return taken

    def _spaced(self) -> tuple[str, ...]:
        """The empty row between two blocks."""
        begun, self._begun = self._begun, True
        return ("",) if begun else ()

    def _parser(self) -> MarkdownRenderer:
        if self._drawer is None:
            from kimi_agent.faces.render.markdown_block import MarkdownRenderer

            self._drawer = MarkdownRenderer(self._theme)
        return self._drawer
