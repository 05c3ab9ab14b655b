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
    typing = at_prompt & ~is_searching
    empty = at_prompt & Condition(lambda: not prompt.buffer.text and prompt.open_question is None)

    def send() -> None:
        buffer = prompt.buffer
        if buffer.document.text_before_cursor.endswith("\\"):
            buffer.delete_before_cursor(1)
            buffer.insert_text("\n")
        else:
            prompt.send()

    keys.add("enter", filter=typing)(lambda _: send())
    keys.add("c-j", filter=typing)(lambda _: prompt.buffer.insert_text("\n"))
    keys.add("escape", "enter", filter=at_prompt)(lambda _: prompt.buffer.insert_text("\n"))
    keys.add("escape", filter=typing)(lambda _: prompt.escape())
    keys.add("<sigint>")(lambda _: prompt.control_c())
    keys.add("c-c", filter=~is_searching)(lambda _: prompt.control_c())
    keys.add("c-d", filter=empty)(lambda _: prompt.host.leave(0))
    keys.add("c-l")(lambda _: redraw())
    keys.add("c-z")(lambda _: suspend())
    keys.add("escape", "m", filter=at_prompt)(lambda _: prompt.host.next_mode())
    keys.add("s-tab", filter=at_prompt)(lambda _: prompt.host.next_mode())
    keys.add("tab", filter=typing)(lambda _: prompt.complete())
    keys.add("?", filter=empty)(lambda _: prompt.host.submit("/help"))
    return keys


def question_keys(prompt: Prompt) -> KeyBindings:
    """The keys of an open question. Whatever is no answer is swallowed, pasted text too."""
    keys = KeyBindings()
    choosing = Condition(lambda: prompt.choosing)
    armed = Condition(lambda: prompt.armed)
    for key in (Keys.BracketedPaste, Keys.Any):
        keys.add(key, filter=choosing, eager=True)(lambda _: prompt.typed_too_early())
    for answer in (*"123456789yan", "enter", "escape"):
        keys.add(answer, filter=armed, eager=True)(_press(prompt, answer))
    for key_name, by in (("s-tab", -1), ("up", -1), ("tab", 1), ("down", 1)):
        keys.add(key_name, filter=armed, eager=True)(lambda _, by=by: prompt.move_choice(by))
    keys.add("c-c", filter=choosing, eager=True)(lambda _: prompt.control_c())
    return keys


def _press(prompt: Prompt, key: str) -> Callable[[KeyPressEvent], None]:
    def press(event: KeyPressEvent) -> None:
        if prompt.open_question is not None:
            prompt.open_question.press(key)
            if prompt.open_question.typing_reason:
                event.app.layout.focus(prompt.buffer)

    return press
