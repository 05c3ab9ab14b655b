"""Runner files (TOML) end to end: each report format, the selection, adopted commands, the summary, mistakes."""

from pathlib import Path

import pytest

from kimi_agent.errors import ToolError, UserError
from kimi_agent.layers import Layer
from kimi_agent.log.views import TestReport
from kimi_agent.tool import Context
from kimi_agent.workspace.testrun import ProjectTests
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.registry import load_runners
from kimi_agent.workspace.testrun.runner_file import read_runner_file
from tests.workspace.testrun.project_files import outcomes, put

BASE = 'name = "mine"\necosystem = "Shell"\nfiles = ["t/.*\\\\.sh"]\nprograms = ["./run"]\n'
JUNIT = '<testsuite tests="2"><testcase file="t/a.sh" name="adds"/><testcase file="t/a.sh" name="halves"/></testsuite>'
TRX = """<TestRun><Results><UnitTestResult testId="1" testName="adds" outcome="Passed"/></Results>
<TestDefinitions><UnitTest id="1"><TestMethod className="A" name="adds"/></UnitTest></TestDefinitions></TestRun>"""
GO = '{"Action":"pass","Package":"m","Test":"TestA"}\n{"Action":"pass","Package":"m"}'


class Project:
    """A workspace whose ./run is a shell script, with the runner file `keys` of a trusted project."""

    def __init__(self, context: Context, layer: Path) -> None:
        self._context = context
        self._layer = layer
        self.root = context.files.root

    def tests(self, keys: str, script: str) -> ProjectTests:
        put(self.root, {"run": f"#!/bin/sh\n{script}\n", "t/a.sh": "", "t/b.sh": ""})
        (self.root / "run").chmod(0o755)
        put(self._layer, {"runners/mine.toml": BASE + keys})
        runners, broken = load_runners([Layer("project", self._layer)])
        assert broken == []
        return ProjectTests(self._context.files, self._context.runner, runners=runners)

    async def run(self, keys: str, script: str, *targets: str, name: str = "") -> TestReport:
        return await self.tests(keys, script).run(targets, name=name)


@pytest.fixture
def project(context: Context, tmp_path: Path) -> Project:
    """A project with a runner of its own."""
    return Project(context, tmp_path / "layer")


@pytest.mark.parametrize(
    ("keys", "script", "found"),
    [
        ('report = "tap"\n', "echo 1..1; echo ok 1 - adds", {"adds": "passed"}),
        (
            'report = "tap"\nreport_options = ["--to={report}"]\n',
            'echo "not ok 1 printed"; printf "1..1\\nok 1 adds\\n" > "${1#--to=}"',
            {"adds": "passed"},
        ),
        (
            'report = "json-lines"\n',
            """echo '{"plan": 1}'; echo '{"test": "t/a.sh::adds", "outcome": "passed"}'""",
            {"t/a.sh::adds": "passed"},
        ),
        (
            'report = "junit"\nreport_options = ["--junit", "{report}"]\n',
            f"echo '{JUNIT}' > \"$2\"",
            {"t/a.sh::adds": "passed", "t/a.sh::halves": "passed"},
        ),
        (
            'report = "junit"\nenv = {OUT = "{report_folder}"}\n',
            f"mkdir $OUT/x; echo '{JUNIT}' > $OUT/x/1.xml; echo '<testsuite/>' > $OUT/2.xml",
            {"t/a.sh::adds": "passed", "t/a.sh::halves": "passed"},
        ),
        (
            'report = "junit"\nreport_files = ["out/*.xml"]\n',
            f"mkdir -p out; echo '{JUNIT}' > out/1.xml",
            {"t/a.sh::adds": "passed", "t/a.sh::halves": "passed"},
        ),
        ('report = "go-test-json"\n', f"echo '{GO}'", {".::TestA": "passed"}),
        ('report = "trx"\nreport_options = ["{report}"]\n', f"echo '{TRX}' > $1", {"A::adds": "passed"}),
    ],
)
async def test_each_format_is_read_test_by_test(
    project: Project, keys: str, script: str, found: dict[str, str]
) -> None:
    report = await project.run(keys, script)
    assert (report.verdict, outcomes(report), report.trouble) == ("passed", found, "")
    assert (report.command, report.evidence) == ("./run", "t/a.sh")
    failed = await project.run(keys, f"{script}; echo 'coverage is too low'; exit 1")
    assert failed.verdict == "run_failed"
    assert "exit 1" in failed.trouble


@pytest.mark.parametrize(
    ("keys", "script"),
    [
        ('report = "tap"\n', "echo 1..2; echo ok 1 - adds"),
        ('report = "junit"\nreport_options = ["{report}"]\n', "true"),
        ('report = "junit"\nreport_options = ["{report}"]\n', f"echo '{JUNIT[:60]}' > $1"),
        ('report = "trx"\nreport_options = ["{report}"]\n', "true"),
        ('report = "json-lines"\nreport_options = ["{report}"]\n', "true"),
        # The summary, which the runner prints at its very end, was not.
        ("summary = '(?P<passed>\\d+) passed'\n", "echo '1 passed, and'"),
        ("report = \"tap\"\nsummary = '(?P<total>\\d+) tests'\n", "echo 1..1; echo ok 1"),
        # It counts another number of tests.
        ("report = \"tap\"\nsummary = '(?P<total>\\d+) tests'\n", "echo 1..1; echo ok 1; echo 2 tests"),
        ("report = \"tap\"\nsummary = '(?P<total>\\d+) tests'\n", "echo 1..2; echo ok 1; echo ok 2; echo 1 tests"),
    ],
)
async def test_a_run_that_ends_early_with_exit_code_0_is_broken(project: Project, keys: str, script: str) -> None:
    assert (await project.run(keys, script)).verdict == "broken"


SUMMARY = "summary = '(?P<total>[\\d,]+) tests, (?P<failed>\\d+) failures'\n"


@pytest.mark.parametrize(
    ("script", "verdict", "trouble"),
    [
        ("echo 1,200 tests, 0 failures", "passed", "judged by its exit code; it says: 1,200 tests, 0 failures"),
        (
            "echo 3 tests, 1 failures; echo 9 tests, 0 failures",
            "failed",
            "the runner says FAILED, but no failing test was read; 3 tests, 1 failures",
        ),
        (
            "echo 3 tests, 1 failures",
            "failed",
            "the runner says FAILED, but no failing test was read; 3 tests, 1 failures",
        ),
        ("echo 0 tests, 0 failures", "none_ran", "it says: 0 tests, 0 failures"),
        ("echo No tests here.; exit 1", "none_ran", "it says: No tests here."),
        ("exit 3", "failed", "judged by its exit code; no test was read one by one"),
        ("exit 127", "broken", "the command could not be started (exit 127)"),
    ],
)
async def test_a_summary_says_what_an_exit_code_does_not(
    project: Project, script: str, verdict: str, trouble: str
) -> None:
    report = await project.run(f"{SUMMARY}nothing_ran = 'No tests .*'\n", script)
    assert (report.verdict, report.trouble) == (verdict, trouble)


@pytest.mark.parametrize(
    ("printed", "verdict"),
    [
        ("1 tests, 0 failures; echo 1 tests, 0 failures", "passed"),  # one for each project
        ("9 tests, 3 failures; echo 2 tests, 0 failures", "passed"),  # a test printed the first
        ("1 tests, 0 failures; echo 3 tests, 0 failures", "broken"),
        ("2 tests, 0 failures; echo 1 tests, 0 failures", "broken"),
        ("1 tests, 1 failures; echo 1 tests, 0 failures", "failed"),
    ],
)
async def test_of_several_summaries_the_last_counts_or_all_together(
    project: Project, printed: str, verdict: str
) -> None:
    report = await project.run(f'report = "tap"\n{SUMMARY}', f"echo 1..2; echo ok 1; echo ok 2; echo {printed}")
    assert report.verdict == verdict


async def test_failures_that_only_the_summary_counts_fail_the_run(project: Project) -> None:
    report = await project.run(f'report = "tap"\n{SUMMARY}', "echo 1..1; echo ok 1; echo 1 tests, 1 failures")
    assert report.verdict == "failed"


async def test_reports_of_earlier_runs_are_not_read_again(project: Project) -> None:
    keys, write = 'report = "junit"\nreport_files = ["out/*.xml"]\n', f"mkdir -p out; echo '{JUNIT}' > out/1.xml"
    tests = project.tests(keys, write)
    assert (await tests.run()).verdict == "passed"
    put(project.root, {"run": "#!/bin/sh\ntouch -d 2001-01-01 out/1.xml\n"})
    assert (await tests.run()).verdict == "broken"
    (project.root / "out" / "2.xml").symlink_to("/dev/zero")  # outside, and endless
    assert (await tests.run()).verdict == "broken"


SELECTING = (
    'report = "json-lines"\narguments = ["-v"]\nreport_options = ["-j"]\ntargets = ["t"]\n'
    'name_options = ["-f={name_regex}"]\n'
)
ECHO = (
    """for each in "$@"; do printf '{"test": "%s", "outcome": "passed"}\\n' "$(echo "$each" | tr '\\\\' '!')"; done"""
)


@pytest.mark.parametrize(
    ("targets", "name", "started"),
    [
        ((), "", ["-v", "-j", "t"]),
        (("t/b.sh", "t/a.sh"), "", ["-v", "-j", "t/b.sh", "t/a.sh"]),
        ((), "a.b", ["-v", "-j", "-f=a!.b", "t"]),
        (("t/a.sh",), "x", ["-v", "-j", "-f=x", "t/a.sh"]),
        (("t/a.sh::A::x", "t/a.sh::y"), "", ["-v", "-j", "-f=x|y", "t/a.sh"]),
    ],
)
async def test_targets_and_a_name_select(
    project: Project, targets: tuple[str, ...], name: str, started: list[str]
) -> None:
    report = await project.run(SELECTING, ECHO, *targets, name=name)
    assert [case.id for case in report.cases] == started
    assert "-j" not in report.command.split()


@pytest.mark.parametrize(
    ("keys", "targets", "name"),
    [
        ("", ("t/a.sh",), ""),
        ("targets = []\n", (), "x"),
        ("targets = []\n", ("t/a.sh::x",), ""),
        ('targets = []\nname_options = ["{name}"]\n', ("t/a.sh::x", "t/a.sh::y"), ""),
        ('targets = []\nname_options = ["{name}"]\n', ("t/a.sh::x", "t/b.sh"), ""),
        ('targets = []\nname_options = ["{name}"]\n', ("t/a.sh::x",), "y"),
    ],
)
async def test_what_a_runner_cannot_select_is_refused(
    project: Project, keys: str, targets: tuple[str, ...], name: str
) -> None:
    with pytest.raises(ToolError, match="cannot select that"):
        await project.run(keys, "true", *targets, name=name)


@pytest.mark.parametrize(
    ("command", "runner", "started"),
    [
        ("./run -v t/a.sh", "mine", ["-v", "t/a.sh", "-j"]),
        ("A=1 ./run -v", "mine", ["-v", "-j"]),
        ("./run t/a.sh", "command", []),
        ("./run -v -j", "command", []),
        ("./run -v | cat", "command", []),
        ("./run -v; true", "command", []),
        ("./run -v -- x", "command", []),
    ],
)
async def test_a_given_command_is_adopted_where_it_starts_as_the_runners_own(
    project: Project, command: str, runner: str, started: list[str]
) -> None:
    report = await project.tests(SELECTING, ECHO).run(command=command)
    assert (report.runner, [case.id for case in report.cases]) == (runner, started)
    assert report.command == command


async def test_a_file_in_a_folder_is_evidence_and_a_file_at_the_top_marks_a_project(context: Context) -> None:
    runner = read_runner_file(BASE + "contains = 'echo'\nevidence = '{file} echoes'\ncovers = true\n")
    put(context.files.root, {"t/a.sh": "echo"})
    folder = ProjectFolder(context.files, context.files.root)
    assert (runner.evidence(folder), runner.manifests, runner.covers(folder, "x")) == ("t/a.sh echoes", (), True)
    assert (runner.order, runner.is_task) == (80, True)
    reporting = read_runner_file(BASE.replace("t/", "") + 'report = "tap"\n')
    assert (reporting.order, reporting.is_task, reporting.manifests) == (50, False, (".*\\.sh",))


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ('report = "tab"\n', "Invalid enum value 'tab' - at `$.report`"),
        ('report = "junit"\n', "report = 'junit' needs {report} in `report_options` or `env`, or `report_files`"),
        ('report_files = ["a"]\n', "report = 'exit-code' (the default) reads no report"),
        ('report = "tap"\nreport_files = ["../a"]\n', "`report_files` are below the project"),
        ("summary = 'passed'\n", "`summary` needs groups named total, passed, failed, skipped, and no others"),
        ('name_options = ["-f"]\n', "`name_options` need {name} or {name_regex}"),
        ("nothing_ran = '['\n", "unterminated character set at position 0"),
    ],
)
def test_keys_that_contradict_themselves_are_named(keys: str, why: str) -> None:
    with pytest.raises(UserError) as told:
        read_runner_file(BASE + keys)
    assert str(told.value) == f"it describes no test runner: {why}"
