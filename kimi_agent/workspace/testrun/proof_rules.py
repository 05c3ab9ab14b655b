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
    "what changed: they are among it, import it, or are of the package that is compiled with it.",
    "only {scope} was run, which does not plainly reach {files}",
)
NONE_LEFT_OUT = ProofRule(
    "none left out",
    "What belongs to the tests and could not be run (a project whose runner is missing, a file that discovery does not "
    "look at) is named; a file of such a project is not proven by the others.",
    "not run: {tests}",
)
NOTHING_SINCE = ProofRule(
    "nothing since",
    "No file changed after the run.",
    "{count} changed since the last run ({files})",
)
SETTLED = ProofRule(
    "settled",
    "Every run of this turn that did not pass was followed by one of the same command, or by a whole one of our own "
    "choosing, that passed; where only tests failed that were read one by one, each of them is green by now.",
    "{command} {how} and did not pass since",
)
RED_ACCOUNTED = ProofRule(
    "red accounted for",
    "Every test that was red in this turn is green, or was renamed or moved with the same body and is green there. One "
    "that was deleted, skipped, filtered away, weakened, or made green by a change of what it expects with no other "
    "code changed proves nothing.",
    "failed in this turn, and nothing shows that it was mended: {tests}",
)
NOT_FLAKY = ProofRule(
    "not flaky",
    "A test that was both red and green on the same files counts as fixed only after two green runs on the files as "
    "they are now. What the runner itself reports as flaky is said.",
    "failed and passed on the same files: {tests} (two green runs are needed: repeat=2)",
)
PROOF_RULES = (
    RUN_SUCCEEDED,
    TESTS_RAN,
    ALL_ENDED,
    NONE_FAILED,
    REACHED,
    WHOLE,
    NONE_LEFT_OUT,
    NOTHING_SINCE,
    SETTLED,
    RED_ACCOUNTED,
    NOT_FLAKY,
)
"""All of them, in the order of the README's table."""
