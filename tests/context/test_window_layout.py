import pytest

from kimi_agent.context.compaction import choose_cut_point
from kimi_agent.context.shortening import SizedMessage
from kimi_agent.context.window_layout import DEFAULT_COMPACTION, CompactionSettings, lay_out_window
from kimi_agent.log.fold.rewindable import CutPoint
from kimi_agent.log.messages import Assistant, Call, Message, ToolReturn, user_message


def test_a_large_window_is_shared_as_it_is_told() -> None:
    share = lay_out_window(DEFAULT_COMPACTION, 262_144, 5_000)
    assert (share.limit, share.trigger, share.target, share.tail) == (228_352, 209_715, 127_829, 39_321)
    assert (share.preserved, share.narrative, share.output) == (40_000, 12_000, 16_000)


@pytest.mark.parametrize("at", [0.1, 0.3, 0.6, 1.0])
def test_room_is_made_when_the_person_wants_it(at: float) -> None:
    share = lay_out_window(CompactionSettings(at=at), 262_144, 5_000)
    assert share.trigger == min(share.limit, max(int(at * 262_144), 5_000 + int(min(0.9, at) * (share.limit - 5_000))))
    assert 5_000 + share.preserved + share.narrative + share.most_tail < share.trigger


@pytest.mark.parametrize("window", [8_192, 16_384, 32_768, 131_072, 262_144, 1_000_000])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.3, 0.6])
def test_what_a_compaction_leaves_is_always_less_than_what_it_starts_at(window: int, part: float) -> None:
    around = int(window * part)
    share = lay_out_window(DEFAULT_COMPACTION, window, around)
    assert around + share.preserved + share.narrative + share.most_tail < share.trigger <= share.limit
    assert share.target < share.trigger
    assert share.limit + share.output <= window
    assert share.step <= share.most_tail


def test_without_any_room_nothing_is_shared() -> None:
    share = lay_out_window(DEFAULT_COMPACTION, 1_000, 5_000)
    assert (share.limit, share.preserved, share.narrative, share.tail, share.step) == (0, 0, 0, 0, 0)


CALL = Call("f:0", "f", "{}")


def items(*sizes: tuple[Message, int], first: int = 10) -> list[SizedMessage]:
    return [SizedMessage(message, (first + at, -1), size) for at, (message, size) in enumerate(sizes)]


def talk(*sizes: int) -> list[SizedMessage]:
    return items(*((user_message("x") if at % 2 == 0 else Assistant("y"), size) for at, size in enumerate(sizes)))


def marks(*lengths: int) -> list[CutPoint]:
    return [CutPoint(9 + length, length, None) for length in lengths]


def test_as_much_stays_as_the_tail_holds() -> None:
    found = choose_cut_point(marks(1, 2, 3, 4), talk(100, 100, 100, 100), 250, 300)
    assert found == CutPoint(11, 2, None)
    assert choose_cut_point(marks(1, 2, 3, 4), talk(100, 100, 100, 100), 50, 99) == CutPoint(13, 4, None)


def test_a_cut_is_only_where_every_call_is_answered() -> None:
    step = items(
        (user_message("go"), 10),
        (Assistant("", None, (CALL,)), 10),
        (ToolReturn("f:0", "f", "r"), 10),
        (user_message("x"), 10),
    )
    assert choose_cut_point(marks(1, 3, 4), step, 25, 25) == CutPoint(12, 3, None)


def test_the_newest_step_stays_although_it_is_longer_than_the_tail() -> None:
    step = items((user_message("go"), 10), (Assistant("", None, (CALL,)), 10), (ToolReturn("f:0", "f", "r"), 200))
    assert choose_cut_point(marks(1, 3), step, 20, 300) == CutPoint(10, 1, None)
    assert choose_cut_point(marks(1, 3), step, 20, 100) == CutPoint(12, 3, None)


def test_a_summary_alone_is_not_summed_up_again() -> None:
    after = items((user_message("summary"), 100), (user_message("go"), 10), first=50)
    earlier = [CutPoint(9, 1, None), CutPoint(51, 2, None)]
    assert choose_cut_point(earlier, after, 50, 50) is None
    assert choose_cut_point(earlier, after, 5, 5) == CutPoint(51, 2, None)
    assert choose_cut_point([], [], 5, 5) is None
