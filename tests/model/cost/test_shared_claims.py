"""Claims that processes share: what is under way counts for all, of those alone that live; nothing is claimed twice."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kimi_agent.model.cost.shared_claims import SharedClaims
from kimi_agent.model.cost.spend_totals import Amount

CLAIM = """
import sys
from pathlib import Path
from kimi_agent.model.cost.shared_claims import SharedClaims
from kimi_agent.model.cost.spend_totals import Amount
claims = SharedClaims(Path(sys.argv[1]), "theirs")
claims.tell(Amount(2.5, 700))
print("claimed", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that claims $2.50 and lives on."""
    argv = [sys.executable, "-c", CLAIM, str(folder)]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "claimed\n"
        yield child
    finally:
        child.kill()
        child.communicate()


async def test_a_claim_counts_while_its_process_lives_and_not_after_kill_9(tmp_path: Path) -> None:
    mine = SharedClaims(tmp_path, "mine")
    async with mine.turn():
        mine.tell(Amount(1.0, 100))
    with another_process(tmp_path) as child:
        mine.look()
        assert (mine.others, mine.sessions) == (Amount(2.5, 700), frozenset({"theirs"}))
        child.kill()
        child.wait()
        mine.look()
        assert (mine.others, mine.sessions) == (Amount(), frozenset())
    mine.close()
    assert [path.name for path in tmp_path.iterdir()] == ["turn"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"session": 1}', '{"session": "x", "usd": "a", "tokens": 1}', "\0" * 90]
)
async def test_a_damaged_claim_counts_nothing_and_is_written_anew(text: str, tmp_path: Path) -> None:
    one, other = SharedClaims(tmp_path, "one"), SharedClaims(tmp_path, "other")
    async with one.turn():
        one.tell(Amount(1.0, 100))
    next(tmp_path.glob("*.json")).write_text(text)
    other.look()
    assert other.others == Amount()
    one.tell(Amount(3.0, 300))
    other.look()
    assert (other.others, other.sessions) == (Amount(3.0, 300), frozenset({"one"}))
    one.close()


async def test_turns_exclude_each_other_and_say_whether_another_was_had(tmp_path: Path) -> None:
    one, other, inside = SharedClaims(tmp_path, "one"), SharedClaims(tmp_path, "other"), list[str]()

    async def take(claims: SharedClaims, name: str) -> None:
        async with claims.turn():
            inside.append(name)
            await asyncio.sleep(0.03)
            assert inside[-1] == name

    await asyncio.gather(take(one, "one"), take(other, "other"), take(one, "one again"))
    async with one.turn():
        pass
    async with one.turn():
        assert one.undisturbed
    async with other.turn():
        assert not other.undisturbed
    async with one.turn():
        assert not one.undisturbed


async def test_a_folder_that_cannot_be_written_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    claims = SharedClaims(tmp_path / "file" / "claims", "mine")
    async with claims.turn():
        claims.look()
        claims.tell(Amount(1.0, 1))
    assert claims.others == Amount()
    claims.close()
