"""Screen of the REPL: one prompt-toolkit application for the bottom rows, and a writer for what is above them.

Finished rows go into the scrollback once and are never touched again. New rows, the erased bottom and its new state
leave in one write, at most 15 times a second however fast events come; drawing them happens in slices, so that keys
are never kept waiting. `run_in_terminal`, the library's own way, would ask the terminal for its cursor and let keys
echo for a moment each time. Nothing is scheduled while nothing happens.
"""

import asyncio
import sys

from prompt_toolkit.application import Application
from prompt_toolkit.input import create_input
from prompt_toolkit.key_binding import merge_key_bindings
from prompt_toolkit.layout import Layout
from prompt_toolkit.styles import Style

from kimi_agent.faces.screen.approvals import question_rows
from kimi_agent.faces.screen.frame_output import FrameOutput
from kimi_agent.faces.screen.input_history import InputHistory
from kimi_agent.faces.screen.key_bindings import prompt_keys, question_keys
from kimi_agent.faces.screen.layout import build_layout, prompt_styles
from kimi_agent.faces.screen.prompt import Prompt
from kimi_agent.faces.screen_protocol import ScreenHost
from kimi_agent.log.questions import Decision, Question

FRAME_S = 1 / 15
TAIL_FRAME_S = 1 / 10
"""A frame that only shows more of the unfinished text may wait a little longer: it costs more bytes than it brings."""

TICK_S = 0.25
SLICE_S = 0.012


class Screen:
    """Shows the REPL on a terminal that can move its cursor. `history` holds what was typed before."""

    def __init__(self, host: ScreenHost, history: InputHistory, term: str) -> None:
        self.host = host
        self.prompt = Prompt(host, history, self.wake, lambda: self.app.invalidate())
        self._output = FrameOutput(sys.stdout, term, colour=host.theme.colour, gone=lambda: host.leave(129))
        self._area = build_layout(self.prompt, self._output.get_size)
        self.app: Application[None] = Application(
            layout=Layout(self._area.root, focused_element=self.prompt.buffer),
            key_bindings=merge_key_bindings(
                [prompt_keys(self.prompt, redraw=self.redraw, suspend=self.suspend), question_keys(self.prompt)]
            ),
            style=Style.from_dict(dict(prompt_styles())),
            input=create_input(sys.stdin),
            output=self._output,
            erase_when_done=True,
            terminal_size_polling_interval=None,
        )
        # Only time tells Esc from an Alt-key; the defaults take half a second, and people press it in a hurry.
        self.app.ttimeoutlen = 0.02
        self.app.timeoutlen = 0.08
        self._pending: list[str] = []
        self._frame: asyncio.TimerHandle | None = None
        self._working = False
        self._tick: asyncio.TimerHandle | None = None
        self._last_frame = 0.0

    def columns(self) -> int:
        """The width of the terminal, in cells."""
        return self._output.get_size().columns

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
        for timer in (self._frame, self._tick):
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

    def prefill(self, text: str) -> None:
        """Offer a prompt that was taken back."""
        self.prompt.prefill(text)

    async def decide(self, question: Question) -> Decision:
        """Show the question whole, drop what was typed before it, and wait for an answer."""
        self.flush()
        self._pending += ["", *question_rows(question, self.host.theme, self.columns() - 1)]
        open_question = self.prompt.open(question)
        self.app.layout.focus(self._area.choices)
        self._draw()
        self.prompt.typed_too_early()
        try:
            return await open_question.done
        finally:
            self.prompt.close()
            self.app.layout.focus(self.prompt.buffer)
            self.wake()
