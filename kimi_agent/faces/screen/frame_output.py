"""Terminal output under the screen: writes one frame as one piece, and as few bytes as do."""

import os
from collections.abc import Callable, Sequence
from typing import TextIO

from prompt_toolkit.data_structures import Size
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.styles import Attrs

_SMALL_FRAME = 200
"""Characters; a bigger frame hides the cursor while it is drawn."""


class FrameOutput(Vt100_Output):
    """prompt-toolkit's terminal output, which writes as little and as seldom as it can.

    While `held`, nothing is written, so that erasing, new scrollback and the redrawn rows leave in one write. Modes
    that are switched off and on again within a frame are not written at all; the terminal is never asked for anything;
    and without `colour` no style is written. A terminal that is gone calls `gone` once.
    """

    def __init__(self, stdout: TextIO, term: str, *, colour: bool, gone: Callable[[], None]) -> None:
        super().__init__(stdout, self._size, term=term, default_color_depth=ColorDepth.DEPTH_4_BIT, enable_cpr=False)
        self.held = False
        self._colour = colour
        self._gone = gone
        self._paste = self._paste_wanted = False
        self._cursor = self._cursor_wanted = True
        self._wraps = True
        self._style = ""
        self._alive = True

    def _size(self) -> Size:
        try:
            columns, rows = os.get_terminal_size(self.stdout.fileno())
        except (OSError, ValueError):
            columns, rows = 0, 0
        return Size(rows=rows or 24, columns=columns or 80)

    def flush(self) -> None:
        if self.held or not self._alive:
            return
        data = "".join(self._buffer)
        self._buffer = []
        if self._paste != self._paste_wanted:
            data += "\x1b[?2004h" if self._paste_wanted else "\x1b[?2004l"
            self._paste = self._paste_wanted
        if self._cursor and len(data) > _SMALL_FRAME:
            data = "\x1b[?25l" + data
            self._cursor = False
        if self._cursor != self._cursor_wanted:
            data += "\x1b[?25h" if self._cursor_wanted else "\x1b[?25l"
            self._cursor = self._cursor_wanted
        if data:
            self._write(data.encode(self.stdout.encoding or "utf-8", "replace"))

    def _write(self, data: bytes) -> None:
        fd = self.stdout.fileno()
        try:
            while data:
                try:
                    data = data[os.write(fd, data) :]
                except BlockingIOError:  # a child may have left the shared terminal non-blocking
                    os.set_blocking(fd, True)
        except OSError:
            self._alive = False
            self._gone()

    def enable_bracketed_paste(self) -> None:
        self._paste_wanted = True

    def disable_bracketed_paste(self) -> None:
        self._paste_wanted = False

    def hide_cursor(self) -> None:
        self._cursor_wanted = False

    def show_cursor(self) -> None:
        self._cursor_wanted = True

    def disable_autowrap(self) -> None:
        if self._wraps:
            self._wraps = False
            super().disable_autowrap()

    def enable_autowrap(self) -> None:
        """Put off until `write_rows` or `restore` needs it: the library switches it for each frame."""

    def reset_attributes(self) -> None:
        self._set_style("\x1b[0m")

    def set_attributes(self, attrs: Attrs, color_depth: ColorDepth) -> None:
        self._set_style(self._escape_code_caches[color_depth][attrs])

    def _set_style(self, code: str) -> None:
        if self._colour and code != self._style:
            self._style = code
            self.write_raw(code)

    def write_rows(self, rows: Sequence[str]) -> None:
        """Rows for the scrollback; long ones wrap."""
        self.reset_attributes()
        self._wrap()
        self.write_raw("\r\n".join(rows) + "\r\n")

    def restore(self) -> None:
        """Leave the terminal as others expect it."""
        self.reset_attributes()
        self._wrap()
        self.disable_bracketed_paste()
        self.show_cursor()
        self.flush()

    def _wrap(self) -> None:
        if not self._wraps:
            self._wraps = True
            super().enable_autowrap()
