"""The text of tox and nox: runs of several environments, held against the exit code and against their own counts."""

from pathlib import Path

import pytest

from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import RunResult
from kimi_agent.workspace.testrun.verdict import judge_run
from tests.workspace.testrun.project_files import RUNNERS, outcomes, put

UNITTEST = f"test_a (c1.A.test_a) ... ok\n\n{'-' * 70}\nRan 1 test in 0.011s\n\nOK\n"
PYTEST = """\
============================= test session starts ==============================
collecting ... collected 3 items

test_p.py::test_a PASSED                                                 [ 33%]
test_p.py::test_b """
GREEN = f"{PYTEST}PASSED            [ 66%]\ntest_p.py::test_c PASSED    [100%]\n\n====== 3 passed in 0.01s ======\n"
TOX_FAILED = "lint: FAIL ✖ in 1 second\n  lint: FAIL code 1 (0.99 seconds)\n  py311: OK (3.00 seconds)\n"
NOX_FAILED = "nox > Ran 2 sessions:\nnox > * lint: failed\nnox > * tests: success\n"
STOPPED = "\n!!!!!! _pytest.outcomes.Exit: away !!!!!!\n====== 1 passed in 0.01s ======\n"


@pytest.mark.parametrize(
    ("runner", "text", "exit_code", "verdict", "trouble"),
    [
        ("tox", UNITTEST + TOX_FAILED, 1, "run_failed", "lint: FAIL code 1"),
        ("nox", UNITTEST + NOX_FAILED, 1, "run_failed", "lint: failed"),
        ("tox", GREEN + TOX_FAILED, 1, "run_failed", "lint: FAIL code 1"),
        ("tox", GREEN + UNITTEST, 0, "passed", ""),
        ("nox", GREEN + PYTEST + STOPPED, 0, "broken", "test_p.py::test_b was running"),
        ("tox", PYTEST + "\n  py311: OK (3.00 seconds)\n", 0, "broken", "test_p.py::test_b was running"),
    ],
)
async def test_an_environment_that_fails_or_stops_is_no_success(
    context: Context, workspace: Path, runner: str, text: str, exit_code: int, verdict: str, trouble: str
) -> None:
    put(workspace, {"checks/c1.py": "", "test_p.py": ""})
    place = ProjectFolder(context.files, workspace)
    ran = RunResult(exit_code, text.split("\n"), workspace / "none", workspace, place)
    reading = RUNNERS[runner].read(ran)
    judged, why = judge_run(reading, exit_code, killed="", lines=ran.lines)
    assert (judged, trouble in why) == (verdict, True)
    assert set(outcomes(reading)) <= {"checks/c1.py::A::test_a", *(f"test_p.py::test_{name}" for name in "abc")}
