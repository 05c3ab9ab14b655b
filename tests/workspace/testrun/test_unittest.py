"""Real unittest runs, and the reading of their text."""

from pathlib import Path

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.formats.python.unittest_output import parse_unittest_output
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from tests.workspace.testrun.project_files import outcomes, put

MIXED = """
import sys, unittest

class Case(unittest.TestCase):
    def test_equal(self):
        self.assertEqual(3, 4)

    def test_documented(self):
        '''Says what it is for.'''
        raise ValueError("no\\n  way")

    def test_noisy(self):
        print("a line")
        print("FAIL", end="", file=sys.stderr)

    def test_parts(self):
        for n in range(3):
            with self.subTest(n=n):
                self.assertEqual(n, 1)

    @unittest.skip("not now")
    def test_skipped(self): pass

    @unittest.expectedFailure
    def test_expected(self): self.fail()

    @unittest.expectedFailure
    def test_unexpected(self): pass

class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        1 / 0

    def test_never(self): pass
"""


async def test_every_outcome_is_read_from_the_text(context: Context, workspace: Path) -> None:
    put(workspace, {"tests/__init__.py": "", "tests/test_a.py": MIXED})
    report = await context.testrun.run()
    assert (report.verdict, report.runner, report.exit_code) == ("failed", "unittest", 1)
    assert report.evidence == "tests/test_a.py imports unittest"
    assert report.command == "python3 -m unittest discover -v"
    assert outcomes(report) == {
        "tests/test_a.py::Case::test_equal": "failed",
        "tests/test_a.py::Case::test_documented": "error",
        "tests/test_a.py::Case::test_noisy": "passed",
        "tests/test_a.py::Case::test_parts": "failed",
        "tests/test_a.py::Case::test_skipped": "skipped",
        "tests/test_a.py::Case::test_expected": "skipped",
        "tests/test_a.py::Case::test_unexpected": "failed",
        "tests/test_a.py::Broken::setUpClass": "error",
    }
    equal = next(case for case in report.cases if case.id.endswith("test_equal"))
    assert (equal.place, equal.message) == ("tests/test_a.py:6", "AssertionError: 3 != 4")
    assert equal.detail.split("\n")[0] == '  File "tests/test_a.py", line 6, in test_equal'


async def test_targets_are_files_classes_tests_or_one_folder(context: Context, workspace: Path) -> None:
    source = "import unittest\nclass A(unittest.TestCase):\n    def test_a(self): pass\n    def test_b(self): pass\n"
    put(workspace, {"setup.py": "", "tests/unit/test_a.py": source, "tests/test_b.py": source})
    named = await context.testrun.run(["tests/unit/test_a.py::A::test_b", "tests.test_b.A.test_a"])
    assert outcomes(named) == {"tests/unit/test_a.py::A::test_b": "passed", "tests/test_b.py::A::test_a": "passed"}
    assert named.command.endswith("-m unittest -v tests.unit.test_a.A.test_b tests.test_b.A.test_a")
    file = await context.testrun.run(["tests/test_b.py"], name="test_b")
    assert "tests/test_b.py::A::test_b" in outcomes(file)
    folder = await context.testrun.run(["tests/unit"])
    assert set(outcomes(folder)) == {"tests/unit/test_a.py::A::test_a", "tests/unit/test_a.py::A::test_b"}
    with pytest.raises(ToolError, match="one folder"):
        await context.testrun.run(["tests/unit", "tests/test_b.py"])


async def test_tests_outside_a_package_are_found_too(context: Context, workspace: Path) -> None:
    source = "import unittest, mod\nclass A(unittest.TestCase):\n    def test_a(self): self.assertEqual(mod.x, 1)\n"
    put(workspace, {"mod.py": "x = 1\n", "tests/test_a.py": source})
    report = await context.testrun.run()
    assert (report.verdict, outcomes(report)) == ("passed", {"tests/test_a.py::A::test_a": "passed"})
    assert report.command.endswith("discover -v -s tests")


async def test_a_module_that_does_not_load_is_broken_where_nothing_else_ran(context: Context, workspace: Path) -> None:
    put(workspace, {"test_a.py": "import unittest, nowhere_at_all\n"})
    report = await context.testrun.run()
    assert report.verdict == "broken"
    assert "ModuleNotFoundError: No module named 'nowhere_at_all'" in report.trouble
    put(workspace, {"test_b.py": "import unittest\nclass B(unittest.TestCase):\n    def test_b(self): pass\n"})
    report = await context.testrun.run()
    assert (report.verdict, outcomes(report)) == ("failed", {"test_a.py": "error", "test_b.py::B::test_b": "passed"})


async def test_no_tests_is_not_success(context: Context, workspace: Path) -> None:
    put(workspace, {"test_a.py": "import unittest\n"})
    assert (await context.testrun.run()).verdict == "none_ran"


async def test_a_crash_is_broken(context: Context, workspace: Path) -> None:
    crash = "import os, unittest\nclass A(unittest.TestCase):\n    def test_a(self): os._exit(0)\n"
    put(workspace, {"test_a.py": crash})
    report = await context.testrun.run()
    assert (report.verdict, report.exit_code) == ("broken", 0)
    assert "test_a.py::A::test_a was running" in report.trouble


PYTHON_310 = """\
test_a (test_x.Case) ... ok
test_b (test_x.Case)
A docstring. ... FAIL
test_c (test_x.Case) ... skipped 'so'
test_d (test_x.Case) ... ERROR

======================================================================
ERROR: test_d (test_x.Case)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/nowhere/test_x.py", line 9, in test_d
    raise KeyError("k")
KeyError: 'k'

======================================================================
FAIL: test_b (test_x.Case)
A docstring.
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/nowhere/test_x.py", line 5, in test_b
    self.fail()
AssertionError: None

----------------------------------------------------------------------
Ran 4 tests in 0.001s

FAILED (failures=1, errors=1, skipped=1)
"""


async def test_the_text_of_older_pythons_is_read(context: Context, workspace: Path) -> None:
    reading = parse_unittest_output(
        PYTHON_310.split("\n"), root=workspace, folder=ProjectFolder(context.files, workspace)
    )
    assert [(case.id, case.outcome, case.message) for case in reading.cases] == [
        ("test_x.Case.test_a", "passed", ""),
        ("test_x.Case.test_b", "failed", "AssertionError: None"),
        ("test_x.Case.test_c", "skipped", "so"),
        ("test_x.Case.test_d", "error", "KeyError: 'k'"),
    ]
    assert reading.cases[1].detail == "AssertionError: None"
    assert (reading.stated_result, reading.is_complete) == ("failed", True)


async def test_a_text_that_breaks_off_names_the_test_that_was_running(context: Context, workspace: Path) -> None:
    lines = PYTHON_310.split("\n")[:2]
    reading = parse_unittest_output(lines, root=workspace, folder=ProjectFolder(context.files, workspace))
    assert (reading.running, reading.is_complete) == ("test_x.Case.test_b", False)


def one(test: str, body: str = "pass", imports: str = "") -> str:
    return f"import unittest, sys, os\n{imports}\nclass A(unittest.TestCase):\n    def {test}(self): {body}\n"


@pytest.mark.parametrize(
    ("files", "red"),
    [
        ({"tests/a/test_a.py": one("test_a")}, "tests/b/test_b.py"),
        ({"a_test.py": one("test_a")}, "test_b.py"),
        ({"test_a.py": one("test_a")}, "deep/er/test_b.py"),
        ({"a/test_x.py": one("test_b")}, "b/test_x.py"),
        ({"test_a.py": one("test_a"), "src/p/__init__.py": ""}, "src/p/tests.py"),
        ({"test_a.py": one("test_a")}, "lib/p_tests.py"),
    ],
    ids=["two starts", "two namings", "no package below", "same names", "src", "plural"],
)
async def test_every_folder_and_naming_is_run(
    context: Context, workspace: Path, files: dict[str, str], red: str
) -> None:
    put(workspace, {**files, red: one("test_b", "1 / 0")})
    report = await context.testrun.run()
    assert (report.verdict, report.count("passed")) == ("failed", 1)
    assert outcomes(report)[f"{red}::A::test_b"] == "error"
    put(workspace, {red: one("test_b")})
    report = await context.testrun.run()
    assert (report.verdict, report.count("passed"), report.exit_code) == ("passed", 2, 0)


async def test_a_start_that_ends_in_mid_test_is_not_covered_up_by_the_next(context: Context, workspace: Path) -> None:
    put(workspace, {"tests/a/test_a.py": one("test_a", "os._exit(0)"), "tests/b/test_b.py": one("test_b")})
    report = await context.testrun.run()
    assert (report.verdict, report.exit_code) == ("broken", 0)
    put(workspace, {"tests/a/test_a.py": one("test_a", imports="os._exit(0)")})
    assert (await context.testrun.run()).verdict == "broken"


async def test_a_project_below_with_a_manifest_is_left_to_itself(context: Context, workspace: Path) -> None:
    put(workspace, {"test_a.py": one("test_a"), "sub/setup.py": "", "sub/tests/test_b.py": one("test_b", "1 / 0")})
    report = await context.testrun.run(["."])
    assert (report.verdict, outcomes(report)) == ("passed", {"test_a.py::A::test_a": "passed"})


@pytest.mark.parametrize(
    "body",
    [
        "print('2026-11-30 level ERROR', file=sys.stderr)",
        "print('FAIL', file=sys.stderr)",
        "print('=' * 70 + '\\nERROR: test_a (m.A.test_a)\\n' + '-' * 70, file=sys.stderr)",
        "print('-' * 70 + '\\nRan 7 tests in 0.1s\\n\\nFAILED (failures=7)', file=sys.stderr)",
        "print('no newline ', end='', file=sys.stderr)",
        "print('-' * 70 + '\\nRan 7 tests in 0.1s\\n\\nFAILED (failures=7)')",
    ],
)
async def test_what_a_test_prints_is_no_result(context: Context, workspace: Path, body: str) -> None:
    put(workspace, {"test_a.py": one("test_a", body) + "    def test_b(self): pass\n"})
    report = await context.testrun.run()
    assert (report.verdict, set(outcomes(report).values())) == ("passed", {"passed"})
    assert {"test_a.py::A::test_a", "test_a.py::A::test_b"} <= set(outcomes(report))


async def test_a_test_that_was_cut_off_has_not_passed(context: Context, workspace: Path) -> None:
    put(workspace, {"test_a.py": one("test_a") + "    def test_b(self): os._exit(0)\n"})
    report = await context.testrun.run()
    assert (report.verdict, outcomes(report)) == ("broken", {"test_a.py::A::test_a": "passed"})


DOCTESTS = """
import doctest
def load_tests(loader, tests, ignore):
    tests.addTests(doctest.DocTestSuite())
    tests.addTests(doctest.DocFileSuite('d.txt'))
    return tests
def f():
    '''
    >>> 1
    1
    '''
"""


async def test_load_tests_may_add_tests_of_other_forms(context: Context, workspace: Path) -> None:
    put(workspace, {"test_a.py": one("test_a", imports=DOCTESTS), "d.txt": ">>> 1\n1\n"})
    report = await context.testrun.run()
    assert (report.verdict, report.count("passed"), report.trouble) == ("passed", 3, "")
    put(workspace, {"d.txt": ">>> 1\n2\n"})
    assert (await context.testrun.run()).verdict == "failed"


async def test_the_runs_of_a_preview_are_written_out(context: Context, workspace: Path) -> None:
    put(workspace, {"a/test_a.py": one("test_a"), "b/test_b.py": one("test_b")})
    shown = (await context.testrun.preview_command()).split("\n")
    assert [line.partition("; code")[0].partition(" -m ")[2] for line in shown[1:-1]] == [
        "unittest discover -v -s a",
        "unittest discover -v -s b",
    ]
    report = await context.testrun.run()
    assert report.command == "python3 -m unittest discover -v -s a; python3 -m unittest discover -v -s b"


PYTHON_38 = """\
test_sub (test_a.A) ... test_un (test_a.A) ... unexpected success
byetest_b (test_a.B) ... on stdout ok
ok

======================================================================
FAIL: test_sub (test_a.A) (i=0)
----------------------------------------------------------------------
Traceback (most recent call last):
AssertionError: 0 != 1

======================================================================
FAIL: test_sub (test_a.A) (i=2)
----------------------------------------------------------------------
Traceback (most recent call last):
AssertionError: 2 != 1

----------------------------------------------------------------------
Ran 3 tests in 0.011s

FAILED (failures=2, unexpected successes=1)
"""


async def test_python_3_8_writes_no_outcome_for_subtests_and_no_block_for_a_success(
    context: Context, workspace: Path
) -> None:
    place = ProjectFolder(context.files, workspace)
    reading = parse_unittest_output(PYTHON_38.split("\n"), root=workspace, folder=place, exit_code=1)
    assert [case.outcome for case in reading.cases] == ["failed", "failed", "passed"]
    assert (reading.announced, reading.ended, reading.running) == (3, 3, "")


async def test_a_module_out_of_the_usual_naming_is_found_by_its_name(context: Context, workspace: Path) -> None:
    put(workspace, {"checks/c1.py": one("test_a")})
    text = f"test_a (c1.A.test_a) ... ok\n\n{'-' * 70}\nRan 1 test in 0.1s\n\nOK\n"
    place = ProjectFolder(context.files, workspace)
    reading = parse_unittest_output(text.split("\n"), root=workspace, folder=place)
    assert outcomes(reading) == {"checks/c1.py::A::test_a": "passed"}
