"""Which files a turn's runs prove: by project, by whole and reaching runs, and after what did not pass."""

from typing import Any

import pytest

from kimi_agent.log.views import TestCase, TestReport
from kimi_agent.verify.proof import ONLY_EXIT_CODE_KNOWN
from kimi_agent.workspace.testrun.commands_and_reports import Owner
from kimi_agent.workspace.testrun.proof_rules import NONE_LEFT_OUT, REACHED, RED_ACCOUNTED, SETTLED, WHOLE
from tests.verify.tale import A, B, Tale

GO: dict[str, Any] = {"runner": "go test", "command": "go test ./...", "ecosystem": "Go", "folder": "."}
PY: dict[str, Any] = {"runner": "pytest", "command": "pytest", "ecosystem": "Python", "folder": "."}


def owner_of(path: str) -> Owner | None:
    """Of a workspace with Go and Python at its top, and packages of JavaScript."""
    ecosystems = {"go": "Go", "py": "Python", "js": "JavaScript", "toml": ""}
    suffix = path.rpartition(".")[2]
    if suffix not in ecosystems:
        return None
    folder = "/".join(path.split("/")[:2]) if path.startswith("packages/") else "."
    return Owner(ecosystems[suffix], folder)


def judged(tale: Tale) -> tuple[str, tuple[str, ...]]:
    found = tale.judge(owner=owner_of)
    return found.verdict, found.unproven


def part(verdict: str, *tests: str, **given: Any) -> TestReport:
    cases = tuple(TestCase(test, "passed" if verdict != "failed" else "failed") for test in tests)
    fields: dict[str, Any] = {"evidence": "x", "exit_code": int(verdict != "passed"), "duration_s": 1.0, **given}
    return TestReport(verdict=verdict, cases=cases, **fields)  # type: ignore[arg-type]  # a table's word


# Reached


def test_a_run_of_another_ecosystem_proves_nothing() -> None:
    tale = Tale(**{"a.go": "1"})
    tale.edit("a.go")
    tale.run(green=[A], **PY)
    sentence = REACHED.said(owner="go", files="a.go", ran="pytest: 1 passed")
    assert sentence == "no tests of go ran (a.go changed; pytest: 1 passed)"
    assert judged(tale) == ("not_verified", (sentence,))
    tale.run(green=["a_test.go::TestA"], **GO)
    assert judged(tale) == ("verified", ())


def test_runs_of_two_calls_on_the_same_files_prove_together_and_their_tests_are_counted() -> None:
    tale = Tale(**{"a.go": "1"})
    tale.edit("a.go")
    tale.edit("src/a.py")
    tale.run(green=["a_test.go::TestA"], skipped=["a_test.go::TestB"], **GO)
    tale.run(green=[A, B], **PY)
    found = tale.judge(owner=owner_of)
    assert (found.verdict, found.passed, found.skipped, found.scope) == ("verified", 3, 1, "")
    assert [(each.runner, each.passed) for each in found.runs] == [("go test", 1), ("pytest", 2)]
    tale.edit("src/a.py", "3")
    tale.run(green=[A, B], **PY)
    assert judged(tale) == ("not_verified", (REACHED.said(owner="go", files="a.go", ran="pytest: 2 passed"),))
    assert tale.judge(owner=owner_of).runs == ()


def test_a_run_of_another_package_of_the_same_ecosystem_proves_nothing() -> None:
    tale = Tale(**{"packages/a/x.js": "1", "packages/b/x.js": "1"})
    tale.edit("packages/b/x.js")
    jest: dict[str, Any] = {"runner": "jest", "command": "npx jest", "ecosystem": "JavaScript"}
    tale.run(green=["packages/a/a.test.js::adds"], folder="packages/a", **jest)
    said = REACHED.said(owner="packages/b", files="packages/b/x.js", ran="jest: 1 passed")
    assert judged(tale) == ("not_verified", (said,))
    tale.run(green=["packages/b/b.test.js::adds"], folder="packages/b", **jest)
    assert judged(tale) == ("verified", ())


def test_a_task_of_the_projects_own_proves_what_lies_below_it() -> None:
    tale = Tale(**{"packages/b/x.js": "1", "a.go": "1"})
    tale.edit("packages/b/x.js")
    make: dict[str, Any] = {"runner": "make test", "command": "make test", "ecosystem": ""}
    tale.run(verdict="passed", folder="packages/a", **make)
    assert judged(tale)[0] == "not_verified"
    tale.run(verdict="passed", folder="packages", **make)
    assert judged(tale) == ("verified", ())
    tale.edit("a.go")
    tale.run(verdict="passed", folder=".", **make)
    assert judged(tale) == ("verified", ())


def test_a_file_that_no_project_owns_and_one_that_any_ecosystem_may_own_are_proven_by_what_ran_there() -> None:
    tale = Tale(**{"README.md": "1", "settings.toml": "1", "packages/b/x.toml": "1"})
    tale.edit("README.md")
    tale.edit("settings.toml")
    tale.run(green=[A], **PY)
    assert judged(tale) == ("verified", ())
    tale.edit("packages/b/x.toml")
    tale.run(green=[A], **PY)
    said = REACHED.said(owner="packages/b", files="packages/b/x.toml", ran="pytest: 1 passed")
    assert judged(tale) == ("not_verified", (said,))


def test_a_log_of_an_older_build_says_nothing_of_projects_and_its_runs_prove_as_they_did() -> None:
    tale = Tale(**{"a.go": "1"})
    tale.edit("a.go")
    tale.run(green=[A])
    assert judged(tale) == ("verified", ())


# Joint runs


def test_a_joint_run_is_as_many_runs_as_it_has_projects() -> None:
    tale = Tale(**{"a.go": "1"})
    tale.edit("a.go")
    tale.edit("src/a.py")
    parts = (part("passed", A, B, whole=True, **PY), part("failed", "a_test.go::TestA", whole=True, **GO))
    joint: dict[str, Any] = {"runner": "pytest + go test", "command": "pytest; go test ./...", "folder": "."}
    tale.run(green=[A, B], red=["a_test.go::TestA"], parts=parts, **joint)
    found = tale.judge(owner=owner_of)
    assert (found.verdict, found.passed, found.failed, found.still_red) == ("not_verified", 2, 1, ())
    assert found.unproven == ()  # that a test of Go failed is the reason, not that none ran
    assert [(each.command, each.outcome) for each in found.runs] == [("pytest", "passed"), ("go test ./...", "failed")]
    assert found.last is not None
    assert (found.last.runner, found.last.parts) == ("pytest + go test", ())
    tale.edit("a.go", "3")
    mended = (part("passed", A, B, whole=True, **PY), part("passed", "a_test.go::TestA", whole=True, **GO))
    tale.run(green=[A, B, "a_test.go::TestA"], parts=mended, **joint)
    found = tale.judge(owner=owner_of)
    assert (found.verdict, found.passed, found.fixed) == ("verified", 3, ("a_test.go::TestA",))


def test_a_project_of_a_joint_run_in_which_no_test_was_found_is_not_proven_by_the_others() -> None:
    tale = Tale(**{"a.go": "1"})
    tale.edit("a.go")
    parts = (part("passed", A, whole=True, **PY), part("none_ran", whole=True, **GO))
    tale.run(green=[A], parts=parts, unrun=(".: go test found no tests",), folder=".")
    assert judged(tale) == ("not_verified", (REACHED.said(owner="go", files="a.go", ran="pytest: 1 passed"),))
    tale.edit("a.go", "1")
    tale.edit("src/a.py")
    tale.run(green=[A], parts=parts, unrun=(".: go test found no tests",), folder=".")
    assert judged(tale) == ("verified", ())


@pytest.mark.parametrize(
    ("unrun", "changed", "verified"),
    [
        ("packages/b: npm is not installed", "packages/a/x.js", True),
        ("packages/b: npm is not installed", "packages/b/x.js", False),
        ("packages/b/b.test.js (not in the test folder)", "packages/b/x.js", False),
        ("packages/b/b.test.js (not in the test folder)", "packages/a/x.js", True),
        ("the examples that its filter leaves out (include {:focus=>true})", "packages/a/x.js", False),
    ],
)
def test_what_could_not_be_run_is_named_where_a_changed_file_belongs_to_it(
    unrun: str, changed: str, verified: bool
) -> None:
    tale = Tale(**{"packages/a/x.js": "1", "packages/b/x.js": "1"})
    tale.edit(changed)
    jest: dict[str, Any] = {"runner": "npm test", "command": "npm test", "ecosystem": "", "folder": "."}
    tale.run(green=["packages/a/a.test.js::adds"], unrun=(unrun,), whole=False, **jest)
    said = () if verified else (NONE_LEFT_OUT.said(tests=unrun),)
    assert judged(tale) == ("verified" if verified else "not_verified", said)


# Whole


def narrowed(tale: Tale, target: str, *green: str) -> tuple[str, tuple[str, ...]]:
    tale.run(green=green, arguments={"targets": [target]}, **PY)
    return judged(tale)


def test_a_narrowed_run_that_does_not_reach_the_change_does_not_verify_until_a_whole_one_does() -> None:
    tale = Tale(**{"sub/test_s.py": "def test_s():\n    assert 1\n", "src/c.py": "1"})
    tale.edit("src/c.py")
    said = WHOLE.said(scope="sub", files="src/c.py")
    assert said == "only sub was run, which does not plainly reach src/c.py"
    assert narrowed(tale, "sub", "sub/test_s.py::test_s") == ("not_verified", (said,))
    tale.run(green=[A, "sub/test_s.py::test_s"], **PY)
    assert judged(tale) == ("verified", ())
    assert tale.judge(owner=owner_of).scope == ""


def test_a_narrowed_run_after_a_whole_one_on_the_same_files_takes_nothing_away() -> None:
    tale = Tale(**{"sub/test_s.py": "1"})
    tale.edit("src/c.py")
    tale.run(green=[A, "sub/test_s.py::test_s"], **PY)
    assert narrowed(tale, "sub", "sub/test_s.py::test_s") == ("verified", ())
    assert tale.judge(owner=owner_of).scope == ""
    assert tale.judge(owner=owner_of).passed == 2


def test_a_narrowed_run_of_tests_that_import_the_change_or_of_the_changed_tests_verifies() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    assert narrowed(tale, "tests/test_x.py", A, B) == ("verified", ())
    assert tale.judge(owner=owner_of).scope == "narrowed: tests/test_x.py"
    tale.edit("tests/test_x.py", "def test_a():\n    assert 2\n")
    assert narrowed(tale, "tests/test_x.py", A)[0] == "not_verified"  # it no longer imports src/a.py
    tale.edit("src/a.py", "1")
    assert narrowed(tale, "tests/test_x.py", A) == ("verified", ())


def test_a_narrowed_run_verifies_where_it_holds_a_test_that_was_red_in_this_turn() -> None:
    tale = Tale(**{"sub/test_s.py": "def test_s():\n    assert 1\n"})
    tale.run(red=["sub/test_s.py::test_s"], green=[A], **PY)
    tale.edit("src/c.py")
    assert narrowed(tale, "sub", "sub/test_s.py::test_s") == ("verified", ())


def test_without_snapshots_a_narrowed_run_is_not_known_to_reach_anything() -> None:
    tale = Tale()
    tale.snapshots = False
    tale.edit("src/a.py")
    assert narrowed(tale, "tests/test_x.py", A)[0] == "not_verified"


def test_a_document_needs_no_test_that_reaches_it_and_other_files_do() -> None:
    tale = Tale(**{"README.md": "1", "data.csv": "1"})
    tale.edit("README.md")
    tale.edit("src/a.py")
    assert narrowed(tale, "tests/test_x.py", A) == ("verified", ())
    tale.edit("data.csv")
    assert narrowed(tale, "tests/test_x.py", A)[0] == "not_verified"


@pytest.mark.parametrize(
    ("command", "verified"),
    [("pytest", True), ("python -m pytest -q", True), ("pytest sub", False), ("pytest -k s", False)],
)
def test_a_command_of_the_models_own_counts_as_whole_where_it_plainly_is(command: str, verified: bool) -> None:
    tale = Tale(**{"sub/test_s.py": "1"})
    tale.edit("src/c.py")
    given = {**PY, "command": command}
    tale.run(green=["sub/test_s.py::test_s"], arguments={"command": command}, **given)
    said = () if verified else (WHOLE.said(scope=command, files="src/c.py"),)
    assert judged(tale) == ("verified" if verified else "not_verified", said)


def test_an_exit_code_of_the_models_own_command_beside_a_real_run_neither_adds_nor_takes() -> None:
    tale = Tale()
    tale.edit("src/c.py")
    tale.run(verdict="passed", runner="command", command="true", arguments={"command": "true"}, folder=".")
    assert tale.judge(owner=owner_of).trouble == ONLY_EXIT_CODE_KNOWN
    tale.run(green=[A], **PY)
    tale.run(verdict="passed", runner="command", command="true", arguments={"command": "true"}, folder=".")
    found = tale.judge(owner=owner_of)
    assert (found.verdict, found.trouble, found.passed) == ("verified", "", 1)
    assert found.last is not None
    assert found.last.command == "pytest"


# Settled

NPM: dict[str, Any] = {"runner": "npm test", "command": "npm test", "ecosystem": "", "folder": "."}
JEST: dict[str, Any] = {"runner": "jest", "command": "npx jest", "ecosystem": "JavaScript", "folder": "."}


@pytest.mark.parametrize(
    ("outcome", "how"),
    [
        ("run_failed", "failed"),
        ("failed", "failed"),
        ("broken", "broke off"),
        ("timed_out", "timed out"),
        ("none_ran", "ran no test"),
    ],
)
def test_a_run_that_did_not_pass_is_not_made_up_for_by_another_command(outcome: str, how: str) -> None:
    tale = Tale(**{"x.js": "1"})
    tale.edit("x.js")
    tale.run(verdict=outcome, green=["a.test.js::adds"], **NPM)
    tale.run(green=["a.test.js::adds"], arguments={"command": "npx jest"}, **JEST)
    assert judged(tale) == ("not_verified", (SETTLED.said(command="npm test", how=how),))
    tale.run(verdict="passed", green=["a.test.js::adds"], **NPM)
    assert judged(tale) == ("verified", ())


def test_a_whole_run_of_our_own_choosing_makes_up_for_a_command_of_the_models_own() -> None:
    tale = Tale(**{"x.js": "1"})
    tale.edit("x.js")
    tale.run(verdict="broken", arguments={"command": "jest --bogus"}, **{**JEST, "command": "jest --bogus"})
    tale.run(green=["a.test.js::adds"], arguments={"targets": ["x.js"]}, **{**JEST, "command": "npx jest x.js"})
    assert judged(tale)[1][-1:] == (SETTLED.said(command="jest --bogus", how="broke off"),)
    tale.run(green=["a.test.js::adds"], **JEST)
    assert judged(tale) == ("verified", ())


def test_a_whole_run_of_another_project_makes_up_for_nothing() -> None:
    tale = Tale(**{"a.go": "1"})
    tale.edit("src/a.py")
    tale.run(verdict="broken", **GO)
    tale.run(green=[A], **PY)
    assert judged(tale) == ("not_verified", (SETTLED.said(command="go test ./...", how="broke off"),))


def test_a_run_of_which_each_red_test_was_read_is_made_up_for_by_their_turning_green() -> None:
    tale = Tale()
    tale.run(red=[A], green=[B], **PY)
    tale.edit("src/a.py")
    assert narrowed(tale, "tests/test_x.py", A) == ("verified", ())


def test_a_run_that_broke_off_is_not_made_up_for_by_the_tests_that_it_had_come_to() -> None:
    tale = Tale()
    tale.run(verdict="broken", red=[A], **PY)
    tale.edit("src/a.py")
    said = SETTLED.said(command="pytest", how="broke off")
    tale.run(green=[A], arguments={"targets": ["tests/test_x.py"]}, **{**PY, "command": "pytest tests/test_x.py"})
    assert judged(tale) == ("not_verified", (said,))


def test_a_run_of_our_own_choosing_is_not_made_up_for_by_a_narrower_command_of_the_models_own() -> None:
    tale = Tale()
    tale.run(red=[A], green=[B], **PY)
    tale.edit("src/a.py")
    own = {**PY, "command": "pytest tests/test_x.py"}
    tale.run(green=[A, B], arguments={"command": "pytest tests/test_x.py"}, **own)
    assert judged(tale) == ("not_verified", (SETTLED.said(command="pytest", how="failed"),))


def test_two_commands_of_the_models_own_make_up_for_each_other_by_the_tests_that_were_read() -> None:
    tale = Tale()
    tale.run(red=[A], green=[B], arguments={"command": "pytest -q"}, **{**PY, "command": "pytest -q"})
    tale.edit("src/a.py")
    own = {**PY, "command": "pytest -q tests/test_x.py"}
    tale.run(green=[A, B], arguments={"command": own["command"]}, **own)
    assert judged(tale) == ("verified", ())


def test_a_run_that_failed_is_not_made_up_for_by_one_that_found_no_tests() -> None:
    tale = Tale(**{"a.go": "1"})
    tale.edit("src/a.py")
    tale.run(verdict="broken", **GO)
    parts = (part("passed", A, whole=True, **PY), part("none_ran", whole=True, **GO))
    tale.run(green=[A], parts=parts, unrun=(".: go test found no tests",), folder=".")
    assert judged(tale) == ("not_verified", (SETTLED.said(command="go test ./...", how="broke off"),))


def test_a_command_that_fails_again_is_reported_once() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(verdict="broken", **PY)
    tale.edit("src/a.py", "3")
    tale.run(verdict="broken", **PY)
    assert judged(tale) == ("not_verified", ())


def test_a_selection_that_fitted_no_test_hides_nothing() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(verdict="none_ran", arguments={"name": "typo"}, **{**PY, "command": "pytest -k typo"})
    assert narrowed(tale, "tests/test_x.py", A) == ("verified", ())


def test_a_run_that_failed_in_an_earlier_turn_is_not_asked_for_again() -> None:
    tale = Tale(**{"x.js": "1"})
    tale.edit("x.js")
    tale.run(verdict="run_failed", green=["a.test.js::adds"], **NPM)
    tale.say("go on")
    tale.edit("x.js", "3")
    tale.run(green=["a.test.js::adds"], **JEST)
    assert judged(tale) == ("verified", ())


def test_a_turn_without_changes_is_not_green_while_a_run_of_it_is_unsettled() -> None:
    tale = Tale()
    tale.run(verdict="run_failed", green=["a.test.js::adds"], **NPM)
    tale.run(green=["a.test.js::adds"], arguments={"command": "npx jest"}, **JEST)
    found = tale.judge(owner=owner_of)
    assert (found.verdict, found.is_green) == ("none_needed", False)


def test_a_run_that_failed_although_its_tests_passed_verifies_nothing() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(verdict="run_failed", green=[A], exit_code=1, trouble="all 1 passed, but the run failed", **PY)
    found = tale.judge(owner=owner_of)
    assert (found.verdict, found.passed, found.unproven) == ("not_verified", 1, ())


def test_a_run_on_the_files_of_now_proves_them_although_a_later_one_ran_on_others() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(green=[A], **PY)
    tale.edit("src/a.py", "3")
    tale.run(green=[A], **PY)
    tale.edit("src/a.py", "2")
    assert judged(tale) == ("verified", ())
    tale.edit("src/a.py", "4")
    tale.run(red=[A], **PY)
    tale.edit("src/a.py", "2")
    found = tale.judge(owner=owner_of)
    assert (found.verdict, found.still_red, found.unproven) == ("not_verified", (A,), ())


def test_red_accounted_for_is_said_by_its_rule() -> None:
    assert RED_ACCOUNTED.said(tests=A) == f"failed in this turn, and nothing shows that it was mended: {A}"


# Test files that no run looked at


@pytest.mark.parametrize(
    ("path", "text", "proven"),
    [
        ("tests/check_b.py", "def test_b():\n    assert 0\n", False),
        ("tests/check_b.py", "def helper():\n    return 0\n", True),  # nothing in it for a runner
        ("tests/base.py", "class Base:\n    def test_b(self):\n        assert 0\n", True),  # the tests import it
        ("tests/test_x.py", None, True),
    ],
)
def test_a_test_file_of_which_a_whole_run_ran_none_is_not_proven(path: str, text: str | None, proven: bool) -> None:
    tale = Tale(**{"tests/test_x.py": "from tests.base import Base\ndef test_a():\n    assert 1\n"})
    tale.edit(path, text or "from tests.base import Base\ndef test_a():\n    assert 2\n")
    tale.run(green=[A, B], **PY)
    assert judged(tale) == (
        ("verified", ()) if proven else ("not_verified", (NONE_LEFT_OUT.said(tests="tests/check_b.py"),))
    )
