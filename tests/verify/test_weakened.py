"""Which tests prove less than before, over the languages: what is told, and what is not held against an edit."""

import textwrap

import pytest

from kimi_agent.log.views import Weakened
from kimi_agent.verify.weakened.compare import (
    MAX_TEST_FILE_CHARS,
    compare_test_files,
    is_test_file,
    may_hold_tests,
)

PY = "tests/test_x.py"
BASE = """\
import pytest


def check_all(xs):
    assert xs
    assert len(xs) > 1


def test_a(tmp_path):
    x = f(tmp_path)
    assert x == 1
    assert x.y, "why"


class TestC:
    def test_b(self):
        with pytest.raises(ValueError):
            f()
        self.assertEqual(f(), 2)


def test_d():
    check_all(f())
"""


def find_weakened_tests(path: str, before: str | None, after: str | None) -> tuple[Weakened, ...]:
    return compare_test_files([(path, before, after)]).weakened


def told(path: str, before: str, after: str | None) -> list[str]:
    return [f"{each.test.removeprefix(path + '::')} {each.how}" for each in find_weakened_tests(path, before, after)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # Nothing lost
        ("    assert x == 1\n", "    assert x == 2\n", []),
        ("    assert x == 1\n", "    # said twice\n    assert x == 1\n    assert x\n", []),
        ("def test_a(", "def test_renamed(", []),
        ("    x = f(tmp_path)\n", "    return_value = x = f(tmp_path)\n", []),
        ('    assert x == 1\n    assert x.y, "why"\n', "    check_all(x)\n", []),
        ("    assert x == 1\n", "    for each in x:\n        assert each == 1\n", []),
        ("        self.assertEqual(f(), 2)\n", "        assert f() == 2\n", []),
        ('assert x.y, "why"', "np.testing.assert_allclose(x, 1)", []),
        ("def test_d():\n", "def test_d():\n    if slow:\n        return\n", []),
        (
            'def test_a(tmp_path):\n    x = f(tmp_path)\n    assert x == 1\n    assert x.y, "why"\n',
            "def test_a1(tmp_path):\n    x = f(tmp_path)\n    assert x == 1\n\n\n"
            'def test_a2(tmp_path):\n    x = f(tmp_path)\n    assert x.y, "why"\n',
            [],
        ),
        # Fewer assertions
        ("    assert x == 1\n", "", ["test_a fewer assertions"]),
        ("    assert x == 1\n", "    # assert x == 1\n", ["test_a fewer assertions"]),
        ("assert x == 1", "assert True", ["test_a fewer assertions"]),
        ("assert x == 1", "assert x == x", ["test_a fewer assertions"]),
        ("assert x == 1", "assert (x == 1, 'always true')", ["test_a fewer assertions"]),
        ("assert x == 1", "assert x == 1 or True", ["test_a fewer assertions"]),
        ("assert x == 1", "x == 1", ["test_a fewer assertions"]),
        ("    x = f(tmp_path)\n", "    return\n", ["test_a fewer assertions"]),
        ("    assert x == 1\n", "    if False:\n        assert x == 1\n", ["test_a fewer assertions"]),
        (
            "    assert x == 1\n",
            "    try:\n        assert x == 1\n    except AssertionError:\n        pass\n",
            ["test_a fewer assertions"],
        ),
        (
            "    assert x == 1\n",
            "    with contextlib.suppress(Exception):\n        assert x == 1\n",
            ["test_a fewer assertions"],
        ),
        ("        with pytest.raises(ValueError):\n            f()\n", "", ["TestC::test_b fewer assertions"]),
        ("self.assertEqual(f(), 2)", "self.assertEqual(2, 2)", ["TestC::test_b fewer assertions"]),
        ("    assert len(xs) > 1\n", "", ["test_d fewer assertions"]),
        ("    check_all(f())\n", "    f()\n", ["test_d fewer assertions"]),
        # Skipped
        ("def test_a(", "@pytest.mark.skip\ndef test_a(", ["test_a skipped"]),
        ("def test_a(", "@pytest.mark.skipif(True, reason='x')\ndef test_a(", ["test_a skipped"]),
        ("def test_a(", "@pytest.mark.xfail(reason='later')\ndef test_a(", ["test_a skipped"]),
        ("    x = f(tmp_path)\n", "    pytest.skip('not here')\n", ["test_a skipped"]),
        (
            "        with pytest.raises",
            "        self.skipTest('x')\n        with pytest.raises",
            ["TestC::test_b skipped"],
        ),
        ("class TestC:", "@unittest.skip('x')\nclass TestC:", ["TestC::test_b skipped"]),
        ("    def test_b(", "    @unittest.expectedFailure\n    def test_b(", ["TestC::test_b skipped"]),
        ("class TestC:\n", "class TestC:\n    pytestmark = pytest.mark.skip\n\n", ["TestC::test_b skipped"]),
        (
            "import pytest\n",
            "import pytest\n\npytestmark = [pytest.mark.skip]\n",
            ["test_a skipped", "TestC::test_b skipped", "test_d skipped"],
        ),
        (
            "import pytest\n",
            "import pytest\n\npytest.skip('x', allow_module_level=True)\n",
            ["test_a skipped", "TestC::test_b skipped", "test_d skipped"],
        ),
        ("def test_a(", "@pytest.mark.skip\ndef test_renamed(", ["test_renamed skipped"]),
        # Deleted
        ("def test_d():\n    check_all(f())\n", "", ["test_d deleted"]),
        ("def test_a(", "def a(", ["test_a deleted"]),
        ("def test_a(", "def _test_a(", ["test_a deleted"]),
        ("class TestC:", "class Later:", ["TestC::test_b deleted"]),
        ("class TestC:\n", "class TestC:\n    __test__ = False\n\n", ["TestC::test_b deleted"]),
        ("    def test_b(self)", "    def b(self)", ["TestC::test_b deleted"]),
    ],
)
def test_python(old: str, new: str, expected: list[str]) -> None:
    assert BASE.count(old) == 1
    assert told(PY, BASE, BASE.replace(old, new)) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("[1, 2, 3]", "[1, 2, 3, 4]", []),
        ("[1, 2, 3]", "[1]", ["test_p fewer assertions"]),
        ("[1, 2, 3]", "CASES", []),
        ("[1, 2]", "[1, pytest.param(2, marks=pytest.mark.xfail)]", ["test_p skipped"]),
    ],
)
def test_parameters_of_a_python_test_count(before: str, after: str, expected: list[str]) -> None:
    source = "@pytest.mark.parametrize('x', {})\ndef test_p(x):\n    assert f(x)\n"
    assert told(PY, source.format(before), source.format(after)) == expected


JS = """\
import {f} from './f'; // "quoted
describe('sums', () => {
  it('adds', () => {
    expect(f(1)).toBe(2)
    expect(f('http://x')).toBe(3)
  })
  test.each([[1, 2]])("adds %i", (a, b) => {
    assert.equal(f(a), b)
  })
  it(
    'is long',
    async () => {
      await expect(f(2)).rejects.toThrow()
    })
})
"""
GO = """\
package x

func helper(t *testing.T) { t.Helper() }

func TestAdd(t *testing.T) {
\tif f() != 1 {
\t\tt.Errorf("no")
\t}
\trequire.Equal(t, 1, f())
}

func (s *Suite) TestSub() {
\ts.Equal(1, f())
}
"""
RUST = """\
pub fn f() -> u8 { assert!(true); 1 }

#[cfg(test)]
mod tests {
    #[test]
    fn adds() {
        assert_eq!(f(), 1);
        assert!(f() > 0);
    }

    #[tokio::test]
    async fn waits() { assert!(g().await); }
}
"""
RUBY = """\
RSpec.describe Sum do
end
describe "Sum" do
  it "adds" do
    expect(f).to eq(1)
    expect(g).to be # "x
  end
  def test_old
    assert_equal 1, f
  end
end
"""
JAVA = """\
class SumTest {
    @Test
    @DisplayName("adds")
    void adds() {
        assertEquals(1, f());
        assertThat(g()).isTrue();
    }

    @ParameterizedTest
    @CsvSource({
        "1, 2",
    })
    public void many(int a, int b) { assertEquals(a, b); }

    private void helper() { }
}
"""
CSHARP = """\
public class SumTests {
    [Fact]
    public void Adds() {
        Assert.Equal(1, F());
        F().Should().Be(1);
    }

    [Theory]
    [InlineData(1)]
    public async Task Waits(int x) => Assert.True(await G(x));
}
"""
PHP = """\
<?php
final class SumTest extends TestCase {
    public function testAdds(): void {
        $this->assertSame(1, f()); # one
        self::assertTrue(g());
    }
    #[Test]
    public function it_subtracts(): void { $this->assertSame(0, h()); }
}
"""
CPP = 'TEST(Sum, Adds) {\n  EXPECT_EQ(1, f());\n  ASSERT_TRUE(g());\n}\nTEST_CASE("subs") {\n  REQUIRE(h());\n}\n'


@pytest.mark.parametrize(
    ("path", "before", "old", "new", "expected"),
    [
        ("a.test.ts", JS, "import", "// it('x') expect(1)\nimport", []),
        ("a.test.ts", JS, "'adds'", "'adds well'", []),
        ("a.test.ts", JS, "    expect(f(1)).toBe(2)\n", "", ["adds fewer assertions"]),
        ("a.test.ts", JS, "    expect(f(1)).toBe(2)\n", "    // expect(f(1)).toBe(2)\n", ["adds fewer assertions"]),
        ("a.test.ts", JS, "    expect(f(1)).toBe(2)\n", "    /* expect(f(1))\n */\n", ["adds fewer assertions"]),
        ("a.test.ts", JS, "expect(f(1)).toBe(2)", "expect(true).toBe(true)", ["adds fewer assertions"]),
        ("a.test.ts", JS, "it('adds'", "it.skip('adds'", ["adds skipped"]),
        ("a.test.ts", JS, "it('adds'", "xit('adds'", ["adds skipped"]),
        ("a.test.ts", JS, "it('adds'", "it.only('adds'", ["adds skipped"]),
        ("a.test.ts", JS, "describe(", "describe.skip(", ["describe sums skipped"]),
        ("a.test.ts", JS, "test.each", "test.skip.each", ["adds %i skipped"]),
        ("a.test.ts", JS, "    'is long'", "    'is longer'", []),
        ("a.test.ts", JS, "      await expect(f(2)).rejects.toThrow()\n", "", ["is long fewer assertions"]),
        ("pkg/a_test.go", GO, "\trequire.Equal(t, 1, f())\n", "", ["TestAdd fewer assertions"]),
        ("pkg/a_test.go", GO, 't.Errorf("no")', 't.Logf("no")', ["TestAdd fewer assertions"]),
        ("pkg/a_test.go", GO, "\tif f()", '\tt.Skip("x")\n\tif f()', ["TestAdd skipped"]),
        ("pkg/a_test.go", GO, "func TestAdd", "func xTestAdd", ["TestAdd deleted"]),
        ("pkg/a_test.go", GO, "TestAdd", "TestPlus", []),
        ("pkg/a_test.go", GO, "\ts.Equal(1, f())\n", "", ["TestSub fewer assertions"]),
        ("src/lib.rs", RUST, "        assert!(f() > 0);\n", "", ["adds fewer assertions"]),
        ("src/lib.rs", RUST, "assert!(f() > 0)", "assert!(true)", ["adds fewer assertions"]),
        ("src/lib.rs", RUST, "#[test]", "#[test]\n    #[ignore]", ["adds skipped"]),
        ("src/lib.rs", RUST, "    #[test]\n", "", ["adds deleted"]),
        ("src/lib.rs", RUST, "{ assert!(true); 1 }", "{ 1 }", []),
        ("src/lib.rs", RUST, "async fn waits() { assert!(g().await); }", "", ["waits deleted"]),
        ("spec/a_spec.rb", RUBY, "    expect(f).to eq(1)\n", "", ["adds fewer assertions"]),
        ("spec/a_spec.rb", RUBY, '  it "adds"', '  xit "adds"', ["adds skipped"]),
        ("spec/a_spec.rb", RUBY, "    expect(f)", "    skip\n    expect(f)", ["adds skipped"]),
        ("spec/a_spec.rb", RUBY, "def test_old", "def old", ["test_old deleted"]),
        ("src/test/SumTest.java", JAVA, "        assertEquals(1, f());\n", "", ["adds fewer assertions"]),
        ("src/test/SumTest.java", JAVA, "assertEquals(1, f())", "assertTrue(true)", ["adds fewer assertions"]),
        ("src/test/SumTest.java", JAVA, "    @Test\n", "    @Test\n    @Disabled\n", ["adds skipped"]),
        ("src/test/SumTest.java", JAVA, "class SumTest", "@Ignore\nclass SumTest", ["class SumTest skipped"]),
        ("src/test/SumTest.java", JAVA, "    @Test\n", "", ["adds deleted"]),
        ("src/test/SumTest.java", JAVA, "{ assertEquals(a, b); }", "{ }", ["many fewer assertions"]),
        ("X.Tests/SumTests.cs", CSHARP, "        F().Should().Be(1);\n", "", ["Adds fewer assertions"]),
        ("X.Tests/SumTests.cs", CSHARP, "[Fact]", '[Fact(Skip = "x")]', ["Adds skipped"]),
        ("X.Tests/SumTests.cs", CSHARP, "    [Fact]\n", "", ["Adds deleted"]),
        ("X.Tests/SumTests.cs", CSHARP, "    [Theory]", "    [Ignore]\n    [Theory]", ["Waits skipped"]),
        ("tests/SumTest.php", PHP, "        self::assertTrue(g());\n", "", ["testAdds fewer assertions"]),
        ("tests/SumTest.php", PHP, "$this->assertSame(1", "# $this->assertSame(1", ["testAdds fewer assertions"]),
        ("tests/SumTest.php", PHP, "        self::", "        $this->markTestSkipped();self::", ["testAdds skipped"]),
        ("tests/SumTest.php", PHP, "    #[Test]\n", "", ["it_subtracts deleted"]),
        ("sum_test.cc", CPP, "  EXPECT_EQ(1, f());\n", "", ["Sum, Adds fewer assertions"]),
        ("sum_test.cc", CPP, "Adds", "DISABLED_Adds", ["Sum, Adds skipped"]),
        ("sum_test.cc", CPP, '"subs"', '"differences"', []),
        ("a_test.exs", 'test "a" do\n  assert f()\nend\n', "test", "@tag :skip\ntest", ["a skipped"]),
        ("a_test.dart", "test('a', () {\n  expect(f(), 1);\n});\n", "  expect(f(), 1);\n", "", ["a fewer assertions"]),
        ("ATests.swift", "func testA() {\n  XCTAssertEqual(1, f())\n}\n", "func testA", "func a", ["testA deleted"]),
        ("src/m.zig", 'test "a" {\n  try expect(f());\n}\n', "  try expect(f());\n", "", ["a fewer assertions"]),
        ("ATest.kt", "@Test\nfun `adds it`() {\n  assert(f())\n}\n", "@Test", "@Ignore @Test", ["adds it skipped"]),
        ("ASpec.groovy", "def 'adds'() {\n  assert f()\n}\n", "  assert f()\n", "", [" fewer assertions"]),
    ],
)
def test_other_languages(path: str, before: str, old: str, new: str, expected: list[str]) -> None:
    assert before.count(old) == 1
    assert told(path, before, before.replace(old, new)) == expected


@pytest.mark.parametrize(("path", "text"), [(PY, BASE), ("a.test.ts", JS), ("a_test.go", GO), ("lib.rs", RUST)])
def test_a_file_that_is_the_same_is_new_or_is_formatted_anew_has_lost_nothing(path: str, text: str) -> None:
    assert find_weakened_tests(path, text, text) == ()
    assert find_weakened_tests(path, None, text) == ()
    assert find_weakened_tests(path, None, None) == ()
    assert find_weakened_tests(path, text, text.replace("\n", "\r\n")) == ()
    assert find_weakened_tests(path, text, text.replace("\n\n", "\n\n\n")) == ()


def test_a_deleted_file_has_lost_all_its_tests() -> None:
    assert told(PY, BASE, None) == ["test_a deleted", "TestC::test_b deleted", "test_d deleted"]
    assert [each.test for each in find_weakened_tests("a_test.go", GO, None)] == ["TestAdd", "TestSub"]


def test_tests_that_move_to_another_file_of_the_same_turn_are_not_deleted() -> None:
    body = textwrap.dedent(BASE)
    found = compare_test_files([(PY, body, ""), ("tests/test_y.py", None, body.replace("test_d", "test_e"))])
    assert found.weakened == ()
    assert found.moved == {
        f"{PY}::test_a": "tests/test_y.py::test_a",
        f"{PY}::TestC::test_b": "tests/test_y.py::TestC::test_b",
        f"{PY}::test_d": "tests/test_y.py::test_e",
    }


def test_an_assertion_elsewhere_stands_for_one_that_is_gone_and_no_more() -> None:
    before = "def test_a():\n    x = 1\n    assert f()\n\ndef test_b():\n    y = 2\n    assert f()\n"
    found = compare_test_files([(PY, before, "def test_c():\n    z = 3\n    assert f()\n")])
    assert found.weakened == (Weakened(PY, f"{PY}::test_b", "deleted"),)


def test_a_test_of_which_a_part_became_a_test_of_its_own_is_not_weaker() -> None:
    before = "def test_a():\n    x = f()\n    assert x == 1\n    assert x.y\n"
    after = "def test_a():\n    x = f()\n    assert x == 1\n\ndef test_y():\n    x = f()\n    assert x.y\n"
    assert find_weakened_tests(PY, before, after) == ()


def test_a_skip_that_lost_its_condition_leaves_nothing_to_be_reached() -> None:
    before = "def test_a():\n    if slow:\n        pytest.skip('x')\n    assert f()\n"
    assert told(PY, before, "def test_a():\n    pytest.skip('x')\n    assert f()\n") == ["test_a fewer assertions"]


def test_one_copy_elsewhere_stands_for_one_test_only() -> None:
    before = "def test_a():\n    assert f()\n\ndef test_b():\n    assert f()\n"
    found = compare_test_files([(PY, before, ""), ("tests/test_y.py", "", "def test_c():\n    assert f()\n")])
    assert found.weakened == (Weakened(PY, f"{PY}::test_b", "deleted"),)


def test_a_python_file_that_does_not_parse_is_read_line_by_line() -> None:
    broken = BASE.replace("    assert x == 1\n", "") + "def broken(:\n"
    assert told(PY, BASE, broken) == ["test_a fewer assertions"]
    assert told(PY, "print 'old'\n" + BASE, "print 'old'\n@skip\n" + BASE.partition("def test_d")[0]) == [
        "test_d deleted"
    ]
    docs = 'def test_a():\n    """assert this and\n    assert that"""\n    assert 1 == f()\n(\n'
    assert told(PY, docs, docs.replace("assert that", "that")) == []


@pytest.mark.parametrize(
    "text", ["\x00", "def test_a(" * 1_000, "-" * 50_000 + "1", "\ud800", "[" * 9_000, "'''", "/*", "`"]
)
@pytest.mark.parametrize("path", [PY, "a.test.ts", "a_test.go", "a.rs", "a_spec.rb", "ATest.java", "ATest.php"])
def test_nothing_in_a_file_makes_it_raise(path: str, text: str) -> None:
    assert find_weakened_tests(path, text, text + "\nx") == ()
    find_weakened_tests(path, BASE, text)
    find_weakened_tests(path, text, BASE)


def test_a_huge_file_is_not_read() -> None:
    assert find_weakened_tests(PY, BASE + "#" * MAX_TEST_FILE_CHARS, "") == ()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/test_x.py", True),
        ("x_test.py", True),
        ("app/tests.py", True),
        ("tests/helpers.py", True),
        ("src/a.spec.ts", True),
        ("src/__tests__/a.jsx", True),
        ("cypress/e2e/a.cy.js", True),
        ("pkg/a_test.go", True),
        ("spec/models/a_spec.rb", True),
        ("src/test/java/org/ATest.java", True),
        ("src/ATests.cs", True),
        ("tests/it.rs", True),
        ("src/a.py", False),
        ("src/contest.py", False),
        ("src/testing.py", False),
        ("src/Attest.java", False),
        ("tests/data.json", False),
        ("tests/__snapshots__/a.snap", False),
        ("README", False),
        ("", False),
    ],
)
def test_test_files_are_told_by_their_path(path: str, expected: bool) -> None:
    assert is_test_file(path) is expected


def test_code_that_is_no_test_file_is_looked_at_only_where_tests_stand_inside_of_it() -> None:
    assert may_hold_tests("src/lib.rs")
    assert not may_hold_tests("src/lib.py")
    assert find_weakened_tests("src/a.py", BASE, "") == ()
