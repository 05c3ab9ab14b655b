"""What `run_tests` costs on a project of 2,000 passing pytest tests, beside pytest itself in the same environment."""

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kimi_agent.workspace.testrun import ProjectTests
from tests.builders import make_files, make_runner

TESTS = 2_000
_FILES = 20
# A millisecond of work in each.
_TEST = "def test_{}():\n    assert sum(range(40_000)) > 0\n"


def write_project(root: Path) -> None:
    """A project of 20 files with 100 tests each."""
    root.mkdir()
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    for number in range(_FILES):
        (root / f"test_m{number}.py").write_text("".join(_TEST.format(each) for each in range(TESTS // _FILES)))


def run_costs(row: Callable[[str, str, str, str], None], scratch: Path, runs: int) -> None:
    """The report's row: the medians of both, run in turn, in CPU seconds of us and of the children."""
    root = scratch / "many_tests"
    write_project(root)
    ours, floor = [], []
    for _ in range(runs):
        floor.append(_cpu(lambda: _run_pytest(root)))
        ours.append(_cpu(lambda: asyncio.run(_run_tests(root, scratch))))
    cost, least = statistics.median(ours), statistics.median(floor)
    row(f"run_tests, {TESTS:,} pytest tests", f"{cost:.2f} s = {cost / least:.2f} x", "1.05 x", f"pytest {least:.2f} s")


def _cpu(run: Callable[[], object]) -> float:
    def spent() -> float:
        us, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return us.ru_utime + us.ru_stime + children.ru_utime + children.ru_stime

    before = spent()
    run()
    return spent() - before


def _run_pytest(root: Path) -> None:
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-m", "pytest"], cwd=root, env=env, stdout=subprocess.DEVNULL, check=True)


async def _run_tests(root: Path, scratch: Path) -> None:
    state = scratch / f"state {time.monotonic_ns()}"
    files = make_files(root, state)
    runner = make_runner(root, state, outputs=files.outputs)
    report = await ProjectTests(files, runner, python=sys.executable).run()
    await runner.aclose()
    assert (report.verdict, report.count("passed")) == ("passed", TESTS), report.trouble
