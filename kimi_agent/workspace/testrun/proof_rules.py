"""Proof rules: what the verdict on a run and on a turn may rest on. The README's table is made from them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ProofRule:
    """One rule. `needs` is what has to hold; `else_said` what is reported where it does not, with {fields} to fill."""

    key: str
    needs: str
    else_said: str

    def said(self, **fields: object) -> str:
        """The report of its breach."""
        return self.else_said.format(**fields)


RUN_SUCCEEDED = ProofRule(
    "run succeeded",
    "The runner ended with the exit code that means success: a coverage limit, an unhandled rejection or a hook that "
    "fails after green tests is a failed run.",
    "all {passed} passed, but the run failed (exit {exit_code}){why}",
)
TESTS_RAN = ProofRule(
    "tests ran",
    "At least one test was reported to have passed. A run of which only the exit code is known counts if the command "
    "is the project's own and its closing lines do not say that nothing ran or that something failed.",
    "no test ran{why}",
)
ALL_ENDED = ProofRule(
    "all ended",
    "Every test that was collected, begun or announced was reported to have ended; the counts are held against the "
    "runner's own summary.",
    "{ended} of {announced} tests were reported to have ended",
)
NONE_FAILED = ProofRule(
    "none failed",
    "No test failed: by the report, by the runner's own summary, or by its closing lines where a pipe hid the exit "
    "code.",
    "{failed} failed",
)
REACHED = ProofRule(
    "reached",
    "The run can reach what changed: each changed file belongs to an ecosystem and a project (by its suffix and the "
    "nearest manifest), and a run of that project passed.",
    "no tests of {owner} ran ({files} changed; {ran})",
)
WHOLE = ProofRule(
    "whole",
    "Nothing narrowed the run; or it holds a test that was red before in this turn, or tests whose files plainly reach "
    "what changed (the same package, or an import). What could not be run is named.",
    "only {scope} was run",
)
NOTHING_SINCE = ProofRule(
    "nothing since",
    "No file changed after the run.",
    "{count} changed since the last run ({files})",
)
SETTLED = ProofRule(
    "settled",
    "Every run of this turn that failed was followed by one of the same command, or of the whole project, that passed.",
    "{command} failed on these files and was not run again",
)
RED_ACCOUNTED = ProofRule(
    "red accounted for",
    "Every test that was red in this turn is green, or was renamed or moved with the same body and is green there. One "
    "that was deleted, skipped, filtered away, weakened, or made green by a change of its own expectation alone proves "
    "nothing.",
    "a test that failed is {how}: {tests}",
)
NOT_FLAKY = ProofRule(
    "not flaky",
    "A test that was both red and green on the same files counts as fixed only after two green runs on the files as "
    "they are now. What the runner itself reports as flaky is said.",
    "failed and passed on the same files: {tests}",
)
PROOF_RULES = (
    RUN_SUCCEEDED,
    TESTS_RAN,
    ALL_ENDED,
    NONE_FAILED,
    REACHED,
    WHOLE,
    NOTHING_SINCE,
    SETTLED,
    RED_ACCOUNTED,
    NOT_FLAKY,
)
"""All of them, in the order of the README's table."""
