"""Reports and texts that are meant to do harm, or are merely damaged; and the TRX format."""

import os
from pathlib import Path

import pytest

from kimi_agent.log.views import TestCase
from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.registry import list_runners
from kimi_agent.workspace.testrun.reports.cases import MAX_CASES, merge_cases
from kimi_agent.workspace.testrun.reports.report_file import ReportRejected, read_report_bytes
from kimi_agent.workspace.testrun.reports.trx import read_trx_report
from kimi_agent.workspace.testrun.runner import RunResult, TestRunner
from kimi_agent.workspace.testrun.runners.ctest import CTEST
from kimi_agent.workspace.testrun.runners.dotnet import DOTNET
from kimi_agent.workspace.testrun.runners.jvm import GRADLE, MAVEN
from kimi_agent.workspace.testrun.runners.mix import MIX
from kimi_agent.workspace.testrun.runners.phpunit import PHPUNIT
from kimi_agent.workspace.testrun.runners.ruby import MINITEST, RSPEC
from kimi_agent.workspace.testrun.values import ParsedReport
from kimi_agent.workspace.testrun.verdict import judge_run

# They read through junit.py, which does not catch these encodings.
_THROUGH_JUNIT = (GRADLE, MAVEN, PHPUNIT)
ALL = (GRADLE, MAVEN, CTEST, RSPEC, MINITEST, PHPUNIT, DOTNET, MIX)
MAKE, JUST, TASK = list_runners({})[-3:]
BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><testsuite>&b;</testsuite>'


def ran(context: Context, tmp_path: Path, data: bytes, *, exit_code: int | None = 0, lines: str = "") -> RunResult:
    """A run that left `data` wherever a row looks for its report."""
    root = context.files.root
    report = tmp_path / "run" / "report.xml"
    (report.parent / "trx").mkdir(parents=True, exist_ok=True)
    began = report.with_name("began")
    began.touch()
    os.utime(began, ns=(1, 1))
    for path in (report, report.parent / "trx" / "a.trx"):
        path.write_bytes(data)
    for place in ("target/surefire-reports", "build/test-results/test"):
        (root / place).mkdir(parents=True, exist_ok=True)
        (root / place / "TEST-a.xml").write_bytes(data)
    return RunResult(exit_code, lines.split("\n"), report, root, ProjectFolder(context.files, root))


DAMAGED = (
    b"",
    b"\xff\xfe\x00",
    b"{",
    b"null",
    b'{"examples": [{"id": 5}]}',
    b'{"examples": ' + b"[" * 100_000,
    b"<a>" * 5_000,
    b"<x>\x00</x>",
    b"<testsuite><testcase name='a'/>",
    b'<?xml version="1.0" encoding="no-such"?><testsuite/>',
    b'<?xml version="1.0" encoding="gbk"?><testsuite/>',
    BOMB,
)


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.name)
async def test_no_damaged_report_is_a_success(context: Context, tmp_path: Path, row: TestRunner) -> None:
    """Whatever stands there, nothing is raised, and nothing passed."""
    for data in DAMAGED:
        if b"encoding" in data and row in _THROUGH_JUNIT:
            continue
        for exit_code in (0, 1):
            run = ran(context, tmp_path, data, exit_code=exit_code)
            verdict, _ = judge_run(row.read(run), exit_code, killed="", lines=run.lines)
            assert verdict != "passed" or (row in (GRADLE, MAVEN) and b"testcase" in data), data[:40]


@pytest.mark.parametrize("row", [GRADLE, MAVEN, CTEST, RSPEC, PHPUNIT, DOTNET], ids=lambda row: row.name)
async def test_a_pipe_or_a_link_in_place_of_a_report_does_not_hold_us_up(
    context: Context, tmp_path: Path, row: TestRunner
) -> None:
    run = ran(context, tmp_path, b"")
    reports = [run.report_path, run.report_path.parent / "trx" / "a.trx", *context.files.root.rglob("TEST-a.xml")]
    green = tmp_path / "green"
    green.write_bytes(b'<x><testcase name="a" status="run"/><UnitTestResult testName="a"/></x>')
    for make in (lambda path: os.mkfifo(path), lambda path: path.symlink_to(green)):
        for path in reports:
            path.unlink()
            make(path)
        reading = row.read(run)
        assert reading.cases == ()
        assert judge_run(reading, 0, killed="", lines=[])[0] in ("broken", "none_ran")


async def test_a_truncated_junit_file_beside_whole_ones_is_told(context: Context, tmp_path: Path) -> None:
    run = ran(context, tmp_path, b'<testsuite><testcase name="a" classname="A"/>')
    reading = MAVEN.read(run)
    assert [case.id for case in reading.cases] == [".::A::a"]
    assert "not whole XML" in reading.trouble


def test_a_json_report_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 101)
    with pytest.raises(ReportRejected, match="larger than 100 bytes"):
        read_report_bytes(tmp_path / "a", 100)
    assert read_report_bytes(tmp_path / "a", 101) == b"x" * 101
    assert read_report_bytes(tmp_path / "b") is None


def test_names_that_share_an_id_keep_the_worst_of_them() -> None:
    found = merge_cases(TestCase("a", outcome) for outcome in ("skipped", "passed", "error", "passed", "failed"))
    assert found == (TestCase("a", "error"),)
    assert merge_cases([TestCase("a", "passed"), TestCase("a", "skipped")]) == (TestCase("a", "passed"),)


def test_passing_tests_beyond_a_bound_are_left_out_and_failing_ones_never() -> None:
    many = [TestCase(str(number), "passed") for number in range(MAX_CASES + 50)]
    assert len(merge_cases([*many, TestCase("bad", "failed")])) == MAX_CASES + 1


NASTY = "evil\x1b[2J\x00::\ud800\u2028name"


async def test_no_control_character_reaches_a_case(context: Context, tmp_path: Path) -> None:
    lines = "\n".join(
        [
            "Mod [test/a.exs]",
            f"  * test {NASTY} (1.0ms) [L#3]",
            "1 test, 0 failures",
            f"Calc#test_{NASTY} = 0.00 s = F",
            f"1/1 Test #1: {NASTY} .....***Failed  0.1 sec",
            "1 runs, 1 assertions, 1 failures, 0 errors, 0 skips",
        ]
    )
    for row in (MIX, MINITEST, CTEST):
        run = ran(context, tmp_path, b"", lines=lines)
        run.report_path.unlink()
        reading = row.read(run)
        assert len(reading.cases) == 1
        assert not set("\x00\x1b\n") & set(reading.cases[0].id)


async def test_floods_of_lines_are_read_in_bounded_space(context: Context, tmp_path: Path) -> None:
    flood = "\n".join(
        ["Calc#test_a = 0.00 s = E", "  1) Error:", "Calc#test_a:", *["    x"] * 30_000, "((((" * 2_000 + "=" * 9_000]
        + [f"Calc#t{number} = 0.00 s = ." for number in range(2_000)]
        + ["3000 runs, 1 assertions, 0 failures, 1 errors, 0 skips"]
    )
    reading = MINITEST.read(ran(context, tmp_path, b"", lines=flood, exit_code=1))
    assert len(reading.cases) == 2_001
    assert reading.cases[0].outcome == "error"
    assert len(reading.cases[0].detail) < 5_000
    assert "counts 3000 tests" in reading.trouble


@pytest.mark.parametrize(
    ("row", "lines", "exit_code", "verdict"),
    [
        (RSPEC, "bundler: command not found: rspec", 127, "broken"),
        (MINITEST, "rake aborted!\nDon't know how to build task 'test'", 1, "broken"),
        (MINITEST, "0 runs, 0 assertions, 0 failures, 0 errors, 0 skips", 0, "none_ran"),
        (MINITEST, "3 runs, 3 assertions, 0 failures, 0 errors, 0 skips", 0, "passed"),
        (MINITEST, "3 runs, 3 assertions, 1 failures, 0 errors, 0 skips", 1, "failed"),
        (MIX, "There are no tests to run", 0, "none_ran"),
        (MIX, "** (Mix) Could not start application", 1, "broken"),
        (CTEST, "CMake Error: The source directory does not exist", 1, "broken"),
        (PHPUNIT, "No tests executed!", 0, "none_ran"),
        (PHPUNIT, "Unknown option --nope", 1, "broken"),
        (PHPUNIT, "No tests executed!", 1, "none_ran"),
        (MIX, "All tests have been excluded.\n5 tests, 0 failures, 5 excluded", 1, "none_ran"),
        (GRADLE, "* What went wrong:\n> No tests found for given includes: [x](--tests filter)", 1, "none_ran"),
        (DOTNET, "A.cs(3,4): error CS0103: The name 'x' does not exist", 1, "broken"),
        (DOTNET, "No test is available in t.dll.", 0, "none_ran"),
        (MAVEN, "[ERROR] Non-resolvable parent POM", 1, "broken"),
        (GRADLE, "* What went wrong:\nTask 'test' not found", 1, "broken"),
        (JUST, "error: unknown recipe", 1, "failed"),
        (TASK, "", 0, "passed"),
        (TASK, "", 127, "broken"),
    ],
)
async def test_what_stands_in_the_text_alone(
    context: Context, tmp_path: Path, row: TestRunner, lines: str, exit_code: int, verdict: str
) -> None:
    root = context.files.root
    (tmp_path / "began").touch()
    run = RunResult(exit_code, lines.split("\n"), tmp_path / "report.xml", root, ProjectFolder(context.files, root))
    found = judge_run(row.read(run), exit_code, killed="", lines=run.lines)
    assert found[0] == verdict
    if verdict == "broken" and exit_code != 127:
        assert lines.split("\n")[0] in found[1]


async def test_trx(context: Context, tmp_path: Path) -> None:
    """By the format's schema: no .NET was at hand to record one."""
    root = context.files.root
    text = (Path(__file__).parent / "recorded" / "dotnet_trx.txt").read_text().replace("@ROOT@", str(root))
    for part in text.split("@@@ ")[1:]:
        name, _, content = part.partition("\n")
        path = (tmp_path if name.startswith("trx/") else root) / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    reading = DOTNET.read(RunResult(1, [], tmp_path / "report.xml", root, ProjectFolder(context.files, root)))
    at = "tests/CalcTests.cs::Acme.Tests.CalcTests"
    assert {case.id: case.outcome for case in reading.cases} == {
        f"{at}.Adds(a: 1, b: 2)": "failed",
        f"{at}.Skipped": "skipped",
        f"{at}+Inner.Ok": "passed",
        f"{at}.Hangs": "error",
        f"{at}.Rows (1)": "passed",
        f"{at}.Rows (2)": "failed",
        ".::Gone.Elsewhere.Nameless": "skipped",
    }
    adds = reading.cases[0]
    assert (adds.place, adds.message) == ("tests/CalcTests.cs:8", "Assert.Equal() Failure: Values differ")
    assert [line.strip()[:7] for line in adds.detail.split("\n")] == [
        "Assert.",
        "Expecte",
        "Actual:",
        "at Acme",
        "at Acme",
    ]
    assert reading.trouble == "The active test run was aborted."
    assert judge_run(reading, 1, killed="", lines=[])[0] == "failed"


async def test_green_trx_beside_a_failed_build_is_no_success(context: Context, tmp_path: Path) -> None:
    green = b'<TestRun><Results><UnitTestResult testName="A.B" outcome="Passed"/></Results></TestRun>'
    run = ran(context, tmp_path, green, exit_code=1, lines="x.cs(1,2): error CS1002: ; expected")
    assert DOTNET.read(run).fatal_error == "x.cs(1,2): error CS1002: ; expected"
    assert DOTNET.read(ran(context, tmp_path, green)) == ParsedReport((TestCase(".::A.B", "passed"),))


def test_a_document_type_in_a_trx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.trx").write_bytes(BOMB)
    found = read_trx_report(tmp_path / "a.trx")
    assert found is not None
    assert "declares a document type" in found.trouble
    assert read_trx_report(tmp_path / "none.trx") is None
