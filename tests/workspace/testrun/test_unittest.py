"""Real unittest runs, and the reading of their text."""

from pathlib import Path

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runners.unittest import parse_unittest_output
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
