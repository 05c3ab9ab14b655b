"""Mutants of the evidence code: the rules about a turn, each broken in every place that keeps it."""

from kimi_agent.workspace.testrun.proof_rules import (
    NONE_LEFT_OUT,
    NOT_FLAKY,
    NOTHING_SINCE,
    REACHED,
    RED_ACCOUNTED,
    RUN_SUCCEEDED,
    SETTLED,
    WHOLE,
    ProofRule,
)
from tests.mutation.mutant import Mutant

_VERIFY = "kimi_agent/verify"


def _of(rule: ProofRule, module: str, *changes: tuple[str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(rule.key, f"{_VERIFY}/{module}.py", old, new, "tests/verify") for old, new in changes)


EVIDENCE_MUTANTS = (
    *_of(RUN_SUCCEEDED, "evidence", ('bad = last.call.verdict != "passed" or', "bad =")),
    *_of(
        RUN_SUCCEEDED,
        "run_history",
        ('return self.report.verdict == "passed"', 'return self.report.verdict != "failed"'),
    ),
    *_of(
        REACHED,
        "proof",
        ("            if not reaching:\n", "            if False:\n"),
        ("return owner.ecosystem in (ANY_ECOSYSTEM, report.ecosystem) and", "return"),
        (" and report.folder == owner.folder", ""),
        ("            return _is_below(path, report.folder)\n", "            return True\n"),
    ),
    *_of(REACHED, "run_history", ("for part in call.parts or (call,):", "for part in (call,):")),
    *_of(
        WHOLE,
        "proof",
        ("            elif not any(self._proves_narrowed(run, path) for run in able):\n", "            elif False:\n"),
        (
            "        if is_document(path) or not self._mended.isdisjoint(run.green):\n",
            "        if is_document(path):\n",
        ),
        ("        if is_document(path) or not self._mended", "        if not self._mended"),
        ("    return not may_run_subset(run.report.command)\n", "    return True\n"),
        ("        return run.report.whole or (", "        return ("),
    ),
    *_of(
        WHOLE,
        "import_reach",
        ("MAX_IMPORT_STEPS = 3", "MAX_IMPORT_STEPS = 9"),
        ("        if suffix in _READ or (", "        if ("),
        ("        if path in files:\n            return True\n", ""),
    ),
    *_of(
        NONE_LEFT_OUT,
        "proof",
        ("        named = [each for each in run.report.unrun if", "        named = [each for each in () if"),
        ("if not named and self._passed_over(run, path)", "if False"),
        ('        if " " in left_out or _is_below(path, left_out):', "        if _is_below(path, left_out):"),
        ("        return is_file and (owner", "        return False and (owner"),
    ),
    *_of(
        NOTHING_SINCE,
        "turn_changes",
        ("        return self.since(run) == ((), True)\n", "        return True\n"),
        ("if run.seq <= self._past.turn and self._trees", "if self._trees"),
    ),
    *_of(
        NOTHING_SINCE,
        "evidence",
        (" or since or trouble", " or trouble"),
        ('trouble = "" if sure else', 'trouble = "" if True else'),
    ),
    *_of(
        SETTLED,
        "proof",
        ("            found[key] = run\n", "            pass\n"),
        ("    if not later.passed:\n        return False\n", ""),
        ("    if new.whole and (same_project", "    if (same_project"),
        ("(same_project or run.own_command):", "True:"),
        (" and later.own_command <= run.own_command", ""),
        ('    read_one_by_one = old.verdict == "failed" and', "    read_one_by_one ="),
        ("        if run.seq <= turn or run.passed", "        if run.passed"),
    ),
    *_of(
        SETTLED,
        "proof",
        ("        return not any(run.report.command in each.red for each in self._history)", "        return False"),
        ("(run.own_command or any(find_steering_files(run.report, self._files)))", "run.own_command"),
    ),
    *_of(
        RED_ACCOUNTED,
        "red_tests",
        (
            "            elif self._counts_as_lost(test, run):\n                unaccounted[test] = None\n",
            "            elif self._counts_as_lost(test, run):\n",
        ),
        ("            if known.find(test):\n", "            if known.find(test) and False:\n"),
    ),
    *_of(
        RED_ACCOUNTED,
        "red_tests",
        ("        weakened += self._expectations_changed(_names_of(weakened))\n", ""),
        ("        if not mended or not self._only_tests_changed():", "        if not mended:"),
        ("            if (results or changed.find(test)) and", "            if changed.find(test) and"),
        ("        return is_hook(test) and not any(", "        return not any("),
        ('            if outcomes.state(command) == "green" and', "            if False and"),
        (" or any(map(is_test_config, files))", ""),
        (" or (files and self._only_tests_changed(or_checks=True))", ""),
        ("        if weakened or any(map", "        if any(map"),
        ("        return any(self._steers(path) for", "        return False and any(self._steers(path) for"),
        ('not path.endswith(".json") or scripts_of(old) != scripts_of(new)', "True"),
        (
            "        return is_hook(test) and not any(self._is_named(tree, test) for tree in self._both_trees)",
            "        return is_hook(test)",
        ),
        ("            elif self._was_there(test):\n", "            else:\n"),
        ('                if outcomes.state(renamed[test]) != "green":\n', "                if False:\n"),
    ),
    *_of(RED_ACCOUNTED, "outcomes", ("            red_in_turn.update(dict.fromkeys(run.red))\n", "")),
    *_of(
        RED_ACCOUNTED,
        "evidence",
        ("        if red.unaccounted:\n", "        if False:\n"),
        ("if test not in unaccounted)", "if True)"),
    ),
    *_of(
        RED_ACCOUNTED,
        "weakened/compare",
        ("twins := fresh.get(old.body)", "twins := fresh.get(None)"),
        (" or _shape(old.source) == _shape(new.source)", ""),
        ("_expects_something_else(old, new) or _constants_differ(pair)", "_expects_something_else(old, new)"),
    ),
    *_of(
        NOT_FLAKY,
        "outcomes",
        ("_ENOUGH_GREEN = 2", "_ENOUGH_GREEN = 1"),
        ("            green[test] = 0 if test in run.red else green", "            green[test] = green"),
        ("(test for test in told if test in was_red)", "()"),
        ("if test in was_red or epoch == epochs[-1]", "if epoch == epochs[-1]"),
    ),
    *_of(
        NOT_FLAKY,
        "run_history",
        ("        return max(1, self.report.repeats)\n", "        return 1\n"),
        (" or any(case.id == test and case.failures for case in self.report.cases)", ""),
    ),
    *_of(
        NOT_FLAKY,
        "evidence",
        (" or red.still_red or flaky", " or red.still_red"),
        (" or red.still_red or flaky", " or flaky"),
    ),
)
"""All of them."""
