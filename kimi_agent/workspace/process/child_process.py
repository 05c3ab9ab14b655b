"""A running child process of the event loop: its process, its output pipes, and the moment it exits."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable

from kimi_agent.workspace.process.process_tree import ProcessTree

_PIECE = 65_536
_POLL_S = 0.02


class Pipe:
    """A pipe that the event loop empties into `sink` as fast as it fills.

    `ended` is set at its end, that is when the last process that could write to it is gone.
    """

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self.sink = sink
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._loop.add_reader(self._read_end, self._ready)

    def close_write_end(self) -> None:
        """Close our write end: the child has its own copy, and ours would keep the pipe from ending."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def drain(self) -> None:
        """Go on emptying it, and discard what comes: a closed pipe would kill processes that still write."""
        self.sink = lambda data: None

    def close(self) -> None:
        """Stop reading."""
        self.close_write_end()
        if self._read_end >= 0:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._read_end)
            os.close(self._read_end)
            self._read_end = -1
        self.ended.set()

    def _ready(self) -> None:
        try:
            data = os.read(self._read_end, _PIECE)
        except BlockingIOError:
            return
        if data:
            self.sink(data)
        else:
            self.close()


class Child:
    """A process with the tree that grows from it. `wake` is set when it exits, or when its output is to be checked."""

    def __init__(self, process: "subprocess.Popen[bytes]", tree: ProcessTree, pipes: tuple[Pipe, ...]) -> None:
        self.process = process
        self.tree = tree
        self.pipes = pipes
        self.wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._exit_fd = -1
        self._watch()

    async def drained(self, *, within_s: float) -> None:
        """Wait until all pipes have ended, or for `within_s` seconds: a process in the background may hold them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                for pipe in self.pipes:
                    await pipe.ended.wait()

    def release(self) -> None:
        """Take it off the event loop, and wake whoever waits: no further event will come."""
        for pipe in self.pipes:
            pipe.close()
        self._unwatch()
        self.wake.set()

    def _watch(self) -> None:
        """Have `wake` set at the exit: by a pidfd, or by looking where there is none (macOS, old kernels)."""
        try:
            self._exit_fd = os.pidfd_open(self.process.pid)
        except (AttributeError, OSError):
            self._look()
        else:
            self._loop.add_reader(self._exit_fd, self._exited)

    def _exited(self) -> None:
        self._unwatch()
        self.process.poll()
        self.wake.set()

    def _look(self) -> None:
        if self.process.poll() is None:
            self._loop.call_later(_POLL_S, self._look)
        else:
            self.wake.set()

    def _unwatch(self) -> None:
        if self._exit_fd >= 0:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._exit_fd)
            os.close(self._exit_fd)
            self._exit_fd = -1
