"""What the bottom rows say while the model is waited for, and what fits beside the mode."""

import time
from collections.abc import Callable

import pytest

from kimi_agent.faces.render.transcript import Transcript
from kimi_agent.faces.sanitize import cell_width
from kimi_agent.faces.screen.layout import fit_parts
from kimi_agent.faces.theme import Theme
from kimi_agent.log.events import (
    Answered,
    CallDelta,
    Event,
    Notice,
    ReasoningDelta,
    Requested,
    Retrying,
    Said,
    Stamped,
    TextDelta,
    TurnEnded,
)
from kimi_agent.log.messages import Assistant
from kimi_agent.log.questions import Decision, Question
from tests.faces.terminal_driver import Terminal
from tests.golden_texts import Golden

Start = Callable[..., Terminal]


class Clocked:
    """A transcript whose clock the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.read = Transcript(Theme(False), lambda: 80, clock=lambda: self.now)

    def after(self, seconds: float, *events: Event) -> str:
        self.now += seconds
        for event in events:
            self.read.take(Stamped("main", 0, 0.0, event))
        return self.read.doing()


def test_ten_silent_seconds_get_a_name(golden: Golden) -> None:
    it = Clocked()
    assert it.after(100) == "thinking"
    assert it.after(0, Requested("kimi", 3)) == "thinking"
    assert it.after(9.9) == "thinking"
    silent = [it.after(0.1), it.after(30)]
    assert it.after(0, TextDelta("x")) == "writing"
    silent.append(it.after(185))
    assert it.after(0, CallDelta(0, "c", "shell")) == "preparing shell"
    silent.append(it.after(12))
    golden(*silent)


@pytest.mark.parametrize("end", [Said(Assistant("done")), TurnEnded("interrupted", 1)])
def test_nobody_waits_for_a_model_that_has_answered(end: Event) -> None:
    it = Clocked()
    it.after(0, Requested("kimi", 3), ReasoningDelta("x"))
    assert it.after(0, end) == "thinking"
    assert it.after(60) == "thinking"


def test_the_time_in_which_a_person_was_asked_is_not_the_model_s() -> None:
    it = Clocked()
    it.after(0, Requested("kimi", 3))
    assert it.after(50, Answered(Question("budget", "More?"), Decision(True))) == "thinking"
    assert it.after(11).endswith(" for 11 s")


def test_a_retry_is_counted_down_and_then_waited_for(golden: Golden) -> None:
    it = Clocked()
    shown = [it.after(0, Retrying("The server is busy.", 23.0, 3)), it.after(0.9), it.after(0.2), it.after(21.8)]
    assert it.after(0.1) == "thinking"
    shown.append(it.after(40))
    assert it.after(0, ReasoningDelta("x")) == "thinking"
    golden(*shown, it.after(0, Retrying("quota\x1b[2J", 3725.0, 2, kept=True)))


def test_a_request_that_is_held_back_is_counted_down_too(golden: Golden) -> None:
    it = Clocked()
    held = Notice("Waiting 58 s: the server asked for patience.", 58.0)
    golden(it.after(0, Requested("kimi", 3), held), it.after(57.5))
    assert it.after(0.5) == "thinking"
    assert it.after(12).endswith(" for 12 s")
    assert it.after(0, held, TextDelta("x")) == "writing"
    assert it.after(0, held, TurnEnded("interrupted", 1)) == "thinking"


def test_a_long_wait_has_the_time_of_day_at_which_it_ends(golden: Golden) -> None:
    read = Transcript(Theme(False), lambda: 80)
    noon = time.mktime((2026, 7, 30, 12, 0, 0, 0, 0, -1))

    def shown(wait_s: float, kept: bool) -> str:
        (row,) = read.take(Stamped("main", 0, noon, Retrying("The quota is used up.", wait_s, 2, kept=kept)))
        return row

    void, kept = ([shown(wait_s, kept) for wait_s in (60.0, 3720.0, 90_000.0)] for kept in (False, True))
    assert void == kept
    golden(*kept)


PARTS = ("kimi-k2.6", "feature/a-very-long-name-of-a-branch-as-people-have-them", "62%", "$0.41")


@pytest.mark.parametrize(
    ("room", "kept"),
    [
        (200, PARTS),
        (60, ("kimi-k2.6", "feature/a-very-long-name-of-a-…", "62%", "$0.41")),
        (41, ("kimi-k2.6", "feature/a-v…", "62%", "$0.41")),
        (40, ("kimi-k2.6", "feature/a-v…", "62%")),
        (20, ("kimi-k2.6",)),
        (11, ()),
        (0, ()),
    ],
)
def test_the_longest_part_is_cut_before_the_last_ones_go(room: int, kept: tuple[str, ...]) -> None:
    assert fit_parts(PARTS, room, 3) == list(kept)
    assert sum(cell_width(each) + 3 for each in kept) <= room


@pytest.mark.long
def test_the_status_row_fits_at_any_width(terminal: Start) -> None:
    screen = terminal("branch=feature/a-very-long-name-of-a-branch", "model=some/model-of-another-house", columns=44)
    screen.ready("ask · some/model-of-anoth… · feature/a-v…")


def test_a_wait_runs_down_on_the_screen_once_a_second(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("wait 900\r")
    seen = screen.until("the server is busy; retry 1 in 15 min 0 s, at ", "Half an ans", "retry 1 in 14 min")
    shown, before = {_left(seen)}, len(screen.raw)
    while len(shown) < 2:
        assert screen.read()
        shown.add(_left(screen.bottom()))
    frames = screen.raw[before:].count(b"\x1b[A")
    assert frames <= 2  # a spinner that turns would draw four
    screen.press("\x1b")
    assert "void" not in screen.ready("Half an ans", "Interrupted")


def _left(shown: str) -> str:
    """What is left of the wait, as the activity line tells."""
    return shown.rpartition("retry 1 in 14 min ")[2][:4]
