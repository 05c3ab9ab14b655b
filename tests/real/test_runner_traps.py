"""The trap matrix: real test runners in situations that are easily misread, through the whole program.

Needs the package indexes the first time: `python -m pytest tests/real/test_runner_traps.py -m real -s -k pytest-`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.fork_server import ForkServer
from tests.real.runner_traps.harness import load_cells, play_cell, wrong_with
from tests.real.runner_traps.installed import NotHere, install
from tests.real.runner_traps.traps import Cell

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    running = ForkServer(timeout_s=600)
    yield running
    running.close()


@pytest.mark.parametrize("cell", load_cells(), ids=lambda cell: cell.name)
def test_the_word_of_the_harness_is_right(
    cell: Cell, server: ForkServer, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("cell", (cell.runner, cell.trap))
    try:
        installed = install(cell.tools)
    except NotHere as why:
        record_property("not here", str(why))
        pytest.skip(f"not here: {why}")
    played = play_cell(cell, installed, server, tmp_path)
    if wrong := wrong_with(cell, played):
        pytest.fail(f"{cell.name}: {'; '.join(wrong)}\n{played}", pytrace=False)
