"""Real pytest runs in which tests end early, vanish or are told wrongly: the counts and the report settle it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runners.pytest import PYTEST, pytest_evidence
from tests.workspace.testrun.lean_pytest import lean_context
from tests.workspace.testrun.project_files import outcomes, put

THREE = "def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass\n"
EXIT_IN_HOOK = (
    "import pytest\n"
    "def pytest_runtest_setup(item):\n"
    "    if item.name == 'test_b': pytest.exit('database is away', returncode=0)\n"
)
TAKES_OUT = "def pytest_collection_modifyitems(items): items[:] = [i for i in items if i.name != 'test_b']\n"


@pytest.fixture
async def context(context: Context, tmp_path: Path) -> AsyncIterator[Context]:
    async with lean_context(context, tmp_path) as lean:
        yield lean


async def test_a_hook_that_ends_the_run_with_exit_code_0_is_broken(context: Context, workspace: Path) -> None:
    put(workspace, {"conftest.py": EXIT_IN_HOOK, "test_a.py": THREE})
    report = await context.testrun.run(timeout_s=60)
    assert (report.verdict, report.exit_code, outcomes(report)) == ("broken", 0, {"test_a.py::test_a": "passed"})
    assert report.trouble == "1 of 3 tests were reported to have ended (exit 0); Exit: database is away"


async def test_a_test_that_ends_the_run_with_exit_code_0_is_broken_and_no_case_without_a_name_is_told(
    context: Context, workspace: Path
) -> None:
    put(workspace, {"test_a.py": "import pytest\n" + THREE.replace("b(): pass", "b(): pytest.exit('x', returncode=0)")})
    report = await context.testrun.run(timeout_s=60)
    assert (report.verdict, report.exit_code, outcomes(report)) == ("broken", 0, {"test_a.py::test_a": "passed"})
    assert report.trouble == "1 of 3 tests were reported to have ended (exit 0); Exit: x"


@pytest.mark.long
@pytest.mark.parametrize("options", ["-q", "-p no:cacheprovider --strict-config", "-p no:junitxml", "-qq"])
async def test_the_projects_own_options_hide_no_missing_test(context: Context, workspace: Path, options: str) -> None:
    put(workspace, {"conftest.py": EXIT_IN_HOOK, "test_a.py": THREE})
    put(workspace, {"pytest.ini": f"[pytest]\naddopts = {options}\n"})
    assert (await context.testrun.run(timeout_s=60)).verdict == "broken"
    put(workspace, {"conftest.py": ""})
    report = await context.testrun.run(timeout_s=60)
    assert (report.verdict, report.count("passed"), report.trouble) == ("passed", 3, "")


async def test_tests_that_a_conftest_takes_out_are_not_missed(context: Context, workspace: Path) -> None:
    put(workspace, {"conftest.py": TAKES_OUT, "test_a.py": THREE})
    report = await context.testrun.run(timeout_s=60)
    assert (report.verdict, report.count("passed"), report.trouble) == ("passed", 2, "")


@pytest.mark.parametrize(("option", "verdict"), [("--setup-plan", "broken"), ("--collect-only", "none_ran")])
async def test_tests_that_were_only_planned_or_collected_have_not_passed(
    context: Context, workspace: Path, option: str, verdict: str
) -> None:
    put(workspace, {"pytest.ini": f"[pytest]\naddopts = {option}\n", "test_a.py": THREE})
    report = await context.testrun.run(timeout_s=60)
    assert (report.verdict, report.exit_code) == (verdict, 0)


async def test_what_tests_print_is_no_result(context: Context, workspace: Path) -> None:
    lines = ["test_a.py::test_z FAILED [ 9%]", "test_a.py::test_y", "collected 9 items", "[gw0] [1/9] PASSED x.py::y"]
    put(
        workspace,
        {"pytest.ini": "[pytest]\naddopts = -s\n", "test_a.py": f"def test_a(): print(*{lines}, sep='\\n')\n"},
    )
    report = await context.testrun.run(timeout_s=60)
    assert (report.verdict, outcomes(report), report.trouble) == ("passed", {"test_a.py::test_a": "passed"}, "")


@pytest.mark.long
@pytest.mark.parametrize(
    ("ini", "source"),
    [
        ("cache_dir = .c\naddopts = --strict-config", THREE),
        ("cache_dir = .c\nfilterwarnings = error", THREE),
        ("addopts = -p no:cacheprovider --strict-config\nfilterwarnings = error", THREE),
        ("filterwarnings = error", "def test_a(cache, request): request.config.cache.set('a/b', cache.get('x', 1))\n"),
        ("addopts = --strict", THREE),
    ],
    ids=["strict", "warnings are errors", "taken away", "fixture", "pytest's strict mode"],
)
async def test_our_options_change_no_result(context: Context, workspace: Path, ini: str, source: str) -> None:
    put(workspace, {"pytest.ini": f"[pytest]\n{ini}\n", "test_a.py": source})
    report = await context.testrun.run(timeout_s=60)
    assert (report.verdict, report.trouble) == ("passed", "")
    assert sorted(path.name for path in workspace.iterdir()) == ["pytest.ini", "test_a.py"]


async def test_last_failed_uses_the_projects_own_cache(context: Context, workspace: Path) -> None:
    put(workspace, {"test_a.py": THREE.replace("b(): pass", "b(): assert 0")})
    first = await context.testrun.run(command="python3 -m pytest --ff", timeout_s=60)
    again = await context.testrun.run(command="python3 -m pytest --lf", timeout_s=60)
    assert (first.count("passed"), outcomes(again)) == (2, {"test_a.py::test_b": "failed"})


async def test_classes_in_a_folder_with_a_dot_stay_apart(context: Context, workspace: Path) -> None:
    base = "class Base:\n    def test_inherited(self): pass\n"
    one = "class {}:\n    def test_a(self): pass\n"
    two = f"from base import Base\n{one.format('TestK')}{one.format('TestL(Base)')}"
    put(workspace, {"pytest.ini": "[pytest]\n", "tests/v1.2/base.py": base, "tests/v1.2/test_a.py": two})
    report = await context.testrun.run(timeout_s=60)
    assert set(outcomes(report)) == {
        "tests/v1.2/test_a.py::TestK::test_a",
        "tests/v1.2/test_a.py::TestL::test_a",
        "tests/v1.2/test_a.py::TestL::test_inherited",
    }


async def test_an_exception_group_keeps_its_inner_exceptions(context: Context, workspace: Path) -> None:
    source = (
        "import asyncio, pytest\n"
        "async def boom(): raise ValueError('inner')\n"
        "async def main():\n"
        "    async with asyncio.TaskGroup() as group:\n"
        "        group.create_task(boom())\n"
        "def test_a(): asyncio.run(main())\n"
    )
    put(workspace, {"test_a.py": source})
    (bad,) = (await context.testrun.run(timeout_s=60)).cases
    assert bad.place == "test_a.py:2"
    assert "ValueError: inner" in bad.detail
    assert '  File "test_a.py", line 2, in boom' in bad.detail
    assert not any("|" in line or "+-" in line for line in bad.detail.split("\n"))


async def test_a_teardown_that_fails_beside_others_that_end_well(context: Context, workspace: Path) -> None:
    torn = "import pytest\n@pytest.fixture\ndef torn():\n    yield\n    1 / 0\n"
    put(workspace, {"test_a.py": torn + "def test_t(torn): pass\ndef test_o(): pass\n"})
    report = await context.testrun.run(timeout_s=60)
    assert (report.verdict, outcomes(report)) == (
        "failed",
        {"test_a.py::test_t": "error", "test_a.py::test_o": "passed"},
    )


async def test_subtests_are_one_test(context: Context, workspace: Path) -> None:
    sub = "def test_s(subtests):\n    for i in range(3):\n        with subtests.test(i=i): assert i == {}\n"
    put(workspace, {"test_a.py": sub.format("i")})
    assert outcomes(await context.testrun.run(timeout_s=60)) == {"test_a.py::test_s": "passed"}
    put(workspace, {"test_a.py": sub.format(1)})
    assert outcomes(await context.testrun.run(timeout_s=60)) == {"test_a.py::test_s": "failed"}


@pytest.mark.parametrize(
    ("files", "evidence"),
    [
        ({"train/test.py": "def test(model): pass\n"}, ""),
        ({"train/tests.py": "def test_it(): pass\n"}, ""),
        ({"train/test_model.py": "def test(model): pass\n"}, ""),
        ({"tests/test_a.py": "def test_a(): pass\n"}, "tests/test_a.py has plain test functions"),
        ({"tests/a_test.py": "async def test_a(): pass\n"}, "tests/a_test.py has plain test functions"),
        ({"test_b.py": "from pytest_bdd import scenarios\nscenarios('x')\n"}, "test_b.py imports pytest"),
        ({"pytest.toml": "[pytest]\n"}, "pytest.toml"),
    ],
)
async def test_what_is_evidence_of_pytest(
    context: Context, workspace: Path, files: dict[str, str], evidence: str
) -> None:
    put(workspace, files)
    assert pytest_evidence(ProjectFolder(context.files, workspace)) == evidence


@pytest.mark.parametrize(
    ("files", "covers"),
    [
        ({}, True),
        ({"pyproject.toml": "[tool.pytest.ini_options]\ntestpaths = [\n  'tests',  # ours\n  'libs/*',\n]\n"}, True),
        ({"pyproject.toml": "[tool.pytest.ini_options]\ntestpaths = ['tests']\n"}, False),
        ({"pytest.ini": "[pytest]\ntestpaths =\n    tests\n    libs\n"}, True),
        ({"pytest.ini": "[pytest]\nnorecursedirs = libs\n"}, False),
        ({"libs/a/pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['src']\n"}, False),
        ({"libs/a/pyproject.toml": "[project]\nname = 'a'\n"}, True),
    ],
)
async def test_which_projects_below_a_run_of_pytest_covers(
    context: Context, workspace: Path, files: dict[str, str], covers: bool
) -> None:
    put(workspace, {"libs/a/test_a.py": "", **files})
    assert PYTEST.covers(ProjectFolder(context.files, workspace), "libs/a") is covers
