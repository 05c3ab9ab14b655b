"""A session of thousands of steps through faults and compactions: nothing is done twice, nothing grows."""

from pathlib import Path

import pytest

from tests.long_run import FAULTS, Played, play


def check(played: Played, steps: int) -> None:
    assert (played.ended.status, played.ended.text) == ("done", "")
    assert played.marks == [str(number) for number in range(1, steps + 1)], "each once, in order, none twice"
    assert played.answers == steps + 1, "one assistant message for each answer, however often it was asked for"
    assert played.compactions + played.made_room > 0


async def test_fifty_steps_with_faults_and_compactions(tmp_path: Path) -> None:
    # Without the fault that takes a second.
    played = await play(tmp_path / "run", 50, share=0.15, faults=FAULTS[:-1], window=14_000)
    check(played, 50)
    assert played.retries > 3


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_four_thousand_steps_with_faults_and_compactions(tmp_path: Path) -> None:
    played = await play(tmp_path / "run", 4000)
    check(played, 4000)
    assert played.retries > 40
    assert played.compactions > 20
    settled, last = played.resident[1000], played.resident[-1]
    assert last < settled * 1.15, "memory is flat once everything was met"
