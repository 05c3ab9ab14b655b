"""Mutation run on the evidence code: a rule that is broken anywhere makes a test of `make test` fail."""

from collections import Counter
from pathlib import Path

import pytest

from tests.mutation.mutant import Mutant, is_noticed
from tests.mutation.mutants import MUTANTS


def test_each_mutant_is_one_of_the_code_as_it_is() -> None:
    assert [problem for mutant in MUTANTS if (problem := mutant.problem())] == []
    assert [name for name, count in Counter(mutant.name for mutant in MUTANTS).items() if count > 1] == []


@pytest.mark.long
@pytest.mark.timeout(700)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_rule_is_noticed(mutant: Mutant, tmp_path: Path) -> None:
    noticed, said = is_noticed(mutant, tmp_path / "copy")
    assert noticed, f"no test fails with {mutant.new!r} in place of {mutant.old!r} in {mutant.file}\n{said}"
