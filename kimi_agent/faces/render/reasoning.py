"""Reasoning stream: the model's reasoning as it arrives, as dim rows beside a bar, a line at a time."""

from collections.abc import Callable, Sequence

from kimi_agent.faces.sanitize import sanitize, wrap_line
from kimi_agent.faces.theme import Theme


class ReasoningStream:
    """The reasoning of one answer after another. `open` is True while it streams, `any` once some of it came."""

    def __init__(self, theme: Theme, width: Callable[[], int]) -> None:
        self._theme = theme
        self._width = width
        self._line = ""
        self.open = False
        self.any = False

    def feed(self, text: str) -> list[str]:
        """The rows of the lines that `text` finished."""
        self.open = self.any = True
        *lines, self._line = (self._line + text).split("\n")
        return self._drawn(lines)

    def close(self) -> list[str]:
        """The rows of what was not finished; what comes next is something else."""
        rows = self._drawn([self._line]) if self.open else []
        self.drop()
        return rows

    def drop(self) -> None:
        """What was not drawn yet is never drawn."""
        self._line, self.open = "", False

    def last(self, rows: int) -> list[str]:
        """At most `rows` rows of the line that is not finished, without style."""
        room = self._width()
        if not self.open or not self._line.strip():
            return []
        kept = wrap_line(sanitize(self._line[-rows * room :]).expandtabs(4), room - 2)
        return [f"{self._theme.glyphs.bar} {row}" for row in kept[-rows:]]

    def _drawn(self, lines: Sequence[str]) -> list[str]:
        return [
            self._theme("dim", f"{self._theme.glyphs.bar} {row}")
            for line in map(sanitize, lines)
            if line.strip()
            for row in wrap_line(line.expandtabs(4), self._width() - 2)
        ]
