"""The README's table of runners and traps is that of the cells which `make real` runs."""

from tests.golden_texts import Golden
from tests.real.runner_traps.harness import load_by_documentation, load_cells
from tests.real.runner_traps.table import matrix_table


def test_the_table_holds_every_runner_and_trap(golden: Golden) -> None:
    golden(matrix_table(load_cells(), load_by_documentation()))


def test_at_least_25_runners_are_in_at_least_12_of_the_traps() -> None:
    traps: dict[str, set[str]] = {}
    for cell in load_cells():
        traps.setdefault(cell.runner, set()).add(cell.trap)
    assert sum(len(each) >= 12 for each in traps.values()) >= 25
