"""What a call starts, in which order it is looked for, and what a report says of the run as a whole."""

import json
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from kimi_agent.errors import ToolError
from kimi_agent.log.views import TestCase, TestReport
from kimi_agent.tool import Context
from kimi_agent.workspace.testrun import ProjectTests
from kimi_agent.workspace.testrun.choosing.given_command import may_run_subset, prepare_given_command
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.registry import list_runners
from tests.workspace.testrun.project_files import put

UNITTEST = "import unittest\nclass A(unittest.TestCase):\n    def test_a(self): self.assertTrue({})\n"


async def test_a_command_of_agents_md_comes_before_the_table(context: Context, workspace: Path) -> None:
    put(workspace, {"AGENTS.md": "- Tests: `sh ./all.sh`\n", "all.sh": "exit 3\n", "test_a.py": UNITTEST.format(1)})
    report = await context.testrun.run()
    assert (report.evidence, report.exit_code, report.whole) == ("AGENTS.md", 3, True)
    assert "-m unittest" in await context.testrun.preview_command(["test_a.py"])
    configured = ProjectTests(context.files, context.runner, command="exit 7")
    assert (await configured.run()).evidence == "configured test command"


async def test_a_command_of_agents_md_that_is_not_there_is_told_and_passed_over(
    context: Context, workspace: Path
) -> None:
    put(workspace, {"AGENTS.md": "- Tests: `no-such-runner --all`\n", "test_a.py": UNITTEST.format(1)})
    report = await context.testrun.run()
    assert report.verdict == "passed"
    assert report.evidence.startswith(
        "AGENTS.md says 'no-such-runner --all', but there is no no-such-runner; test_a.py"
    )


async def test_a_bare_pytest_of_agents_md_runs_with_the_interpreter_of_the_project(
    context: Context, workspace: Path
) -> None:
    put(workspace, {"AGENTS.md": "Run the tests with `pytest`.\n", "test_a.py": "def test_a(): pass\n"})
    assert " -m pytest --verbosity=1 " in await context.testrun.preview_command()


async def test_a_command_that_told_of_its_tests_is_taken_again(context: Context, workspace: Path) -> None:
    put(workspace, {"test_a.py": UNITTEST.format(1), "Makefile": "test:\n\texit 1\n"})
    command = f"'{sys.executable}' -B -m unittest"
    first = await context.testrun.run(command=command)
    assert (first.verdict, first.evidence, first.whole) == ("passed", "command of this call", False)
    again = await context.testrun.run()
    assert (again.evidence, again.command, again.whole) == ("it worked in this session", command, True)
    assert "-m unittest -v test_a.py" in await context.testrun.preview_command(["test_a.py"])
    resumed = ProjectTests(context.files, context.runner)
    resumed.add_report(first)
    assert (await resumed.run()).command == command


async def test_a_command_known_by_its_exit_alone_never_stands_before_a_runner(
    context: Context, workspace: Path
) -> None:
    put(workspace, {"run.sh": "exit 0\n"})
    assert (await context.testrun.run(command="sh run.sh")).verdict == "passed"
    assert (await context.testrun.run(command="true")).verdict == "passed"
    assert (await context.testrun.run()).command == "true"
    put(workspace, {"test_a.py": UNITTEST.format(0)})
    assert (await context.testrun.run()).runner == "unittest"


@pytest.mark.parametrize(
    ("command", "some"),
    [
        ("pytest", False),
        ("python -m pytest -q", False),
        ("make check", False),
        ("go test ./...", False),
        ("npm test", False),
        ("pytest tests/test_a.py", True),
        ("pytest -k a", True),
        ("go test ./sub", True),
        ("go test -run=A ./...", True),
        ("cargo test adds", True),
        ("jest --testNamePattern=x", True),
        ("pytest | tail", True),
        *(
            (whole, False)
            for whole in (
                *("node --test", "CI=1 npx vitest run", "npx jest --ci --runInBand", "bundle exec rspec", "deno test"),
                *("cargo nextest run --workspace", "bazel test //...", "bats -r", "prove -v", "python -m pytest -n 4"),
                *(
                    "gotestsum ./...",
                    "meson test",
                    "npm test --workspaces",
                    "pnpm -r test",
                    "dune runtest",
                    "lein test",
                ),
                *(
                    "uv run --frozen pytest",
                    "MIX_ENV=test mix test --trace",
                    "go test -race -count=1 ./...",
                    "tox",
                    "dune runtest",
                ),
            )
        ),
        *(
            (some, True)
            for some in (
                *("PYTEST_ADDOPTS='-k a' pytest", "TESTS=a make test", "cargo test --lib", "cargo test --doc"),
                *(
                    "pytest -m fast",
                    "pytest -mfast",
                    "pytest --lf",
                    "pytest --ignore=b",
                    "pytest --co",
                    "go test -short ./...",
                ),
                *("go test -skip=A ./...", "jest --onlyChanged", "jest -o", "jest --shard=1/2", "vitest --project=a"),
                *("mix test --stale", "mix test --only x", "rspec --tag focus", "rspec --only-failures", "ctest -R a"),
                *("ctest --rerun-failed", "npm test --workspace=a", "npm test -w a", "make -C sub test", "bats -f a"),
                *("behave --tags=@a", "robot -i a", "nx affected -t test", "turbo test --filter=a", "tox -e lint"),
                *("./gradlew test --tests A", "mvn -pl a test", "mvn test -Dgroups=a", "dotnet test --filter=A"),
                *(
                    "phpunit --testsuite=a",
                    "phpunit --group=a",
                    "prove t/a.t",
                    "deno test a.ts",
                    "cargo nextest run -E a",
                ),
            )
        ),
    ],
)
def test_a_command_for_some_of_the_tests_is_not_taken_for_all(command: str, some: bool) -> None:
    assert may_run_subset(command) == some


@pytest.mark.parametrize(
    ("command", "runner", "text"),
    [
        ("npx jest a", "jest", "npx jest a --json --outputFile=/r/report"),
        ("vitest run", "vitest", "vitest run --reporter=verbose --reporter=json --outputFile.json=/r/report"),
        ("npx mocha", "mocha", "npx mocha --reporter /r/report.cjs"),
        (
            "node --test a.js",
            "node",
            "node --test --test-reporter=/r/reporter.mjs --test-reporter-destination=/r/report --test-reporter=spec "
            "--test-reporter-destination=stdout a.js",
        ),
        ("npm test", "jest", "jest --json --outputFile=/r/report"),
        ("yarn test", "jest", "jest --json --outputFile=/r/report"),
        ("npm run other", "command", "npm run other"),
        ("go test ./...", "go test", "go test -json -count=1 ./..."),
        ("cargo test --all", "cargo test", "cargo test --all"),
        ("zig build test", "zig build test", "zig build test --summary all"),
        ("tox -e py", "tox", "tox -e py"),
        ("ctest --test-dir b", "ctest", "ctest --test-dir b --output-junit /r/report --output-on-failure"),
        (
            "bundle exec rspec",
            "rspec",
            "bundle exec rspec --no-color --format progress --require /r/rspec_reporter.rb "
            "--format KimiAgentReport --out /r/report",
        ),
        ("vendor/bin/phpunit", "phpunit", "vendor/bin/phpunit --log-junit /r/report"),
        (
            "MIX_ENV=test mix test a.exs",
            "mix",
            "MIX_ENV=test elixir -r /r/exunit_formatter.exs -S mix test a.exs "
            "--formatter KimiAgentReport --formatter ExUnit.CLIFormatter --no-color",
        ),
        ("bundle exec rake test", "minitest", "bundle exec rake test"),
        ("bundle exec rake", "command", "bundle exec rake"),
        ("./gradlew test", "gradle", "./gradlew test"),
        ("mvn -q test", "maven", "mvn -q test"),
        ("go test ./... | tee log", "command", "go test ./... | tee log"),
        ("go vet ./...", "command", "go vet ./..."),
        ("make test", "command", "make test"),
    ],
)
async def test_a_plain_command_of_a_known_runner_is_made_to_report(
    context: Context, workspace: Path, command: str, runner: str, text: str
) -> None:
    put(workspace, {"package.json": json.dumps({"scripts": {"test": "jest", "other": "x; y"}})})
    folder = ProjectFolder(context.files, workspace)
    launch = prepare_given_command(command, folder, "because", Path("/r/report"), list_runners({})).command
    assert (launch.runner, launch.argv[2], launch.shown) == (runner, text, command)
    ours = {"reporter.mjs", "report.cjs", "parts.json", "began", "rspec_reporter.rb", "exunit_formatter.exs"}
    assert set(launch.extra_files) <= {*ours, "minitest/kimi_agent_plugin.rb"}


async def test_a_file_goes_to_the_runner_of_its_own_language(context: Context, workspace: Path) -> None:
    put(
        workspace,
        {
            "pyproject.toml": "[tool.pytest.ini_options]\n",
            "test_a.py": "",
            "package.json": json.dumps({"scripts": {"test": "jest"}}),
            "web/a.test.ts": "",
        },
    )
    assert "-m pytest" in await context.testrun.preview_command()
    assert "-m pytest" in await context.testrun.preview_command(["test_a.py"])
    assert "jest --json" in await context.testrun.preview_command(["web/a.test.ts"])


async def test_every_ecosystem_of_a_folder_runs_and_a_task_beside_them_does_not(
    context: Context, workspace: Path
) -> None:
    put(
        workspace,
        {
            "test_a.py": UNITTEST.format(1),
            "package.json": '{"scripts": {"test": "node check.js"}}',
            "check.js": "",
            "Makefile": "test:\n\texit 1\n",
        },
    )
    report = await context.testrun.run()
    assert (report.verdict, [part.runner for part in report.parts]) == ("passed", ["unittest", "npm test"])
    assert [part.ecosystem for part in report.parts] == ["Python", "JavaScript"]
    assert report.whole


async def test_a_run_belongs_to_the_projects_of_the_changed_files(context: Context, workspace: Path) -> None:
    put(
        workspace,
        {
            "back/pyproject.toml": "[tool.pytest.ini_options]\n",
            "back/test_a.py": "def test_a(): pass\n",
            "front/package.json": '{"scripts": {"test": "node check.js"}}',
            "front/check.js": "process.exit(1)",
            "other/package.json": "{}",
        },
    )
    changed: list[str] = []

    async def files() -> list[str]:
        return changed

    tests = ProjectTests(context.files, context.runner, changed=files)
    every = await tests.run()
    assert (every.verdict, every.count("passed")) == ("failed", 1)
    assert [(part.folder, part.verdict) for part in every.parts] == [("back", "passed"), ("front", "failed")]
    tests = ProjectTests(context.files, context.runner, changed=files)
    changed += ["back/a.py", "README.md"]
    assert ((await tests.run()).folder, (await tests.run()).verdict) == ("back", "passed")
    changed += ["other/a.ts"]
    report = await tests.run()
    assert (report.folder, report.whole, report.unrun) == ("back", False, ("other: no tests of JavaScript were found",))


async def test_a_project_whose_last_run_failed_is_run_again(context: Context, workspace: Path) -> None:
    put(
        workspace,
        {
            "one/package.json": '{"scripts": {"test": "node check.js"}}',
            "one/check.js": "process.exit(1)",
            "two/package.json": '{"scripts": {"test": "node check.js"}}',
            "two/check.js": "",
        },
    )

    async def changed() -> list[str]:
        return ["two/a.js"]

    tests = ProjectTests(context.files, context.runner, changed=changed)
    assert (await tests.run()).folder == "two"
    tests.add_report(replace(await tests.run(), folder="one", verdict="failed"))
    assert [part.folder for part in (await tests.run()).parts] == ["two", "one"]
    put(workspace, {"one/check.js": ""})
    assert (await tests.run()).verdict == "passed"
    assert (await tests.run()).folder == "two"


async def test_projects_that_tests_are_about_never_run_and_examples_only_when_changed(
    context: Context, workspace: Path
) -> None:
    failing = '{"scripts": {"test": "node -e process.exit(1)"}}'
    put(
        workspace,
        {
            "pyproject.toml": "[tool.pytest.ini_options]\n",
            "test_a.py": "def test_a(): pass\n",
            "tests/fixtures/app/package.json": failing,
            "examples/one/package.json": failing,
            "node_modules/x/package.json": failing,
            "inner/.git/HEAD": "",
            "inner/package.json": failing,
        },
    )
    assert (await context.testrun.run()).runner == "pytest"

    async def changed() -> list[str]:
        return ["examples/one/a.js"]

    tests = ProjectTests(context.files, context.runner, changed=changed)
    assert ((await tests.run()).folder, (await tests.run()).verdict) == ("examples/one", "failed")


async def test_where_a_runner_finds_no_tests_the_next_one_is_tried(context: Context, workspace: Path) -> None:
    put(
        workspace,
        {"pyproject.toml": "[tool.pytest.ini_options]\npython_files = 'none.py'\n", "test_a.py": UNITTEST.format(1)},
    )
    report = await context.testrun.run()
    assert (report.verdict, report.runner) == ("passed", "unittest")
    assert report.evidence.endswith("; pytest found no tests")
    assert "if that finds no tests: python3 -m unittest" in await context.testrun.preview_command()


async def test_a_documented_command_that_is_not_taken_is_said(context: Context, workspace: Path) -> None:
    put(workspace, {"AGENTS.md": "Test command: `pytest > log`\n", "test_a.py": UNITTEST.format(1)})
    evidence = (await context.testrun.run()).evidence
    assert evidence.startswith("AGENTS.md says 'pytest > log': pass it as 'command' if it is right")


async def test_where_the_projects_own_script_finds_no_tests_no_other_runner_is_tried(
    context: Context, workspace: Path
) -> None:
    script = '{"scripts": {"test": "echo 1..0"}, "devDependencies": {}}'
    put(workspace, {"package.json": script, "Makefile": "test:\n\t@echo 1 passed\n"})
    report = await context.testrun.run()
    assert (report.verdict, report.runner) == ("none_ran", "npm test")


async def test_the_nearest_manifest_of_any_language_counts(context: Context, workspace: Path) -> None:
    put(
        workspace,
        {
            "pyproject.toml": "[tool.pytest.ini_options]\n",
            "web/package.json": json.dumps({"scripts": {"test": "vitest"}}),
            "web/src/a.test.ts": "",
            "web/empty/package.json": "{}",
            "web/empty/b.test.ts": "",
        },
    )
    for target in ("web", "web/src", "web/src/a.test.ts", "web/empty/b.test.ts"):
        assert "vitest --run --reporter=verbose" in await context.testrun.preview_command([target])


async def test_commands_of_ci_are_offered_and_not_run(context: Context, workspace: Path) -> None:
    steps = "jobs:\n  a:\n    steps:\n      - run: pytest -q tests\n      - run: touch marker && pytest\n"
    put(workspace, {".github/workflows/ci.yml": steps, "README.md": ""})
    with pytest.raises(ToolError) as told:
        await context.testrun.run()
    assert "; CI runs: pytest -q tests" in told.value.text
    assert "pass command='pytest -q tests'" in str(told.value)
    assert not (workspace / "marker").exists()


async def test_a_runner_that_is_not_installed_is_named(context: Context, workspace: Path) -> None:
    put(workspace, {"mix.exs": "", "README.md": ""})
    if context.runner.which("mix") is not None:
        pytest.skip("mix is here")
    with pytest.raises(ToolError, match=r"\(mix \(mix\.exs\) is not installed\)"):
        await context.testrun.run()


async def test_a_run_is_bound_to_the_tree_that_it_ran_on(context: Context, workspace: Path) -> None:
    put(workspace, {"test_a.py": UNITTEST.format(1), "sub/test_b.py": UNITTEST.format(1)})
    asked: list[bool] = []

    async def tree() -> str:
        asked.append((workspace / "ran").exists())
        return f"tree {len(asked)}"

    testrun = ProjectTests(context.files, context.runner, python=sys.executable, tree=tree)
    report = await testrun.run()
    assert (report.tree, report.whole, report.repeats) == ("tree 1", True, 1)
    narrow = await testrun.run(["test_a.py"])
    assert (narrow.tree, narrow.whole) == ("tree 2", False)
    assert not (await testrun.run(name="test_a")).whole
    given = await testrun.run(command="touch ran")
    assert (given.tree, given.whole) == ("tree 4", False)
    assert asked == [False] * 4
    assert (await context.testrun.run()).tree == ""


async def test_what_went_from_red_to_green_is_marked(context: Context, workspace: Path) -> None:
    put(workspace, {"test_a.py": UNITTEST.format(0)})
    first = await context.testrun.run()
    assert [(case.outcome, case.new, case.fixed) for case in first.cases] == [("failed", False, False)]
    put(workspace, {"test_a.py": UNITTEST.format(1)})
    second = await context.testrun.run()
    assert [(case.outcome, case.fixed) for case in second.cases] == [("passed", True)]
    assert [case.fixed for case in (await context.testrun.run()).cases] == [False]
    put(workspace, {"test_a.py": UNITTEST.format(0)})
    await context.testrun.run()
    put(workspace, {"test_a.py": UNITTEST.format(0).replace("    def", "    @unittest.skip('x')\n    def")})
    assert [(case.outcome, case.fixed) for case in (await context.testrun.run()).cases] == [("skipped", False)]


async def test_a_package_or_file_that_failed_as_a_whole_is_green_when_its_tests_run(
    context: Context, workspace: Path
) -> None:
    red = tuple(TestCase(each, "error") for each in ("test_a.py", "gone.py", "pkg"))
    context.testrun.add_report(TestReport("failed", "x", "", "", 1, 0.1, red))
    put(workspace, {"test_a.py": UNITTEST.format(1)})
    report = await context.testrun.run()
    assert [(case.id, case.outcome, case.fixed) for case in report.cases] == [
        ("test_a.py::A::test_a", "passed", False),
        ("test_a.py", "passed", True),
    ]
