"""What is proven at the end of a turn: read from hand-made logs and the trees that they name."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from kimi_agent.errors import UserError
from kimi_agent.log.events import CallStarted, Checkpoint, Queued, Rewound, Said
from kimi_agent.log.messages import Assistant, Call, user_message
from kimi_agent.log.views import DiffView, Evidence, FileDiff, Result, TestCase, Weakened
from kimi_agent.verify.evidence import (
    CHANGES_SINCE_RUN_UNKNOWN,
    CHANGES_UNKNOWN,
    judge_turn,
)
from kimi_agent.verify.proof import ONLY_EXIT_CODE_KNOWN
from kimi_agent.verify.run_history import read_run_history
from kimi_agent.workspace.testrun.proof_rules import RED_ACCOUNTED
from tests.golden_texts import Golden
from tests.log.conftest import rich_story, stamped
from tests.verify.tale import ONE, TWO, A, B, C, Tale


def verdict(tale: Tale) -> tuple[str, tuple[str, ...]]:
    found = tale.judge()
    return found.verdict, found.changed_since


def test_red_then_an_edit_then_green_is_verified_and_says_what_was_fixed() -> None:
    tale = Tale()
    tale.run(red=[A], green=[B])
    tale.edit("src/a.py")
    tale.run(green=[A, B])
    found = tale.judge()
    assert (found.verdict, found.fixed, found.files, found.changed_since) == ("verified", (A,), ("src/a.py",), ())
    assert (found.passed, found.failed, found.skipped, found.scope, found.tree) == (2, 0, 0, "", tale.tree())
    assert found.last is not None
    assert found.last.cases == ()  # its passing cases are counted, not kept


def test_a_model_that_says_all_tests_pass_without_a_run_is_contradicted() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.answers("I ran the tests: all tests pass!")
    found = tale.judge()
    assert (found.verdict, found.files, found.last) == ("no_tests", ("src/a.py",), None)


def test_a_claim_after_a_red_run_does_not_count() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(red=[A], green=[B])
    tale.answers("All tests pass.")
    found = tale.judge()
    assert (found.verdict, found.failed, found.fixed, found.still_red) == ("not_verified", 1, (), ())
    assert found.last is not None
    assert [case.id for case in found.last.cases] == [A]


def test_an_edit_after_the_run_is_named() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(green=[A, B])
    tale.edit("src/a.py", "3")
    tale.shell(new="x")
    assert verdict(tale) == ("not_verified", ("new.py", "src/a.py"))


def test_a_change_by_the_person_after_the_run_counts_as_well() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(green=[A])
    tale.files["user.py"] = "mine"
    found = tale.judge()
    assert (found.verdict, found.changed_since, found.files) == ("not_verified", ("user.py",), ("src/a.py",))


def test_a_change_that_was_taken_back_is_none() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(green=[A, B])
    tale.edit("src/a.py", "3")
    tale.edit("src/a.py", "2")
    assert verdict(tale) == ("verified", ())


def test_what_the_person_changes_between_the_calls_is_not_an_edit_of_the_turn() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.files["user.py"] = "mine"
    tale.shell(other="x")
    tale.run(green=[A, B])
    assert tale.judge().files == ("src/a.py", "other.py")


def test_a_turn_that_changed_nothing_needs_no_tests() -> None:
    tale = Tale()
    tale.shell()
    assert tale.judge() == Evidence("none_needed", tale.tree())


def test_a_file_made_and_removed_again_needs_no_tests() -> None:
    tale = Tale()
    tale.shell(scratch="print(1)")
    tale.shell(scratch=None)
    assert tale.judge().verdict == "none_needed"


def test_a_turn_without_edits_still_says_how_its_tests_went() -> None:
    tale = Tale()
    tale.run(red=[A], green=[B])
    found = tale.judge()
    assert (found.verdict, found.passed, found.failed) == ("none_needed", 1, 1)
    assert found.last is not None


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        ({"verdict": "broken", "error": ["tests/test_x.py"]}, (0, 1)),
        ({"verdict": "timed_out", "green": [A], "running": B}, (1, 0)),
        ({"verdict": "none_ran"}, (0, 0)),
        ({"verdict": "none_ran", "skipped": [A, B]}, (0, 0)),
        ({"verdict": "failed", "red": [A], "green": [B]}, (1, 1)),
    ],
)
def test_only_a_run_that_passed_verifies(given: dict[str, Any], counts: tuple[int, int]) -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(**given)
    found = tale.judge()
    assert (found.verdict, found.passed, found.failed) == ("not_verified", *counts)


def test_a_narrowed_run_that_passes_is_verified_and_names_its_targets() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(green=[A], arguments={"targets": [A]})
    found = tale.judge()
    assert (found.verdict, found.passed, found.scope) == ("verified", 1, f"narrowed: {A}")


SCOPED: Sequence[Any] = (
    {"targets": ["tests", "more"], "name": "x y"},
    {"targets": "tests"},
    {"failed_only": True},
    {"command": "make check"},
    {"targets": 7, "name": None},
    ["what"],
)


def test_the_scope_of_a_run_is_read_from_its_call(golden: Golden) -> None:
    def scope(arguments: Any) -> str:
        tale = Tale()
        tale.run(green=[A], arguments=arguments)
        return tale.judge().scope

    assert [bool(scope(arguments)) for arguments in SCOPED] == [True] * 4 + [False] * 2
    golden(*(f"{json.dumps(arguments)} -> {scope(arguments)}" for arguments in SCOPED[:4]))


def test_a_narrowed_run_that_leaves_out_what_is_known_to_be_red_does_not_verify() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(red=[A], green=[B])
    tale.edit("src/a.py", "3")
    tale.run(green=[B], arguments={"targets": [B]})
    found = tale.judge()
    assert (found.verdict, found.still_red, found.failed) == ("not_verified", (A,), 0)


def test_what_was_red_in_an_earlier_turn_is_remembered_and_counts_as_fixed_when_it_turns_green() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(red=[A], green=[B])
    tale.say("and now?")
    tale.edit("src/a.py", "3")
    tale.run(green=[B], arguments={"targets": [B]})
    assert tale.judge().still_red == (A,)
    tale.run(green=[A], arguments={"targets": [A]})
    found = tale.judge()
    assert (found.verdict, found.still_red, found.fixed) == ("verified", (), (A,))


def test_what_the_turn_broke_and_mended_itself_is_not_called_fixed() -> None:
    tale = Tale()
    tale.run(green=[A, B])
    tale.edit("src/a.py")
    tale.run(red=[A], green=[B])
    tale.edit("src/a.py", "3")
    tale.run(green=[A, B])
    found = tale.judge()
    assert (found.verdict, found.fixed, found.broke) == ("verified", (), ())


def test_a_test_that_the_person_broke_before_the_turn_counts_as_fixed() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(green=[A, B])
    tale.files["src/a.py"] = "broken by the person"
    tale.say("it fails now")
    tale.run(red=[A], green=[B])
    tale.edit("src/a.py", "4")
    tale.run(green=[A, B])
    assert tale.judge().fixed == (A,)


def test_a_new_test_that_was_seen_red_first_counts_as_fixed() -> None:
    tale = Tale()
    tale.edit("tests/test_x.py", TWO + "\n\ndef test_c():\n    assert h()\n")
    tale.run(green=[A, B], red=[C])
    tale.edit("src/a.py")
    tale.run(green=[A, B, C])
    found = tale.judge()
    assert (found.verdict, found.fixed, found.weakened) == ("verified", (C,), ())


def test_what_the_turn_broke_is_told() -> None:
    tale = Tale()
    tale.run(green=[A, B])
    tale.edit("src/a.py")
    tale.run(green=[A], red=[B])
    found = tale.judge()
    assert (found.verdict, found.broke) == ("not_verified", (B,))


def test_a_test_that_fails_and_passes_on_the_same_files_is_flaky_not_fixed() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(("junk.xml", "1"), red=[A], green=[B])
    tale.run(green=[A, B])
    found = tale.judge()
    assert (found.verdict, found.flaky, found.fixed) == ("not_verified", (A,), ())


def test_a_command_between_two_runs_may_have_mended_what_no_tree_shows() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(red=[A], green=[B])
    tale.shell()  # pip install, say
    tale.run(green=[A, B])
    found = tale.judge()
    assert (found.verdict, found.flaky, found.fixed) == ("verified", (), (A,))


def test_what_the_person_did_between_two_runs_is_no_flakiness() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(red=[A])
    tale.files["src/a.py"] = "mended by the person"
    tale.run(green=[A])
    assert (tale.judge().flaky, tale.judge().fixed) == ((), (A,))
    tale.files["src/a.py"] = "broken by the person"
    tale.run(red=[A])
    tale.say("I installed what was missing")
    tale.run(green=[A])
    assert (tale.judge().flaky, tale.judge().fixed) == ((), (A,))


def test_a_golden_file_that_the_first_run_wrote_makes_the_second_pass_without_flakiness() -> None:
    tale = Tale(**{"tests/golden.txt": "old"})
    tale.edit("src/a.py")
    tale.run(("tests/golden.txt", "new"), red=[A])
    tale.run(green=[A])
    assert (tale.judge().verdict, tale.judge().flaky, tale.judge().fixed) == ("verified", (), (A,))


def test_a_repeated_run_in_which_a_test_failed_at_times_is_flaky() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(green=[B], cases=(TestCase(A, "failed", runs=5, failures=2),), repeats=5)
    found = tale.judge()
    assert (found.verdict, found.flaky) == ("not_verified", (A,))


def test_a_flaky_test_is_mended_by_two_green_runs_on_the_files_of_now_and_by_no_less() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(red=[A])
    tale.run(green=[A])
    tale.edit("src/a.py", "3")
    tale.run(green=[A])
    assert (tale.judge().verdict, tale.judge().flaky, tale.judge().fixed) == ("not_verified", (A,), ())
    tale.run(green=[A])
    assert (tale.judge().verdict, tale.judge().flaky, tale.judge().fixed) == ("verified", (), (A,))


def test_two_green_runs_of_one_call_mend_a_flaky_test_too() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(red=[A])
    tale.run(green=[A])
    tale.edit("src/a.py", "3")
    tale.run(green=[A], repeats=2)
    assert (tale.judge().verdict, tale.judge().flaky) == ("verified", ())


def test_a_test_that_was_flaky_and_was_not_red_in_this_turn_asks_for_no_second_run() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(red=[A])
    tale.run(green=[A])
    tale.say("next")
    tale.edit("src/a.py", "3")
    tale.run(green=[A, B])
    assert (tale.judge().verdict, tale.judge().flaky) == ("verified", ())


def test_green_runs_before_the_last_red_one_do_not_count() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    for outcomes in ({"green": [A]}, {"green": [A]}, {"red": [A]}, {"green": [A]}):
        given: dict[str, Any] = dict(outcomes)
        tale.run(**given)
    assert (tale.judge().verdict, tale.judge().flaky) == ("not_verified", (A,))
    tale.run(green=[A])
    assert (tale.judge().verdict, tale.judge().flaky) == ("verified", ())


def test_a_red_test_that_the_runner_has_to_run_again_each_time_is_not_mended_by_two_such_runs() -> None:
    tale = Tale()
    tale.run(red=[A], green=[B])
    tale.edit("src/a.py")
    for _ in range(2):
        tale.run(green=[B], cases=(TestCase(A, "passed", runs=2, failures=1),))
    assert (tale.judge().verdict, tale.judge().flaky) == ("not_verified", (A,))
    for _ in range(2):
        tale.run(green=[A, B])
    assert (tale.judge().verdict, tale.judge().flaky) == ("verified", ())


def test_what_the_runner_itself_ran_again_is_told_and_verified() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(green=[B], cases=(TestCase(A, "passed", runs=2, failures=1),))
    found = tale.judge()
    assert (found.verdict, found.flaky, found.retried, found.passed) == ("verified", (), (A,), 2)


def test_a_red_test_that_is_green_only_because_the_runner_ran_it_again_is_not_mended() -> None:
    tale = Tale()
    tale.run(red=[A], green=[B])
    tale.edit("src/a.py")
    tale.run(green=[B], cases=(TestCase(A, "passed", runs=2, failures=1),))
    found = tale.judge()
    assert (found.verdict, found.flaky, found.fixed) == ("not_verified", (A,), ())


def test_what_a_test_run_leaves_behind_is_no_edit() -> None:
    tale = Tale()
    tale.run((".coverage", "1"), green=[A])
    tale.run((".coverage", "2"), green=[A])
    found = tale.judge()
    assert (found.verdict, found.files) == ("none_needed", ())


def test_a_golden_file_that_a_test_run_writes_anew_is_an_edit() -> None:
    tale = Tale(**{"tests/golden.txt": "old"})
    tale.run(("tests/golden.txt", "new"), green=[A])
    found = tale.judge()
    assert (found.verdict, found.files) == ("verified", ("tests/golden.txt",))


def test_litter_of_a_run_does_not_make_its_verdict_stale() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run((".coverage", "1"), ("junk.xml", "1"), green=[A, B])
    assert verdict(tale) == ("verified", ())
    assert tale.judge().files == ("src/a.py",)


def test_an_earlier_run_on_the_very_files_that_stand_now_speaks_for_them() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.files["src/b.py"] = "1"
    tale.run(green=[A, B])
    tale.files["src/b.py"] = "from the person"
    tale.say("take that back")
    tale.edit("src/b.py", "1")
    found = tale.judge()
    assert (found.verdict, found.files, found.passed) == ("verified", ("src/b.py",), 2)


def test_an_earlier_run_on_other_files_does_not_speak() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(green=[A, B])
    tale.say("more")
    tale.edit("src/a.py", "3")
    found = tale.judge()
    assert (found.verdict, found.last, found.files) == ("no_tests", None, ("src/a.py",))


def test_what_was_red_when_last_run_is_told_where_no_tests_were_run() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(red=[A], green=[B])
    tale.say("more")
    tale.edit("src/a.py", "3")
    assert (tale.judge().verdict, tale.judge().still_red) == ("no_tests", (A,))


def test_a_message_that_joins_a_running_turn_begins_no_new_one() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    queued = tale.tell(Queued(user_message("also this")))
    tale.tell(Said(user_message("also this"), queued=queued))
    tale.run(green=[A])
    assert (tale.judge().verdict, tale.judge().files) == ("verified", ("src/a.py",))


def test_the_prompt_of_a_child_begins_no_turn_and_its_edits_count() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.tell(Said(user_message("you, child, do this")), agent="main.1")
    tale.edit("src/b.py")
    assert tale.judge().files == ("src/a.py", "src/b.py")


def test_a_call_that_was_interrupted_is_read_from_the_trees_around_it() -> None:
    tale = Tale()
    answer = tale.tell(Said(Assistant("", None, (Call("c", "shell", "{}"),))))
    tale.tell(Checkpoint(tale.tree(), "before", answer))
    tale.tell(CallStarted(answer, 0, "shell", "execute"))
    tale.files["src/a.py"] = "half"
    assert tale.judge().files == ("src/a.py",)
    tale.tell(Checkpoint(tale.tree(), "after", answer))  # as a resume tells it
    assert tale.judge().files == ("src/a.py",)


# Where no snapshot could be taken


def test_without_snapshots_the_edits_that_tools_told_of_are_judged() -> None:
    tale = Tale()
    tale.snapshots = False
    tale.edit("src/a.py")
    tale.run(green=[A, B])
    assert verdict(tale) == ("verified", ())
    tale.edit("src/b.py")
    assert verdict(tale) == ("not_verified", ("src/b.py",))
    assert tale.judge().files == ("src/a.py", "src/b.py")


def test_without_snapshots_a_command_after_the_run_leaves_it_open() -> None:
    tale = Tale()
    tale.snapshots = False
    tale.edit("src/a.py")
    tale.run(green=[A, B])
    tale.shell()
    found = tale.judge()
    assert (found.verdict, found.trouble) == ("not_verified", CHANGES_SINCE_RUN_UNKNOWN)


def test_a_snapshot_that_failed_at_the_end_leaves_only_what_calls_changed() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(green=[A, B])
    assert tale.judge(now="").verdict == "verified"
    tale.shell(other="x")
    found = tale.judge(now="")
    assert (found.verdict, found.changed_since) == ("not_verified", ("other.py",))


def test_a_tree_that_is_gone_is_not_known() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(green=[A, B])
    tale.shell(other="x")

    def gone(old: str, new: str) -> Sequence[str]:
        raise UserError("the snapshot is gone")

    def lost(tree: str, path: str) -> str | None:
        raise UserError("the snapshot is gone")

    found = judge_turn(tale.log, now=tale.tree(), changed=gone, text=lost)
    assert (found.verdict, found.files, found.trouble) == ("not_verified", ("src/a.py",), CHANGES_SINCE_RUN_UNKNOWN)


def test_an_edit_that_no_tree_shows_counts_by_the_word_of_its_tool() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(green=[A, B])
    outside = DiffView((FileDiff("/elsewhere/x.py", "M", 1, 0, ""),))
    tale.call("edit_file", "write", {}, {}, Result("ok", outside))
    found = tale.judge()
    assert (found.verdict, found.changed_since) == ("not_verified", ("/elsewhere/x.py",))
    assert found.files == ("src/a.py", "/elsewhere/x.py")


def test_an_edit_that_failed_changed_nothing() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(green=[A])
    view = DiffView((FileDiff("src/a.py", "M", 1, 0, ""),))
    tale.call("edit_file", "write", {}, {}, Result("Error", view, failed=True, code="stale"))
    assert verdict(tale) == ("verified", ())
    tale.snapshots = False
    tale.call("edit_file", "write", {}, {}, Result("Error", view, failed=True, code="stale"))
    assert tale.judge(now="").verdict == "verified"


# Exit codes


def test_an_exit_code_of_the_repositorys_own_command_counts() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(verdict="passed", runner="make test", command="make test")
    found = tale.judge()
    assert (found.verdict, found.passed, found.trouble) == ("verified", 0, "")


def test_a_command_of_the_models_own_that_never_failed_proves_nothing() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(verdict="passed", runner="command", command="true", arguments={"command": "true"})
    found = tale.judge()
    assert (found.verdict, found.trouble, found.scope) == ("not_verified", ONLY_EXIT_CODE_KNOWN, "command: true")


def test_a_command_that_was_seen_to_fail_proves_something_when_it_ends_well() -> None:
    tale = Tale()
    own: dict[str, Any] = {"runner": "command", "command": "./check", "arguments": {"command": "./check"}}
    tale.run(verdict="failed", **own)
    tale.edit("src/a.py")
    tale.run(verdict="passed", **own)
    found = tale.judge()
    assert (found.verdict, found.fixed) == ("verified", ("./check",))


def test_a_command_that_failed_is_still_red_until_more_is_known() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(verdict="failed", runner="command", command="npm tset", arguments={"command": "npm tset"})
    tale.run(green=[A], arguments={"targets": [A]})
    assert tale.judge().still_red == ("npm tset",)
    tale.run(green=[A, B])
    found = tale.judge()
    assert (found.verdict, found.still_red) == ("verified", ())


def test_a_command_that_failed_in_an_earlier_turn_does_not_haunt_the_session() -> None:
    tale = Tale()
    tale.run(verdict="failed", runner="command", command="npm tset", arguments={"command": "npm tset"})
    tale.say("go on")
    tale.edit("src/a.py")
    tale.run(green=[A], arguments={"targets": [A]})
    assert tale.judge().verdict == "verified"


def test_a_file_that_could_not_be_loaded_is_green_when_its_tests_run() -> None:
    tale = Tale()
    tale.run(error=["tests/test_x.py"])
    tale.edit("src/a.py")
    tale.run(green=["tests/test_y.py::test_y"], arguments={"targets": ["tests/test_y.py"]})
    assert tale.judge().still_red == ("tests/test_x.py",)
    tale.run(green=[A, B], arguments={"targets": ["tests/test_x.py"]})
    found = tale.judge()
    assert (found.verdict, found.still_red, found.fixed) == ("verified", (), ("tests/test_x.py",))


# Tests that prove less


def test_a_red_test_that_was_deleted_is_told_as_weakened_and_not_as_red() -> None:
    tale = Tale()
    tale.run(red=[B], green=[A])
    tale.edit("tests/test_x.py", ONE)
    tale.run(green=[A])
    found = tale.judge()
    assert (found.verdict, found.still_red, found.fixed) == ("not_verified", (), ())
    assert found.unproven == (RED_ACCOUNTED.said(tests=B),)
    assert found.weakened == (Weakened("tests/test_x.py", B, "deleted"),)


def test_a_red_test_that_was_deleted_and_passed_over_by_a_narrowed_run_is_told_likewise() -> None:
    tale = Tale()
    tale.run(red=[B], green=[A])
    tale.edit("tests/test_x.py", ONE)
    tale.run(green=[A], arguments={"targets": [A]})
    found = tale.judge()
    assert (found.still_red, found.weakened) == ((), (Weakened("tests/test_x.py", B, "deleted"),))
    tale.say("next")
    tale.edit("src/a.py", "9")
    tale.run(green=[A], arguments={"targets": [A]})
    assert (tale.judge().verdict, tale.judge().still_red, tale.judge().weakened) == ("verified", (), ())


def test_a_red_test_that_no_file_shows_is_gone_when_a_whole_run_passes_without_it() -> None:
    made = "made/test_m.py::test_m"
    tale = Tale()
    tale.run(red=[made], green=[A])
    tale.edit("src/a.py")
    tale.run(green=[A], arguments={"targets": [A]})
    assert tale.judge().still_red == (made,)
    tale.run(green=[A])
    found = tale.judge()
    assert (found.verdict, found.still_red) == ("not_verified", ())
    assert found.unproven == (RED_ACCOUNTED.said(tests=made),)
    assert found.weakened == (Weakened("made/test_m.py", made, "deleted"),)


def test_a_red_test_that_lost_its_assertion_is_not_fixed() -> None:
    tale = Tale()
    tale.run(red=[A], green=[B])
    tale.edit("tests/test_x.py", TWO.replace("assert f() == 1", "f()"))
    tale.run(green=[A, B])
    found = tale.judge()
    assert (found.verdict, found.fixed, found.unproven) == ("not_verified", (), (RED_ACCOUNTED.said(tests=A),))


def test_a_test_file_that_could_not_be_loaded_and_was_deleted_is_not_mended() -> None:
    tale = Tale(**{"tests/test_y.py": "import gone\n\n\ndef test_y():\n    assert y()\n"})
    tale.run(error=["tests/test_y.py"], green=[A])
    tale.edit("tests/test_y.py", None)
    tale.run(green=[A])
    found = tale.judge()
    assert (found.verdict, found.still_red) == ("not_verified", ())
    assert found.unproven == (RED_ACCOUNTED.said(tests="tests/test_y.py"),)
    assert found.weakened == (Weakened("tests/test_y.py", "tests/test_y.py::test_y", "deleted"),)


def test_a_red_test_that_was_only_renamed_is_still_red_until_it_runs() -> None:
    tale = Tale()
    tale.run(red=[B], green=[A])
    tale.edit("tests/test_x.py", TWO.replace("test_b", "test_c"))
    tale.run(green=[A], arguments={"targets": [A]})
    found = tale.judge()
    assert (found.verdict, found.still_red, found.weakened) == ("not_verified", (B,), ())
    tale.run(green=[A, C])
    found = tale.judge()
    assert (found.verdict, found.still_red, found.weakened) == ("verified", (), ())


def test_fewer_assertions_and_new_skips_are_told() -> None:
    tale = Tale()
    weak = "import pytest\n" + TWO.replace("    assert not f()\n", "").replace(
        "def test_a", "@pytest.mark.skip\ndef test_a"
    )
    tale.edit("tests/test_x.py", weak)
    tale.run(green=[B], skipped=[A])
    assert tale.judge().weakened == (
        Weakened("tests/test_x.py", A, "skipped"),
        Weakened("tests/test_x.py", B, "fewer assertions"),
    )


def test_a_test_that_a_setting_keeps_from_running_is_told_by_the_runs() -> None:
    tale = Tale()
    tale.run(red=[B], green=[A])
    tale.edit("pytest.ini", "[pytest]\naddopts = -k test_a\n")
    tale.run(green=[A])
    assert tale.judge().weakened == (Weakened("tests/test_x.py", B, "skipped"),)


def test_a_test_that_is_skipped_by_a_helper_elsewhere_is_told_by_the_runs() -> None:
    tale = Tale()
    tale.run(green=[A, B])
    tale.edit("conftest.py", "...")
    tale.run(green=[A], skipped=[B])
    found = tale.judge()
    assert (found.skipped, found.weakened) == (1, (Weakened("tests/test_x.py", B, "skipped"),))


def test_parameters_that_changed_are_not_lost_but_those_that_are_gone_are() -> None:
    tale = Tale()
    tale.run(green=[f"{A}[{each}]" for each in (1, 2, 3)])
    tale.edit("src/a.py")
    tale.run(green=[f"{A}[{each}]" for each in (1, 4)])
    assert tale.judge().weakened == (Weakened("tests/test_x.py", f"{A}[3]", "deleted"),)


def test_a_subtest_that_is_gone_is_told_by_the_runs() -> None:
    file = "pkg/a_test.go"
    tale = Tale(**{file: 'func TestA(t *testing.T) { t.Run("x"); t.Run("y") }'})
    given: dict[str, Any] = {"runner": "go test", "command": "go test ./..."}
    tale.run(green=[f"{file}::TestA", f"{file}::TestA/x", f"{file}::TestA/y"], **given)
    tale.edit(file, 'func TestA(t *testing.T) { t.Run("x") }')
    tale.run(green=[f"{file}::TestA", f"{file}::TestA/x"], **given)
    assert tale.judge().weakened == (Weakened(file, f"{file}::TestA/y", "deleted"),)


@pytest.mark.parametrize(
    "later",
    [
        {"red": [A]},  # it may have stopped at its first failure
        {"green": [A], "arguments": {"targets": [A]}},
        {"green": [A], "command": "python -m pytest -x"},
        {"verdict": "broken", "error": ["tests/test_x.py"]},
    ],
)
def test_what_another_kind_of_run_leaves_out_is_not_deleted(later: dict[str, Any]) -> None:
    tale = Tale()
    tale.run(green=[A, B])
    tale.edit("src/a.py")
    tale.run(**later)
    assert tale.judge().weakened == ()


def test_a_test_that_the_person_deleted_between_turns_is_not_laid_at_our_door() -> None:
    tale = Tale()
    tale.run(green=[A, B])
    tale.files["tests/test_x.py"] = ONE
    tale.say("go on")
    tale.edit("src/a.py")
    tale.run(green=[A])
    found = tale.judge()
    assert (found.verdict, found.weakened) == ("verified", ())


def test_a_test_that_moved_to_another_file_is_not_deleted() -> None:
    tale = Tale()
    tale.run(green=[A, B])
    tale.edit("tests/test_x.py", ONE)
    tale.edit("tests/test_y.py", TWO[len(ONE) :])
    tale.run(green=[A, "tests/test_y.py::test_b"])
    found = tale.judge()
    assert (found.verdict, found.weakened) == ("verified", ())


# Rewinds


@pytest.mark.parametrize(
    ("undone", "found"), [(False, ("not_verified", (A,))), (True, ("verified", ()))], ids=["taken back", "undone"]
)
def test_what_ran_on_files_that_a_rewind_took_back_is_forgotten_until_the_rewind_is_undone(
    undone: bool, found: tuple[str, tuple[str, ...]]
) -> None:
    tale = Tale()
    tale.run(red=[A], green=[B])
    old = tale.tree()
    second = tale.say("mend it")
    tale.edit("src/a.py", "mended")
    tale.run(green=[A, B])
    mended = tale.tree()
    back = tale.tell(Rewound(second, "code", mended, old))
    if undone:
        tale.tell(Rewound(back, "code", old, mended, undoes=back))
    tale.files = dict(tale.trees[mended if undone else old])
    tale.say("something else")
    tale.edit("src/b.py")
    tale.run(green=[B], arguments={"targets": [B]})
    assert (tale.judge().verdict, tale.judge().still_red) == found


def test_what_ran_on_the_files_that_a_rewind_brought_back_is_not_forgotten() -> None:
    tale = Tale()
    old = tale.tree()
    second = tale.say("mend it")
    tale.run(red=[A], green=[B])
    tale.edit("src/a.py", "mended")
    new = tale.tree()
    tale.files = dict(tale.trees[old])
    tale.tell(Rewound(second, "both", new, old))
    tale.say("something else")
    tale.edit("src/b.py")
    tale.run(green=[B], arguments={"targets": [B]})
    assert tale.judge().still_red == (A,)


def test_a_rewind_of_the_chat_alone_forgets_no_run() -> None:
    tale = Tale()
    second = tale.say("try")
    tale.run(red=[A])
    tale.tell(Rewound(second, "chat"))
    tale.say("go on")
    tale.edit("src/a.py")
    tale.run(green=[B], arguments={"targets": [B]})
    assert tale.judge().still_red == (A,)


# The ledger itself


def test_runs_are_bound_to_the_trees_before_and_after_them() -> None:
    tale = Tale()
    before = tale.tree()
    seq = tale.run(("junk.xml", "1"), green=[A], red=[B])
    (run,) = read_run_history(tale.log).runs
    assert (run.seq, run.before, run.after) == (seq, before, tale.tree())
    assert (run.red, run.green, run.skipped, run.total) == ((B,), (A,), (), 2)
    assert tale.log[run.answer - 1].event == Said(Assistant("", None, (Call("c", "run_tests", "{}"),)))


def test_the_tree_that_a_report_names_is_the_one_it_ran_on() -> None:
    tale = Tale()
    tale.run(green=[A], tree="feed" * 10)
    assert read_run_history(tale.log).runs[0].before == "feed" * 10


def test_ids_are_no_paths_to_be_trusted() -> None:
    tale = Tale()
    hostile = ["../../etc/passwd\n::test_x", "\x00::a", "::", "", " > ", "[", "x" * 5_000 + "::y"]
    tale.run(red=hostile, green=[A])
    tale.edit("tests/test_x.py", ONE)
    tale.run(green=[A], arguments={"targets": [A]})
    found = tale.judge()
    assert set(found.still_red) == set(hostile)
    assert found.verdict == "not_verified"


def test_a_log_with_every_kind_of_record_is_judged() -> None:
    rich_log = stamped(rich_story())
    for end in range(len(rich_log) + 1):
        found = judge_turn(rich_log[:end], now="t", changed=lambda old, new: ["x.py"], text=lambda tree, path: None)
        assert found.last is None


def test_caps_hold() -> None:
    tale = Tale()
    tale.run(red=[f"t.py::test_{at}" for at in range(3_000)])
    tale.call("shell", "execute", {}, {f"f{at}.py": "x" for at in range(500)}, Result("ok"))
    tale.run(green=[f"t.py::test_{at}" for at in range(3_000)])
    tale.call("shell", "execute", {}, {f"g{at}.py": "x" for at in range(500)}, Result("ok"))
    found = tale.judge()
    assert (len(found.files), len(found.changed_since), len(found.fixed)) == (200, 200, 1_000)


def test_twenty_thousand_cases_over_many_runs_are_no_trouble() -> None:
    tale = Tale()
    many = [f"tests/test_{at % 100}.py::test_{at}" for at in range(19_000)]
    tale.run(red=many[:9_000], green=many[9_000:])
    for each in range(2):
        tale.edit("src/a.py", f"new {each}")
        tale.run(red=many[: 4_000 - each], green=many[4_000 - each : 18_000])
    found = tale.judge()
    assert found.verdict == "not_verified"
    assert len(tale.compared) <= 10


# What the trees do not tell


def test_a_command_around_which_no_snapshot_could_be_taken_may_have_changed_anything() -> None:
    tale = Tale()
    tale.snapshots = False
    tale.shell(src__a="broken")
    found = tale.judge()
    assert (found.verdict, found.files, found.trouble) == ("not_verified", (), CHANGES_UNKNOWN)
    tale.run(green=[A])
    tale.shell(src__a="broken again")
    assert (tale.judge().verdict, tale.judge().trouble) == ("not_verified", CHANGES_SINCE_RUN_UNKNOWN)


def test_an_ignored_file_that_changed_after_the_run_is_named_although_other_trees_do_not_hold_it() -> None:
    tale = Tale()
    tale.edit("src/a.py")
    tale.run(green=[A])
    tale.files["secret.cfg"] = "1"
    asked = tale.tree()
    tale.edit("secret.cfg")
    after = tale.tree()
    del tale.files["secret.cfg"]  # the tree at the end was not asked for it
    found = judge_turn(
        tale.log,
        now=tale.tree(),
        changed=tale.changed,
        text=tale.text,
        apart=lambda tree: ("secret.cfg",) if tree in (asked, after) else (),
    )
    assert (found.verdict, found.changed_since) == ("not_verified", ("secret.cfg",))


@pytest.mark.parametrize(
    ("path", "evidence", "command"),
    [
        ("AGENTS.md", "AGENTS.md", "true"),
        ("Makefile", "Makefile: test", "make test"),
        ("ci/check", "AGENTS.md", "./ci/check"),
    ],
)
def test_an_exit_code_proves_nothing_where_this_turn_wrote_what_ends_well(
    path: str, evidence: str, command: str
) -> None:
    tale = Tale()
    tale.edit(path, "true")
    tale.run(verdict="passed", runner="command", command=command, evidence=evidence)
    assert (tale.judge().verdict, tale.judge().trouble) == ("not_verified", ONLY_EXIT_CODE_KNOWN)
