"""Scripted person: answers the program's questions on a pseudo-terminal, each as soon as it is drawn."""

import contextlib
import os
import select
import threading
from collections.abc import Callable, Sequence
from typing import Self

END_OF_QUESTION = b"or say what to do instead: "


class ScriptedPerson:
    """Gives `answers` in order, then a no to everything. `typed_ahead` was in the terminal before any question.

    Before the first answer `while_asked` happens: the world may be another one when the yes comes.
    `terminal` is the descriptor that becomes the program's controlling terminal; `shown` is all that was drawn there.
    """

    def __init__(
        self, answers: Sequence[str] = (), *, typed_ahead: str = "", while_asked: Callable[[], None] = lambda: None
    ) -> None:
        self._answers = list(answers)
        self._while_asked = while_asked
        self._ours, self.terminal = os.openpty()
        self._woken, self._wake = os.pipe()
        self.shown = b""
        os.write(self._ours, typed_ahead.encode())
        self._thread = threading.Thread(target=self._answer)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._wake)
        self._thread.join()
        for fd in (self._ours, self.terminal, self._woken):
            os.close(fd)

    def _answer(self) -> None:
        """Until the run is over. The terminal reads as an error while no process has it open."""
        answered = 0
        while True:
            readable, _, _ = select.select([self._ours, self._woken], [], [])
            if self._woken in readable:
                return
            with contextlib.suppress(OSError):
                self.shown += os.read(self._ours, 65536)
            while answered < self.shown.count(END_OF_QUESTION):
                if answered == 0:
                    self._while_asked()
                answered += 1
                answer = self._answers.pop(0) if self._answers else "n"
                os.write(self._ours, f"{answer}\n".encode())
