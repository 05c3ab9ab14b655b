"""Trap cells of the test runners of script languages."""

from dataclasses import replace

from tests.real.runner_traps.traps import NOT_GREEN, RUN, Cell, Edit, Kit, Right, Tools, cells_of

_RUBY = ("lib/add.rb", "def add(a, b)\n  a @op@ b\nend\n")
_RUBY_ENDS = {"quits": "exit!(0)", "crashes": 'Process.kill("KILL", Process.pid)', "hangs": "sleep(600)"}

RSPEC = Kit(
    runner="rspec",
    tools=Tools(debian=("ruby-rspec",), programs=("rspec",)),
    files={".rspec": "\n"},
    source=_RUBY,
    test_path="spec/add_spec.rb",
    head='require_relative "../lib/add"\n\nRSpec.describe "add" do\n',
    test='  it "@name@" do\n    @body@\n  end\n',
    foot="end\n",
    bodies={
        "adds": "expect(add(1, 2)).to eq(3)",
        "keeps": "expect(1).to eq(1)",
        "fails": "expect(1).to eq(2)",
        **_RUBY_ENDS,
        "prints": r'puts "3 examples, 2 failures\nrspec ./spec/add_spec.rb:4 # add adds"',
        "claims": r'puts "5 examples, 0 failures"; expect(1).to eq(2)',
    },
    nothing={
        "no tests": {},
        "no file": {"spec/add_spec.rb": None},
        "all skipped": {"spec/add_spec.rb": 'RSpec.describe "add" do\n  xit("adds") { raise }\nend\n'},
    },
    hides={
        "tag": {".rspec": "--tag ~name:x --example keeps\n"},
        "pattern": {".rspec": "--pattern spec/b_spec.rb\n", "spec/b_spec.rb": 'RSpec.describe("b") { it("is") {} }\n'},
    },
    fails_after={"at_exit": {"spec/spec_helper.rb": "at_exit { exit!(1) }\n", ".rspec": "--require spec_helper\n"}},
)

_MINITEST = Kit(
    runner="minitest",
    tools=Tools(debian=("ruby-minitest", "rake"), programs=("rake",)),
    files={
        "Rakefile": 'require "rake/testtask"\n\nRake::TestTask.new do |t|\n  t.pattern = "test/**/*_test.rb"\nend\n'
    },
    source=_RUBY,
    test_path="test/add_test.rb",
    head='require "minitest/autorun"\nrequire_relative "../lib/add"\n\nclass AddTest < Minitest::Test\n',
    test="  def test_@name@\n    @body@\n  end\n",
    foot="end\n",
    bodies={
        "adds": "assert_equal 3, add(1, 2)",
        "keeps": "assert_equal 1, 1",
        "fails": "assert_equal 1, 2",
        **_RUBY_ENDS,
        "prints": r'puts "3 runs, 3 assertions, 2 failures, 0 errors\n  1) Failure:\nAddTest#test_adds [a:1]:"',
        "claims": r'puts "5 runs, 5 assertions, 0 failures, 0 errors, 0 skips"; assert_equal 1, 2',
    },
    nothing={"no tests": {}, "no file": {"test/add_test.rb": None}},
    fails_after={
        "after_run": {"test/exit_test.rb": 'require "minitest/autorun"\n\nMinitest.after_run { exit 1 }\n'},
    },
    reported="test_@name@",
)
_MINITEST_RED = _MINITEST.written("fails", "keeps")
MINITEST = replace(
    _MINITEST,
    hides={
        "private": {"test/add_test.rb": _MINITEST_RED.replace("def test_f", "private def test_f")},
        "pattern": {
            "Rakefile": _MINITEST.files["Rakefile"].replace("**/*_test", "b_test"),
            "test/b_test.rb": 'require "minitest/autorun"\n\nclass B < Minitest::Test\n  def test_b = assert(1)\nend\n',
        },
    },
)

_PHP_XML = '<?xml version="1.0"?>\n<phpunit cacheResult="false">\n  <testsuites><testsuite name="all">'
_PHP_XML += "<directory>tests</directory></testsuite></testsuites>\n</phpunit>\n"
_PHP_TEST = "<?php\nuse PHPUnit\\Framework\\TestCase;\n"
PHPUNIT = Kit(
    runner="phpunit",
    tools=Tools(debian=("phpunit",), programs=("phpunit",)),
    files={"phpunit.xml": _PHP_XML},
    source=("src/add.php", "<?php\nfunction add($a, $b) { return $a @op@ $b; }\n"),
    test_path="tests/AddTest.php",
    head=_PHP_TEST + "require_once __DIR__ . '/../src/add.php';\n\nclass AddTest extends TestCase {\n",
    test="  public function test@Name@(): void { @body@ }\n",
    foot="}\n",
    bodies={
        "adds": "$this->assertSame(3, add(1, 2));",
        "keeps": "$this->assertSame(1, 1);",
        "fails": "$this->assertSame(1, 2);",
        "quits": "exit(0);",
        "crashes": "posix_kill(posix_getpid(), 9);",
        "hangs": "sleep(600);",
        "prints": r'fwrite(STDERR, "FAILURES!\nTests: 3, Assertions: 3, Failures: 2.\n"); $this->assertSame(1, 1);',
        "claims": r'fwrite(STDERR, "OK (5 tests, 5 assertions)\n"); $this->assertSame(1, 2);',
    },
    nothing={"no tests": {}, "no file": {"tests/AddTest.php": None, "tests/.gitkeep": ""}},
    hides={
        "group": {
            "phpunit.xml": _PHP_XML.replace(
                "<testsuites>", "<groups><exclude><group>slow</group></exclude></groups><testsuites>"
            ),
            "tests/AddTest.php": _PHP_TEST + "class AddTest extends TestCase {\n"
            "  /** @group slow */\n  public function testFails(): void { $this->assertSame(1, 2); }\n"
            "  public function testKeeps(): void { $this->assertSame(1, 1); }\n}\n",
        },
    },
    fails_after={
        "at exit": {
            "phpunit.xml": _PHP_XML.replace("<phpunit ", '<phpunit bootstrap="boot.php" '),
            "boot.php": "<?php\nregister_shutdown_function(function () { exit(1); });\n",
        },
    },
    reported="test@Name@",
)

MIX = Kit(
    runner="mix test",
    whole_seconds=True,  # Elixir 1.14
    tools=Tools(debian=("elixir",), programs=("mix",)),
    files={
        "mix.exs": "defmodule Demo.MixProject do\n  use Mix.Project\n\n"
        '  def project, do: [app: :demo, version: "0.1.0"]\nend\n',
        "test/test_helper.exs": "ExUnit.start()\n",
    },
    source=("lib/demo.ex", "defmodule Demo do\n  def add(a, b), do: a @op@ b\nend\n"),
    test_path="test/add_test.exs",
    head="defmodule AddTest do\n  use ExUnit.Case\n",
    test='\n  test "@name@" do\n    @body@\n  end\n',
    foot="end\n",
    bodies={
        "adds": "assert Demo.add(1, 2) == 3",
        "keeps": "assert 1 == Demo.add(1, 0)",
        "fails": 'assert String.length("a") == 2',
        "quits": "System.halt(0)",
        "crashes": ":erlang.halt(:abort)",
        "hangs": "Process.sleep(:infinity)",
        "prints": r'IO.puts("  1) test adds (AddTest)\n3 tests, 2 failures")',
        "claims": r'IO.puts("5 tests, 0 failures"); assert String.length("a") == 2',
    },
    nothing={"no tests": {}, "no file": {"test/add_test.exs": None}},
    hides={
        "exclude": {
            "test/test_helper.exs": "ExUnit.start(exclude: [:slow])\n",
            "test/add_test.exs": 'defmodule AddTest do\n  use ExUnit.Case\n\n  @tag :slow\n  test "fails" do\n'
            '    assert String.length("a") == 2\n  end\n\n  test "keeps" do\n    assert 1 == 1\n  end\nend\n',
        },
    },
    fails_after={
        "at exit": {"test/test_helper.exs": "ExUnit.start()\nSystem.at_exit(fn _ -> exit({:shutdown, 1}) end)\n"},
    },
    hang_s=25,
)

PROVE = Kit(
    runner="prove",
    tools=Tools(programs=("prove",)),
    files={"Makefile.PL": "use ExtUtils::MakeMaker;\nWriteMakefile(NAME => 'Demo');\n"},
    source=("lib/Demo.pm", "package Demo;\nsub add { return $_[0] @op@ $_[1] }\n1;\n"),
    test_path="t/add.t",
    head="use strict;\nuse lib 'lib';\nuse Test::More;\nuse Demo;\n",
    test="{ @body@ }\n",
    foot="done_testing();\n",
    bodies={
        "adds": "is(Demo::add(1, 2), 3, 'adds');",
        "keeps": "is(1, 1, 'keeps');",
        "fails": "is(1, 2, 'fails');",
        "quits": "exit 0;",
        "crashes": "kill 'KILL', $$;",
        "hangs": "sleep 600;",
    },
    nothing={"no tests": {"t/add.t": "use Test::More skip_all => 'later';\n"}, "no file": {"t/add.t": None}},
    fails_after={"at exit": {"t/exit.t": "use Test::More tests => 1;\nok(1, 'one');\nexit 1;\n"}},
)

BATS = Kit(
    runner="bats",
    tools=Tools(debian=("bats",), programs=("bats",)),
    files={},
    source=("add.sh", "add() { echo $(($1 @op@ $2)); }\n"),
    test_path="test/add.bats",
    head='setup() { source "$BATS_TEST_DIRNAME/../add.sh"; }\n',
    test='\n@test "@name@" {\n  @body@\n}\n',
    bodies={
        "adds": '[ "$(add 1 2)" -eq 3 ]',
        "keeps": "true",
        "fails": "false",
        "crashes": "kill -9 $$",
        "hangs": "sleep 600",
        "prints": r"printf 'not ok 1 adds\n1..9\n'",
        "claims": r"printf 'ok 1 adds\nok 2 x\n'; false",
    },
    nothing={"no tests": {}, "all skipped": {"test/add.bats": '@test "adds" {\n  skip later\n}\n'}},
)

BUSTED = Kit(
    runner="busted",
    tools=Tools(debian=("lua-busted",), programs=("busted",)),
    files={".busted": "return { default = { } }\n"},
    source=("add.lua", "return function(a, b) return a @op@ b end\n"),
    test_path="spec/add_spec.lua",
    head='local add = require("add")\n\ndescribe("add", function()\n',
    test='  it("@name@", function()\n    @body@\n  end)\n',
    foot="end)\n",
    bodies={
        "adds": "assert.are.equal(3, add(1, 2))",
        "keeps": "assert.are.equal(1, 1)",
        "fails": "assert.are.equal(1, 2)",
        "quits": "os.exit(0)",
        "hangs": "while true do end",
        "prints": r'print("not ok 1 - adds\n0 successes / 3 failures / 0 errors / 0 pending : 0.1 seconds")',
        "claims": r'print("ok 1 - adds\n5 successes / 0 failures / 0 errors / 0 pending : 0.1 seconds")'
        " assert.are.equal(1, 2)",
    },
    nothing={"no tests": {}, "pending": {"spec/add_spec.lua": 'it("adds", function() pending("later") end)\n'}},
)

COMPOSER = replace(
    PHPUNIT,
    runner="composer test",
    tools=Tools(debian=("composer", "phpunit"), programs=("composer", "phpunit")),
    files={**PHPUNIT.files, "composer.json": '{"scripts": {"test": "@unit", "unit": "phpunit"}}\n'},
    fails_after={
        "second command": {"composer.json": '{"scripts": {"test": ["phpunit", "@php -r \\"exit(1);\\""]}}\n'},
    },
)


def _stops(kit: Kit, trap: str, variant: str, path: str, text: str) -> Cell:
    """A run that its own files keep from being what its exit code says."""
    files = {**kit.project("-", "keeps"), path: text}
    return Cell(kit.runner, trap, files, (Edit(kit.at("+")), RUN), Right(False, NOT_GREEN), kit.tools, variant)


_OWN = [
    _stops(
        RSPEC,
        *("exit 0", "in a hook", "spec/b_spec.rb"),
        'RSpec.describe("b") do\n  before(:context) { exit 0 }\n  it("is") { raise }\nend\n',
    ),
    _stops(
        RSPEC,
        *("exit 1", "after the suite", "spec/b_spec.rb"),
        'RSpec.configure { |config| config.after(:suite) { raise "left running" } }\n',
    ),
    _stops(
        MINITEST,
        *("look-alike", "of a whole run", "test/b_test.rb"),
        'require "minitest/autorun"\nclass BTest < Minitest::Test\n  def test_b\n'
        '    puts "", "1 runs, 1 assertions, 0 failures, 0 errors, 0 skips"\n    exit!(0)\n  end\nend\n',
    ),
    _stops(
        MIX,
        *("hang", "past its own time-out", "test/b_test.exs"),
        'defmodule BTest do\n  use ExUnit.Case\n  @tag timeout: 50\n  test "is quick", do: Process.sleep(500)\nend\n',
    ),
    _stops(BATS, "exit 1", "teardown_file", "test/b.bats", 'teardown_file() { false; }\n@test "is" { true; }\n'),
    _stops(BUSTED, "exit 1", "teardown", "spec/b_spec.lua", 'teardown(function() error("x") end)\nit("is", print)\n'),
]

KITS = (RSPEC, MINITEST, PHPUNIT, COMPOSER, MIX, PROVE, BATS, BUSTED)
CELLS = [cell for kit in KITS for cell in cells_of(kit)] + _OWN
BY_DOCUMENTATION = ("pest", "shellspec")
