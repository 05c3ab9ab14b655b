"""Signal watchdog: hears INT, TERM and HUP from the first line of main, and ends a process that does not end itself.

The first signal asks the run to end; a thread gives it `GRACE_S` for that. The thread hears of a signal through a pipe
that Python's C handler writes to, so neither a blocked event loop nor a blocked main thread keeps it from ending the
process. Only a call into C that holds the interpreter all the while could.
"""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable

GRACE_S = 2.0
"""Seconds from the first signal until the process is ended, whatever it is doing; the last words come on top."""
_EARLY_GRACE_S = 2.8
"""The same before a run could say its last words: what is imported then is needed for its result."""
SAME_SIGNAL_S = 0.5
"""Within these it is the same signal: a terminal sends it to the whole group, and a wrapper passes it on."""


class SignalWatchdog:
    """The signals that end this process; `number` is the first one that came, 0 where none did.

    It is only noted at first: an import that is broken off leaves modules that cannot be imported again, asyncio for
    one, and the result needs them. After `raise_from_here` it raises KeyboardInterrupt in the main thread, once; after
    `hear` a run is asked to end.
    """

    def __init__(self) -> None:
        self.number = 0
        self._since = 0.0
        self._raises = False
        self._ask: Callable[[int], object] | None = None
        self._last_words: Callable[[int], int] | None = None
        # Under nohup a terminal that goes away ends nothing: that is what it is for.
        stays = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._numbers: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, *(() if stays else (signal.SIGHUP,)))
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)

    def start(self) -> None:
        """Take the signals over, for the life of the process."""
        threading.Thread(target=self._watch, name="signals", daemon=True).start()
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for number in self._numbers:
            signal.signal(number, self._handle)

    @property
    def exit_code(self) -> int:
        """What a process ends with that the first signal ended."""
        return 128 + (self.number or signal.SIGINT)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first signal; 0 where none came."""
        return time.monotonic() - self._since if self._since else 0.0

    def hear(self, ask: Callable[[int], object], last_words: Callable[[int], int]) -> None:
        """Call `ask` with the first signal (at once, if it came already), from another thread; nothing is raised then.

        `last_words` is called in that thread too, after the grace or at a second signal, and gives the exit code: it
        may not wait for anything without a limit, and the process is gone after it.
        """
        self._raises = False
        self._last_words = last_words
        self._ask = ask
        if self.number:
            ask(self.number)

    def leave_interrupt(self) -> None:
        """Give INT back to Python: where a person types, it is a key."""
        self._numbers = tuple(number for number in self._numbers if number != signal.SIGINT)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def raise_from_here(self) -> None:
        """Everything that an end needs is imported: raise KeyboardInterrupt, now if a signal came already."""
        if self.number:
            raise KeyboardInterrupt
        self._raises = True

    def stop_raising(self) -> None:
        """From here on a signal is noted again, and the process ended after the grace."""
        self._raises = False

    def _handle(self, number: int, _: object) -> None:
        """Python's handler, in the main thread as soon as that runs Python code again."""
        self.number = self.number or number
        with contextlib.suppress(OSError):  # an event loop may have put its own pipe in the place of ours
            os.write(self._write_end, bytes([number]))
        if self._raises:
            self._raises = False
            raise KeyboardInterrupt

    def _watch(self) -> None:
        while True:
            grace_s = GRACE_S if self._last_words is not None else _EARLY_GRACE_S
            wait_s = max(0.0, grace_s - self.elapsed_s) if self._since else None
            ready = select.select([self._read_end], [], [], wait_s)[0]
            came = [number for number in os.read(self._read_end, 64) if number in self._numbers] if ready else []
            if came and not self._since:
                self.number, self._since = self.number or came[0], time.monotonic()
                if self._ask is not None:
                    with contextlib.suppress(RuntimeError):  # its event loop is closed: the end is near anyway
                        self._ask(self.number)
            elif self._since and (self.elapsed_s >= grace_s or (came and self._is_another())):
                self._end()

    def _is_another(self) -> bool:
        """Whether a second signal means it: before there are last words the run has only just begun, or is over."""
        return self._last_words is not None and self.elapsed_s >= SAME_SIGNAL_S

    def _end(self) -> None:
        code = self.exit_code
        try:
            if self._last_words is not None:
                code = self._last_words(self.number)
        finally:
            os._exit(code)
