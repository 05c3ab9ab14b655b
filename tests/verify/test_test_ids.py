"""What runners call a test, and which of a file's tests is meant."""

import pytest

from kimi_agent.verify.test_ids import TestNames, file_of_test, id_has_name, is_hook, leaf_name


@pytest.mark.parametrize(
    ("test", "name", "expected"),
    [
        ("tests/test_a.py::test_a", "test_a", True),
        ("tests/test_a.py::TestC::test_a[1-x]", "TestC::test_a", True),
        ("tests/test_a.py::test_ab", "test_a", False),
        ("tests/test_a.py::test_a", "a", False),
        ("a.test.js::adds", "adds", True),
        ("a.test.js::sum > adds", "adds", True),
        ("a.test.js::sum > adds 1 and 2", "adds %i and %i", True),
        ("a.test.js::sum > adds 1 and 2", "adds ${a} and ${b}", True),
        ("a.test.js::sum > adds", "describe sum", True),
        ("a.test.js::summary > adds", "describe sum", False),
        ("a.test.js::readds", "adds", False),
        ("pkg/a_test.go::TestA", "TestA", True),
        ("pkg/a_test.go::TestA/sub", "TestA", True),
        ("pkg/a_test.go::TestAB", "TestA", False),
        ("src/lib.rs::tests::adds", "adds", True),
        ("spec/a_spec.rb::A when big adds", "adds", True),
        ("test/a_test.rb::ATest#test_red", "test_red", True),
        ("test/a_test.rb::A::b#test_0001_adds", "adds", True),
        ("test/a_test.rb::ATest#test_adds_up_well", "adds up well", True),
        ("test/a_test.exs::test math adds", "adds", True),
        ("test/a_test.exs::test math adds", "describe math", True),
        ("src/test/java/ATest.java::ATest.adds(int, int)", "adds", True),
        ("src/test/java/ATest.java::ATest.adds", "class ATest", True),
        ("CMakeLists.txt::Sum.Adds", "Sum, Adds", True),
        ("c1.A.test_a", "test_a", True),
        ("a.test.js::x", "", False),
        ("a.test.js::" + "x" * 900, "x" * 900, False),
        ("a.test.js::adds (a+b)*", "adds (a+b)*", True),
    ],
)
def test_a_name_in_a_file_is_that_of_an_id(test: str, name: str, expected: bool) -> None:
    assert id_has_name(test, name) is expected


def test_the_longest_name_of_the_ids_own_file_is_meant() -> None:
    names = TestNames(
        [
            ("a.test.js", "red"),
            ("a.test.js", "not red"),
            ("b.test.js", "red"),
            ("c.test.js", ""),
            ("a.test.js", "describe A"),
        ]
    )
    assert names.find("a.test.js::A > red") == ("a.test.js", "red")
    assert names.find("a.test.js::A > not red") == ("a.test.js", "not red")
    assert names.find("a.test.js::A > other") == ("a.test.js", "describe A")
    assert names.find("b.test.js::red") == ("b.test.js", "red")
    assert names.find("c.test.js::anything") == ("c.test.js", "")
    assert names.find("d.test.js::red") is None
    assert names.find("web/b.test.js::red") is None


def test_an_id_that_begins_at_its_projects_folder_or_names_no_source_file_is_found_all_the_same() -> None:
    names = TestNames([("web/a.test.js", "adds"), ("tests/sum_test.cc", "Sum, Adds")])
    assert names.find("a.test.js::adds") == ("web/a.test.js", "adds")
    assert names.find("CMakeLists.txt::Sum.Adds") == ("tests/sum_test.cc", "Sum, Adds")
    assert names.find("Sum.Adds") == ("tests/sum_test.cc", "Sum, Adds")


def test_nothing_in_an_id_or_a_name_makes_it_raise() -> None:
    odd = ["", "::", " > ", "[", "a::[", "\x00::\n", "(" * 400, "%s" * 200, "a::" + "x" * 5_000]
    for test in odd:
        assert isinstance(file_of_test(test) + leaf_name(test), str)
        is_hook(test)
        TestNames([("a", name) for name in odd]).find(test)


def test_a_title_of_many_placeholders_is_held_against_a_long_id_at_once() -> None:
    assert not id_has_name("a.js::" + "a" * 900, "%sa" * 100 + "Z")
    assert id_has_name("a.js::" + "a" * 900, "%sa" * 100)
    assert id_has_name("a.js::adds 1 to 2 is 3", "adds %i to %i is %i")
    assert not id_has_name("a.js::adds 1 to 2 makes 3", "adds %i to %i is %i")
