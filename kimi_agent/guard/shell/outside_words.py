"""Finder of the words of a simple command that lead out of the allowed folders when they are taken as paths."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from kimi_agent.guard.shell.command_options import read_command

_DEVICES = frozenset({"/dev/null", "/dev/stdin", "/dev/stdout", "/dev/stderr"})


def find_outside_words(words: tuple[str, ...], *, folder: Path, roots: Sequence[str], home: str) -> list[str]:
    """The arguments that name a file outside of `roots`, as the command would find it from `folder`, links followed.

    `roots` are real paths. What a known command reads as text, a pattern or a message, is no path; any word of an
    unknown one may be.
    """
    places = [root.rstrip("/") + "/" for root in roots]
    return [
        argument.word
        for argument in read_command(words)
        if any(_leads_outside(path, folder, places, home) for path in argument.paths)
        or re.search(r"file:[^%]*%", argument.word, re.IGNORECASE)  # an address may spell `..` by its codes
    ]


def _leads_outside(path: str, folder: Path, places: Sequence[str], home: str) -> bool:
    if path in _DEVICES:
        return False
    if path.startswith("~"):
        user, _, below = path[1:].partition("/")
        if user:
            return True
        path = os.path.join(home, below)
    try:
        real = os.path.realpath(os.path.join(folder, path))
    except ValueError:  # a NUL or a lone surrogate: no path at all, or one that we cannot follow
        return True
    return not any(f"{real}/".startswith(place) for place in places)
