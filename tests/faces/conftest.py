"""Terminals for the tests of the REPL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faces.terminal_driver import Terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Start the scripted REPL on a pty; whatever is left of it is ended with the test."""
    opened: list[Terminal] = []

    def start(*given: str, columns: int = 80, rows: int = 24, **environ: str) -> Terminal:
        state = tmp_path / "state of tests"
        state.mkdir(exist_ok=True)
        opened.append(Terminal(state, *given, columns=columns, rows=rows, cwd=None, program=(), **environ))
        return opened[-1]

    yield start
    for each in opened:
        each.close()
