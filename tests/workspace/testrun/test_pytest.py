"""Real pytest runs, started and read by the harness."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.tool import Context
from tests.workspace.testrun.lean_pytest import lean_context
from tests.workspace.testrun.project_files import outcomes, put

MIXED = """
import pytest, unittest

def helper(x):
    return x + 1

@pytest.mark.parametrize("v", [1, "a::b[c] d"])
def test_p(v):
    assert helper(3) == 5, "nope"

class TestA:
    def test_in(self):
        raise ValueError("x\\ny\\x1b[31m")

class Old(unittest.TestCase):
    def test_u(self):
        self.assertEqual({"a": 1}, {"a": 2})

@pytest.fixture
def bad():
    1 / 0

def test_fix(bad): pass

@pytest.fixture
def torn():
    yield
    1 / 0

def test_torn(torn): assert 0

@pytest.mark.skip("why")
def test_s(): pass

@pytest.mark.xfail
def test_xf(): assert 0

def test_ok(): print("noise")
"""


@pytest.fixture
async def context(context: Context, tmp_path: Path) -> AsyncIterator[Context]:
    async with lean_context(context, tmp_path) as lean:
        yield lean


async def test_every_outcome_is_read_from_the_report(context: Context, workspace: Path) -> None:
    put(workspace, {"tests/test_a.py": MIXED})
    report = await context.testrun.run(timeout_s=60)
    assert (report.verdict, report.runner, report.exit_code) == ("failed", "pytest", 1)
    assert report.evidence.startswith("tests/test_a.py imports pytest")
    assert outcomes(report) == {
        "tests/test_a.py::test_p[1]": "failed",
        "tests/test_a.py::test_p[a::b[c] d]": "failed",
        "tests/test_a.py::TestA::test_in": "failed",
        "tests/test_a.py::Old::test_u": "failed",
        "tests/test_a.py::test_fix": "error",
        "tests/test_a.py::test_torn": "failed",
        "tests/test_a.py::test_s": "skipped",
        "tests/test_a.py::test_xf": "skipped",
        "tests/test_a.py::test_ok": "passed",
    }
    first = report.cases[0]
    assert (first.place, first.message) == ("tests/test_a.py:9", "AssertionError: nope")
    assert first.detail.split("\n")[-1] == "E    +  where 4 = helper(3)"
    assert "\x1b" not in str(report)


async def test_a_run_leaves_nothing_in_the_workspace(context: Context, workspace: Path) -> None:
    put(workspace, {"tests/test_a.py": "import pytest\ndef test_a(): pass\n"})
    report = await context.testrun.run(timeout_s=60)
    assert report.verdict == "passed"
    assert sorted(path.name for path in workspace.rglob("*")) == ["test_a.py", "tests"]


async def test_an_edit_of_the_same_size_within_a_second_is_seen(context: Context, workspace: Path) -> None:
    put(workspace, {"a.py": "def f(): return 1\n", "test_a.py": "from a import f\ndef test_f(): assert f() == 2\n"})
    assert (await context.testrun.run(timeout_s=60)).verdict == "failed"
    put(workspace, {"a.py": "def f(): return 2\n"})
    assert (await context.testrun.run(timeout_s=60)).verdict == "passed"


async def test_the_projects_own_options_do_not_hide_the_report(context: Context, workspace: Path) -> None:
    options = "-q -q --no-header --tb=no --color=yes -o junit_family=xunit2 --ff"
    put(
        workspace,
        {
            "pyproject.toml": f"[tool.pytest.ini_options]\naddopts = '{options}'\n",
            "sub/test_a.py": "class TestB:\n    def test_c(self): assert 1 == 2\n",
        },
    )
    report = await context.testrun.run(timeout_s=60)
    assert report.evidence.startswith("pyproject.toml [tool.pytest]")
    assert outcomes(report) == {"sub/test_a.py::TestB::test_c": "failed"}
    assert report.cases[0].place == "sub/test_a.py:2"


@pytest.mark.long
async def test_an_inherited_test_is_named_by_the_file_it_runs_in(context: Context, workspace: Path) -> None:
    put(
        workspace,
        {
            "pytest.ini": "[pytest]\n",
            "base.py": "class Base:\n    def test_a(self):\n        assert self.n == 1\n",
            "test_b.py": "from base import Base\nclass TestB(Base):\n    n = 2\n",
        },
    )
    report = await context.testrun.run(timeout_s=60)
    assert outcomes(report) == {"test_b.py::TestB::test_a": "failed"}
    again = await context.testrun.run([report.cases[0].id], timeout_s=60)
    assert outcomes(again) == {"test_b.py::TestB::test_a": "failed"}


async def test_new_and_failed_only_follow_how_each_test_last_went(context: Context, workspace: Path) -> None:
    source = "import pytest\ndef test_a(): assert {}\ndef test_b(): assert {}\ndef test_c(): assert 1\n"
    put(workspace, {"test_x.py": source.format(0, 1)})
    first = await context.testrun.run(timeout_s=60)
    assert [case.id for case in first.cases if case.new] == []
    put(workspace, {"test_x.py": source.format(0, 0)})
    second = await context.testrun.run(timeout_s=60)
    assert [case.id for case in second.cases if case.new] == ["test_x.py::test_b"]
    put(workspace, {"test_x.py": source.format(1, 0)})
    third = await context.testrun.run(failed_only=True, timeout_s=60)
    assert outcomes(third) == {"test_x.py::test_a": "passed", "test_x.py::test_b": "failed"}
    assert not any(case.new for case in third.cases)
    put(workspace, {"test_x.py": source.format(1, 1)})
    assert outcomes(await context.testrun.run(failed_only=True, timeout_s=60)) == {"test_x.py::test_b": "passed"}
    with pytest.raises(ToolError, match="no test failed when it last ran"):
        await context.testrun.run(failed_only=True)


@pytest.mark.long
async def test_targets_are_paths_nodes_and_dotted_names(context: Context, workspace: Path) -> None:
    put(
        workspace,
        {
            "requirements-dev.txt": "pytest>=7\n",
            "tests/test_a.py": "class TestC:\n    def test_d(self): pass\ndef test_e(): pass\n",
            "-k.py": "def test_odd(): pass\n",
        },
    )
    node = await context.testrun.run(["tests/test_a.py::TestC"], timeout_s=60)
    assert outcomes(node) == {"tests/test_a.py::TestC::test_d": "passed"}
    dotted = await context.testrun.run(["tests.test_a.TestC.test_d"], timeout_s=60)
    assert outcomes(dotted) == {"tests/test_a.py::TestC::test_d": "passed"}
    absolute = await context.testrun.run([str(workspace / "tests/test_a.py"), "./-k.py"], name="odd or test_e")
    assert outcomes(absolute) == {"-k.py::test_odd": "passed", "tests/test_a.py::test_e": "passed"}


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("-p evil", "bad_arguments"),
        ("--rootdir=/", "bad_arguments"),
        ("-c", "bad_arguments"),
        ("", "bad_arguments"),
        ("::test_a", "bad_arguments"),
        ("a\x00b", "bad_arguments"),
        ("../elsewhere.py", "outside"),
        ("/etc/passwd", "outside"),
        ("link/passwd", "outside"),
        ("tests/test_none.py::test_a", "missing"),
        ("no.such.thing", "missing"),
    ],
)
async def test_no_target_is_an_option_or_leads_outside(
    context: Context, workspace: Path, target: str, code: str
) -> None:
    put(workspace, {"test_a.py": "def test_a(): pass\n"})
    (workspace.parent / "elsewhere.py").write_text("")
    (workspace / "link").symlink_to("/etc")
    with pytest.raises(ToolError) as told:
        await context.testrun.run([target])
    assert told.value.code == code


async def test_a_name_is_never_an_option(context: Context, workspace: Path) -> None:
    put(workspace, {"test_a.py": "def test_a(): pass\n"})
    report = await context.testrun.run(name="--version", timeout_s=60)
    assert report.verdict in ("broken", "none_ran")
    assert "pytest 9" not in report.trouble


async def test_a_collection_error_is_broken_and_its_first_error_told(context: Context, workspace: Path) -> None:
    put(workspace, {"test_a.py": "def test_a(): pass\n", "test_b.py": "import pytest, nowhere_to_be_found\n"})
    report = await context.testrun.run(timeout_s=60)
    assert report.verdict == "broken"
    assert report.trouble.split("\n")[-1] == "E   ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    assert outcomes(report) == {"test_b.py": "error"}


@pytest.mark.long
@pytest.mark.parametrize(
    ("files", "targets", "trouble"),
    [
        ({"conftest.py": "import nowhere\n", "test_a.py": ""}, [], "No module named 'nowhere'"),
        ({"pytest.ini": "[pytest]\naddopts = --no-such-option\n"}, [], "--no-such-option"),
        ({"test_a.py": "def test_a(): pass"}, ["test_a.py::test_zzz"], "test_zzz"),
        (
            {"test_a.py": "import os\ndef test_b(): pass\ndef test_a(): os.kill(os.getpid(), 11)"},
            [],
            "test_a.py::test_a",
        ),
        ({"test_a.py": "import os\ndef test_a(): os._exit(0)"}, [], "without a whole report"),
        (
            {"test_a.py": "import pytest\ndef test_b(): pass\ndef test_a(): pytest.exit('enough', 3)"},
            [],
            "1 of 2 tests were reported to have ended (exit 3); Exit: enough",
        ),
    ],
    ids=["conftest", "option", "node", "segfault", "exit-0", "pytest-exit"],
)
async def test_a_run_that_ends_before_its_tests_is_broken(
    context: Context, workspace: Path, files: dict[str, str], targets: list[str], trouble: str
) -> None:
    put(workspace, files)
    report = await context.testrun.run(targets, timeout_s=60)
    assert report.verdict == "broken"
    assert trouble in report.trouble


@pytest.mark.parametrize(
    "source",
    ["import pytest\n", "import pytest\n@pytest.mark.skip\ndef test_a(): pass\n"],
    ids=["none there", "all skipped"],
)
async def test_no_tests_is_not_success(context: Context, workspace: Path, source: str) -> None:
    put(workspace, {"test_a.py": source})
    assert (await context.testrun.run(timeout_s=60)).verdict == "none_ran"


@pytest.mark.long
async def test_results_win_over_the_exit_code_and_the_disagreement_is_told(context: Context, workspace: Path) -> None:
    lying = "def pytest_sessionfinish(session): session.exitstatus = {}\n"
    put(workspace, {"conftest.py": lying.format(0), "test_a.py": "def test_a(): assert 0\n"})
    report = await context.testrun.run(timeout_s=60)
    assert (report.verdict, report.exit_code) == ("failed", 0)
    assert "the exit code is 0 although tests failed" in report.trouble
    put(workspace, {"conftest.py": lying.format(1), "test_a.py": "def test_a(): assert 1\n"})
    report = await context.testrun.run(timeout_s=60)
    assert (report.verdict, report.exit_code) == ("run_failed", 1)
    assert "but the run failed (exit 1)" in report.trouble


@pytest.mark.long
async def test_a_killed_run_tells_what_finished_and_what_was_running(context: Context, workspace: Path) -> None:
    put(
        workspace,
        {
            "test_a.py": "import time\ndef test_a(): pass\ndef test_b(): assert 0\n"
            "def test_c(): print('x', flush=True); time.sleep(600)\ndef test_d(): pass\n",
        },
    )
    report = await context.testrun.run(timeout_s=4)
    assert (report.verdict, report.exit_code) == ("timed_out", None)
    assert outcomes(report) == {"test_a.py::test_a": "passed", "test_a.py::test_b": "failed"}
    assert report.running == "test_a.py::test_c"
    assert report.trouble == "killed after 4 s"


async def test_the_nearest_project_upwards_from_the_target_runs_it(context: Context, workspace: Path) -> None:
    put(
        workspace,
        {
            "pyproject.toml": "[project]\nname = 'top'\n[dependency-groups]\ndev = ['pytest>=8']\n",
            "test_top.py": "def test_top(): pass\n",
            "sub/pyproject.toml": "[tool.pytest.ini_options]\n",
            "sub/tests/test_s.py": "from pathlib import Path\ndef test_s(): assert Path.cwd().name == 'sub'\n",
            "sub/Makefile": "test:\n\texit 1\n",
        },
    )
    report = await context.testrun.run(["sub/tests"], timeout_s=60)
    assert outcomes(report) == {"sub/tests/test_s.py::test_s": "passed"}
    assert report.evidence.startswith("pyproject.toml [tool.pytest]")
    assert (await context.testrun.run(["test_top.py"], timeout_s=60)).evidence.startswith(
        "pyproject.toml requires pytest"
    )


async def test_a_virtual_environment_of_the_workspace_is_taken_if_it_has_pytest(
    context: Context, workspace: Path
) -> None:
    put(workspace, {"test_a.py": "def test_a(): pass\n", ".venv/bin/python": "#!/bin/sh\necho ran >&2; exit 3\n"})
    (workspace / ".venv/bin/python").chmod(0o755)
    assert not (await context.testrun.preview_command()).startswith("'" + str(workspace))
    put(workspace, {".venv/lib/python3.12/site-packages/pytest/__init__.py": ""})
    assert (await context.testrun.preview_command()).startswith(
        f"'{workspace}/.venv/bin/python' -m pytest --verbosity=1"
    )
    report = await context.testrun.run(timeout_s=60)
    assert (report.verdict, report.exit_code, report.command) == ("broken", 3, ".venv/bin/python -m pytest")


async def test_a_preview_runs_nothing_of_the_repository(context: Context, workspace: Path) -> None:
    evil = "import pathlib; pathlib.Path('marker').write_text('x')\n"
    names = ("conftest.py", "sitecustomize.py", "importlib.py", "pytest.py", "test_a.py", "tests/conftest.py")
    put(workspace, dict.fromkeys(names, evil))
    assert "-m pytest" in await context.testrun.preview_command()
    assert not (workspace / "marker").exists()


@pytest.mark.long
async def test_hundreds_of_failures_keep_their_ids_and_twenty_their_text(context: Context, workspace: Path) -> None:
    put(
        workspace,
        {
            "test_a.py": "import pytest\n@pytest.mark.parametrize('n', range(300))\n"
            "def test_n(n): assert 'x' * 5000 == 'y\\n' * 50\n"
        },
    )
    report = await context.testrun.run(timeout_s=60)
    assert report.count("failed") == 300
    assert sum(bool(case.detail) for case in report.cases) == 20
    assert max(case.detail.count("\n") for case in report.cases) < 15
    assert all(len(line) <= 300 for case in report.cases for line in case.detail.split("\n"))
