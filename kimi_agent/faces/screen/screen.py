"""Screen of the REPL: one prompt-toolkit application for the bottom rows, and a writer for what is above them.

Finished rows go into the scrollback once and are never touched again. New rows, the erased bottom and its new state
leave in one write, at most 15 times a second however fast events come; drawing them happens in slices, so that keys
are never kept waiting. `run_in_terminal`, the library's own way, would ask the terminal for its cursor and let keys
echo for a moment each time. Nothing is scheduled while nothing happens.
"""

import asyncio
import sys

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.input import create_input
from prompt_toolkit.key_binding import merge_key_bindings
from prompt_toolkit.layout import Layout
from prompt_toolkit.styles import Style

from kimi_agent.faces.screen.approvals import OpenQuestion, question_rows
from kimi_agent.faces.screen.frame_output import FrameOutput
from kimi_agent.faces.screen.input_history import InputHistory
from kimi_agent.faces.screen.keys import prompt_keys, question_keys
from kimi_agent.faces.screen.layout import build_layout, prompt_styles
from kimi_agent.faces.screen.terminal_modes import discard_typed_input
from kimi_agent.faces.screen_protocol import ScreenHost
from kimi_agent.faces.slash_commands import matching_commands
from kimi_agent.log.questions import Decision, Question

FRAME_S = 1 / 15
TAIL_FRAME_S = 1 / 10
"""A frame that only shows more of the unfinished text may wait a little longer: it costs more bytes than it brings."""

TICK_S = 0.25
SLICE_S = 0.012
ARMING_SILENCE_S = 0.3
"""So long no key may have come before the choices of a question are shown and keys answer it."""

DOUBLE_CTRL_C_S = 2.0
"""Two Ctrl-C within this time leave."""

DOUBLE_ESCAPE_S = 0.6


class Screen:
    """Shows the REPL on a terminal that can move its cursor. `history` holds what was typed before."""

    def __init__(self, host: ScreenHost, history: InputHistory, term: str) -> None:
        self.host = host
        self.open_question: OpenQuestion | None = None
        self.hint = ""
        self.buffer = Buffer(multiline=True, history=history)
        self._output = FrameOutput(sys.stdout, term, colour=host.theme.colour, gone=lambda: host.leave(129))
        self._area = build_layout(self)
        self.app: Application[None] = Application(
            layout=Layout(self._area.root, focused_element=self._area.input),
            key_bindings=merge_key_bindings([prompt_keys(self), question_keys(self)]),
            style=Style.from_dict(dict(prompt_styles())),
            input=create_input(sys.stdin),
            output=self._output,
            erase_when_done=True,
            terminal_size_polling_interval=None,
        )
        # Esc is told apart from Alt-key by time alone; the defaults take half a second, and people press it in a hurry.
        self.app.ttimeoutlen = 0.02
        self.app.timeoutlen = 0.08
        self._pending: list[str] = []
        self._frame: asyncio.TimerHandle | None = None
        self._working = False
        self._tick: asyncio.TimerHandle | None = None
        self._arming: asyncio.TimerHandle | None = None
        self._last_frame = 0.0
        self._last_c = -DOUBLE_CTRL_C_S
        self._last_c_busy = False
        self._last_escape = -DOUBLE_CTRL_C_S
        self._draft = ""

    def columns(self) -> int:
        """The width of the terminal, in cells."""
        return self._output.get_size().columns

    def rows(self) -> int:
        """Its height."""
        return self._output.get_size().rows

    # Drawing

    def wake(self) -> None:
        """Something happened: draw it soon."""
        if not self._working and self.app.is_running:
            self._working = True
            asyncio.get_running_loop().call_soon(self._work)

    def _work(self) -> None:
        rows, more = self.host.pull(SLICE_S)
        self._pending += rows
        self._working = more
        loop = asyncio.get_running_loop()
        if more:
            loop.call_soon(self._work)
        if self._frame is None:
            wait_s = FRAME_S if self._pending else TAIL_FRAME_S
            self._frame = loop.call_at(max(loop.time(), self._last_frame + wait_s), self._draw)
        if self._tick is None and self.host.busy_s is not None:
            self._tick = loop.call_later(TICK_S, self._beat)

    def _draw(self) -> None:
        self._frame = None
        self._last_frame = asyncio.get_running_loop().time()
        if self._pending or self._shrunk():
            self._output.held = True
            self.app.renderer.erase()
            if self._pending:
                self._output.write_rows(self._pending)
                self._pending = []
            self._output.held = False
        self.app.invalidate()

    def _shrunk(self) -> bool:
        """Whether the bottom needs fewer rows than it has: the library keeps them, as empty ones."""
        last = self.app.renderer.last_rendered_screen
        size = self._output.get_size()
        return last is not None and last.height > self._area.root.preferred_height(size.columns, size.rows).preferred

    def _beat(self) -> None:
        """The clock of a running turn; it stops with the turn, and in a pause before a retry it only counts seconds."""
        self._tick = None
        if self.host.busy_s is not None and self.app.is_running:
            left_s = self.host.transcript.waiting.left_s
            tick_s = left_s % 1 + 0.01 if left_s else TICK_S  # just after the second that is shown has passed
            self._tick = asyncio.get_running_loop().call_later(tick_s, self._beat)
        self.wake()

    def flush(self) -> None:
        """Draw everything that happened, now."""
        self._pending += self.host.pull(float("inf"))[0]
        self._draw()

    def suspend(self) -> None:
        """Ctrl-Z: stop this job, with the terminal as the shell expects it."""
        self._output.restore()
        self.app.suspend_to_background()

    def redraw(self) -> None:
        """Draw the bottom rows anew."""
        self.app.renderer.erase()
        self.app.invalidate()

    async def run(self) -> None:
        """Take keys until `stop`; what is then not drawn yet is printed."""
        try:
            await self.app.run_async(pre_run=self.wake)
        except EOFError:
            self.host.leave(129)
        finally:
            self._output.restore()
        for timer in (self._frame, self._tick, self._arming):
            if timer is not None:
                timer.cancel()

    def unwritten_rows(self) -> list[str]:
        """The rows that were finished and not written when the application ended."""
        rows, self._pending = self._pending, []
        return rows

    def stop(self) -> None:
        """End `run`."""
        if self.app.is_running and not self.app.is_done:
            self.app.exit()

    # The prompt

    @property
    def searching(self) -> bool:
        """Whether Ctrl-R has the keys."""
        return self.app.layout.is_searching

    def send(self) -> None:
        """Enter: send what was typed, or say what to do instead."""
        text = self.buffer.text
        if self.open_question is not None:
            self.open_question.decide(Decision(allowed=False, message=text.strip()))
            return
        if not text.strip():
            return
        self.buffer.append_to_history()
        self.buffer.reset()
        self.host.submit(text)

    def prefill(self, text: str) -> None:
        """Put a prompt that was taken back into the empty input line."""
        if not self.buffer.text:
            self.buffer.text = text
            self.buffer.cursor_position = len(text)
            self.wake()

    def complete(self) -> None:
        """Tab: the command that is meant; while a turn runs and none is, queue the text."""
        found = [name for name, _ in matching_commands(self.buffer.text, self.host.prompts)]
        if not found or self.open_question is not None:
            if self.open_question is None and self.host.busy_s is not None:
                self.send()
            return
        typed = self.buffer.text[1:]
        common = next(
            (
                found[0][:size]
                for size in range(len(found[0]), 0, -1)
                if all(name.startswith(found[0][:size]) for name in found)
            ),
            "",
        )
        word = common if len(common) > len(typed) else found[0]
        self.buffer.text = f"/{word}" + " " * (len(found) == 1)
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
                self.buffer.append_to_history()
                self.buffer.reset()
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
            self.buffer.append_to_history()
            self.buffer.reset()
        else:
            self._say_for("Press Ctrl-C again to leave.", DOUBLE_CTRL_C_S)

    def _say_for(self, hint: str, seconds: float) -> None:
        def over() -> None:
            self.hint = ""
            self.wake()

        self.hint = hint
        asyncio.get_running_loop().call_later(seconds, over)

    # Questions

    @property
    def choosing(self) -> bool:
        """Whether keys answer a question."""
        return self.open_question is not None and not self.open_question.typing_reason

    @property
    def armed(self) -> bool:
        """Whether the choices are on the screen."""
        return self.open_question is not None and self.open_question.armed and not self.open_question.typing_reason

    async def decide(self, question: Question) -> Decision:
        """Show the question whole, drop what was typed before it, and wait for an answer."""
        self.flush()
        self._pending += ["", *question_rows(question, self.host.theme, self.columns() - 1)]
        self.open_question = OpenQuestion(question, asyncio.get_running_loop().create_future())
        self._draft, self.buffer.text = self.buffer.text, ""
        self.app.layout.focus(self._area.choices)
        self._draw()
        self.typed_too_early()
        try:
            return await self.open_question.done
        finally:
            self.open_question = None
            if self._arming is not None:
                self._arming.cancel()
            self.buffer.text = self._draft
            self.buffer.cursor_position = len(self._draft)
            self.app.layout.focus(self._area.input)
            self.wake()

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
            self.app.invalidate()

    def choose(self, key: str) -> None:
        """A key for the open question."""
        if self.open_question is not None:
            self.open_question.press(key)
            if self.open_question.typing_reason:
                self.app.layout.focus(self._area.input)

    def move_choice(self, by: int) -> None:
        """Up or down among the choices."""
        if self.open_question is not None:
            self.open_question.move(by)
