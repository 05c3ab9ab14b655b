"""What snapshots of a tree of 20,000 files cost, beside `git status` on the same tree. Medians of wall time."""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from kimi_agent.workspace.checkpoint import Checkpoints

FILES = 20_000
_PER_FOLDER = 50
_GIT = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_OPTIONAL_LOCKS": "0"}


def tree(folder: Path, files: int) -> None:
    """A repository with so many small files in it, none committed; all old enough that git trusts their times."""
    old = time.time() - 100
    for number in range(files // _PER_FOLDER):
        below = folder / f"package{number // 20}" / f"module{number}"
        below.mkdir(parents=True)
        for name in range(_PER_FOLDER):
            path = below / f"file_{name}.py"
            path.write_text(f"# {number} {name}\n" + "value = compute(1, 2, 3)\n" * 40)
            os.utime(path, (old, old))


def seconds(what: Callable[[], object], runs: int = 1) -> float:
    """The median wall time of a call."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        what()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def snapshots(row: Callable[[str, str, str, str], None], env: Mapping[str, str], scratch: Path, runs: int) -> None:
    """One row each: the first snapshot, nothing changed, one file changed, the first of a new process, a comparison."""
    work = scratch / "big"
    tree(work, FILES)
    plain = {**env, **_GIT}

    def git(*args: str) -> None:
        subprocess.run(["git", *args], cwd=work, env=plain, check=True, stdout=subprocess.DEVNULL)

    git("init", "-q")
    adding = seconds(lambda: git("add", "-A"))
    store = scratch / "snapshots"
    checkpoints = Checkpoints(work, store, environ=env)
    first = seconds(checkpoints.take)
    time.sleep(2.1)  # what was kept in the second in which it changed is looked at again
    (work / "settled").write_text("so the index is younger than every file\n")
    git("add", "-A")
    checkpoints.take()
    time.sleep(2.1)
    checkpoints.take()
    status = seconds(lambda: git("status", "--porcelain"), runs)
    floor = f"git status {status * 1000:.0f} ms"
    row(f"snapshot of {FILES:,} files, the first", f"{first:.1f} s", "10 s", f"git add -A {adding:.1f} s")
    row("  nothing changed", f"{seconds(checkpoints.take, runs) * 1000:.0f} ms", "80 ms", floor)
    count = 0

    def change() -> None:
        nonlocal count
        count += 1
        (work / "package3" / "module60" / "file_7.py").write_text(f"changed {count} times\n" * count)

    changed = []
    for _ in range(runs):
        change()
        changed.append(seconds(checkpoints.take))
    row("  one file changed", f"{statistics.median(changed) * 1000:.0f} ms", "150 ms", floor)
    started = seconds(lambda: Checkpoints(work, store, environ=env).take(), runs)
    row("  nothing changed, in a new process", f"{started * 1000:.0f} ms", "400 ms", floor)
    trees = checkpoints.take().tree
    change()
    newer = checkpoints.take().tree
    compared = seconds(lambda: checkpoints.changes(trees, newer), runs)
    row("  two of them compared", f"{compared * 1000:.1f} ms", "20 ms", "-")
    row("  bytes of the store", f"{checkpoints.store_bytes / 1e6:.1f} MB", "20 MB", "-")
    checkpoints.close()


def main() -> None:
    def row(what: str, value: str, budget: str, floor: str) -> None:
        print(f"{what:<44} {value:>26}   budget {budget:<22} floor {floor}", flush=True)

    with tempfile.TemporaryDirectory() as name:
        snapshots(row, dict(os.environ), Path(name), runs=5)


if __name__ == "__main__":
    main()
