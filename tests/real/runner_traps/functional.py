"""Trap cells of the test runners of functional and scientific languages."""

from tests.real.runner_traps.traps import Kit, Tools, cells_of

_EUNIT = '-module(add_tests).\n-include_lib("eunit/include/eunit.hrl").\n'
REBAR3 = Kit(
    runner="rebar3 eunit",
    whole_seconds=True,  # rebar3 3.19
    tools=Tools(debian=("rebar3",), programs=("rebar3",)),
    files={
        "rebar.config": "{erl_opts, []}.\n",
        "src/demo.app.src": '{application, demo, [{description, "d"}, {vsn, "1"}, {applications, [stdlib]}]}.\n',
    },
    source=("src/demo.erl", "-module(demo).\n-export([add/2]).\nadd(X, Y) -> X @op@ Y.\n"),
    test_path="test/add_tests.erl",
    head=_EUNIT,
    test="@name@_test() -> @body@.\n",
    bodies={
        "adds": "?assertEqual(3, demo:add(1, 2))",
        "keeps": "?assertEqual(1, 1)",
        "fails": "?assertEqual(1, 2)",
        "quits": "halt(0)",
        "claims": r'io:format(user, "5 tests, 0 failures~n", []), ?assertEqual(1, 2)',
    },
    counts=False,
)

CRYSTAL = Kit(
    runner="crystal spec",
    tools=Tools(debian=("crystal",), programs=("crystal",)),
    files={"shard.yml": "name: demo\nversion: 0.1.0\n"},
    source=("src/demo.cr", "def add(a, b)\n  a @op@ b\nend\n"),
    test_path="spec/add_spec.cr",
    head='require "spec"\nrequire "../src/demo"\n',
    test='\nit "@name@" do\n  @body@\nend\n',
    bodies={
        "adds": "add(1, 2).should eq 3",
        "keeps": "1.should eq 1",
        "fails": "1.should eq 2",
        "quits": "exit 0",
        "crashes": "Process.signal(Signal::KILL, Process.pid)",
        "hangs": "sleep 600",
        "prints": r'puts "3 examples, 2 failures, 0 errors, 0 pending"',
        "claims": r'puts "5 examples, 0 failures, 0 errors, 0 pending"; 1.should eq 2',
    },
    fails_after={"at exit": {"spec/exit_spec.cr": 'require "spec"\nat_exit { exit 1 }\n'}},
    hang_s=40,
    counts=False,
)

TESTTHAT = Kit(
    runner="testthat",
    tools=Tools(debian=("r-cran-testthat",), programs=("Rscript",)),
    files={
        "DESCRIPTION": "Package: demo\nVersion: 0.1\nTitle: T\nDescription: D.\nLicense: MIT\n",
        "NAMESPACE": "export(add)\n",
        "tests/testthat/helper.R": 'source("../../R/add.R")\n',
    },
    source=("R/add.R", "add <- function(a, b) a @op@ b\n"),
    test_path="tests/testthat/test-add.R",
    test='test_that("@name@", { @body@ })\n',
    bodies={
        "adds": "expect_equal(add(1, 2), 3)",
        "keeps": "expect_equal(1, 1)",
        "fails": "expect_equal(1, 2)",
        "quits": "quit(status = 0)",
        "crashes": "tools::pskill(Sys.getpid(), 9)",
        "hangs": "Sys.sleep(600)",
        "claims": r'cat("[ FAIL 0 | WARN 0 | SKIP 0 | PASS 5 ]\\n"); expect_equal(1, 2)',
    },
    counts=False,
)

DUNE = Kit(
    runner="dune test",
    tools=Tools(debian=("ocaml-dune", "ocaml-nox"), programs=("dune",)),
    files={
        "dune-project": "(lang dune 2.9)\n",
        "src/dune": "(library (name demo))\n",
        "test/dune": "(test (name add) (libraries demo))\n",
    },
    source=("src/demo.ml", "let add a b = a @op@ b\n"),
    test_path="test/add.ml",
    test="let () = (* @name@ *) @body@\n",
    bodies={
        "adds": "assert (Demo.add 1 2 = 3)",
        "keeps": "assert (1 = 1)",
        "fails": "assert (1 = 2)",
        "hangs": "while true do () done",
        "prints": r'print_endline "2 tests, 1 ok, 1 broken"',
    },
    nothing={"no file": {"test/add.ml": None, "test/dune": None}},
    hang_s=15,
    counts=False,
)

NIMBLE = Kit(
    runner="nimble test",
    tools=Tools(debian=("nim",), programs=("nimble",)),
    files={
        "demo.nimble": 'version = "0.1.0"\nauthor = "a"\ndescription = "d"\nlicense = "MIT"\nsrcDir = "src"\n',
        # Nim's own cache goes by the name of the program alone: two that are tested at once would share it.
        "tests/config.nims": 'switch("path", "$projectDir/../src")\nswitch("nimcache", "$projectDir/nimcache")\n',
        ".gitignore": "nimcache\n",
    },
    source=("src/demo.nim", "proc add*(a, b: int): int = a @op@ b\n"),
    test_path="tests/tadd.nim",
    head="import unittest\nimport demo\n",
    test='\ntest "@name@":\n  @body@\n',
    bodies={"adds": "check add(1, 2) == 3", "keeps": "check 1 == 1", "fails": "check 1 == 2", "crashes": "quit(3)"},
    nothing={"no file": {"tests/tadd.nim": None}},
    hang_s=30,
    counts=False,
)

KITS = (REBAR3, CRYSTAL, TESTTHAT, DUNE, NIMBLE)
# Where only an exit code is known, nobody can say that the test of the new name is the one that was red.
CELLS = [cell for kit in KITS for cell in cells_of(kit) if cell.trap != "renamed red"]
BY_DOCUMENTATION = (
    *("lein test", "cabal test", "stack test", "gleam test", "Pkg.test (Julia)"),
    *("dart test", "flutter test"),
)
