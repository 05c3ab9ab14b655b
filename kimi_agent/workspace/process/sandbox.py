"""The one place where the OS sandbox stands: what a command line becomes before it is started."""

from collections.abc import Callable, Sequence

Wrap = Callable[[Sequence[str]], Sequence[str]]
"""Gives the argument vector that runs the given one confined; both begin with an absolute path."""


def unconfined(argv: Sequence[str]) -> Sequence[str]:
    """No sandbox: the command runs with the rights of the user."""
    return argv
