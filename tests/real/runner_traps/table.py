"""The trap matrix as a Markdown table: a row for each runner that was run, and those written by documentation alone."""

from collections.abc import Iterable

from tests.real.runner_traps.traps import TRAPS, Cell


def matrix_table(cells: Iterable[Cell], by_documentation: Iterable[str]) -> str:
    """A tick where `make real` holds the verdict to be right, a dash where the runner cannot be in that situation."""
    held = {(cell.runner, cell.trap) for cell in cells}
    runners = sorted({runner for runner, _ in held}, key=str.lower)
    rows = [f"| runner | {' | '.join(TRAPS)} |", f"|---|{'---|' * len(TRAPS)}"]
    for runner in runners:
        ticks = ("✓" if (runner, trap) in held else "–" for trap in TRAPS)
        rows.append(f"| {runner} | {' | '.join(ticks)} |")
    unseen = ", ".join(sorted(by_documentation, key=str.lower))
    return "\n".join([*rows, *(["", f"Written by their documentation alone: {unseen}."] if unseen else [])])
