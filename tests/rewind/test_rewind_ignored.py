"""Files that git ignores, which a call named: they were kept for it, and they come back."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kimi_agent.errors import UserError
from kimi_agent.log.events import CallStarted, Checkpoint, Returned, Said, TurnEnded
from kimi_agent.log.messages import Assistant, Call, user_message
from kimi_agent.log.views import Result
from tests.rewind.rewindable_session import Play, begin, delete, named, write


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    made = begin(tmp_path, git=True)
    (made.root / ".gitignore").write_text("secret\n")
    (made.root / "secret").write_text("precious")
    yield made
    made.close()


def turn(
    play: Play, *acts: Callable[[Path], object], also: tuple[str, ...] = ("secret",), cut_off: bool = False
) -> int:
    """A turn of one call, between two snapshots that are asked for `also`; cut off, the second one is missing."""
    start = play.session.emit(Said(user_message("do"))).seq
    answer = play.session.emit(Said(Assistant("", None, (Call("f", "shell", "{}"),)))).seq
    before = play.checkpoints.take(also)
    play.session.emit(Checkpoint(before.tree, "before", answer, unkept=before.unkept))
    play.session.emit(CallStarted(answer, 0, "shell", "execute"))
    for act in acts:
        act(play.root)
    if not cut_off:
        after = play.checkpoints.take(also, newly_ignored=True)
        if after.tree != before.tree:
            play.session.emit(Checkpoint(after.tree, "after", answer))
        play.session.emit(Returned(answer, 0, Result("ok")))
    play.session.emit(TurnEnded("done", 2))
    return start


def text(play: Play) -> str | None:
    path = play.root / "secret"
    return path.read_text() if path.exists() else None


@pytest.mark.parametrize(
    ("act", "letter", "left"), [(delete("secret"), "A", None), (write("secret", "bad"), "M", "bad")]
)
async def test_an_ignored_file_comes_back_and_goes_again(
    play: Play, act: Callable[[Path], object], letter: str, left: str | None
) -> None:
    turn(play, act, write("other", "1"))
    plan = await play.rewinder.plan_undo()
    assert (named(plan.diff), plan.yours) == (["D other", f"{letter} secret"], ())
    await play.rewinder.carry_out(plan)
    assert text(play) == "precious"
    await play.rewinder.carry_out(await play.rewinder.plan_redo())
    assert text(play) == left


async def test_it_comes_back_also_from_before_a_turn_that_was_not_asked_for_it(play: Play) -> None:
    start = turn(play, write("other", "1"), also=())
    turn(play, delete("secret"))
    turn(play, write("other", "2"), also=())
    await play.rewinder.carry_out(await play.rewinder.plan(start))
    assert text(play) == "precious"
    assert not (play.root / "other").exists()


async def test_what_the_person_wrote_into_it_since_is_not_overwritten_unasked(play: Play) -> None:
    turn(play, write("secret", "bad"), write("other", "1"))
    write("secret", "mine")(play.root)
    plan = await play.rewinder.plan_undo()
    assert plan.yours == ("secret",)
    with pytest.raises(UserError, match="secret changed since"):
        await play.rewinder.carry_out(plan)
    await play.rewinder.carry_out(plan, yours="keep")
    assert (text(play), (play.root / "other").exists()) == ("mine", False)


async def test_what_the_person_wrote_between_two_calls_is_asked_about(play: Play) -> None:
    start = turn(play, write("secret", "bad"))
    write("secret", "mine")(play.root)
    turn(play, delete("secret"))
    assert (await play.rewinder.plan(start)).yours == ("secret",)


async def test_after_a_call_that_was_cut_off_it_comes_back_when_the_person_says_so(play: Play) -> None:
    turn(play, delete("secret"), cut_off=True)
    plan = await play.rewinder.plan_undo()
    assert plan.unsure == ("secret",)
    await play.rewinder.carry_out(plan, yours="overwrite")
    assert text(play) == "precious"
