"""What real runs of other languages' runners left (recorded, with @ROOT@ for the project's folder), as it is read."""

import itertools
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runner import RunResult, TestRunner
from kimi_agent.workspace.testrun.runners.cargo import CARGO
from kimi_agent.workspace.testrun.runners.go import GO
from kimi_agent.workspace.testrun.runners.node import BUN, JEST, MOCHA, NODE, VITEST
from kimi_agent.workspace.testrun.runners.tox import TOX
from kimi_agent.workspace.testrun.runners.zig import ZIG
from kimi_agent.workspace.testrun.values import ParsedReport, TestSelection
from kimi_agent.workspace.testrun.verdict import judge_run

RECORDED = Path(__file__).parent / "recorded"
Play = Callable[..., ParsedReport]


@pytest.fixture
def play(context: Context, workspace: Path, tmp_path: Path) -> Play:
    """Reads a recording with a row: `text` as what the run printed, `report` as the file that it wrote."""

    def reading(
        row: TestRunner,
        *,
        text: str = "",
        report: str = "",
        exit_code: int | None = 1,
        files: Mapping[str, str] | None = None,
        selection: TestSelection | None = None,
        below: str = "",
        edit: Callable[[str], str] = str,
    ) -> ParsedReport:
        folder = workspace / below
        for name, content in (files or {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
        told = [edit(recorded(name, folder)) if name else "" for name in (text, report)]
        if report:
            (tmp_path / "report").write_text(told[1])
        lines = told[0].split("\n")
        place = ProjectFolder(context.files, folder)
        return row.read(
            RunResult(exit_code, lines, tmp_path / "report", workspace, place, selection or TestSelection())
        )

    return reading


def recorded(name: str, folder: Path) -> str:
    return (RECORDED / name).read_text("utf-8").replace("@ROOT@", str(folder))


def outcomes(reading: ParsedReport) -> dict[str, str]:
    return {case.id: case.outcome for case in reading.cases}


def bad(reading: ParsedReport) -> dict[str, tuple[str, str]]:
    return {case.id: (case.place, case.message) for case in reading.cases if case.outcome in ("failed", "error")}


JS = {
    "src/a.test.js::adds": "passed",
    "src/a.test.js::fails": "failed",
    "src/a.test.js::skipped": "skipped",
    "src/a.test.js::later": "skipped",
    "src/a.test.js::suite > inner (x)": "passed",
    "src/a.test.js::suite > deep > d > e": "failed",
    "src/b.test.js": "error",
}


@pytest.mark.parametrize(
    ("row", "kind", "name", "said"),
    [
        (
            JEST,
            "report",
            "node_jest.json",
            {
                "src/b.test.js": ("src/b.test.js:1", "Cannot find module './nowhere.js' from 'src/b.test.js'"),
                "src/a.test.js::fails": (
                    "src/a.test.js:2",
                    "Error: expect(received).toEqual(expected) // deep equality",
                ),
                "src/a.test.js::suite > deep > d > e": ("src/a.test.js:5", "TypeError: boom"),
            },
        ),
        (
            VITEST,
            "report",
            "node_vitest.json",
            {
                "src/b.test.js": ("", "Cannot find module './nowhere.js' imported from src/b.test.js"),
                "src/a.test.js::fails": (
                    "src/a.test.js:3",
                    "AssertionError: expected { a: 1, b: 2 } to deeply equal { a: 1, b: 3 }",
                ),
                "src/a.test.js::suite > deep > d > e": ("src/a.test.js:6", "TypeError: boom"),
            },
        ),
        (
            BUN,
            "text",
            "node_bun.txt",
            {
                "src/b.test.js": ("", "error: Cannot find module './nowhere.js' from 'src/b.test.js'"),
                "src/a.test.js::fails": ("src/a.test.js:3", "error: expect(received).toEqual(expected)"),
                "src/a.test.js::suite > deep > d > e": ("src/a.test.js:6", "TypeError: boom"),
            },
        ),
    ],
    ids=["jest", "vitest", "bun"],
)
@pytest.mark.parametrize("below", ["", "web app"])
async def test_a_javascript_runner_is_read_test_by_test(
    play: Play, row: TestRunner, kind: str, name: str, said: dict[str, tuple[str, str]], below: str
) -> None:
    reading = play(row, **{kind: name}, below=below)
    prefix = f"{below}/" if below else ""
    assert outcomes(reading) == {prefix + each: outcome for each, outcome in JS.items()}
    places = {each: (place and prefix + place) for each, (place, _) in said.items()}
    assert {each: place for each, (place, _) in bad(reading).items()} == {
        prefix + each: place for each, place in places.items()
    }
    if not below:
        assert bad(reading) == said
    assert (reading.is_complete, reading.fatal_error) == (True, "")


async def test_tests_that_a_name_left_out_are_not_told_as_skipped(play: Play) -> None:
    reading = play(JEST, report="node_jest.json", selection=TestSelection(name="x"))
    assert "skipped" not in outcomes(reading).values()
    reading = play(MOCHA, report="node_mocha.jsonl", selection=TestSelection(name="x"))
    assert "skipped" not in outcomes(reading).values()


async def test_a_killed_vitest_is_read_from_its_lines(play: Play) -> None:
    reading = play(VITEST, text="node_vitest_lines.txt", exit_code=None)
    assert outcomes(reading) == {each: outcome for each, outcome in JS.items() if "b.test" not in each}
    assert not reading.is_complete


async def test_nodes_own_runner_is_read_by_our_reporter(play: Play) -> None:
    reading = play(NODE, report="node_test.jsonl")
    assert outcomes(reading) == {
        "test/a.test.js::adds": "passed",
        "test/a.test.js::fails": "failed",
        "test/a.test.js::skipped": "skipped",
        "test/a.test.js::todo": "skipped",
        "test/a.test.js::suite > inner": "passed",
        "test/a.test.js::suite > inner bad": "failed",
        "test/a.test.js::suite > deep > d": "passed",
        "test/a.test.js::parent > sub": "failed",
        "test/b.test.mjs::hooks > never": "error",
        "test/b.test.mjs::hooks": "error",
        "test/c.test.js": "error",
    }
    told = bad(reading)
    assert told["test/a.test.js::fails"] == (
        "test/a.test.js:4",
        "AssertionError [ERR_ASSERTION]: Expected values to be strictly equal: 2 !== 3",
    )
    assert told["test/c.test.js"] == ("test/c.test.js:1", "SyntaxError: Unexpected identifier 'error'")
    assert told["test/b.test.mjs::hooks"] == ("test/b.test.mjs:2", "Error: hook broke")


async def test_a_killed_node_tells_what_ended_and_what_ran(play: Play) -> None:
    def torn(text: str) -> str:
        return text[: text.index('{"kind":"end"') + 300].rpartition("\n")[0]

    reading = play(NODE, report="node_test.jsonl", exit_code=None, edit=torn)
    assert not reading.is_complete
    assert outcomes(reading) == {"test/a.test.js::adds": "passed"}


async def test_mocha_is_read_by_our_reporter(play: Play) -> None:
    reading = play(MOCHA, report="node_mocha.jsonl", exit_code=3)
    assert outcomes(reading) == {
        "test/a.js::adds": "passed",
        "test/a.js::fails": "failed",
        "test/a.js::skipped": "skipped",
        "test/a.js::pending": "skipped",
        "test/a.js::suite > inner (x)": "passed",
        "test/a.js::suite > deep > d > e": "failed",
        "test/a.js::hooked": "error",
    }
    assert bad(reading)["test/a.js::hooked"] == ("test/a.js:7", '"before all" hook for "never": Error: hook broke')


async def test_go_is_read_from_its_events(play: Play, workspace: Path) -> None:
    tests = {
        "go.mod": "module example.com/m\n\ngo 1.21\n",
        "a_test.go": "func TestAdd(t *testing.T) {}\nfunc TestBad(t) {}\nfunc TestSkip(t) {}\nfunc TestTable(t) {}\n",
        "sub/b_test.go": "func TestPanics(t *testing.T) {}\n",
    }
    reading = play(GO, text="go_test.txt", files=tests)
    assert outcomes(reading) == {
        "a_test.go::TestAdd": "passed",
        "a_test.go::TestBad": "failed",
        "a_test.go::TestSkip": "skipped",
        "a_test.go::TestTable/one_case": "passed",
        "a_test.go::TestTable/b/c": "failed",
        "bad": "error",
        "sub/b_test.go::TestPanics": "failed",
    }
    panic = "panic: assignment to entry in nil map [recovered, repanicked]"
    assert bad(reading) == {
        "a_test.go::TestBad": ("a_test.go:13", "got 2"),
        "a_test.go::TestTable/b/c": ("a_test.go:22", "table broke"),
        "bad": ("bad/c_test.go:5", "undefined: undefined_thing"),
        "sub/b_test.go::TestPanics": ("sub/b_test.go:7", panic),
    }
    details = {case.id: case.detail for case in reading.cases}
    assert details["a_test.go::TestBad"].split("\n")[-1].strip() == "want 3"
    assert "runtime" not in details["sub/b_test.go::TestPanics"]
    assert "bad/c_test.go:5:28: undefined: undefined_thing" in reading.fatal_error
    assert "--- FAIL: TestBad (0.00s)\n" in reading.log
    assert '"Action"' not in reading.log


RUST_FILES = {
    "Cargo.toml": '[package]\nname = "my-crate"\n[workspace]\nmembers = ["crates/inner"]\n',
    "src/lib.rs": "",
    "src/main.rs": "",
    "src/deep/mod.rs": "",
    "tests/it.rs": "",
    "crates/inner/Cargo.toml": '[package]\nname = "inner"\n',
    "crates/inner/src/lib.rs": "",
    "crates/inner/tests/it.rs": "",
}


async def test_cargo_is_read_with_unit_integration_and_documentation_tests(play: Play) -> None:
    reading = play(CARGO, text="rust_cargo.txt", exit_code=101, files=RUST_FILES)
    assert outcomes(reading) == {
        "crates/inner/src/lib.rs::top_level": "failed",
        "crates/inner/tests/it.rs::adds": "passed",
        "src/lib.rs::tests::adds": "passed",
        "src/deep/mod.rs::tests::result": "failed",
        "src/lib.rs::tests::ignored": "skipped",
        "src/lib.rs::tests::should": "failed",
        "src/lib.rs::tests::fails": "failed",
        "src/main.rs::in_bin": "passed",
        "tests/it.rs::adds": "passed",
        "tests/it.rs::unwraps": "failed",
        "crates/inner/src/lib.rs::doc f (line 1)": "passed",
        "src/lib.rs::doc add (line 7)": "passed",
        "src/lib.rs::doc add (line 11)": "failed",
    }
    assert bad(reading) == {
        "crates/inner/src/lib.rs::top_level": ("crates/inner/src/lib.rs:6", "no luck"),
        "src/deep/mod.rs::tests::result": ("", 'Error: "went wrong"'),
        "src/lib.rs::tests::should": ("src/lib.rs:39", "test did not panic as expected at src/lib.rs:39:8"),
        "src/lib.rs::tests::fails": ("src/lib.rs:30", "assertion `left == right` failed: sum of 1"),
        "tests/it.rs::unwraps": ("tests/it.rs:8", "called `Option::unwrap()` on a `None` value"),
        "src/lib.rs::doc add (line 11)": ("src/lib.rs:11", "assertion `left == right` failed"),
    }
    details = {case.id: case.detail for case in reading.cases}
    assert details["src/lib.rs::tests::fails"].split("\n")[0] == "some output"
    assert judge_run(reading, 101, killed="", lines=[]) == ("failed", "")


async def test_a_crate_that_does_not_compile_is_broken(play: Play) -> None:
    reading = play(CARGO, text="rust_broken.txt", exit_code=101, files=RUST_FILES)
    assert reading.fatal_error.split("\n")[:2] == [
        "error[E0425]: cannot find function `nope` in this scope",
        " --> src/main.rs:3:15",
    ]


async def test_a_test_binary_that_dies_is_told(play: Play) -> None:
    def died(text: str) -> str:
        return text[: text.index("test tests::adds")]

    reading = play(CARGO, text="rust_cargo.txt", exit_code=101, files=RUST_FILES, edit=died)
    assert not reading.is_complete
    assert "src/lib.rs broke off" in reading.trouble


ZIG_SOURCES = {
    "build.zig": 'b.step("test", "Run tests");',
    "src/root.zig": 'test "adds" {\n}\ntest "fails" {\n}\ntest "leaks" {\n}\ntest helper {\n}\n',
}


async def test_zig_names_failing_tests_and_counts_the_others(play: Play) -> None:
    reading = play(ZIG, text="zig_failed.txt", files=ZIG_SOURCES)
    assert outcomes(reading) == {
        "src/root.zig::fails": "failed",
        "src/root.zig::leaks": "failed",
        "src/root.zig::helper": "failed",
        **{f"build.zig::passed {n}": "passed" for n in range(1, 7)},
        "build.zig::skipped 1": "skipped",
    }
    assert bad(reading) == {
        "src/root.zig::fails": ("src/root.zig:9", "expected 42, found 41"),
        "src/root.zig::leaks": ("src/root.zig:17", "leaked 1 allocations"),
        "src/root.zig::helper": ("src/root.zig:21", "it failed"),
    }
    assert "by number" in reading.trouble


async def test_a_zig_failure_that_is_printed_in_two_parts_keeps_its_place(play: Play) -> None:
    def torn(text: str) -> str:
        frame = next(line for line in text.split("\n") if line.endswith(" in test.fails (root.zig)"))
        return f"{frame.lstrip()}\n{text.replace(frame, '')}"

    reading = play(ZIG, text="zig_failed.txt", files=ZIG_SOURCES, edit=torn)
    assert bad(reading)["src/root.zig::fails"] == ("src/root.zig:9", "expected 42, found 41")


async def test_zig_tests_that_all_passed_are_named_where_the_sources_hold_as_many(play: Play) -> None:
    sources = {
        "src/root.zig": 'test "adds" {}\ntest {\n}\n',
        "src/main.zig": 'test "a" {}\n',
        "src/deep/c.zig": "test x {}\n",
    }
    reading = play(ZIG, text="zig_passed.txt", exit_code=0, files=sources)
    names = ["src/main.zig::a", "src/root.zig::adds", "src/root.zig::test_0", "src/deep/c.zig::x"]
    assert outcomes(reading) == dict.fromkeys(names, "passed")


async def test_zig_runs_from_its_cache_are_told_as_such(play: Play) -> None:
    reading = play(ZIG, text="zig_cached.txt", exit_code=0, files=ZIG_SOURCES)
    assert list(outcomes(reading).values()) == ["passed", "passed"]
    assert "did not run again" in reading.trouble


async def test_zig_code_that_does_not_compile_is_broken(play: Play) -> None:
    reading = play(ZIG, text="zig_broken.txt", files=ZIG_SOURCES)
    assert reading.fatal_error.startswith("src/root.zig:31:12: error: use of undeclared identifier 'nope'")


async def test_tox_tells_each_test_with_its_worst_outcome_of_all_environments(play: Play) -> None:
    reading = play(TOX, text="tox_pytest.txt")
    assert outcomes(reading) == {
        "test_t.py::test_a": "passed",
        "test_t.py::test_b": "failed",
        "test_t.py::test_c": "failed",
    }
    assert bad(reading)["test_t.py::test_c"] == ("", "AssertionError: assert 'b' == 'a'")


DAMAGED = (b"", b"{", b"null", b"[]", b'{"testResults": 3}', b"\xff\xfe", b'{"kind":"end","titles":4}', b"[" * 100_000)


async def test_a_damaged_report_is_no_success(context: Context, workspace: Path, tmp_path: Path) -> None:
    for row, data in itertools.product((JEST, MOCHA), DAMAGED):
        (tmp_path / "report").write_bytes(data)
        reading = row.read(RunResult(1, [], tmp_path / "report", workspace, ProjectFolder(context.files, workspace)))
        assert judge_run(reading, 1, killed="", lines=[])[0] in ("broken", "none_ran"), (row.name, data)


async def test_noise_is_no_success(context: Context, workspace: Path, tmp_path: Path) -> None:
    lines = ["", "\x1b[31m", "{", '{"Action": 3}', '{"Action":"pass","Package":4}', "x" * 10_000, "é\x00", "test "]
    for row in (BUN, GO, CARGO, ZIG, TOX):
        reading = row.read(RunResult(1, lines, tmp_path / "report", workspace, ProjectFolder(context.files, workspace)))
        assert judge_run(reading, 1, killed="", lines=lines)[0] in ("broken", "failed"), row.name


async def test_an_older_go_that_does_not_mark_errors_is_read_too(play: Play) -> None:
    def older(text: str) -> str:
        return re.sub(r',"OutputType":"[^"]*"', "", text)

    reading = play(GO, text="go_test.txt", files={"go.mod": "module example.com/m\n"}, edit=older)
    assert bad(reading)[".::TestBad"] == ("a_test.go:13", "got 2")
