"""The mutants: each rule of what a verdict may rest on, broken in every place that keeps it."""

from kimi_agent.workspace.testrun.proof_rules import (
    ALL_ENDED,
    NONE_FAILED,
    RUN_SUCCEEDED,
    TESTS_RAN,
)
from tests.mutation.evidence_mutants import EVIDENCE_MUTANTS
from tests.mutation.mutant import Mutant

_RUN = "kimi_agent/workspace/testrun"
_REPORTS = "tests/workspace/testrun/test_reports.py"

MUTANTS = (
    Mutant(
        RUN_SUCCEEDED.key, f"{_RUN}/verdict.py", 'return "run_failed", RUN_SUCCEEDED', 'return "passed", RUN_SUCCEEDED'
    ),
    *(
        Mutant(
            TESTS_RAN.key,
            f"{_RUN}/verdict.py",
            f'return "none_ran", f"it says: {{{what}}}"',
            f'return "passed", "{what}"',
        )
        for what in ("closing.nothing_ran", "packages.no_task")
    ),
    Mutant(ALL_ENDED.key, f"{_RUN}/verdict.py", "if ended < announced:", "if ended < 0:"),
    Mutant(NONE_FAILED.key, f"{_RUN}/verdict.py", "    if bad:\n", "    if not bad:\n"),
    *EVIDENCE_MUTANTS,
)
