"""The harness's own word on a turn: rows, text, Markdown for a pull request, JSON."""

import html
import json
import re

import pytest
from markdown_it import MarkdownIt
from msgspec.structs import replace

from kimi_agent.faces.evidence_text import evidence_json, evidence_markdown, evidence_rows, evidence_text
from kimi_agent.faces.sanitize import sanitize_line
from kimi_agent.log.views import Evidence, RunCounts, TestCase, TestReport, Weakened
from tests.golden_texts import Golden

A, B = "tests/test_x.py::test_a", "tests/test_x.py::test_b"
PASSED = TestReport("passed", "pytest", "pyproject.toml", "python -m pytest", 0, 1.25, tree="a" * 40, whole=True)
FAILED = replace(PASSED, verdict="failed", exit_code=1, cases=(TestCase(A, "failed", message="no"),))
GREEN = Evidence("verified", "b" * 40, ("src/a.py",), last=PASSED, passed=14)


def red(**given: object) -> Evidence:
    return replace(GREEN, verdict="not_verified", **given)


def many(number: int) -> tuple[str, ...]:
    return tuple(f"t.py::test_{at}" for at in range(number))


@pytest.mark.parametrize(
    ("evidence", "text"),
    [
        (replace(GREEN, fixed=(A,)), f"verified: 14 passed; {A} red -> green"),
        (replace(GREEN, skipped=2), "verified: 14 passed, 2 skipped"),
        (replace(GREEN, passed=1, scope=f"narrowed: {A}"), f"verified: 1 passed (narrowed: {A})"),
        (replace(GREEN, last=replace(PASSED, repeats=5)), "verified: 14 passed, 5 times"),
        (
            replace(GREEN, passed=0, last=replace(PASSED, command="make test")),
            "verified: make test ended with exit code 0",
        ),
        (
            replace(GREEN, fixed=many(15)),
            "verified: 14 passed; t.py::test_0, t.py::test_1, t.py::test_2 and 12 more red -> green",
        ),
        (
            red(changed_since=("a.py", "b.py")),
            "NOT verified: 2 files changed since the last run (a.py, b.py)",
        ),
        (
            red(changed_since=tuple("abcde")),
            "NOT verified: 5 files changed since the last run (a, b, c and 2 more)",
        ),
        (
            red(changed_since=("x",) * 200),
            "NOT verified: at least 200 files changed since the last run (x, x, x and 197 more)",
        ),
        (red(last=FAILED, failed=1), f"NOT verified: 1 failed: {A}"),
        (
            red(last=FAILED, failed=1, changed_since=("a.py",)),
            f"NOT verified: 1 file changed since the last run (a.py); 1 failed: {A}",
        ),
        (red(last=replace(FAILED, cases=()), passed=0), "NOT verified: python -m pytest ended with exit code 1"),
        (
            red(last=replace(PASSED, verdict="broken", trouble="ImportError: x\nmore")),
            "NOT verified: the tests stopped before they were through: ImportError: x",
        ),
        (
            red(last=replace(PASSED, verdict="timed_out", exit_code=None, running=B)),
            f"NOT verified: the tests timed out in {B}",
        ),
        (red(last=replace(PASSED, verdict="none_ran")), "NOT verified: no test ran"),
        (red(still_red=(A,)), f"NOT verified: still red since an earlier run: {A}"),
        (
            red(flaky=(A,), fixed=(B,)),
            f"NOT verified: failed and passed on the same files: {A} (two green runs are needed: repeat=2)\n"
            f"{B} red -> green",
        ),
        (
            red(unproven=("only sub/ was run, which does not plainly reach a.py",)),
            "NOT verified: only sub/ was run, which does not plainly reach a.py",
        ),
        (
            red(last=replace(PASSED, verdict="run_failed", exit_code=1, trouble="all 3 passed, but ...")),
            "NOT verified: all 3 passed, but ...",
        ),
        (replace(GREEN, retried=(A,)), f"verified: 14 passed\npassed only when the runner ran it again: {A}"),
        (
            replace(GREEN, fixed=(B,), renamed=((A, B),)),
            f"verified: 14 passed; {A} (now test_b) red -> green",
        ),
        (
            replace(GREEN, fixed=("tests/test_y.py::test_b",), renamed=((A, "tests/test_y.py::test_b"),)),
            f"verified: 14 passed; {A} (now tests/test_y.py::test_b) red -> green",
        ),
        (
            red(weakened=(Weakened("t.py", "t.py::a", "expectation changed"),), unproven=("x",)),
            "NOT verified: x\nweakened: t.py::a passes because what it expects was changed, and nothing else",
        ),
        (red(trouble="who knows"), "NOT verified: 14 passed; who knows"),
        (red(last=FAILED, failed=1, broke=(A,)), f"NOT verified: 1 failed: {A}\nbroke: {A} green -> red"),
        (Evidence("no_tests", files=("a.py",)), "NOT verified: no tests were run"),
        (Evidence("no_tests", still_red=(A,)), f"NOT verified: no tests were run\nstill red since an earlier run: {A}"),
        (Evidence("none_needed"), ""),
        (Evidence("none_needed", last=PASSED, passed=3), ""),
        (Evidence("none_needed", last=FAILED, failed=1), f"tests: 1 failed: {A}"),
        (
            replace(GREEN, weakened=(Weakened("tests/test_x.py", B, "fewer assertions"),)),
            f"verified: 14 passed\nweakened: {B} has fewer assertions",
        ),
        (
            replace(GREEN, weakened=(Weakened("a.test.ts", "adds", "skipped"), Weakened("b.c", "", "deleted"))),
            "verified: 14 passed\nweakened: a.test.ts::adds is skipped now\nweakened: b.c was deleted",
        ),
        (
            replace(GREEN, weakened=tuple(Weakened("t.py", each, "deleted") for each in many(12))),
            "verified: 14 passed\nweakened: t.py: 12 tests were deleted (test_0, test_1, test_2 and 9 more)",
        ),
    ],
)
def test_the_footer_says_what_is_proven(evidence: Evidence, text: str) -> None:
    assert evidence_text(evidence) == text


def test_rows_carry_their_style() -> None:
    found = red(last=FAILED, failed=1, broke=(A,), fixed=(B,), weakened=(Weakened("t.py", "t.py::b", "deleted"),))
    assert [style for style, _ in evidence_rows(found)] == ["yellow", "dim", "red", "yellow"]
    assert [style for style, _ in evidence_rows(GREEN)] == ["green"]


def test_there_are_few_rows_and_they_are_short() -> None:
    lost = tuple(Weakened(f"t{at}.py", f"t{at}.py::test", "deleted") for at in range(100))
    rows = evidence_rows(red(last=FAILED, failed=1, broke=("x" * 5_000,) * 900, fixed=many(900), weakened=lost))
    assert len(rows) == 8
    assert rows[-1][1] == "weakened: and 96 more"
    assert max(len(text) for _, text in rows) < 500


HOSTILE = "t.py::test[\x1b]0;x\x07\u202e\n`|</code><img src=x>\\|**b** [a](http://x) @you #1 ]"


def hostile() -> Evidence:
    case = TestCase(HOSTILE, "failed")
    last = replace(FAILED, command=HOSTILE, runner=HOSTILE, cases=(case,), trouble=HOSTILE, running=HOSTILE)
    names = (HOSTILE, "`", "``x``", "|", " ", "", "\\", "a_b_c", "<b>")
    return Evidence(
        "not_verified", HOSTILE, names, names, last, 0, 1, 0, names, names, names,
        (Weakened(HOSTILE, HOSTILE, "deleted"), Weakened("p|`", "n\n", "skipped")), names, HOSTILE, HOSTILE,
        names, names, (("old", HOSTILE),),
    )  # fmt: skip


def test_hostile_names_are_harmless_on_a_screen() -> None:
    for verdict in ("verified", "not_verified", "no_tests", "none_needed"):
        for last in ("failed", "broken", "timed_out", "none_ran"):
            found = hostile()
            assert found.last is not None
            for _, text in evidence_rows(replace(found, verdict=verdict, last=replace(found.last, verdict=last))):
                assert text == sanitize_line(text)


def test_hostile_names_are_harmless_in_markdown() -> None:
    text = evidence_markdown(hostile(), session=HOSTILE, model=HOSTILE)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    inner = [child for token in tokens for child in token.children or ()]
    assert {child.content for child in inner if child.type == "html_inline"} == {"<code>", "</code>", "<sub>", "</sub>"}
    assert not [token for token in tokens if token.type == "html_block"]
    assert {child.type for child in inner} <= {
        "text", "code_inline", "html_inline", "softbreak", "strong_open", "strong_close", "text_special",
    }  # fmt: skip
    drawn = MarkdownIt("commonmark").enable("table").render(text)
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", drawn, re.DOTALL)]
    assert {len(row) for row in cells if row} == {2, 3}
    assert {tuple(row[1:]) for row in cells if len(row) == 3} == {("red", "green"), ("green", "red")}
    shown = sanitize_line(HOSTILE)
    assert html.unescape(re.sub(r"</?code>", "", next(row for row in cells if row and row[0] == "session")[1])) == shown
    assert sum(html.unescape(row[0]).find(shown) >= 0 for row in cells if len(row) == 3) == 2
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", text)


def test_the_block_for_a_pull_request_reads_well(golden: Golden) -> None:
    found = replace(
        GREEN, skipped=1, fixed=(A,), files=("src/a.py", "tests/test_x.py"), weakened=(Weakened("t.py", B, "skipped"),)
    )
    golden(evidence_markdown(found, session="20261122-003440-k3f9", model="kimi-k2.6").rstrip())


def test_the_block_says_no_as_plainly(golden: Golden) -> None:
    refusals = (Evidence("no_tests", files=("a.py",)), red(changed_since=("a.py",)))
    golden(*(evidence_markdown(found).rstrip() for found in refusals))
    assert evidence_markdown(replace(GREEN, fixed=many(80))).count("| red | green |") == 50
    assert "and 30 more" in evidence_markdown(replace(GREEN, fixed=many(80)))


def test_the_json_keeps_its_members_and_names_what_turned() -> None:
    found = red(last=FAILED, failed=1, passed=3, changed_since=("a.py",), fixed=(B,), still_red=("c",))
    reported = evidence_json(replace(found, weakened=(Weakened("t.py", "x", "skipped"),)))
    assert json.loads(json.dumps(reported)) == {
        "verdict": "not_verified",
        "runner": "pytest",
        "command": "python -m pytest",
        "outcome": "failed",
        "passed": 3,
        "failed": 1,
        "skipped": 0,
        "failures": [A],
        "changed_after": True,
        "scope": "",
        "runs": [],
        "unrun": [],
        "unproven": [],
        "trouble": "",
        "fixed": [B],
        "broke": [],
        "still_red": ["c"],
        "flaky": [],
        "retried": [],
        "renamed": [],
        "changed_since": ["a.py"],
        "weakened": [{"path": "t.py", "test": "x", "how": "skipped"}],
        "tree": "b" * 40,
    }


def test_the_json_says_what_troubled_the_run_and_lists_the_runs_of_several_projects() -> None:
    last = replace(PASSED, verdict="run_failed", exit_code=1, trouble="all 3 passed, but ...", unrun=("b (no npm)",))
    runs = (
        RunCounts("pytest", "pytest", "backend", "passed", 2),
        RunCounts("go test", "go test ./...", ".", "run_failed", 1, trouble="exit 1"),
    )
    reported = evidence_json(red(last=last, runs=runs))
    assert (reported["outcome"], reported["trouble"]) == ("run_failed", "all 3 passed, but ...")
    assert reported["unrun"] == ["b (no npm)"]
    assert [(each["runner"], each["folder"], each["outcome"], each["passed"]) for each in reported["runs"]] == [
        ("pytest", "backend", "passed", 2),
        ("go test", ".", "run_failed", 1),
    ]


def test_the_json_of_a_turn_without_a_run_has_no_counts() -> None:
    reported = evidence_json(Evidence("no_tests", "b" * 40, ("a.py",)))
    assert reported["verdict"] == "no_tests"
    assert "passed" not in reported
    assert reported["fixed"] == []


def test_what_decides_how_tests_run_is_named() -> None:
    found = evidence_text(Evidence("verified", files=("a.py", "tests/conftest.py"), last=PASSED, passed=1))
    assert found.endswith("how tests run was changed too: tests/conftest.py")
