"""Plain screen: the REPL on a terminal that cannot move its cursor, plain lines in, plain lines out."""

import asyncio
import os
import signal
import sys

from kimi_agent.faces.sanitize import sanitize
from kimi_agent.faces.screen.approvals import AnswerChoice, answer_choices, question_rows
from kimi_agent.faces.screen.terminal import discard_typed_input, terminal_columns, write_to_terminal
from kimi_agent.faces.screen_protocol import ScreenHost
from kimi_agent.log.questions import Decision, Question

_TWICE_S = 2.0


class PlainScreen:
    """Reads whole lines, and prints each finished row once. What is typed while a turn runs is queued."""

    def __init__(self, host: ScreenHost) -> None:
        self._host = host
        self._question: asyncio.Future[str] | None = None
        self._over: asyncio.Future[None] | None = None
        self._typed = b""
        self._waking = False
        self._prompted = False
        self._last_c = -_TWICE_S

    def columns(self) -> int:
        """The width of the terminal, in cells."""
        return terminal_columns()

    def wake(self) -> None:
        """Print what happened as soon as the loop is free."""
        if not self._waking:
            self._waking = True
            asyncio.get_running_loop().call_soon(self._print)

    def _print(self) -> None:
        self._waking = False
        rows, _ = self._host.pull(float("inf"))
        if rows:
            self._write("\n".join(["", *rows, ""] if self._prompted else [*rows, ""]))
            self._prompted = False
        if self._host.busy_s is None and not self._prompted and self._question is None:
            self._write(f"{self._host.theme.glyphs.prompt} ")
            self._prompted = True

    def _write(self, text: str) -> None:
        try:
            write_to_terminal(sys.stdout.fileno(), text.encode(sys.stdout.encoding or "utf-8", "replace"))
        except OSError:
            self._host.leave(129)

    async def run(self) -> None:
        """Take lines until `stop`."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        loop.add_reader(sys.stdin.fileno(), self._read)
        loop.add_signal_handler(signal.SIGINT, self._control_c)
        self.wake()
        try:
            await self._over
        finally:
            loop.remove_reader(sys.stdin.fileno())
            loop.remove_signal_handler(signal.SIGINT)

    def unwritten_rows(self) -> list[str]:
        """Nothing is ever held back here."""
        return []

    def stop(self) -> None:
        """End `run`."""
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def _read(self) -> None:
        try:
            data = os.read(sys.stdin.fileno(), 65536)
        except OSError:
            data = b""
        if not data:
            self._host.leave(0)
            return
        *lines, self._typed = (self._typed + data).split(b"\n")
        for line in lines:
            self._line(line.decode("utf-8", "replace").rstrip("\r"))

    def _line(self, text: str) -> None:
        self._prompted = False
        if self._question is not None:
            if not self._question.done():
                self._question.set_result(text)
        elif text.strip():
            self._host.submit(text)
        self.wake()

    def _control_c(self) -> None:
        now = asyncio.get_running_loop().time()
        twice, self._last_c = now - self._last_c < _TWICE_S, now
        if twice:
            self._host.leave(0)
        elif self._host.busy_s is not None:
            self._host.interrupt()
        else:
            self._write("\nPress Ctrl-C again to leave.\n")
            self._prompted = False
            self.wake()

    def prefill(self, text: str) -> None:
        """Show a prompt that was taken back: a line of this terminal cannot be typed for the person."""
        if text:
            self._write(f"\nThe prompt was:\n{sanitize(text)}\n")
            self._prompted = False
            self.wake()

    async def decide(self, question: Question) -> Decision:
        """Show the question and wait for a line that was typed after it."""
        self._print()
        offered = answer_choices(question)
        rows = question_rows(question, self._host.theme, self.columns() - 1)
        discard_typed_input(sys.stdin.fileno())
        self._typed = b""
        self._write("\n".join(["", *rows, *(f"  {each}" for each in offered), ""]))
        self._write(f"Answer ({_otherwise(question, offered[-1])}): ")
        self._question = asyncio.get_running_loop().create_future()
        try:
            answer = (await self._question).strip()
        finally:
            self._question = None
        word = {"yes": "y", "always": "a", "no": "n"}.get(answer.lower(), answer.lower())
        taken = next((each for each in offered if word and word in (each.number, each.key)), None)
        if taken is not None or question.choices:
            return (taken or offered[-1]).decision or Decision(allowed=False)
        return Decision(allowed=False, message=answer)


def _otherwise(question: Question, last: AnswerChoice) -> str:
    """What every other line than an answer means."""
    if question.choices:
        return f"a number; anything else is {last.number}"
    return "anything else is a no, and says what to do instead" if question.tool else "anything else is a no"
