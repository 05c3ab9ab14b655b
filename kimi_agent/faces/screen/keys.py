"""Key bindings (Enter, Esc, Ctrl-C, Shift-Tab ...) of the prompt and of an open question."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

if TYPE_CHECKING:
    from kimi_agent.faces.screen.screen import Screen


def prompt_keys(screen: Screen) -> KeyBindings:
    """The keys of the prompt; what is not here is readline's, as prompt-toolkit has it."""
    keys = KeyBindings()
    at_prompt = Condition(lambda: not screen.choosing)
    empty = Condition(lambda: not screen.buffer.text and screen.open_question is None)
    searching = Condition(lambda: screen.searching)

    @keys.add("enter", filter=at_prompt & ~searching)
    def _send(event: KeyPressEvent) -> None:
        buffer = screen.buffer
        if buffer.document.text_before_cursor.endswith("\\"):
            buffer.delete_before_cursor(1)
            buffer.insert_text("\n")
        else:
            screen.send()

    @keys.add("escape", "enter", filter=at_prompt)
    @keys.add("c-j", filter=at_prompt & ~searching)
    def _newline(event: KeyPressEvent) -> None:
        screen.buffer.insert_text("\n")

    @keys.add("escape", filter=at_prompt & ~searching)
    def _interrupt(event: KeyPressEvent) -> None:
        screen.escape()

    @keys.add("c-c", filter=~searching)
    @keys.add("<sigint>")
    def _stop(event: KeyPressEvent) -> None:
        screen.control_c()

    @keys.add("c-d", filter=at_prompt & empty)
    def _leave(event: KeyPressEvent) -> None:
        screen.host.leave(0)

    @keys.add("c-l")
    def _redraw(event: KeyPressEvent) -> None:
        screen.redraw()

    @keys.add("c-z")
    def _suspend(event: KeyPressEvent) -> None:
        screen.suspend()

    @keys.add("s-tab", filter=at_prompt)
    @keys.add("escape", "m", filter=at_prompt)
    def _mode(event: KeyPressEvent) -> None:
        screen.host.next_mode()

    @keys.add("tab", filter=at_prompt & ~searching)
    def _complete(event: KeyPressEvent) -> None:
        screen.complete()

    @keys.add("?", filter=at_prompt & empty)
    def _sheet(event: KeyPressEvent) -> None:
        screen.host.submit("/help")

    return keys


def question_keys(screen: Screen) -> KeyBindings:
    """The keys of an open question. Whatever is no answer is swallowed, pasted text too."""
    keys = KeyBindings()
    choosing = Condition(lambda: screen.choosing)
    armed = Condition(lambda: screen.armed)

    @keys.add(Keys.Any, filter=choosing, eager=True)
    @keys.add(Keys.BracketedPaste, filter=choosing, eager=True)
    def _swallow(event: KeyPressEvent) -> None:
        screen.typed_too_early()

    for key in "123456789yan":
        keys.add(key, filter=armed, eager=True)(_press(screen, key))
    keys.add("enter", filter=armed, eager=True)(_press(screen, "enter"))
    keys.add("escape", filter=armed, eager=True)(_press(screen, "escape"))

    @keys.add("up", filter=armed, eager=True)
    @keys.add("s-tab", filter=armed, eager=True)
    def _up(event: KeyPressEvent) -> None:
        screen.move_choice(-1)

    @keys.add("down", filter=armed, eager=True)
    @keys.add("tab", filter=armed, eager=True)
    def _down(event: KeyPressEvent) -> None:
        screen.move_choice(1)

    keys.add("c-c", filter=choosing, eager=True)(lambda event: screen.control_c())
    return keys


def _press(screen: Screen, key: str) -> Callable[[KeyPressEvent], None]:
    def press(event: KeyPressEvent) -> None:
        screen.choose(key)

    return press
