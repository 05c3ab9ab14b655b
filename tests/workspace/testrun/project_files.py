"""Project files for tests of test runners: written into a workspace, or unfolded from a recorded run."""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kimi_agent.log.views import TestReport
from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport, Target, TestSelection
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.registry import list_runners
from kimi_agent.workspace.testrun.runner import RunResult

RUNNERS = {runner.name: runner for runner in list_runners({})}
RECORDED = Path(__file__).parent / "recorded"


def put(root: Path, files: Mapping[str, str]) -> None:
    """Write the files, with the folders that they need."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def selection(root: Path, *targets: str, name: str = "") -> TestSelection:
    """The selection of targets such as "tests/test_a.py::test_b"."""
    parts = [target.partition("::") for target in targets]
    return TestSelection(tuple(Target(root / path if path else root, node) for path, _, node in parts), name)


def outcomes(report: TestReport | ParsedReport) -> dict[str, str]:
    """Outcomes by id."""
    return {case.id: case.outcome for case in report.cases}


def unfold(name: str, root: Path) -> dict[str, str]:
    """The parts of a recorded run, "@@@ NAME" before each: what was printed, the report, and the project's files."""
    text = (RECORDED / f"{name}.txt").read_bytes().decode().replace("@ROOT@", str(root))
    parts = re.split(r"^@@@ (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def expectation(name: str) -> dict[str, Any]:
    """What a recorded run is read as, and how: its runner, its exit code, what it was recorded on top of."""
    found: dict[str, Any] = json.loads((RECORDED / f"{name}.expected.json").read_text("utf-8"))
    return found


def read_recorded(
    name: str,
    context: Context,
    tmp_path: Path,
    *,
    below: str = "",
    name_filter: str = "",
    exit_code: int | None = -1,
    edit: Callable[[str], str] = str,
    leave_out: str = "",
) -> tuple[ParsedReport, list[str]]:
    """What a recorded run is read as, and the lines that it printed.

    `edit` changes what was printed and the report; files of the project whose path holds `leave_out` are not there;
    `exit_code` is the recorded one by default.
    """
    recorded = expectation(name)
    folder = context.files.root / below
    parts: dict[str, str] = {}
    for each in (*recorded.get("on", ()), name):
        parts |= unfold(each, folder)
    report = tmp_path / "run" / "report"
    put(report.parent, {"began": ""})
    os.utime(report.with_name("began"), ns=(1_000, 1_000))
    lines = edit(parts.pop("output", "")).split("\n")
    if "report" in parts:
        put(report.parent, {"report": edit(parts.pop("report"))})
    for path, text in parts.items():
        if not leave_out or leave_out not in path:
            put(report.parent if path.startswith(("trx/", "tap/")) else folder, {path: text})
    place, wanted = ProjectFolder(context.files, folder), TestSelection(name=name_filter)
    code = recorded["exit_code"] if exit_code == -1 else exit_code
    run = RunResult(code, lines, report, context.files.root, place, wanted)
    return RUNNERS[recorded["runner"]].read(run), lines


def left(
    context: Context, tmp_path: Path, data: bytes | None, *, exit_code: int | None = 0, lines: str = ""
) -> RunResult:
    """A run that printed `lines` and left `data` wherever a runner looks for its report (None: nowhere)."""
    root, report = context.files.root, tmp_path / "run" / "report.xml"
    put(report.parent, {"began": ""})
    os.utime(report.with_name("began"), ns=(1, 1))
    places = [root / place / "TEST-a.xml" for place in ("target/surefire-reports", "build/test-results/test")]
    if data is not None:
        for path in (report, report.parent / "trx" / "a.trx", *places):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return RunResult(exit_code, lines.split("\n"), report, root, ProjectFolder(context.files, root))
