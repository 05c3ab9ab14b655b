"""Which runner a package.json means, how it is started, and real runs of node's own."""

import json
import shutil
from pathlib import Path

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.log.views import TestReport
from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.projects.node_project import inspect_node_project
from kimi_agent.workspace.testrun.projects.package_script import parse_package_script
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from tests.workspace.testrun.project_files import outcomes, put

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")


def package(script: str = "", **more: object) -> str:
    return json.dumps({"scripts": {"test": script} if script else {}, **more})


def installed(root: Path, *names: str) -> None:
    for name in names:
        put(root, {f"node_modules/.bin/{name}": "#!/bin/sh\nexit 0\n"})
        (root / "node_modules/.bin" / name).chmod(0o755)


@pytest.mark.parametrize(
    ("script", "runner", "before", "text", "program", "options"),
    [
        ("jest", "jest", "", "jest", "jest", ""),
        ("jest --coverage src", "jest", "", "jest --coverage src", "jest", "--coverage"),
        ("vitest", "vitest", "", "vitest --run", "vitest --run", ""),
        ("vitest run -c v.ts", "vitest", "", "vitest run -c v.ts", "vitest run", "-c v.ts"),
        ("vitest --watch", "vitest", "", "vitest --run", "vitest --run", ""),
        ("vitest watch -c v.ts", "vitest", "", "vitest run -c v.ts", "vitest run", "-c v.ts"),
        ("mocha -w spec", "mocha", "", "mocha spec", "mocha", ""),
        ("jest -w 4", "jest", "", "jest -w 4", "jest", "-w 4"),
        ("tsc && mocha dist", "mocha", "tsc && ", "mocha dist", "mocha", ""),
        ("A=1 jest", "jest", "", "A=1 jest", "A=1 jest", ""),
        ("cross-env A=1 jest", "jest", "", "cross-env A=1 jest", "cross-env A=1 jest", ""),
        ("c8 --all mocha", "mocha", "", "c8 --all mocha", "c8 --all mocha", ""),
        ("npx jest", "jest", "", "npx jest", "npx jest", ""),
        ("node -r tsx --test a.ts", "node", "", "node -r tsx --test a.ts", "node -r tsx --test", ""),
        ("node --watch --test", "node", "", "node --test", "node --test", ""),
        (
            "node --expose-gc node_modules/.bin/jest -i",
            *("jest", "", "node --expose-gc node_modules/.bin/jest -i"),
            *("node --expose-gc node_modules/.bin/jest", "-i"),
        ),
        (
            *("react-scripts test --env=jsdom", "jest", "", "react-scripts test --watchAll=false --env=jsdom"),
            *("react-scripts test --watchAll=false", "--env=jsdom"),
        ),
        ("ng test", "ng", "", "ng test --watch=false", "ng test --watch=false", ""),
        ("karma start k.js", "karma", "", "karma start --single-run k.js", "karma start --single-run", ""),
        ("bun test", "bun", "", "bun test", "bun test", ""),
        ("npm run unit", "mocha", "", "mocha -r x", "mocha", "-r x"),
        ("lint && yarn unit", "mocha", "lint && ", "mocha -r x", "mocha", "-r x"),
        ("npm run unit -- --bail", "mocha", "", "mocha -r x --bail", "mocha", "-r x --bail"),
        ("run-s unit", "mocha", "", "mocha -r x", "mocha", "-r x"),
    ],
)
def test_a_test_script_is_taken_apart(
    script: str, runner: str, before: str, text: str, program: str, options: str
) -> None:
    found = parse_package_script({"test": script, "unit": "mocha -r x"})
    (command,) = found.runners
    assert command == found.commands[-1]
    assert (command.runner, command.text) == (runner, text)
    assert (command.program, command.options) == (tuple(program.split()), tuple(options.split()))
    assert found.text == before + text


@pytest.mark.parametrize(
    "script",
    [
        "npm run test",
        "jest; true",
        "jest || true",
        "jest | tee log",
        "(jest)",
        "jest $ARGS",
        "jest -- a",
        "echo jest",
        "node test.js",
        "run-p jest tsc",
        "vitest list",
        "jest --json --outputFile=mine.json",
        "it's",
        "",
    ],
)
def test_a_script_that_a_shell_has_to_read_is_not_taken_apart(script: str) -> None:
    assert parse_package_script({"test": script}).runners == ()


@pytest.mark.parametrize(
    ("scripts", "text"),
    [
        ({"pretest": "tsc", "test": "jest", "posttest": "eslint ."}, "tsc && jest && eslint ."),
        ({"pretest": "cd x && tsc", "test": "jest"}, "(cd x && tsc) && jest"),
        ({"test": "npm run a && jest", "a": "cd x && mocha"}, "npm run a && jest"),
        ({"test": "run-s t:*", "t:a": "jest", "pret:a": "tsc", "t:b": "node check.js"}, "tsc && jest && node check.js"),
        ({"test": "echo 'a && b' && mocha a && mocha b"}, "echo 'a && b' && mocha a && mocha b"),
    ],
)
def test_a_script_is_all_that_its_package_manager_runs_for_it(scripts: dict[str, str], text: str) -> None:
    assert parse_package_script(scripts).text == text


def test_yarn_since_2_runs_no_hooks() -> None:
    assert parse_package_script({"pretest": "tsc", "test": "jest"}, hooks=False).text == "jest"


@pytest.mark.parametrize(
    ("files", "runner", "why", "manager"),
    [
        ({}, "", "", "npm"),
        ({"package.json": "{"}, "", "", "npm"),
        ({"package.json": "[]"}, "", "", "npm"),
        ({"package.json": '{"scripts": {"test": 4}}'}, "", "", "npm"),
        ({"package.json": package('echo "Error: no test specified" && exit 1')}, "", "", "npm"),
        ({"package.json": package("./run.sh")}, "script", "package.json script test", "npm"),
        (
            {"package.json": package("./x", devDependencies={"jest": "1"})},
            *("script", "package.json script test", "npm"),
        ),
        (
            {"package.json": package("jest && mocha", devDependencies={"jest": "1"})},
            *("script", "package.json script test", "npm"),
        ),
        (
            {"package.json": package(devDependencies={"@playwright/test": "1"})},
            *("playwright", "package.json depends on playwright", "npm"),
        ),
        (
            {"package.json": package(dependencies={"vitest": "1", "jest": "1"})},
            *("vitest", "package.json depends on vitest", "npm"),
        ),
        ({"package.json": "{}", "a.test.mjs": "from 'node:test'"}, "node", "a.test.mjs imports node:test", "npm"),
        ({"package.json": "{}", "test/b/a.js": 'require("node:test")'}, "node", "test/b/a.js imports node:test", "npm"),
        ({"package.json": "{}", "src/a.js": 'require("node:test")'}, "", "", "npm"),
        (
            {"package.json": "{}", "a.spec.ts": "from 'bun:test'", "bun.lock": ""},
            *("bun", "a.spec.ts imports bun:test", "bun"),
        ),
        (
            {"package.json": package("x", packageManager="yarn@4.1.0"), "package-lock.json": ""},
            *("script", "package.json script test", "yarn"),
        ),
        ({"package.json": package("x"), "pnpm-lock.yaml": ""}, "script", "package.json script test", "pnpm"),
        ({"package.json": package("jest"), ".pnp.cjs": ""}, "script", "package.json script test", "yarn"),
    ],
)
async def test_a_package_is_known_by_its_manifest(
    context: Context, workspace: Path, files: dict[str, str], runner: str, why: str, manager: str
) -> None:
    put(workspace, files)
    found = inspect_node_project(ProjectFolder(context.files, workspace))
    assert (found.runner, found.why, found.package_manager) == (runner, why, manager)


async def test_the_script_runs_as_written_with_a_report_and_targets_replace_its_own(
    context: Context, workspace: Path
) -> None:
    put(workspace, {"package.json": package("tsc -p . && jest -c j.js src"), "src/a b.test.ts": "", "src/-x.ts": ""})
    installed(workspace, "jest")
    path = 'PATH="$PWD/node_modules/.bin:$PATH"; tsc -p . && '
    whole = await context.testrun.preview_command()
    assert whole.startswith(f"{path}jest -c j.js src --json --outputFile=/")
    some = await context.testrun.preview_command(["src/a b.test.ts::deep > it's (1)", "src/-x.ts::b"], name="c.d")
    assert some.startswith(f"{path}jest -c j.js --json --outputFile=/")
    assert some.endswith(
        """'--testNamePattern=^(?=.*c\\.d) ?(?:deep (?:> )?it'"'"'s \\(1\\)|b)(?: |$)' """
        """--runTestsByPath 'src/a b.test.ts' src/-x.ts"""
    )
    assert (await context.testrun.preview_command(["src"])).endswith(" src")
    (workspace / "-a").mkdir()
    assert (await context.testrun.preview_command(["./-a"])).endswith(" '[-]a'")


@pytest.mark.parametrize(
    ("script", "runner", "says"),
    [
        ("vitest", "vitest", "vitest --run --reporter=verbose --reporter=json --outputFile.json="),
        ("mocha -r x spec", "mocha", "mocha -r x spec --reporter "),
        ("bun test", "bun", "bun test"),
        ("node --test --test-reporter=dot", "node", "node --test --test-reporter=/"),
    ],
)
async def test_each_runner_is_told_to_report(
    context: Context, workspace: Path, script: str, runner: str, says: str
) -> None:
    put(workspace, {"package.json": package(script), "spec/a.js": ""})
    installed(workspace, "vitest", "mocha", "bun", "node")
    shown = await context.testrun.preview_command()
    assert says in shown
    assert "=dot" not in shown
    if runner == "mocha":
        targeted = await context.testrun.preview_command(["spec/a.js::x"])
        assert targeted.endswith("'--grep=^ ?(?:x)(?: |$)' spec/a.js")
        assert "mocha -r x --reporter" in targeted


async def test_missing_dependencies_are_told(context: Context, workspace: Path) -> None:
    put(workspace, {"package.json": package("jest")})
    report = await context.testrun.run()
    assert report.verdict == "broken"
    assert "jest is not in node_modules/.bin: install the dependencies first" in report.evidence


async def test_programs_of_the_workspaces_top_are_found_from_a_package_below(context: Context, workspace: Path) -> None:
    put(workspace, {"package.json": "{}", "packages/a/package.json": package("jest"), "packages/a/a.test.js": ""})
    installed(workspace, "jest")
    shown = await context.testrun.preview_command(["packages/a/a.test.js"])
    assert shown.startswith('PATH="$PWD/../../node_modules/.bin:$PATH"; jest ')


async def test_an_unknown_script_is_run_by_the_package_manager_and_judged_by_its_exit(
    context: Context, workspace: Path
) -> None:
    put(workspace, {"package.json": package("echo ran; exit 4", packageManager="pnpm@9")})
    report = await context.testrun.run()
    if context.runner.which("pnpm") is None:
        assert (report.runner, report.verdict, report.exit_code) == ("test script", "failed", 4)
        assert "there is no pnpm here" in report.evidence
    with pytest.raises(ToolError, match="that can be given targets or a name"):
        await context.testrun.run(name="x")


TESTS = """
const {test, describe, it} = require("node:test");
const assert = require("node:assert");
const {add} = require("./sum.js");
describe("sum", () => {
  it("adds", () => assert.strictEqual(add(1, 2), 3));
  it("starts at (0)", () => assert.strictEqual(add(0, 0), 0));
});
test("other", () => {});
"""


@needs_node
async def test_a_real_node_run_goes_from_red_to_green(context: Context, workspace: Path) -> None:
    put(
        workspace,
        {
            "package.json": package("node --test"),
            "sum.js": "exports.add = (a, b) => a - b;\n",
            "sum.test.js": TESTS,
            "node_modules/x/x.test.js": "throw 1",
        },
    )
    report = await context.testrun.run(timeout_s=50)
    assert (report.verdict, report.runner, report.evidence) == ("failed", "node", "package.json script test")
    assert outcomes(report) == {
        "sum.test.js::sum > adds": "failed",
        "sum.test.js::sum > starts at (0)": "passed",
        "sum.test.js::other": "passed",
    }
    red = report.cases[0]
    assert (red.place, red.message.split(":")[0]) == ("sum.test.js:6", "AssertionError [ERR_ASSERTION]")
    put(workspace, {"sum.js": "exports.add = (a, b) => a + b;\n"})
    again = await context.testrun.run([red.id], timeout_s=50)
    assert {case.id: (case.outcome, case.fixed) for case in again.cases}[red.id] == ("passed", True)
    assert "sum.test.js::other" not in outcomes(again)
    assert sorted(path.name for path in workspace.iterdir()) == [
        "node_modules",
        "package.json",
        "sum.js",
        "sum.test.js",
    ]


@needs_node
async def test_a_file_that_loads_again_is_fixed(context: Context, workspace: Path) -> None:
    put(workspace, {"package.json": package("node --test"), "a.test.js": "require('./gone')\n"})
    report = await context.testrun.run(timeout_s=50)
    assert (report.verdict, outcomes(report)) == ("broken", {"a.test.js": "error"})
    assert "Cannot find module './gone'" in report.trouble
    context.testrun.add_report(TestReport("failed", "node", "", "", 1, 0.1, report.cases))
    put(workspace, {"a.test.js": "require('node:test')('a', () => {})\n"})
    report = await context.testrun.run(timeout_s=50)
    assert [(case.id, case.outcome, case.fixed) for case in report.cases] == [
        ("a.test.js::a", "passed", False),
        ("a.test.js", "passed", True),
    ]
