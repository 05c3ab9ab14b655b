"""What much output costs: measured in a process of its own, against its own peak before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kimi_agent.workspace.process import process_tree

MEASURE = """
import asyncio, os, resource, sys
from pathlib import Path
from tests.builders import make_runner
def peak():
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would hold the peak of the test process too: Linux carries it over an exec
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
async def main(root, state, command):
    runner = make_runner(root, state)
    await runner.shell("seq 1000", timeout_s=60)
    before = peak()
    done = await runner.shell(command, timeout_s=60)
    assert len(done.text) < 29_000, len(done.text)
    print(peak() - before, done.total_bytes, done.cut_off)
    await runner.aclose()
asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
"""


@pytest.mark.long
@pytest.mark.parametrize(
    "command",
    [
        "yes | head -c 1G",
        "head -c 1G /dev/zero | tr '\\0' x",  # one line without end
        "head -c 1G /dev/zero | tr '\\0' '\\r'",
        "printf '\\033]0;'; head -c 1G /dev/zero | tr '\\0' x",  # an escape sequence without end
    ],
)
def test_a_gigabyte_of_output_costs_under_30_mb(workspace: Path, tmp_path: Path, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(workspace), str(tmp_path), command],
        env={**os.environ, "PYTHONPATH": str(Path(process_tree.__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )
    cost, total, cut_off = done.stdout.split()
    assert (cut_off, int(total) > 64 * 1024 * 1024) == ("True", True)
    assert int(cost) < 30_000_000
