"""Usage part of the status line: the share of the window that is full, and what the session cost.

A few words that change at each answer: `34 % of the window`, `$0.12`.
"""

from collections.abc import Callable

from kimi_agent.log.events import Compacted, Restored, Rewound, Said, Shortened, Spent, Stamped
from kimi_agent.log.messages import Usage

_LEAST_SHARE = 0.01


class UsageStatus:
    """A listener. `window` is in tokens, `used` counts those of the conversation, `cost` gives the cost as a label."""

    def __init__(self, window: int = 0, used: Callable[[], int] = int, cost: Callable[[], str] = str) -> None:
        self._window = window
        self._measure = used
        self._used = used()
        self._cost = cost
        self._spent = cost()

    def hear(self, stamped: Stamped) -> None:
        """Take one event in."""
        match stamped.event:
            case Said(usage=Usage(input, output)):
                self._used = input + output
            case Compacted(tokens_after=after) | Shortened(tokens_after=after):
                self._used = after
            case Restored() | Rewound():
                self._used = self._measure()
            case Spent():
                self._spent = self._cost()
            case _:
                pass

    @property
    def parts(self) -> list[str]:
        """What there is to say: `34 % of the window`, `$0.12`."""
        share = self._used / self._window if self._window else 0.0
        full = f"{100 * share:.0f} % of the window" if share >= _LEAST_SHARE else ""
        return [part for part in (full, self._spent) if part]
