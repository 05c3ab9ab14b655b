"""Tests that are run several times: how often each failed, and when the repeating ends."""

from pathlib import Path

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.log.views import RunVerdict, TestCase, TestReport
from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.repeats import combine_runs

# Fails each time but the first: the file counts.
FLAKY = """
import pathlib, unittest
class A(unittest.TestCase):
    def test_flaky(self):
        count = pathlib.Path("count")
        count.write_text((count.read_text() if count.exists() else "") + "x")
        self.assertEqual(len(count.read_text()) % 2, 1)
    def test_steady(self): pass
"""


def report(verdict: RunVerdict, *cases: TestCase, trouble: str = "", exit_code: int | None = 0) -> TestReport:
    return TestReport(verdict, "x", "why", "x", exit_code, 0.5, cases, trouble=trouble)


GREEN, RED = TestCase("a", "passed"), TestCase("a", "failed", "a.py:1", "no", "detail")


def test_a_test_that_fails_at_times_is_failed_and_says_how_often() -> None:
    found = combine_runs([report("passed", GREEN), report("failed", RED, exit_code=1), report("passed", GREEN)], 3)
    assert (found.verdict, found.exit_code, found.repeats, found.duration_s) == ("failed", 1, 3, 1.5)
    assert found.cases == (TestCase("a", "failed", "a.py:1", "flaky: failed 1 of 3: no", "detail", runs=3, failures=1),)


def test_a_test_that_always_fails_is_not_flaky() -> None:
    found = combine_runs([report("failed", RED)] * 3, 3)
    assert [(case.message, case.runs, case.failures) for case in found.cases] == [("no", 3, 3)]


def test_it_passed_only_if_every_run_did() -> None:
    found = combine_runs([report("passed", GREEN)] * 4, 4)
    assert (found.verdict, found.repeats) == ("passed", 4)
    assert [(case.outcome, case.runs, case.failures) for case in found.cases] == [("passed", 4, 0)]


def test_a_run_that_broke_or_was_killed_is_the_last_word() -> None:
    cut = combine_runs(
        [report("passed", GREEN), report("timed_out", RED, trouble="killed after 9 s", exit_code=None)], 5
    )
    assert (cut.verdict, cut.trouble, cut.exit_code) == ("timed_out", "killed after 9 s, in run 2 of 5", None)
    assert [(case.runs, case.failures) for case in cut.cases] == [(2, 1)]
    assert combine_runs([report("failed", RED), report("broken", trouble="E")], 5).verdict == "broken"
    late = combine_runs([report("passed", GREEN)] * 2, 5, late="stopped after 9 s")
    assert (late.verdict, late.trouble) == ("timed_out", "stopped after 9 s, after 2 of 5 runs")


def test_commands_that_only_exit_are_counted_as_runs() -> None:
    runs = [report("passed", trouble="by exit"), report("failed", trouble="by exit", exit_code=1)]
    assert combine_runs(runs, 2).trouble == "by exit; flaky: failed 1 of 2 runs"
    assert combine_runs([runs[1]] * 2, 2).trouble == "by exit; failed 2 of 2 runs"


def test_a_test_that_is_skipped_at_times_counts_where_it_ran() -> None:
    runs = [report("passed", TestCase("a", "skipped")), report("passed", GREEN)]
    assert [(case.outcome, case.runs) for case in combine_runs(runs, 2).cases] == [("passed", 1)]


async def test_a_flaky_test_is_found_by_repeating_it(context: Context, workspace: Path) -> None:
    (workspace / "test_a.py").write_text(FLAKY)
    said: list[str] = []
    found = await context.testrun.run(repeat=4, progress=said.append)
    assert (found.verdict, found.repeats) == ("failed", 4)
    assert [(case.id, case.runs, case.failures, case.message) for case in found.cases] == [
        ("test_a.py::A::test_flaky", 4, 2, "flaky: failed 2 of 4: AssertionError: 0 != 1"),
        ("test_a.py::A::test_steady", 4, 0, ""),
    ]
    assert (workspace / "count").read_text() == "xxxx"
    assert said == [] or said[0].startswith("run 1 of 4: ")
    assert (await context.testrun.run()).cases[0].runs == 1


async def test_the_time_is_for_all_runs_together(context: Context) -> None:
    found = await context.testrun.run(command="sleep 1", repeat=50, timeout_s=2.5)
    assert found.verdict == "timed_out"
    assert found.repeats <= 3
    assert found.trouble.startswith("killed after 2.5 s")


async def test_what_has_no_tests_is_not_repeated(context: Context, workspace: Path) -> None:
    (workspace / "test_a.py").write_text("import unittest\n")
    found = await context.testrun.run(repeat=50)
    assert (found.verdict, found.repeats) == ("none_ran", 1)


@pytest.mark.parametrize("repeat", [0, -1, 51])
async def test_the_number_of_runs_is_bounded(context: Context, repeat: int) -> None:
    with pytest.raises(ToolError, match="1 to 50"):
        await context.testrun.run(repeat=repeat)
