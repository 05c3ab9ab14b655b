"""Reports and texts that are meant to do harm, or are merely damaged."""

import json
import os
from pathlib import Path

import pytest

from kimi_agent.log.views import TestCase
from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport
from kimi_agent.workspace.testrun.formats.junit import read_junit_report
from kimi_agent.workspace.testrun.formats.trx import read_trx_report
from kimi_agent.workspace.testrun.reports.cases import MAX_CASES, merge_cases
from kimi_agent.workspace.testrun.reports.report_file import ReportRejected, read_report_bytes
from kimi_agent.workspace.testrun.verdict import judge_run
from tests.workspace.testrun.project_files import RUNNERS, left

# Judged by their exit code where no text is understood.
BY_EXIT_CODE = {
    *("npm test", "tox", "nox", "make test", "just test", "task test", "composer test"),
    *("dune test", "nimble test", "stack test", "Pkg.test"),
}
READERS = [name for name in RUNNERS if name not in BY_EXIT_CODE]
BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><testsuite>&b;</testsuite>'


LEAK = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><testsuite><testcase name="&a;"/></testsuite>'


DAMAGED = (
    b"",
    b"\xff\xfe\x00",
    b"{",
    b"null",
    b"[]",
    b'{"testResults": 3}',
    b'{"kind":"end","titles":4}',
    b"[" * 100_000,
    b'{"examples": [{"id": 5}]}',
    b'{"examples": ' + b"[" * 100_000,
    b"<a>" * 5_000,
    b"<x>\x00</x>",
    b"<testsuite><testcase name='a'/>",
    b'<?xml version="1.0" encoding="no-such"?><testsuite/>',
    b'<?xml version="1.0" encoding="gbk"?><testsuite/>',
    BOMB,
)


@pytest.mark.parametrize("name", READERS)
async def test_no_damaged_report_is_a_success(context: Context, tmp_path: Path, name: str) -> None:
    """Whatever stands there, nothing is raised, and nothing passed."""
    for data in DAMAGED:
        for exit_code in (0, 1):
            run = left(context, tmp_path, data, exit_code=exit_code)
            verdict, _ = judge_run(RUNNERS[name].read(run), exit_code, killed="", lines=run.lines)
            assert verdict != "passed" or (name in ("gradle", "maven") and b"testcase" in data), data[:40]


NOISE = ["", "\x1b[31m", "{", '{"Action": 3}', '{"Action":"pass","Package":4}', "x" * 10_000, "é\x00", "test "]


@pytest.mark.parametrize("name", RUNNERS)
async def test_noise_is_no_success(context: Context, tmp_path: Path, name: str) -> None:
    run = left(context, tmp_path, None, exit_code=1, lines="\n".join(NOISE))
    assert judge_run(RUNNERS[name].read(run), 1, killed="", lines=NOISE)[0] in ("broken", "failed")


@pytest.mark.parametrize("name", ["pytest", "gradle", "maven", "ctest", "rspec", "phpunit", "dotnet", "jest", "mocha"])
async def test_a_pipe_or_a_link_in_place_of_a_report_does_not_hold_us_up(
    context: Context, tmp_path: Path, name: str
) -> None:
    run = left(context, tmp_path, b"")
    reports = [run.report_path, run.report_path.parent / "trx" / "a.trx", *context.files.root.rglob("TEST-a.xml")]
    green = tmp_path / "green"
    green.write_bytes(b'<x><testcase name="a" status="run"/><UnitTestResult testName="a"/></x>')
    for make in (lambda path: os.mkfifo(path), lambda path: path.symlink_to(green)):
        for path in reports:
            path.unlink()
            make(path)
        reading = RUNNERS[name].read(run)
        assert reading.cases == ()
        assert judge_run(reading, 0, killed="", lines=[])[0] in ("broken", "none_ran")


async def test_a_truncated_junit_file_beside_whole_ones_is_told(context: Context, tmp_path: Path) -> None:
    run = left(context, tmp_path, b'<testsuite><testcase name="a" classname="A"/>')
    reading = RUNNERS["maven"].read(run)
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
            f"Calc#test_{NASTY} = 0.00 s = F",
            f"1/1 Test #1: {NASTY} .....***Failed  0.1 sec",
            "1 runs, 1 assertions, 1 failures, 0 errors, 0 skips",
        ]
    )
    nasty = NASTY.encode("utf-8", "replace").decode()
    event = json.dumps({"kind": "end", "outcome": "passed", "test": nasty, "name": nasty, "code": "."})
    for name, report in (("mix", event), ("minitest", event), ("minitest", None), ("ctest", None)):
        data = None if report is None else f"{report}\n".encode()
        reading = RUNNERS[name].read(left(context, tmp_path, data, lines=lines))
        assert len(reading.cases) == 1
        assert not set("\x00\x1b\n") & set(reading.cases[0].id)


async def test_floods_of_lines_are_read_in_bounded_space(context: Context, tmp_path: Path) -> None:
    flood = "\n".join(
        ["Calc#test_a = 0.00 s = E", "  1) Error:", "Calc#test_a:", *["    x"] * 30_000, "((((" * 2_000 + "=" * 9_000]
        + [f"Calc#t{number} = 0.00 s = ." for number in range(2_000)]
        + ["3000 runs, 1 assertions, 0 failures, 1 errors, 0 skips"]
    )
    reading = RUNNERS["minitest"].read(left(context, tmp_path, b"", lines=flood, exit_code=1))
    assert len(reading.cases) == 2_001
    assert reading.cases[0].outcome == "error"
    assert len(reading.cases[0].detail) < 5_000
    assert (reading.announced, reading.ended) == (3_000, 2_001)


@pytest.mark.parametrize(
    ("name", "lines", "exit_code", "verdict"),
    [
        ("rspec", "bundler: command not found: rspec", 127, "broken"),
        ("minitest", "rake aborted!\nDon't know how to build task 'test'", 1, "broken"),
        ("minitest", "0 runs, 0 assertions, 0 failures, 0 errors, 0 skips", 0, "none_ran"),
        ("minitest", "3 runs, 3 assertions, 0 failures, 0 errors, 0 skips", 0, "passed"),
        ("minitest", "3 runs, 3 assertions, 1 failures, 0 errors, 0 skips", 1, "failed"),
        ("mix", "There are no tests to run", 0, "none_ran"),
        ("mix", "** (Mix) Could not start application", 1, "broken"),
        ("ctest", "CMake Error: The source directory does not exist", 1, "broken"),
        ("phpunit", "No tests executed!", 0, "none_ran"),
        ("phpunit", "Unknown option --nope", 1, "broken"),
        ("phpunit", "No tests executed!", 1, "none_ran"),
        ("gradle", "* What went wrong:\n> No tests found for given includes: [x](--tests filter)", 1, "none_ran"),
        ("dotnet", "A.cs(3,4): error CS0103: The name 'x' does not exist", 1, "broken"),
        ("dotnet", "No test is available in t.dll.", 0, "none_ran"),
        ("maven", "[ERROR] Non-resolvable parent POM", 1, "broken"),
        ("gradle", "* What went wrong:\nTask 'test' not found", 1, "broken"),
        ("just test", "error: unknown recipe", 1, "failed"),
        ("task test", "", 0, "passed"),
        ("task test", "", 127, "broken"),
    ],
)
async def test_what_stands_in_the_text_alone(
    context: Context, tmp_path: Path, name: str, lines: str, exit_code: int, verdict: str
) -> None:
    run = left(context, tmp_path, None, exit_code=exit_code, lines=lines)
    found = judge_run(RUNNERS[name].read(run), exit_code, killed="", lines=run.lines)
    assert found[0] == verdict
    if verdict == "broken" and exit_code != 127:
        assert lines.split("\n")[0] in found[1]


async def test_green_trx_beside_a_failed_build_is_no_success(context: Context, tmp_path: Path) -> None:
    green = b'<TestRun><Results><UnitTestResult testName="A.B" outcome="Passed"/></Results></TestRun>'
    run = left(context, tmp_path, green, exit_code=1, lines="x.cs(1,2): error CS1002: ; expected")
    assert RUNNERS["dotnet"].read(run).fatal_error == "x.cs(1,2): error CS1002: ; expected"
    assert RUNNERS["dotnet"].read(left(context, tmp_path, green)) == ParsedReport((TestCase(".::A.B", "passed"),))


@pytest.mark.parametrize("data", [BOMB, LEAK, b"<!DOCTYPE x><testsuite/>"])
def test_a_document_type_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "report").write_bytes(data)
    for found in (read_junit_report(tmp_path / "report"), read_trx_report(tmp_path / "report")):
        assert found is not None
        assert "declares a document type" in found.trouble
    assert read_junit_report(tmp_path / "none") is None
    assert read_trx_report(tmp_path / "none") is None


def test_what_was_read_of_a_damaged_report_is_kept_and_the_fault_told(tmp_path: Path) -> None:
    (tmp_path / "report").write_bytes(b"<testsuite><testcase name='a'/>")
    found = read_junit_report(tmp_path / "report")
    assert found is not None
    assert ("not whole XML" in found.trouble, [each.name for each in found.elements]) == (True, ["a"])
