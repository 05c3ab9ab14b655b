"""Text output of a headless run, for people and pipes: the answer on stdout, progress on stderr."""

from contextlib import suppress

from kimi_agent.faces.evidence_text import evidence_text
from kimi_agent.faces.headless.output_thread import TextSink
from kimi_agent.faces.render.notices import notice_lines
from kimi_agent.faces.sanitize import sanitize
from kimi_agent.faces.summary_lines import call_line, result_line
from kimi_agent.log import events
from kimi_agent.log.messages import Assistant, Call


def notice_text(text: str) -> str:
    """A notice as a line of stderr."""
    return f"kimi-agent: {sanitize(text)}"


class NoticePrinter:
    """A listener that prints notices alone: what a person must know of a run whose output a program reads."""

    def __init__(self, err: TextSink) -> None:
        self._err = err

    def __call__(self, stamped: events.Stamped) -> None:
        if isinstance(stamped.event, events.Notice):
            self._err.write(f"{notice_text(stamped.event.text)}\n")


class TextPrinter:
    """A listener. With `live` (a terminal) the answer appears as it is written, else `finish` prints it whole."""

    def __init__(self, out: TextSink, err: TextSink, *, quiet: bool, live: bool) -> None:
        self._out = out
        self._err = err
        self._quiet = quiet
        self._live = live
        self._calls: dict[tuple[int, int], Call] = {}
        self._open_line = False
        self._footer = ""

    def __call__(self, stamped: events.Stamped) -> None:
        match stamped.event:
            case events.TextDelta(text) if self._live:
                self._out.write(sanitize(text))
                self._out.flush()
                self._open_line = not text.endswith("\n")
            case events.Said(Assistant() as message):
                self._said(stamped.seq, message)
            case events.Returned(answer, index, result):
                call = self._calls.pop((answer, index), None)
                if call is not None:
                    self._progress(f"{call_line(call)}  {result_line(result)}")
            case events.Retrying(kept=kept):
                if not kept:
                    self._end_line()
                self._remark(stamped)
            case events.Compacted() | events.Shortened() | events.Restored() | events.Spent():
                self._remark(stamped)
            case events.Judged(evidence):
                self._footer = evidence_text(evidence)
            case events.Notice(text):  # no progress, and nobody else would say it
                self._say(notice_text(text))
            case _:
                pass

    def finish(self, answer: str) -> None:
        """The last words: the answer of the turn, and below it what is proven."""
        self._end_line()
        if not self._live and answer:
            self._out.write(sanitize(answer).rstrip("\n") + "\n")
        self._out.flush()
        if self._footer:  # also where all else is quiet: it may contradict the answer
            self._say(self._footer)

    def _said(self, seq: int, message: Assistant) -> None:
        self._end_line()
        self._calls |= {(seq, index): call for index, call in enumerate(message.calls)}
        if message.calls and message.text and not self._live:
            self._progress(sanitize(message.text).strip())

    def _end_line(self) -> None:
        if self._open_line:
            self._out.write("\n")
            self._out.flush()
            self._open_line = False

    def _remark(self, stamped: events.Stamped) -> None:
        for _, text in notice_lines(stamped):
            self._progress(text)

    def _progress(self, text: str) -> None:
        if not self._quiet:
            self._say(text)

    def _say(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a closed stderr is no reason to stop the work
            # On one screen with an answer that is being written: below its line, which itself stays whole.
            below = "\n" if self._open_line and self._err.isatty() else ""
            self._err.write(f"{below}{text}\n")
            self._err.flush()
