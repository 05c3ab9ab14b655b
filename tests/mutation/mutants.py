"""The mutants: each rule of what a verdict may rest on, broken in every place that keeps it."""

from tests.mutation.evidence_mutants import EVIDENCE_MUTANTS
from tests.mutation.run_mutants import RUN_MUTANTS

MUTANTS = (*RUN_MUTANTS, *EVIDENCE_MUTANTS)
