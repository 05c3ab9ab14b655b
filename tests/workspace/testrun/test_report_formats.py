"""The generic report formats: TAP, JSON lines and JUnit, each with what contradicts itself in it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kimi_agent.log.views import TestCase
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport
from kimi_agent.workspace.testrun.formats.json_lines import parse_json_lines
from kimi_agent.workspace.testrun.formats.junit_cases import parse_junit_reports
from kimi_agent.workspace.testrun.formats.tap import parse_tap
from kimi_agent.workspace.testrun.reports.failure_excerpt import make_path_mapper
from kimi_agent.workspace.testrun.verdict import judge_run
from tests.workspace.testrun.project_files import outcomes, put

Judged = tuple[str, str]

NODE_TAP = """\
TAP version 13
# ok 9 - fake
# Subtest: math
    # Subtest: adds
    ok 1 - adds
      ---
      duration_ms: 0.743587
      ...
    # Subtest: halves \\# exactly
    not ok 2 - halves \\# exactly
      ---
      duration_ms: 7.077924
      location: '/w/a.test.js:2:48'
      failureType: 'testCodeFailure'
      error: '1 == 2'
      stack: |-
        ok 7 - in a stack
      ...
    # Subtest: later
    ok 3 - later # TODO
    # Subtest: skips
    ok 4 - skips # SKIP why not
    1..4
not ok 1 - math
  ---
  error: '1 subtest failed'
  ...
# Subtest: top
ok 2 - top
1..2
# tests 5
"""
BATS_TAP = """\
1..3
ok 1 adds
not ok 2 halves
# (in test file a.bats, line 2)
#   `[ "$status" -eq 0 ]' failed
# ok 8 - printed
# 1..9
ok 3 later # skip not yet
"""
PERL_TAP = """\
1..4
ok 1 - adds
not ok 2 - halves
#   Failed test 'halves'
#   at t/a.t line 3.
# Subtest: inner
    1..2
    ok 1 - one
    not ok 2 - two
    #   Failed test 'two'
not ok 3 - inner
not ok 4 - todo one # TODO later
"""


def judge(reading: ParsedReport, exit_code: int | None = 0) -> Judged:
    return judge_run(reading, exit_code, killed="", lines=[])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            NODE_TAP,  # node 20.20.2
            {
                "math::adds": "passed",
                "math::halves # exactly": "failed",
                "math::later": "passed",
                "math::skips": "skipped",
                "top": "passed",
            },
        ),
        (BATS_TAP, {"adds": "passed", "halves": "failed", "later": "skipped"}),  # bats 1.8.2
        (
            PERL_TAP,  # Test::More of Perl 5.36.0
            {
                "adds": "passed",
                "halves": "failed",
                "inner::one": "passed",
                "inner::two": "failed",
                "todo one": "skipped",
            },
        ),
        ("ok\nnot ok\n1..2\n", {"test 1": "passed", "test 2": "failed"}),
        ("1..1\nok 1 - adds # time=3.2ms\n", {"adds": "passed"}),
        ("1..1\n    1..1\n    not ok 1 - in\nnot ok 1 - out # TODO\n", {"out::in": "skipped"}),
        # Without a plan of its own it is no subtest but what a test printed.
        ("1..1\n    not ok 1 - printed\nok 1 - adds\n", {"adds": "passed"}),
        ("1..1\n    1..1\n    ok 1 - in\nnot ok 1 - out\n", {"out::in": "passed", "out": "failed"}),
    ],
)
def test_taps_leaves_are_the_tests(text: str, found: dict[str, str]) -> None:
    reading = parse_tap(text.split("\n"))
    assert (outcomes(reading), reading.is_complete, reading.trouble) == (found, True, "")


def test_a_failing_test_of_tap_has_its_message_and_place() -> None:
    node = parse_tap(NODE_TAP.split("\n"), make_path_mapper(Path("/w"), Path("/w"))).cases[1]
    assert (node.place, node.message) == ("a.test.js:2", "1 == 2")
    assert "ok 7 - in a stack" in node.detail
    bats = parse_tap(BATS_TAP.split("\n")).cases[1]
    assert (bats.place, bats.message) == ("a.bats:2", '`[ "$status" -eq 0 ]\' failed')
    perl = parse_tap(PERL_TAP.split("\n")).cases[1]
    assert (perl.place, perl.message) == ("t/a.t:3", "Failed test 'halves'")


@pytest.mark.parametrize(
    ("text", "judged"),
    [
        ("1..1\nok 1\n", ("passed", "")),
        ("1..3\nok 1\nok 2\n", ("broken", "2 of 3 tests were reported to have ended (exit 0)")),
        (
            "1..1\n    1..3\n    ok 1\nok 1 - out\n",
            ("broken", "1 of 3 tests were reported to have ended (exit 0)"),
        ),
        ("1..1\nok 1\nok 2\n", ("broken", "the TAP plans 1 tests and reports 2")),
        ("1..3\nok 1 - adds\nok 2 - fake\nok 2 - b\n", ("broken", "the TAP reports number 2 twice")),
        ("1..1\nok 1\n1..1\n", ("broken", "the TAP has two plans")),
        ("ok 1\n", ("broken", "the TAP has no plan (1..N)")),
        ("1..2\nok 1\nBail out!  db away\n", ("broken", "Bail out! db away")),
        ("1..0 # SKIP no database\n", ("none_ran", "no database")),
        ("1..1\nok 1 # SKIP no database\n", ("none_ran", "all 1 were skipped")),
        ("1..1\nnot ok 1 # TODO later\n", ("none_ran", "all 1 were skipped")),
        ("nothing that is TAP\n# ok 1\n okay\n", ("none_ran", "")),
        ("1..1\nnot ok 1\n", ("failed", "the exit code is 0 although tests failed")),
        ("1..1\nok 1\n  ---\n  ok 2\n", ("passed", "")),
    ],
)
def test_tap_is_held_against_itself(text: str, judged: Judged) -> None:
    verdict, trouble = judge(parse_tap(text.split("\n")))
    assert (verdict, trouble.removeprefix("the run ended (exit 0) without a whole report\n")) == judged


def test_a_long_tap_is_read_in_bounded_time() -> None:
    deep = (
        "\n".join(" " * 4 * level + "1..1" for level in range(200))
        + "\n"
        + "\n".join("    " * 200 + "ok 1" for _ in "ab")
    )
    assert judge(parse_tap(deep.split("\n")))[0] != "passed"
    assert judge(parse_tap(["a." * 100_000, "not ok 1", "# " + "a." * 100_000] * 3))[0] == "broken"


@pytest.mark.parametrize(
    ("text", "judged"),
    [
        ('{"test": "a::x", "outcome": "passed"}', ("passed", "")),
        ('{"plan": 1}\n{"test": "a::x", "outcome": "passed"}', ("passed", "")),
        (
            '{"plan": 2}\n{"test": "a::x", "outcome": "passed"}',
            ("broken", "1 of 2 tests were reported to have ended (exit 0)"),
        ),
        (
            '{"plan": 1}\n{"test": "a", "outcome": "passed"}\n{"test": "b", "outcome": "passed"}',
            ("broken", "1 tests were planned and 2 reported"),
        ),
        ('{"begun": "a::x"}', ("broken", "the run stopped early (exit 0) while a::x was running")),
        ('{"test": "a::x"}', ("broken", "a::x has no outcome")),
        ('{"plan": 0}', ("none_ran", "")),
        ('{"a": 1}\n{\n[]\n{"test": 3}\ntext', ("none_ran", "")),
    ],
)
def test_json_lines_are_held_against_their_plan(text: str, judged: Judged) -> None:
    verdict, trouble = judge(parse_json_lines(text.split("\n")))
    assert (verdict, trouble.removeprefix("the run ended (exit 0) without a whole report\n")) == judged


def test_json_lines_that_are_not_understood_make_the_run_broken() -> None:
    verdict, trouble = judge(parse_json_lines(['{"test": "a::x", "outcome": "green"}']))
    assert (verdict, "Invalid enum value 'green'" in trouble) == ("broken", True)


def test_json_lines_hold_all_that_a_case_can_say() -> None:
    lines = [
        'printed {"test": "no", "outcome": "failed"}',
        '{"begun": "a::x"}',
        '{"test": "a::x", "outcome": "failed", "message": "1 is not 2\\nmore", "detail": "one\\ntwo", "place": "a:3"}',
        '{"test": "a::y", "outcome": "passed", "runs": 3, "failures": 2}',
    ]
    assert parse_json_lines(lines).cases == (
        TestCase("a::x", "failed", "a:3", "1 is not 2", "one\ntwo"),
        TestCase("a::y", "passed", runs=3, failures=2),
    )


Junit = Callable[..., ParsedReport]


@pytest.fixture
def junit(tmp_path: Path) -> Junit:
    """Reads reports of a project that has the file src/a.ts."""

    def read(*texts: str) -> ParsedReport:
        put(tmp_path / "work", {"src/a.ts": ""})
        put(tmp_path, {f"{number}.xml": text for number, text in enumerate(texts)})
        paths = [tmp_path / f"{number}.xml" for number in range(len(texts) + 1)]
        found = parse_junit_reports(paths, root=tmp_path / "work", folder=tmp_path / "work")
        assert found is not None
        return found

    return read


@pytest.mark.parametrize(
    ("text", "node_id"),
    [
        ('<testcase file="src/a.ts" classname="A" name="x"/>', "src/a.ts::A::x"),
        ('<testcase file="./src/a.ts" classname="src.a" name="x"/>', "src/a.ts::x"),
        ('<testcase classname="src/a.ts" name="x"/>', "src/a.ts::x"),
        ('<testcase classname="./src/a.ts" name="x"/>', "src/a.ts::x"),
        ('<testsuite name="src/a.ts"><testcase classname="src/a.ts" name="s &gt; x"/></testsuite>', "src/a.ts::s > x"),
        ('<testsuite file="src/a.ts"><testcase classname="x" name="x"/></testsuite>', "src/a.ts::x"),
        ('<testcase classname="pkg.A" name="x"/>', "pkg.A::x"),
        ('<testcase name="x"/>', "x"),
        ('<testcase file="/etc/x" name="x"/>', "x"),
        ('<testcase classname="pkg.A" name=""><error/></testcase>', "pkg.A"),
        ('<testsuite name="s"><error message="no"/></testsuite>', "s"),
    ],
)
def test_a_junit_id_is_file_class_and_name_without_what_repeats(junit: Junit, text: str, node_id: str) -> None:
    assert [case.id for case in junit(f"<testsuites>{text}</testsuites>").cases] == [node_id]


@pytest.mark.parametrize(
    ("text", "judged"),
    [
        ('<testsuite tests="1"><testcase name="x"/></testsuite>', ("passed", "")),
        (
            '<testsuites tests="2"><testsuite tests="2"><testcase name="x"/></testsuite></testsuites>',
            ("broken", "1 of 2 tests were reported to have ended (exit 0)"),
        ),
        # An outer suite counts those below it, or only its own.
        ('<testsuites tests="1"><testsuite tests="1"><testcase name="x"/></testsuite></testsuites>', ("passed", "")),
        ('<testsuite tests="0"><testsuite tests="1"><testcase name="x"/></testsuite></testsuite>', ("passed", "")),
        # pytest 9.2 writes a case without a name for a test in which pytest.exit() was called.
        (
            '<testsuite tests="2"><testcase name="x"/><testcase/></testsuite>',
            ("broken", "1 of 2 tests were reported to have ended (exit 0)"),
        ),
        # surefire 3.2 writes one for a class that is skipped as a whole.
        ('<testsuite><testcase name="x"/><testcase classname="B"><skipped/></testcase></testsuite>', ("passed", "")),
        (
            '<testsuite tests="1" failures="1"><testcase name="x"/></testsuite>',
            ("failed", "the runner says FAILED, but no failing test was read"),
        ),
        (
            '<testsuite><testcase name="x"/><error message="teardown"/></testsuite>',
            ("failed", "the exit code is 0 although tests failed"),
        ),
        ('<testsuite tests="0"/>', ("none_ran", "")),
        (
            '<testsuite><testcase name="x"/>',
            ("broken", "the report is not whole XML: no element found: line 1, column 31"),
        ),
    ],
)
def test_junit_is_held_against_its_counts(junit: Junit, text: str, judged: Judged) -> None:
    verdict, trouble = judge(junit(text))
    assert (verdict, trouble.removeprefix("the run ended (exit 0) without a whole report\n")) == judged


def test_a_failure_in_junit_has_its_place_in_the_workspace(junit: Junit) -> None:
    text = """<testsuite><testcase file="src/a.ts" name="x" line="7"><failure message="1 is not 2">1 is not 2
  at f (src/a.ts:3:9)
  at g (node:internal/x.js:4)</failure></testcase></testsuite>"""
    (case,) = junit(text).cases
    assert (case.place, case.message) == ("src/a.ts:3", "1 is not 2")
    assert case.detail == "1 is not 2\n  at f (src/a.ts:3:9)"


def test_reruns_that_junit_reports_are_told(junit: Junit) -> None:
    first = """<testsuite><testcase classname="A" name="x"><flakyFailure message="m">t</flakyFailure></testcase>
    <testcase classname="A" name="y"><failure message="m"/><rerunFailure/><rerunError/></testcase></testsuite>"""
    found = junit(first, '<testsuite><testcase classname="B" name="z"/></testsuite>')
    assert {case.id: (case.outcome, case.runs, case.failures) for case in found.cases} == {
        "A::x": ("passed", 2, 1),
        "A::y": ("failed", 3, 3),
        "B::z": ("passed", 1, 0),
    }


def test_the_same_test_in_two_files_counts_by_its_worst(junit: Junit) -> None:
    green = '<testsuite><testcase classname="A" name="x"/></testsuite>'
    found = junit(green, green.replace("/>", "><failure/></testcase>", 1), green)
    assert outcomes(found) == {"A::x": "failed"}
