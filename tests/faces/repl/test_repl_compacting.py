"""/compact on a real pty: it takes as long as the model does, so it is seen, and can be stopped."""

from collections.abc import Callable

import pytest

from tests.faces.terminal_driver import Terminal

Start = Callable[..., Terminal]
ESC, ENTER, CTRL_C = "\x1b", "\r", "\x03"


@pytest.mark.parametrize("key", [ESC, CTRL_C])
def test_making_room_is_seen_and_can_be_stopped(terminal: Start, key: str) -> None:
    screen = terminal()
    screen.ready()
    screen.press("/compact the parser" + ENTER)
    screen.until("making room…", "esc to interrupt")
    screen.press(key)
    seen = screen.ready("Interrupted.")
    assert "making room…" not in seen
    assert ("stopped", "the parser") in screen.log()


def test_what_is_typed_meanwhile_is_shown_and_sent_afterwards(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("/compact" + ENTER)
    screen.until("making room…")
    screen.press("say and then this" + ENTER)
    screen.until("queued: say and then this")
    screen.press(ESC)
    screen.ready("You said: and then this")


def test_the_preview_is_broken_at_blanks(terminal: Start) -> None:
    screen = terminal()
    screen.ready()
    screen.press("/compact --preview" + ENTER)
    assert (
        "› /compact --preview\n\n"
        "1 message would become a summary: 3.9k -> about 3.4k tokens. The model adds its\n"
        "narrative to this:\n\n"
        "Written by the harness from its log; it is exact. What stands in `backticks`\n"
        "comes from files and commands.\n\n"
        "## Files\n"
    ) in screen.ready("## Files")
