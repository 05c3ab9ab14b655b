"""Real runners, where they are installed: started by their rows, and read."""

import shutil
import sys
from pathlib import Path

import pytest

from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.projects.interpreter import InterpreterFinder
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import LaunchRequest, RunnerEnvironment, RunResult, TestRunner
from kimi_agent.workspace.testrun.runners.ctest import CTEST
from kimi_agent.workspace.testrun.runners.jvm import GRADLE, MAVEN
from kimi_agent.workspace.testrun.runners.mix import MIX
from kimi_agent.workspace.testrun.runners.phpunit import PHPUNIT
from kimi_agent.workspace.testrun.runners.ruby import MINITEST, RSPEC
from kimi_agent.workspace.testrun.verdict import judge_run
from tests.workspace.testrun.project_files import put, selection, unfold

MAVEN_REPOSITORY = Path("/usr/share/maven-repo")
MAVEN_PLUGINS = [
    MAVEN_REPOSITORY / f"org/apache/maven/plugins/maven-{name}-plugin" for name in ("resources", "compiler", "surefire")
]


def project(name: str, root: Path) -> None:
    """The files of a recorded run's project."""
    parts = unfold(name, root)
    put(root, {path: text for path, text in parts.items() if path not in ("output", "report") and "TEST-" not in path})


class Played:
    """What a row says of its targets, in a run of its own."""

    def __init__(self, context: Context, row: TestRunner, tmp_path: Path) -> None:
        self._context, self._row, self._tmp = context, row, tmp_path
        self._runs = 0
        self.verdict = self.trouble = ""

    async def run(self, *targets: str, name: str = "") -> dict[str, str]:
        """Outcomes by id."""
        root = self._context.files.root
        self._runs += 1
        report = self._tmp / f"run {self._runs}" / "report.xml"
        report.parent.mkdir()
        wanted = selection(root, *targets, name=name)
        environment = RunnerEnvironment(
            self._context.runner, InterpreterFinder(root, self._context.runner, own=sys.executable), report
        )
        folder = ProjectFolder(self._context.files, root)
        launch = await self._row.launch(LaunchRequest(folder, wanted, self._row.evidence(folder), environment))
        assert launch is not None
        put(report.parent, launch.extra_files)
        finished = await self._context.runner.run(
            launch.argv, timeout_s=200, cwd=launch.folder, env={"CI": "1", "TERM": "dumb", **launch.env}
        )
        assert not finished.output
        lines = finished.text.split("\n")
        reading = self._row.read(RunResult(finished.exit_code, lines, report, root, folder))
        self.verdict, self.trouble = judge_run(reading, finished.exit_code, killed="", lines=lines)
        return {case.id: case.outcome for case in reading.cases}


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


PLAIN = """\
cmake_minimum_required(VERSION 3.10)
project(plain NONE)
enable_testing()
add_custom_target(note ALL ${CMAKE_COMMAND} -E copy ${CMAKE_SOURCE_DIR}/says ${CMAKE_BINARY_DIR}/says)
add_test(NAME reads COMMAND ${CMAKE_COMMAND} -E cat says)
add_test(NAME same COMMAND ${CMAKE_COMMAND} -E compare_files says ${CMAKE_SOURCE_DIR}/says)
add_test(NAME fails.a COMMAND ${CMAKE_COMMAND} -E cat ${CMAKE_SOURCE_DIR}/no-such-file)
"""


@needs("cmake", "ctest", "make")
async def test_ctest_runs_what_was_just_built(context: Context, workspace: Path) -> None:
    (workspace / "CMakeLists.txt").write_text(PLAIN)
    (workspace / "says").write_text("one")
    await context.runner.run(("cmake", "-S", ".", "-B", "build", "-G", "Unix Makefiles"), timeout_s=30, cwd=workspace)
    at = "CMakeLists.txt::"
    report = await context.testrun.run()
    assert (report.verdict, report.runner, report.evidence) == ("failed", "ctest", "build/CTestTestfile.cmake")
    found = {case.id: case.outcome for case in report.cases}
    assert found == {f"{at}reads": "passed", f"{at}same": "passed", f"{at}fails.a": "failed"}
    (workspace / "says").write_text("two, which an old build does not know")
    report = await context.testrun.run([f"{at}same", f"{at}reads"])
    assert (report.verdict, len(report.cases)) == ("passed", 2)
    (workspace / "says").unlink()  # the build fails, so what it built before is not tested
    report = await context.testrun.run([f"{at}reads"])
    assert (report.verdict, report.cases) == ("broken", ())
    assert "Error" in report.trouble


@pytest.mark.long
@needs("cmake", "ctest", "cc")
async def test_ctest_with_a_compiler(context: Context, workspace: Path, tmp_path: Path) -> None:
    project("ctest_ctest", workspace)
    await context.runner.run(("cmake", "-S", ".", "-B", "build"), timeout_s=30, cwd=workspace)
    played = Played(context, CTEST, tmp_path)
    found = await played.run()
    assert (played.verdict, len(found)) == ("failed", 10)
    assert (found["CMakeLists.txt::with [a] b.c"], found["CMakeLists.txt::gone"]) == ("passed", "error")
    assert await played.run("CMakeLists.txt::with [a] b.c") == {"CMakeLists.txt::with [a] b.c": "passed"}
    source = workspace / "calc_test.c"
    source.write_text(source.read_text().replace("return 0;", "return x;"))
    assert await played.run() == {}
    assert played.verdict == "broken"
    assert "undeclared" in played.trouble


@pytest.mark.real
@needs("rspec")
async def test_rspec_for_real(context: Context, workspace: Path, tmp_path: Path) -> None:
    project("ruby_rspec", workspace)
    played = Played(context, RSPEC, tmp_path)
    found = await played.run()
    assert (played.verdict, len(found)) == ("failed", 10)
    for each, outcome in found.items():
        again = await played.run(each)
        assert outcome in again.values()
        assert {name.partition(" [")[0] for name in again} == {each.partition(" [")[0]}
    assert len(await played.run(name="same name")) == 2


@pytest.mark.real
@needs("ruby", "rake")
@pytest.mark.parametrize(("name", "tests"), [("ruby_minitest", 8), ("ruby_test_unit", 6)])
async def test_minitest_for_real(context: Context, workspace: Path, tmp_path: Path, name: str, tests: int) -> None:
    project(name, workspace)
    played = Played(context, MINITEST, tmp_path)
    found = await played.run()
    assert (played.verdict, len(found)) == ("failed", tests)
    for each, outcome in found.items():
        assert await played.run(each) == {each: outcome}
    assert len(await played.run(*found)) == tests
    assert len(await played.run(name="add" if tests == 8 else "test_fail")) >= 1


@pytest.mark.real
@needs("phpunit")
async def test_phpunit_for_real(context: Context, workspace: Path, tmp_path: Path) -> None:
    project("php_phpunit", workspace)
    played = Played(context, PHPUNIT, tmp_path)
    found = await played.run()
    assert (played.verdict, len(found)) == ("failed", 9)
    for each, outcome in found.items():
        # Alone a risky test leaves the exit code at 0.
        assert await played.run(each) == {each: "passed" if each.endswith("Risky") else outcome}
    assert len(await played.run(name="Pairs")) == 3
    assert await played.run(name="nothing") == {}
    assert played.verdict == "none_ran"
    assert not list(workspace.glob(".phpunit*"))


@pytest.mark.real
@needs("mix")
async def test_mix_for_real(context: Context, workspace: Path, tmp_path: Path) -> None:
    project("elixir_mix", workspace)
    played = Played(context, MIX, tmp_path)
    found = await played.run()
    assert (played.verdict, len(found)) == ("failed", 6)
    for each, outcome in found.items():
        # Asked for by name, a test that is marked to be skipped runs, and so does an excluded one.
        again = await played.run(each)
        assert list(again) == [each]
        assert again[each] == outcome or outcome == "skipped"


@pytest.mark.real
@needs("mvn")
@pytest.mark.timeout(400)
@pytest.mark.skipif(not all(each.is_dir() for each in MAVEN_PLUGINS), reason="no Maven plugins on this machine")
async def test_maven_for_real(context: Context, workspace: Path, tmp_path: Path) -> None:
    project("jvm_maven", workspace)
    (workspace / ".mvn").mkdir()
    (workspace / ".mvn" / "maven.config").write_text(f"-o\n-Dmaven.repo.local={MAVEN_REPOSITORY}\n")
    played = Played(context, MAVEN, tmp_path)
    found = await played.run()
    assert (played.verdict, len(found)) == ("failed", 8), played.trouble
    at = "core/src/test/java/com/x"
    assert await played.run(f"{at}/CalcTest.java::ok") == {f"{at}/CalcTest.java::ok": "passed"}
    assert played.verdict == "passed"
    assert set(await played.run(f"{at}/ParamTest.java::adds[1 plus]")) == {each for each in found if "Param" in each}
    # A module is built with those that it needs, and their tests fail: its own did not run.
    assert set(await played.run("app")) == set(found)
    (workspace / "core/src/main/java/com/x/Calc.java").write_text("class Calc {")
    assert await played.run() == {}
    assert played.verdict == "broken"
    assert "reached end of file" in played.trouble


@pytest.mark.real
@needs("gradle")
@pytest.mark.timeout(400)
async def test_gradle_for_real(context: Context, workspace: Path, tmp_path: Path) -> None:
    jars = Path("/usr/share/java")
    if not (jars / "junit4.jar").exists():
        pytest.skip("no JUnit on this machine")
    project("jvm_maven", workspace)
    project("jvm_gradle", workspace)
    build = workspace / "build.gradle"
    build.write_text(build.read_text().replace("/opt/java", str(jars)))
    played = Played(context, GRADLE, tmp_path)
    found = await played.run()
    assert (played.verdict, len(found)) == ("failed", 10), played.trouble
    again = await played.run("core/src/test/java/com/x/CalcTest.java::ok")
    assert again == {"core/src/test/java/com/x/CalcTest.java::ok": "passed"}, played.trouble
    assert await played.run("app") == {"app/src/test/java/com/x/AppTest.java::starts": "passed"}
