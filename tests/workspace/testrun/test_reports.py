"""pytest's report and lines, failure texts, and the verdict on a report: pure."""

from pathlib import Path

import pytest

from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport
from kimi_agent.workspace.testrun.formats.junit import MAX_JUNIT_CASES, read_junit_report
from kimi_agent.workspace.testrun.formats.python.pytest_report import parse_pytest_report
from kimi_agent.workspace.testrun.reports.failure_excerpt import excerpt_python_failure, make_path_mapper
from kimi_agent.workspace.testrun.verdict import judge_run


def report(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "report.xml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.long
def test_a_huge_report_keeps_all_failures_and_bounded_text(tmp_path: Path) -> None:
    one = '<testcase classname="t" name="n{}"/>'
    bad = '<testcase classname="t" name="bad"><failure message="m">' + "x" * 1_000_000 + "</failure></testcase>"
    text = "<testsuite>" + "".join(one.format(n) for n in range(MAX_JUNIT_CASES + 5)) + bad + "</testsuite>"
    found = read_junit_report(report(tmp_path, text))
    assert found is not None
    assert (found.total, len(found.elements)) == (MAX_JUNIT_CASES + 6, MAX_JUNIT_CASES + 1)
    assert len(found.elements[-1].text) == 20_000
    reading = parse_pytest_report(found, [], root=tmp_path, folder=tmp_path)
    assert "every failure are kept" in reading.trouble


def test_frames_outside_the_workspace_are_left_out(tmp_path: Path) -> None:
    text = "\n".join(
        [
            "tests/test_a.py:4: in test_a",
            "    lib.call()",
            "/usr/lib/python3/lib.py:9: in call",
            "    raise ValueError",
            ".venv/lib/python3.11/site-packages/x.py:1: in f",
            "    pass",
            "src/b.py:7: in deep",
            "    boom()",
            "E   ValueError: a",
        ]
    )
    found = excerpt_python_failure(text, make_path_mapper(tmp_path, tmp_path), "tests/test_a.py")
    assert found.place == "tests/test_a.py:4"
    assert found.detail.split("\n") == [
        "tests/test_a.py:4: in test_a",
        "    lib.call()",
        "src/b.py:7: in deep",
        "    boom()",
        "E   ValueError: a",
    ]


def test_a_long_failure_keeps_its_last_frames_and_its_message(tmp_path: Path) -> None:
    frames = [line for n in range(20) for line in (f"a.py:{n + 1}: in f{n}", f"    f{n + 1}()")]
    found = excerpt_python_failure(
        "\n".join([*frames, *(f"E   line {n}" for n in range(50))]), make_path_mapper(tmp_path, tmp_path)
    )
    lines = found.detail.split("\n")
    assert len(lines) <= 15
    assert lines[:2] == ["a.py:19: in f18", "    f19()"]
    assert "E   line 0" in lines
    assert lines[-1] == "… 41 more lines in the full log"


LIVE = """\
rootdir: /elsewhere, configfile: pytest.ini
collected 4 items

tests/test_a.py::test_a PASSED                            [ 25%]
tests/test_a.py::test_b[a b] FAILED                       [ 50%]
tests/test_a.py::test_noisy talks a lot
and more
PASSED                                                    [ 75%]
tests/test_a.py::test_c """

XDIST = """\
tests/test_a.py::test_a
tests/test_a.py::test_b
[gw1] [ 50%] PASSED tests/test_a.py::test_b
[gw0] [ 75%] FAILED tests/test_a.py::test_d[x y]
"""


def test_a_killed_run_is_read_from_its_lines(tmp_path: Path) -> None:
    reading = parse_pytest_report(None, LIVE.split("\n"), root=tmp_path, folder=tmp_path)
    assert [(case.id, case.outcome) for case in reading.cases] == [
        ("tests/test_a.py::test_a", "passed"),
        ("tests/test_a.py::test_b[a b]", "failed"),
        ("tests/test_a.py::test_noisy", "passed"),
    ]
    assert reading.running == "tests/test_a.py::test_c"


def test_a_killed_parallel_run_is_read_from_its_lines(tmp_path: Path) -> None:
    reading = parse_pytest_report(None, XDIST.split("\n"), root=tmp_path, folder=tmp_path)
    assert [(case.id, case.outcome) for case in reading.cases] == [
        ("tests/test_a.py::test_b", "passed"),
        ("tests/test_a.py::test_d[x y]", "failed"),
    ]
    assert reading.running == "tests/test_a.py::test_a"


GOOD = (TestCase("a", "passed"),)
BAD = (TestCase("a", "failed"),)


@pytest.mark.parametrize(
    ("reading", "exit_code", "killed", "verdict"),
    [
        (ParsedReport(GOOD), 0, "", "passed"),
        (ParsedReport(GOOD), 1, "", "run_failed"),
        (ParsedReport(GOOD), 2, "", "broken"),
        (ParsedReport(GOOD), 139, "", "broken"),
        (ParsedReport(GOOD, announced=1), 3, "", "run_failed"),
        (ParsedReport(GOOD, announced=1), 139, "", "broken"),
        (ParsedReport(GOOD, announced=2), 0, "", "broken"),
        (ParsedReport(GOOD, announced=2, ended=2), 0, "", "passed"),  # two of one id
        (ParsedReport(GOOD, running="b"), 0, "", "broken"),
        (ParsedReport(GOOD, is_complete=False), 0, "", "broken"),
        (ParsedReport(GOOD, stated_result="failed"), 1, "", "failed"),
        (ParsedReport(GOOD), None, "killed after 3 s", "timed_out"),
        (ParsedReport(GOOD, stated_result="failed"), 0, "", "failed"),
        (ParsedReport(BAD), 0, "", "failed"),
        (ParsedReport(BAD), 1, "", "failed"),
        (ParsedReport(BAD, fatal_error="E  x"), 2, "", "broken"),
        (ParsedReport((TestCase("a", "skipped"),)), 0, "", "none_ran"),
        (ParsedReport(), 0, "", "none_ran"),
        (ParsedReport(), 5, "", "none_ran"),
        (ParsedReport(stated_result="none"), 1, "", "none_ran"),
        (ParsedReport(), 4, "", "broken"),
        (ParsedReport(stated_result="passed", by_exit_code=True), 0, "", "passed"),
        (ParsedReport(stated_result="failed", by_exit_code=True), 2, "", "failed"),
        (ParsedReport(by_exit_code=True), 0, "", "failed"),
        (ParsedReport(stated_result="none", by_exit_code=True), 0, "", "none_ran"),
    ],
)
def test_the_verdict_holds_the_report_against_the_exit(
    reading: ParsedReport, exit_code: int | None, killed: str, verdict: str
) -> None:
    assert judge_run(reading, exit_code, killed=killed, lines=[])[0] == verdict


BY_EXIT_CODE = ParsedReport(stated_result="passed", by_exit_code=True)


@pytest.mark.parametrize(
    ("lines", "verdict", "trouble"),
    [
        (["all is well"], "passed", "judged by its exit code; no test was read one by one"),
        (["Ran 0 tests in 0.000s"], "none_ran", "it says: Ran 0 tests in 0.000s"),
        (["== 1 failed in 0.01s =="], "failed", "the exit code is 0 although it says: == 1 failed in 0.01s =="),
    ],
)
def test_the_closing_lines_win_over_an_exit_code_of_zero(lines: list[str], verdict: str, trouble: str) -> None:
    assert judge_run(BY_EXIT_CODE, 0, killed="", lines=lines) == (verdict, trouble)


def test_a_run_that_fails_after_green_tests_says_why_in_the_runners_own_last_words() -> None:
    words = ["1 passed", "ERROR: Coverage failure: total of 67 is less than fail-under=100"]
    _, trouble = judge_run(ParsedReport(GOOD, announced=1), 1, killed="", lines=words)
    assert trouble == f"all 1 passed, but the run failed (exit 1): {words[1]}"
