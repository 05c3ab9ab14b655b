"""Which Python runs a project's tests."""

import dataclasses
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kimi_agent.log.views import TestCase, TestReport
from kimi_agent.tool import Context
from kimi_agent.workspace.process.process_runner import ProcessRunner
from kimi_agent.workspace.testrun import ProjectTests

OFF = "PYTEST_DISABLE_PLUGIN_AUTOLOAD"  # the plugins of our own environment only cost time here


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
async def bare(context: Context, workspace: Path, tmp_path: Path) -> AsyncIterator[Context]:
    """A context whose PATH holds only `bin` beside the workspace, and what the system needs for scripts."""
    (workspace / "test_a.py").write_text("def test_a(): pass\n")
    runner = ProcessRunner(
        root=workspace,
        cwd=workspace,
        outputs=context.files.outputs,
        environ={"PATH": f"{tmp_path / 'bin'}:{workspace}", OFF: "1"},
        env_pass=(OFF,),
        register=tmp_path / "bare",
    )
    testrun = ProjectTests(context.files, runner, python=sys.executable, virtual_env=str(workspace / "env"))
    yield dataclasses.replace(context, runner=runner, testrun=testrun)
    await runner.aclose()


async def test_a_lock_file_and_its_program_come_first(bare: Context, workspace: Path, tmp_path: Path) -> None:
    script(tmp_path / "bin/uv", f'shift 2; exec "{sys.executable}" "$@"')
    assert " run python -m pytest " not in await bare.testrun.preview_command()
    (workspace / "uv.lock").write_text("")
    report = await bare.testrun.run()
    assert (report.verdict, report.command) == ("passed", "uv run python -m pytest")


async def test_an_activated_environment_counts_only_inside_the_workspace(bare: Context, workspace: Path) -> None:
    script(workspace / "env/bin/python", f'exec "{sys.executable}" "$@"')
    site = workspace / "env/lib/python3.11/site-packages/pytest"
    site.mkdir(parents=True)
    (site / "__init__.py").write_text("")
    assert (await bare.testrun.run()).command == "env/bin/python -m pytest"
    elsewhere = ProjectTests(bare.files, bare.runner, python=sys.executable, virtual_env="/usr")
    assert str(workspace) not in await elsewhere.preview_command()


async def test_the_python_of_the_path_is_taken_if_it_has_pytest(bare: Context, workspace: Path, tmp_path: Path) -> None:
    script(tmp_path / "bin/python3", f'exec "{sys.executable}" "$@"')
    assert (await bare.testrun.preview_command()).startswith(f"{tmp_path}/bin/python3 -m pytest ")


async def test_our_own_interpreter_is_the_last_resort_and_named(bare: Context, workspace: Path, tmp_path: Path) -> None:
    script(tmp_path / "bin/python3", "exit 1")
    script(workspace / "python3", "touch ran-from-the-workspace")
    report = await bare.testrun.run()
    assert report.verdict == "passed"
    assert report.evidence == (
        "test_a.py has plain test functions; the interpreter of kimi-agent itself: no other interpreter here has pytest"
    )
    assert not (workspace / "ran-from-the-workspace").exists()


async def test_earlier_runs_of_the_session_can_be_fed_back(bare: Context, workspace: Path) -> None:
    cases = (TestCase("test_a.py::test_a", "failed"), TestCase("test_a.py::test_b", "passed"))
    bare.testrun.add_report(TestReport("failed", "pytest", "x", "pytest", 1, 0.1, cases))
    report = await bare.testrun.run(failed_only=True)
    assert [(case.id, case.outcome) for case in report.cases] == [("test_a.py::test_a", "passed")]
