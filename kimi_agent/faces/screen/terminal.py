"""Terminal without a library: its modes (no echo, no line buffering), its width, its unread keys, whole writes."""

import os
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress

RESTORE_TERMINAL = b"\x1b[?2004l\x1b[?7h\x1b[?25h\x1b[0m\n"
"""No bracketed paste, lines that wrap, a cursor, plain letters: what a program that is ended at once leaves behind."""


@contextmanager
def cbreak_mode(fd: int) -> Iterator[None]:
    """From the very start, keys neither echo nor wait for a line: what is typed while we load belongs to the prompt.

    On the way out the terminal has the modes it had, whatever happened.
    """
    try:
        before = termios.tcgetattr(fd)
    except (termios.error, ValueError):
        yield
        return
    modes = list(before)
    modes[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR)
    modes[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(fd, termios.TCSANOW, modes)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def discard_typed_input(fd: int) -> None:
    """Throw away what was typed and not read yet."""
    with suppress(termios.error, ValueError):
        termios.tcflush(fd, termios.TCIFLUSH)


def terminal_columns() -> int:
    """The width of the terminal that stdout is, in cells; 80 where it is not known."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def write_to_terminal(fd: int, data: bytes) -> None:
    """Write all of `data`, in as many writes as it takes. Raises OSError where the terminal is gone."""
    while data:
        data = data[os.write(fd, data) :]
