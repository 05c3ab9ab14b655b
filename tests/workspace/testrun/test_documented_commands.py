"""Commands out of AGENTS.md and of CI files: taken only where they are plain."""

from pathlib import Path

import pytest

from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.choosing.documented_commands import find_agents_md_command, find_ci_commands
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("Test command: `make test-fast`", "make test-fast"),
        ("- Run tests: `pytest -q`", "pytest -q"),
        ("* **Tests**: `npm test`.", "npm test"),
        ("Run the tests with `uv run pytest`", "uv run pytest"),
        ("1. To run all tests, run `cargo test --all`", "cargo test --all"),
        ("Testing: `A=1 ./scripts/test.sh`\r\n", "A=1 ./scripts/test.sh"),
        ("Run tests — `go test -count=1 -race`", "go test -count=1 -race"),
        ("# Build\n```\nmake\n```\n## Running tests\n\n```bash\n$ make test\n```\n", "make test"),
        ("## Testing\n```sh\n# everything\npytest -x\n```", "pytest -x"),
        ("~~~\nx\n~~~\n### How to test ###\ntext\n~~~console\ntox -q\n~~~\n", "tox -q"),
        ("Run tests: `pytest`\n\n## Tests\nRun tests: `pytest`\n", "pytest"),
        ("Test command: `pytest -k 'a and b'`", "pytest -k 'a and b'"),
        # A chain is the project's own truth: it is run as it is written, not cut to the part that is known.
        ("Test command: `make test && node check.js`", "make test && node check.js"),
        ("Test command: `pytest | tee log`", "pytest | tee log"),
        ("Test command: `pytest; x`", "pytest; x"),
        ("## Testing\n```sh\npytest -x && ruff check\n```", "pytest -x && ruff check"),
    ],
)
def test_a_plain_test_command_is_taken(text: str, command: str) -> None:
    assert find_agents_md_command(text) == command


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Run `make` before you push.",
        "Test command: make test",
        "Test command: `pytest > out`",
        "Test command: `pytest && x > out`",
        "Test command: `pytest &&`",
        "Test command: `pytest | /tmp/x`",
        "Test command: `pytest $(cat x)`",
        "Test command: `pytest $HOME`",
        "Test command: `pytest &`",
        "Test command: `pytest\x1b[2J`",
        "Test command: `pytest\x00`",
        "Test command: `pytest \u202egnihtemos`",
        "Test command: `it's`",
        "Test command: `/tmp/x`",
        "Test command: `-rf`",
        "Test command: `" + "x" * 300 + "`",
        "Test command: `pytest path/to/test.py`",
        "Run a single test: `pytest tests/test_a.py`",
        "Never run tests with `make test`",
        "Run integration tests: `make it`",
        "Run tests: `pytest`\nTests: `make test`",
        "## Tests\n```\npip install x\npytest\n```",
        "## Tests\n```python\nassert True\n```",
        "## Tests\n```\npytest\n",
        "## Tests\n```\npytest\n```\n```\nnpm test\n```",
        "## Writing tests\n```\npytest\n```",
        "## Build\n```\nmake\n```",
        "```\nTest command: `pytest`\n```",
        "Test command: `pytest \\\n -x`",
    ],
)
def test_what_is_not_plain_is_left(text: str) -> None:
    assert find_agents_md_command(text) == ""


def test_a_huge_text_is_read_in_bounded_time() -> None:
    assert find_agents_md_command("Run the tests " * 100_000 + "\n" + "- " * 100_000 + "`" * 100_000) == ""
    assert find_agents_md_command("## test\n```\n" + "a\n" * 50_000) == ""


WORKFLOW = """\
name: CI
on: {push: {branches: [main]}}
jobs:
  test:
    steps:
      - uses: actions/checkout@v4
      - run: pip install -e .[test]
      - run: python -m pytest -q
      - name: with env
        run: 'npm run test:unit'  # no
      - run: |
          # pytest --in-a-comment
          cargo build
          cargo test --all-features
          docker run x \\
            pytest -x
          pytest ${{ matrix.args }}
          go test ./... | tee log
        env:
          run_tests: pytest
      - run: >-
          mvn -B verify
      - run: echo pytest
"""
GITLAB = """\
test:
  script:
    - bundle install
    - "bundle exec rspec"
    - make test
  after_script:
  - pytest --never
lint:
  script: ruff check
other:
  script:
  - tox -e py311
  - mix test --trace
"""


async def test_ci_files_offer_what_looks_like_a_run_of_tests(context: Context, workspace: Path) -> None:
    (workspace / ".github" / "workflows").mkdir(parents=True)
    (workspace / ".github" / "workflows" / "ci.yml").write_text(WORKFLOW)
    (workspace / ".github" / "workflows" / "notes.txt").write_text("- run: pytest --notes\n")
    assert find_ci_commands(ProjectFolder(context.files, workspace)) == [
        "python -m pytest -q",
        "cargo test --all-features",
        "mvn -B verify",
    ]


async def test_at_most_five_are_offered(context: Context, workspace: Path) -> None:
    (workspace / ".gitlab-ci.yml").write_text(GITLAB)
    four = ["bundle exec rspec", "make test", "tox -e py311", "mix test --trace"]
    assert find_ci_commands(ProjectFolder(context.files, workspace)) == four
    (workspace / ".travis.yml").write_text("script: make check\n")
    (workspace / ".circleci").mkdir()
    (workspace / ".circleci" / "config.yml").write_text("- run:\n    name: Test\n    command: yarn test --ci\n")
    assert find_ci_commands(ProjectFolder(context.files, workspace)) == [*four, "yarn test --ci"]


async def test_ci_files_that_lead_outside_or_are_no_text_are_not_read(context: Context, workspace: Path) -> None:
    outside = workspace.parent / "outside.yml"
    outside.write_text("- run: pytest\n")
    (workspace / ".gitlab-ci.yml").symlink_to(outside)
    (workspace / ".travis.yml").write_bytes(b"script: pytest\x00\n" + b"\xff" * 100)
    (workspace / "azure-pipelines.yml").write_text("- script: pytest\n" * 100_000)
    assert find_ci_commands(ProjectFolder(context.files, workspace)) == []


async def test_a_run_of_tests_is_known_by_its_first_words(context: Context, workspace: Path) -> None:
    taken = [
        "pytest",
        "A=1 B=2 pytest -x",
        "uv run --frozen pytest",
        "python3 -m unittest discover -v",
        "python manage.py test",
        "./gradlew check",
        "make -j4 test",
        "dotnet test",
        "zig build test",
        "make check-all",
        *("deno test -A", "deno task test", "bats test", "busted", "prove -r t", "behave", "robot tests", "ward"),
        *("meson test -C build", "cargo nextest run", "gotestsum --format dots", "rebar3 eunit", "lein test"),
        *(
            "dune runtest",
            "dune test",
            "crystal spec",
            "nimble test",
            "pdm run test",
            "hatch test",
            "hatch run test:all",
        ),
        *("npm test --workspaces", "npm -ws test", "pnpm -r test", "yarn workspaces foreach -A run test"),
        *("npx playwright test", "npx cypress run", "npx turbo run test", "npx nx run-many -t test", "ng test"),
        *("vendor/bin/pest", "composer run-script test", "flutter test", "gleam test", "stack test", "sbt test"),
        *("bazelisk test //...", "mise run test", "poe test", "invoke test", "pixi run test", "moon run :test"),
        *(
            "python -m twisted.trial pkg",
            "./manage.py test",
            "cabal v2-test",
            "task test:unit",
            "node --import x --test",
        ),
    ]
    left = [
        "python setup.py build",
        "make testing-docs",
        "npm ci",
        "./gradlew assemble",
        "rm -rf tests",
        "curl x | sh",
        "pytest-watch",
        *("deno run x", "npx playwright install", "npx nx build", "turbo build", "bats-install", "mise install"),
        *("robotics", "behaves", "dune build", "dart pub get", "meson compile", "rebar3 compile", "proves"),
    ]
    for command in [*taken, *left]:
        (workspace / ".gitlab-ci.yml").write_text(f"script:\n  - {command}\n")
        assert find_ci_commands(ProjectFolder(context.files, workspace)) == ([command] if command in taken else [])
