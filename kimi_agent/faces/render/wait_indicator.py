"""Wait indicator: what a slow request waits for (the next retry, a sign of life), in a few words."""

import math
from collections.abc import Callable

from kimi_agent.faces.render.notices import retry_number
from kimi_agent.faces.sanitize import sanitize_line
from kimi_agent.faces.summary_lines import format_countdown
from kimi_agent.log import events

SILENT_S = 10.0
"""So long the model may be silent before the person is informed."""


class WaitIndicator:
    """Follows the events of one agent; `clock` counts seconds from anywhere, and never backwards."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: float | None = None
        self._retry: events.Retrying | None = None
        self._held = False

    def hear(self, event: events.Event) -> None:
        """An event happened just now."""
        match event:
            case events.Requested() | events.TextDelta() | events.ReasoningDelta() | events.CallDelta():
                self._since, self._retry, self._held = self._clock(), None, False
            case events.Retrying():
                self._since, self._retry, self._held = self._clock() + event.wait_s, event, False
            case events.Notice(_, wait_s) if 0 < wait_s < math.inf:
                self._since, self._held = self._clock() + wait_s, True
            case events.Answered() if self._since is not None:  # a person was asked whether the request may go out
                self._since = max(self._since, self._clock())
            case events.Said() | events.TurnEnded():
                self._since, self._retry, self._held = None, None, False
            case _:
                pass

    @property
    def left_s(self) -> float:
        """The seconds until the next attempt; 0 where none is waited for."""
        return max(0.0, self._since - self._clock()) if self._since is not None else 0.0

    def words(self) -> str:
        """For the activity line; "" as long as there is nothing to worry about."""
        if self._since is None:
            return ""
        if self._held and (left_s := self.left_s):
            return f"waiting {format_countdown(math.ceil(left_s))} before the next request"
        if self._retry is not None and (left_s := self.left_s):
            why = sanitize_line(self._retry.why).rstrip(".")
            return f"retry {retry_number(self._retry)} in {format_countdown(math.ceil(left_s))}: {why}"
        silent_s = self._clock() - self._since
        if silent_s < SILENT_S:
            return ""
        attempt = f", retry {retry_number(self._retry)}" if self._retry else ""
        return f"nothing from the model for {format_countdown(int(silent_s))}{attempt}"
