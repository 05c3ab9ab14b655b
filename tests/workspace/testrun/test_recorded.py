"""Recorded runs of real runners (paths neutral): `recorded/NAME.txt` is read as `recorded/NAME.expected.json` says."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.choosing.given_command import prepare_given_command
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import RunResult
from kimi_agent.workspace.testrun.verdict import judge_run
from tests.workspace.testrun.project_files import RECORDED, RUNNERS, expectation, outcomes, put, read_recorded, unfold

NAMES = sorted(path.stem for path in RECORDED.glob("*.txt"))
Play = Callable[..., ParsedReport]


@pytest.fixture
def play(context: Context, tmp_path: Path) -> Play:
    """Reads a recorded run; takes what `read_recorded` takes."""
    return lambda name, **how: read_recorded(name, context, tmp_path, **how)[0]


def set_fields(case: Mapping[str, object]) -> dict[str, object]:
    """The fields that say something."""
    return {key: value for key, value in case.items() if value and key != "runs"}


@pytest.mark.golden
@pytest.mark.parametrize("name", NAMES)
async def test_a_recorded_run_is_read_as_expected(
    context: Context, tmp_path: Path, name: str, request: pytest.FixtureRequest
) -> None:
    expected = expectation(name)
    reading, lines = read_recorded(name, context, tmp_path)
    verdict, trouble = judge_run(reading, expected["exit_code"], killed="", lines=lines)
    report: dict[str, Any] = msgspec.to_builtins(replace(reading, log=""))
    cases = [set_fields(case) for case in report.pop("cases")]
    how = {key: value for key, value in expected.items() if key in ("runner", "exit_code", "on")}
    found = {**how, "verdict": verdict, "trouble": trouble, "report": report, "cases": cases}
    text = json.dumps(found, indent=1, ensure_ascii=False).replace(str(context.files.root), "@ROOT@") + "\n"
    path = RECORDED / f"{name}.expected.json"
    if request.config.getoption("--golden"):
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8"), "read the change, then: make golden"


@pytest.mark.parametrize("name", ["node_jest", "node_vitest", "node_bun"])
async def test_paths_of_a_package_below_the_workspace_begin_with_its_folder(play: Play, name: str) -> None:
    def places(reading: ParsedReport, prefix: str) -> list[tuple[str, str, str]]:
        return [(prefix + case.id, case.outcome, case.place and prefix + case.place) for case in reading.cases]

    assert places(play(name, below="web app"), "") == places(play(name), "web app/")


@pytest.mark.parametrize("name", ["node_jest", "node_mocha"])
async def test_tests_that_a_name_left_out_are_not_told_as_skipped(play: Play, name: str) -> None:
    assert "skipped" in outcomes(play(name)).values()
    assert "skipped" not in outcomes(play(name, name_filter="x")).values()


async def test_a_killed_node_tells_what_ended_and_what_ran(play: Play) -> None:
    def torn(text: str) -> str:
        return text[: text.find('{"kind":"end"') + 300].rpartition("\n")[0]

    reading = play("node_test", exit_code=None, edit=torn)
    assert not reading.is_complete
    assert outcomes(reading) == {"test/a.test.js::adds": "passed"}


async def test_a_killed_ctest_is_read_from_its_lines(context: Context, tmp_path: Path) -> None:
    root = context.files.root
    parts = unfold("ctest_ctest", root)
    put(root, {"CMakeLists.txt": parts["CMakeLists.txt"]})
    lines = parts["output"].partition(" 7/10 Test")[0].split("\n")
    ran = RunResult(None, lines, tmp_path / "none.xml", root, ProjectFolder(context.files, root))
    reading = RUNNERS["ctest"].read(ran)
    assert outcomes(reading)["CMakeLists.txt::gone"] == "error"
    assert (len(reading.cases), reading.running) == (6, "CMakeLists.txt::slow")


async def test_a_module_that_does_not_compile_beside_green_ones_is_no_success(context: Context, tmp_path: Path) -> None:
    green = '<testsuite><testcase name="ok" classname="com.x.CalcTest"/></testsuite>'
    parts = unfold("jvm_maven", context.files.root)
    put(context.files.root, {path: green if "TEST-" in path else text for path, text in parts.items()})
    reading, lines = read_recorded("jvm_maven_broken", context, tmp_path)
    assert outcomes(reading) == {"core/src/test/java/com/x/CalcTest.java::ok": "passed"}
    verdict, trouble = judge_run(reading, 1, killed="", lines=lines)
    assert verdict == "broken"
    assert "cannot find symbol" in trouble


async def test_reports_of_earlier_runs_are_not_read(context: Context, tmp_path: Path) -> None:
    root = context.files.root
    put(root, unfold("jvm_maven", root))
    run = RunResult(0, [], tmp_path / "run" / "report.xml", root, ProjectFolder(context.files, root))
    # When nothing tells the beginning, no report is this run's.
    assert judge_run(RUNNERS["maven"].read(run), 0, killed="", lines=[])[0] == "broken"
    put(tmp_path / "run", {"began": ""})
    reading = RUNNERS["maven"].read(run)
    assert judge_run(reading, 0, killed="", lines=[]) == ("none_ran", "")


async def test_gradle_that_reran_nothing_is_told(context: Context, tmp_path: Path) -> None:
    root = context.files.root
    (tmp_path / "began").touch()
    lines = ["> Task :app:compileTestJava UP-TO-DATE", "> Task :app:testDebugUnitTest UP-TO-DATE"]
    run = RunResult(0, lines, tmp_path / "report.xml", root, ProjectFolder(context.files, root))
    assert judge_run(RUNNERS["gradle"].read(run), 0, killed="", lines=lines)[0] == "none_ran"
    assert "up to date and ran none" in RUNNERS["gradle"].read(run).trouble
    quiet = RunResult(0, lines[:1], run.report_path, root, run.folder)
    assert RUNNERS["gradle"].read(quiet) == ParsedReport()


async def test_a_risky_test_that_phpunit_lets_pass_has_passed(play: Play) -> None:
    found = outcomes(play("php_phpunit", exit_code=0))
    assert found["tests/CalcTest.php::testRisky"] == "passed"
    assert found["tests/CalcTest.php::testCrash"] == "error"


async def test_gos_log_is_what_a_person_would_read(play: Play) -> None:
    log = play("go_test").log
    assert "--- FAIL: TestBad (0.00s)\n" in log
    assert '"Action"' not in log


async def test_an_older_go_that_does_not_mark_errors_is_read_too(play: Play) -> None:
    reading = play("go_test", edit=lambda text: re.sub(r',"OutputType":"[^"]*"', "", text), leave_out="_test.go")
    (bad,) = [case for case in reading.cases if case.id == ".::TestBad"]
    assert (bad.place, bad.message) == ("a_test.go:13", "got 2")


async def test_a_test_binary_that_dies_is_told(play: Play) -> None:
    reading = play("rust_cargo", edit=lambda text: text[: text.index("test tests::adds")])
    assert not reading.is_complete
    assert "src/lib.rs broke off" in reading.trouble


async def test_a_given_command_whose_first_test_ends_the_program_is_not_judged_by_its_exit_code(
    context: Context, tmp_path: Path
) -> None:
    root, report = context.files.root, tmp_path / "run" / "report"
    parts = unfold("rust_exit_zero", root)
    put(root, {name: text for name, text in parts.items() if name != "output"})
    lines = parts["output"].replace("test tests::ok ... ok\n", "").split("\n")
    folder = ProjectFolder(context.files, root)
    plan = prepare_given_command("cargo test", folder, "", report, [RUNNERS["cargo test"]])
    reading = plan.read(RunResult(0, lines, report, root, folder))
    assert (reading.cases, reading.running) == ((), "src/lib.rs::tests::quits")
    assert judge_run(reading, 0, killed="", lines=lines)[0] == "broken"


async def test_a_zig_failure_that_is_printed_in_two_parts_keeps_its_place(play: Play) -> None:
    def torn(text: str) -> str:
        frame = next(line for line in text.split("\n") if line.endswith(" in test.fails (root.zig)"))
        return f"{frame.lstrip()}\n{text.replace(frame, '')}"

    (bad,) = [case for case in play("zig_failed", edit=torn).cases if case.id == "src/root.zig::fails"]
    assert (bad.place, bad.message) == ("src/root.zig:9", "expected 42, found 41")
