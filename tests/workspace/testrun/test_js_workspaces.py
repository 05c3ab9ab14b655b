"""JavaScript monorepos: which packages a command at the top runs, and what it printed for each of them."""

import json
import shutil
from pathlib import Path

import pytest

from kimi_agent.log.views import TestReport
from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.choosing.project_map import ProjectMap
from kimi_agent.workspace.testrun.commands_and_reports import Owner
from kimi_agent.workspace.testrun.projects.js_workspace import is_workspace_package, read_workspace_globs
from kimi_agent.workspace.testrun.projects.node_project import inspect_node_project
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.projects.workspace_coverage import covers_package, find_fan_out
from kimi_agent.workspace.testrun.reports.package_output import read_package_runs
from kimi_agent.workspace.testrun.verdict import find_replayed
from tests.workspace.testrun.project_files import RUNNERS, put

RECORDED = Path(__file__).parent / "recorded"
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm here")
ONE_TEST = 'require("node:test")("one", () => {});'
RED_TEST = 'require("node:test")("one", () => { throw new Error("red"); });'


def package(script: str = "", **more: object) -> str:
    return json.dumps({"scripts": {"test": script} if script else {}, **more})


def top(script: str = "", **more: object) -> str:
    return package(script, private=True, workspaces=["packages/*"], **more)


@pytest.mark.parametrize(
    ("command", "script"),
    [
        ("npm test --workspaces --if-present", "test"),
        ("npm run unit -ws", "unit"),
        ("npm t --ws", "test"),
        ("npm test", ""),
        ("npm test -w packages/a", ""),
        ("npm test --workspaces -w a", ""),
        ("pnpm -r test", "test"),
        ("pnpm recursive run unit", "unit"),
        ("pnpm --recursive --parallel run test", "test"),
        ("pnpm -r --filter a test", ""),
        ("pnpm test", ""),
        ("yarn workspaces run test", "test"),
        ("yarn workspaces foreach -A run test", "test"),
        ("yarn workspaces foreach -Apt run test", "test"),
        ("yarn workspaces foreach --since run test", ""),
        ("yarn workspaces foreach -W run test", ""),
        ("turbo run test", "test"),
        ("npx turbo test", "test"),
        ("turbo run lint test --concurrency=2", "test"),
        ("turbo run test --filter=a", ""),
        ("turbo run test --affected", ""),
        ("nx run-many -t test", "test"),
        ("nx run-many --target=unit --all", "unit"),
        ("nx run-many -t test -p a", ""),
        ("nx affected -t test", ""),
        ("lerna run test", "test"),
        ("lerna run test --scope a", ""),
        ("jest", ""),
        ("", ""),
    ],
)
def test_a_command_that_runs_every_package_is_known(command: str, script: str) -> None:
    assert find_fan_out(tuple(command.split())) == script


@pytest.mark.parametrize(
    ("files", "below", "is_package"),
    [
        ({"package.json": package(workspaces=["packages/*"])}, "packages/a", True),
        ({"package.json": package(workspaces=["packages/*"])}, "packages/a/b", False),
        ({"package.json": package(workspaces={"packages": ["./packages/**"]})}, "packages/a/b", True),
        ({"package.json": package(workspaces=["{apps,libs}/*/"])}, "libs/x", True),
        ({"package.json": package(workspaces=["**", "!**/test/**"])}, "a/test/b", False),
        ({"package.json": package(workspaces="packages/*")}, "packages/a", False),
        ({"pnpm-workspace.yaml": "# all\npackages:\n  # ours\n  - 'apps/*'\n\n  - web # no\nx: 1\n"}, "web", True),
        ({"pnpm-workspace.yaml": 'packages: ["apps/*", web]\ncatalog:\n  - a\n'}, "apps/b", True),
        ({"pnpm-workspace.yaml": "catalog:\n  - packages/*\n"}, "packages/a", False),
        ({"lerna.json": "{}"}, "packages/a", True),
        ({"package.json": "[", "lerna.json": "{"}, "a", False),
    ],
)
async def test_the_packages_of_a_workspace_are_known_by_its_patterns(
    context: Context, workspace: Path, files: dict[str, str], below: str, is_package: bool
) -> None:
    put(workspace, files)
    folder = ProjectFolder(context.files, workspace)
    assert is_workspace_package(folder, below) == is_package
    assert bool(read_workspace_globs(ProjectFolder(context.files, workspace / "none"))) is False


@pytest.mark.parametrize(
    ("files", "covered"),
    [
        ({"package.json": top("turbo run test"), "packages/a/package.json": package("jest")}, True),
        ({"package.json": top("npm run build && npm test -ws"), "packages/a/package.json": package("jest")}, True),
        ({"package.json": top("pnpm -r test"), "packages/a/package.json": package()}, False),
        ({"package.json": top("turbo run test --filter=b"), "packages/a/package.json": package("jest")}, False),
        ({"package.json": package("pnpm -r test"), "packages/a/package.json": package("jest")}, False),
        ({"package.json": top("jest"), "packages/a/package.json": package()}, True),
        ({"package.json": top("jest --coverage"), "packages/a/package.json": package("jest")}, True),
        ({"package.json": top("jest src"), "packages/a/package.json": package("jest")}, False),
        ({"package.json": top("jest"), "packages/a/package.json": package("mocha")}, False),
        ({"package.json": top("jest", jest={"roots": ["src"]}), "packages/a/package.json": package()}, False),
        ({"package.json": top("jest"), "packages/a/package.json": package("jest", jest={})}, True),
        ({"package.json": top("jest"), "packages/a/package.json": package("jest", jest={"a": 1})}, False),
        (
            {
                "package.json": top("jest", jest={"projects": ["<rootDir>/packages/*"]}),
                "packages/a/package.json": package("jest", jest={"a": 1}),
            },
            True,
        ),
        (
            {
                "package.json": top("vitest run"),
                "vitest.config.ts": "export default defineConfig({ test: { projects: ['packages/*'] } })",
                "packages/a/package.json": package("vitest"),
                "packages/a/vitest.config.ts": "export default {}",
            },
            True,
        ),
        (
            {
                "package.json": top("vitest run"),
                "vitest.workspace.ts": "export default ['packages/*/vitest.config.ts']",
                "packages/a/package.json": package("vitest"),
                "packages/a/vitest.config.ts": "export default {}",
            },
            True,
        ),
        (
            {
                "package.json": top("vitest run"),
                "vitest.config.ts": "export default defineConfig({ test: { projects: ['packages/b'] } })",
                "packages/a/package.json": package("vitest"),
            },
            False,
        ),
        ({"package.json": top("mocha"), "packages/a/package.json": package("mocha")}, False),
        ({"package.json": top("node --test"), "packages/a/package.json": package("node --test")}, True),
        ({"package.json": top("node --test test/"), "packages/a/package.json": package("node --test")}, False),
    ],
)
async def test_what_a_run_at_the_top_covers(
    context: Context, workspace: Path, files: dict[str, str], covered: bool
) -> None:
    put(workspace, files)
    assert covers_package(ProjectFolder(context.files, workspace), "packages/a") == covered


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"package.json": top(), "turbo.json": '{"tasks": {"test": {}}}'}, "turbo.json has a task test"),
        ({"package.json": top(), "turbo.json": '{"tasks": {"a#test": {}}}'}, "turbo.json has a task test"),
        ({"package.json": top("./all.sh"), "turbo.json": '{"tasks": {"test": {}}}'}, ""),
        ({"package.json": top(), "turbo.json": '{"tasks": {"build": {}}}'}, ""),
        ({"package.json": top(), "nx.json": "{}"}, "nx.json, packages with a script test"),
        (
            {"package.json": "{}", "nx.json": "{}", "apps/b/project.json": '{"targets": {"test": {}}}'},
            "nx.json, apps/b/project.json has a target test",
        ),
        ({"package.json": top(), "lerna.json": "{}"}, "lerna.json, packages with a script test"),
        ({"package.json": top()}, ""),
    ],
)
async def test_a_task_runner_is_taken_where_the_top_has_no_test_script(
    context: Context, workspace: Path, files: dict[str, str], why: str
) -> None:
    put(workspace, {**files, "packages/a/package.json": package("jest")})
    assert RUNNERS["workspace packages"].evidence(ProjectFolder(context.files, workspace)) == why


async def test_what_the_top_depends_on_for_its_packages_does_not_test_it(context: Context, workspace: Path) -> None:
    put(workspace, {"package.json": top(devDependencies={"jest": "*"}), "packages/a/package.json": package("jest")})
    folder = ProjectFolder(context.files, workspace)
    assert inspect_node_project(folder).runner == ""
    put(workspace, {"jest.config.js": ""})
    assert inspect_node_project(ProjectFolder(context.files, workspace)).runner == "jest"


def run_names(text: str) -> list[tuple[str, str]]:
    return [(run.name, run.closing.nothing_ran) for run in read_package_runs(text.split("\n")).runs]


def test_a_package_without_a_version_or_name_is_told_apart() -> None:
    """What npm 11 prints for such packages."""
    text = "\n> @x/a test\n> jest\n\nNo tests found, exiting with code 0\n\n> test\n> jest\n\nTests: 1 passed\n"
    assert run_names(text) == [("@x/a", "No tests found, exiting with code 0"), ("package 2", "")]


def test_what_a_test_prints_like_a_package_is_none() -> None:
    assert run_names("> this is quoted\nno heading\n\n> quoted: more\n\nsrc/app.ts:12: cache miss\n[x] done\n") == []


def test_a_build_before_the_tests_is_no_test_task() -> None:
    text = "a:build: cache miss, executing 1\na:test: cache miss, executing 2\na:test: Ran 0 tests in 0.1s\n"
    assert run_names(text) == [("a", "Ran 0 tests in 0.1s")]


def test_a_package_that_prints_nothing_is_no_proof_beside_an_empty_one() -> None:
    """`yarn workspaces run test` of yarn 1.22, with a script `true` in b."""
    empty = "yarn workspaces v1.22.22\n\n> a\nyarn run v1.22.22\n$ node --test\n1..0\nDone in 0.10s.\n"
    silent = "\n> b\nyarn run v1.22.22\n$ true\nDone in 0.05s.\n"
    assert read_package_runs((empty + silent).split("\n")).none_ran
    assert not read_package_runs((empty + silent + "\n> c\n$ jest\nTests: 1 passed\n").split("\n")).none_ran


@pytest.mark.parametrize(("tool", "packages"), [("turbo", ["@x/b", "@x/a"]), ("nx", ["@x/a", "@x/b"])])
def test_a_replayed_result_is_named_as_not_run(tool: str, packages: list[str]) -> None:
    text = (RECORDED / f"workspace_{tool}_cached.txt").read_text("utf-8")
    replayed = find_replayed(text.split("\n"))
    assert [each.split()[3] for each in replayed] == packages
    assert all("--force" in each and "--skip-nx-cache" in each for each in replayed)
    assert find_replayed(text.replace("cache hit, replaying logs", "cache miss, executing").split("\n")) == (
        () if tool == "turbo" else replayed
    )


async def told(context: Context, command: str) -> TestReport:
    return await context.testrun.run(command=command)


@needs_npm
async def test_npm_with_no_package_that_has_the_script_ran_no_test(context: Context, workspace: Path) -> None:
    put(workspace, {"package.json": top(), "packages/a/package.json": package(name="a", version="1.0.0")})
    report = await told(context, "npm test --workspaces --if-present")
    assert (report.verdict, report.exit_code, report.trouble) == ("none_ran", 0, "no package has that script")


@needs_npm
async def test_npm_over_packages_is_held_against_each_packages_own_lines(context: Context, workspace: Path) -> None:
    put(workspace, {"package.json": top()})
    put(workspace, {"packages/a/package.json": package("node --test || true", name="a", version="1.0.0")})
    put(workspace, {"packages/a/a.test.js": RED_TEST})
    put(workspace, {"packages/b/package.json": package("node --test", name="b", version="1.0.0")})
    put(workspace, {"packages/b/b.test.js": ONE_TEST})
    report = await told(context, "npm test --workspaces --if-present")
    assert (report.verdict, report.trouble) == ("failed", "the exit code is 0 although tests failed in: a")


async def test_the_tests_of_what_uses_a_changed_package_run_too(context: Context, workspace: Path) -> None:
    """Without a script at the top each package is a project; c uses b, which uses a; d uses none of them."""
    uses = {"a": {}, "b": {"a": "*"}, "c": {"b": "*"}, "d": {}}
    for name, used in uses.items():
        put(workspace, {f"packages/{name}/package.json": package("jest", name=name, devDependencies=used)})
    projects = ProjectMap(context.files, tuple(RUNNERS.values()))
    owner = projects.owner("packages/a/src/a.ts")
    assert owner == Owner("JavaScript", "packages/a")
    assert [each.place for each in projects.users_of([owner])] == ["packages/b", "packages/c"]
