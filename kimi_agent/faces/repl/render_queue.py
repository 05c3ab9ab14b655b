"""Render queue: events and the REPL's own rows that are not drawn yet, in one order, drawn in slices."""

import time
from collections import deque
from collections.abc import Callable, Sequence

from kimi_agent.faces.render.transcript import Transcript
from kimi_agent.faces.theme import Style, Theme
from kimi_agent.log.events import Stamped, TextDelta
from kimi_agent.log.messages import Assistant, Message, User
from kimi_agent.printable import format_count

_MAX_DELTA_CHARS = 2_000
"""Characters of streamed text that are drawn together at most, so that a slice stays short."""

_SUMMARY_PREFIX = "[The conversation so far was replaced by this summary"
"""How the fold begins the message that a compaction left (see `log.fold.conversation`): nobody typed it."""


class RenderQueue:
    """Queue of events and rows in front of one `Transcript`. `wake` is called when something was added."""

    def __init__(self, theme: Theme, columns: Callable[[], int], wake: Callable[[], None]) -> None:
        self.transcript = Transcript(theme, columns)
        self._theme = theme
        self._columns = columns
        self._wake = wake
        self._events: deque[Stamped | list[str]] = deque()

    def switch_session(self) -> None:
        """Read another session from here on; what waits is drawn as part of the old one."""
        rows = self.drain()
        gap = [""] if self.transcript.begun else []
        self.transcript = Transcript(self._theme, self._columns)
        self.say([*rows, *gap])

    def hear(self, stamped: Stamped) -> None:
        """An event happened."""
        self._events.append(stamped)
        self._wake()

    def say(self, rows: Sequence[str]) -> None:
        """Add rows of the REPL itself, in their place among the events."""
        self._events.append(list(rows))
        self._wake()

    def note(self, text: str, style: Style = "dim") -> None:
        """A sentence to the person, behind everything that happened so far."""
        self.say([*self.drain(), *self.transcript.note(text, style, apart=True)])

    def echo(self, text: str) -> None:
        """A command that was typed."""
        self.say([*self.drain(), *self.transcript.typed(text)])

    def recall(self, messages: Sequence[Message]) -> None:
        """The last exchange of a session that is taken up again."""
        self.note(f"Resumed: {format_count(len(messages), 'message')} so far. The last exchange:")
        last = max((at for at, each in enumerate(messages) if isinstance(each, User)), default=0)
        answers = [each for each in messages[last:] if isinstance(each, Assistant) and each.text]
        for each in (messages[last], *answers[-1:]):
            if isinstance(each, User) and each.text.startswith(_SUMMARY_PREFIX):
                self.note("(summary of what came before)")
            elif isinstance(each, User | Assistant):
                self.say(self.transcript.shown(each))

    def drain(self) -> list[str]:
        """The rows of everything that waits."""
        return self.pull(float("inf"))[0]

    def pull(self, budget_s: float) -> tuple[list[str], bool]:
        """Rows for at most about `budget_s` seconds of drawing, and whether more waits."""
        rows: list[str] = []
        until = time.perf_counter() + budget_s
        while self._events:
            event = self._events.popleft()
            rows += event if isinstance(event, list) else self.transcript.take(self._joined(event))
            if time.perf_counter() > until:
                break
        return rows, bool(self._events)

    def _joined(self, first: Stamped) -> Stamped:
        """The delta with those that follow it: what came together is drawn together."""
        if not isinstance(first.event, TextDelta):
            return first
        pieces, size = [first.event.text], len(first.event.text)
        while self._events and size < _MAX_DELTA_CHARS:
            following = self._events[0]
            if isinstance(following, list) or not isinstance(following.event, TextDelta):
                break
            if following.agent != first.agent:
                break
            pieces.append(following.event.text)
            size += len(following.event.text)
            self._events.popleft()
        return Stamped(first.agent, first.seq, first.at, TextDelta("".join(pieces)))
