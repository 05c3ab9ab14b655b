"""The OS sandbox: turns a command line into the one that runs it confined (today: unchanged)."""

from collections.abc import Callable, Sequence

WrapCommand = Callable[[Sequence[str]], Sequence[str]]
"""Gives the argument vector that runs the given one confined; both begin with an absolute path."""


def no_sandbox(argv: Sequence[str]) -> Sequence[str]:
    """No sandbox: the command runs with the rights of the user."""
    return argv
