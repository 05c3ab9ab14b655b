"""Closing line table: the summaries that test runners print at their end, and what each of them says.

One row for a line, or for two that stand together: the runner and the version that it was seen with ("docs": by its
documentation or source alone), what it says, and a regular expression for all of the line. `N` is a count that is not
0. Where a skipped test counts among the tests, a back reference tells a run in which all were skipped.
"""

from dataclasses import dataclass
from typing import Literal

Says = Literal["failed", "nothing ran", "passed"]
_F: Says = "failed"
_0: Says = "nothing ran"
_P: Says = "passed"
_N = r"[1-9]\d*"
_ALL = r"(?P<all>[1-9]\d*)"
_PYTEST = r"=*[ ]?(?:\d+ [a-z ]+, )*?"
_PYTEST_END = r"(?:, \d+ [a-z ]+)* in [\d.]+s(?: \([\d:]+\))?[ ]?=*"
_IDLE = r"\d+ (?:skipped|deselected|xfailed|warnings?)"
_KARMA = r"(?:[^:\n]{1,100}: )?Executed"
_SURE = r"\[(?:INFO|WARNING|ERROR)\] Tests run:"
_SUM = rf" *Summary \[ *[\d.]+s\] {_N} tests? run:"


@dataclass(frozen=True)
class ClosingLine:
    """One row: `pattern` matches from the begin of a line to the end of one."""

    runner: str
    says: Says
    pattern: str


_ROWS: tuple[tuple[str, Says, str], ...] = (
    # Python
    ("pytest 9.2", _F, rf"{_PYTEST}{_N} (?:failed|errors?){_PYTEST_END}"),
    ("pytest 9.2", _F, r"!+ (?:Interrupted|_pytest\.outcomes\.Exit|KeyboardInterrupt|stopping after \d+).* !+"),
    ("pytest-cov 7", _F, r"(?:FAIL|ERROR: Coverage failure:) .*(?:coverage of .* not reached|less than fail-under).*"),
    ("pytest 9.2", _0, rf"=*[ ]?(?:no tests ran|{_IDLE}(?:, {_IDLE})*) in [\d.]+s(?: \([\d:]+\))?[ ]?=*"),
    ("pytest 9.2", _P, rf"{_PYTEST}{_N} x?passed{_PYTEST_END}"),
    ("unittest 3.11, nose2, Django, trial 26.10", _F, r"FAILED \((?:[a-zA-Z ]+=\d+(?:, )?)+\)"),
    ("unittest 3.11, nose2 0.16", _0, r"Ran 0 tests in [\d.]+s"),
    ("unittest 3.12", _0, r"NO TESTS RAN(?: \(skipped=\d+\))?"),
    ("unittest 3.11, trial", _0, rf"Ran {_ALL} tests? in [\d.]+s\n(?:OK|PASSED) \((?:skipped|skips)=(?P=all)\)"),
    (
        "unittest 3.11, trial",
        _P,
        rf"Ran {_ALL} tests? in [\d.]+s\n(?:OK|PASSED)(?! \((?:skipped|skips)=(?P=all)\)).*",
    ),
    ("zope.testrunner 8.3", _F, rf" *(?:Ran|Total:) \d+ tests(?: with|,) (?:{_N} failures|0 failures, {_N} errors).*"),
    ("zope.testrunner 8.3", _0, r"Total: 0 tests, 0 failures, 0 errors and 0 skipped in .*"),
    ("tox 4.67", _F, r"  evaluation failed :\( \([\d.]+ seconds\)"),
    ("nox 2026", _F, r"nox > \* \S+: failed"),
    ("ward 0.68", _F, r"─+ FAILED in [\d.]+ seconds ─+"),
    ("ward 0.68", _0, r"─+ NO TESTS FOUND in [\d.]+ seconds ─+"),
    ("ward 0.68", _0, rf"│  {_ALL}  Tests? Encountered +│\n│  (?P=all)  Skips .*"),
    ("ward 0.68", _P, rf"│  {_N}  Passes .*"),
    ("behave 1.3", _F, rf"\d+ (?:feature|scenario)s? passed, (?:{_N} failed|0 failed, {_N} error), .*"),
    ("behave 1.3", _0, r"0 scenarios passed, 0 failed, \d+ skipped.*"),
    ("behave 1.3", _P, rf"{_N} scenarios? passed, 0 failed, .*"),
    ("robot 7.5", _F, rf"\d+ tests?, \d+ passed, {_N} failed(?:, \d+ skipped)?"),
    ("robot 7.5", _0, r"\d+ tests?, 0 passed, 0 failed(?:, \d+ skipped)?|\[ ERROR \] Suite '.*' contains no tests.*"),
    ("robot 7.5", _P, rf"\d+ tests?, {_N} passed, 0 failed(?:, \d+ skipped)?"),
    # JavaScript
    ("jest 30.5", _F, rf"(?:Tests|Test Suites): +{_N} failed, .*\d+ total"),
    ("jest 30.5", _F, r'Jest: "?.+"? coverage threshold for .+ not met.*'),
    ("jest 30.5", _0, r"Tests: +(?:\d+ (?:skipped|todo), )*\d+ total|No tests found, exiting with code \d"),
    ("jest 30.5", _P, rf"Tests: +(?:\d+ (?:skipped|todo), )*{_N} passed, \d+ total"),
    ("vitest 4.1", _F, rf" *(?:Test Files|Tests)  {_N} failed(?: \| \d+ \w+)* \(\d+\)| *Errors  {_N} errors?"),
    ("vitest 4.1", _0, r" *Tests  (?:no tests|\d+ (?:skipped|todo)(?: \| \d+ (?:skipped|todo))* \(\d+\))"),
    ("vitest 4.1", _0, r"No test files found, exiting with code \d"),
    ("vitest 4.1", _P, rf" *Tests  {_N} passed(?: \| \d+ \w+)* \(\d+\)"),
    ("mocha 12.0", _F, rf"  {_N} failing"),
    ("mocha 12.0", _0, r"  0 passing \(\d+\w+\)|Error: No test files found(?:: .*)?"),
    ("mocha 12.0", _P, rf"  {_N} passing \(\d+\w+\)"),
    ("node 20, 22", _F, rf"(?:#|ℹ) (?:fail|cancelled) {_N}"),
    ("node 20, 22", _0, r"(?:#|ℹ) pass 0"),
    ("node 20, 22", _P, rf"(?:#|ℹ) pass {_N}"),
    ("bun 1.4", _F, rf" {_N} (?:fail|errors?)"),
    ("bun 1.4", _0, r" 0 pass|No tests found!"),
    ("bun 1.4", _P, rf" {_N} pass"),
    ("deno 2.9", _F, rf"FAILED \| \d+ passed.* \| {_N} failed.*|error: Test failed(?: because the \"only\" .*)?"),
    ("deno 2.9", _0, r"ok \| 0 passed \| 0 failed.*|error: No test modules found"),
    ("deno 2.9", _P, rf"ok \| {_N} passed.* \| 0 failed.*"),
    ("ava 7.0", _F, rf"  {_N} (?:tests?|hooks?) failed|  {_N} (?:uncaught exceptions?|unhandled rejections?)"),
    ("ava 7.0", _0, r"  ✘ (?:Couldn’t find any files to test|No tests found in .+)|  ─\n  \d+ tests? (?:skipped|todo)"),
    ("ava 7.0", _P, rf"  {_N} tests? passed"),
    ("node-tap 21.8", _F, rf"# \{{ total: \d+, pass: \d+, fail: {_N}.* \}}"),
    ("node-tap 21.8", _0, r"# \{ total: \d+, pass: 0(?:, (?:skip|todo): \d+)* \}|No test files found"),
    ("node-tap 21.8", _P, rf"# \{{ total: \d+, pass: {_N}(?:, (?:skip|todo): \d+)* \}}"),
    ("uvu 0.5.6", _F, rf"  Total:     {_ALL}\n  Passed:    (?!(?P=all)$)\d+"),
    ("uvu 0.5.6", _0, r"  Total:     0"),
    ("uvu 0.5.6", _P, rf"  Total:     {_ALL}\n  Passed:    (?P=all)"),
    ("playwright, docs", _F, rf"  {_N} (?:failed|interrupted|did not run)"),
    ("playwright, docs", _0, r"Error: No tests found(?:\.|: .*)?"),
    ("playwright, docs", _P, rf"  {_N} passed \([\d.]+\w+\)"),
    ("cypress, docs", _F, rf" *✖ +{_N} of \d+ failed \(\d+%\).*"),
    ("cypress, docs", _0, r"Can't run because no spec files were found\."),
    ("cypress, docs", _P, r" *✔ +All specs passed!.*"),
    ("karma, docs", _F, rf"{_KARMA} \d+ of \d+ .*\({_N} FAILED\).*|TOTAL: {_N} FAILED, \d+ SUCCESS"),
    ("karma, docs", _0, rf"{_KARMA} 0 of 0\b.*"),
    ("karma, docs", _P, rf"{_KARMA} {_N} of \d+ .*SUCCESS.*|TOTAL: {_N} SUCCESS"),
    ("turbo, docs", _F, r" ?Failed: +\S+#\S+.*|[ ]Tasks: +(?P<done>\d+) successful, (?!(?P=done) )\d+ total"),
    ("turbo, docs", _0, r" Tasks: +0 successful, 0 total|No tasks were executed as part of this run\."),
    ("nx, docs", _F, r"Failed tasks:| *NX +Running target \S+ for .+ failed"),
    ("nx, docs", _0, r" *NX +No tasks were run"),
    ("npm 10", _F, r"npm (?:ERR!|error) (?:Test failed\.|Lifecycle script `test` failed ).*"),
    ("pnpm 10, docs", _F, r" *ELIFECYCLE +(?:Test|Command) failed.*"),
    ("yarn 1, docs", _F, r"error Command failed with exit code \d+\."),
    # Compiled languages
    ("go 1.27", _F, r"FAIL\t\S+(?:\t[\d.]+s|[ ]\[.+\])|--- FAIL: \S+ \([\d.]+s\)|FAIL\Z"),
    ("go 1.27", _0, r"ok  \t\S+\t[\d.]+s \[no tests to run\]|\?   \t\S+\t\[no test files\]|no packages to test"),
    ("go 1.27", _0, r"testing: warning: no tests to run|go: warning: .+ matched no packages"),
    ("go 1.27", _P, r"ok  \t\S+\t(?:[\d.]+s|\(cached\))(?:\tcoverage: .*)?"),
    ("gotestsum 1.8", _F, rf"DONE (?:\d+ runs, )?\d+ tests?(?:, \d+ skipped)?, {_N} (?:failures?|errors?)\b.*"),
    ("gotestsum 1.8", _0, rf"DONE 0 tests in .*|DONE {_ALL} tests?, (?P=all) skipped in [\d.]+s"),
    ("gotestsum 1.8", _P, rf"DONE {_ALL} tests?(?:, (?!(?P=all) )\d+ skipped)? in [\d.]+s"),
    ("cargo 1.95", _F, r"test result: FAILED\. .*|error: \d+ targets? failed:"),
    ("cargo 1.95", _F, r"error: (?:doc)?test failed, to rerun pass .*"),
    ("cargo 1.95", _0, r"test result: ok\. 0 passed; 0 failed; .*"),
    ("cargo 1.95", _P, rf"test result: ok\. {_N} passed; 0 failed; .*"),
    ("cargo-nextest, docs", _F, rf"{_SUM} .*\b{_N} (?:failed|timed out)\b.*|error: test run failed"),
    ("cargo-nextest, docs", _0, r" *Summary \[ *[\d.]+s\] 0 tests run: .*|error: no tests to run"),
    ("cargo-nextest, docs", _P, rf"{_SUM} {_N} passed.*"),
    ("zig 0.17", _F, rf"Build Summary: \d+/\d+ steps succeeded \({_N} failed\).*"),
    ("zig 0.17", _F, rf"\d+ passed; \d+ skipped; {_N} failed\."),
    ("zig 0.17", _0, r"All 0 tests passed\."),
    ("zig 0.17", _P, rf"Build Summary: \d+/\d+ steps succeeded; {_N}/\d+ tests passed.*|All {_N} tests passed\."),
    ("ctest 3.25", _F, rf"\d+% tests passed, {_N} tests failed out of \d+|Errors while running CTest"),
    ("ctest 3.25", _0, r"No tests were found!!!|\d+% tests passed, 0 tests failed out of 0"),
    ("ctest 3.25", _P, rf"\d+% tests passed, 0 tests failed out of {_N}"),
    ("meson 1.9", _F, rf"(?:Fail|Timeout|Unexpected Pass): +{_N}"),
    ("meson 1.9", _0, r"Ok: +0|No tests defined\."),
    ("meson 1.9", _P, rf"Ok: +{_N}"),
    ("automake 1.16", _F, rf"# (?:FAIL|ERROR|XPASS): +{_N}"),
    ("automake 1.16", _0, r"# PASS: +0"),
    ("automake 1.16", _P, rf"# PASS: +{_N}"),
    ("bazel, docs", _F, r"Executed \d+ out of \d+ tests?: .*\bfails?\b.*|INFO: Build completed, \d+ tests? FAILED, .*"),
    ("bazel, docs", _0, r"ERROR: No test targets were found, yet testing was requested"),
    ("bazel, docs", _P, rf"Executed \d+ out of {_N} tests?: {_N} tests? pass(?:es)?\."),
    ("swift, docs", _F, rf"[ \t]*Executed \d+ tests?, with (?:\d+ tests? skipped and )?{_N} failures? .*"),
    ("swift, docs", _F, r"\S Test run with \d+ tests? .*failed after .*"),
    ("swift, docs", _0, r"[ \t]*Executed 0 tests, with 0 failures .*|\S Test run with 0 tests .*passed after .*"),
    ("swift, docs", _P, rf"[ \t]*Executed {_N} tests?, with (?:\d+ tests? skipped and )?0 failures .*"),
    ("swift, docs", _P, rf"\S Test run with {_N} tests? .*passed after .*"),
    ("surefire 3.2", _F, rf"{_SURE} \d+, Failures: (?:{_N}, Errors: \d+|0, Errors: {_N}), Skipped: .*"),
    ("maven 3.8", _F, r"\[INFO\] BUILD FAILURE"),
    ("surefire 3.2", _0, r"\[INFO\] (?:No tests to run\.|Tests are skipped\.)"),
    ("surefire 3.2", _0, rf"{_SURE} (?:0, .*|{_ALL}, Failures: 0, Errors: 0, Skipped: (?P=all)\b.*)"),
    ("surefire 3.2", _P, rf"{_SURE} {_ALL}, Failures: 0, Errors: 0, Skipped: (?!(?P=all)\b)\d+.*"),
    ("gradle 4.4", _F, rf"BUILD FAILED in .*|\d+ tests? completed, {_N} failed(?:, \d+ skipped)?"),
    ("gradle 4.4", _0, r"> Task :(?:\S+:)?test (?:NO-SOURCE|SKIPPED)"),
    ("sbt, docs", _F, r"\[error\] Failed: Total \d+, .*|\[error\] \(.+\) sbt\.TestsFailedException: .*"),
    ("sbt, docs", _0, r"\[info\] (?:No tests were executed\.|No tests to run for .+|Passed: Total 0, .*)"),
    ("sbt, docs", _P, rf"\[info\] Passed: Total {_N}, Failed 0, .*"),
    ("dotnet, docs", _F, r"Failed! +- Failed: +\d+, Passed: .*"),
    ("dotnet, docs", _0, r"No test is available in .+|Skipped! +- Failed: +0, Passed: +0, .*"),
    ("dotnet, docs", _P, rf"Passed! +- Failed: +0, Passed: +{_N}, .*"),
    # Scripting and functional languages
    ("rspec 3.12, crystal, hspec", _F, rf"\d+ examples?, (?:{_N} failures?\b.*|0 failures, {_N} errors?\b.*)"),
    ("rspec 3.12, hspec", _0, rf"0 examples, 0 failures(?:, 0 .*)?|{_ALL} examples?, 0 failures, (?P=all) pending"),
    ("rspec 3.12, crystal", _P, rf"{_ALL} examples?, 0 failures(?:, 0 errors)?(?:, (?!(?P=all) )\d+ pending)?"),
    ("minitest 5.17, test-unit 3.5", _F, rf"\d+ (?:run|test)s, \d+ assertions, (?:{_N} f|0 failures, {_N} e).*"),
    ("minitest 5.17, test-unit 3.5", _0, r"0 (?:run|test)s, 0 assertions, 0 failures, 0 errors, .*"),
    ("minitest 5.17", _0, rf"{_ALL} runs, \d+ assertions, 0 failures, 0 errors, (?P=all) skips"),
    (
        "minitest 5.17, test-unit 3.5",
        _P,
        rf"{_ALL} (?:run|test)s, \d+ assertions, 0 failures, 0 errors, (?!(?P=all) skips).*",
    ),
    ("rake 13.0", _F, r"rake aborted!"),
    ("phpunit 9.6", _F, rf"(?:FAILURES|ERRORS)!|Tests: \d+, Assertions: \d+, .*(?:Failures|Errors): {_N}.*"),
    ("phpunit 9.6", _0, rf"No tests executed!|Tests: {_ALL}, Assertions: \d+, (?:Skipped|Incomplete): (?P=all)\."),
    ("phpunit 9.6", _P, rf"OK \({_N} tests?, \d+ assertions?\)"),
    ("phpunit 9.6", _P, rf"OK, but .+\nTests: {_ALL}, (?!.*(?:Skipped|Incomplete): (?P=all)\.).*"),
    ("pest, docs", _F, rf"  Tests: +{_N} failed, .*"),
    ("pest, docs", _0, r"  Tests: +\d+ (?:skipped|todos?)(?:, \d+ (?:skipped|todos?))* \(.*\)"),
    ("pest, docs", _0, r" *INFO +No tests found\."),
    ("pest, docs", _P, rf"  Tests: +(?:\d+ (?:skipped|todos?), )*{_N} passed \(\d+ assertions?\)"),
    ("mix 1.14, bats 1.8, gleeunit, eunit", _F, rf"(?:\d+ (?:doctests?|propert(?:y|ies)|tests?), )+{_N} failures?\b.*"),
    ("mix 1.14", _F, rf"(?:\d+ (?:doctests?|propert(?:y|ies)|tests?), )+0 failures, .*\b{_N} invalid.*"),
    ("mix 1.14", _0, r"There are no tests to run|All tests have been excluded\."),
    ("mix 1.14, bats 1.8", _0, r"0 tests, 0 failures.*"),
    ("mix 1.14, bats 1.8", _0, rf"{_ALL} tests?, 0 failures,? \(?(?P=all) (?:excluded|skipped)\)?"),
    (
        "mix 1.14, bats 1.8",
        _P,
        rf"(?:\d+ [a-z]+, )*{_ALL} (?:doctests?|propert(?:y|ies)|tests?), 0 failures"
        r"(?!,? \(?(?P=all) (?:excluded|skipped))\b.*",
    ),
    ("prove 3.44", _F, r"Result: FAIL"),
    ("prove 3.44", _0, r"Result: NOTESTS"),
    ("prove 3.44", _P, r"Result: PASS"),
    ("TAP", _F, r"not ok \d+\b(?!.*# *(?:TODO|SKIP)).*|Bail out!.*"),
    ("TAP", _0, r"1\.\.0(?: +# .*)?"),
    ("busted 2.1", _F, rf"\d+ success(?:es)? / (?:{_N} failures? / \d+ errors?|0 failures / {_N} errors?) / .*"),
    ("busted 2.1", _0, r"0 successes / 0 failures / 0 errors / .*"),
    ("busted 2.1", _P, rf"{_N} success(?:es)? / 0 failures / 0 errors / .*"),
    ("dart and flutter, docs", _F, rf"[\d:]+ \+\d+(?: ~\d+)? -{_N}: Some tests failed\."),
    ("dart and flutter, docs", _0, r"No tests (?:ran|were found)\.|[\d:]+ \+0 ~\d+: All tests skipped\."),
    ("dart and flutter, docs", _P, rf"[\d:]+ \+{_N}(?: ~\d+)?: All tests passed!"),
    ("rebar3 eunit, docs", _F, rf"  Failed: {_N}\.  Skipped: \d+\.  Passed: \d+\."),
    ("rebar3 eunit, docs", _0, r"  There were no tests to run\."),
    ("rebar3 eunit, docs", _P, rf"  (?:All )?{_N} tests? passed\."),
    ("clojure.test, docs", _F, rf"(?:{_N} failures, \d+ errors|0 failures, {_N} errors)\."),
    ("clojure.test, docs", _0, r"Ran 0 tests containing 0 assertions\."),
    ("clojure.test, docs", _P, rf"Ran {_N} tests containing \d+ assertions\.\n0 failures, 0 errors\."),
    ("alcotest, ounit, docs", _F, rf"{_N} failures?! in [\d.]+s\. \d+ tests? run\.|FAILED: Cases: \d+ Tried: .*"),
    ("alcotest, ounit, docs", _0, r"Test Successful in [\d.]+s\. 0 tests? run\.|Ran: 0 tests in: .*"),
    ("alcotest, ounit, docs", _P, rf"Test Successful in [\d.]+s\. {_N} tests? run\.|Ran: {_N} tests in: .*\nOK"),
    ("cabal, docs", _F, r"(?P<done>\d+) of (?!(?P=done) )\d+ test suites? \(.*\) passed\."),
    ("cabal, docs", _P, rf"{_ALL} of (?P=all) test suites? \({_N} of .*\) passed\."),
    ("tasty, docs", _F, rf"{_N} out of \d+ tests failed \(.*\)"),
    ("tasty, docs", _0, r"All 0 tests passed \(.*\)"),
    ("tasty, docs", _P, rf"All {_N} tests passed \(.*\)"),
    ("Julia, docs", _F, r"ERROR: (?:LoadError: )?Some tests did not pass: .*"),
    ("Julia, docs", _F, r"ERROR: Package \S+ errored during testing.*"),
    ("Julia, docs", _P, r" *Testing \S+ tests passed"),
    ("testthat, docs", _F, rf"\[ FAIL {_N} \| WARN \d+ \| SKIP \d+ \| PASS \d+ \]"),
    ("testthat, docs", _0, r"\[ FAIL 0 \| WARN \d+ \| SKIP \d+ \| PASS 0 \]"),
    ("testthat, docs", _P, rf"\[ FAIL 0 \| WARN \d+ \| SKIP \d+ \| PASS {_N} \]"),
    # Tasks: of a step that failed behind a pipe, or in a target that is made all the same
    ("GNU make 4.3", _F, r"g?make(?:\[\d+\])?: \*\*\* \[.+\] Error \d+"),
    ("just 1.4x, docs", _F, r"error: Recipe `.+` failed (?:on line \d+ )?with exit code \d+"),
    ("task 3, docs", _F, r'task: Failed to run task ".+": .*'),
    ("any", _0, r"(?:[Ee]rror: )?[Nn]o tests? (?:found|ran|were (?:run|found|executed)|to run)[.!]?"),
)
CLOSING_LINES = tuple(ClosingLine(*row) for row in _ROWS)
"""All rows, by language."""
