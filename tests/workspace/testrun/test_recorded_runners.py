"""What real runners wrote (recorded; paths neutral), read by their rows."""

import os
from pathlib import Path

import pytest

from kimi_agent.log.views import TestCase
from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import RunResult, TestRunner
from kimi_agent.workspace.testrun.runners.ctest import CTEST
from kimi_agent.workspace.testrun.runners.jvm import GRADLE, MAVEN
from kimi_agent.workspace.testrun.runners.mix import MIX
from kimi_agent.workspace.testrun.runners.phpunit import PHPUNIT
from kimi_agent.workspace.testrun.runners.ruby import MINITEST, RSPEC
from kimi_agent.workspace.testrun.values import ParsedReport
from kimi_agent.workspace.testrun.verdict import judge_run

RECORDED = Path(__file__).parent / "recorded"


def unfold(name: str, root: Path) -> dict[str, str]:
    """The texts of a recording; those that are files of the project are laid into `root`."""
    text = (RECORDED / f"{name}.txt").read_bytes().decode().replace("@ROOT@", str(root))
    texts: dict[str, str] = {}
    for part in text.split("@@@ ")[1:]:
        path, _, content = part.partition("\n")
        texts[path] = content
        if path not in ("output", "report"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content.encode())
    return texts


class Recorded:
    """A recorded run: what its row reads, and the verdict on it."""

    def __init__(
        self, row: TestRunner, context: Context, tmp_path: Path, names: tuple[str, ...], exit_code: int
    ) -> None:
        root = context.files.root
        report = tmp_path / "run" / "report.xml"
        report.parent.mkdir()
        began = report.with_name("began")
        began.touch()
        os.utime(began, ns=(1_000, 1_000))
        texts: dict[str, str] = {}
        for name in names:
            texts |= unfold(name, root)
        if "report" in texts:
            report.write_bytes(texts["report"].encode())
        self.lines = texts["output"].split("\n")
        self.reading: ParsedReport = row.read(
            RunResult(exit_code, self.lines, report, root, ProjectFolder(context.files, root))
        )
        self.verdict, self.trouble = judge_run(self.reading, exit_code, killed="", lines=self.lines)
        self.cases: dict[str, TestCase] = {case.id: case for case in self.reading.cases}

    def outcomes(self) -> dict[str, str]:
        return {each: case.outcome for each, case in self.cases.items()}


async def test_surefire(context: Context, tmp_path: Path) -> None:
    run = Recorded(MAVEN, context, tmp_path, ("jvm_maven",), 1)
    at = "core/src/test/java/com/x"
    assert run.verdict == "failed"
    assert run.outcomes() == {
        f"{at}/CalcTest.java::assumed": "skipped",
        f"{at}/CalcTest.java::ok": "passed",
        f"{at}/CalcTest.java::off": "skipped",
        f"{at}/CalcTest.java::adds": "failed",
        f"{at}/CalcTest.java::crashes": "error",
        f"{at}/ParamTest.java::adds[0 plus]": "passed",
        f"{at}/ParamTest.java::adds[1 plus]": "failed",
        f"{at}/SetupTest.java": "error",
    }
    crash = run.cases[f"{at}/CalcTest.java::crashes"]
    assert (crash.place, crash.message) == (f"{at}/CalcTest.java:9", "java.lang.IllegalStateException: no way")
    assert run.cases[f"{at}/CalcTest.java::off"].message == "not now"


async def test_gradle(context: Context, tmp_path: Path) -> None:
    run = Recorded(GRADLE, context, tmp_path, ("jvm_maven", "jvm_gradle"), 1)
    at = "core/src/test/java/com/x"
    assert run.verdict == "failed"
    found = run.outcomes()
    # Gradle has one word for a failure and an error.
    assert found[f"{at}/CalcTest.java::crashes"] == "failed"
    assert run.cases[f"{at}/CalcTest.java::crashes"].detail.split("\n") == [
        "java.lang.IllegalStateException: no way",
        "\tat com.x.Calc.crash(Calc.java:5)",
        "\tat com.x.CalcTest.crashes(CalcTest.java:9)",
    ]
    assert found[f"{at}/CalcTest.java::InnerTest::in"] == "passed"
    assert found["app/src/test/java/com/x/AppTest.java::starts"] == "passed"
    assert run.cases[f"{at}/ParamTest.java::adds[1 plus]"].place == f"{at}/ParamTest.java:14"


@pytest.mark.parametrize(
    ("row", "name", "exit_code", "says"),
    [
        (MAVEN, "jvm_maven_broken", 1, "Calc.java:[4,54] cannot find symbol\n  symbol:   variable c"),
        (GRADLE, "jvm_gradle_broken", 1, "Calc.java:4: error: cannot find symbol\n    public static int add"),
        (RSPEC, "ruby_rspec_broken", 1, "NameError:\n  uninitialized constant Nope"),
        (MINITEST, "ruby_minitest_broken", 1, "cannot load such file -- nope (LoadError)"),
        (PHPUNIT, "php_phpunit_broken", 255, "ParseError: syntax error, unexpected end of file"),
        (MIX, "elixir_mix_broken", 1, "(CompileError) lib/calc.ex:2: undefined function c/0"),
    ],
)
async def test_what_never_came_to_its_tests_is_broken_and_says_its_first_error(
    context: Context, tmp_path: Path, row: TestRunner, name: str, exit_code: int, says: str
) -> None:
    run = Recorded(row, context, tmp_path, (name,), exit_code)
    assert (run.verdict, run.reading.cases) == ("broken", ())
    assert says in run.trouble


async def test_a_module_that_does_not_compile_beside_green_ones_is_no_success(context: Context, tmp_path: Path) -> None:
    unfold("jvm_maven", context.files.root)
    for report in context.files.root.rglob("TEST-*.xml"):
        if "CalcTest" in report.name or "SetupTest" in report.name or "ParamTest" in report.name:
            report.write_text('<testsuite><testcase name="ok" classname="com.x.CalcTest"/></testsuite>')
    run = Recorded(MAVEN, context, tmp_path, ("jvm_maven_broken",), 1)
    assert run.outcomes() == {"core/src/test/java/com/x/CalcTest.java::ok": "passed"}
    assert run.verdict == "broken"
    assert "cannot find symbol" in run.trouble


async def test_rspec(context: Context, tmp_path: Path) -> None:
    run = Recorded(RSPEC, context, tmp_path, ("ruby_rspec",), 1)
    at = "spec/adder_spec.rb::Adder#add"
    assert run.verdict == "failed"
    assert run.outcomes() == {
        f"{at} adds two numbers": "failed",
        f"{at} is the same name": "passed",
        f"{at} is the same name [1:1:3]": "passed",
        f"{at} raises": "error",
        f"{at} is not done": "skipped",
        f"{at} is off": "skipped",
        f"{at} was broken": "skipped",
        f"{at} is mended": "failed",
        f"{at} is expected to eq 0 [1:1:9]": "passed",
        f"{at} behaves like a thing is shared": "failed",
    }
    raised = run.cases[f"{at} raises"]
    assert (raised.place, raised.message) == ("spec/adder_spec.rb:7", "ArgumentError: no way")
    assert run.cases[f"{at} adds two numbers"].detail.split("\n")[:2] == ["expected: 3", "     got: -1"]


async def test_minitest(context: Context, tmp_path: Path) -> None:
    run = Recorded(MINITEST, context, tmp_path, ("ruby_minitest",), 1)
    assert run.verdict == "failed"
    assert run.outcomes() == {
        "test/spec_test.rb::Calc#test_0001_adds well": "failed",
        "test/spec_test.rb::Calc::crash#test_0001_does": "passed",
        "test/calc_test.rb::Outer::InnerTest#test_in": "failed",
        "test/calc_test.rb::CalcTest#test_skip": "skipped",
        "test/calc_test.rb::CalcTest#test_noise": "passed",
        "test/calc_test.rb::CalcTest#test_crash": "error",
        "test/calc_test.rb::CalcTest#test_add": "failed",
        "test/calc_test.rb::CalcTest#test_ok": "passed",
    }
    crash = run.cases["test/calc_test.rb::CalcTest#test_crash"]
    assert (crash.place, crash.message) == ("test/calc_test.rb:6", "ArgumentError: no way")
    add = run.cases["test/calc_test.rb::CalcTest#test_add"]
    assert (add.place, add.detail) == ("test/calc_test.rb:4", "Expected: 3\n  Actual: -1")
    assert run.cases["test/calc_test.rb::CalcTest#test_skip"].message == "not now"


async def test_test_unit(context: Context, tmp_path: Path) -> None:
    run = Recorded(MINITEST, context, tmp_path, ("ruby_test_unit",), 1)
    assert (run.verdict, run.trouble) == ("failed", "")
    assert run.outcomes() == {
        "test/a_test.rb::ATest#test_err": "error",
        "test/a_test.rb::ATest#test_fail": "failed",
        "test/a_test.rb::ATest#test_ok": "passed",
        "test/a_test.rb::ATest#test_omit": "skipped",
        "test/a_test.rb::ATest#test_pend": "skipped",
        "test/a_test.rb::ATest::in it#test: with words": "failed",
    }
    fail = run.cases["test/a_test.rb::ATest#test_fail"]
    assert (fail.place, fail.message) == ("test/a_test.rb:4", "<3> expected but was")
    assert fail.detail.split("\n")[:2] == ["<3> expected but was", "<4>"]
    assert run.cases["test/a_test.rb::ATest#test_err"].message == "RuntimeError: boom"


async def test_phpunit(context: Context, tmp_path: Path) -> None:
    run = Recorded(PHPUNIT, context, tmp_path, ("php_phpunit",), 2)
    at = "tests/CalcTest.php::test"
    assert run.verdict == "failed"
    assert run.outcomes() == {
        f"{at}Add": "failed",
        f"{at}Pairs with data set #0": "passed",
        f'{at}Pairs with data set "by name "x""': "failed",
        f'{at}Pairs with data set "sl/ash"': "passed",
        f"{at}Crash": "error",
        f"{at}Skipped": "skipped",
        f"{at}Incomplete": "skipped",
        f"{at}Risky": "error",
        f"{at}Ok": "passed",
    }
    crash = run.cases[f"{at}Crash"]
    assert (crash.place, crash.message) == ("tests/CalcTest.php:12", "LogicException: no [31mway")


async def test_a_risky_test_that_phpunit_lets_pass_has_passed(context: Context, tmp_path: Path) -> None:
    run = Recorded(PHPUNIT, context, tmp_path, ("php_phpunit",), 0)
    assert run.outcomes()["tests/CalcTest.php::testRisky"] == "passed"
    assert run.outcomes()["tests/CalcTest.php::testCrash"] == "error"


async def test_mix(context: Context, tmp_path: Path) -> None:
    run = Recorded(MIX, context, tmp_path, ("elixir_mix",), 2)
    assert run.verdict == "failed"
    assert run.outcomes() == {
        "test/calc_test.exs::test adds": "failed",
        "test/calc_test.exs::test crash raises (really)": "error",
        "test/calc_test.exs::test crash skipped": "skipped",
        "test/calc_test.exs::test ok": "passed",
        "test/setup_test.exs::test one": "error",
    }
    adds = run.cases["test/calc_test.exs::test adds"]
    assert (adds.place, adds.message) == ("test/calc_test.exs:5", "Assertion with == failed")
    assert "left:  -1" in adds.detail
    setup = run.cases["test/setup_test.exs::test one"]
    assert (setup.place, setup.message) == ("test/setup_test.exs:4", "** (RuntimeError) no db")


async def test_ctest(context: Context, tmp_path: Path) -> None:
    run = Recorded(CTEST, context, tmp_path, ("ctest_ctest",), 8)
    assert run.verdict == "failed"
    assert run.outcomes() == {
        f"CMakeLists.txt::{name}": outcome
        for name, outcome in {
            "passes": "passed",
            "asserts": "failed",
            "with [a] b.c": "passed",
            "gone": "error",
            "skips": "skipped",
            "off": "skipped",
            "slow": "failed",
            "crash": "failed",
            "setup": "failed",
            "needs": "error",
        }.items()
    }
    asserts = run.cases["CMakeLists.txt::asserts"]
    assert asserts.place == "calc_test.c:8"
    assert asserts.detail.split("\n")[1:] == ["Expected: 3", "  Actual: 4"]
    assert run.cases["CMakeLists.txt::slow"].message == "Timeout"
    assert run.cases["CMakeLists.txt::crash"].message == "Exception: SegFault"
    assert "no-such-program" in run.cases["CMakeLists.txt::gone"].message


async def test_a_killed_ctest_is_read_from_its_lines(context: Context, tmp_path: Path) -> None:
    root = context.files.root
    lines = unfold("ctest_ctest", root)["output"].partition(" 7/10 Test")[0].split("\n")
    ran = RunResult(None, lines, tmp_path / "none.xml", root, ProjectFolder(context.files, root))
    reading = CTEST.read(ran)
    assert {case.id: case.outcome for case in reading.cases}["CMakeLists.txt::gone"] == "error"
    assert (len(reading.cases), reading.running) == (6, "CMakeLists.txt::slow")


async def test_reports_of_earlier_runs_are_not_read(context: Context, tmp_path: Path) -> None:
    root = context.files.root
    unfold("jvm_maven", root)
    report = tmp_path / "run" / "report.xml"
    report.parent.mkdir()
    began = report.with_name("began")
    began.touch()
    later = 1 + max(path.stat().st_mtime_ns for path in root.rglob("TEST-*.xml"))
    os.utime(began, ns=(later, later))
    reading = MAVEN.read(RunResult(0, [], report, root, ProjectFolder(context.files, root)))
    assert judge_run(reading, 0, killed="", lines=[]) == ("none_ran", "")
    # When nothing tells the beginning, no report is this run's.
    began.unlink()
    assert (
        judge_run(
            MAVEN.read(RunResult(0, [], report, root, ProjectFolder(context.files, root))), 0, killed="", lines=[]
        )[0]
        == "broken"
    )


async def test_gradle_that_reran_nothing_is_told(context: Context, tmp_path: Path) -> None:
    root = context.files.root
    (tmp_path / "began").touch()
    lines = ["> Task :app:compileTestJava UP-TO-DATE", "> Task :app:testDebugUnitTest UP-TO-DATE"]
    reading = GRADLE.read(RunResult(0, lines, tmp_path / "report.xml", root, ProjectFolder(context.files, root)))
    assert "up to date and ran none" in reading.fatal_error
    quiet = GRADLE.read(RunResult(0, lines[:1], tmp_path / "report.xml", root, ProjectFolder(context.files, root)))
    assert quiet == ParsedReport()
