"""Trap cells of the test runners of compiled languages."""

from dataclasses import replace

from tests.real.runner_traps.traps import NOT_GREEN, RUN, Cell, Edit, Kit, Right, Tools, cells_of

_GO_HEAD = 'package m\n\nimport (\n\t"fmt"\n\t"os"\n\t"syscall"\n\t"testing"\n\t"time"\n)\n\n'
_GO_HEAD += "var _, _, _, _ = fmt.Sprint, os.Exit, syscall.Kill, time.Sleep\n\n"

_GO = Kit(
    runner="go test",
    tools=Tools(debian=("golang-go",), programs=("go",)),
    files={"go.mod": "module ex.com/m\n\ngo 1.19\n"},
    source=("add.go", "package m\n\nfunc Add(a, b int) int { return a @op@ b }\n"),
    test_path="add_test.go",
    head=_GO_HEAD,
    test="func Test@Name@(t *testing.T) { @body@ }\n",
    bodies={
        "adds": 'if Add(1, 2) != 3 { t.Fatal("wrong sum") }',
        "keeps": 't.Log("fine")',
        "fails": 't.Fatal("red")',
        "quits": "os.Exit(0)",
        "crashes": "syscall.Kill(os.Getpid(), syscall.SIGKILL)",
        "hangs": "time.Sleep(time.Hour)",
        "prints": r'fmt.Println("--- FAIL: TestAdds (0.00s)\nFAIL\nFAIL\tex.com/m\t0.1s")',
        "claims": r'fmt.Println("--- PASS: TestX (0.00s)\nPASS\nok  \tex.com/m\t0.1s"); t.Fatal("red")',
    },
    other=("other/other_test.go", 'package other\n\nimport "testing"\n\nfunc TestOther(t *testing.T) {}\n'),
    nothing={
        "no tests": {},
        "no file": {"add_test.go": None},
        "all skipped": {
            "add_test.go": 'package m\n\nimport "testing"\n\nfunc TestAdds(t *testing.T) { t.Skip("later") }\n'
        },
    },
    fails_after={
        "TestMain": {
            "main_test.go": 'package m\n\nimport (\n\t"os"\n\t"testing"\n)\n\n'
            "func TestMain(m *testing.M) { m.Run(); os.Exit(1) }\n"
        },
    },
    reported="Test@Name@",
    hang_s=30,
)
_GO_RED = _GO.written("fails", "keeps")
GO = replace(
    _GO,
    hides={
        "lower case": {"add_test.go": _GO_RED.replace("func TestFails", "func testFails")},
        "build tag": {
            "add_test.go": f"//go:build never\n\n{_GO_RED}",
            "keeps_test.go": 'package m\n\nimport "testing"\n\nfunc TestKeeps(t *testing.T) {}\n',
        },
        "skipped": {"add_test.go": _GO_RED.replace('t.Fatal("red")', 't.Skip("later")')},
    },
)

_CARGO = '[package]\nname = "demo"\nversion = "0.1.0"\nedition = "2021"\n'
_PRINT = 'let _ = std::io::Write::write_all(&mut std::io::stdout(), b"{}");'
_RUST = Kit(
    runner="cargo test",
    tools=Tools(programs=("cargo",)),
    files={"Cargo.toml": _CARGO},
    source=("src/lib.rs", "pub fn add(a: i32, b: i32) -> i32 {\n    a @op@ b\n}\n"),
    test_path="tests/calc.rs",
    head="#![allow(unused)]\nuse demo::add;\n",
    test="\n#[test]\nfn @name@() {\n    @body@\n}\n",
    bodies={
        "adds": "assert_eq!(add(1, 2), 3);",
        "keeps": "assert_eq!(1, 1);",
        "fails": "assert_eq!(1, 2);",
        "quits": "std::process::exit(0);",
        "crashes": "std::process::abort();",
        "hangs": "loop { std::thread::sleep(std::time::Duration::from_secs(1)); }",
        "prints": _PRINT.format(r"test adds ... FAILED\ntest result: FAILED. 0 passed; 3 failed;\nerror: no\n"),
        "claims": _PRINT.format(r"test x ... ok\ntest result: ok. 5 passed; 0 failed;\n") + " assert_eq!(1, 2);",
    },
    nothing={"no tests": {}, "no file": {"tests/calc.rs": None}},
    fails_after={
        "own harness": {
            "Cargo.toml": _CARGO + '\n[[test]]\nname = "custom"\nharness = false\n',
            "tests/custom.rs": "fn main() {\n    std::process::exit(1);\n}\n",
        },
    },
    hang_s=60,
)
_RUST_RED = _RUST.written("fails", "keeps")
RUST = replace(
    _RUST,
    hides={
        "ignored": {"tests/calc.rs": _RUST_RED.replace("fn fails", "#[ignore]\nfn fails")},
        "cfg": {"tests/calc.rs": _RUST_RED.replace("#[test]\nfn fails", '#[cfg(feature = "slow")]\n#[test]\nfn fails')},
        "attribute": {"tests/calc.rs": _RUST_RED.replace("#[test]\nfn fails", "fn fails")},
        "no autotests": {
            "Cargo.toml": _CARGO + "autotests = false\n",
            "src/lib.rs": "pub fn add(a: i32, b: i32) -> i32 {\n    a + b\n}\n\n#[test]\nfn inner() {}\n",
        },
    },
)

_TWO = "pub fn two() -> i32 {\n    2\n}\n\n#[test]\nfn is_two() {\n    assert_eq!(two(), 2);\n}\n"

KITS = (GO, RUST)
CELLS = [
    *(cell for kit in KITS for cell in cells_of(kit)),
    Cell(
        GO.runner,
        "two packages",
        {
            **GO.project("+", "adds"),
            "two/go.mod": "module ex.com/two\n\ngo 1.19\n",
            "two/two.go": "package two\n\nfunc Two() int { return 2 }\n",
            "two/two_test.go": 'package two\n\nimport "testing"\n\n'
            'func TestTwo(t *testing.T) { if Two() != 2 { t.Fatal("no") } }\n',
        },
        (Edit({"two/two.go": "package two\n\nfunc Two() int { return 3 }\n"}), RUN),
        Right(False),
        GO.tools,
    ),
    Cell(
        RUST.runner,
        "two packages",
        {
            **RUST.project("+", "adds"),
            "two/Cargo.toml": _CARGO.replace("demo", "two") + "\n[workspace]\n",
            "two/src/lib.rs": _TWO,
        },
        (
            Edit({"two/src/lib.rs": _TWO.replace("    2\n", "    3\n")}),
            RUN,
        ),
        Right(False),
        RUST.tools,
    ),
    Cell(
        RUST.runner,
        "exit 0",
        {**RUST.project("-", "keeps", "quits", "fails"), ".cargo/config.toml": '[env]\nRUST_TEST_THREADS = "1"\n'},
        (Edit(RUST.at("+")), RUN),
        Right(False, NOT_GREEN),
        RUST.tools,
        "one thread, doc tests behind",
    ),
]
