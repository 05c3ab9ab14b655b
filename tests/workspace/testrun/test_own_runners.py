"""Test runners of the person and of a trusted project: the README's examples, layers, broken files, trust, order."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kimi_agent.app.bootstrap import load_setup
from kimi_agent.errors import ToolError, UserError
from kimi_agent.layers import Layer
from kimi_agent.tool import Context
from kimi_agent.workspace.testrun import ProjectTests
from kimi_agent.workspace.testrun.registry import list_runners, load_runners
from kimi_agent.workspace.testrun.runner_file import read_runner_file

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text("utf-8")
CHECK = 'name = "check"\necosystem = "Shell"\nfiles = ["check.sh"]\nprograms = ["./check.sh"]\n'


def put(path: Path, text: str, *, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def example(language: str, mark: str) -> str:
    """The README's one block in `language` that holds `mark`."""
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    (found,) = [block for block in blocks if mark in block]
    return found


def own(context: Context, *layers: Layer) -> ProjectTests:
    runners, broken = load_runners(layers)
    assert broken == []
    return ProjectTests(context.files, context.runner, runners=runners)


async def test_the_readmes_runner_file_runs_a_script(context: Context, workspace: Path, tmp_path: Path) -> None:
    put(tmp_path / "user" / "runners" / "check.toml", example("toml", "check.sh"))
    put(workspace / "check.sh", "#!/bin/sh\ntest -e good\n", mode=0o755)
    testrun = own(context, Layer("user", tmp_path / "user"))
    report = await testrun.run()
    assert (report.verdict, report.runner, report.evidence) == ("failed", "check.sh", "check.sh")
    assert (report.command, report.exit_code, report.cases) == ("./check.sh", 1, ())
    put(workspace / "good", "")
    assert (await testrun.run()).verdict == "passed"
    with pytest.raises(ToolError, match="cannot select that"):
        await testrun.run(name="x")
    (workspace / "check.sh").unlink()
    (workspace / "check.sh").symlink_to("/bin/true")  # a program that lies outside is not the project's own
    with pytest.raises(ToolError, match="is not installed"):
        await testrun.run()


async def test_the_readmes_runner_file_with_a_report_reads_single_tests(
    context: Context, workspace: Path, tmp_path: Path
) -> None:
    put(tmp_path / "user" / "runners" / "smoke.toml", example("toml", "smoke.sh"))
    script = "#!/bin/sh\necho ok 1 - adds\necho ok 2 - halves\necho 1..2\necho '# passed: {}'\n"
    put(workspace / "smoke.sh", script.format(2), mode=0o755)
    testrun = own(context, Layer("user", tmp_path / "user"))
    report = await testrun.run()
    assert (report.verdict, report.runner, report.count("passed")) == ("passed", "smoke", 2)
    put(workspace / "smoke.sh", script.format(3), mode=0o755)
    assert (await testrun.run()).verdict == "broken"


async def test_the_readmes_runner_reports_single_tests_of_its_own_command_and_of_a_given_one(
    context: Context, workspace: Path, tmp_path: Path
) -> None:
    put(tmp_path / "user" / "runners" / "tap.py", example("python", "TestRunner("))
    put(workspace / "t" / "all.sh", "echo ok 1 - adds\necho not ok 2 - halves\nexit 1\n")
    testrun = own(context, Layer("user", tmp_path / "user"))
    for report in (await testrun.run(), await testrun.run(command="A=1 sh t/all.sh")):
        assert (report.verdict, report.runner) == ("failed", "tap")
        assert {case.id: case.outcome for case in report.cases} == {
            "t/all.sh::adds": "passed",
            "t/all.sh::halves": "failed",
        }
    assert (await testrun.run(command="sh t/all.sh | cat")).runner == "command"


async def test_a_later_layer_replaces_a_runner_of_its_name(context: Context, workspace: Path, tmp_path: Path) -> None:
    for layer, script in (("user", "one.sh"), ("project", "two.sh")):
        text = CHECK.replace('"check"', '"make test"').replace("./check.sh", f"./{script}")
        put(tmp_path / layer / "runners" / "make.toml", text)
        put(workspace / script, "#!/bin/sh\n", mode=0o755)
    put(workspace / "check.sh", "")
    put(workspace / "Makefile", "test:\n\tfalse\n")
    testrun = own(context, Layer("user", tmp_path / "user"), Layer("project", tmp_path / "project"))
    assert (await testrun.run()).command == "./two.sh"
    assert [path.name for path in (tmp_path / "project" / "runners").iterdir()] == ["make.toml"]


def test_runners_are_tried_by_their_order() -> None:
    built_in = [runner.name for runner in list_runners({})]
    known = ["pytest", "unittest", "vitest", "jest", "mocha", "npm test", "go test", "cargo test", "tox", "make test"]
    assert [name for name in built_in if name in known] == known
    assert built_in[-3:] == ["make test", "just test", "task test"]
    mine = read_runner_file(CHECK)
    assert [runner.name for runner in list_runners({"check": mine})][-4:] == ["check", *built_in[-3:]]
    first = read_runner_file(f"{CHECK}order = 1\n")
    assert list_runners({"check": first})[0] is first


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name = ", "Invalid value (at end of document)"),
        (CHECK.replace("name", "nam"), "Object contains unknown field `nam`"),
        (CHECK.replace('name = "check"\n', ""), "Object missing required field `name`"),
        (CHECK.replace('"check"', "3"), "Expected `str`, got `int` - at `$.name`"),
        (CHECK.replace('["./check.sh"]', "[]"), "Expected `array` of length >= 1 - at `$.programs`"),
        (f"{CHECK}contains = '['\n", "unterminated character set at position 0"),
    ],
)
def test_a_runner_file_that_describes_none_says_why(text: str, why: str) -> None:
    with pytest.raises(UserError) as told:
        read_runner_file(text)
    assert str(told.value) == f"it describes no test runner: {why}"


def start(home: Path, folder: Path, *argv: str) -> str:
    """What the program says on stderr in a turn that does nothing."""
    env = {**os.environ, "KIMI_AGENT_HOME": str(home)}
    command = (sys.executable, "-m", "kimi_agent", "-m", "tape:tape.jsonl", "-p", "go", *argv)
    done = subprocess.run(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_broken_runners_are_named_at_the_start_and_an_untrusted_projects_are_not_loaded(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "work"
    put(home / "runners" / "bad.toml", "name = 3\n")
    put(folder / "tape.jsonl", '{"say": "hi"}\n')
    module = folder / ".kimi-agent" / "runners" / "mine.py"
    put(module, "raise RuntimeError('loaded')\n")
    told = start(home, folder)
    assert f"Left out {home}/runners/bad.toml: it describes no test runner: Expected `str`, got `int`" in told
    assert "RuntimeError" not in told
    assert f"Left out {module}: RuntimeError: loaded" in start(home, folder, "--trust")


def test_a_changed_runner_of_a_project_is_trusted_anew(tmp_path: Path) -> None:
    project = tmp_path / "work" / ".kimi-agent"
    put(project / "runners" / "check.toml", CHECK)
    environ = {"KIMI_AGENT_HOME": str(tmp_path / "home"), "HOME": str(tmp_path / "home")}

    def runners(*, trust: bool) -> list[str]:
        setup = load_setup({}, sets=(), directory=str(project.parent), environ=environ, trust=trust)
        return list(load_runners(setup.layers[1:])[0])

    assert (runners(trust=False), runners(trust=True), runners(trust=False)) == ([], ["check"], ["check"])
    put(project / "runners" / "check.toml", CHECK.replace("./check.sh", "curl"))
    assert runners(trust=False) == []


def test_the_start_of_the_program_loads_no_built_in_runner(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from kimi_agent.app.open_agent import load_runners
from kimi_agent.layers import Layer
load_runners([Layer("user", Path({str(tmp_path)!r}))])
print([name for name in sys.modules if name.startswith("kimi_agent.workspace.testrun.runners")])
"""
    argv = (sys.executable, "-c", code)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=50, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
