import pytest

from kimi_agent.context.compaction import place_to_cut
from kimi_agent.context.shortening import Item
from kimi_agent.context.window_layout import DEFAULT_ROOM, RoomSettings, shares
from kimi_agent.log.fold.rewindable import Mark
from kimi_agent.log.messages import Assistant, Call, Message, ToolReturn, said


def test_a_large_window_is_shared_as_it_is_told() -> None:
    share = shares(DEFAULT_ROOM, 262_144, 5_000)
    assert (share.limit, share.act, share.target, share.tail) == (228_352, 209_715, 127_829, 39_321)
    assert (share.pins, share.narrative, share.output) == (40_000, 12_000, 16_000)


@pytest.mark.parametrize("at", [0.1, 0.3, 0.6, 1.0])
def test_room_is_made_when_the_person_wants_it(at: float) -> None:
    share = shares(RoomSettings(at=at), 262_144, 5_000)
    assert share.act == min(share.limit, max(int(at * 262_144), 5_000 + int(min(0.9, at) * (share.limit - 5_000))))
    assert 5_000 + share.pins + share.narrative + share.most_tail < share.act


@pytest.mark.parametrize("window", [8_192, 16_384, 32_768, 131_072, 262_144, 1_000_000])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.3, 0.6])
def test_what_a_compaction_leaves_is_always_less_than_what_it_starts_at(window: int, part: float) -> None:
    around = int(window * part)
    share = shares(DEFAULT_ROOM, window, around)
    assert around + share.pins + share.narrative + share.most_tail < share.act <= share.limit
    assert share.target < share.act
    assert share.limit + share.output <= window
    assert share.step <= share.most_tail


def test_without_any_room_nothing_is_shared() -> None:
    share = shares(DEFAULT_ROOM, 1_000, 5_000)
    assert (share.limit, share.pins, share.narrative, share.tail, share.step) == (0, 0, 0, 0, 0)


CALL = Call("f:0", "f", "{}")


def items(*sizes: tuple[Message, int], first: int = 10) -> list[Item]:
    return [Item(message, (first + at, -1), size) for at, (message, size) in enumerate(sizes)]


def talk(*sizes: int) -> list[Item]:
    return items(*((said("x") if at % 2 == 0 else Assistant("y"), size) for at, size in enumerate(sizes)))


def marks(*lengths: int) -> list[Mark]:
    return [Mark(9 + length, length, None) for length in lengths]


def test_as_much_stays_as_the_tail_holds() -> None:
    found = place_to_cut(marks(1, 2, 3, 4), talk(100, 100, 100, 100), 250, 300)
    assert found == Mark(11, 2, None)
    assert place_to_cut(marks(1, 2, 3, 4), talk(100, 100, 100, 100), 50, 99) == Mark(13, 4, None)


def test_a_cut_is_only_where_every_call_is_answered() -> None:
    step = items(
        (said("go"), 10), (Assistant("", None, (CALL,)), 10), (ToolReturn("f:0", "f", "r"), 10), (said("x"), 10)
    )
    assert place_to_cut(marks(1, 3, 4), step, 25, 25) == Mark(12, 3, None)


def test_the_newest_step_stays_although_it_is_longer_than_the_tail() -> None:
    step = items((said("go"), 10), (Assistant("", None, (CALL,)), 10), (ToolReturn("f:0", "f", "r"), 200))
    assert place_to_cut(marks(1, 3), step, 20, 300) == Mark(10, 1, None)
    assert place_to_cut(marks(1, 3), step, 20, 100) == Mark(12, 3, None)


def test_a_summary_alone_is_not_summed_up_again() -> None:
    after = items((said("summary"), 100), (said("go"), 10), first=50)
    earlier = [Mark(9, 1, None), Mark(51, 2, None)]
    assert place_to_cut(earlier, after, 50, 50) is None
    assert place_to_cut(earlier, after, 5, 5) == Mark(51, 2, None)
    assert place_to_cut([], [], 5, 5) is None
