"""Output capture of a process: counts, cleans, keeps head and tail, and spools the whole to an output file."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from kimi_agent.workspace.files.outputs import Outputs
from kimi_agent.workspace.process.head_and_tail import HeadAndTail, OutputCleaner

MAX_OUTPUT_BYTES = 64 * 1024 * 1024
_SPOOL_BYTES = 64 * 1024
_PROGRESS_S = 0.1


@dataclass(frozen=True)
class CapturedOutput:
    """What a process printed: `text` is all of it, or head and tail around the name of the whole (`output`)."""

    text: str
    total_bytes: int
    total_lines: int
    output: str


class OutputCapture:
    """Takes output in pieces, and holds only its head, its tail and a small spool in memory.

    `on_line` gets the newest line that is not blank, at most ten times a second of the clock `now`.
    """

    def __init__(
        self,
        outputs: Outputs,
        ends: HeadAndTail,
        *,
        now: Callable[[], float],
        on_line: Callable[[str], None] | None = None,
        max_bytes: int = MAX_OUTPUT_BYTES,
    ) -> None:
        self._outputs = outputs
        self._ends = ends
        self._now = now
        self._on_line = on_line
        self._max_bytes = max_bytes
        self._cleaner = OutputCleaner()
        self._spool = bytearray()
        self._log = -1
        self._output = ""
        self._log_error = ""
        self._line = ""
        self._shown_at = float("-inf")
        self.total_bytes = 0

    @property
    def full(self) -> bool:
        """Whether more was printed than is kept of any process."""
        return self.total_bytes > self._max_bytes

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        self.total_bytes += len(data)
        text = self._cleaner.feed(data)
        self._keep(text)
        if self._on_line is not None:
            self._line = _last_line(text, self._cleaner.line) or self._line
            if self._line and self._now() - self._shown_at >= _PROGRESS_S:
                self._shown_at = self._now()
                self._on_line(self._line)

    def finish(self) -> CapturedOutput:
        """The result. The output file stays if the text is not whole, else it goes."""
        self._keep(self._cleaner.feed(b"", final=True))
        if self._ends.whole:
            self.discard()
            return CapturedOutput(self._ends.text(""), self.total_bytes, self._ends.lines, "")
        self._write()
        self._close()
        where, output = f"the whole output is {self._output}: read_file pages it", self._output
        if self._log_error:
            where, output = f"the whole output could not be kept: {self._log_error}", ""
        return CapturedOutput(self._ends.text(where), self.total_bytes, self._ends.lines, output)

    def discard(self) -> None:
        """Leave no file behind."""
        self._spool.clear()
        self._close()
        if self._output:
            self._outputs.path(self._output).unlink(missing_ok=True)
            self._output = ""

    def _keep(self, text: str) -> None:
        self._ends.add(text)
        self._spool += text.encode("utf-8", "replace")
        if len(self._spool) > _SPOOL_BYTES:
            self._write()

    def _write(self) -> None:
        """Write the spool to the file. On a full disk the file is lost, not the run."""
        try:
            if not self._output and not self._log_error:
                self._output, self._log = self._outputs.new()
            while self._spool and self._log >= 0:
                del self._spool[: os.write(self._log, self._spool)]
        except OSError as error:
            self._log_error = error.strerror or str(error)
            self._close()
        self._spool.clear()

    def _close(self) -> None:
        if self._log >= 0:
            os.close(self._log)
            self._log = -1


def _last_line(text: str, unfinished: str) -> str:
    """The last line that is not blank, of the finished `text` and the line being written."""
    if unfinished.strip():
        return unfinished.strip()
    tail = text.rstrip()
    return tail[tail.rfind("\n") + 1 :].strip()[-2_000:]
