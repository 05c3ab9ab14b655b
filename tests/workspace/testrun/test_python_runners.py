"""Django, nose2, behave and Robot Framework: their evidence and commands, and Django's and nose2's text."""

from pathlib import Path

import pytest

from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import RunResult
from kimi_agent.workspace.testrun.verdict import judge_run
from tests.workspace.testrun.project_files import RUNNERS, outcomes, put

MANAGE = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings')\n"
# Django 5.2.19, `manage.py test --verbosity=2`; paths shortened.
DJANGO_TEXT = f"""\
Found 2 test(s).
Skipping setup of unused database(s): default.
System check identified no issues (0 silenced).
test_a (app.tests.A.test_a) ... ok
test_b (app.tests.A.test_b) ... FAIL

{"=" * 70}
FAIL: test_b (app.tests.A.test_b)
{"-" * 70}
Traceback (most recent call last):
AssertionError: 1 != 2

{"-" * 70}
Ran 2 tests in 0.001s

FAILED (failures=1)
"""


@pytest.mark.parametrize(
    ("runner", "files"),
    [
        ("django", {"manage.py": MANAGE}),
        ("nose2", {"nose2.cfg": ""}),
        ("nose2", {"requirements.txt": "nose2>=0.14\n"}),
        ("behave", {"features/a.feature": "Feature: a\n"}),
        ("robot", {"tests/a.robot": "*** Test Cases ***\n"}),
    ],
)
async def test_what_is_evidence_of_a_runner(
    context: Context, workspace: Path, runner: str, files: dict[str, str]
) -> None:
    assert not RUNNERS[runner].evidence(ProjectFolder(context.files, workspace))
    put(workspace, files)
    assert RUNNERS[runner].evidence(ProjectFolder(context.files, workspace))
    assert RUNNERS["pytest"].order < RUNNERS[runner].order


@pytest.mark.parametrize("runner", ["django", "nose2"])
async def test_their_text_is_read_as_unittests(context: Context, workspace: Path, runner: str) -> None:
    put(workspace, {"app/tests.py": ""})
    place = ProjectFolder(context.files, workspace)
    ran = RunResult(1, DJANGO_TEXT.split("\n"), workspace / "none", workspace, place)
    reading = RUNNERS[runner].read(ran)
    assert judge_run(reading, 1, killed="", lines=ran.lines)[0] == "failed"
    assert outcomes(reading) == {"app/tests.py::A::test_a": "passed", "app/tests.py::A::test_b": "failed"}


async def test_manage_py_is_run_with_targets_as_dotted_names(context: Context, workspace: Path) -> None:
    source = "import unittest\nfrom django.test import TestCase\n"
    put(workspace, {"manage.py": MANAGE, "app/__init__.py": "", "app/tests.py": source})
    assert "manage.py test --verbosity=2\nif that finds no tests: " in await context.testrun.preview_command()
    for target, named in (("app/tests.py::A::test_a", "app.tests.A.test_a"), ("app/tests.py", "app.tests")):
        shown = (await context.testrun.preview_command([target])).split("\n")[0]
        assert shown.endswith(f"manage.py test --verbosity=2 {named}")


async def test_a_skip_without_quotes_has_not_passed(context: Context, workspace: Path) -> None:
    text = f"test_a (t.A.test_a) ... skipped not now\n\n{'-' * 70}\nRan 1 test in 0.1s\n\nOK (skipped=1)\n"
    place = ProjectFolder(context.files, workspace)
    ran = RunResult(0, text.split("\n"), workspace / "none", workspace, place)
    reading = RUNNERS["nose2"].read(ran)
    assert judge_run(reading, 0, killed="", lines=ran.lines)[0] == "none_ran"
