"""What it costs to find out how the tests of a repository of 100,000 files are run, beside a walk of all its names."""

import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from kimi_agent.workspace.testrun.choosing.project_map import ProjectMap
from kimi_agent.workspace.testrun.registry import list_runners
from tests.builders import make_files

FILES = 100_000
_FOLDERS, _PACKAGES = 2_000, 200


def write_repository(root: Path) -> None:
    """A Python project and a Go module at the top, 200 JavaScript packages below; 50 files in each of 2,000 folders."""
    for number in range(_FOLDERS):
        package = root / "packages" / f"p{number % _PACKAGES:03}"
        folder = package / f"src{number // _PACKAGES}"
        folder.mkdir(parents=True)
        for each in range(FILES // _FOLDERS):
            (folder / f"m{each}.js").touch()
        (package / "package.json").write_text(json.dumps({"name": package.name, "scripts": {"test": "node --test"}}))
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (root / "go.mod").write_text("module example.com/m\n")
    (root / "a_test.go").write_text("package m\n")


def detections(row: Callable[[str, str, str, str], None], scratch: Path, runs: int) -> None:
    """The report's row: the median of the time in which all projects are found, anew each time."""
    root = scratch / "many_files"
    write_repository(root)
    runners = list_runners({})  # loaded once in a program's life
    took, walked, found = [], [], 0
    for _ in range(runs):
        began = time.perf_counter()
        found = len(ProjectMap(make_files(root, scratch), runners).projects)
        ended = time.perf_counter()
        sum(len(names) for _, _, names in os.walk(root))
        took.append(ended - began)
        walked.append(time.perf_counter() - ended)
    cost, floor = statistics.median(took), statistics.median(walked)
    what = f"find the tests of {FILES:,} files ({found} projects)"
    row(what, f"{cost:.2f} s = {cost / floor:.1f} x", "0.3 s", f"os.walk {floor:.2f} s")
