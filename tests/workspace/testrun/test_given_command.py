"""Commands given by the person or the model, make targets, and where nothing is found."""

import sys
from pathlib import Path

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.tool import Context
from kimi_agent.workspace.testrun import ProjectTests
from kimi_agent.workspace.testrun.choosing.given_command import prepare_given_command
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.registry import list_runners
from kimi_agent.workspace.testrun.runners.pytest import pytest_evidence
from kimi_agent.workspace.testrun.runners.unittest import unittest_evidence
from tests.workspace.testrun.project_files import put


@pytest.mark.parametrize(
    ("command", "runner"),
    [
        ("pytest", "pytest"),
        ("pytest -x tests", "pytest"),
        ("A=1 .venv/bin/pytest -k 'a and b'", "pytest"),
        ("python3 -X dev -m pytest", "pytest"),
        ("uv run --frozen pytest tests", "pytest"),
        ("coverage run -m pytest", "pytest"),
        ("python -m unittest discover", "unittest"),
        ("pytest && echo done", "command"),
        ("pytest | tail", "command"),
        ("pytest $(cat list)", "command"),
        ("pytest -- a", "command"),
        ("cat pytest", "command"),
        ("npm test", "command"),
        ("it's", "command"),
    ],
)
async def test_only_a_plain_command_gets_our_options(
    context: Context, workspace: Path, command: str, runner: str
) -> None:
    folder = ProjectFolder(context.files, workspace)
    launch = prepare_given_command(command, folder, "because", Path("/r.xml"), list_runners({})).command
    assert launch.runner == runner
    assert launch.argv[2].startswith(command)
    assert ("--junitxml=/r.xml" in launch.argv[2]) == (runner == "pytest")
    assert launch.shown == command


async def test_a_command_is_run_as_written_and_judged_by_its_exit(context: Context, workspace: Path) -> None:
    report = await context.testrun.run(command="echo hello; exit 3")
    assert (report.verdict, report.exit_code, report.runner, report.cases) == ("failed", 3, "command", ())
    assert (await context.testrun.run(command='test -z "$CI"')).verdict == "passed"
    missing = await context.testrun.run(command="no-such-program --test")
    assert (missing.verdict, missing.exit_code) == ("broken", 127)
    with pytest.raises(ToolError, match="takes no targets"):
        await context.testrun.run(["a.py"], command="make test")


async def test_a_given_pytest_is_read_test_by_test(context: Context, workspace: Path) -> None:
    put(workspace, {"test_a.py": "def test_a(): assert 0\n"})
    report = await context.testrun.run(command=f"PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 '{sys.executable}' -m pytest")
    assert [(case.id, case.outcome) for case in report.cases] == [("test_a.py::test_a", "failed")]


async def test_the_configured_command_wins_unless_targets_are_named(context: Context, workspace: Path) -> None:
    put(workspace, {"test_a.py": "def test_a(): pass\n"})
    testrun = ProjectTests(context.files, context.runner, command="exit 7")
    report = await testrun.run()
    assert (report.evidence, report.exit_code) == ("configured test command", 7)
    assert "-m pytest" in await testrun.preview_command(["test_a.py"])


async def test_make_test_is_the_last_resort(context: Context, workspace: Path) -> None:
    put(workspace, {"Makefile": "test := no\ntest: build\n\t@echo made; false\nbuild:\n"})
    report = await context.testrun.run()
    assert (report.runner, report.verdict, report.command) == ("make test", "failed", "make test")
    with pytest.raises(ToolError, match="that can be given targets or a name"):
        await context.testrun.run(name="x")


async def test_where_nothing_is_found_the_error_says_what_to_pass(context: Context, workspace: Path) -> None:
    put(workspace, {"Makefile": "all:\n", "README.md": "pytest"})
    with pytest.raises(ToolError) as told:
        await context.testrun.run()
    assert str(told.value).startswith(
        "Error [not_found]: found nothing that says how tests are run here (looked for: pytest, "
    )
    assert str(told.value).endswith("more)\nNext: pass command='...' with the project's own test command")


@pytest.mark.parametrize(
    ("files", "evidence"),
    [
        ({"pytest.ini": ""}, "pytest.ini"),
        ({"setup.cfg": "[tool:pytest]\n"}, "setup.cfg [tool:pytest]"),
        ({"tox.ini": "[pytest]\n"}, "tox.ini [pytest]"),
        ({"tox.ini": "[testenv]\ncommands = pytest {posargs}\n"}, "tox.ini runs pytest"),
        ({"tox.ini": "# pytest\n"}, ""),
        (
            {"pyproject.toml": "[project.optional-dependencies]\ntest = ['pytest-cov']\n"},
            "pyproject.toml requires pytest",
        ),
        ({"pyproject.toml": "[tool.poetry.dev-dependencies]\npytest = '^7'\n"}, "pyproject.toml requires pytest"),
        ({"pyproject.toml": "# 'pytest'\nkeywords = ['pytester']\n"}, ""),
        ({"setup.py": "setup(tests_require=['pytest>=3'])"}, "setup.py requires pytest"),
        ({"requirements/dev.txt": "pytest==8\n"}, "requirements/dev.txt requires pytest"),
        ({"dev-requirements.txt": "pytest\n"}, "dev-requirements.txt requires pytest"),
        ({"tests/conftest.py": ""}, "tests/conftest.py"),
        ({"src/pkg/tests/test_a.py": "import pytest\n"}, "src/pkg/tests/test_a.py imports pytest"),
        ({"test_a.py": "def test_a(): pass\n"}, "test_a.py has plain test functions"),
        ({"test_a.py": "import unittest\ndef test_a(): pass\n"}, ""),
        ({"node_modules/x/test_a.py": "import pytest\n"}, ""),
        ({"env3/pyvenv.cfg": "", "env3/lib/test_a.py": "import pytest\n"}, ""),
    ],
)
async def test_pytest_is_known_by_what_stands_in_the_folder(
    context: Context, workspace: Path, files: dict[str, str], evidence: str
) -> None:
    put(workspace, files)
    assert pytest_evidence(ProjectFolder(context.files, workspace)) == evidence


async def test_evidence_is_never_read_through_links_that_lead_outside(context: Context, workspace: Path) -> None:
    outside = workspace.parent / "outside"
    put(outside, {"pyproject.toml": "[tool.pytest]\n", "test_a.py": "import unittest\n"})
    (workspace / "pyproject.toml").symlink_to(outside / "pyproject.toml")
    (workspace / "tests").symlink_to(outside)
    folder = ProjectFolder(context.files, workspace)
    assert pytest_evidence(folder) + unittest_evidence(folder) == ""
