"""Closing lines of runs that are judged by their exit code: every row of the table, and what tests print like them."""

import re
import shutil
import sys
import time
from pathlib import Path

import pytest

from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.commands_and_reports import ParsedReport
from kimi_agent.workspace.testrun.reports.closing_line_table import CLOSING_LINES
from kimi_agent.workspace.testrun.reports.closing_lines import MAX_CLOSING_LINES, read_closing_lines
from kimi_agent.workspace.testrun.verdict import judge_run
from tests.workspace.testrun.project_files import put

FAILED = """\
========================= 2 failed, 1 passed in 0.08s ==========================
==== 1 failed, 2 passed, 1 warning, 1 error in 62.50s (0:01:02) ====
1 failed in 0.01s
1 passed, 1 error in 0.01s
!!!!!!!!!!!!!!!!!!! _pytest.outcomes.Exit: database is away !!!!!!!!!!!!!!!!!!!!
!!!!!!!!!!!!!!!!!!!! Interrupted: 1 error during collection !!!!!!!!!!!!!!!!!!!!
FAIL Required test coverage of 90% not reached. Total coverage: 80.00%
FAILED (failures=1, errors=1)
FAILED (failures=1, successes=1)
FAILED (errors=2, unexpected successes=1)
  Ran 2 tests with 1 failures, 0 errors and 0 skipped in 0.010 seconds.
  evaluation failed :( (1.98 seconds)
nox > * tests: failed
──────────────────────────── FAILED in 0.14 seconds ────────────────────────────
0 features passed, 1 failed, 0 skipped
1 scenario passed, 1 failed, 2 error, 0 skipped
2 tests, 1 passed, 1 failed
Test Suites: 1 failed, 1 total
Tests:       1 failed, 1 passed, 2 total
Jest: "global" coverage threshold for statements (100%) not met: 50%
 Test Files  1 failed (1)
      Tests  1 failed | 1 passed (2)
     Errors  1 error
  1 failing
# fail 1
ℹ cancelled 2
 3 fail
FAILED | 1 passed (2 steps) | 1 failed (5ms)
error: Test failed because the "only" option was used
  2 tests failed
  1 uncaught exception
# { total: 2, pass: 1, fail: 1 }
  Total:     2\\n  Passed:    1\\n  Skipped:   0
  1 failed
    ✖  1 of 2 failed (50%)                     00:01        2        1        1        -        -
Chrome Headless 120.0.0.0 (Linux x86_64): Executed 3 of 3 (1 FAILED) (0.01 secs / 0.001 secs)
 Tasks:    1 successful, 2 total
Failed:    a#test
Failed tasks:
npm ERR! Test failed.  See above for more details.
npm error Lifecycle script `test` failed with error:
 ELIFECYCLE  Test failed. See above for more details.
error Command failed with exit code 1.
FAIL\tex.com/m\t0.003s
FAIL\tex.com/m [build failed]
--- FAIL: TestA (0.00s)
FAIL
DONE 2 tests, 1 failure in 0.214s
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.40s
error: test failed, to rerun pass `--lib`
error: 4 targets failed:
     Summary [   0.005s] 2 tests run: 1 passed, 1 failed, 0 skipped
error: test run failed
Build Summary: 3/5 steps succeeded (1 failed); 6/9 tests passed (1 skipped, 2 failed)
1 passed; 0 skipped; 1 failed.
50% tests passed, 1 tests failed out of 2
Errors while running CTest
Fail:               1
# FAIL:  1
Executed 2 out of 2 tests: 1 test passes and 1 fails locally.
INFO: Build completed, 1 test FAILED, 2 total actions
\t Executed 2 tests, with 1 failure (0 unexpected) in 0.001 (0.002) seconds
✘ Test run with 2 tests failed after 0.001 seconds with 1 issue.
[ERROR] Tests run: 3, Failures: 1, Errors: 0, Skipped: 0
[INFO] BUILD FAILURE
BUILD FAILED in 12s
3 tests completed, 1 failed
[error] Failed: Total 3, Failed 1, Errors 0, Passed 2
[error] (Test / test) sbt.TestsFailedException: Tests unsuccessful
Failed!  - Failed:     1, Passed:     2, Skipped:     0, Total:     3, Duration: 4 ms - a.dll (net8.0)
10 examples, 4 failures, 3 pending
0 examples, 0 failures, 1 error occurred outside of examples
3 examples, 1 failures, 0 errors, 0 pending
8 runs, 6 assertions, 3 failures, 1 errors, 1 skips
6 tests, 3 assertions, 0 failures, 1 errors, 1 pendings, 1 omissions, 0 notifications
rake aborted!
FAILURES!
ERRORS!
Tests: 9, Assertions: 5, Errors: 1, Failures: 2, Skipped: 1, Incomplete: 1, Risky: 1.
  Tests:    1 failed, 2 passed (3 assertions)
6 tests, 2 failures, 1 excluded, 1 invalid, 1 skipped
2 doctests, 3 tests, 1 failure
2 tests, 0 failures, 1 invalid
3 tests, 1 failure, 1 skipped
Result: FAIL
not ok 2 halves
Bail out!  db away
3 successes / 1 failure / 0 errors / 0 pending : 0.001 seconds
2 successes / 0 failures / 1 error / 0 pending : 0.001 seconds
00:01 +2 -1: Some tests failed.
  Failed: 1.  Skipped: 0.  Passed: 2.
1 failures, 0 errors.
1 failure! in 0.002s. 3 tests run.
FAILED: Cases: 3 Tried: 3 Errors: 0 Failures: 1 Skip:0 Todo:0 Timeouts:0.
0 of 1 test suites (0 of 1 test cases) passed.
1 out of 3 tests failed (0.00s)
ERROR: LoadError: Some tests did not pass: 1 passed, 1 failed, 0 errored, 0 broken.
ERROR: Package M errored during testing
[ FAIL 1 | WARN 0 | SKIP 0 | PASS 2 ]
make[1]: *** [Makefile:2: test] Error 1
error: Recipe `test` failed on line 2 with exit code 1
task: Failed to run task "test": exit status 1
"""
NOTHING = """\
============================ no tests ran in 0.01s =============================
2 skipped, 1 deselected in 0.02s
======================= 3 deselected in 0.01s ========================
Ran 0 tests in 0.000s
NO TESTS RAN (skipped=1)
Ran 3 tests in 0.001s\\nOK (skipped=3)
Ran 1 tests in 0.081s\\nPASSED (skips=1)
Total: 0 tests, 0 failures, 0 errors and 0 skipped in 0.000 seconds.
──────────────────────── NO TESTS FOUND in 0.01 seconds ────────────────────────
│  1  Test Encountered            │\\n│  1  Skips             (100.0%)  │
0 scenarios passed, 0 failed, 1 skipped
1 test, 0 passed, 0 failed, 1 skipped
[ ERROR ] Suite 'R None' contains no tests or tasks.
Tests:       1 skipped, 1 total
No tests found, exiting with code 0
      Tests  1 skipped (1)
      Tests  no tests
No test files found, exiting with code 0
  0 passing (1ms)
Error: No test files found: "test"
# pass 0
ℹ pass 0
 0 pass
ok | 0 passed | 0 failed (0ms)
error: No test modules found
  ✘ Couldn’t find any files to test
  ─\\n  1 test skipped
# { total: 1, pass: 0, skip: 1 }
  Total:     0
Error: No tests found
Can't run because no spec files were found.
Chrome 120: Executed 0 of 0 SUCCESS (0.001 secs / 0 secs)
 Tasks:    0 successful, 0 total
 NX   No tasks were run
ok  \tex.com/m\t0.003s [no tests to run]
?   \tex.com/m\t[no test files]
testing: warning: no tests to run
DONE 0 tests in 0.100s
DONE 3 tests, 3 skipped in 0.214s
test result: ok. 0 passed; 0 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.00s
     Summary [   0.000s] 0 tests run: 0 passed, 3 skipped
error: no tests to run
All 0 tests passed.
No tests were found!!!
No tests defined.
Ok:                 0
# PASS:  0
ERROR: No test targets were found, yet testing was requested
\t Executed 0 tests, with 0 failures (0 unexpected) in 0.000 (0.000) seconds
✔ Test run with 0 tests in 0 suites passed after 0.001 seconds.
[INFO] No tests to run.
[INFO] Tests are skipped.
[WARNING] Tests run: 2, Failures: 0, Errors: 0, Skipped: 2
> Task :app:test NO-SOURCE
[info] No tests were executed.
No test is available in /w/a.dll. Make sure that test discoverer & executors are registered.
0 examples, 0 failures
2 examples, 0 failures, 2 pending
0 runs, 0 assertions, 0 failures, 0 errors, 0 skips
2 runs, 0 assertions, 0 failures, 0 errors, 2 skips
No tests executed!
Tests: 1, Assertions: 0, Skipped: 1.
  Tests:    2 skipped (0 assertions)
   INFO  No tests found.
There are no tests to run
All tests have been excluded.
0 tests, 0 failures
3 tests, 0 failures, 3 excluded
3 tests, 0 failures (3 excluded)
Result: NOTESTS
1..0
1..0 # SKIP no database
0 successes / 0 failures / 0 errors / 0 pending : 0.000 seconds
No tests ran.
00:00 +0 ~1: All tests skipped.
  There were no tests to run.
Ran 0 tests containing 0 assertions.
Test Successful in 0.000s. 0 test run.
All 0 tests passed (0.00s)
[ FAIL 0 | WARN 0 | SKIP 2 | PASS 0 ]
No tests found.
"""
PASSED = """\
============================== 1 passed in 0.01s ===============================
3 passed, 1 skipped, 2 warnings in 0.20s
1 passed, 2 subtests passed in 0.01s
Ran 3 tests in 0.001s\\nOK
Ran 3 tests in 0.001s\\nOK (skipped=1)
Ran 1 tests in 0.076s\\nPASSED (successes=1)
│  1  Passes            (100.0%)  │
1 scenario passed, 0 failed, 0 skipped
1 test, 1 passed, 0 failed
Tests:       1 skipped, 1 passed, 2 total
      Tests  1 passed | 1 skipped (2)
  1 passing (2ms)
# pass 4
 2 pass
ok | 3 passed (1 step) | 0 failed (5ms)
  1 test passed
# { total: 2, pass: 1, skip: 1 }
  Total:     1\\n  Passed:    1
  2 passed (1.2s)
    ✔  All specs passed!                       00:01        2        2        -        -        -
Chrome 120: Executed 3 of 3 SUCCESS (0.001 secs / 0 secs)
ok  \tex.com/m\t0.003s
ok  \tex.com/m\t(cached)\tcoverage: 80.0% of statements
DONE 3 tests, 1 skipped in 0.214s
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
     Summary [   0.005s] 2 tests run: 2 passed, 0 skipped
Build Summary: 5/5 steps succeeded; 4/4 tests passed
100% tests passed, 0 tests failed out of 2
Ok:                 2
# PASS:  3
Executed 1 out of 1 test: 1 test passes.
\t Executed 2 tests, with 0 failures (0 unexpected) in 0.001 (0.002) seconds
✔ Test run with 2 tests in 1 suite passed after 0.001 seconds.
[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 1
[info] Passed: Total 3, Failed 0, Errors 0, Passed 3
Passed!  - Failed:     0, Passed:     3, Skipped:     0, Total:     3, Duration: 4 ms - a.dll (net8.0)
3 examples, 0 failures, 1 pending
3 examples, 0 failures, 0 errors, 0 pending
3 runs, 3 assertions, 0 failures, 0 errors, 1 skips
OK (3 tests, 3 assertions)
OK, but incomplete, skipped, or risky tests!\\nTests: 3, Assertions: 2, Skipped: 1.
  Tests:    1 skipped, 2 passed (3 assertions)
2 doctests, 3 tests, 0 failures, 1 excluded
3 tests, 0 failures
Result: PASS
3 successes / 0 failures / 0 errors / 1 pending : 0.001 seconds
00:01 +3 ~1: All tests passed!
  All 3 tests passed.
Ran 3 tests containing 3 assertions.\\n0 failures, 0 errors.
Test Successful in 0.000s. 3 tests run.
1 of 1 test suites (1 of 1 test cases) passed.
All 3 tests passed (0.00s)
     Testing M tests passed
[ FAIL 0 | WARN 0 | SKIP 0 | PASS 2 ]
"""


def samples(text: str) -> list[str]:
    return [line.replace("\\n", "\n") for line in text.splitlines()]


@pytest.mark.parametrize("line", samples(FAILED))
def test_a_closing_line_says_that_something_failed(line: str) -> None:
    found = read_closing_lines(["noise", "1 passed in 0.1s", *line.split("\n")])
    assert found.failed == line.split("\n  Skipped")[0].replace("\n", ", ").strip()


@pytest.mark.parametrize("line", samples(NOTHING))
def test_a_closing_line_says_that_nothing_ran(line: str) -> None:
    found = read_closing_lines(["noise", *line.split("\n"), "Took 0min 0.000s"])
    assert (found.failed, found.nothing_ran, found.passed) == ("", line.replace("\n", ", ").strip(), "")


@pytest.mark.parametrize("line", samples(PASSED))
def test_a_closing_line_says_that_tests_passed(line: str) -> None:
    found = read_closing_lines(["Ran 0 tests in 0.1s", *line.split("\n")])
    assert (found.failed, found.nothing_ran, found.passed) == ("", "", line.replace("\n", ", ").strip())


def test_every_row_of_the_table_has_a_sample() -> None:
    told = {"failed": FAILED, "nothing ran": NOTHING, "passed": PASSED}
    texts = {says: text.replace("\\n", "\n") for says, text in told.items()}
    rows = [row for row in CLOSING_LINES if not re.search(rf"^(?:{row.pattern})$", texts[row.says], re.MULTILINE)]
    assert rows == []


LURES = """\
Total: 0 errors
Total:     0 errors
0 tests
FAILED to reproduce
FAILED
FAIL: the log level
the run: 1 failed
it printed 2 failed, 1 passed in 0.08s
1 failed
Tests  1 failed to reproduce
Tests: 0 failed
test result: maybe
Result: FAILURE is an option
1..0.5
ok 0
no tests found in this folder, so the fallback is taken
No tests ran away
0 pass
pass 0
# failures 1
Ran 0 tests
make: [Makefile:2: test] Error 1 (ignored)
not okay 1
not ok 3 - later # TODO
Executed 0 of our plans
Ok: nothing
[INFO] Tests run away
error: No test for that
"""


@pytest.mark.parametrize("line", samples(LURES))
def test_what_a_test_prints_is_no_result(line: str) -> None:
    found = read_closing_lines([line, "done"])
    assert (found.failed, found.nothing_ran, found.passed) == ("", "", "")


def test_only_the_last_lines_are_read() -> None:
    assert read_closing_lines(["Result: FAIL", *["x", ""] * (MAX_CLOSING_LINES - 1)]).failed == "Result: FAIL"
    assert read_closing_lines(["Result: FAIL", *["x", ""] * MAX_CLOSING_LINES]).failed == ""


def test_what_was_overwritten_or_coloured_is_read_as_it_was_seen() -> None:
    assert read_closing_lines(["00:00 +0: loading\r00:01 +2 -1: Some tests failed.\r\n"]).failed
    assert read_closing_lines(
        ["\x1b[2m      Tests \x1b[22m \x1b[1m\x1b[31m1 failed\x1b[39m\x1b[90m (1)\x1b[39m"]
    ).failed


def test_closing_lines_are_read_in_bounded_time() -> None:
    began = time.perf_counter()
    for hostile in ("1 a, " * 60, "0 " * 200, "= " * 200, "Tests: " + "1 skipped, " * 30, " " * 300, "1 tests, " * 40):
        read_closing_lines([hostile] * 1_000)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("exit_code", "lines", "verdict", "trouble"),
    [
        (0, ["t/a.t .. skipped: no", "Result: NOTESTS"], "none_ran", "it says: Result: NOTESTS"),
        (
            0,
            ["1 failed, 2 passed in 0.1s"],
            "failed",
            "the exit code is 0 although it says: 1 failed, 2 passed in 0.1s",
        ),
        (0, ["5 passed in 0.12s"], "passed", "judged by its exit code; it says: 5 passed in 0.12s"),
        (
            0,
            ["Ran 0 tests in 0s", "5 passed in 0.12s"],
            "passed",
            "judged by its exit code; it says: 5 passed in 0.12s",
        ),
        (0, ["fine"], "passed", "judged by its exit code; no test was read one by one"),
        (1, ["1 failed in 0.1s"], "failed", "it says: 1 failed in 0.1s"),
        (1, ["5 passed in 0.12s"], "failed", "judged by its exit code; it says: 5 passed in 0.12s"),
    ],
)
def test_an_exit_code_is_held_against_the_closing_lines(
    exit_code: int, lines: list[str], verdict: str, trouble: str
) -> None:
    reading = ParsedReport(stated_result="failed" if exit_code else "passed", by_exit_code=True)
    assert judge_run(reading, exit_code, killed="", lines=lines) == (verdict, trouble)


SKIPPED_IN_PERL = 'use Test::More; plan skip_all => "no database";\n'
RED = "import unittest\nclass A(unittest.TestCase):\n    def test_a(self): self.fail()\n"
GREEN = RED.replace("self.fail()", "pass")


@pytest.mark.skipif(shutil.which("prove") is None, reason="needs prove and make")
async def test_a_task_whose_tests_were_all_skipped_ran_none(context: Context, workspace: Path) -> None:
    put(workspace, {"t/a.t": SKIPPED_IN_PERL, "Makefile": "test:\n\tprove -r t\n"})
    report = await context.testrun.run(command="make test")
    assert (report.runner, report.exit_code, report.verdict) == ("command", 0, "none_ran")
    assert report.trouble == "it says: Result: NOTESTS"


@pytest.mark.parametrize("stated", ["AGENTS.md", "Makefile"])
async def test_a_failure_behind_the_projects_own_pipe_is_one(context: Context, workspace: Path, stated: str) -> None:
    command = f"{sys.executable} -m unittest 2>&1 | cat"
    put(workspace, {"tests/__init__.py": "", "tests/test_a.py": RED, "all.sh": f"{command}\n"})
    texts = {"AGENTS.md": "Test command: `sh all.sh | cat`\n", "Makefile": "test:\n\tsh all.sh | cat\n"}
    put(workspace, {stated: texts[stated]})
    report = await context.testrun.run(command="" if stated == "AGENTS.md" else "make test")
    assert (report.exit_code, report.verdict) == (0, "failed")
    assert report.trouble == "the exit code is 0 although it says: FAILED (failures=1)"


async def test_a_chain_that_agents_md_states_is_not_cut_to_the_part_that_is_known(
    context: Context, workspace: Path
) -> None:
    put(workspace, {"AGENTS.md": "Test command: `python3 -m unittest && false`\n", "test_a.py": GREEN})
    report = await context.testrun.run()
    assert (report.evidence, report.runner, report.exit_code, report.verdict) == ("AGENTS.md", "command", 1, "failed")
