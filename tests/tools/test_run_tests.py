"""run_tests: what the model reads, and what a person sees."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from kimi_agent.errors import ToolError
from kimi_agent.log.views import OutputView, Result, TestReport
from kimi_agent.tool import Context, Tool
from tests.golden_texts import Golden
from tests.tool_calls import preview_tool, run_tool

Get = Callable[[str], Tool]


async def run(tool: Get, context: Context, **arguments: object) -> Result:
    return await run_tool(tool("run_tests"), context, msgspec.json.encode(arguments).decode())


def told(result: Result) -> list[str]:
    """The lines of a result, with what differs from run to run taken out."""
    text = re.sub(r"in \d+\.\d s", "in N s", result.content)
    return re.sub(r"output:[0-9a-z]+", "output:ID", text).split("\n")


async def test_failures_are_told_with_their_assertion_and_how_to_run_one(
    golden: Golden, tool: Get, context: Context, workspace: Path
) -> None:
    (workspace / "test_a.py").write_text(
        "import unittest\nclass A(unittest.TestCase):\n"
        "    def test_bad(self):\n        self.assertEqual(3, 4)\n"
        "    def test_good(self): pass\n    @unittest.skip('x')\n    def test_no(self): pass\n"
    )
    result = await run(tool, context)
    golden(*told(result))
    assert isinstance(result.view, TestReport)
    assert not result.failed
    log = re.search(r"output:\w+", result.content)
    assert log is not None
    assert b"Ran 3 tests" in context.files.read(log[0]).data


async def test_what_is_new_since_the_last_run_is_marked(
    golden: Golden, tool: Get, context: Context, workspace: Path
) -> None:
    source = "import unittest\nclass A(unittest.TestCase):\n    def test_a(self): self.assertTrue({})\n"
    (workspace / "test_a.py").write_text(source.format(1))
    assert told(await run(tool, context))[1] == "1 passed"
    (workspace / "test_a.py").write_text(source.format(0))
    lines = told(await run(tool, context))
    golden(*lines[1:3])


async def test_what_is_fixed_since_the_last_run_is_told(
    golden: Golden, tool: Get, context: Context, workspace: Path
) -> None:
    source = "import unittest\nclass A(unittest.TestCase):\n    def test_a(self): self.assertTrue({})\n"
    (workspace / "test_a.py").write_text(source.format(0))
    await run(tool, context)
    (workspace / "test_a.py").write_text(source.format(1))
    lines = told(await run(tool, context))
    golden(*lines[1:3])


async def test_a_flaky_test_says_how_often_it_failed(
    golden: Golden, tool: Get, context: Context, workspace: Path
) -> None:
    (workspace / "test_a.py").write_text(
        "import pathlib, unittest\nclass A(unittest.TestCase):\n"
        "    def test_a(self):\n        if not pathlib.Path('ran').exists():\n"
        "            pathlib.Path('ran').touch()\n            self.fail('first')\n"
    )
    result = await run(tool, context, repeat=3)
    lines = told(result)
    golden(*lines[:3])
    assert isinstance(result.view, TestReport)
    assert result.view.repeats == 3


async def test_a_broken_run_tells_its_first_error_and_the_end_of_its_log(
    golden: Golden, tool: Get, context: Context, workspace: Path
) -> None:
    (workspace / "test_a.py").write_text("import unittest, nowhere_at_all\n")
    lines = told(await run(tool, context))
    golden(lines[1], *(line for line in lines if line.startswith("ModuleNotFoundError")))
    assert "  FAILED (errors=1)" in lines


async def test_no_tests_is_said_not_to_be_success(golden: Golden, tool: Get, context: Context, workspace: Path) -> None:
    (workspace / "test_a.py").write_text("import unittest\n")
    golden(told(await run(tool, context))[1])


async def test_twenty_failures_are_told_in_full_and_the_rest_by_id(
    golden: Golden, tool: Get, context: Context, workspace: Path
) -> None:
    tests = "".join(f"    def test_{n:03}(self): self.fail('x' * 99)\n" for n in range(300))
    (workspace / "test_a.py").write_text(f"import unittest\nclass A(unittest.TestCase):\n{tests}")
    result = await run(tool, context)
    assert "\n20. test_a.py::A::test_019  " in result.content
    assert "\n280 more failed:\n  test_a.py::A::test_020\n" in result.content
    golden(*(line for line in told(result) if " more" in line))
    assert len(result.content) < 20_000


async def test_a_test_that_changes_files_is_told(golden: Golden, tool: Get, context: Context, workspace: Path) -> None:
    (workspace / "data.txt").write_text("old")
    read = context.files.read("data.txt")
    context.files.seen_files.record("data.txt", read.sha256, whole=True)
    (workspace / "test_a.py").write_text(
        "import unittest\nclass A(unittest.TestCase):\n    def test_a(self): open('data.txt', 'w').write('other')\n"
    )
    golden(*(line for line in told(await run(tool, context)) if "data.txt" in line))


async def test_a_command_is_judged_by_its_exit_and_its_end_is_shown(
    golden: Golden, tool: Get, context: Context, workspace: Path
) -> None:
    lines = told(await run(tool, context, command="echo one; echo two; exit 2"))
    golden(*lines[:5])


async def test_the_preview_is_the_command_that_will_run(
    golden: Golden, tool: Get, context: Context, workspace: Path
) -> None:
    (workspace / "test_a.py").write_text("import unittest\n")
    shown = await preview_tool(tool("run_tests"), context, '{"targets": ["test_a.py"], "name": "x y"}')
    assert shown.title == "run tests: test_a.py"
    assert isinstance(shown.view, OutputView)
    python, *options = shlex.split(shown.view.command)
    assert python.endswith("/python3")
    assert options == ["-m", "unittest", "-v", "-k=x y", "test_a.py"]
    often = await preview_tool(tool("run_tests"), context, '{"repeat": 5}')
    golden(often.title)
    given = await preview_tool(tool("run_tests"), context, '{"command": "rm -rf /"}')
    assert given.view == OutputView("rm -rf /", cwd=".")


@pytest.mark.parametrize(
    "arguments", ['{"targets": ["-p evil"]}', '{"targets": ["--rootdir=/"]}', '{"timeout_s": 0}', '{"repeat": 51}']
)
async def test_options_are_refused_before_anything_runs(tool: Get, context: Context, arguments: str) -> None:
    for act in (run_tool, preview_tool):
        with pytest.raises(ToolError) as refused:
            await act(tool("run_tests"), context, arguments)
        assert refused.value.code == "bad_arguments"


def test_it_counts_as_running_code_and_costs_few_bytes(tool: Get) -> None:
    made = tool("run_tests")
    assert made.effect == "execute"
    assert len(msgspec.json.encode({"description": made.description, "parameters": made.schema})) < 1_000
