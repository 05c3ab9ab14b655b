"""Key bindings (Enter, Esc, Ctrl-C, Shift-Tab ...) of the prompt and of an open question."""

from collections.abc import Callable

from prompt_toolkit.filters import Condition, is_searching
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from kimi_agent.faces.screen.prompt import Prompt


def prompt_keys(prompt: Prompt, *, redraw: Callable[[], None], suspend: Callable[[], None]) -> KeyBindings:
    """The keys of the prompt; what is not here is readline's, as prompt-toolkit has it."""
    keys = KeyBindings()
    at_prompt = Condition(lambda: not prompt.choosing)
    empty = Condition(lambda: not prompt.buffer.text and prompt.open_question is None)

    @keys.add("enter", filter=at_prompt & ~is_searching)
    def _send(event: KeyPressEvent) -> None:
        buffer = prompt.buffer
        if buffer.document.text_before_cursor.endswith("\\"):
            buffer.delete_before_cursor(1)
            buffer.insert_text("\n")
        else:
            prompt.send()

    @keys.add("escape", "enter", filter=at_prompt)
    @keys.add("c-j", filter=at_prompt & ~is_searching)
    def _newline(event: KeyPressEvent) -> None:
        prompt.buffer.insert_text("\n")

    @keys.add("escape", filter=at_prompt & ~is_searching)
    def _interrupt(event: KeyPressEvent) -> None:
        prompt.escape()

    @keys.add("c-c", filter=~is_searching)
    @keys.add("<sigint>")
    def _stop(event: KeyPressEvent) -> None:
        prompt.control_c()

    @keys.add("c-d", filter=at_prompt & empty)
    def _leave(event: KeyPressEvent) -> None:
        prompt.host.leave(0)

    @keys.add("c-l")
    def _redraw(event: KeyPressEvent) -> None:
        redraw()

    @keys.add("c-z")
    def _suspend(event: KeyPressEvent) -> None:
        suspend()

    @keys.add("s-tab", filter=at_prompt)
    @keys.add("escape", "m", filter=at_prompt)
    def _mode(event: KeyPressEvent) -> None:
        prompt.host.next_mode()

    @keys.add("tab", filter=at_prompt & ~is_searching)
    def _complete(event: KeyPressEvent) -> None:
        prompt.complete()

    @keys.add("?", filter=at_prompt & empty)
    def _sheet(event: KeyPressEvent) -> None:
        prompt.host.submit("/help")

    return keys


def question_keys(prompt: Prompt) -> KeyBindings:
    """The keys of an open question. Whatever is no answer is swallowed, pasted text too."""
    keys = KeyBindings()
    choosing = Condition(lambda: prompt.choosing)
    armed = Condition(lambda: prompt.armed)

    @keys.add(Keys.Any, filter=choosing, eager=True)
    @keys.add(Keys.BracketedPaste, filter=choosing, eager=True)
    def _swallow(event: KeyPressEvent) -> None:
        prompt.typed_too_early()

    for key in "123456789yan":
        keys.add(key, filter=armed, eager=True)(_press(prompt, key))
    keys.add("enter", filter=armed, eager=True)(_press(prompt, "enter"))
    keys.add("escape", filter=armed, eager=True)(_press(prompt, "escape"))

    @keys.add("up", filter=armed, eager=True)
    @keys.add("s-tab", filter=armed, eager=True)
    def _up(event: KeyPressEvent) -> None:
        prompt.move_choice(-1)

    @keys.add("down", filter=armed, eager=True)
    @keys.add("tab", filter=armed, eager=True)
    def _down(event: KeyPressEvent) -> None:
        prompt.move_choice(1)

    keys.add("c-c", filter=choosing, eager=True)(lambda event: prompt.control_c())
    return keys


def _press(prompt: Prompt, key: str) -> Callable[[KeyPressEvent], None]:
    def press(event: KeyPressEvent) -> None:
        if prompt.open_question is not None:
            prompt.open_question.press(key)
            if prompt.open_question.typing_reason:
                event.app.layout.focus(prompt.buffer)

    return press
