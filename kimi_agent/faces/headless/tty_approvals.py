"""Approvals without a REPL: asks on the controlling terminal (/dev/tty), though stdin and stdout are pipes."""

import asyncio
import os
import termios
from pathlib import Path

from kimi_agent.faces.sanitize import sanitize
from kimi_agent.faces.screen.terminal import write_to_terminal
from kimi_agent.faces.summary_lines import view_text
from kimi_agent.log.questions import Decision, Question


class TtyApprovals:
    """Asks on the terminal behind `path`; anything but a yes is a no, anything but a choice the last one."""

    def __init__(self, path: Path = Path("/dev/tty")) -> None:
        self._path = path

    @property
    def available(self) -> bool:
        """Whether this process has such a terminal."""
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        except (OSError, termios.error):
            return False
        return True

    async def __call__(self, question: Question) -> Decision:
        """Ask, and wait for a line. Keys typed before the question was drawn are thrown away: they answer nothing.

        A terminal that went away since the run began is nobody.
        """
        try:
            answer = (await self._answer(question)).strip()
        except (OSError, termios.error):
            return Decision(allowed=False, message="the terminal is gone", by="policy")
        if question.choices:
            last = len(question.choices) - 1
            at = next((at for at in range(last) if answer == str(at + 1)), last)
            return Decision(allowed=at == 0, choice=at)
        word = answer.lower()
        if word in ("a", "always") and question.rule:
            return Decision(allowed=True, always=True)
        if word in ("y", "yes"):
            return Decision(allowed=True)
        return Decision(allowed=False, message="" if word in ("", "n", "no", "a", "always") else answer)

    async def _answer(self, question: Question) -> str:
        fd = os.open(self._path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            shown = view_text(question.view)
            text = f"\n{sanitize(question.title)}\n{sanitize(shown)}\n{sanitize(question.why)}".rstrip()
            termios.tcflush(fd, termios.TCIFLUSH)
            write_to_terminal(fd, f"{text}\n{_offered(question)}: ".encode())
            return await _line(fd)
        finally:
            os.close(fd)


def _offered(question: Question) -> str:
    """The answers, on one line."""
    if question.choices:
        return "  ".join(f"[{at}] {sanitize(text)}" for at, text in enumerate(question.choices, 1))
    always = f"  [a] yes, and don't ask again for {sanitize(question.rule)}" if question.rule else ""
    return f"Allow? [y] yes{always}  [n] no, or say what to do instead"


async def _line(fd: int) -> str:
    """One line from a terminal, read by the event loop: a thread blocked in a read could not be interrupted."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[str] = loop.create_future()

    def ready() -> None:
        try:
            data = os.read(fd, 4096)
        except OSError:
            data = b""  # the terminal is gone: that is no yes
        if not done.done():
            done.set_result(data.decode("utf-8", "replace"))

    loop.add_reader(fd, ready)
    try:
        return await done
    finally:
        loop.remove_reader(fd)
