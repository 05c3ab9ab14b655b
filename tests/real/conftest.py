"""The trap matrix at the end of a run: a row for each runner, a column for each trap."""

from typing import Any

from tests.real.runner_traps.traps import TRAPS


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what became of each cell: right, WRONG, or not here with the reason."""
    marks: dict[tuple[str, str], str] = {}
    absent: dict[str, str] = {}
    for outcome in ("skipped", "passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            known = dict(getattr(report, "user_properties", ()))
            if cell := known.get("cell"):
                runner, trap = cell
                marks[runner, trap] = {"passed": marks.get((runner, trap), "ok"), "skipped": "-"}.get(outcome, "WRONG")
                if why := known.get("not here"):
                    absent[runner] = why
    if not marks:
        return
    terminalreporter.section("runner x trap")
    runners = sorted({runner for runner, _ in marks})
    width = max(map(len, runners))
    for runner in runners:
        row = " ".join(marks.get((runner, trap), "").center(len(trap)) for trap in TRAPS)
        terminalreporter.write_line(f"{runner.ljust(width)}  {row}  {absent.get(runner, '')}".rstrip())
    terminalreporter.write_line(f"{' ' * width}  {' '.join(TRAPS)}")
