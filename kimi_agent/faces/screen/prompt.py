"""Prompt of the REPL's screen: the input line, an open question, and what each key does to them."""

import asyncio
import os
import sys
from collections.abc import Callable

from prompt_toolkit.buffer import Buffer

from kimi_agent.faces.screen.approvals import OpenQuestion
from kimi_agent.faces.screen.input_history import InputHistory
from kimi_agent.faces.screen.terminal import discard_typed_input
from kimi_agent.faces.screen_protocol import ScreenHost
from kimi_agent.faces.slash_commands import matching_commands
from kimi_agent.log.questions import Decision, Question

ARMING_SILENCE_S = 0.3
"""So long no key may have come before the choices of a question are shown and keys answer it."""

DOUBLE_CTRL_C_S = 2.0
"""Two Ctrl-C within this time leave."""

DOUBLE_ESCAPE_S = 0.6


class Prompt:
    """What is typed and asked. `history` holds what was typed before; `wake` draws soon, `redraw` at once."""

    def __init__(
        self, host: ScreenHost, history: InputHistory, wake: Callable[[], None], redraw: Callable[[], None]
    ) -> None:
        self.host = host
        self.buffer = Buffer(multiline=True, history=history)
        self.open_question: OpenQuestion | None = None
        self.hint = ""
        self._wake = wake
        self._redraw = redraw
        self._arming: asyncio.TimerHandle | None = None
        self._last_c = -DOUBLE_CTRL_C_S
        self._last_c_busy = False
        self._last_escape = -DOUBLE_CTRL_C_S
        self._draft = ""

    def send(self) -> None:
        """Enter: send what was typed, or say what to do instead."""
        text = self.buffer.text
        if self.open_question is not None:
            self.open_question.decide(Decision(allowed=False, message=text.strip()))
            return
        if not text.strip():
            return
        self.buffer.reset(append_to_history=True)
        self.host.submit(text)

    def prefill(self, text: str) -> None:
        """Put a prompt that was taken back into the empty input line."""
        if not self.buffer.text:
            self.buffer.text = text
            self.buffer.cursor_position = len(text)
            self._wake()

    def complete(self) -> None:
        """Tab: the command that is meant; while a turn runs and none is, queue the text."""
        found = [name for name, _ in matching_commands(self.buffer.text, self.host.prompts)]
        if not found or self.open_question is not None:
            if self.open_question is None and self.host.busy_s is not None:
                self.send()
            return
        typed = self.buffer.text[1:]
        common = os.path.commonprefix(found)  # noqa: RUF071 - the characters in common are meant
        word = common if len(common) > len(typed) else found[0]
        self.buffer.text = f"/{word} " if len(found) == 1 else f"/{word}"
        self.buffer.cursor_position = len(self.buffer.text)

    def escape(self) -> None:
        """Esc: no to a question, else stop the turn; twice with nothing to stop: clear the line, or list the turns."""
        now = asyncio.get_running_loop().time()
        if self.open_question is not None:
            self.open_question.press("escape")
        elif self.host.busy_s is not None:
            self.host.interrupt()
        elif now - self._last_escape >= DOUBLE_ESCAPE_S:
            self._last_escape = now
        else:
            self._last_escape = -DOUBLE_CTRL_C_S
            if self.buffer.text:
                self.buffer.reset(append_to_history=True)
            else:
                self.host.submit("/rewind")

    def control_c(self) -> None:
        """Stop the turn, else clear the line; twice for the same: leave. A press that stopped or cleared counts for
        nothing else, so that a draft is never lost to haste."""
        now = asyncio.get_running_loop().time()
        busy = self.host.busy_s is not None
        twice = now - self._last_c < DOUBLE_CTRL_C_S and busy == self._last_c_busy and (busy or not self.buffer.text)
        self._last_c, self._last_c_busy = now, busy
        if twice:
            self.host.leave(0)
        elif busy:
            self.host.interrupt()
        elif self.buffer.text:
            self._last_c = -DOUBLE_CTRL_C_S
            self.buffer.reset(append_to_history=True)
        else:
            self._say_for("Press Ctrl-C again to leave.", DOUBLE_CTRL_C_S)

    def _say_for(self, hint: str, seconds: float) -> None:
        def over() -> None:
            self.hint = ""
            self._wake()

        self.hint = hint
        asyncio.get_running_loop().call_later(seconds, over)

    @property
    def choosing(self) -> bool:
        """Whether keys answer a question."""
        return self.open_question is not None and not self.open_question.typing_reason

    @property
    def armed(self) -> bool:
        """Whether the choices are on the screen."""
        return self.open_question is not None and self.open_question.armed and not self.open_question.typing_reason

    def move_choice(self, by: int) -> None:
        """Up or down among the choices."""
        if self.open_question is not None:
            self.open_question.move(by)

    def open(self, question: Question) -> OpenQuestion:
        """Let keys answer `question` once there was silence; the draft waits until `close`."""
        self.open_question = OpenQuestion(question, asyncio.get_running_loop().create_future())
        self._draft, self.buffer.text = self.buffer.text, ""
        return self.open_question

    def close(self) -> None:
        """The question is answered, or nobody waits for the answer: the draft is back."""
        self.open_question = None
        if self._arming is not None:
            self._arming.cancel()
        self.buffer.text = self._draft
        self.buffer.cursor_position = len(self._draft)

    def typed_too_early(self) -> None:
        """Begin (again) to wait for silence; what was typed until then answers nothing."""
        if self.open_question is None or self.open_question.armed:
            return
        if self._arming is not None:
            self._arming.cancel()
        self._arming = asyncio.get_running_loop().call_later(ARMING_SILENCE_S, self._arm)

    def _arm(self) -> None:
        if self.open_question is not None:
            discard_typed_input(sys.stdin.fileno())
            self.open_question.armed = True
            self._redraw()
