"""Mutants of the evidence code: the rules about one run, each broken in every place that keeps it."""

from kimi_agent.workspace.testrun.proof_rules import ALL_ENDED, NONE_FAILED, RUN_SUCCEEDED, TESTS_RAN, ProofRule
from tests.mutation.mutant import Mutant

_RUN = "kimi_agent/workspace/testrun"


def _of(rule: ProofRule, module: str, *changes: tuple[str, str]) -> tuple[Mutant, ...]:
    return tuple(
        Mutant(rule.key, f"{_RUN}/{module}.py", old, new, "tests/workspace/testrun/test_reports.py")
        for old, new in changes
    )


def _uncounted(module: str, *counts: str) -> tuple[Mutant, ...]:
    """What a report says of how many tests there are, left out."""
    return _of(ALL_ENDED, module, *((count, f"{count.partition('=')[0]}=None,") for count in counts))


RUN_MUTANTS = (
    *_of(
        RUN_SUCCEEDED,
        "verdict",
        ('return "run_failed", RUN_SUCCEEDED', 'return "passed", RUN_SUCCEEDED'),
        ("    if exit_code == 1 or (reading.announced", "    if exit_code == 9 or (reading.announced"),
        ("    if exit_code == 0 or (exit_code == NO", "    if exit_code in (0, 1) or (exit_code == NO"),
        ("(reading.announced is not None and exit_code is not None", "(exit_code is not None"),
        ("0 < exit_code < _FIRST_SIGNAL", "0 < exit_code"),
        ('why=f": {why}" if why else ""', 'why=""'),
        ('        return "timed_out", _joined(killed', '        return "passed", _joined(killed'),
        ("    if reading.fatal_error:\n", "    if False:\n"),
    ),
    *_of(
        TESTS_RAN,
        "verdict",
        ('"none_ran", f"it says: {closing.nothing_ran}"', '"passed", f"it says: {closing.nothing_ran}"'),
        ('            return "none_ran", f"all', '            return "passed", f"all'),
        ("    if not reading.cases:\n", "    if False:\n"),
        ('    if reading.stated_result == "none":\n', "    if False:\n"),
        ("    if packages.none_ran:\n", "    if False:\n"),
        ("    if not packages.runs:\n", "    if False:\n"),
        ('    if reading.stated_result != "passed":\n', '    if reading.stated_result == "":\n'),
    ),
    *_of(TESTS_RAN, "reports/closing_lines", ('_last_line("nothing ran", text)', '""')),
    *_of(
        ALL_ENDED,
        "verdict",
        ("    if ended < announced:\n", "    if ended < 0:\n"),
        ("    if reading.running:\n", "    if False:\n"),
        ("    if not reading.is_complete:\n", "    if False:\n"),
    ),
    *_of(
        NONE_FAILED,
        "verdict",
        ("    if bad:\n", "    if bad > 1:\n"),
        ('    if reading.stated_result == "failed" and', "    if False and"),
        ("    if closing.failed:\n", "    if False:\n"),
        ("    if packages.failed:\n", "    if False:\n"),
    ),
    *_of(NONE_FAILED, "reports/closing_lines", ('ClosingLines(_last_line("failed", text)', 'ClosingLines(""')),
    *_of(NONE_FAILED, "formats/junit_cases", ('stated_result="failed" if uncounted else ""', 'stated_result=""')),
    *_uncounted("formats/tap", "announced=announced,"),
    *_uncounted("formats/junit_cases", "announced=ended + unnamed + sum(report.missing for report in reports),"),
    *_of(
        ALL_ENDED,
        "formats/tap",
        ("is_complete=not fault", "is_complete=True"),
        ("trouble=reader.bail, is_complete=False", "trouble=reader.bail"),
    ),
    *_uncounted("formats/json_lines", "announced=plan,"),
    *_uncounted("formats/minitest_report", "announced=ended + len(running),"),
    *_uncounted("formats/rspec", "announced=report.announced,"),
    *_uncounted("formats/exunit_report", "announced=len(told) + len(running),"),
    *_uncounted("formats/python/pytest_report", "ended=min(tests, counted),"),
    *_uncounted("formats/javascript/reporter_lines", 'announced=as_count(done.get("announced")),'),
    *_uncounted("formats/javascript/jest_json", 'announced=as_count(report.get("numTotalTests")),'),
    *_uncounted(
        "formats/javascript/deno_junit", "announced=sum(map(int, _COUNT.findall(summary))) if summary else None,"
    ),
    *_uncounted("runners/cargo", "announced=text.announced + len(own),"),
)
"""All of them."""
