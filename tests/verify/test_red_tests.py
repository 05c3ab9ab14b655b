"""Red tests accounted for in every language: deleted, skipped, hidden, renamed, moved, or of another expectation."""

from dataclasses import dataclass
from typing import Any

import pytest

from kimi_agent.log.views import Weakened
from kimi_agent.workspace.testrun.proof_rules import RED_ACCOUNTED
from tests.verify.tale import Tale


@dataclass(frozen=True)
class Suite:
    """A test file of one language with a test that is red and one that is green, as its runner names them.

    `red` is the text of the red test; `skip` what makes it skipped, and `rename` what gives it another name, as (old,
    new) in it; `renamed` is its id then. `other_value` is another expectation.
    """

    path: str
    head: str
    red: str
    green: str
    tail: str
    red_id: str
    green_id: str
    skip: tuple[str, str]
    rename: tuple[str, str]
    renamed: str
    other_value: tuple[str, str]
    code: str = "src/code.txt"

    @property
    def text(self) -> str:
        return self.head + self.red + self.green + self.tail

    def without_red(self) -> str:
        return self.head + self.green + self.tail

    def edited(self, change: tuple[str, str]) -> str:
        assert self.red.count(change[0]) == 1
        return self.head + self.red.replace(*change) + self.green + self.tail


SUITES = {
    "pytest": Suite(
        "tests/test_m.py",
        "from m import add\n\n\n",
        "def test_red(): assert add(1, 2) == 3\n\n\n",
        "def test_green():\n    assert add(0, 0) == 0\n",
        "",
        "tests/test_m.py::test_red",
        "tests/test_m.py::test_green",
        ("def", "@pytest.mark.skip\ndef"),
        ("test_red", "test_sum"),
        "tests/test_m.py::test_sum",
        ("== 3", "== -1"),
    ),
    "pytest class": Suite(
        "tests/test_m.py",
        "from m import add\n\n\nclass TestSum:\n",
        "    def test_red(self):\n        assert add(1, 2) == 3\n\n",
        "    def test_green(self):\n        assert add(0, 0) == 0\n",
        "",
        "tests/test_m.py::TestSum::test_red",
        "tests/test_m.py::TestSum::test_green",
        ("    def", "    @pytest.mark.skip\n    def"),
        ("test_red", "test_sum"),
        "tests/test_m.py::TestSum::test_sum",
        ("== 3", "== 4"),
    ),
    "node": Suite(
        "a.test.js",
        'const { test } = require("node:test");\n',
        'test("red", () => assert.equal(add(1, 2), 3));\n',
        'test("not red", () => assert.equal(add(0, 0), 0));\n',
        "",
        "a.test.js::red",
        "a.test.js::not red",
        ("test(", "test.skip("),
        ('"red"', '"adds"'),
        "a.test.js::adds",
        ("3)", "-1)"),
    ),
    "jest": Suite(
        "src/a.test.ts",
        "describe('sum', () => {\n",
        "  it('is red', () => {\n    expect(add(1, 2)).toBe(3)\n  })\n",
        "  it('is green', () => {\n    expect(add(0, 0)).toBe(0)\n  })\n",
        "})\n",
        "src/a.test.ts::sum > is red",
        "src/a.test.ts::sum > is green",
        ("it(", "xit("),
        ("is red", "adds two"),
        "src/a.test.ts::sum > adds two",
        ("toBe(3)", "toBe(-1)"),
    ),
    "go": Suite(
        "pkg/a_test.go",
        "package pkg\n\n",
        'func TestRed(t *testing.T) {\n\tif Add(1, 2) != 3 {\n\t\tt.Fatal("no")\n\t}\n}\n\n',
        'func TestGreen(t *testing.T) {\n\tif Add(0, 0) != 0 {\n\t\tt.Fatal("no")\n\t}\n}\n',
        "",
        "pkg/a_test.go::TestRed",
        "pkg/a_test.go::TestGreen",
        (" {\n\tif", ' {\n\tt.Skip("x")\n\tif'),
        ("TestRed", "TestSum"),
        "pkg/a_test.go::TestSum",
        ("!= 3", "!= -1"),
    ),
    "cargo": Suite(
        "src/lib.rs",
        "pub fn add(a: i32, b: i32) -> i32 { a - b }\n#[cfg(test)]\nmod tests {\n    use super::*;\n",
        "    #[test]\n    fn red() {\n        assert_eq!(add(1, 2), 3);\n    }\n",
        "    #[test]\n    fn green() {\n        assert_eq!(add(0, 0), 0);\n    }\n",
        "}\n",
        "src/lib.rs::tests::red",
        "src/lib.rs::tests::green",
        ("    fn", "    #[ignore]\n    fn"),
        ("fn red", "fn adds"),
        "src/lib.rs::tests::adds",
        ("3);", "-1);"),
    ),
    "rspec": Suite(
        "spec/a_spec.rb",
        'describe "A" do\n',
        '  it "red" do\n    expect(add(1, 2)).to eq(3)\n  end\n',
        '  it "ok" do\n    expect(add(0, 0)).to eq(0)\n  end\n',
        "end\n",
        "spec/a_spec.rb::A red",
        "spec/a_spec.rb::A ok",
        ("  it", "  xit"),
        ('"red"', '"adds"'),
        "spec/a_spec.rb::A adds",
        ("eq(3)", "eq(-1)"),
    ),
    "minitest": Suite(
        "test/a_test.rb",
        "class ATest < Minitest::Test\n",
        "  def test_red\n    assert_equal 3, add(1, 2)\n  end\n",
        "  def test_ok\n    assert_equal 0, add(0, 0)\n  end\n",
        "end\n",
        "test/a_test.rb::ATest#test_red",
        "test/a_test.rb::ATest#test_ok",
        ("test_red\n", "test_red\n    skip\n"),
        ("test_red", "test_sum"),
        "test/a_test.rb::ATest#test_sum",
        ("equal 3", "equal -1"),
    ),
    "mix": Suite(
        "test/a_test.exs",
        "defmodule ATest do\n",
        '  test "red" do\n    assert add(1, 2) == 3\n  end\n',
        '  test "ok" do\n    assert add(0, 0) == 0\n  end\n',
        "end\n",
        "test/a_test.exs::test red",
        "test/a_test.exs::test ok",
        ("  test", "  @tag :skip\n  test"),
        ('"red"', '"adds"'),
        "test/a_test.exs::test adds",
        ("== 3", "== -1"),
    ),
    "phpunit": Suite(
        "tests/ATest.php",
        "<?php\nclass ATest extends TestCase {\n",
        "  public function testRed(): void {\n    $this->assertSame(3, add(1, 2));\n  }\n",
        "  public function testOk(): void {\n    $this->assertSame(0, add(0, 0));\n  }\n",
        "}\n",
        "tests/ATest.php::ATest::testRed",
        "tests/ATest.php::ATest::testOk",
        ("void {\n", "void {\n    $this->markTestSkipped();\n"),
        ("testRed", "testSum"),
        "tests/ATest.php::ATest::testSum",
        ("Same(3", "Same(-1"),
    ),
    "maven": Suite(
        "src/test/java/org/ATest.java",
        "class ATest {\n",
        "  @Test\n  void red() {\n    assertEquals(3, add(1, 2));\n  }\n",
        "  @Test\n  void ok() {\n    assertEquals(0, add(0, 0));\n  }\n",
        "}\n",
        "src/test/java/org/ATest.java::ATest.red",
        "src/test/java/org/ATest.java::ATest.ok",
        ("  @Test", "  @Disabled\n  @Test"),
        ("void red", "void adds"),
        "src/test/java/org/ATest.java::ATest.adds",
        ("Equals(3", "Equals(-1"),
    ),
    "dotnet": Suite(
        "A.Tests/ATests.cs",
        "public class ATests {\n",
        "  [Fact]\n  public void Red() {\n    Assert.Equal(3, Add(1, 2));\n  }\n",
        "  [Fact]\n  public void Ok() {\n    Assert.Equal(0, Add(0, 0));\n  }\n",
        "}\n",
        "A.Tests/ATests.cs::ATests.Red",
        "A.Tests/ATests.cs::ATests.Ok",
        ("[Fact]", '[Fact(Skip = "x")]'),
        ("void Red", "void Adds"),
        "A.Tests/ATests.cs::ATests.Adds",
        ("Equal(3", "Equal(-1"),
    ),
    "ctest": Suite(
        "tests/sum_test.cc",
        "#include <gtest/gtest.h>\n",
        "TEST(Sum, Red) {\n  EXPECT_EQ(3, add(1, 2));\n}\n",
        "TEST(Sum, Ok) {\n  EXPECT_EQ(0, add(0, 0));\n}\n",
        "",
        "CMakeLists.txt::Sum.Red",
        "CMakeLists.txt::Sum.Ok",
        ("{\n", "{\n  GTEST_SKIP();\n"),
        ("Red", "Adds"),
        "CMakeLists.txt::Sum.Adds",
        ("(3", "(-1"),
    ),
    "zig": Suite(
        "src/m.zig",
        "fn add(a: i32, b: i32) i32 { return a - b; }\n",
        'test "red" {\n  try expect(add(1, 2) == 3);\n}\n',
        'test "ok" {\n  try expect(add(0, 0) == 0);\n}\n',
        "",
        "src/m.zig::red",
        "src/m.zig::ok",
        ("{\n", "{\n  return error.SkipZigTest;\n"),
        ('"red"', '"adds"'),
        "src/m.zig::adds",
        ("== 3", "== -1"),
    ),
    "deno": Suite(
        "lib/a_test.js",
        'import { add } from "./a.js";\n',
        'Deno.test("red", () => {\n  assertEquals(add(1, 2), 3);\n});\n',
        'Deno.test("ok", () => {\n  assertEquals(add(0, 0), 0);\n});\n',
        "",
        "lib/a_test.js::red",
        "lib/a_test.js::ok",
        ("test(", "test.ignore("),
        ('"red"', '"adds"'),
        "lib/a_test.js::adds",
        ("3)", "-1)"),
    ),
    "busted": Suite(
        "spec/a_spec.lua",
        'describe("a", function()\n',
        '  it("red", function()\n    assert.are.equal(3, add(1, 2))\n  end)\n',
        '  it("ok", function()\n    assert.are.equal(0, add(0, 0))\n  end)\n',
        "end)\n",
        "spec/a_spec.lua::a red",
        "spec/a_spec.lua::a ok",
        ("function()\n", "function()\n    pending('x')\n"),
        ('"red"', '"adds"'),
        "spec/a_spec.lua::a adds",
        ("(3", "(-1"),
    ),
    "bats": Suite(
        "test/a.bats",
        "",
        '@test "red" {\n  [ "$(add 1 2)" -eq 3 ]\n}\n',
        '@test "ok" {\n  [ "$(add 0 0)" -eq 0 ]\n}\n',
        "",
        "test/a.bats::red",
        "test/a.bats::ok",
        ("{\n", "{\n  skip later\n"),
        ('"red"', '"adds"'),
        "test/a.bats::adds",
        ("-eq 3", "-eq -1"),
    ),
}  # fmt: skip
ALL = pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)


def begun(suite: Suite) -> Tale:
    tale = Tale(**{suite.path: suite.text, suite.code: "wrong"})
    tale.run(red=[suite.red_id], green=[suite.green_id])
    return tale


def not_mended(suite: Suite, tale: Tale) -> tuple[str, ...]:
    """What is told to be weakened, of a turn that is not verified because of its red test."""
    found = tale.judge()
    assert (found.verdict, found.unproven, found.fixed) == (
        "not_verified",
        (RED_ACCOUNTED.said(tests=suite.red_id),),
        (),
    )
    assert found.still_red == ()
    assert {each.test for each in found.weakened} == {suite.red_id}  # by its whole id
    return tuple(each.how for each in found.weakened)


@ALL
def test_one_that_was_deleted_is_not_mended(suite: Suite) -> None:
    tale = begun(suite)
    tale.edit(suite.path, suite.without_red())
    tale.run(green=[suite.green_id])
    assert not_mended(suite, tale) == ("deleted",)


@ALL
def test_one_that_was_deleted_is_not_mended_by_a_narrowed_run_either(suite: Suite) -> None:
    tale = begun(suite)
    tale.edit(suite.path, suite.without_red())
    tale.run(green=[suite.green_id], arguments={"targets": [suite.path]})
    found = tale.judge()
    assert found.verdict == "not_verified"
    if suite.red_id.startswith(suite.path):  # else nothing says in which file it stood
        assert RED_ACCOUNTED.said(tests=suite.red_id) in found.unproven


@ALL
def test_one_that_is_skipped_is_not_mended(suite: Suite) -> None:
    tale = begun(suite)
    tale.edit(suite.path, suite.edited(suite.skip))
    tale.run(green=[suite.green_id], skipped=[suite.red_id])
    assert not_mended(suite, tale) == ("skipped",)


@ALL
def test_one_that_a_setting_hides_is_not_mended(suite: Suite) -> None:
    tale = begun(suite)
    tale.edit("runner.cfg", "only = green")
    tale.run(green=[suite.green_id])
    (how,) = not_mended(suite, tale)
    assert how == ("skipped" if suite.red_id.startswith(suite.path) else "deleted")


@ALL
def test_one_that_broke_in_this_turn_and_was_deleted_is_not_mended(suite: Suite) -> None:
    tale = Tale(**{suite.path: suite.text, suite.code: "right"})
    tale.run(green=[suite.red_id, suite.green_id])
    tale.edit(suite.code, "wrong")
    tale.run(red=[suite.red_id], green=[suite.green_id])
    tale.edit(suite.path, suite.without_red())
    tale.run(green=[suite.green_id])
    assert not_mended(suite, tale) == ("deleted",)


def test_one_that_broke_in_this_turn_and_asserts_less_is_not_mended() -> None:
    suite = SUITES["pytest class"]
    tale = Tale(**{suite.path: suite.text})
    tale.run(green=[suite.red_id, suite.green_id])
    tale.edit(suite.code, "wrong")
    tale.run(red=[suite.red_id], green=[suite.green_id])
    tale.edit(suite.path, suite.edited(("assert ", "")))
    tale.run(green=[suite.red_id, suite.green_id])
    assert not_mended(suite, tale) == ("fewer assertions",)


def test_one_that_was_renamed_and_is_skipped_now_is_not_mended() -> None:
    suite = SUITES["pytest class"]
    tale = begun(suite)
    renamed = suite.edited(suite.rename)
    tale.edit(suite.path, renamed.replace("    def test_sum", "    @pytest.mark.skip\n    def test_sum"))
    tale.edit(suite.code, "right")
    tale.run(green=[suite.green_id], skipped=[suite.renamed])
    found = tale.judge()
    assert (found.verdict, found.unproven) == ("not_verified", (RED_ACCOUNTED.said(tests=suite.red_id),))


@ALL
def test_one_that_was_renamed_is_mended_under_its_new_name(suite: Suite) -> None:
    tale = begun(suite)
    tale.edit(suite.path, suite.edited(suite.rename))
    tale.edit(suite.code, "right")
    tale.run(green=[suite.green_id, suite.renamed])
    found = tale.judge()
    assert (found.verdict, found.unproven, found.weakened) == ("verified", (), ())
    assert (found.fixed, found.renamed) == ((suite.renamed,), ((suite.red_id, suite.renamed),))


@ALL
def test_one_that_was_renamed_and_is_red_still_is_no_mended_one(suite: Suite) -> None:
    tale = begun(suite)
    tale.edit(suite.path, suite.edited(suite.rename))
    tale.run(red=[suite.renamed], green=[suite.green_id])
    found = tale.judge()
    assert (found.verdict, found.fixed) == ("not_verified", ())


@ALL
def test_one_that_moved_to_another_file_is_mended_there(suite: Suite) -> None:
    folder, _, name = suite.path.rpartition("/")
    other = f"{folder}/more_{name}".lstrip("/") if "test_" not in name else f"{folder}/test_more.py"
    tale = begun(suite)
    tale.edit(suite.path, suite.without_red())
    tale.edit(other, suite.head + suite.red + suite.tail)
    tale.edit(suite.code, "right")
    moved = suite.red_id.replace(suite.path, other)
    tale.run(green=[suite.green_id, moved])
    found = tale.judge()
    assert (found.verdict, found.fixed, found.weakened) == ("verified", (moved,), ())


@ALL
def test_one_that_only_expects_another_value_is_not_mended(suite: Suite) -> None:
    tale = begun(suite)
    tale.edit(suite.path, suite.edited(suite.other_value))
    tale.edit("README.md", "2")
    tale.run(green=[suite.green_id, suite.red_id])
    assert not_mended(suite, tale) == ("expectation changed",)


@ALL
def test_one_that_expects_another_value_of_other_code_is_mended(suite: Suite) -> None:
    tale = begun(suite)
    tale.edit(suite.path, suite.edited(suite.other_value))
    tale.edit(suite.code, "right")
    tale.run(green=[suite.green_id, suite.red_id])
    found = tale.judge()
    assert (found.verdict, found.fixed, found.weakened) == ("verified", (suite.red_id,), ())


@ALL
def test_a_green_test_that_expects_another_value_is_not_weaker(suite: Suite) -> None:
    tale = Tale(**{suite.path: suite.text})
    tale.run(green=[suite.green_id, suite.red_id])
    tale.edit(suite.path, suite.edited(suite.other_value))
    tale.run(green=[suite.green_id, suite.red_id])
    assert (tale.judge().verdict, tale.judge().weakened) == ("verified", ())


@ALL
def test_one_that_a_person_deleted_between_two_turns_is_not_laid_at_our_door(suite: Suite) -> None:
    tale = begun(suite)
    tale.files[suite.path] = suite.without_red()
    tale.say("go on")
    tale.edit(suite.code, "right")
    tale.run(green=[suite.green_id])
    found = tale.judge()
    if suite.red_id.startswith(suite.path):
        assert (found.verdict, found.still_red, found.weakened) == ("verified", (), ())
    else:  # nothing says in which file it stood
        assert found.verdict == "not_verified"


def test_a_test_that_only_changed_what_it_expects_from_a_snapshot_is_not_mended() -> None:
    suite = SUITES["jest"]
    tale = begun(suite)
    tale.edit("src/__snapshots__/a.test.ts.snap", "-1")
    tale.run(green=[suite.green_id, suite.red_id])
    assert not_mended(suite, tale) == ("expectation changed",)


def test_a_value_beside_the_tests_that_all_of_them_expect_is_an_expectation() -> None:
    suite = SUITES["pytest"]
    text = "WANTED = 3\n\n\ndef test_red():\n    assert add(1, 2) == WANTED\n"
    tale = Tale(**{suite.path: text})
    tale.run(red=[suite.red_id])
    tale.edit(suite.path, text.replace("3", "-1"))
    tale.run(green=[suite.red_id])
    assert not_mended(suite, tale) == ("expectation changed",)


def test_a_test_that_was_mended_in_its_setup_is_mended() -> None:
    suite = SUITES["pytest"]
    text = "def test_red():\n    x = made()\n    assert x.y == 3\n"
    tale = Tale(**{suite.path: text})
    tale.run(red=[suite.red_id])
    tale.edit(suite.path, text.replace("made()", "made(now)"))
    tale.run(green=[suite.red_id])
    assert (tale.judge().verdict, tale.judge().fixed) == ("verified", (suite.red_id,))


def test_a_new_test_that_was_written_in_this_turn_may_be_corrected_but_not_dropped_while_it_is_red() -> None:
    suite = SUITES["pytest"]
    tale = Tale(**{suite.path: suite.without_red()})
    tale.edit(suite.path, suite.text)
    tale.run(red=[suite.red_id], green=[suite.green_id])
    tale.edit(suite.path, suite.edited(suite.other_value))
    tale.run(green=[suite.red_id, suite.green_id])
    assert (tale.judge().verdict, tale.judge().fixed) == ("verified", (suite.red_id,))
    tale = Tale(**{suite.path: suite.without_red()})
    tale.edit(suite.path, suite.text)
    tale.edit(suite.code, "right")
    tale.run(red=[suite.red_id], green=[suite.green_id])
    tale.edit(suite.path, suite.without_red())
    tale.run(green=[suite.green_id])
    assert not_mended(suite, tale) == ("deleted",)


@pytest.mark.parametrize(
    "hook",
    [
        "a.test.js::afterAll",
        'a.test.js::sum > "before each" hook for "adds"',
        "spec/a_spec.rb::An after(:context) hook",
    ],
)
def test_a_hook_that_failed_and_no_longer_does_is_mended(hook: str) -> None:
    tale = Tale(**{"a.test.js": SUITES["node"].text})
    tale.run(error=[hook], green=["a.test.js::not red"])
    tale.edit("src/a.py")
    tale.run(green=["a.test.js::not red"])
    assert (tale.judge().verdict, tale.judge().still_red) == ("verified", ())


def test_a_test_whose_name_sounds_like_a_hook_is_a_test() -> None:
    tale = Tale(**{"a.test.js": 'test("runs its setup", () => assert(x()));\n'})
    tale.run(red=["a.test.js::runs its setup"], green=["b.test.js::b"])
    tale.edit("runner.cfg", "only = b")
    tale.run(green=["b.test.js::b"])
    assert tale.judge().verdict == "not_verified"


def test_a_doc_test_whose_line_moved_is_the_same_test() -> None:
    tale = Tale(**{"src/lib.rs": "/// ```"})
    tale.run(red=["src/lib.rs::doc add (line 5)"], green=["src/lib.rs::doc sub (line 9)"])
    tale.edit("src/lib.rs", "\n/// ```")
    tale.run(green=["src/lib.rs::doc add (line 6)", "src/lib.rs::doc sub (line 10)"])
    assert (tale.judge().verdict, tale.judge().weakened) == ("verified", ())


def test_a_red_row_of_a_parametrized_test_that_is_gone_is_not_mended() -> None:
    text = "@pytest.mark.parametrize('x', [1, 2])\ndef test_p(x):\n    assert f(x)\n"
    tale = Tale(**{"tests/test_p.py": text})
    tale.run(red=["tests/test_p.py::test_p[2]"], green=["tests/test_p.py::test_p[1]"])
    tale.edit("tests/test_p.py", text.replace("[1, 2]", "[1]"))
    tale.edit("src/a.py")
    tale.run(green=["tests/test_p.py::test_p[1]"])
    found = tale.judge()
    assert (found.verdict, found.unproven) == (
        "not_verified",
        (RED_ACCOUNTED.said(tests="tests/test_p.py::test_p[2]"),),
    )


def test_a_red_test_is_not_lost_among_very_many_that_were_weakened() -> None:
    tale = Tale()
    green = [f"tests/test_m{at}.py::test_m" for at in range(1_200)]
    tale.run(green=green, red=["tests/test_z.py::test_red"])
    tale.edit("conftest.py")
    tale.run(green=["tests/test_y.py::test_y"], skipped=[*green, "tests/test_z.py::test_red"])
    found = tale.judge()
    assert (found.verdict, len(found.weakened)) == ("not_verified", 1_000)
    assert found.unproven == (RED_ACCOUNTED.said(tests="tests/test_z.py::test_red"),)


@pytest.mark.parametrize(
    ("path", "text", "how"),
    [
        ("a.test.js", SUITES["node"].without_red(), "deleted"),
        ("a.test.js", SUITES["node"].edited(SUITES["node"].skip), "skipped"),
        ("a.test.js", SUITES["node"].edited(("3", "-1")), "expectation changed"),
        ("playwright.config.js", "grep: /keeps/", ""),
        ("test/__snapshots__/a.snap", "-1", ""),
    ],
)
def test_a_command_that_failed_by_its_exit_code_is_not_mended_by_what_may_hide_its_red_test(
    path: str, text: str, how: str
) -> None:
    npm: dict[str, Any] = {"runner": "npm test", "command": "npm test", "ecosystem": "", "folder": "."}
    tale = Tale(**{"a.test.js": SUITES["node"].text})
    tale.run(verdict="failed", **npm)
    tale.edit(path, text)
    tale.run(verdict="passed", **npm)
    found = tale.judge()
    assert (found.verdict, found.unproven) == ("not_verified", (RED_ACCOUNTED.said(tests="npm test"),))
    assert [(each.test.removeprefix("a.test.js::"), each.how) for each in found.weakened] == (
        [("red", how)] if how else []
    )
    tale.edit(path, SUITES["node"].text if path == "a.test.js" else None)
    tale.edit("src/a.py", "right")
    tale.run(verdict="passed", **npm)
    assert (tale.judge().verdict, tale.judge().fixed) == ("verified", ("npm test",))


def test_a_command_that_failed_is_not_mended_by_other_code_where_a_test_was_deleted_too() -> None:
    suite = SUITES["node"]
    npm: dict[str, Any] = {"runner": "npm test", "command": "npm test", "ecosystem": "", "folder": "."}
    tale = Tale(**{suite.path: suite.text})
    tale.run(verdict="failed", **npm)
    tale.edit(suite.path, suite.without_red())
    tale.edit("src/a.py", "3")
    tale.run(verdict="passed", **npm)
    found = tale.judge()
    assert (found.verdict, found.unproven) == ("not_verified", (RED_ACCOUNTED.said(tests="npm test"),))


PACKAGE = '{"scripts": {"test": "%s"}, "dependencies": {"a": "%s"}}'


@pytest.mark.parametrize(
    ("path", "before", "after", "command", "verified"),
    [
        ("Makefile", "test:\n\t./check.sh\n", "test:\n\ttrue\n", "make test", False),
        ("check.sh", "grep right code.txt", "true", "make test", False),
        ("ci/verify", "grep right code.txt", "true", "./ci/verify", False),
        ("package.json", PACKAGE % ("jest", 1), PACKAGE % ("true", 1), "npm test", False),
        ("package.json", PACKAGE % ("jest", 1), PACKAGE % ("jest", 2), "npm test", True),
        ("package.json", "{", PACKAGE % ("jest", 2), "npm test", False),
        ("code.txt", "wrong", "right", "make test", True),
        ("README.md", "1", "2", "make test", False),
    ],
)
def test_a_command_that_failed_is_mended_by_another_code_and_not_by_another_check(
    path: str, before: str, after: str, command: str, verified: bool
) -> None:
    given: dict[str, Any] = {"runner": command, "command": command, "ecosystem": "", "folder": "."}
    tale = Tale(**{path: before})
    tale.run(verdict="failed", **given)
    tale.edit(path, after)
    tale.run(verdict="passed", **given)
    found = tale.judge()
    said = () if verified else (RED_ACCOUNTED.said(tests=command),)
    assert (found.verdict, found.unproven) == ("verified" if verified else "not_verified", said)


def test_a_red_test_of_two_with_like_names_is_the_one_that_is_told() -> None:
    suite = SUITES["node"]
    tale = begun(suite)
    tale.edit(suite.path, suite.head + suite.red + suite.tail)  # it is the green one that is deleted
    tale.edit(suite.code, "right")
    tale.run(green=[suite.red_id])
    found = tale.judge()
    assert (found.verdict, found.fixed) == ("verified", (suite.red_id,))
    assert found.weakened == (Weakened(suite.path, suite.green_id, "deleted"),)


@pytest.mark.parametrize(
    ("path", "text", "lost"),
    [
        ("tests/test_late.py", "import gone\n\n\ndef test_late():\n    assert f()\n", True),
        ("tests/test_helpers.py", "import gone\n", False),  # what never held a test can lose none
        ("checks/red.test", "grep right code.txt\n", True),  # a program as a whole: `make check`
    ],
)
def test_a_file_that_failed_as_a_whole_and_of_which_nothing_runs_any_more_is_mended_only_if_it_held_no_test(
    path: str, text: str, lost: bool
) -> None:
    other = "tests/test_m.py::test_ok"
    tale = Tale(**{path: text, "tests/test_m.py": "def test_ok():\n    assert g()\n", "src/code.py": "wrong"})
    tale.run(error=[path], green=[other])
    tale.edit("src/code.py", "right")
    tale.edit("setup.cfg", "[tool:pytest]\n")
    tale.run(green=[other])
    found = tale.judge()
    said = (RED_ACCOUNTED.said(tests=path),) if lost else ()
    assert (found.verdict, found.unproven) == ("not_verified" if lost else "verified", said)
