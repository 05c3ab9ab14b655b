"""What the rows start: programs, words for targets and names, and what they leave to others."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.tool import Context
from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.files.outputs import Outputs
from kimi_agent.workspace.files.seen_files import SeenFiles
from kimi_agent.workspace.process.process_runner import ProcessRunner
from kimi_agent.workspace.testrun.commands_and_reports import TestCommand, TestSelection
from kimi_agent.workspace.testrun.projects.interpreter import InterpreterFinder
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import LaunchRequest, RunnerEnvironment, TestRunner
from kimi_agent.workspace.testrun.runners.ctest import CTEST, ctest_arguments
from kimi_agent.workspace.testrun.runners.dotnet import DOTNET, dotnet_arguments
from kimi_agent.workspace.testrun.runners.jvm import GRADLE, MAVEN, gradle_arguments, maven_arguments
from kimi_agent.workspace.testrun.runners.mix import MIX, mix_arguments
from kimi_agent.workspace.testrun.runners.phpunit import PHPUNIT, phpunit_arguments
from kimi_agent.workspace.testrun.runners.ruby import MINITEST, RSPEC, minitest_arguments, rspec_arguments
from tests.workspace.testrun.project_files import RUNNERS, put, selection

MAKE, JUST, TASK = RUNNERS["make test"], RUNNERS["just test"], RUNNERS["task test"]


def program(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)


@pytest.fixture
def here(workspace: Path, tmp_path: Path) -> ProjectFolder:
    """The workspace as a folder that may be a project's."""
    seen_files, outputs = SeenFiles(lambda seen: None), Outputs(tmp_path / "outputs")
    files = Files(
        workspace, outputs=outputs, seen_files=seen_files, home=tmp_path / "home", journal=tmp_path / "journal"
    )
    return ProjectFolder(files, workspace)


@pytest.fixture
def environment(context: Context, workspace: Path, tmp_path: Path) -> RunnerEnvironment:
    """A PATH on which every runner stands, as an empty script that is never started."""
    path = tmp_path / "bin"
    every = (
        "gradle",
        "mvn",
        "cmake",
        "ctest",
        "ruby",
        "rspec",
        "rake",
        "bundle",
        "phpunit",
        "dotnet",
        "mix",
        "make",
        "just",
    )
    program(path, *every, "go-task")
    runner = ProcessRunner(
        root=workspace,
        cwd=workspace,
        outputs=context.files.outputs,
        environ={"PATH": str(path)},
        register=tmp_path / "register",
    )
    report = tmp_path / "run" / "report.xml"
    return RunnerEnvironment(runner, InterpreterFinder(workspace, runner, own=sys.executable), report)


async def launched(
    row: TestRunner, context: Context, environment: RunnerEnvironment, selection: TestSelection
) -> TestCommand | None:
    folder = ProjectFolder(context.files, context.files.root)
    why = row.evidence(folder)
    assert why
    return await row.launch(LaunchRequest(folder, selection, why, environment))


async def shown(row: TestRunner, context: Context, environment: RunnerEnvironment) -> str:
    launch = await launched(row, context, environment, TestSelection())
    return launch.shown if launch else "none"


CALC = "package com.x;\npublic class CalcTest { public static class Inner {} }\n"
MODULES = {
    "settings.gradle": "",
    "build.gradle": "",
    "core/build.gradle.kts": "",
    "core/src/test/java/com/x/CalcTest.java": CALC,
    "core/src/test/kotlin/com/x/many.kt": "package com.x\nclass OneTest\nclass TwoTest\n",
    "core/src/test/java/NoPackageTest.java": "class NoPackageTest {}\n",
    "src/test/java/TopTest.java": "class TopTest {}\n",
    "core/notes.txt": "",
    "bare/src/test/java/BareTest.java": "class BareTest {}\n",
}
IN = "core/src/test/java/com/x"


@pytest.mark.parametrize(
    ("targets", "name", "tasks"),
    [
        ((), "", "cleanTest test"),
        ((), "adds", "cleanTest test --tests '*adds*'"),
        ((".",), "", "cleanTest test"),
        (("core",), "", "core:cleanTest core:test"),
        (("core/src/test",), "x", "core:cleanTest core:test --tests '*x*'"),
        ((IN,), "", "core:cleanTest core:test --tests 'com.x.*'"),
        ((f"{IN}/CalcTest.java",), "", "core:cleanTest core:test --tests com.x.CalcTest"),
        ((f"{IN}/CalcTest.java",), "ad", "core:cleanTest core:test --tests 'com.x.CalcTest.*ad*'"),
        ((f"{IN}/CalcTest.java::adds",), "", "core:cleanTest core:test --tests com.x.CalcTest.adds"),
        ((f"{IN}/CalcTest.java::adds(int)",), "", "core:cleanTest core:test --tests com.x.CalcTest.adds"),
        ((f"{IN}/CalcTest.java::adds[0 plus]",), "", "core:cleanTest core:test --tests 'com.x.CalcTest.adds[*'"),
        ((f"{IN}/CalcTest.java::1 + 2 = 3",), "", "core:cleanTest core:test --tests com.x.CalcTest"),
        ((f"{IN}/CalcTest.java::Inner::in",), "", "core:cleanTest core:test --tests 'com.x.CalcTest$Inner.in'"),
        ((f"{IN}/CalcTest.java::Inner",), "", "core:cleanTest core:test --tests 'com.x.CalcTest$Inner'"),
        (
            ("core/src/test/kotlin/com/x/many.kt",),
            "",
            "core:cleanTest core:test --tests com.x.OneTest --tests com.x.TwoTest",
        ),
        (("core/src/test/kotlin/com/x/many.kt::TwoTest::b",), "", "core:cleanTest core:test --tests com.x.TwoTest.b"),
        (("core::com.x.Lost::a",), "", "core:cleanTest core:test --tests com.x.Lost.a"),
        (("src/test/java/TopTest.java",), "", ":cleanTest :test --tests TopTest"),
        (
            ("src/test/java/TopTest.java", "core/src/test/java/NoPackageTest.java::a"),
            "",
            ":cleanTest :test --tests TopTest core:cleanTest core:test --tests NoPackageTest.a",
        ),
        (("bare/src/test/java/BareTest.java",), "", "bare:cleanTest bare:test --tests BareTest"),
        (("bare/src",), "", "bare:cleanTest bare:test"),
        (("bare",), "", "bare:cleanTest bare:test"),
        (("core/notes.txt",), "", None),
        ((f"{IN}/CalcTest.java::adds",), "more", None),
        (("core::--help",), "", None),
        ((), "a*b", None),
    ],
)
def test_gradle_selects(
    here: ProjectFolder, workspace: Path, targets: tuple[str, ...], name: str, tasks: str | None
) -> None:
    put(workspace, MODULES)
    found = gradle_arguments(here, selection(workspace, *targets, name=name))
    assert (shlex.join(found) if found is not None else None) == tasks


NONE = "-Dsurefire.failIfNoSpecifiedTests=false -DfailIfNoTests=false"


@pytest.mark.parametrize(
    ("targets", "name", "words"),
    [
        ((), "", "test"),
        ((), "adds", f"test '-Dtest=*#*adds*' {NONE}"),
        (("core",), "", "-pl core -am test"),
        ((f"{IN}/CalcTest.java",), "", f"-pl core -am test -Dtest=com.x.CalcTest {NONE}"),
        ((f"{IN}/CalcTest.java::adds",), "", f"-pl core -am test '-Dtest=com.x.CalcTest#adds' {NONE}"),
        ((f"{IN}/CalcTest.java::adds[1 x]",), "", f"-pl core -am test '-Dtest=com.x.CalcTest#adds[*]' {NONE}"),
        ((f"{IN}/CalcTest.java::Inner::in",), "", f"-pl core -am test '-Dtest=com.x.CalcTest$Inner#in' {NONE}"),
        ((IN,), "", f"-pl core -am test '-Dtest=com/x/**' {NONE}"),
        (("src/test/java/TopTest.java", f"{IN}/CalcTest.java"), "", f"test -Dtest=TopTest,com.x.CalcTest {NONE}"),
        (("core", "src/test/java/TopTest.java"), "", None),
        ((), "a,b", None),
        ((), "!a", None),
    ],
)
def test_maven_selects(
    here: ProjectFolder, workspace: Path, targets: tuple[str, ...], name: str, words: str | None
) -> None:
    put(workspace, {**MODULES, "pom.xml": "", "core/pom.xml": ""})
    found = maven_arguments(here, selection(workspace, *targets, name=name), workspace)
    assert (shlex.join(found) if found is not None else None) == words


async def test_maven_starts_where_all_modules_are_known(
    context: Context, workspace: Path, environment: RunnerEnvironment
) -> None:
    put(workspace, {"pom.xml": "<modules><module>a</module></modules>", "a/pom.xml": "<module>./b/</module>"})
    put(workspace, {"a/b/pom.xml": "", "other/pom.xml": ""})
    inner = ProjectFolder(context.files, workspace / "a" / "b")
    launch = await MAVEN.launch(LaunchRequest(inner, TestSelection(), "pom.xml", environment))
    assert launch is not None
    assert (launch.folder, launch.shown) == (workspace, "mvn -B -pl a/b -am test")
    alone = await MAVEN.launch(
        LaunchRequest(ProjectFolder(context.files, workspace / "other"), TestSelection(), "pom.xml", environment)
    )
    assert alone is not None
    assert alone.folder == workspace / "other"


async def test_a_wrapper_is_used_if_it_can_be_started_and_is_the_projects(
    context: Context, workspace: Path, environment: RunnerEnvironment, tmp_path: Path
) -> None:
    put(workspace, {"build.gradle": "", "sub/build.gradle": "", "gradlew": "#!/bin/sh\n"})
    assert await shown(GRADLE, context, environment) == "gradle cleanTest test"
    (workspace / "gradlew").chmod(0o755)
    launch = await launched(GRADLE, context, environment, TestSelection())
    assert launch is not None
    assert (launch.argv[0], launch.shown) == (str(workspace / "gradlew"), "./gradlew cleanTest test")
    below = await GRADLE.launch(
        LaunchRequest(ProjectFolder(context.files, workspace / "sub"), TestSelection(), "build.gradle", environment)
    )
    assert below is not None
    assert (below.shown, below.folder) == ("../gradlew cleanTest test", workspace / "sub")
    program(tmp_path / "outside", "gradlew")
    (workspace / "gradlew").unlink()
    (workspace / "gradlew").symlink_to(tmp_path / "outside" / "gradlew")
    assert await shown(GRADLE, context, environment) == "gradle cleanTest test"


CACHE = "CMAKE_HOME_DIRECTORY:INTERNAL={}\n"


@pytest.mark.parametrize(
    ("targets", "name", "words"),
    [
        ((), "", "--test-dir build"),
        ((), "a.b", "--test-dir build -R 'a\\.b'"),
        (("CMakeLists.txt::a(b)", "CMakeLists.txt::c"), "", "--test-dir build -R '^(a\\(b\\)|c)$'"),
        (("lib",), "", "--test-dir build/lib"),
        ((".",), "x", "--test-dir build -R x"),
        (("main.cpp",), "", None),
        (("none",), "", None),
        (("CMakeLists.txt::a",), "b", None),
    ],
)
def test_ctest_selects(
    here: ProjectFolder, workspace: Path, targets: tuple[str, ...], name: str, words: str | None
) -> None:
    put(
        workspace,
        {"CMakeLists.txt": "", "build/lib/CTestTestfile.cmake": "", "main.cpp": "", "lib/a.c": "", "none/a": ""},
    )
    found = ctest_arguments(here, selection(workspace, *targets, name=name), "build")
    assert (shlex.join(found) if found is not None else None) == words


async def test_ctest_builds_first_in_the_build_folder_used_last(
    context: Context, workspace: Path, environment: RunnerEnvironment
) -> None:
    for number, name in enumerate(("build", "cmake-build-debug", "out/build/x64")):
        put(workspace, {f"{name}/CTestTestfile.cmake": "", f"{name}/CMakeCache.txt": CACHE.format(workspace)})
        os.utime(workspace / name / "CMakeCache.txt", (number, number))
    put(workspace, {"CMakeLists.txt": "enable_testing()\n"})
    assert CTEST.evidence(ProjectFolder(context.files, workspace)) == "out/build/x64/CTestTestfile.cmake"
    with (workspace / "out/build/x64/CMakeCache.txt").open("a") as cache:
        cache.write("CMAKE_CONFIGURATION_TYPES:STRING=Debug;Release\n")
    launch = await launched(CTEST, context, environment, TestSelection())
    assert launch is not None
    built = "cmake --build out/build/x64 --config Debug && ctest --test-dir out/build/x64 -C Debug"
    assert launch.shown == built
    assert launch.argv[:2] == ("/bin/sh", "-c")
    assert "--output-junit" in launch.argv[2]


async def test_a_build_folder_of_other_sources_is_not_this_ones(
    context: Context, workspace: Path, environment: RunnerEnvironment
) -> None:
    put(workspace, {"build/CTestTestfile.cmake": "", "build/CMakeCache.txt": CACHE.format(workspace.parent / "other")})
    assert CTEST.evidence(ProjectFolder(context.files, workspace)) == ""


async def test_what_is_not_configured_yet_is_told_unless_a_task_does_it(
    context: Context, workspace: Path, environment: RunnerEnvironment
) -> None:
    put(workspace, {"CMakeLists.txt": "project(x)\n  include( CTest )\n"})
    with pytest.raises(ToolError, match="no build folder") as told:
        await launched(CTEST, context, environment, TestSelection())
    assert "cmake -S . -B build" in told.value.next_step
    put(workspace, {"Makefile": "test: build\n"})
    assert (await context.testrun.preview_command()).endswith("/make test")


@pytest.mark.parametrize(
    ("targets", "name", "words"),
    [
        ((), "", ""),
        ((), "a b", "'--example=a b'"),
        (("spec/a_spec.rb",), "x", "--example=x spec/a_spec.rb"),
        (("spec/a_spec.rb::Adder#add adds",), "", "spec/a_spec.rb '--example=Adder#add adds'"),
        (("spec/a_spec.rb::Adder#add same [1:1:3]",), "", "'spec/a_spec.rb[1:1:3]'"),
        (("spec/a_spec.rb::A b", "spec/a_spec.rb::A [1:2]"), "", None),
        (("spec/a_spec.rb::A", "spec/b_spec.rb"), "", None),
        (("notes.txt",), "", None),
    ],
)
def test_rspec_selects(tmp_path: Path, targets: tuple[str, ...], name: str, words: str | None) -> None:
    found = rspec_arguments(tmp_path, selection(tmp_path, *targets, name=name))
    assert (shlex.join(found) if found is not None else None) == words


@pytest.mark.parametrize(
    ("targets", "name", "selected"),
    [
        ((), "", ((), "")),
        ((), "a/b", ((), "/a\\/b/")),
        (("test",), "", ((), "")),
        (("test/models",), "", (("test/models/a_test.rb",), "")),
        (("test/models/a_test.rb",), "x", (("test/models/a_test.rb",), "/x/")),
        (
            ("test/models/a_test.rb::ATest#test_a", "test/b_test.rb::B::C#test: d e"),
            "",
            (("test/models/a_test.rb", "test/b_test.rb"), "/^(?:(?:ATest#)?test_a|(?:B\\:\\:C#)?test\\: d e)$/"),
        ),
        (("test/models/a_test.rb::A#a", "test/b_test.rb"), "", None),
        (("lib",), "", None),
    ],
)
def test_minitest_selects(
    here: ProjectFolder, workspace: Path, targets: tuple[str, ...], name: str, selected: object
) -> None:
    put(workspace, {"test/models/a_test.rb": "", "test/b_test.rb": "", "test/test_helper.rb": "", "lib/a.rb": ""})
    assert minitest_arguments(here, selection(workspace, *targets, name=name)) == selected


async def test_ruby_goes_through_bundler_where_the_lock_names_it(
    context: Context, workspace: Path, environment: RunnerEnvironment
) -> None:
    put(
        workspace, {"Rakefile": "Minitest::TestTask.create\n", "test/a_test.rb": "", "test/b_test.rb": "", ".rspec": ""}
    )
    assert await shown(RSPEC, context, environment) == "rspec"
    assert await shown(MINITEST, context, environment) == "rake test TESTOPTS=-v"
    lock = "GEM\n  specs:\n    rake (13.0)\n    minitest (5.1)\n    rspec (3.1)\n      rspec-core (~> 3)\n"
    put(workspace, {"Gemfile.lock": lock})
    assert await shown(RSPEC, context, environment) == "bundle exec rspec"
    rake = await launched(MINITEST, context, environment, TestSelection(name="it's; x"))
    assert rake is not None
    # rake gives the options to a shell: there, too, the name is one word.
    options = rake.argv[-1].removeprefix("TESTOPTS=")
    assert shlex.split(options) == ["-v", "--name=/it\\'s\\; x/"]
    one = await launched(MINITEST, context, environment, selection(workspace, "test/a_test.rb"))
    assert one is not None
    assert one.shown == "bundle exec ruby -I lib -I test -r./test/a_test.rb -e '' -- -v"
    put(workspace, {"bin/rails": "", "config/application.rb": ""})
    rails = await launched(MINITEST, context, environment, selection(workspace, "test/a_test.rb::A#b"))
    assert rails is not None
    assert rails.shown == "bundle exec ruby bin/rails test test/a_test.rb -v '--name=/^(?:(?:A#)?b)$/'"


@pytest.mark.parametrize(
    ("targets", "name", "words"),
    [
        ((), "", ""),
        ((), "a/b", "--filter '/a\\/b/'"),
        (("tests/ATest.php",), "", "tests/ATest.php"),
        (("tests/ATest.php::testA",), "", "--filter '/\\bATest\\:\\:testA$/' tests/ATest.php"),
        (("tests/ATest.php", "tests/BTest.php"), "", "--filter '/\\bATest\\:\\:|\\bBTest\\:\\:/'"),
        (
            ("tests/ATest.php::a", "tests/BTest.php::b with data set #0"),
            "",
            "--filter '/\\bATest\\:\\:a$|\\bBTest\\:\\:b with data set \\#0$/'",
        ),
        (("notes.txt",), "", None),
        (("tests/ATest.php::a",), "b", None),
    ],
)
def test_phpunit_selects(tmp_path: Path, targets: tuple[str, ...], name: str, words: str | None) -> None:
    found = phpunit_arguments(tmp_path, selection(tmp_path, *targets, name=name))
    assert (shlex.join(found).replace("::", "\\:\\:") if found is not None else None) == words


async def test_phpunit_is_the_projects_own_where_it_is_installed(
    context: Context, workspace: Path, environment: RunnerEnvironment
) -> None:
    put(workspace, {"composer.json": '{"require-dev": {"phpunit/phpunit": "^11"}}'})
    assert await shown(PHPUNIT, context, environment) == "phpunit"
    program(workspace / "vendor" / "bin", "phpunit")
    assert await shown(PHPUNIT, context, environment) == "vendor/bin/phpunit"


@pytest.mark.parametrize(
    ("targets", "name", "words"),
    [
        ((), "", ""),
        ((), "a(b", "--filter 'FullyQualifiedName~a\\(b'"),
        (("t/T.csproj",), "x", "t/T.csproj --filter 'FullyQualifiedName~x'"),
        (("t/A.cs",), "", "--filter 'FullyQualifiedName~A1.|FullyQualifiedName~A2.'"),
        (("t/A.cs::N.A1.M(x: 1)",), "", "--filter 'FullyQualifiedName~N.A1.M'"),
        (("t/A.cs::N.A1.M",), "b", "--filter '(FullyQualifiedName~N.A1.M)&FullyQualifiedName~b'"),
        ((".::N.Gone.M",), "", "--filter 'FullyQualifiedName~N.Gone.M'"),
        (("t",), "", None),
        (("t/T.csproj", "t/A.cs"), "", None),
    ],
)
def test_dotnet_selects(
    here: ProjectFolder, workspace: Path, targets: tuple[str, ...], name: str, words: str | None
) -> None:
    put(workspace, {"t/T.csproj": "", "t/A.cs": "namespace N; class A1 {} record A2();"})
    found = dotnet_arguments(here, selection(workspace, *targets, name=name))
    assert (shlex.join(found) if found is not None else None) == words


async def test_dotnet_names_the_solution(context: Context, workspace: Path, environment: RunnerEnvironment) -> None:
    put(workspace, {"App.csproj": "<Project/>", "T.csproj": '<PackageReference Include="Microsoft.NET.Test.Sdk"/>'})
    assert await shown(DOTNET, context, environment) == "dotnet test T.csproj"
    put(workspace, {"All.sln": ""})
    folder, why = ProjectFolder(context.files, workspace), "AGENTS.md; All.sln; also found: make test"
    launch = await DOTNET.launch(LaunchRequest(folder, TestSelection(), why, environment))
    assert launch is not None
    assert launch.shown == "dotnet test All.sln"
    assert launch.argv[-2:] == ("--results-directory", str(environment.report_path.parent / "trx"))


@pytest.mark.parametrize(
    ("targets", "name", "words"),
    [
        ((), "", ""),
        (("test/a_test.exs",), "", "test/a_test.exs"),
        (("test/a_test.exs::test a (b)",), "", "test/a_test.exs --only 'test:test a (b)'"),
        ((), "part", None),
        (("test/a_test.exs::test a", "test/b_test.exs"), "", None),
        (("lib/a.ex",), "", None),
    ],
)
def test_mix_selects(
    here: ProjectFolder, workspace: Path, targets: tuple[str, ...], name: str, words: str | None
) -> None:
    found = mix_arguments(here, selection(workspace, *targets, name=name))
    assert (shlex.join(found) if found is not None else None) == words


async def test_mix_reports_by_a_formatter_and_keeps_its_time_outs(
    context: Context, workspace: Path, environment: RunnerEnvironment
) -> None:
    put(workspace, {"mix.exs": ""})
    launch = await launched(MIX, context, environment, TestSelection())
    assert launch is not None
    formatter = str(environment.report_path.with_name("exunit_formatter.exs"))
    assert launch.argv[1:6] == ("-r", formatter, "-S", "mix", "test")
    # --trace would lift every time-out.
    assert (launch.shown, "--trace" in launch.argv) == ("mix test", False)
    assert list(launch.extra_files) == ["exunit_formatter.exs"]
    # An edit of the same size within a second is compiled only if the manifest is older than it.
    assert "File.touch(manifest, 1)" in launch.extra_files["exunit_formatter.exs"]


def test_an_umbrella_runs_the_tests_of_its_projects(here: ProjectFolder, workspace: Path) -> None:
    put(workspace, {"mix.exs": 'def project do\n  [\n    apps_path: "apps",\n    version: "1"\n  ]\nend\n'})
    assert MIX.covers(here, "apps/a")
    assert not MIX.covers(here, "tools/a")


@pytest.mark.parametrize(
    ("row", "name", "text", "says"),
    [
        (MAKE, "GNUmakefile", "all:\ntest: build\n\t@x\n", True),
        (MAKE, "Makefile", "test := no\n\ttest:\ntests:\n", False),
        (JUST, "justfile", "test:\n  x\n", True),
        (JUST, ".justfile", "build:\n\n@test *args: build\n  x {{args}}\n", True),
        (JUST, "JUSTFILE", "test filter='' n=\"1\":\n", True),
        (JUST, "justfile", "test filter:\n  x\n", False),
        (JUST, "justfile", "test := 'x'\n  test:\n", False),
        (JUST, "justfile", "# test:\ntests:\n", False),
        (TASK, "Taskfile.yml", "version: '3'\ntasks:\n  build:\n    cmds: [x]\n  test:\n    cmds:\n      - x\n", True),
        (TASK, "taskfile.yaml", "tasks: # all\n\n    'test': go test\n", True),
        (TASK, "Taskfile.dist.yml", 'vars:\n  A: 1\ntasks:\r\n  "test":\r\n', True),
        (TASK, "Taskfile.yml", "vars:\n  test: 1\ntasks:\n  build:\n    test: x\n  test:unit: x\n", False),
        (TASK, "Taskfile.yml", "test:\n  tasks:\n    test: x\n", False),
    ],
)
async def test_tasks_are_known_by_their_files(
    context: Context, workspace: Path, environment: RunnerEnvironment, row: TestRunner, name: str, text: str, says: bool
) -> None:
    put(workspace, {name: text})
    folder = ProjectFolder(context.files, workspace)
    if not says:
        assert row.evidence(folder) == ""
        return
    launch = await launched(row, context, environment, TestSelection())
    assert launch is not None
    assert launch.shown in ("make test", "just test", "go-task test")
    assert await launched(row, context, environment, TestSelection(name="x")) is None
