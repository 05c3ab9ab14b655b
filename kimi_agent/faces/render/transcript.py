"""Transcript renderer: turns events into rows, finished ones for the scrollback and live ones for below it.

A finished row is drawn once; what is still in motion is drawn anew with each frame.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from kimi_agent.faces.render.markdown_stream import MarkdownStream, RenderedBlock
from kimi_agent.faces.render.notices import notice_lines
from kimi_agent.faces.render.reasoning import ReasoningStream
from kimi_agent.faces.render.view_rows import fold_rows, result_rows
from kimi_agent.faces.render.wait_indicator import WaitIndicator
from kimi_agent.faces.sanitize import cell_width, sanitize, sanitize_line, truncate, wrap_line
from kimi_agent.faces.summary_lines import call_line, result_line, turn_line
from kimi_agent.faces.theme import Style, Theme
from kimi_agent.log import events
from kimi_agent.log.messages import Assistant, Call, Media, Usage, User
from kimi_agent.log.questions import Decision, Question
from kimi_agent.log.views import View

RowKind = Literal["", "user", "thought", "text", "call", "note"]
MAX_PROSE_CELLS = 120
"""Cells; prose in longer lines is hard to read. Code and commands may be wider."""

_MOST_ECHO_ROWS = 20


@dataclass
class RunningCall:
    """A call between its start and its return."""

    call: Call
    since: float
    progress: str = ""


class Transcript:
    """Reads one session's events. `take` gives the rows that an event finished; `live` what is in motion.

    `columns` is asked when rows are drawn, `clock` (seconds) for what is waited for. Only the main agent's events are
    drawn; those of its children reach the person through their parent's call.
    """

    def __init__(
        self, theme: Theme, columns: Callable[[], int], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._theme = theme
        self._columns = columns
        self._stream = MarkdownStream(theme, self._width)
        self._last: RowKind = ""
        self._heard: list[str] = []
        self._thoughts = ReasoningStream(theme, self._width)
        self._drawn = False
        self._calls: dict[tuple[int, int], Call] = {}
        self._names: dict[str, str] = {}
        self._arriving = ""
        self._agreed: View | None = None
        self._began = 0.0
        self.waiting = WaitIndicator(clock)
        self.running: dict[tuple[int, int], RunningCall] = {}
        self.queued: dict[int, str] = {}
        self.work = ""
        self.turn_usage = Usage()

    def _width(self) -> int:
        return max(20, min(self._columns() - 1, MAX_PROSE_CELLS))

    @property
    def begun(self) -> bool:
        """Whether anything was drawn."""
        return bool(self._last)

    def take(self, stamped: events.Stamped) -> list[str]:
        """The rows, without line ends, that this event adds for ever."""
        if stamped.agent != "main" and not isinstance(stamped.event, events.Notice):
            return []
        self.waiting.hear(stamped.event)
        return list(self._rows(stamped))

    def _rows(self, stamped: events.Stamped) -> Iterator[str]:
        match stamped.event:
            case events.TextDelta(text):
                yield from self._spaced("thought", self._thoughts.close())
                yield from self._text(text)
            case events.ReasoningDelta(text):
                yield from self._spaced("thought", self._thoughts.feed(text))
            case events.CallDelta(_, _, name, _):
                self._arriving = name or self._arriving
            case events.Said(User() as message, _, _, queued):
                yield from self._user(message, queued, stamped.at)
            case events.Said(Assistant() as message):
                yield from self._assistant(message, stamped.seq)
            case events.CallStarted(answer, index, name):
                call = self._calls.get((answer, index), Call("", name, ""))
                self.running[answer, index] = RunningCall(call, stamped.at)
            case events.Progress(answer, index, text):
                if (answer, index) in self.running:
                    self.running[answer, index].progress = text
            case events.Returned(answer, index, result):
                running = self.running.pop((answer, index), None)
                call = running.call if running else self._calls.get((answer, index), Call("", "a call", ""))
                yield from self._space("call")
                yield self._call_row(call, result_line(result, self._width() // 2), failed=result.failed)
                if result.view is None or result.view != self._agreed:  # what was agreed to is shown above
                    yield from self._folded(result_rows(result, self._theme, self._width() - 4))
                self._agreed = None
            case events.Answered(question, decision):
                self._agreed = question.view if decision.allowed and decision.by == "person" else None
                yield from self._answered(question, decision)
            case events.Queued(message):
                self.queued[stamped.seq] = message.text
            case _:
                yield from self._rare(stamped)

    def _rare(self, stamped: events.Stamped) -> Iterator[str]:
        match stamped.event:
            case events.TurnEnded() as ended:
                yield from self._ended(ended, stamped.at)
            case events.Retrying(kept=kept):
                if not kept:
                    yield from self._void()
                self._arriving = ""
                yield from self._asides(stamped)
            case events.Spent(usage=usage):
                self.turn_usage += usage
                yield from self._asides(stamped)
            case events.Notice():
                yield from self._asides(stamped)
            case _:
                for style, text in notice_lines(stamped):
                    yield from self.note(text, style)

    def note(self, text: str, style: Style, *, apart: bool = False) -> list[str]:
        """A sentence of the program; `apart` from the one before it where it answers a command."""
        before = self.settle()
        if apart and self._last == "note":
            before.append("")
        return [*before, *self._note_rows(text, style)]

    def _asides(self, stamped: events.Stamped) -> Iterator[str]:
        """Notes above what still streams, which goes on unbroken: half a code block would be drawn as prose."""
        for style, text in notice_lines(stamped):
            yield from self._note_rows(text, style)

    def _note_rows(self, text: str, style: Style) -> list[str]:
        rows = [row for line in sanitize(text).split("\n") for row in wrap_line(line, self._width())]
        return self._spaced("note", [self._theme(style, row) for row in rows])

    def settle(self) -> list[str]:
        """Finish whatever streams, so that something else may follow."""
        return [*self._spaced("thought", self._thoughts.close()), *self._text_rows(self._stream.finish())]

    # What the parties say

    def _user(self, message: User, queued: int, at: float) -> Iterator[str]:
        if queued:
            self.queued.pop(queued, None)
        else:
            self._began, self.turn_usage = at, Usage()
        text = self._names.pop(message.text, message.text)
        media = sum(isinstance(part, Media) for part in message.parts)
        yield from self.typed(f"{text} [{media} attached]" if media else text)

    def typed(self, text: str) -> Iterator[str]:
        """What the person typed, as it stays in the scrollback."""
        yield from self.settle()
        lines = [row for line in sanitize(text).split("\n") for row in wrap_line(line.expandtabs(4), self._width() - 2)]
        yield from self._space("user")
        shown = fold_rows(lines, self._theme, most=_MOST_ECHO_ROWS, head=_MOST_ECHO_ROWS // 2)
        sign = self._theme.glyphs.prompt
        for at_row, row in enumerate(shown):
            yield f"{self._theme('cyan', sign) if at_row == 0 else ' '} {self._theme('bold', row)}".rstrip()

    def shown(self, message: User | Assistant) -> list[str]:
        """A message of the past: what was said, without what was done."""
        if isinstance(message, User):
            return list(self._user(message, 0, 0.0))
        rows = [*self._text(message.text), *self.settle()]
        self._forget()
        return rows

    def _forget(self) -> None:
        """What streamed has come to its end."""
        self._heard.clear()
        self._arriving, self._thoughts.any, self._drawn = "", False, False

    def echo_as(self, sent: str, typed: str) -> None:
        """When the message `sent` comes by, show what the person typed for it."""
        self._names[sent] = typed

    def _text(self, text: str) -> Iterator[str]:
        self._heard.append(text)
        yield from self._text_rows(self._stream.feed(text))

    def _text_rows(self, blocks: Sequence[RenderedBlock]) -> list[str]:
        return self._spaced("text", [row for block in blocks for row in block.rows])

    def _assistant(self, message: Assistant, seq: int) -> Iterator[str]:
        """The message as it was kept has the last word: what the deltas did not bring is drawn now."""
        if message.reasoning and not self._thoughts.any and not self._heard:
            yield from self._spaced("thought", self._thoughts.feed(message.reasoning))
        yield from self._spaced("thought", self._thoughts.close())
        heard = "".join(self._heard)
        if message.text.startswith(heard):
            yield from self._text(message.text[len(heard) :])
        elif sanitize(message.text) != sanitize(heard):
            yield from self.note("The answer differs from what was streamed; this is how it was kept:", "yellow")
            yield from self._text(message.text)
        yield from self.settle()
        self._forget()
        self._calls |= {(seq, index): call for index, call in enumerate(message.calls)}

    # What happens

    def _call_row(self, call: Call, outcome: str, *, failed: bool) -> str:
        theme, room = self._theme, self._width()
        outcome = truncate(outcome, room // 2)
        line = call_line(call, max(10, room - 4 - cell_width(outcome)))
        name, _, about = line.partition(" ")
        dot = theme("red", theme.glyphs.dot) if failed else theme("green", theme.glyphs.dot)
        ending = f"  {theme('red' if failed else 'dim', outcome)}" if outcome else ""
        return f"{dot} {theme('bold', name)} {about}".rstrip() + ending

    def _folded(self, rows: Sequence[str]) -> Iterator[str]:
        for at, row in enumerate(rows):
            yield f"  {self._theme('dim', self._theme.glyphs.under) if at == 0 else ' '} {row}"

    def _answered(self, question: Question, decision: Decision) -> Iterator[str]:
        if decision.by != "person":
            return
        said = f": {sanitize_line(decision.message)}" if decision.message else ""
        words = "allowed" if decision.allowed else "refused"
        if 0 <= decision.choice < len(question.choices):
            words = sanitize_line(question.choices[decision.choice])
        words += ", and from now on without asking" if decision.always else ""
        style: Style = "dim" if decision.allowed else "yellow"
        yield from self._folded([self._theme(style, row) for row in wrap_line(words + said, self._width() - 4)])

    def _void(self) -> Iterator[str]:
        """The attempt is void: what was not drawn yet is dropped, what was is disowned."""
        drawn = self._drawn
        self._stream = MarkdownStream(self._theme, self._width)
        self._thoughts.drop()
        self._forget()
        if drawn:
            yield from self.note("(this answer broke off and is void)", "dim")

    def _ended(self, ended: events.TurnEnded, at: float) -> Iterator[str]:
        yield from self.settle()
        self._forget()
        for running in list(self.running.values()):
            yield from self._space("call")
            yield self._call_row(running.call, "interrupted", failed=True)
        self.running.clear()
        if ended.status == "interrupted":
            yield from self.note(ended.text or "Interrupted. Say what to do instead.", "yellow")
        elif ended.text:
            yield from self.note(ended.text, "dim" if ended.status == "done" else "red")
        summary = turn_line(ended, max(0.0, at - self._began) if self._began else 0.0, self.turn_usage)
        yield from self.note(summary, "dim")

    def _spaced(self, kind: RowKind, rows: Sequence[str]) -> list[str]:
        return [*self._space(kind), *rows] if rows else []

    def _space(self, kind: RowKind) -> list[str]:
        """The empty row where the kind of rows changes."""
        last, self._last = self._last, kind
        self._drawn = self._drawn or kind in ("text", "thought")
        return [""] if last and (last != kind or kind == "user") else []

    # What is in motion

    def doing(self) -> str:
        """One word or two for the activity line."""
        if self.running:
            first = next(iter(self.running.values()))
            more = f" and {len(self.running) - 1} more" if len(self.running) > 1 else ""
            return f"{call_line(first.call, 40)}{more}"
        if words := self.waiting.words():
            return words
        if self._arriving:
            return f"preparing {sanitize_line(self._arriving, 30)}"
        if self._heard:
            return "writing"
        return self.work or "thinking"

    def live(self, rows: int) -> list[tuple[Style | Literal[""], str]]:
        """At most `rows` rows of what is not finished, as style and clean text."""
        room = self._width()
        if thought := self._thoughts.last(rows):
            return [("dim", row) for row in thought]
        if tail := self._stream.last(rows, rows * room):
            lines = tail.strip("\n").split("\n")[-rows:]
            inset = "  " if self._stream.in_code else ""
            shown = [inset + row for line in lines for row in wrap_line(line.expandtabs(4), room - len(inset))]
            return [("", row) for row in shown[-rows:]] if tail.strip() else []
        return [
            ("dim", truncate(f"  {sanitize_line(each.progress.rstrip().split(chr(10))[-1])}", room))
            for each in self.running.values()
            if each.progress.strip()
        ][:rows]
